// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/json.h"
#include "common/proc.h"
#include "common/time.h"

int proc__set_oom_score_adj(int adj)
{
	char s[16];
	int fd, len, err = 0;

	fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	len = snprintf(s, sizeof(s), "%d", adj);
	if (write(fd, s, (size_t)len) != len)
		err = errno ? -errno : -EIO;
	close(fd);
	return err;
}

/*
 * A locked stack grows by a page when it is first used that deep, which asks
 * for memory at a time when there may be none: use it now.
 */
#define STACK_BYTES	(256 * 1024)

static void __attribute__((noinline)) fault_in_stack(void)
{
	volatile char room[STACK_BYTES];
	size_t i;

	for (i = 0; i < sizeof(room); i += 4096)
		room[i] = 0;
}

int proc__protect(const char *who)
{
	int err;

	err = proc__set_oom_score_adj(OOM_SCORE_ADJ_NEVER);
	if (err) {
		fprintf(stderr,
			"%s: cannot set oom_score_adj to %d: %s; be root, or use --unprotected to try things out\n",
			who, OOM_SCORE_ADJ_NEVER, strerror(-err));
		return err;
	}
	if (mlockall(MCL_CURRENT | MCL_FUTURE)) {
		err = -errno;
		fprintf(stderr,
			"%s: cannot lock its memory: %s; be root, raise 'ulimit -l', or use --unprotected to try things out\n",
			who, strerror(-err));
		return err;
	}
	fault_in_stack();
	return 0;
}

int proc__keep_only(const char *who, int cap)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = { { 0 } };
	int err;

	sets[CAP_TO_INDEX(cap)].permitted = CAP_TO_MASK(cap);
	sets[CAP_TO_INDEX(cap)].effective = CAP_TO_MASK(cap);
	/* What is no longer permitted leaves the ambient set, too. */
	if (!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) && !syscall(SYS_capset, &head, sets))
		return 0;
	err = -errno;
	fprintf(stderr, "%s: cannot give up its capabilities: %s\n", who, strerror(-err));
	return err;
}

int proc__write_exit(int fd, const char *name, pid_t pid, int wstatus,
		     int64_t round)
{
	char buf[512];
	struct jw w;

	jw__init(&w, buf, sizeof(buf));
	jw__obj_begin(&w, NULL);
	jw__str(&w, "type", "event");
	jw__str(&w, "kind", "proc_exit");
	jw__u64(&w, "t_ns", time__now_ns());
	jw__str(&w, "name", name);
	jw__s64(&w, "pid", pid);
	jw__s64(&w, "status", WIFEXITED(wstatus) ? WEXITSTATUS(wstatus) : 0);
	jw__s64(&w, "signal", WIFSIGNALED(wstatus) ? WTERMSIG(wstatus) : 0);
	if (round >= 0)
		jw__s64(&w, "round", round);
	jw__obj_end(&w);
	return jw__line(&w, fd);
}
