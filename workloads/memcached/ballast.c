// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * ballast: holds memory until it is told to stop.
 *
 * It stands for what a larger guest holds beyond memcached and the wave, so
 * that as much is free beside them in a guest of any size.  It is no victim:
 * killing it would end the shortage.
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/opts.h"
#include "common/proc.h"

static const char usage_text[] =
"Usage: ballast --bytes=SIZE [--unprotected]\n"
"Holds SIZE of memory, all of it written, until SIGTERM. Prints \"held\" and\n"
"closes its output as soon as it does.\n"
"\n"
"Exit status: 0 ended by SIGTERM, 1 the memory is not there, 2 wrong usage,\n"
"69 the process could not be protected.\n";

int main(int argc, char **argv)
{
	uint64_t bytes = 0, i;
	bool protect = true;
	const struct opt table[] = {
		OPT(SIZE, "bytes", &bytes),
		OPT(CLEAR, "unprotected", &protect),
		{ 0 },
	};
	volatile char *memory;
	sigset_t set;
	int sig;

	opts__table_only(argc, argv, usage_text, table);
	if (!bytes)
		opts__fail("--bytes is needed");
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);

	if (protect && proc__protect("ballast"))
		return EXIT_INFRASTRUCTURE;
	memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED) {
		fprintf(stderr, "ballast: cannot hold %llu bytes: %s\n",
			(unsigned long long)bytes, strerror(errno));
		return EXIT_FAILED;
	}
	for (i = 0; i < bytes; i += 4096)
		memory[i] = 1;	/* no page is like the zero page */
	puts("held");
	fclose(stdout);
	sigwait(&set, &sig);
	return EXIT_DONE;
}
