// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Fills pipes until the kernel has no page for one more: a charge to a cgroup
 * that fails, where the OOM killer may not help. Exit status 0 when it was ENOMEM.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

int main(void)
{
	static const char page[4096];

	/* A page fault at the limit would wait for a kill that nobody may be. */
	if (mlockall(MCL_CURRENT | MCL_FUTURE))
		return 1;
	for (int i = 0; i < 500; i++) {
		int fd[2];

		if (pipe2(fd, O_NONBLOCK))
			break;
		while (write(fd[1], page, sizeof(page)) > 0)
			;
		if (errno != EAGAIN)
			break;
	}
	_exit(errno != ENOMEM);
}
