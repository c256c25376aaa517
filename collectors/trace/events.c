// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "common/time.h"
#include "trace/events.h"
#include "trace/metrics.h"
#include "trace/sample.h"
#include "trace/text.h"

const char *rec__kind(__u16 type)
{
#define CASE(id, name, probe, what)	case REC_##id: return #name;
	switch (type) {
	HINT_KINDS(CASE)
	}
#undef CASE
	return NULL;
}

static int kind_probe(__u16 type)
{
#define CASE(id, name, probe, what)	case REC_##id: return PROBE_##probe;
	switch (type) {
	HINT_KINDS(CASE)
	case REC_SAMPLE:
		return PROBE_SAMPLE;
	}
#undef CASE
	return -EBADMSG;
}

const struct shortage *rec__shortage(const struct rec_hdr *hdr)
{
#define CASE(id, name, probe, what) \
	case REC_##id: return &((const struct name##_rec *)hdr)->s;
	switch (hdr->type) {
	HINT_SHORTAGE_KINDS(CASE)
	}
#undef CASE
	return NULL;
}

int rec__check(const void *data, size_t size)
{
	const struct rec_hdr *hdr = data;
	const struct sample_rec *sample = data;
	const struct shortage *s;
	size_t want, head;

	if (size < sizeof(*hdr) || hdr->len > size || hdr->len < sizeof(*hdr))
		return -EBADMSG;
#define CASE(id, name, probe, what) \
	case REC_##id: \
		want = sizeof(struct name##_rec); \
		break;
	switch (hdr->type) {
	HINT_PLAIN_KINDS(CASE)
#undef CASE
	case REC_SAMPLE:
		if (hdr->len < SAMPLE_REC_LEN(0) || sample->nr_zones > HINT_SAMPLE_ZONES)
			return -EBADMSG;
		want = SAMPLE_REC_LEN(sample->nr_zones);
		break;
	default:
		s = rec__shortage(hdr);
		head = (size_t)((const char *)s - (const char *)hdr) +
		       offsetof(struct shortage, zones);
		if (!s || hdr->len < head || s->nr_zones > HINT_MAX_SNAP_ZONES)
			return -EBADMSG;
		want = head + s->nr_zones * sizeof(struct zone_snap);
	}
	return hdr->len == want ? kind_probe(hdr->type) : -EBADMSG;
}

/* ---- JSON: one function for each `as` of hint_events.h ---- */

/* A name may be cut, but comes NUL-terminated from the kernel; the copy makes sure. */
static void put_comm(struct jw *w, const char *key, const char *comm)
{
	char copy[HINT_COMM_LEN + 1];

	snprintf(copy, sizeof(copy), "%.*s", HINT_COMM_LEN, comm);
	jw__str(w, key, copy);
}

static void put_text(struct jw *w, const char *key, const char *text, size_t size)
{
	char copy[256];

	snprintf(copy, sizeof(copy), "%.*s", (int)size, text);
	jw__str(w, key, copy);
}

static void put_constraint(struct jw *w, const char *key, __u8 c)
{
	static const char *const names[] = {
		[HINT_NONE] = "none", [HINT_CPUSET] = "cpuset",
		[HINT_MEMORY_POLICY] = "memory_policy", [HINT_MEMCG] = "memcg",
		[HINT_THISNODE] = "thisnode", [HINT_UNKNOWN] = "unknown",
	};

	jw__str(w, key, names[c < HINT_UNKNOWN ? c : HINT_UNKNOWN]);
}

static void put_nodes(struct jw *w, const char *key, __u64 nodes)
{
	if (!nodes)
		return;
	jw__arr_begin(w, key);
	for (__u64 node = 0; node < HINT_NR_NODES; node++) {
		if (nodes & (1ULL << node))
			jw__u64(w, NULL, node);
	}
	jw__arr_end(w);
}

static void put_counts(struct jw *w, const char *key, const __u32 *counts)
{
	int last = HINT_NR_ORDERS - 1;

	jw__arr_begin(w, key);
	while (last >= 0 && !counts[last])
		last--;
	for (int o = 0; o <= last; o++)
		jw__u64(w, NULL, counts[o]);
	jw__arr_end(w);
}

static void put_pairs(struct jw *w, const char *key, const __u32 *counts)
{
	jw__arr_begin(w, key);
	for (int o = 0; o < HINT_NR_ORDERS; o++) {
		if (!counts[o])
			continue;
		jw__arr_begin(w, NULL);
		jw__u64(w, NULL, (__u64)o);
		jw__u64(w, NULL, counts[o]);
		jw__arr_end(w);
	}
	jw__arr_end(w);
}

#define AS_u64(w, key, v)	jw__u64(w, key, v)
#define AS_s64(w, key, v)	jw__s64(w, key, v)
#define AS_flag(w, key, v)	jw__bool(w, key, v)
#define AS_maybe(w, key, v)	((v) == HINT_UNKNOWN ? (void)0 : jw__bool(w, key, v))
#define AS_known(w, key, v)	((v) == ~0U ? (void)0 : jw__u64(w, key, v))
#define AS_comm(w, key, v)	put_comm(w, key, v)
#define AS_text(w, key, v)	put_text(w, key, v, sizeof(v))
#define AS_constraint(w, key, v) put_constraint(w, key, v)
#define AS_nodes(w, key, v)	put_nodes(w, key, v)
#define AS_counts(w, key, v)	put_counts(w, key, v)
#define AS_pairs(w, key, v)	put_pairs(w, key, v)
#define AS_none(w, key, v)	((void)0)

#define PUT_FIELD(as, type, name, dimension)	AS_##as(w, #name, r->name);

/* A function put_NAME() that writes the fields of r, and what has them. */
#define PUTTER(name, what, fields) \
	static void put_##name(struct jw *w, const what *r) \
	{ \
		fields(PUT_FIELD) \
	}
PUTTER(zone, struct zone_snap, ZONE_FIELDS)
PUTTER(shortage, struct shortage, SHORTAGE_FIELDS)
PUTTER(open_batch, struct batch_rec, BATCH_OPEN_FIELDS)
#define PUT_KIND(id, name, probe, what)	PUTTER(name, struct name##_rec, id##_FIELDS)
HINT_KINDS(PUT_KIND)

static void put_zones(struct jw *w, const struct shortage *s)
{
	jw__arr_begin(w, "zones");
	for (int i = 0; i < s->nr_zones; i++) {
		jw__obj_begin(w, NULL);
		put_zone(w, &s->zones[i]);
		jw__obj_end(w);
	}
	jw__arr_end(w);
	if (s->zones_missing)
		jw__bool(w, "zones_missing", true);
}

/* Did the toolkit itself ask? In an interrupt nobody did. */
static bool is_own(const struct events *e, const struct rec_hdr *hdr, const struct shortage *s)
{
	if (s->in_interrupt)
		return false;
	if (hdr->tgid == e->tgid)
		return true;
	for (unsigned int i = 0; i < e->nr_own; i++) {
		if (!strncmp(hdr->comm, e->own[i], HINT_COMM_LEN - 1))
			return true;
	}
	return false;
}

static struct jw *begin_event(const struct rec_hdr *hdr)
{
	struct jw *w = out__begin("event", hdr->t_ns);

	jw__str(w, "kind", rec__kind(hdr->type));
	jw__u64(w, "cpu", hdr->cpu);
	jw__u64(w, "pid", hdr->tgid);
	jw__u64(w, "tid", hdr->tid);
	put_comm(w, "comm", hdr->comm);
	return w;
}

/* Bytes kept, or -errno. */
static long put_event(const struct events *e, const struct rec_hdr *hdr)
{
	const struct shortage *s = rec__shortage(hdr);
	struct jw *w = begin_event(hdr);

#define CASE(id, name, probe, what) \
	case REC_##id: \
		put_##name(w, (const struct name##_rec *)hdr); \
		break;
	switch (hdr->type) {
	HINT_KINDS(CASE)
	}
#undef CASE
	if (s) {
		put_shortage(w, s);
		jw__bool(w, "own", is_own(e, hdr, s));
		put_zones(w, s);
	}
	return out__keep(e->out);
}

int events__put_open_batch(struct events *e, const struct batch_rec *batch, __u64 t_ns)
{
	struct jw *w;

	if (!out__wants_json(e->out))
		return 0;
	w = out__begin("event", t_ns);
	jw__str(w, "kind", rec__kind(REC_BATCH));
	jw__bool(w, "open", true);
	put_open_batch(w, batch);
	return out__end(e->out);
}

/* ---- the names of all that ---- */

void events__list_fields(FILE *to)
{
#define FIELD(as, type, name, dimension) \
	if (strcmp(#as, "none")) \
		fprintf(to, "%s " #name " " #as "\n", of);
#define KIND(id, name, probe, what) \
	do { \
		const char *of = #name; \
		id##_FIELDS(FIELD) \
	} while (0);
	HINT_KINDS(KIND)
#undef KIND
	const char *of = "shortage";

	SHORTAGE_FIELDS(FIELD)
	of = "zone";
	ZONE_FIELDS(FIELD)
#undef FIELD
}

void events__flush(struct events *e, bool force)
{
	long left = out__flush(e->out, force);

	if (left > 0)
		return;
	for (int p = 0; p < NR_PROBES; p++) {
		if (left < 0)
			e->nr_unwritten[p] += e->nr_kept[p];
		e->nr_kept[p] = 0;
	}
}

/* len: of all lines kept, or -errno. */
static void count_line(struct events *e, int probe, long len)
{
	if (len < 0)
		e->nr_unwritten[probe]++;
	else
		e->nr_kept[probe]++;
	if (len >= OUT_ENOUGH_BYTES)
		events__flush(e, false);
}

static void copy_sample(struct sample_rec *to, const struct sample_rec *rec)
{
	memcpy(to, rec, SAMPLE_REC_LEN(rec->nr_zones));
}

void events__end_samples(struct events *e)
{
	if (!e->unchanged.nr_zones)
		return;
	e->nr_left_out--;
	count_line(e, PROBE_SAMPLE, sample__put(e->out, &e->unchanged));
	e->unchanged.nr_zones = 0;
}

void events__put_sample(struct events *e, const struct sample_rec *rec)
{
	bool same = e->last.nr_zones && sample__same(&e->last, rec);

	if (same && rec->hdr.t_ns - e->last.hdr.t_ns < SAMPLE_MAX_GAP_NS) {
		e->nr_left_out++;
		copy_sample(&e->unchanged, rec);
		return;
	}
	/* A change began after the last sample without it. */
	if (!same)
		events__end_samples(e);
	e->unchanged.nr_zones = 0;
	copy_sample(&e->last, rec);
	count_line(e, PROBE_SAMPLE, sample__put(e->out, rec));
}

/* A request that had to wait, or got nothing, tells of memory that is short. */
static void note_shortage(struct events *e, const struct rec_hdr *hdr)
{
	if (e->out->memory && (hdr->type == REC_DIRECT_RECLAIM || hdr->type == REC_OOM_KILL))
		memory__stalled(e->out->memory, time__now_ns());
}

int events__handle(void *ctx, void *data, size_t size)
{
	struct events *e = ctx;
	int probe = rec__check(data, size);
	const struct shortage *s;

	if (e->forget)
		return 0;
	if (probe < 0) {
		e->nr_bad++;
		return 0;
	}
	note_shortage(e, data);
	s = rec__shortage(data);
	if (probe == PROBE_SAMPLE)
		e->nr_torn += ((const struct sample_rec *)data)->nr_torn;
	if (out__wants_json(e->out) && probe == PROBE_SAMPLE)
		events__put_sample(e, data);
	else if (out__wants_json(e->out))
		count_line(e, probe, put_event(e, data));
	if (e->out->human && probe != PROBE_SAMPLE)
		text__event(stdout, data, s && is_own(e, data, s));
	if (e->metrics && s && ((const struct rec_hdr *)data)->type == REC_OOM_KILL)
		metrics__kill(e->metrics, data, is_own(e, data, s));
	if (e->screen)
		screen__record(e->screen, data, s && is_own(e, data, s));
	return 0;
}
