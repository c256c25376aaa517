// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * hold: takes memory until so much is free and gives it back, on command.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>

#include "common/num.h"
#include "common/status.h"
#include "pages.h"

#define EXIT_INFRA	69
#define STEP		(256UL << 10)
#define MAX_BYTES	(64ULL << 30)

static const char usage_text[] =
"Usage: hold [--small-pages]\n"
"Reads commands from standard input, answers each with a line \"ok\".\n"
"  leave SIZE   take memory, or give it back, until SIZE is free in the guest\n"
"  holes SIZE   give back every other part of SIZE bytes of what it has\n"
"  used FILE    append to FILE which physical pages it has\n"
"  none         give back everything\n"
"SIZE takes K, M or G. It ends with its input.\n"
"Example:\n"
"  printf 'leave 64M\\nnone\\n' | hold\n"
"Exit status: 0 done, 1 memory could not be given\n"
"back, 2 wrong usage or a wrong command, 69 no address space.\n";

static uint8_t *area;
static uint64_t area_len, used;

static uint64_t free_bytes(void)
{
	struct sysinfo info;

	sysinfo(&info);
	return (uint64_t)info.freeram * info.mem_unit;
}

static void take(uint64_t len)
{
	for (uint64_t at = used; at < used + len; at += PAGE)
		area[at] = 1;
	used += len;
}

static int give_back(uint64_t from, uint64_t len)
{
	return madvise(area + from, len, MADV_DONTNEED) ? -errno : 0;
}

static int leave(uint64_t bytes)
{
	int err;

	while (free_bytes() > bytes + STEP && used + STEP <= area_len)
		take(STEP);
	while (used && free_bytes() + STEP <= bytes) {
		used -= STEP;
		err = give_back(used, STEP);
		if (err)
			return err;
	}
	return 0;
}

static int holes(uint64_t bytes)
{
	int err = 0;

	for (uint64_t at = 0; !err && at + bytes <= used; at += 2 * bytes)
		err = give_back(at, bytes);
	return err;
}

static int none(void)
{
	int err = used ? give_back(0, used) : 0;

	used = 0;
	return err;
}

/* 0, -EINVAL for what is no command, or what the kernel said. */
static int obey(char *line)
{
	char *size = strchr(line, ' ');
	uint64_t bytes;

	if (!strcmp(line, "none"))
		return none();
	if (!size)
		return -EINVAL;
	*size++ = '\0';
	if (!strcmp(line, "used"))
		return pages__log_used(size, area, used);
	if (num__size(size, PAGE, MAX_BYTES, &bytes))
		return -EINVAL;
	if (!strcmp(line, "leave"))
		return leave(bytes);
	if (!strcmp(line, "holes") && !(bytes % PAGE))
		return holes(bytes);
	return -EINVAL;
}

int main(int argc, char **argv)
{
	bool small = argc == 2 && !strcmp(argv[1], "--small-pages");
	struct sysinfo info;
	char line[128];
	int err;

	if (argc == 2 && !strcmp(argv[1], "--help")) {
		fputs(usage_text, stdout);
		return 0;
	}
	if (argc > 1 && !small) {
		fputs("hold: wrong usage; see hold --help\n", stderr);
		return EXIT_USAGE;
	}
	sysinfo(&info);
	area_len = (uint64_t)info.totalram * info.mem_unit / STEP * STEP;
	area = mmap(NULL, area_len, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (area == MAP_FAILED ||
	    madvise(area, area_len, small ? MADV_NOHUGEPAGE : MADV_HUGEPAGE)) {
		perror("hold: address space for all memory");
		return EXIT_INFRA;
	}
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = '\0';
		err = obey(line);
		if (err == -EINVAL) {
			fprintf(stderr, "hold: '%s' is no command; see hold --help\n", line);
			return EXIT_USAGE;
		}
		if (err) {
			fprintf(stderr, "hold: %s: %s\n", line, strerror(-err));
			return EXIT_FAILED;
		}
		puts("ok");
		fflush(stdout);
	}
	return 0;
}
