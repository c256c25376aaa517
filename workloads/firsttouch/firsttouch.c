// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * firsttouch: how long the first touch of memory takes, and whether the host
 * had dropped what it landed on.
 *
 * The guest does not know what the host has behind a page. But a log of the
 * pages that it has reported and of those that were used, in order, tells.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>

#include "common/hist_json.h"
#include "common/num.h"
#include "common/status.h"
#include "common/time.h"
#include "pages.h"

#define OUT_FD		3
#define EXIT_INFRA	69
#define BLOCK		(2UL << 20)
#define PAGES_PER_BLOCK	(BLOCK / PAGE)
#define MAX_BYTES	(32ULL << 30)
#define MAX_ORDER	10
#define SUB_BITS	7
#define NAME_MAX_BYTES	40	/* with kind and backing behind it, the name of a histogram */
#define MAX_NS		(60 * NSEC_PER_SEC)

static const char usage_text[] =
"Usage: firsttouch [--huge] [--twice] [--log=FILE] NAME SIZE|half\n"
"Takes memory, times the first touch of every page, and writes histograms to\n"
"file descriptor 3, apart for memory that the host backs, that it does not,\n"
"and of which nothing is known. Their names begin with NAME (at most 40 bytes).\n"
"\"half\" is half of what is free.\n"
"  --huge        2 MiB at a touch instead of 4 KiB\n"
"  --twice       takes all of it, gives it back, and times the second time\n"
"  --log=FILE    what became of pages so far, oldest first, a line each:\n"
"                \"reported PAGE ORDER\" or \"used PAGE NUMBER\", PAGE in hex;\n"
"                what is touched is added\n"
"Examples:\n"
"  firsttouch --twice again-page-1 256M 3>out\n"
"  firsttouch --huge --log=/run/pages unbacked-huge-1 half 3>out\n"
"Exit status: 0 done, 1 no huge pages or a bad log, 2 wrong usage, 69 no memory\n"
"or no /proc/self/pagemap.\n";

enum backing { OTHER, BACKED, UNBACKED, NR_BACKINGS };

static const char * const backing_names[NR_BACKINGS] = { "other", "backed", "unbacked" };

/* One kind of touch: the histogram of each backing. */
struct kind {
	const char *name;
	struct hist hists[NR_BACKINGS];
};

/* What is known of a 2 MiB block of physical memory after its pages were touched. */
struct block {
	uint64_t ns;
	uint16_t nr[NR_BACKINGS];
};

static uint8_t backing[PAGES_MAX_PFN];
static struct block blocks[PAGES_MAX_PFN / PAGES_PER_BLOCK];
static char line_buf[JW_LINE_MAX];
static uint8_t *area;
static uint64_t area_len, step;

static void die(int status, const char *what, int err)
{
	fprintf(stderr, "firsttouch: %s%s%s\n", what, err ? ": " : "", err ? strerror(err) : "");
	exit(status);
}

static void read_log(const char *path)
{
	unsigned long pfn, nr;
	char line[64], what[16];
	FILE *f;
	int end;

	f = fopen(path, "re");
	if (!f)
		die(EXIT_INFRA, path, errno);
	while (fgets(line, sizeof(line), f)) {
		bool is_report, bad;

		bad = sscanf(line, "%15s %lx %lu%n", what, &pfn, &nr, &end) != 3 ||
		      line[end] != '\n';
		is_report = !bad && !strcmp(what, "reported");
		if (!bad && is_report) {
			bad = nr > MAX_ORDER;
			nr = bad ? 0 : 1UL << nr;
		} else if (!bad) {
			bad = strcmp(what, "used");
		}
		if (bad || nr > PAGES_MAX_PFN || pfn > PAGES_MAX_PFN - nr) {
			fprintf(stderr, "firsttouch: %s: neither reported nor used: %s", path, line);
			exit(EXIT_FAILED);
		}
		memset(backing + pfn, is_report ? UNBACKED : BACKED, nr);
	}
	fclose(f);
}

/* 0 when nothing is mapped there. */
static unsigned long pfn_of(uint64_t at)
{
	long pfn = pages__pfn(area + at);

	if (pfn < 0)
		die(EXIT_INFRA, "/proc/self/pagemap", (int)-pfn);
	return (unsigned long)pfn;
}

/* One touch of a huge page maps all of it. */
static bool is_huge(uint64_t at)
{
	return pfn_of(at + BLOCK - PAGE);
}

/* Use it once, remember what it was, give it back. */
static void use_before(void)
{
	for (uint64_t at = 0; at < area_len; at += step)
		area[at] = 1;
	for (uint64_t at = 0; at < area_len; at += step)
		memset(backing + pfn_of(at), BACKED,
		       step == BLOCK && is_huge(at) ? PAGES_PER_BLOCK : 1);
	if (madvise(area, area_len, MADV_DONTNEED))
		die(EXIT_INFRA, "cannot give memory back", errno);
}

static void touch(uint32_t *ns)
{
	uint64_t now, last = time__now_ns();

	for (uint64_t at = 0; at < area_len; at += step) {
		area[at] = 1;
		now = time__now_ns();
		*ns++ = now - last < UINT32_MAX ? (uint32_t)(now - last) : UINT32_MAX;
		last = now;
	}
}

static void kind__init(struct kind *k, const char *name)
{
	k->name = name;
	for (int i = 0; i < NR_BACKINGS; i++)
		if (hist__init(&k->hists[i], SUB_BITS, MAX_NS))
			die(EXIT_INFRA, "no memory", ENOMEM);
}

static void kind__write(const struct kind *k, const char *of)
{
	char name[64];
	struct jw w;
	int err;

	for (int i = 0; i < NR_BACKINGS; i++) {
		const struct hist *h = &k->hists[i];

		if (!h->n)
			continue;
		snprintf(name, sizeof(name), "%s.%s_%s", of, k->name, backing_names[i]);
		jw__init(&w, line_buf, sizeof(line_buf));
		jw__obj_begin(&w, NULL);
		jw__str(&w, "type", "hist");
		jw__u64(&w, "t_ns", time__now_ns());
		jw__str(&w, "name", name);
		jw__str(&w, "unit", "ns");
		hist__write(h, &w);
		jw__obj_end(&w);
		err = jw__line(&w, OUT_FD);
		if (err)
			die(EXIT_INFRA, "descriptor 3", -err);
	}
}

static void write_head(const char *name, const uint64_t *nr, uint64_t nr_small)
{
	struct jw w;
	int err;

	jw__init(&w, line_buf, sizeof(line_buf));
	jw__obj_begin(&w, NULL);
	jw__str(&w, "type", "touch");
	jw__u64(&w, "t_ns", time__now_ns());
	jw__str(&w, "name", name);
	jw__u64(&w, "bytes", area_len);
	for (int i = 0; i < NR_BACKINGS; i++)
		jw__u64(&w, backing_names[i], nr[i]);
	jw__u64(&w, "small", nr_small);
	jw__obj_end(&w);
	err = jw__line(&w, OUT_FD);
	if (err)
		die(EXIT_INFRA, "descriptor 3", -err);
}

/* A huge page counts as unbacked when any part of it is. */
static void sort_huge(const char *name, const uint32_t *ns)
{
	uint64_t nr[NR_BACKINGS] = { 0 }, nr_small = 0;
	struct kind huge;

	kind__init(&huge, "huge");
	for (uint64_t at = 0; at < area_len; at += BLOCK) {
		unsigned long pfn = pfn_of(at);
		enum backing b = backing[pfn];

		if (!is_huge(at)) {
			nr_small++;
			continue;
		}
		for (unsigned long i = 1; i < PAGES_PER_BLOCK; i++)
			if (backing[pfn + i] == UNBACKED)
				b = UNBACKED;
		nr[b]++;
		hist__record(&huge.hists[b], ns[at / BLOCK]);
	}
	if (nr_small == area_len / BLOCK)
		die(EXIT_FAILED, "no huge pages: too little memory, or too fragmented", 0);
	write_head(name, nr, nr_small);
	kind__write(&huge, name);
}

/* Pages, and those 2 MiB of physical memory all of whose pages were touched. */
static void sort_pages(const char *name, const uint32_t *ns)
{
	uint64_t nr[NR_BACKINGS] = { 0 };
	struct kind page, block;

	kind__init(&page, "page");
	kind__init(&block, "block");
	for (uint64_t at = 0; at < area_len; at += PAGE) {
		unsigned long pfn = pfn_of(at);
		struct block *in = &blocks[pfn / PAGES_PER_BLOCK];
		enum backing b = backing[pfn];

		nr[b]++;
		hist__record(&page.hists[b], ns[at / PAGE]);
		in->ns += ns[at / PAGE];
		in->nr[b]++;
	}
	for (size_t i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++)
		for (int b = 0; b < NR_BACKINGS; b++)
			if (blocks[i].nr[b] == PAGES_PER_BLOCK)
				hist__record(&block.hists[b], blocks[i].ns);
	write_head(name, nr, 0);
	kind__write(&page, name);
	kind__write(&block, name);
}

static uint64_t half_of_free(void)
{
	struct sysinfo info;

	sysinfo(&info);
	return (uint64_t)info.freeram * info.mem_unit / 2;
}

static void map_area(void)
{
	uint8_t *at = mmap(NULL, area_len + BLOCK, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (at == MAP_FAILED)
		die(EXIT_INFRA, "address space", errno);
	area = (uint8_t *)(((uintptr_t)at + BLOCK - 1) & ~(BLOCK - 1));
	if (madvise(area, area_len, step == BLOCK ? MADV_HUGEPAGE : MADV_NOHUGEPAGE))
		die(EXIT_INFRA, "madvise", errno);
}

int main(int argc, char **argv)
{
	const char *log = NULL, *name, *size;
	bool huge = false, twice = false;
	uint32_t *ns;
	size_t nr;
	int i, err;

	if (argc == 2 && !strcmp(argv[1], "--help")) {
		fputs(usage_text, stdout);
		return 0;
	}
	for (i = 1; i < argc && !strncmp(argv[i], "--", 2); i++) {
		if (!strcmp(argv[i], "--huge"))
			huge = true;
		else if (!strcmp(argv[i], "--twice"))
			twice = true;
		else if (!strncmp(argv[i], "--log=", 6) && argv[i][6])
			log = argv[i] + 6;
		else
			break;
	}
	if (argc - i != 2 || strlen(argv[i]) > NAME_MAX_BYTES) {
		fputs("firsttouch: wrong usage; see firsttouch --help\n", stderr);
		return EXIT_USAGE;
	}
	name = argv[i];
	size = argv[i + 1];
	step = huge ? BLOCK : PAGE;
	if (!strcmp(size, "half")) {
		area_len = half_of_free();
	} else if (num__size(size, BLOCK, MAX_BYTES, &area_len)) {
		fprintf(stderr, "firsttouch: SIZE is '%s'; allowed: half, 2M to 32G\n", size);
		return EXIT_USAGE;
	}
	area_len = area_len / BLOCK * BLOCK;
	if (!area_len || area_len > MAX_BYTES)
		die(EXIT_FAILED, "half of what is free is less than 2 MiB or more than 32 GiB", 0);

	/* The program's own memory first: it is not what is measured. */
	nr = area_len / step;
	ns = mmap(NULL, nr * sizeof(*ns), PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (ns == MAP_FAILED)
		die(EXIT_INFRA, "no memory", errno);
	if (log)
		read_log(log);
	map_area();
	if (twice)
		use_before();
	touch(ns);
	if (huge)
		sort_huge(name, ns);
	else
		sort_pages(name, ns);
	err = log ? pages__log_used(log, area, area_len) : 0;
	if (err)
		die(EXIT_INFRA, log, -err);
	return 0;
}
