// SPDX-License-Identifier: GPL-2.0-or-later
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/time.h"
#include "run/record/axis.h"
#include "run/record/device.h"
#include "run/util.h"

#define NO_NAME	NULL

/* A counter's name at the device and in a record; skipped bytes have a part of their own. */
static const struct {
	const char *qom, *record, *skipped;
} names[NR_DEVICE_COUNTERS] = {
	[DEV_VIRTUAL_NS]	= { "virtual-ns", "virtual_ns", NO_NAME },
	[DEV_BATCHES]		= { "batches", "batches", NO_NAME },
	[DEV_CHUNKS]		= { "chunks", "chunks", NO_NAME },
	[DEV_RECEIVED]		= { "bytes-received", "bytes_received", NO_NAME },
	[DEV_DISCARDED]		= { "bytes-discarded", "bytes_discarded", NO_NAME },
	[DEV_DISCARD_NS]	= { "discard-ns", "discard_ns", NO_NAME },
	[DEV_STOPPED_NS]	= { "stopped-ns", "stopped_ns", NO_NAME },
	[DEV_STOPPED_MAX_NS]	= { "stopped-ns-max", "stopped_max_ns", NO_NAME },
	[DEV_OUT]		= { "bytes-out", "bytes_out", NO_NAME },
	[DEV_OUT_MAX]		= { "bytes-out-max", "bytes_out_max", NO_NAME },
	[DEV_VIOLATIONS]	= { "violations", "violations", NO_NAME },
	[DEV_BUFFER_PAGES]	= { "buffer-pages", "buffer_pages", NO_NAME },
	[DEV_GUEST_FEATURES]	= { "guest-features", "guest_features", NO_NAME },
	[DEV_SKIPPED_INHIBITED]	= { "skipped-inhibited", NO_NAME, "inhibited" },
	[DEV_SKIPPED_POISON]	= { "skipped-poison", NO_NAME, "poison" },
	[DEV_SKIPPED_OVER_LIMIT] = { "skipped-over-limit", NO_NAME, "over_limit" },
	[DEV_SKIPPED_UNALIGNED]	= { "skipped-unaligned", NO_NAME, "unaligned" },
	[DEV_SKIPPED_NOT_RAM]	= { "skipped-not-ram", NO_NAME, "not_ram" },
	[DEV_SKIPPED_PAST_END]	= { "skipped-past-end", NO_NAME, "past_end" },
	[DEV_SKIPPED_FAILED]	= { "skipped-failed", NO_NAME, "failed" },
};

const char *device__parse(const json_t *answer, struct device_counts *d)
{
	size_t i;

	for (i = 0; i < NR_DEVICE_COUNTERS; i++) {
		json_t *v = json_object_get(answer, names[i].qom);

		if (!json_is_integer(v) || json_integer_value(v) < 0)
			return names[i].qom;
		d->v[i] = (uint64_t)json_integer_value(v);
	}
	return NULL;
}

json_t *device__json(const struct device_counts *d)
{
	json_t *obj = json_object(), *skipped = json_object();
	char hex[24];
	size_t i;

	snprintf(hex, sizeof(hex), "0x%" PRIx64, d->v[DEV_GUEST_FEATURES]);
	for (i = 0; i < NR_DEVICE_COUNTERS; i++) {
		json_int_t v = (json_int_t)d->v[i];

		if (i == DEV_GUEST_FEATURES)
			json_object_set_new(obj, names[i].record, json_string(hex));
		else if (names[i].skipped)
			json_object_set_new(skipped, names[i].skipped, json_integer(v));
		else
			json_object_set_new(obj, names[i].record, json_integer(v));
	}
	json_object_set_new(obj, "bytes_skipped", skipped);
	return obj;
}

static uint64_t skipped_bytes(const struct device_counts *d)
{
	uint64_t sum = 0;
	size_t i;

	for (i = DEV_SKIPPED_INHIBITED; i < NR_DEVICE_COUNTERS; i++)
		sum += d->v[i];
	return sum;
}

/*
 * Is it certain of each batch whether the device had it at time t? It has none
 * before it is sent, and any that it has answered for as long as it is said to take.
 */
static bool is_quiet(const struct guest *g, const struct cell *c, int64_t t, int64_t slack_ns)
{
	/* The clocks of guest and device may differ by 0.1 %. */
	int64_t model_ns = (int64_t)(c->ack_base_ns - c->ack_base_ns / 1000);
	uint32_t i;

	for (i = 0; i < g->nr_batches; i++) {
		const struct batch_ref *b = &g->batches[i];

		if (!b->sent_ns || t < (int64_t)b->sent_ns - slack_ns)
			continue;
		if (!b->ack_ns || t < (int64_t)b->ack_ns - model_ns + slack_ns)
			return false;
	}
	return true;
}

/*
 * The tracer writes a batch when it is done, so one that is out when the
 * tracer ends is missing. Up to this moment none can be.
 */
static int64_t last_certain_ns(const struct cell *c, const struct guest *g)
{
	int64_t longest_ns, end;
	uint32_t i;

	longest_ns = (int64_t)(c->ack_base_ns + c->capacity * c->ack_per_chunk_ns +
			       c->checkpoint_window_ns + NSEC_PER_SEC);
	end = (int64_t)g->trace_last_ns - longest_ns;
	/* Batches are out one at a time: when one is done, all before it are. */
	for (i = 0; i < g->nr_batches; i++)
		if ((int64_t)g->batches[i].done_ns > end)
			end = (int64_t)g->batches[i].done_ns;
	return end;
}

static void unknown(struct ledger *l, const char *why)
{
	l->verdict = LEDGER_UNKNOWN;
	snprintf(l->detail, sizeof(l->detail), "%s", why);
}

void ledger__check(struct ledger *l, const struct cell *c, const struct guest *g,
		   const struct axis *axis, const struct host_sample *samples, size_t nr)
{
	/*
	 * Virtual: QEMU's main loop sees the clock as of the vCPU's last stop,
	 * at most a timer tick (4 ms) ago. Real: as far as the sample's time is known.
	 */
	int64_t least_slack_ns = (axis->is_virtual ? 20 : 1) * (int64_t)NSEC_PER_MSEC;
	const struct host_sample *first = NULL, *last = NULL;
	struct reading r;
	int64_t end;
	size_t i;
	uint32_t b;

	memset(l, 0, sizeof(*l));
	if (!cell__is_traced(c)) {
		unknown(l, "the cell is without a tracer");
		return;
	}
	if (g->loss_of_batches) {
		unknown(l, "the tracer lost batch records");
		return;
	}
	if (!g->trace_first_ns) {
		unknown(l, "the tracer sent no sample");
		return;
	}
	end = last_certain_ns(c, g);
	for (i = 0; i < nr; i++) {
		if (!axis__read(axis, &samples[i], &r) || r.t_ns < (int64_t)g->trace_first_ns ||
		    r.t_ns > end ||
		    !is_quiet(g, c, r.t_ns, least_slack_ns + (int64_t)r.error_ns))
			continue;
		if (!first) {
			first = &samples[i];
			l->from_ns = r.t_ns;
		}
		last = &samples[i];
		l->to_ns = r.t_ns;
	}
	if (!first || first == last) {
		l->from_ns = l->to_ns = 0;
		unknown(l, "there are no two host samples in pauses between batches");
		return;
	}
	for (b = 0; b < g->nr_batches; b++) {
		int64_t sent = (int64_t)g->batches[b].sent_ns;

		if (sent > l->from_ns && sent < l->to_ns)
			l->guest_hinted += g->batches[b].bytes;
	}
	l->received = last->device.v[DEV_RECEIVED] - first->device.v[DEV_RECEIVED];
	l->discarded = last->device.v[DEV_DISCARDED] - first->device.v[DEV_DISCARDED];
	l->skipped = skipped_bytes(&last->device) - skipped_bytes(&first->device);
	l->verdict = LEDGER_OK;
	if (l->received != l->guest_hinted)
		snprintf(l->detail, sizeof(l->detail),
			 "the guest hinted %" PRIu64 " bytes, the device received %" PRIu64,
			 l->guest_hinted, l->received);
	else if (l->received != l->discarded + l->skipped)
		snprintf(l->detail, sizeof(l->detail),
			 "the device received %" PRIu64 " bytes, discarded %" PRIu64
			 " and skipped %" PRIu64, l->received, l->discarded, l->skipped);
	if (l->detail[0])
		l->verdict = LEDGER_BAD;
}

json_t *ledger__json(const struct ledger *l)
{
	json_t *ok = l->verdict == LEDGER_UNKNOWN ? json_null() :
		     json_boolean(l->verdict == LEDGER_OK);

	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o}",
			 "from_ns", (json_int_t)l->from_ns,
			 "to_ns", (json_int_t)l->to_ns,
			 "guest_hinted_bytes", (json_int_t)l->guest_hinted,
			 "device_received_bytes", (json_int_t)l->received,
			 "device_discarded_bytes", (json_int_t)l->discarded,
			 "device_skipped_bytes", (json_int_t)l->skipped,
			 "ok", ok,
			 "detail", l->detail[0] ? json_string(l->detail) : json_null());
}
