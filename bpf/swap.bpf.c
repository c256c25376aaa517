// SPDX-License-Identifier: GPL-2.0-only
/*
 * swap: how long an exchange with the hinting buffer takes, and how long
 * paging to and from a swap device and zswap. Frequent, so histograms only.
 *
 * Not timed: swap files on a network file system, whose completion has no
 * function that can be traced. A page of zeros does no I/O: it never comes to
 * __swap_writepage(), and counts as the shortest of swap-ins.
 */
#include "vmlinux.h"
#include "hint_rec.h"
#define NR_HISTS NR_SWAP_HISTS
#include "hint_probe.bpf.h"

char LICENSE[] SEC("license") = "GPL";

/* ---- exchange ---- */

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} exchange_start SEC(".maps");

/* Both ends are under the zone lock with interrupts off: one exchange a CPU at a time. */
SEC("tp_btf/page_reporting_exchange_begin")
int BPF_PROG(sw_exch_begin)
{
	__u32 zero = 0;
	__u64 *start = bpf_map_lookup_elem(&exchange_start, &zero);

	if (start)
		*start = bpf_ktime_get_ns();
	return 0;
}

SEC("tp_btf/page_reporting_exchange")
int BPF_PROG(sw_exch_end)
{
	struct probe_stat *stat = probe__seen(PROBE_EXCHANGE_LATENCY);
	__u32 zero = 0;
	__u64 *start = bpf_map_lookup_elem(&exchange_start, &zero);

	if (!stat || !start)
		return 0;
	if (!*start) {
		probe__dropped(stat, DROP_UNMATCHED);
		return 0;
	}
	hist__record(HIST_EXCHANGE_LATENCY, clock__since(stat, bpf_ktime_get_ns(), *start));
	*start = 0;
	probe__recorded(stat);
	return 0;
}

/* ---- swap device and zswap ---- */

enum in_flight_kind { KIND_OUT, KIND_IN, KIND_ZSWAP_OUT, KIND_ZSWAP_IN };

struct in_flight_key {
	__u64 object;		/* the folio; of zswap the task */
	__u64 kind;
};

/* Begun and not finished. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, struct in_flight_key);
	__type(value, __u64);
} in_flight SEC(".maps");

static __always_inline void in_flight__begin(const void *object, enum in_flight_kind kind,
					     __u32 probe)
{
	struct in_flight_key key = { (__u64)object, kind };
	__u64 now = bpf_ktime_get_ns();
	struct probe_stat *stat;

	if (!bpf_map_update_elem(&in_flight, &key, &now, BPF_ANY))
		return;
	stat = probe__seen(probe);
	if (stat)
		probe__dropped(stat, DROP_NO_SLOT);
}

/* Without a begin it was counted when the table was full, or began before we attached. */
static __always_inline void in_flight__end(const void *object, enum in_flight_kind kind,
					   __u32 probe, __u32 hist)
{
	struct in_flight_key key = { (__u64)object, kind };
	__u64 *start = bpf_map_lookup_elem(&in_flight, &key);
	struct probe_stat *stat;

	if (!start)
		return;
	stat = probe__seen(probe);
	hist__record(hist, clock__since(stat, bpf_ktime_get_ns(), *start));
	bpf_map_delete_elem(&in_flight, &key);
	if (stat)
		probe__recorded(stat);
}

static __always_inline void in_flight__cancel(const void *object, enum in_flight_kind kind)
{
	struct in_flight_key key = { (__u64)object, kind };

	bpf_map_delete_elem(&in_flight, &key);
}

/* The flags are the first word of a page and a folio in every kernel. */
static __always_inline bool folio__flag(const void *folio, __u64 bit)
{
	unsigned long flags = 0;

	bpf_probe_read_kernel(&flags, sizeof(flags), folio);
	return flags & (1UL << bit);
}

/* A bio of swap I/O holds one folio, from its first page. */
static __always_inline void *bio__folio(struct bio *bio)
{
	return BPF_CORE_READ(bio, bi_io_vec, bv_page);
}

SEC("fentry/__swap_writepage")
int BPF_PROG(sw_out_begin, void *folio)
{
	in_flight__begin(folio, KIND_OUT, PROBE_SWAP_OUT);
	return 0;
}

/* A synchronous device has ended the writeback by now; else the bio's end does. */
SEC("fexit/__swap_writepage")
int BPF_PROG(sw_out_sync, void *folio)
{
	if (!folio__flag(folio, bpf_core_enum_value(enum pageflags, PG_writeback)))
		in_flight__end(folio, KIND_OUT, PROBE_SWAP_OUT, HIST_SWAP_OUT);
	return 0;
}

SEC("fentry/end_swap_bio_write")
int BPF_PROG(sw_out_end, struct bio *bio)
{
	in_flight__end(bio__folio(bio), KIND_OUT, PROBE_SWAP_OUT, HIST_SWAP_OUT);
	return 0;
}

SEC("fentry/swap_read_folio")
int BPF_PROG(sw_in_begin, void *folio)
{
	in_flight__begin(folio, KIND_IN, PROBE_SWAP_IN);
	return 0;
}

/* A synchronous device has unlocked the folio by now; else the bio's end does. */
SEC("fexit/swap_read_folio")
int BPF_PROG(sw_in_sync, void *folio)
{
	if (!folio__flag(folio, bpf_core_enum_value(enum pageflags, PG_locked)))
		in_flight__end(folio, KIND_IN, PROBE_SWAP_IN, HIST_SWAP_IN);
	return 0;
}

SEC("fentry/end_swap_bio_read")
int BPF_PROG(sw_in_end, struct bio *bio)
{
	in_flight__end(bio__folio(bio), KIND_IN, PROBE_SWAP_IN, HIST_SWAP_IN);
	return 0;
}

SEC("fentry/zswap_store")
int BPF_PROG(sw_zout_begin)
{
	in_flight__begin((void *)bpf_get_current_task(), KIND_ZSWAP_OUT, PROBE_ZSWAP_OUT);
	return 0;
}

/* Of a bool returned only the low byte is defined. A page refused goes on to the device. */
SEC("fexit/zswap_store")
int BPF_PROG(sw_zout_end, void *folio, __u64 stored)
{
	void *task = (void *)bpf_get_current_task();

	if ((__u8)stored)
		in_flight__end(task, KIND_ZSWAP_OUT, PROBE_ZSWAP_OUT, HIST_ZSWAP_OUT);
	else
		in_flight__cancel(task, KIND_ZSWAP_OUT);
	return 0;
}

SEC("fentry/zswap_load")
int BPF_PROG(sw_zin_begin)
{
	in_flight__begin((void *)bpf_get_current_task(), KIND_ZSWAP_IN, PROBE_ZSWAP_IN);
	return 0;
}

SEC("fexit/zswap_load")
int BPF_PROG(sw_zin_end, void *folio, __u64 loaded)
{
	void *task = (void *)bpf_get_current_task();

	if (!(__u8)loaded) {
		in_flight__cancel(task, KIND_ZSWAP_IN);
		return 0;
	}
	in_flight__end(task, KIND_ZSWAP_IN, PROBE_ZSWAP_IN, HIST_ZSWAP_IN);
	/* Not a read from the device. */
	in_flight__cancel(folio, KIND_IN);
	return 0;
}
