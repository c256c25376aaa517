// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/time.h"
#include "run/vm/tails.h"
#include "run/util.h"

static const char *const names[NR_TAILS] = {
	[TAIL_WORK]	= "work.stream",
	[TAIL_TRACE]	= "trace.stream",
	[TAIL_CONSOLE]	= "console.log",
};

int tails__open(struct tails *t, const char *dir)
{
	int i;

	for (i = 0; i < NR_TAILS; i++)
		t->fd[i] = -1;
	t->inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (t->inotify_fd < 0)
		return -errno;
	for (i = 0; i < NR_TAILS; i++) {
		char path[PATH_MAX];
		int err = str__fmt(path, sizeof(path), "%s/%s", dir, names[i]);

		if (err)
			return err;
		t->fd[i] = open(path, O_RDONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
		if (t->fd[i] < 0 || inotify_add_watch(t->inotify_fd, path, IN_MODIFY) < 0)
			return -errno;
	}
	return 0;
}

void tails__close(struct tails *t)
{
	int i;

	for (i = 0; i < NR_TAILS; i++)
		if (t->fd[i] >= 0)
			close(t->fd[i]);
	if (t->inotify_fd >= 0)
		close(t->inotify_fd);
}

static bool read_one(struct tails *t, int i, struct guest *g, struct console *c, uint64_t *sign_ns)
{
	char buf[65536];
	int rounds;

	for (rounds = 0; rounds < 64; rounds++) {
		ssize_t n = read(t->fd[i], buf, sizeof(buf));

		if (n <= 0)
			return false;
		*sign_ns = time__now_ns();
		if (i == TAIL_CONSOLE)
			console__feed(c, buf, (size_t)n);
		else
			guest__feed(g, i == TAIL_WORK ? PORT_WORK : PORT_TRACE, buf, (size_t)n,
				    *sign_ns);
		if (g->full || g->err)
			return false;
	}
	return true;
}

bool tails__read(struct tails *t, struct guest *g, struct console *c, uint64_t *sign_ns)
{
	char events[4096];
	bool more = false;
	int i;

	while (read(t->inotify_fd, events, sizeof(events)) > 0)
		;	/* only wakes us; the files say what is new */
	for (i = 0; i < NR_TAILS; i++)
		more |= read_one(t, i, g, c, sign_ns);
	return more;
}

/* The file is asked, not the reader: a guest can write faster than we read. */
static bool is_larger(int fd, uint64_t limit)
{
	struct stat st;

	return !fstat(fd, &st) && (uint64_t)st.st_size > limit;
}

const char *tails__excess(const struct tails *t, const struct guest *g, char *buf, size_t size)
{
	if (g->full || is_larger(t->fd[TAIL_WORK], GUEST_STREAM_MAX) ||
	    is_larger(t->fd[TAIL_TRACE], GUEST_STREAM_MAX))
		snprintf(buf, size, "the guest sent more than %u lines or %llu MiB",
			 GUEST_MAX_LINES, GUEST_STREAM_MAX >> 20);
	else if (is_larger(t->fd[TAIL_CONSOLE], CONSOLE_MAX))
		snprintf(buf, size, "the guest wrote more than %llu MiB to its console",
			 CONSOLE_MAX >> 20);
	else
		return NULL;
	return buf;
}
