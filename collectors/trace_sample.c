// SPDX-License-Identifier: GPL-2.0-only
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common_time.h"
#include "common_zoneinfo.h"
#include "trace_sample.h"

#define TEXT_BYTES	(1024 * 1024)
#define MAX_ZONES	64

static int open_proc(const char *path, int *fd)
{
	*fd = open(path, O_RDONLY | O_CLOEXEC);
	if (*fd >= 0)
		return 0;
	fprintf(stderr, "hinttrace: cannot open %s: %s; is procfs mounted?\n", path,
		strerror(errno));
	return -errno;
}

int sampler__init(struct sampler *s)
{
	int err;

	memset(s, 0, sizeof(*s));
	s->zoneinfo_fd = -1;
	s->vmstat_fd = -1;
	s->text = malloc(TEXT_BYTES);
	err = s->text ? open_proc("/proc/zoneinfo", &s->zoneinfo_fd) : -ENOMEM;
	return err ? err : open_proc("/proc/vmstat", &s->vmstat_fd);
}

void sampler__free(struct sampler *s)
{
	if (s->zoneinfo_fd >= 0)
		close(s->zoneinfo_fd);
	if (s->vmstat_fd >= 0)
		close(s->vmstat_fd);
	free(s->text);
	s->text = NULL;
}

static __u64 dt(const struct zone_state *st, __u64 t_ns)
{
	return st->changed_ns && t_ns > st->changed_ns ? t_ns - st->changed_ns : 0;
}

__u64 zone_state__held_at(const struct zone_state *st, __u64 t_ns)
{
	return st->held_page_ns + (__u64)st->held_pages * dt(st, t_ns);
}

__u64 zone_state__uncompensated_at(const struct zone_state *st, __u64 t_ns)
{
	return st->uncompensated_page_ns + (__u64)st->uncompensated_pages * dt(st, t_ns);
}

/* The copy a lookup makes can be torn: it counts when two in a row agree and no writer was inside. */
static int read_zone_state(struct sampler *s, int fd, __u32 node, __u32 zone,
			   struct zone_state *st)
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
	s->nr_torn++;
	return 0;
}

static int put_zones(struct sampler *s, const struct loaded *l, struct jw *w)
{
	struct zoneinfo_zone zones[MAX_ZONES];
	__u64 held_ns = 0, uncompensated_ns = 0, nr_exchanges = 0, delta = 0;
	struct zone_state st;
	int nr, err;
	long len;

	len = proc_file__read(s->zoneinfo_fd, s->text, TEXT_BYTES);
	if (len < 0)
		return (int)len;
	nr = zoneinfo__parse(s->text, zones, MAX_ZONES);
	if (nr < 0)
		return nr;
	jw__arr_begin(w, "zones");
	for (int i = 0; i < nr; i++) {
		err = read_zone_state(s, l->zone_state_fd, zones[i].node, zones[i].zone, &st);
		if (err)
			return err;
		/* Later than the last change, so the integrals do not go back. */
		held_ns += zone_state__held_at(&st, time__now_ns());
		uncompensated_ns += zone_state__uncompensated_at(&st, time__now_ns());
		nr_exchanges += st.nr_exchanges;
		delta += st.exchange_free_delta_pages;
		jw__obj_begin(w, NULL);
		jw__u64(w, "node", zones[i].node);
		jw__u64(w, "zone", zones[i].zone);
		jw__u64(w, "free_pages", zones[i].free_pages);
		jw__s64(w, "held_pages", st.held_pages);
		jw__s64(w, "uncompensated_pages", st.uncompensated_pages);
		jw__s64(w, "buffer_pages", st.buffer_pages);
		jw__obj_end(w);
	}
	jw__arr_end(w);
	jw__u64(w, "held_page_ns", held_ns);
	jw__u64(w, "uncompensated_page_ns", uncompensated_ns);
	jw__u64(w, "exchanges", nr_exchanges);
	jw__u64(w, "exchange_free_delta_pages", delta);
	return 0;
}

static int put_vmstat(struct sampler *s, struct jw *w)
{
	/* A kernel without swap, compaction or one of the zones has no line for it: 0. */
	static const char *const names[] = {
		"pswpin", "pswpout", "zswpin", "zswpout", "oom_kill", "compact_stall",
		"pgfault", "pgmajfault",
		/* summed up as allocstall */
		"allocstall_dma", "allocstall_dma32", "allocstall_normal", "allocstall_movable",
	};
	enum { NR_SINGLE = 8, NR_NAMES = sizeof(names) / sizeof(names[0]) };
	__u64 values[NR_NAMES], allocstall = 0;
	long len = proc_file__read(s->vmstat_fd, s->text, TEXT_BYTES);

	if (len < 0)
		return (int)len;
	proc_text__u64s(s->text, names, values, NR_NAMES);
	jw__obj_begin(w, "vmstat");
	for (int i = 0; i < NR_SINGLE; i++)
		jw__u64(w, names[i], values[i]);
	for (int i = NR_SINGLE; i < NR_NAMES; i++)
		allocstall += values[i];
	jw__u64(w, "allocstall", allocstall);
	jw__obj_end(w);
	return 0;
}

int sampler__put(struct sampler *s, const struct loaded *l, struct out *out)
{
	struct jw *w;
	int err;

	if (!out__wants_json(out))
		return 0;
	w = out__begin("sample", time__now_ns());
	jw__str(w, "src", "guest");
	err = put_zones(s, l, w);
	if (!err)
		err = put_vmstat(s, w);
	if (!err)
		return out__end(out);
	if (!s->complained)
		fprintf(stderr, "hinttrace: cannot take a sample: %s\n", strerror(-err));
	s->complained = true;
	return err;
}
