// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/time.h"
#include "run/record/guest.h"
#include "run/record/shape.h"
#include "run/util.h"

#define PAGE_BYTES	4096

struct feed_ctx {
	struct guest *g;
	enum guest_port port;
	uint64_t received_ns;
};

int guest__init(struct guest *g)
{
	int i, err = 0;

	memset(g, 0, sizeof(*g));
	for (i = 0; !err && i < NR_PORTS; i++)
		err = lines__init(&g->lines[i], GUEST_LINE_MAX);
	if (err)
		guest__free(g);
	return err;
}

void guest__free(struct guest *g)
{
	int i;

	for (i = 0; i < NR_PORTS; i++)
		lines__free(&g->lines[i]);
	free(g->refs);
	free(g->batches);
	json_decref(g->hello);
	memset(g, 0, sizeof(*g));
}

static void count_bad(struct guest *g, enum guest_port port, uint64_t offset, const char *why)
{
	if (!g->nr_bad++)
		snprintf(g->first_bad, sizeof(g->first_bad), "%s.stream, byte %llu: %s",
			 port == PORT_WORK ? "work" : "trace", (unsigned long long)offset, why);
}

/* Room for one more element; doubles up to limit. */
static int grow(void **array, uint32_t *max, uint32_t nr, uint32_t limit, size_t size)
{
	uint32_t more = *max ? *max * 2 : 1024;
	void *bigger;

	if (nr < *max)
		return 0;
	if (nr >= limit)
		return -E2BIG;
	if (more > limit)
		more = limit;
	bigger = realloc(*array, more * size);
	if (!bigger)
		return -ENOMEM;
	*array = bigger;
	*max = more;
	return 0;
}

static uint64_t get(const json_t *line, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(line, key));
}

static int keep_line(struct guest *g, enum guest_port port, uint64_t t_ns, uint64_t offset,
		     size_t len)
{
	int err = grow((void **)&g->refs, &g->max_refs, g->nr_refs, GUEST_MAX_LINES,
		       sizeof(*g->refs));

	if (err)
		return err;
	g->refs[g->nr_refs++] = (struct line_ref) {
		.t_ns = t_ns, .offset = offset, .len = (uint32_t)len, .port = port,
	};
	return 0;
}

static int note_batch(struct guest *g, const json_t *line)
{
	int err = grow((void **)&g->batches, &g->max_batches, g->nr_batches, GUEST_MAX_BATCHES,
		       sizeof(*g->batches));

	if (err)
		return err;
	g->batches[g->nr_batches++] = (struct batch_ref) {
		.sent_ns = get(line, "sent_ns"),
		.ack_ns = get(line, "ack_ns"),
		.done_ns = get(line, "done_ns"),
		.bytes = get(line, "nr_pages") * PAGE_BYTES,
	};
	return 0;
}

static void note_loss(struct guest *g, const json_t *line)
{
	uint64_t seen = get(line, "seen"), recorded = get(line, "recorded");
	const char *probe = json_string_value(json_object_get(line, "probe"));

	g->loss_seen += seen;
	g->loss_recorded += recorded;
	g->loss_dropped += seen - recorded;
	if (seen != recorded && (strstr(probe, "batch") || strstr(probe, "hint")))
		g->loss_of_batches = true;
}

static void note_sync(struct guest *g, const json_t *line)
{
	struct sync_point p = { get(line, "t_ns"), get(line, "tsc") };

	if (!g->nr_syncs++)
		g->first_sync = p;
	g->last_sync = p;
}

static void note_words(struct guest *g, const json_t *line)
{
	static const char *const speakers[NR_SPEAKERS] = {
		[SPEAKER_WORKLOAD] = "workload", [SPEAKER_TRACER] = "tracer",
	};
	const char *src = json_string_value(json_object_get(line, "src"));
	const char *text = json_string_value(json_object_get(line, "text"));
	unsigned int who;
	char *word;
	size_t i;

	for (who = 0; who < NR_SPEAKERS && strcmp(src, speakers[who]); who++)
		;
	if (who == NR_SPEAKERS || !text[strspn(text, " \t\r")])
		return;
	word = g->words[who].line[g->words[who].nr++ % GUEST_NR_WORDS];
	for (i = 0; text[i] && i < GUEST_WORD_MAX; i++)
		word[i] = text[i] < ' ' || text[i] > '~' ? '?' : text[i];
	word[i] = '\0';
}

const char *guest__last_words(const struct guest *g, enum guest_speaker who, char *buf,
			      size_t size)
{
	const struct last_words *w = &g->words[who];
	uint32_t nr = w->nr < GUEST_NR_WORDS ? w->nr : GUEST_NR_WORDS, i;
	size_t n;

	n = (size_t)snprintf(buf, size, "it printed %s", nr ? "last:" : "nothing");
	for (i = w->nr - nr; i < w->nr && n < size; i++)
		n += (size_t)snprintf(buf + n, size - n, " \"%s\"", w->line[i % GUEST_NR_WORDS]);
	return buf;
}

/* The first beginning and the last end count: the widest there can be. */
static void note_edge(struct span *span, const json_t *line)
{
	bool is_end = !strcmp(json_string_value(json_object_get(line, "edge")), "end");
	uint64_t t_ns = get(line, "t_ns");

	if (is_end)
		span->end_ns = t_ns;
	else if (!span->begin_ns)
		span->begin_ns = t_ns;
}

/* One measured part: a second would silently take the place of the first. */
static int note_phase(struct guest *g, const json_t *line)
{
	bool is_begin = !strcmp(json_string_value(json_object_get(line, "edge")), "begin");

	if (strcmp(json_string_value(json_object_get(line, "name")), "measure"))
		return 0;
	if (is_begin && g->measure.begin_ns)
		return -EEXIST;
	note_edge(&g->measure, line);
	return 0;
}

const char *guest__tracer_gap(const struct guest *g, char *buf, size_t size)
{
	const struct span *t = &g->tracer, *m = &g->measure;
	char words[GUEST_WORDS_MAX];

	if (!t->begin_ns)
		snprintf(buf, size, "the tracer did not attach; %s",
			 guest__last_words(g, SPEAKER_TRACER, words, sizeof(words)));
	else if (!t->end_ns)
		snprintf(buf, size, "the tracer was gone before it was told to end: its last "
			 "sample is of %.1f s; %s", (double)g->trace_last_ns / 1e9,
			 guest__last_words(g, SPEAKER_TRACER, words, sizeof(words)));
	else if ((m->begin_ns && m->begin_ns < t->begin_ns) || m->end_ns > t->end_ns)
		snprintf(buf, size, "the tracer lived from %.3f to %.3f s, the measured part is "
			 "from %.3f to %.3f s", (double)t->begin_ns / 1e9,
			 (double)t->end_ns / 1e9, (double)m->begin_ns / 1e9,
			 (double)m->end_ns / 1e9);
	else
		return NULL;
	return buf;
}

static int take_artefact(struct guest *g, const json_t *line)
{
	const char *name = json_string_value(json_object_get(line, "name"));
	const char *text = json_string_value(json_object_get(line, "text"));
	bool is_base64 = json_is_true(json_object_get(line, "base64"));

	return g->artefact ? g->artefact(g->artefact_arg, name, text, is_base64) : 0;
}

/* What the runner itself needs of a line that passed. */
static int note_line(struct guest *g, enum guest_port port, enum line_type type, json_t *line)
{
	const char *text;

	switch (type) {
	case LINE_EVENT:
		text = json_string_value(json_object_get(line, "kind"));
		return strcmp(text, "batch") ? 0 : note_batch(g, line);
	case LINE_SAMPLE:
		text = json_string_value(json_object_get(line, "src"));
		if (port == PORT_TRACE && !strcmp(text, "guest")) {
			g->trace_last_ns = get(line, "t_ns");
			if (!g->trace_first_ns)
				g->trace_first_ns = g->trace_last_ns;
		}
		return 0;
	case LINE_PHASE:
		return note_phase(g, line);
	case LINE_LOSS:
		note_loss(g, line);
		return 0;
	case LINE_LOG:
		note_words(g, line);
		return 0;
	case LINE_TRACER:
		/* Only itself: a workload may write to the other port. */
		if (port == PORT_TRACE)
			note_edge(&g->tracer, line);
		return 0;
	case LINE_SYNC:
		note_sync(g, line);
		return 0;
	case LINE_ARTEFACT:
		return take_artefact(g, line);
	case LINE_HELLO:
		if (g->hello)
			return -EEXIST;
		json_object_del(line, "type");
		g->hello = json_incref(line);
		return 0;
	case LINE_BYE:
		if (g->has_bye)
			return -EEXIST;
		g->has_bye = true;
		g->bye_status = (int)get(line, "status");
		return 0;
	default:
		return 0;
	}
}

static void take_line(void *arg, char *text, size_t len, uint64_t offset, bool too_long)
{
	struct feed_ctx *ctx = arg;
	struct guest *g = ctx->g;
	enum line_type type;
	char why[SHAPE_WHY_MAX];
	json_t *line;
	int err = 0;

	if (g->full || g->err)
		return;
	if (too_long) {
		count_bad(g, ctx->port, offset, "the line is longer than 65536 bytes");
		return;
	}
	line = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	if (!line) {
		count_bad(g, ctx->port, offset, "not JSON");
		return;
	}
	type = shape__check(line, why, sizeof(why));
	if (type == LINE_BAD) {
		count_bad(g, ctx->port, offset, why);
		json_decref(line);
		return;
	}
	if (type != LINE_HELLO && type != LINE_BYE) {
		pace__note(&g->pace, get(line, "t_ns"), ctx->received_ns);
		if (type != LINE_SYNC && type != LINE_ARTEFACT)
			err = keep_line(g, ctx->port, get(line, "t_ns"), offset, len);
	}
	if (!err)
		err = note_line(g, ctx->port, type, line);
	json_decref(line);
	if (err == -EEXIST)
		count_bad(g, ctx->port, offset, "said twice: hello, bye or the beginning of measure");
	else if (err == -EFBIG || err == -EINVAL)
		count_bad(g, ctx->port, offset, "an artefact of an odd name, or larger or more than "
			  "a cell may have");
	else if (err == -E2BIG)
		g->full = true;
	else if (err)
		g->err = err;
}

void guest__feed(struct guest *g, enum guest_port port, const char *data, size_t len,
		 uint64_t received_ns)
{
	struct feed_ctx ctx = { g, port, received_ns };

	lines__feed(&g->lines[port], data, len, take_line, &ctx);
	if (g->lines[port].fed > GUEST_STREAM_MAX)
		g->full = true;
}

void guest__finish(struct guest *g)
{
	int i;

	for (i = 0; i < NR_PORTS; i++)
		if (lines__partial(&g->lines[i]) && !g->lines[i].skipping)
			count_bad(g, (enum guest_port)i, g->lines[i].start,
				  "the last line is not finished");
}

static int by_time(const void *a, const void *b)
{
	const struct line_ref *x = a, *y = b;

	if (x->t_ns != y->t_ns)
		return x->t_ns < y->t_ns ? -1 : 1;
	if (x->port != y->port)
		return x->port < y->port ? -1 : 1;
	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

void guest__sort(struct guest *g)
{
	if (g->nr_refs)
		qsort(g->refs, g->nr_refs, sizeof(*g->refs), by_time);
}

bool guest__time_of_virtual(const struct guest *g, uint64_t virtual_ns, int64_t *t_ns)
{
	const struct sync_point *a = &g->first_sync, *b = &g->last_sync;
	double slope = 1;

	if (!g->nr_syncs)
		return false;
	/*
	 * The guest calibrates its TSC at boot and is off by parts in a
	 * million; between two readings far apart that is corrected.
	 */
	if (b->tsc > a->tsc && b->t_ns > a->t_ns && b->tsc - a->tsc > NSEC_PER_SEC)
		slope = (double)(b->t_ns - a->t_ns) / (double)(b->tsc - a->tsc);
	if (slope < 0.99 || slope > 1.01)
		return false;	/* not the clock it should be */
	*t_ns = (int64_t)((double)a->t_ns +
			  ((double)virtual_ns - (double)a->tsc) * slope);
	return true;
}
