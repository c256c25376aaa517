// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * soak - use memory in every way there is, and check that it keeps what is
 * written to it.
 *
 * Hinting a page in use is data loss. So several processes hold patterned
 * memory of all kinds, and each piece is verified in full before it is given
 * back and taken again. The pattern depends on the seed, the process, the piece
 * and its generation, so that a page which comes back empty, old or swapped with
 * another is found. The host really discards what it is told is free.
 *
 * Invariant: slot->bytes > 0 <=> slot->addr is mapped and wholly patterned.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../collectors/common_num.h"

#define PAGE		4096UL
#define HUGE_PAGE	(2UL << 20)
#define WORD_STEP	8	/* one word in 64 bytes is checked */
#define NR_SLOTS	48
#define MAX_PROCS	16

enum kind { KIND_THP, KIND_SMALL, KIND_MLOCK, KIND_TMPFS, KIND_FILE, NR_KINDS };

static const char *const kind_names[NR_KINDS] = {
	"thp", "small", "mlock", "tmpfs", "file",
};

struct slot {
	uint64_t *addr;
	size_t bytes;
	uint64_t tag;		/* of the pattern */
};

struct opts {
	uint64_t bytes;		/* all processes together */
	uint64_t duration_ns;
	uint64_t seed;
	uint64_t nr_procs;
	const char *device;	/* for KIND_FILE, or NULL */
};

/* Shared with the parent, one a process */
struct tally {
	volatile uint64_t verified_bytes;
	volatile uint64_t nr_refused;	/* mmap or mlock said no */
	volatile uint64_t nr_mismatches;
};

static uint64_t rng_state;

/* splitmix64, Steele et al. 2014 */
static uint64_t rng__next(void)
{
	uint64_t z = (rng_state += 0x9e3779b97f4a7c15ULL);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

static uint64_t pattern(uint64_t tag, size_t word)
{
	return (tag ^ word) * 0x9e3779b97f4a7c15ULL;
}

static void slot__fill(struct slot *s)
{
	size_t i, n = s->bytes / sizeof(*s->addr);

	for (i = 0; i < n; i += WORD_STEP)
		s->addr[i] = pattern(s->tag, i);
}

/* Returns the number of words that differ, and prints the first. */
static uint64_t slot__verify(const struct slot *s, enum kind kind)
{
	size_t i, n = s->bytes / sizeof(*s->addr);
	uint64_t bad = 0;

	for (i = 0; i < n; i += WORD_STEP) {
		uint64_t want = pattern(s->tag, i);

		if (s->addr[i] == want)
			continue;
		if (!bad++)
			fprintf(stderr,
				"soak: MISMATCH in %s memory at %p + 0x%zx of 0x%zx: 0x%016" PRIx64 ", not 0x%016" PRIx64 "\n",
				kind_names[kind], (void *)s->addr, i * 8, s->bytes,
				s->addr[i], want);
	}
	return bad;
}

static void slot__free(struct slot *s)
{
	munmap(s->addr, s->bytes);
	s->bytes = 0;
}

/* Map memory of that kind. Returns 0 or -errno. */
static int slot__map(struct slot *s, enum kind kind, size_t bytes, int fd,
		     off_t offset)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS, err;

	if (kind == KIND_TMPFS)
		flags = MAP_SHARED | MAP_ANONYMOUS;
	if (kind == KIND_FILE)
		flags = MAP_SHARED;

	s->addr = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags,
		       kind == KIND_FILE ? fd : -1, kind == KIND_FILE ? offset : 0);
	if (s->addr == MAP_FAILED)
		return -errno;

	if (kind == KIND_THP)
		madvise(s->addr, bytes, MADV_HUGEPAGE);
	if (kind == KIND_SMALL)
		madvise(s->addr, bytes, MADV_NOHUGEPAGE);
	if (kind == KIND_MLOCK && mlock(s->addr, bytes)) {
		err = -errno;
		munmap(s->addr, bytes);
		return err;
	}
	s->bytes = bytes;
	return 0;
}

/* Mostly a few MiB, at times a page, so that every order is in use. */
static size_t random_bytes(size_t limit)
{
	uint64_t r = rng__next();
	size_t bytes;

	switch (r & 3) {
	case 0:
		bytes = PAGE * (1 + (r >> 8) % 16);
		break;
	case 1:
		bytes = PAGE * (1 + (r >> 8) % 512);
		break;
	default:
		bytes = HUGE_PAGE * (1 + (r >> 8) % 8);
	}
	return bytes < limit ? bytes : limit / PAGE * PAGE;
}

/*
 * A process holds at most its share of memory: while below, it fills a random
 * empty slot, else it verifies and frees some. From time to time it frees all,
 * which is when there is much to hint.
 */
static int soak__process(const struct opts *o, unsigned int index,
			 struct tally *tally)
{
	enum kind kind = index % (o->device ? NR_KINDS : KIND_FILE);
	uint64_t share = o->bytes / o->nr_procs, held = 0;
	uint64_t end = now_ns() + o->duration_ns;
	struct slot slots[NR_SLOTS] = { 0 };
	size_t file_slot = share / NR_SLOTS / PAGE * PAGE;
	int fd = -1, i;
	FILE *f;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	rng_state = o->seed * 1000003 + index;

	/* A checker that is killed has checked nothing. */
	f = fopen("/proc/self/oom_score_adj", "w");
	if (f) {
		fputs("-500", f);
		fclose(f);
	}
	if (kind == KIND_FILE) {
		fd = open(o->device, O_RDWR);
		if (fd < 0) {
			fprintf(stderr, "soak: %s: %s\n", o->device, strerror(errno));
			return 1;
		}
	}

	while (now_ns() < end && !tally->nr_mismatches) {
		struct slot *s = &slots[rng__next() % NR_SLOTS];
		bool all = rng__next() % 64 == 0;
		size_t bytes;

		if (s->bytes || all) {
			for (i = 0; i < NR_SLOTS; i++) {
				struct slot *v = all ? &slots[i] : s;

				if (!v->bytes)
					continue;
				tally->nr_mismatches += slot__verify(v, kind);
				tally->verified_bytes += v->bytes;
				held -= v->bytes;
				slot__free(v);
				if (!all)
					break;
			}
			if (all)
				usleep(20000);
			continue;
		}

		bytes = random_bytes(kind == KIND_FILE ? file_slot : share - held);
		if (!bytes)
			continue;
		if (slot__map(s, kind, bytes, fd, (s - slots) * file_slot)) {
			tally->nr_refused++;
			usleep(1000);
			continue;
		}
		s->tag = rng__next();
		slot__fill(s);
		held += bytes;
	}

	for (i = 0; i < NR_SLOTS; i++)
		if (slots[i].bytes)
			tally->nr_mismatches += slot__verify(&slots[i], kind);
	return tally->nr_mismatches ? 1 : 0;
}

static void usage(FILE *to)
{
	fprintf(to,
		"usage: soak [OPTION]...\n"
		"Hold, verify, free and take memory of every kind until the time is over.\n"
		"  --bytes SIZE       memory of all processes together (256M)\n"
		"  --duration TIME    how long (60s)\n"
		"  --procs N          processes, 1 to %d; their kinds go round:\n"
		"                     thp, small, mlock, tmpfs and, with --device, file (8)\n"
		"  --device PATH      block device whose contents may be destroyed\n"
		"  --seed N           of sizes, times and patterns (1)\n"
		"  --help\n"
		"Exit status: 0 all memory kept its content, 1 some did not or a process\n"
		"died, 2 wrong usage.\n"
		"example: soak --bytes 350M --procs 8 --duration 5m\n", MAX_PROCS);
}

int main(int argc, char **argv)
{
	static const struct option longopts[] = {
		{ "bytes", required_argument, NULL, 'b' },
		{ "duration", required_argument, NULL, 'd' },
		{ "procs", required_argument, NULL, 'p' },
		{ "device", required_argument, NULL, 'D' },
		{ "seed", required_argument, NULL, 's' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct opts o = {
		.bytes = 256UL << 20, .duration_ns = 60000000000ULL,
		.seed = 1, .nr_procs = 8,
	};
	uint64_t verified = 0, refused = 0, mismatches = 0, i;
	struct tally *tally;
	int c, err = 0, status, failed = 0;

	while ((c = getopt_long(argc, argv, "", longopts, NULL)) != -1) {
		switch (c) {
		case 'b':
			err = num__size(optarg, 16UL << 20, 1UL << 40, &o.bytes);
			break;
		case 'd':
			err = num__duration_ns(optarg, 1000000, 86400000000000ULL,
					       &o.duration_ns);
			break;
		case 'p':
			err = num__u64(optarg, 1, MAX_PROCS, &o.nr_procs);
			break;
		case 's':
			err = num__u64(optarg, 0, UINT64_MAX, &o.seed);
			break;
		case 'D':
			o.device = optarg;
			break;
		case 'h':
			usage(stdout);
			return 0;
		default:
			usage(stderr);
			return 2;
		}
		if (err) {
			fprintf(stderr, "soak: bad value '%s': see --help\n", optarg);
			return 2;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "soak: unexpected '%s': see --help\n", argv[optind]);
		return 2;
	}

	tally = mmap(NULL, MAX_PROCS * sizeof(*tally), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (tally == MAP_FAILED) {
		perror("soak: mmap");
		return 1;
	}
	for (i = 0; i < o.nr_procs; i++) {
		pid_t pid = fork();

		if (pid < 0) {
			perror("soak: fork");
			return 1;
		}
		if (!pid)
			_exit(soak__process(&o, i, &tally[i]));
	}
	while (wait(&status) > 0)
		if (!WIFEXITED(status) || WEXITSTATUS(status))
			failed++;

	for (i = 0; i < o.nr_procs; i++) {
		verified += tally[i].verified_bytes;
		refused += tally[i].nr_refused;
		mismatches += tally[i].nr_mismatches;
	}
	printf("soak: %" PRIu64 " MiB verified, %" PRIu64 " mismatches, %" PRIu64 " requests refused, %d of %" PRIu64 " processes failed\n",
	       verified >> 20, mismatches, refused, failed, o.nr_procs);
	return mismatches || failed ? 1 : 0;
}
