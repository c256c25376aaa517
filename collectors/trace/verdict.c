// SPDX-License-Identifier: GPL-2.0-only
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "trace/gfp.h"
#include "trace/verdict.h"

/* Pages are isolated by pageblock: 2 MiB on x86-64 with huge pages configured. */
#define PAGEBLOCK_ORDER 9
#define PAGEBLOCK_PAGES (1LL << PAGEBLOCK_ORDER)

/* As in analysis/judge/judge.py. */
#define MAX_STATE_AGE_NS 1000000000LL
#define MAX_CLOCK_SKEW_NS 1000000LL

#define OVER	"the shortage was over"
#define BLOCKS	"the only large enough free blocks may be isolated, or in a reserve or CMA area that " \
		"this request may not use"

const char *const verdict_names[NR_VERDICTS] = { "attributable", "genuine", "undetermined" };

const char *zone__name(__u32 zone)
{
	static const char *const names[] = { "DMA", "DMA32", "Normal", "Movable", "Device" };

	return zone < sizeof(names) / sizeof(names[0]) ? names[zone] : "?";
}

static __s64 most(__s64 a, __s64 b)
{
	return a > b ? a : b;
}

static enum truth both(enum truth a, enum truth b)
{
	if (a == TRUTH_NO || b == TRUTH_NO)
		return TRUTH_NO;
	return a == TRUTH_OPEN || b == TRUTH_OPEN ? TRUTH_OPEN : TRUTH_YES;
}

static enum truth either(enum truth a, enum truth b)
{
	if (a == TRUTH_YES || b == TRUTH_YES)
		return TRUTH_YES;
	return a == TRUTH_OPEN || b == TRUTH_OPEN ? TRUTH_OPEN : TRUTH_NO;
}

/* ---- the watermark test of one zone ---- */

static __s64 lowered_mark(__s64 mark, const struct alloc_rights *r)
{
	if (r->no_watermarks)
		return 0;
	if (r->min_reserve) {
		mark -= mark / 2;
		if (r->non_block)
			mark -= mark / 4;
	}
	if (r->oom)
		mark -= mark / 2;
	return mark;
}

static __s64 min_mark(const struct zone_snap *z, unsigned int order, const struct alloc_rights *r)
{
	/* The boost does not hold against an order-0 __GFP_HIGH request. */
	__s64 boost = order == 0 && r->min_reserve ? 0 : z->boost_pages;

	return lowered_mark((__s64)z->min_pages + boost, r);
}

static __s64 listed_pages(const struct zone_snap *z, unsigned int least_order)
{
	__s64 pages = 0;

	for (unsigned int o = least_order; o < HINT_NR_ORDERS; o++)
		pages += (__s64)z->nr_free_by_order[o] << o;
	return pages;
}

static __s64 held_listed(const struct zone_snap *z, unsigned int least_order)
{
	__s64 pages = 0;

	for (unsigned int o = least_order; o < HINT_NR_ORDERS; o++)
		pages += (__s64)z->held_by_order[o] << o;
	return pages;
}

static bool isolated_known(const struct zone_snap *z)
{
	return z->isolated_pageblocks != ~0U;
}

static __s64 listed_excess(const struct zone_snap *z)
{
	return z->isolated_pageblocks ? most(listed_pages(z, 0) - z->free_pages, 0) : 0;
}

/* A chunk taken while F, the lists and H were read, one after the other. */
static __s64 left_between_reads(const struct zone_snap *z)
{
	__s64 lacking = (__s64)z->free_pages - listed_pages(z, 0);

	for (unsigned int o = 0; o < HINT_NR_ORDERS; o++)
		if (z->held_by_order[o])
			return lacking >= 1LL << o ? lacking : 0;
	return 0;
}

static __s64 held_in_isolated(const struct zone_snap *z)
{
	__s64 excess = listed_excess(z);

	if (!isolated_known(z))
		return excess >= PAGEBLOCK_PAGES ? z->held_pages : 0;
	return most((__s64)z->isolated_pageblocks * PAGEBLOCK_PAGES - excess, 0);
}

static void uncompensated_band(const struct zone_snap *z, __s64 *low, __s64 *high)
{
	__s64 held = z->held_pages, uncompensated = z->uncompensated_pages;
	__s64 torn = held_listed(z, 0) - held;

	torn = (torn < 0 ? -torn : torn) + most(uncompensated - held, 0);
	*low = most(uncompensated - torn - left_between_reads(z) - held_in_isolated(z), 0);
	*high = uncompensated + torn;
}

static enum truth free_block(const struct zone_snap *z, unsigned int order,
			   const struct alloc_rights *r)
{
	__s64 isolated = isolated_known(z) ? z->isolated_pageblocks * PAGEBLOCK_PAGES : 0;
	__s64 pages = listed_pages(z, order), excess = listed_excess(z), forbidden = 0;

	if (!r->highatomic && !r->oom)
		forbidden += z->highatomic_pages;
	if (!r->cma)
		forbidden += z->cma_pages;
	if (isolated && isolated == excess && order <= PAGEBLOCK_ORDER)
		pages -= excess;
	else
		forbidden += most(excess, isolated);
	if (pages <= 0)
		return TRUTH_NO;
	return pages <= forbidden ? TRUTH_OPEN : TRUTH_YES;
}

static enum truth held_block(const struct zone_snap *z, unsigned int order)
{
	__s64 low, high, large = held_listed(z, order);

	uncompensated_band(z, &low, &high);
	if (!large || !high)
		return TRUTH_NO;
	return low > held_listed(z, 0) - large ? TRUTH_YES : TRUTH_OPEN;
}

static struct check check_zone(const struct zone_snap *z, unsigned int order,
			       const struct alloc_rights *r, __s64 extra, enum truth extra_block)
{
	bool reserves = r->min_reserve || r->non_block || r->highatomic || r->oom;
	struct check c = {
		.free = z->free_pages + extra,
		.unusable = (1LL << order) - 1 + (reserves ? 0 : z->highatomic_pages) +
			    (r->cma ? 0 : z->cma_pages),
		.mark = min_mark(z, order, r),
		.reserve = r->no_watermarks ? 0 : z->reserve_pages,
		.block = TRUTH_YES,
	};

	if (order)
		c.block = either(free_block(z, order, r), extra_block);
	c.passes = both(check__usable(&c) > check__need(&c) ? TRUTH_YES : TRUTH_NO, c.block);
	return c;
}

static void judge_zone(struct zone_verdict *v, const struct zone_snap *z, unsigned int order,
		       const struct alloc_rights *r)
{
	enum truth block = held_block(z, order), least;
	__s64 low, high;

	uncompensated_band(z, &low, &high);
	v->zone = z;
	v->without = check_zone(z, order, r, 0, TRUTH_NO);
	least = check_zone(z, order, r, low, block).passes;
	v->with_held = check_zone(z, order, r, high, block);
	if (least != v->with_held.passes)
		v->with_held.passes = TRUTH_OPEN;
}

/* ---- a request of which all is known ---- */

static void decide(struct verdict *v, enum verdict_kind kind, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void decide(struct verdict *v, enum verdict_kind kind, const char *fmt, ...)
{
	va_list ap;

	v->kind = kind;
	va_start(ap, fmt);
	vsnprintf(v->reason, sizeof(v->reason), fmt, ap);
	va_end(ap);
}

static bool merge_could_help(const struct zone_verdict *v)
{
	return v->with_held.block == TRUTH_NO && !check__shortfall(&v->with_held) &&
	       v->zone->uncompensated_pages;
}

static bool decides_nothing(const struct zone_verdict *v)
{
	return v->with_held.passes == TRUTH_OPEN && v->without.block == TRUTH_OPEN;
}

#define ANY(v, found, cond) \
	({ \
		const struct zone_verdict *found = NULL; \
		for (__u32 i_ = 0; i_ < (v)->nr_zones; i_++) { \
			const struct zone_verdict *z = &(v)->zones[i_]; \
			if (!found && (cond)) \
				found = z; \
		} \
		found; \
	})

static void judge_zones(struct verdict *v, const struct oom_kill_rec *kill, __u64 nodes,
			const struct alloc_rights *r)
{
	const struct shortage *s = &kill->s;
	const struct zone_verdict *over;

	v->nr_zones = 0;
	for (int i = 0; i < s->nr_zones; i++) {
		const struct zone_snap *z = &s->zones[i];

		if (z->zone <= s->highest_zoneidx && (nodes & (1ULL << z->node)))
			judge_zone(&v->zones[v->nr_zones++], z, s->order, r);
	}
	over = ANY(v, found, z->without.passes == TRUTH_YES);
	if (over)
		decide(v, VERDICT_UNDETERMINED,
		       "when sampled, node %u zone %u (%s) had %lld usable pages, more than the %lld needed: "
		       OVER, over->zone->node, over->zone->zone, zone__name(over->zone->zone),
		       check__usable(&over->without), check__need(&over->without));
	else if (ANY(v, found, z->without.passes == TRUTH_OPEN))
		decide(v, VERDICT_UNDETERMINED, BLOCKS);
	else if (ANY(v, found, z->with_held.passes == TRUTH_YES))
		decide(v, VERDICT_ATTRIBUTABLE, "%s", "");
	else if (ANY(v, found, decides_nothing(z)))
		decide(v, VERDICT_UNDETERMINED, BLOCKS);
	else if (ANY(v, found, z->with_held.passes == TRUTH_OPEN))
		decide(v, VERDICT_UNDETERMINED,
		       "free and held pages were not sampled closely enough to decide");
	else if (ANY(v, found, merge_could_help(z)))
		decide(v, VERDICT_UNDETERMINED,
		       "only merging held chunks with free neighbours could have made the block");
	else
		decide(v, VERDICT_GENUINE, "%s", "");
}

/* ---- what a record leaves open is tried both ways ---- */

struct open {
	__u64 choices[HINT_MAX_SNAP_ZONES];
	int nr;
	const char *why;
};

static struct open settled(__u64 choice)
{
	return (struct open){ .choices = { choice }, .nr = 1 };
}

static struct open right(bool has, bool in_task, const char *why)
{
	if (!has || in_task)
		return settled(has);
	return (struct open){ .choices = { false, true }, .nr = 2, .why = why };
}

static __u64 nodes_recorded(const struct shortage *s)
{
	__u64 nodes = 0;

	for (int i = 0; i < s->nr_zones; i++)
		nodes |= 1ULL << s->zones[i].node;
	return nodes;
}

static bool is_bound(__u8 constraint)
{
	return constraint == HINT_CPUSET || constraint == HINT_MEMORY_POLICY ||
	       constraint == HINT_THISNODE;
}

static struct open nodes_open(const struct shortage *s)
{
	__u64 nodes = nodes_recorded(s), allowed = s->allowed_nodes;
	struct open o = { .nr = 0 };
	bool bound = is_bound(s->constraint) || (s->gfp & GFP_BIT_THISNODE);

	if (allowed) {
		if (!((s->pf_memalloc || s->oom_victim) && (nodes & ~allowed) &&
		      s->constraint != HINT_THISNODE))
			return settled(allowed);
		return (struct open){ .choices = { allowed, nodes | allowed }, .nr = 2,
				      .why = "a task with these rights may leave its nodes" };
	}
	if (!bound && s->constraint == HINT_NONE)
		return settled(nodes);
	for (int node = 0; node < HINT_NR_NODES; node++)
		if (nodes & (1ULL << node))
			o.choices[o.nr++] = 1ULL << node;
	if (!bound)
		o.why = "the record does not say which nodes the request could use";
	else if (s->constraint == HINT_CPUSET)
		o.why = "the request was bound by a cpuset and the record does not say which nodes that left";
	else if (s->constraint == HINT_MEMORY_POLICY)
		o.why = "the request was bound by a memory policy and the record does not say which nodes that left";
	else
		o.why = "the request was bound to one node and the record does not say which nodes that left";
	return o;
}

static bool impossible(struct verdict *v, const struct oom_kill_rec *kill)
{
	const struct shortage *s = &kill->s;
	__u64 recorded = nodes_recorded(s);
	bool any = false, bound_to_one = !s->allowed_nodes && is_bound(s->constraint) &&
					 !(recorded & (recorded - 1));

	for (int i = 0; i < s->nr_zones; i++)
		any |= s->zones[i].zone <= s->highest_zoneidx;
	if (!s->nr_zones || (!any && !s->allowed_nodes && !bound_to_one)) {
		decide(v, VERDICT_UNDETERMINED,
		       "the record has no state of a zone this request may use");
	} else if (s->allowed_nodes & ~recorded) {
		size_t len = (size_t)snprintf(v->reason, sizeof(v->reason), "no zone of node ");
		const char *comma = "";

		for (int node = 0; node < HINT_NR_NODES; node++) {
			if (!(s->allowed_nodes & ~recorded & (1ULL << node)))
				continue;
			len += (size_t)snprintf(v->reason + len, sizeof(v->reason) - len, "%s%d",
						comma, node);
			comma = ", ";
		}
		snprintf(v->reason + len, sizeof(v->reason) - len, ", which the request may use");
		v->kind = VERDICT_UNDETERMINED;
	} else if (bound_to_one) {
		decide(v, VERDICT_UNDETERMINED,
		       "the request was bound, and its nodes are not in the record");
	} else {
		return false;
	}
	return true;
}

enum { DIM_RECLAIM, DIM_VICTIM, DIM_NODES, NR_DIMS };
#define MAX_WORLDS (2 * 2 * HINT_MAX_SNAP_ZONES)

struct worlds {
	struct open open[NR_DIMS];
	enum verdict_kind kind[MAX_WORLDS];
	int nr;
};

/* World i, counted as itertools.product() does: the last dimension runs fastest. */
static void choices_of(const struct worlds *w, int i, int *at)
{
	for (int d = NR_DIMS - 1; d >= 0; d--) {
		at[d] = i % w->open[d].nr;
		i /= w->open[d].nr;
	}
}

static void judge_world(struct verdict *v, const struct oom_kill_rec *kill, const struct worlds *w,
			int i)
{
	struct alloc_rights r;
	int at[NR_DIMS];

	choices_of(w, i, at);
	r = gfp__rights(kill->s.gfp, kill->s.order, w->open[DIM_RECLAIM].choices[at[DIM_RECLAIM]],
			w->open[DIM_VICTIM].choices[at[DIM_VICTIM]]);
	judge_zones(v, kill, w->open[DIM_NODES].choices[at[DIM_NODES]], &r);
}

/* Worlds that differ in nothing but dimension d differ in the verdict. */
static bool dimension_decides(const struct worlds *w, int d)
{
	int a[NR_DIMS], b[NR_DIMS];

	for (int i = 0; i < w->nr; i++) {
		for (int j = 0; j < i; j++) {
			int same = 0;

			choices_of(w, i, a);
			choices_of(w, j, b);
			for (int k = 0; k < NR_DIMS; k++)
				same += k == d || a[k] == b[k];
			if (same == NR_DIMS && w->kind[i] != w->kind[j])
				return true;
		}
	}
	return false;
}

static void name_what_decides(struct verdict *v, const struct worlds *w)
{
	size_t len = 0;

	v->kind = VERDICT_UNDETERMINED;
	v->reason[0] = '\0';
	for (int d = 0; d < NR_DIMS; d++) {
		if (w->open[d].nr < 2 || !dimension_decides(w, d))
			continue;
		len += (size_t)snprintf(v->reason + len, sizeof(v->reason) - len, "%s%s",
					len ? "; " : "", w->open[d].why);
	}
}

static bool ends_in(const char *text, const char *end)
{
	size_t len = strlen(text), end_len = strlen(end);

	return len >= end_len && !strcmp(text + len - end_len, end);
}

static void judge_request(struct verdict *v, const struct oom_kill_rec *kill)
{
	const struct shortage *s = &kill->s;
	bool in_task = s->gfp & GFP_BIT_DIRECT_RECLAIM, none = s->gfp & GFP_BIT_NOMEMALLOC;
	bool same = true, likely_genuine = true, likely_other = false;
	int genuine = -1, at[NR_DIMS];
	struct worlds w = { .nr = 1 };

	w.open[DIM_RECLAIM] = right(s->pf_memalloc && !none, in_task,
		"whether the task's PF_MEMALLOC held where the request was made is not in the record");
	w.open[DIM_VICTIM] = right(s->oom_victim && !none, in_task,
		"whether the task was an OOM victim with its reserves is not in the record");
	w.open[DIM_NODES] = nodes_open(s);
	for (int d = 0; d < NR_DIMS; d++)
		w.nr *= w.open[d].nr;
	for (int i = 0; i < w.nr; i++) {
		bool has_rights;

		judge_world(v, kill, &w, i);
		choices_of(&w, i, at);
		has_rights = w.open[DIM_RECLAIM].choices[at[DIM_RECLAIM]] ||
			     w.open[DIM_VICTIM].choices[at[DIM_VICTIM]];
		w.kind[i] = v->kind;
		same &= v->kind == w.kind[0];
		if (v->kind == VERDICT_GENUINE && genuine < 0)
			genuine = i;
		/* A request that failed had no rights with which it would have passed. */
		if (!(has_rights && ends_in(v->reason, OVER)))
			likely_other |= v->kind != VERDICT_GENUINE;
	}
	likely_genuine = genuine >= 0 && !likely_other;
	judge_world(v, kill, &w, same || !likely_genuine ? 0 : genuine);
	if (!same && !likely_genuine)
		name_what_decides(v, &w);
}

/* Why a kill cannot be judged from its record. */
static bool obstacle(struct verdict *v, const struct oom_kill_rec *kill)
{
	__s64 age = (__s64)(kill->hdr.t_ns - kill->s.state_ns);

	if (!kill->culprit_comm[0])
		decide(v, VERDICT_UNDETERMINED, "the record does not have the request that failed");
	else if (kill->s.zones_missing)
		decide(v, VERDICT_UNDETERMINED, "more zones than the record can hold");
	else if (kill->memcg || kill->s.constraint == HINT_MEMCG)
		decide(v, VERDICT_UNDETERMINED, "the limit of a cgroup was short, not memory");
	else if (age < -MAX_CLOCK_SKEW_NS)
		decide(v, VERDICT_UNDETERMINED, "the zones were sampled %.1f ms after the event",
		       (double)-age / 1e6);
	else if (age > MAX_STATE_AGE_NS)
		decide(v, VERDICT_UNDETERMINED, "the zones were sampled %.1f s before the event",
		       (double)age / 1e9);
	else
		return false;
	return true;
}

void verdict__of_kill(struct verdict *v, const struct oom_kill_rec *kill)
{
	memset(v, 0, sizeof(*v));
	if (!obstacle(v, kill) && !impossible(v, kill))
		judge_request(v, kill);
}
