/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The programs of hint for a kernel without page_reporting tracepoints, on
 * functions that have kept their names and stay out of line since 5.7.
 * Part of hint.bpf.c, whose functions they call.
 *
 * __isolate_free_page() and __putback_isolated_page() serve compaction and
 * page isolation too: only calls by the worker, between entry and exit of
 * page_reporting_process(), count. Which zone it works on shows in its
 * watermark test at the start of each zone.
 */

/* "___" and what follows is not part of the name that is looked for. */
typedef void (*btf_trace_page_reporting_isolate___hint)(void *, struct zone *, struct page *,
							unsigned int, int, bool);

/* A constant after relocation: with the tracepoints the verifier drops the rest of the program. */
#define HAVE_TRACEPOINTS bpf_core_type_exists(btf_trace_page_reporting_isolate___hint)

/* One work item, never run by two workers at once: written by it alone. */
struct pass_now {
	__u64 task;		/* the worker, while it is in a pass */
	__u32 node;
	__u32 zone;
	__u32 number;		/* of the batch: there is one at a time */
	__u32 nr_back;		/* chunks of it that are back */
} pass = { .number = 1 };

static __always_inline bool in_pass(void)
{
	return pass.task && pass.task == bpf_get_current_task();
}

SEC("fentry/page_reporting_process")
int BPF_PROG(fb_pass_begin)
{
	if (HAVE_TRACEPOINTS)
		return 0;
	pass.node = HINT_NR_NODES;	/* no zone yet */
	pass.task = bpf_get_current_task();
	return 0;
}

SEC("fexit/page_reporting_process")
int BPF_PROG(fb_pass_end)
{
	if (!HAVE_TRACEPOINTS)
		pass.task = 0;
	return 0;
}

SEC("fentry/zone_watermark_ok")
int BPF_PROG(fb_zone, struct zone *zone)
{
	if (HAVE_TRACEPOINTS || !in_pass())
		return 0;
	pass.node = zone__node(zone);
	pass.zone = zone__index(zone, zone->zone_pgdat);
	return 0;
}

SEC("fexit/__isolate_free_page")
int BPF_PROG(fb_isolate, struct page *page, unsigned int order, int nr)
{
	if (HAVE_TRACEPOINTS || !in_pass() || !nr)
		return 0;
	zone_state__isolate(pass.node, pass.zone, order, false, pass.number);
	return 0;
}

SEC("fentry/virtballoon_free_page_report")
int BPF_PROG(fb_batch, void *prdev, void *sg, unsigned int nents)
{
	struct hint_totals *totals = hint_totals__get();
	struct batch_slot *slot;

	if (HAVE_TRACEPOINTS || !totals)
		return 0;
	pass.nr_back = 0;
	slot = batch__slot(totals, pass.number);
	if (slot)
		batch__sent(totals, pass.number, nents, slot->batch.nr_pages);
	return 0;
}

SEC("fexit/virtballoon_free_page_report")
int BPF_PROG(fb_ack, void *prdev, void *sg, unsigned int nents, int err)
{
	struct hint_totals *totals = hint_totals__get();

	if (!HAVE_TRACEPOINTS && totals)
		batch__ack(totals, pass.number, err);
	return 0;
}

SEC("fentry/__putback_isolated_page")
int BPF_PROG(fb_putback, struct page *page, unsigned int order)
{
	struct hint_totals *totals = hint_totals__get();
	struct batch_slot *slot;

	if (HAVE_TRACEPOINTS || !in_pass() || !totals)
		return 0;
	zone_state__unhold(pass.node, pass.zone, order, PROBE_PUTBACK, pass.number);
	slot = batch__known(totals, pass.number);
	if (slot && slot->acked && ++pass.nr_back == slot->batch.nr_chunks)
		batch__done(totals, pass.number++);
	return 0;
}
