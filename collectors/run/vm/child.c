// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "run/vm/child.h"
#include "run/util.h"

int child__start(pid_t *pid, const struct qemu_args *args, const char *dir, int keep_fd)
{
	char path[PATH_MAX];
	pid_t self = getpid();
	int log, null, err;

	err = str__fmt(path, sizeof(path), "%s/qemu.log", dir);
	if (err)
		return err;
	log = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0666);
	null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (log < 0 || null < 0)
		return -errno;
	*pid = fork();
	if (!*pid) {
		setsid();	/* a Ctrl-C is for the runner, not for QEMU */
		dup2(null, STDIN_FILENO);
		dup2(log, STDOUT_FILENO);
		dup2(log, STDERR_FILENO);
		/* Our parent may have died before the child could ask to die with it. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != self)
			_exit(127);
		qemu__exec(args, keep_fd, QEMU_MAX_FILE);
	}
	err = *pid < 0 ? -errno : 0;
	close(log);
	close(null);
	return err;
}

void child__last_words(const char *dir, char *out, size_t size)
{
	char path[PATH_MAX], *text = NULL, *line;
	size_t len;

	snprintf(out, size, "see qemu.log");
	if (str__fmt(path, sizeof(path), "%s/qemu.log", dir) ||
	    file__read(path, MIB, &text, &len))
		return;
	while (len && text[len - 1] == '\n')
		text[--len] = '\0';
	line = strrchr(text, '\n');
	line = line ? line + 1 : text;
	if (*line)
		snprintf(out, size, "%s", line);
	free(text);
}
