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
 * Page cache is dirtied through mappings and with write(2), and is verified as
 * mapped, as a new mapping of the cache shows it, or after it was written back,
 * dropped and read from the device again.
 *
 * Invariant: slot->bytes > 0 <=> slot->addr is mapped and wholly patterned.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/opts.h"
#include "common/proc.h"
#include "common/rng.h"
#include "common/time.h"

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
	off_t offset;		/* in the device, for KIND_FILE */
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
	volatile uint64_t reread_bytes;	/* of these, read back from the device */
	volatile uint64_t nr_refused;	/* mmap or mlock said no */
	volatile uint64_t nr_mismatches;
};

static struct rng rng;

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

/* The same by write(2), which copies into the page cache. Returns 0 or -errno. */
static int slot__write(const struct slot *s, int fd)
{
	size_t pos, word, i;

	for (pos = 0; pos < s->bytes; pos += PAGE) {
		uint64_t page[PAGE / sizeof(uint64_t)] = { 0 };
		ssize_t n;

		word = pos / sizeof(*page);
		for (i = 0; i < PAGE / sizeof(*page); i += WORD_STEP)
			page[i] = pattern(s->tag, word + i);
		n = pwrite(fd, page, PAGE, s->offset + pos);
		if (n != (ssize_t)PAGE)
			return n < 0 ? -errno : -EIO;
	}
	return 0;
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
static int slot__map(struct slot *s, enum kind kind, size_t bytes, int fd)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS, err;

	if (kind == KIND_TMPFS)
		flags = MAP_SHARED | MAP_ANONYMOUS;
	if (kind == KIND_FILE)
		flags = MAP_SHARED;

	s->addr = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags,
		       kind == KIND_FILE ? fd : -1, s->offset);
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

/*
 * Have the content from elsewhere than the mapping it was written to: a new one
 * or, with @drop, the device. Returns 0 or -errno.
 */
static int slot__reread(struct slot *s, int fd, bool drop)
{
	size_t bytes = s->bytes;
	int err;

	slot__free(s);
	if (drop) {
		if (fsync(fd))
			return -errno;
		err = posix_fadvise(fd, s->offset, bytes, POSIX_FADV_DONTNEED);
		if (err)
			return -err;
	}
	return slot__map(s, KIND_FILE, bytes, fd);
}

/*
 * Open the device and find the first byte of this process's part of it. Returns
 * the descriptor or -errno, and says why.
 */
static int device__open(const char *path, unsigned int index, uint64_t share,
			off_t *base)
{
	uint64_t end = (index / NR_KINDS + 1) * share;
	int fd = open(path, O_RDWR | O_CLOEXEC), err;
	off_t size;

	if (fd < 0) {
		err = -errno;
		fprintf(stderr, "soak: cannot open %s: %s\n", path, strerror(-err));
		return err;
	}
	size = lseek(fd, 0, SEEK_END);
	if (size < 0 || (uint64_t)size < end) {
		fprintf(stderr, "soak: %s has %jd bytes, process %u needs %" PRIu64 ": use a larger device or fewer --bytes\n",
			path, (intmax_t)size, index, end);
		close(fd);
		return -ENOSPC;
	}
	*base = end - share;
	return fd;
}

/* Mostly a few MiB, at times a page, so that every order is in use. */
static size_t random_bytes(size_t limit)
{
	uint64_t r = rng__next(&rng);
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
	uint64_t end = time__now_ns() + o->duration_ns;
	struct slot slots[NR_SLOTS] = { 0 };
	size_t file_slot = share / NR_SLOTS / PAGE * PAGE;
	int fd = -1, err = 0, i;
	off_t base = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	rng__seed(&rng, o->seed, index);

	/* A checker that is killed has checked nothing. */
	proc__set_oom_score_adj(-500);
	if (kind == KIND_FILE) {
		fd = device__open(o->device, index, share / PAGE * PAGE, &base);
		if (fd < 0)
			return 1;
		for (i = 0; i < NR_SLOTS; i++)
			slots[i].offset = base + i * file_slot;
	}

	while (time__now_ns() < end && !tally->nr_mismatches) {
		struct slot *s = &slots[rng__next(&rng) % NR_SLOTS];
		bool all = rng__next(&rng) % 64 == 0;
		size_t bytes;

		if (s->bytes || all) {
			for (i = 0; i < NR_SLOTS; i++) {
				struct slot *v = all ? &slots[i] : s;

				if (!v->bytes)
					continue;
				if (kind == KIND_FILE) {
					uint64_t how = rng__next(&rng) % 3;

					if (how > 0)
						err = slot__reread(v, fd, how == 2);
					if (err)
						goto out;
					if (how == 2)
						tally->reread_bytes += v->bytes;
				}
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
		if (slot__map(s, kind, bytes, fd)) {
			tally->nr_refused++;
			usleep(1000);
			continue;
		}
		s->tag = rng__next(&rng);
		if (kind == KIND_FILE && rng__next(&rng) & 1)
			err = slot__write(s, fd);
		else
			slot__fill(s);
		if (err)
			goto out;
		held += bytes;
	}

	for (i = 0; i < NR_SLOTS; i++)
		if (slots[i].bytes)
			tally->nr_mismatches += slot__verify(&slots[i], kind);
out:
	if (err)
		fprintf(stderr, "soak: process %u cannot go on with %s: %s\n",
			index, o->device, strerror(-err));
	return err || tally->nr_mismatches ? 1 : 0;
}

static const char usage_text[] =
"Usage: soak [OPTION]...\n"
"Hold, verify, free and take memory of every kind until the time is over.\n"
"\n"
"  --bytes=SIZE       memory of all processes together    [256M]\n"
"  --duration=TIME    how long                            [60s]\n"
"  --procs=N          processes, 1 to 16; their kinds go round: thp, small,\n"
"                     mlock, tmpfs and, with --device, file [8]\n"
"  --device=PATH      block device whose contents may be destroyed, of a fifth of\n"
"                     --bytes and a process's share at least\n"
"  --seed=N           of sizes, times and patterns        [1]\n"
"  --help\n"
"\n"
"Example: soak --bytes=350M --procs=8 --duration=300s\n"
"\n"
"Exit status: 0 all memory kept its content, 1 some did not or a process died,\n"
"2 wrong usage.\n";

int main(int argc, char **argv)
{
	struct opts o = {
		.bytes = 256UL << 20, .duration_ns = 60 * NSEC_PER_SEC,
		.seed = 1, .nr_procs = 8,
	};
	const struct opt table[] = {
		OPT(SIZE, "bytes", &o.bytes),
		OPT(TIME, "duration", &o.duration_ns),
		OPT(U64, "procs", &o.nr_procs, .min = 1, .max = MAX_PROCS),
		OPT(STRING, "device", &o.device, .max = 4095),
		OPT(U64, "seed", &o.seed, .min = 0, .max = UINT64_MAX),
		{ 0 },
	};
	uint64_t verified = 0, reread = 0, refused = 0, mismatches = 0, i;
	struct tally *tally;
	int status, failed = 0;

	opts__table_only(argc, argv, usage_text, table);
	if (o.bytes < 16UL << 20)
		opts__fail("--bytes: 16M is the least");
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
		reread += tally[i].reread_bytes;
		refused += tally[i].nr_refused;
		mismatches += tally[i].nr_mismatches;
	}
	printf("soak: %" PRIu64 " MiB verified, %" PRIu64 " mismatches, %" PRIu64 " requests refused, %d of %" PRIu64 " processes failed",
	       verified >> 20, mismatches, refused, failed, o.nr_procs);
	if (o.device)
		printf("; %" PRIu64 " MiB were read back from %s", reread >> 20,
		       o.device);
	putchar('\n');
	return mismatches || failed ? 1 : 0;
}
