// SPDX-License-Identifier: GPL-2.0-only
/*
 * hint: the path of a chunk from the free list to the host and back.
 *
 * Keeps, for each zone, what is held by hinting right now, and its integral
 * over time; leaves one record a batch, and one for each exchange with the
 * buffer that moved the free pages of its zone (there must be none).
 *
 * On a kernel with our page_reporting tracepoints these are used. Without
 * them the programs of hint_fallback.bpf.h take their place.
 */
#include "vmlinux.h"
#include "hint_rec.h"
#define NR_HISTS NR_HINT_HISTS
#include "hint_probe.bpf.h"
#include "hint_zone.bpf.h"

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, HINT_EVENTS_BYTES);
} hint_events SEC(".maps");

/* Isolated, or even sent, before we attached: not ours to count. */
static __always_inline bool batch__is_old(struct hint_totals *totals, __u32 number)
{
	return !totals->first_number || number <= totals->first_number;
}

/* The slot of the batch, made its own if that is free; NULL if another one has it. */
static __always_inline struct batch_slot *batch__slot(struct hint_totals *totals, __u32 number)
{
	struct batch_slot *slot = &totals->slots[number & (HINT_MAX_BATCHES - 1)];

	if (!totals->first_number)
		__sync_val_compare_and_swap(&totals->first_number, 0, number);
	if (slot->number != number && __sync_val_compare_and_swap(&slot->number, 0, number))
		slot = NULL;
	/* The verifier has to see a test of the pointer, not of what made it NULL. */
	barrier_var(slot);
	return slot;
}

static __always_inline struct batch_slot *batch__known(struct hint_totals *totals, __u32 number)
{
	struct batch_slot *slot = &totals->slots[number & (HINT_MAX_BATCHES - 1)];

	if (slot->number != number)
		slot = NULL;
	barrier_var(slot);
	return slot;
}

/* The first chunk: the batch begins. */
static __always_inline void batch__begin(struct batch_rec *batch, __u32 order, __u64 now)
{
	batch->start_ns = now;
	batch->min_order = order;
	batch->max_order = order;
}

static __always_inline void batch__add(struct batch_rec *batch, __u32 order, bool exchange,
				       __u64 now)
{
	if (!batch->start_ns)
		batch__begin(batch, order, now);
	batch->nr_chunks++;
	batch->nr_pages += 1ULL << order;
	if (order < batch->min_order)
		batch->min_order = order;
	if (order > batch->max_order)
		batch->max_order = order;
	if (exchange)
		batch->exchange = 1;
}

static __always_inline void batch__sent(struct hint_totals *totals, __u32 number, __u32 nr_chunks,
					__u64 nr_pages)
{
	struct batch_slot *slot = batch__slot(totals, number);
	struct probe_stat *stat = probe__stat(PROBE_BATCH);
	struct batch_rec *batch;
	__u64 now;

	if (!slot)
		return;
	batch = &slot->batch;
	now = clock__now_after(stat, batch->start_ns);
	/*
	 * Chunks of the buffer's first fill come from the allocator, not from
	 * a free list: nothing was isolated. They are all of one order.
	 */
	if (!batch->start_ns)
		batch__begin(batch, nr_chunks ? log2_u64(nr_pages / nr_chunks) : 0, now);
	batch->sent_ns = now;
	batch->nr_chunks = nr_chunks;
	batch->nr_pages = nr_pages;
}

static __always_inline void batch__ack(struct hint_totals *totals, __u32 number, int err)
{
	struct batch_slot *slot = batch__known(totals, number);
	struct batch_rec *batch;

	if (!slot || !slot->batch.sent_ns)
		return;
	batch = &slot->batch;
	batch->ack_ns = clock__now_after(probe__stat(PROBE_BATCH), batch->sent_ns);
	batch->err = err;
	slot->acked = 1;
	hist__record(HIST_BATCH_ACK, batch->ack_ns - batch->sent_ns);
}

static __always_inline void batch__done(struct hint_totals *totals, __u32 number)
{
	struct batch_slot *slot = batch__known(totals, number);
	struct probe_stat *stat;
	struct batch_rec *batch;

	if ((!slot || !slot->acked) && batch__is_old(totals, number))
		goto reset;
	stat = probe__seen(PROBE_BATCH);
	if (!stat)
		goto reset;
	if (!slot || !slot->acked) {
		probe__dropped(stat, DROP_UNMATCHED);
		goto reset;
	}
	batch = &slot->batch;
	batch->done_ns = clock__now_after(stat, batch->ack_ns);
	hist__record(HIST_BATCH_HOLD, batch->done_ns - batch->start_ns);
	rec__init(&batch->hdr, REC_BATCH, sizeof(*batch), batch->done_ns);
	if (bpf_ringbuf_output(&hint_events, batch, sizeof(*batch), 0))
		probe__dropped(stat, DROP_RING_FULL);
	else
		probe__recorded(stat);
reset:
	if (!totals->first_number)
		totals->first_number = number;
	if (!slot)
		return;
	__builtin_memset(&slot->batch, 0, sizeof(slot->batch));
	slot->acked = 0;
	barrier();
	slot->number = 0;
}

/* Brings the integrals up to now; the caller holds the zone lock, then changes and calls end. */
static __always_inline void zone_state__begin(struct zone_state *st, struct probe_stat *stat,
					      __u64 now)
{
	__u64 dt = st->changed_ns ? clock__since(stat, now, st->changed_ns) : now;

	st->seq++;
	barrier();
	/* Before the first change both counts are 0. */
	st->held_page_ns += st->held_pages * dt;
	st->uncompensated_page_ns += st->uncompensated_pages * dt;
	st->changed_ns += dt;
}

static __always_inline void zone_state__end(struct zone_state *st)
{
	barrier();
	st->seq++;
}

static __always_inline void zone_state__isolate(__u32 node, __u32 zone, __u32 order32,
						bool exchange, __u32 number)
{
	__u64 order = order__opaque(order32);
	struct probe_stat *stat = probe__seen(PROBE_ISOLATE);
	struct zone_state *st = zone_state__at(node, zone);
	struct hint_totals *totals = hint_totals__get();
	__u64 now = bpf_ktime_get_ns();
	struct batch_slot *slot;
	__s64 nr;

	if (!stat)
		return;
	if (!st || !totals || order >= HINT_NR_ORDERS) {
		probe__dropped(stat, DROP_NO_ZONE);
		return;
	}
	nr = 1LL << order;
	zone_state__begin(st, stat, now);
	st->held_pages += nr;
	if (st->held_pages > st->held_max_pages)
		st->held_max_pages = st->held_pages;
	st->held_by_order[order]++;
	if (!exchange)
		st->uncompensated_pages += nr;
	zone_state__end(st);

	__sync_fetch_and_add(&totals->held_pages, nr);
	if (!exchange)
		__sync_fetch_and_add(&totals->uncompensated_pages, nr);
	slot = batch__slot(totals, number);
	if (slot)
		batch__add(&slot->batch, order, exchange, now);
	probe__recorded(stat);
}

/*
 * A chunk is no longer held. One that goes back on the free list was taken
 * without compensation, if any such is left; one that enters the buffer
 * replaces what the buffer released, and only when nothing else is held was
 * it an uncompensated one. probe: PROBE_PUTBACK or PROBE_BUFFER.
 */
static __always_inline void zone_state__unhold(__u32 node, __u32 zone, __u32 order32, __u32 probe,
					       __u32 number)
{
	__u64 order = order__opaque(order32);
	struct zone_state *st = zone_state__at(node, zone);
	struct hint_totals *totals = hint_totals__get();
	struct probe_stat *stat;
	__s64 nr, unc;

	if (!st || !totals || order >= HINT_NR_ORDERS) {
		stat = probe__seen(probe);
		if (stat)
			probe__dropped(stat, DROP_NO_ZONE);
		return;
	}
	nr = 1LL << order;
	if (st->held_pages < nr || !st->held_by_order[order]) {
		/*
		 * Isolated before we attached: not ours to count, and with its
		 * exchange not seen no change of the buffer's level either.
		 */
		if (batch__is_old(totals, number))
			return;
		stat = probe__seen(probe);
		if (stat)
			probe__dropped(stat, DROP_UNMATCHED);
		return;
	}
	stat = probe__seen(probe);
	if (!stat)
		return;
	unc = st->uncompensated_pages;
	if (probe == PROBE_BUFFER) {
		if (unc > st->held_pages - nr)
			unc = st->held_pages - nr;
	} else {
		unc = unc > nr ? unc - nr : 0;
	}

	__sync_fetch_and_add(&totals->held_pages, -nr);
	__sync_fetch_and_add(&totals->uncompensated_pages, unc - st->uncompensated_pages);
	zone_state__begin(st, stat, bpf_ktime_get_ns());
	st->held_pages -= nr;
	st->held_by_order[order]--;
	st->uncompensated_pages = unc;
	if (probe == PROBE_BUFFER)
		st->buffer_pages += nr;
	zone_state__end(st);
	probe__recorded(stat);
}

extern const void vmemmap_base __ksym __weak;

/*
 * x86-64: struct pages are a table at vmemmap_base, a constant when the layout
 * is not dynamic. The verifier knows page for a pointer and allows no
 * arithmetic; what has been read is a number.
 */
static __always_inline __u64 page__pfn(struct page *page)
{
	__u64 base = 0xffffea0000000000ULL, address = 0;

	if (&vmemmap_base)
		bpf_probe_read_kernel(&base, sizeof(base), &vmemmap_base);
	bpf_probe_read_kernel(&address, sizeof(address), &page);
	return (address - base) / bpf_core_type_size(struct page);
}

SEC("tp_btf/page_reporting_isolate")
int BPF_PROG(hint_isolate, struct zone *zone, struct page *page, unsigned int order,
	     int migratetype, bool exchange, unsigned int batch)
{
	zone_state__isolate(zone__node(zone), zone__index(zone, zone->zone_pgdat),
			    order, exchange, batch);
	return 0;
}

SEC("tp_btf/page_reporting_putback")
int BPF_PROG(hint_putback, struct zone *zone, struct page *page, unsigned int order, bool reported,
	     unsigned int batch)
{
	zone_state__unhold(zone__node(zone), zone__index(zone, zone->zone_pgdat),
			   order, PROBE_PUTBACK, batch);
	return 0;
}

SEC("tp_btf/page_reporting_batch")
int BPF_PROG(hint_batch, void *prdev, unsigned int nr_chunks, unsigned long nr_pages,
	     unsigned int batch)
{
	struct hint_totals *totals = hint_totals__get();

	if (totals)
		batch__sent(totals, batch, nr_chunks, nr_pages);
	return 0;
}

SEC("tp_btf/page_reporting_ack")
int BPF_PROG(hint_ack, void *prdev, unsigned int nr_chunks, int err, unsigned int batch)
{
	struct hint_totals *totals = hint_totals__get();

	if (totals)
		batch__ack(totals, batch, err);
	return 0;
}

SEC("tp_btf/page_reporting_done")
int BPF_PROG(hint_done, void *prdev, unsigned int nr_chunks, unsigned int batch)
{
	struct hint_totals *totals = hint_totals__get();

	if (totals)
		batch__done(totals, batch);
	return 0;
}

SEC("tp_btf/page_reporting_exchange")
int BPF_PROG(hint_exchange, struct zone *zone, struct page *taken, struct page *released,
	     unsigned int order, long free_before, long free_after, unsigned int batch)
{
	struct probe_stat *stat = probe__seen(PROBE_EXCHANGE);
	struct exchange_violation_rec *rec;
	struct hint_totals *totals = hint_totals__get();
	__s64 delta = free_after - free_before;
	struct batch_slot *slot;
	struct zone_state *st;
	__u32 node, index;

	if (!stat || !totals)
		return 0;
	node = zone__node(zone);
	index = zone__index(zone, zone->zone_pgdat);
	st = zone_state__at(node, index);
	if (!st || order >= HINT_NR_ORDERS) {
		probe__dropped(stat, DROP_NO_ZONE);
		return 0;
	}
	zone_state__begin(st, stat, bpf_ktime_get_ns());
	st->nr_exchanges++;
	slot = batch__slot(totals, batch);
	if (slot)
		slot->batch.nr_exchanges++;
	st->exchange_free_delta_pages += delta < 0 ? -delta : delta;
	st->buffer_pages -= 1LL << order;
	zone_state__end(st);
	if (!delta) {
		probe__recorded(stat);
		return 0;
	}

	rec = bpf_ringbuf_reserve(&hint_events, sizeof(*rec), 0);
	if (!rec) {
		probe__dropped(stat, DROP_RING_FULL);
		return 0;
	}
	__builtin_memset(rec, 0, sizeof(*rec));
	rec__init(&rec->hdr, REC_EXCHANGE_VIOLATION, sizeof(*rec), bpf_ktime_get_ns());
	rec->free_delta_pages = delta;
	rec->taken_pfn = page__pfn(taken);
	rec->released_pfn = page__pfn(released);
	rec->node = node;
	rec->zone = index;
	rec->order = order;
	bpf_ringbuf_submit(rec, 0);
	probe__recorded(stat);
	return 0;
}

/* The last argument of page_reporting_buffer. */
enum { BUFFER_FILL, BUFFER_STORE, BUFFER_DRAIN };

SEC("tp_btf/page_reporting_buffer")
int BPF_PROG(hint_buffer, struct zone *zone, struct page *page, unsigned int order, int op,
	     unsigned int batch)
{
	__u32 node = zone__node(zone);
	__u32 index = zone__index(zone, zone->zone_pgdat);
	struct probe_stat *stat;
	struct zone_state *st;
	__s64 nr;

	if (op == BUFFER_STORE) {
		zone_state__unhold(node, index, order, PROBE_BUFFER, batch);
		return 0;
	}
	stat = probe__seen(PROBE_BUFFER);
	if (!stat)
		return 0;
	st = zone_state__at(node, index);
	if (!st || order >= HINT_NR_ORDERS) {
		probe__dropped(stat, DROP_NO_ZONE);
		return 0;
	}
	nr = 1LL << order;
	zone_state__begin(st, stat, bpf_ktime_get_ns());
	st->buffer_pages += op == BUFFER_FILL ? nr : -nr;
	zone_state__end(st);
	probe__recorded(stat);
	return 0;
}

#include "hint_fallback.bpf.h"
