// SPDX-License-Identifier: GPL-2.0-only
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/time.h"
#include "common/zoneinfo.h"
#include "trace/proc.h"
#include "trace/sample.h"

#define TEXT_BYTES	(512 * 1024)

static int open_proc(const char *path, int *fd)
{
	int err;

	*fd = open(path, O_RDONLY | O_CLOEXEC);
	if (*fd >= 0)
		return 0;
	err = -errno;
	fprintf(stderr, "hinttrace: cannot open %s: %s; is procfs mounted?\n", path,
		strerror(-err));
	return err;
}

int proc_sampler__init(struct proc_sampler *s)
{
	int err;

	memset(s, 0, sizeof(*s));
	s->zoneinfo_fd = -1;
	s->vmstat_fd = -1;
	s->text = malloc(TEXT_BYTES);
	if (!s->text) {
		fprintf(stderr, "hinttrace: no memory to read /proc into\n");
		return -ENOMEM;
	}
	err = open_proc("/proc/zoneinfo", &s->zoneinfo_fd);
	return err ? err : open_proc("/proc/vmstat", &s->vmstat_fd);
}

void proc_sampler__free(struct proc_sampler *s)
{
	if (s->zoneinfo_fd >= 0)
		close(s->zoneinfo_fd);
	if (s->vmstat_fd >= 0)
		close(s->vmstat_fd);
	free(s->text);
	s->text = NULL;
}

/*
 * The copy a lookup makes can be torn: it counts when two in a row agree and
 * no writer was inside. 0, 1 when it is torn, or -errno.
 */
static int read_zone_state(int fd, __u32 node, __u32 zone, struct zone_state *st)
{
	__u32 key = node * HINT_NR_ZONES + zone;
	struct zone_state again;

	memset(st, 0, sizeof(*st));
	if (fd < 0 || node >= HINT_NR_NODES || zone >= HINT_NR_ZONES)
		return 0;
	for (int try = 0; try < 8; try++) {
		if (bpf_map_lookup_elem(fd, &key, st) || bpf_map_lookup_elem(fd, &key, &again))
			return -errno;
		if (!(st->seq & 1) && !memcmp(st, &again, sizeof(again)))
			return 0;
	}
	return 1;
}

static int read_zones(struct proc_sampler *s, const struct loaded *l, struct sample_rec *rec)
{
	long len = proc_file__read(s->zoneinfo_fd, s->text, TEXT_BYTES);
	int nr;

	if (len < 0)
		return (int)len;
	nr = zoneinfo__parse(s->text, s->zones, HINT_SAMPLE_ZONES);
	if (nr < 0)
		return nr;
	for (int i = 0; i < nr; i++) {
		struct zone_sample *z = &rec->zones[i];
		int torn;

		z->node = s->zones[i].node;
		z->zone = s->zones[i].zone;
		z->free_pages = s->zones[i].free_pages;
		torn = read_zone_state(l->zone_state_fd, z->node, z->zone, &z->st);
		if (torn < 0)
			return torn;
		rec->nr_torn += (__u32)torn;
	}
	rec->nr_zones = (__u32)nr;
	s->nr_zones = (size_t)nr;
	return 0;
}

static int read_counts(struct proc_sampler *s, struct sample_rec *rec)
{
	/* Direct reclaim is counted by the zone that was asked for. */
	static const char *const stalls[] = {
		"allocstall_dma", "allocstall_dma32", "allocstall_normal", "allocstall_movable",
	};
	enum { NR_STALLS = sizeof(stalls) / sizeof(stalls[0]) };
	long len = proc_file__read(s->vmstat_fd, s->text, TEXT_BYTES);
	__u64 values[NR_STALLS];

	if (len < 0)
		return (int)len;
	/* A kernel without swap, compaction or one of the zones has no line for it: 0. */
	proc_text__u64s(s->text, sample_count_names, rec->counts, NR_SAMPLE_COUNTS);
	proc_text__u64s(s->text, stalls, values, NR_STALLS);
	for (int i = 0; i < NR_STALLS; i++)
		rec->counts[COUNT_ALLOCSTALL] += values[i];
	return 0;
}

int proc_sampler__take(struct proc_sampler *s, const struct loaded *l, struct sample_rec *rec)
{
	int err;

	memset(rec, 0, sizeof(*rec));
	rec->hdr.t_ns = time__now_ns();
	err = read_zones(s, l, rec);
	if (!err)
		err = read_counts(s, rec);
	rec->took_ns = time__now_ns() - rec->hdr.t_ns;
	s->nr_torn += rec->nr_torn;
	if (err && !s->complained) {
		fprintf(stderr, "hinttrace: cannot take a sample: %s\n", strerror(-err));
		s->complained = true;
	}
	return err;
}
