// SPDX-License-Identifier: GPL-2.0-only
/*
 * sample: the state of the whole guest at regular times, taken by a timer of
 * the kernel (a software perf event). Reading /proc/zoneinfo and /proc/vmstat
 * instead makes the kernel print, and the reader parse, some 200 numbers of
 * which a sample needs a dozen; and it wakes a process for each sample.
 *
 * Samples do not wake their reader, which comes once a second, unless half of
 * the ring is full.
 */
#include "vmlinux.h"
#include "hint_rec.h"
#include "hint_walk.bpf.h"

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, SAMPLES_BYTES);
} samples SEC(".maps");

/* The event fires on one CPU, and not while it is being handled: one sample at a time. */
struct sample_rec sample = {};

/* ---- zones ---- */

struct state_copy {
	const struct zone_state *from;
	struct zone_state *to;
	bool whole;
};

static long zone_state__try_copy(__u32 try, struct state_copy *c)
{
	__u64 seq = *(volatile __u64 *)&c->from->seq;

	barrier();
	*c->to = *c->from;
	barrier();
	c->whole = !(seq & 1) && seq == *(volatile __u64 *)&c->from->seq;
	return c->whole;
}

static long sample__zone(__u32 i, struct zone_walk *w)
{
	__u32 node = w->node, index = w->zone;
	struct state_copy copy = {};
	struct zone_sample *z;
	struct zone *zone;
	__u64 nr;

	if (zone_walk__ended(w))
		return 1;
	zone = zone_walk__next(w);
	if (!zone)
		return 0;
	nr = sample.nr_zones;
	barrier_var(nr);
	if (nr >= HINT_SAMPLE_ZONES)
		return 1;
	z = &sample.zones[nr];
	z->node = node;
	z->zone = index;
	z->free_pages = zone__free_pages(zone);
	copy.from = zone_state__at(node, index);
	copy.to = &z->st;
	if (copy.from) {
		bpf_loop(4, zone_state__try_copy, &copy, 0);
		sample.nr_torn += !copy.whole;
	} else {
		__builtin_memset(&z->st, 0, sizeof(z->st));
	}
	sample.nr_zones = nr + 1;
	return 0;
}

/* ---- counters ---- */

extern const struct vm_event_state vm_event_states __ksym __weak;

/* Some exist only with the zone or the feature they count for. */
enum vm_event_item___any {
	PSWPIN___any, PSWPOUT___any, ZSWPIN___any, ZSWPOUT___any, OOM_KILL___any,
	COMPACTSTALL___any, PGFAULT___any, PGMAJFAULT___any, ALLOCSTALL_DMA___any,
	ALLOCSTALL_DMA32___any, ALLOCSTALL_NORMAL___any, ALLOCSTALL_MOVABLE___any,
};

#define COUNT(to, events, item) \
	do { \
		if (bpf_core_enum_value_exists(enum vm_event_item___any, item##___any)) \
			sample.counts[to] += read_u64((events) + sizeof(long) * \
				bpf_core_enum_value(enum vm_event_item___any, item##___any)); \
	} while (0)

/* A CPU that went offline has left its counts to another. */
static long sample__cpu(__u32 cpu, void *ctx)
{
	const struct vm_event_state *state = bpf_per_cpu_ptr(&vm_event_states, cpu);
	const void *events;

	if (!state)
		return 1;
	events = __builtin_preserve_access_index(&state->event);
	COUNT(COUNT_PSWPIN, events, PSWPIN);
	COUNT(COUNT_PSWPOUT, events, PSWPOUT);
	COUNT(COUNT_ZSWPIN, events, ZSWPIN);
	COUNT(COUNT_ZSWPOUT, events, ZSWPOUT);
	COUNT(COUNT_OOM_KILL, events, OOM_KILL);
	COUNT(COUNT_COMPACT_STALL, events, COMPACTSTALL);
	COUNT(COUNT_PGFAULT, events, PGFAULT);
	COUNT(COUNT_PGMAJFAULT, events, PGMAJFAULT);
	COUNT(COUNT_ALLOCSTALL, events, ALLOCSTALL_DMA);
	COUNT(COUNT_ALLOCSTALL, events, ALLOCSTALL_DMA32);
	COUNT(COUNT_ALLOCSTALL, events, ALLOCSTALL_NORMAL);
	COUNT(COUNT_ALLOCSTALL, events, ALLOCSTALL_MOVABLE);
	return 0;
}

/* More than any x86 kernel is built for; the walk ends at the last possible CPU. */
#define MAX_CPUS	8192

SEC("perf_event")
int sample_guest(struct bpf_perf_event_data *ctx)
{
	struct probe_stat *stat = probe__seen(PROBE_SAMPLE);
	struct zone_walk w;
	__u64 flags, len;

	if (!stat)
		return 0;
	sample.hdr.t_ns = bpf_ktime_get_ns();
	sample.nr_zones = 0;
	sample.nr_torn = 0;
	__builtin_memset(sample.counts, 0, sizeof(sample.counts));
	if (zone_walk__begin(&w))
		bpf_loop(ZONE_WALK_STEPS, sample__zone, &w, 0);
	if (&vm_event_states)
		bpf_loop(MAX_CPUS, sample__cpu, NULL, 0);
	sample.took_ns = bpf_ktime_get_ns() - sample.hdr.t_ns;

	len = SAMPLE_REC_LEN(sample.nr_zones);
	barrier_var(len);
	if (len > sizeof(sample))
		len = sizeof(sample);
	sample.hdr.type = REC_SAMPLE;
	sample.hdr.len = len;
	flags = bpf_ringbuf_query(&samples, BPF_RB_AVAIL_DATA) > SAMPLES_BYTES / 2 ?
		BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP;
	if (bpf_ringbuf_output(&samples, &sample, len, flags))
		probe__dropped(stat, DROP_RING_FULL);
	else
		probe__recorded(stat);
	return 0;
}
