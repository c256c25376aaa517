// SPDX-License-Identifier: GPL-2.0-only
#include <string.h>

#include "trace/sample.h"

#define NAMED(id, name)	#name,

const char *const sample_count_names[NR_SAMPLE_COUNTS] = { SAMPLE_COUNTS(NAMED) };

/* What a CPU may lose to the host while it samples; usually it takes microseconds. */
#define SAMPLE_LONG_NS 1000000

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

bool sample__same(const struct sample_rec *a, const struct sample_rec *b)
{
	if (a->nr_zones != b->nr_zones || a->nr_torn || b->nr_torn ||
	    memcmp(a->counts, b->counts, sizeof(a->counts)))
		return false;
	return !memcmp(a->zones, b->zones, a->nr_zones * sizeof(a->zones[0]));
}

/*
 * A state can be a little younger than the sample's time: then its integrals
 * are those of its last change. Either way they never go back.
 */
long sample__put(struct out *out, const struct sample_rec *rec)
{
	__u64 held_ns = 0, uncompensated_ns = 0, nr_exchanges = 0, delta = 0;
	__u64 t_ns = rec->hdr.t_ns;
	struct jw *w = out__begin("sample", t_ns);

	jw__str(w, "src", "guest");
	if (rec->took_ns >= SAMPLE_LONG_NS)
		jw__u64(w, "took_ns", rec->took_ns);
	jw__arr_begin(w, "zones");
	for (__u32 i = 0; i < rec->nr_zones; i++) {
		const struct zone_sample *z = &rec->zones[i];
		const struct zone_state *st = &z->st;

		held_ns += zone_state__held_at(st, t_ns);
		uncompensated_ns += zone_state__uncompensated_at(st, t_ns);
		nr_exchanges += st->nr_exchanges;
		delta += st->exchange_free_delta_pages;
		jw__obj_begin(w, NULL);
		jw__u64(w, "node", z->node);
		jw__u64(w, "zone", z->zone);
		jw__u64(w, "free_pages", z->free_pages);
		jw__s64(w, "held_pages", st->held_pages);
		jw__s64(w, "uncompensated_pages", st->uncompensated_pages);
		jw__s64(w, "buffer_pages", st->buffer_pages);
		jw__obj_end(w);
	}
	jw__arr_end(w);
	jw__u64(w, "held_page_ns", held_ns);
	jw__u64(w, "uncompensated_page_ns", uncompensated_ns);
	jw__u64(w, "exchanges", nr_exchanges);
	jw__u64(w, "exchange_free_delta_pages", delta);
	jw__obj_begin(w, "vmstat");
	for (int i = 0; i < NR_SAMPLE_COUNTS; i++)
		jw__u64(w, sample_count_names[i], rec->counts[i]);
	jw__obj_end(w);
	return out__keep(out);
}
