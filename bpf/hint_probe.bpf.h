/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What every object has: the counters of its probes, its histograms if it
 * defines NR_HISTS, and the head of a record. Include after vmlinux.h.
 */
#ifndef HINT_PROBE_BPF_H
#define HINT_PROBE_BPF_H

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include "hint_hist.h"
#include "hint_rec.h"

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, NR_PROBES);
	__type(key, __u32);
	__type(value, struct probe_stat);
} probe_stats SEC(".maps");

/*
 * Tracing programs migrate-disable but may be preempted by another one on the
 * same CPU, hence atomic additions to per-CPU values; they are uncontended.
 */
static __always_inline void add(__u64 *counter, __u64 n)
{
	__sync_fetch_and_add(counter, n);
}

/* Returns a stat of which seen has been counted, or NULL (never, for a constant probe). */
static __always_inline struct probe_stat *probe__seen(__u32 probe)
{
	struct probe_stat *stat = bpf_map_lookup_elem(&probe_stats, &probe);

	if (stat)
		add(&stat->seen, 1);
	return stat;
}

static __always_inline void probe__recorded(struct probe_stat *stat)
{
	add(&stat->recorded, 1);
}

static __always_inline void probe__dropped(struct probe_stat *stat, enum hint_drop why)
{
	add(&stat->dropped[why], 1);
}

/* Clocks of two CPUs may differ by a little: never less than 0, and counted when it would be. */
static __always_inline __u64 clock__since(struct probe_stat *stat, __u64 now, __u64 then)
{
	if (now >= then)
		return now - then;
	if (stat)
		add(&stat->backward, 1);
	return 0;
}

/* Now, and never before then. */
static __always_inline __u64 clock__now_after(struct probe_stat *stat, __u64 then)
{
	return then + clock__since(stat, bpf_ktime_get_ns(), then);
}

/* The counters of a probe, to count something beside what was seen. */
static __always_inline struct probe_stat *probe__stat(__u32 probe)
{
	return bpf_map_lookup_elem(&probe_stats, &probe);
}

#ifdef NR_HISTS
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, NR_HISTS);
	__type(key, __u32);
	__type(value, struct hist_cpu);
} hists SEC(".maps");

static __always_inline void hist__record(__u32 which, __u64 v)
{
	struct hist_cpu *h = bpf_map_lookup_elem(&hists, &which);
	__u32 slot = hist_cpu__slot(v);
	__u64 max;

	if (!h)
		return;
	add(&h->n, 1);
	add(&h->sum, v);
	if (slot < HIST_NR_SLOTS)
		add(&h->counts[slot], 1);
	/* Lost only to a larger value or to four preemptions in a row. */
#pragma unroll
	for (int i = 0; i < 4; i++) {
		max = *(volatile __u64 *)&h->max;
		if (v <= max || __sync_val_compare_and_swap(&h->max, max, v) == max)
			break;
	}
}
#endif

static __always_inline void rec__init(struct rec_hdr *hdr, __u16 type, __u16 len, __u64 t_ns)
{
	__u64 id = bpf_get_current_pid_tgid();

	hdr->type = type;
	hdr->len = len;
	hdr->cpu = bpf_get_smp_processor_id();
	hdr->t_ns = t_ns;
	hdr->tgid = id >> 32;
	hdr->tid = (__u32)id;
	bpf_get_current_comm(hdr->comm, sizeof(hdr->comm));
}

#endif
