// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "trace/events.h"
#include "trace/replay.h"
#include "trace/sample.h"
#include "trace/screen.h"

/* ---- the reverse of events.c: a function for each `as` of hint_events.h ---- */

static json_int_t integer(const json_t *o, const char *key, json_int_t absent)
{
	const json_t *v = json_object_get(o, key);

	return json_is_integer(v) ? json_integer_value(v) : absent;
}

static json_int_t flag(const json_t *o, const char *key, json_int_t absent)
{
	const json_t *v = json_object_get(o, key);

	return json_is_boolean(v) ? json_is_true(v) : absent;
}

static void get_comm(const json_t *o, const char *key, char *to)
{
	const char *text = json_string_value(json_object_get(o, key));

	memset(to, 0, HINT_COMM_LEN);
	if (text)
		memcpy(to, text, strnlen(text, HINT_COMM_LEN));
}

static void get_text(const json_t *o, const char *key, char *to, size_t size)
{
	const char *text = json_string_value(json_object_get(o, key));

	memset(to, 0, size);
	if (text)
		memcpy(to, text, strnlen(text, size));
}

static __u8 get_constraint(const json_t *o, const char *key)
{
	static const char *const names[] = { "none", "cpuset", "memory_policy", "memcg",
					     "thisnode" };
	const char *text = json_string_value(json_object_get(o, key));

	for (__u8 i = 0; text && i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(text, names[i]))
			return i;
	return HINT_UNKNOWN;
}

static __u64 get_nodes(const json_t *o, const char *key)
{
	const json_t *list = json_object_get(o, key);
	__u64 nodes = 0;

	for (size_t i = 0; i < json_array_size(list); i++) {
		json_int_t node = json_integer_value(json_array_get(list, i));

		if (node >= 0 && node < HINT_NR_NODES)
			nodes |= 1ULL << node;
	}
	return nodes;
}

static void get_counts(const json_t *o, const char *key, __u32 *to)
{
	const json_t *list = json_object_get(o, key);

	for (size_t i = 0; i < HINT_NR_ORDERS; i++)
		to[i] = (__u32)json_integer_value(json_array_get(list, i));
}

static void get_pairs(const json_t *o, const char *key, __u32 *to)
{
	const json_t *list = json_object_get(o, key);

	memset(to, 0, HINT_NR_ORDERS * sizeof(*to));
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *pair = json_array_get(list, i);
		json_int_t order = json_integer_value(json_array_get(pair, 0));

		if (order >= 0 && order < HINT_NR_ORDERS)
			to[order] = (__u32)json_integer_value(json_array_get(pair, 1));
	}
}

#define GET_u64(o, name)	r->name = (__typeof__(r->name))integer(o, #name, 0);
#define GET_s64(o, name)	r->name = (__typeof__(r->name))integer(o, #name, 0);
#define GET_flag(o, name)	r->name = (__typeof__(r->name))flag(o, #name, 0);
#define GET_maybe(o, name)	r->name = (__typeof__(r->name))flag(o, #name, HINT_UNKNOWN);
#define GET_known(o, name)	r->name = (__typeof__(r->name))integer(o, #name, ~0U);
#define GET_comm(o, name)	get_comm(o, #name, r->name);
#define GET_text(o, name)	get_text(o, #name, r->name, sizeof(r->name));
#define GET_constraint(o, name)	r->name = get_constraint(o, #name);
#define GET_nodes(o, name)	r->name = get_nodes(o, #name);
#define GET_counts(o, name)	get_counts(o, #name, r->name);
#define GET_pairs(o, name)	get_pairs(o, #name, r->name);
#define GET_none(o, name)

#define GET_FIELD(as, type, name, dimension)	GET_##as(o, name)

static void get_zone(const json_t *o, struct zone_snap *r)
{
	ZONE_FIELDS(GET_FIELD)
}

static void get_shortage(const json_t *o, struct shortage *r)
{
	const json_t *zones = json_object_get(o, "zones");

	SHORTAGE_FIELDS(GET_FIELD)
	r->zones_missing = flag(o, "zones_missing", 0) ||
			   json_array_size(zones) > HINT_MAX_SNAP_ZONES;
	for (size_t i = 0; i < json_array_size(zones) && i < HINT_MAX_SNAP_ZONES; i++)
		get_zone(json_array_get(zones, i), &r->zones[r->nr_zones++]);
	for (int i = 0; i < r->nr_zones; i++)
		r->zones_missing |= r->zones[i].node >= HINT_NR_NODES;
}

/* What decides and an older tracer did not write; NULL when all is there. */
static const char *lacks(const json_t *o)
{
	static const char *const of_kill[] = { "gfp", "order", "highest_zoneidx", "state_ns",
					       "memcg", "sysrq", "pf_memalloc", "oom_victim" };
	static const char *const of_zone[] = { "cma_pages", "boost_pages" };
	const json_t *zones = json_object_get(o, "zones");

	for (size_t i = 0; i < sizeof(of_kill) / sizeof(of_kill[0]); i++) {
		const json_t *v = json_object_get(o, of_kill[i]);

		if (!v || json_is_null(v))
			return of_kill[i];
	}
	for (size_t z = 0; z < json_array_size(zones); z++) {
		for (size_t i = 0; i < sizeof(of_zone) / sizeof(of_zone[0]); i++) {
			const json_t *v = json_object_get(json_array_get(zones, z), of_zone[i]);

			if (!v || json_is_null(v))
				return of_zone[i];
		}
	}
	return NULL;
}

static void get_kill(const json_t *o, struct oom_kill_rec *r)
{
	OOM_KILL_FIELDS(GET_FIELD)
	get_shortage(o, &r->s);
	if (!json_object_get(o, "culprit_comm")) {
		get_comm(o, "comm", r->culprit_comm);
		r->culprit_pid = (__u64)integer(o, "pid", 0);
	}
	r->hdr.type = REC_OOM_KILL;
	r->hdr.len = sizeof(*r);
}

static void get_batch(const json_t *o, struct batch_rec *r)
{
	BATCH_FIELDS(GET_FIELD)
	r->hdr.type = REC_BATCH;
	r->hdr.len = sizeof(*r);
}

static void get_sample(const json_t *o, struct sample_rec *r)
{
	const json_t *zones = json_object_get(o, "zones"), *counts = json_object_get(o, "vmstat");

	r->hdr.type = REC_SAMPLE;
	for (size_t i = 0; i < json_array_size(zones) && i < HINT_SAMPLE_ZONES; i++) {
		const json_t *zone = json_array_get(zones, i);

		r->zones[i].free_pages = (__u64)integer(zone, "free_pages", 0);
		r->zones[i].st.held_pages = integer(zone, "held_pages", 0);
		r->nr_zones++;
	}
	for (int i = 0; i < NR_SAMPLE_COUNTS; i++)
		r->counts[i] = (__u64)integer(counts, sample_count_names[i], 0);
}

/* ---- lines ---- */

static void put_verdict(const struct oom_kill_rec *kill)
{
	static char buf[JW_LINE_MAX];
	struct verdict v;
	struct jw w;
	long len;

	verdict__of_kill(&v, kill);
	jw__init(&w, buf, sizeof(buf));
	jw__obj_begin(&w, NULL);
	jw__u64(&w, "t_ns", kill->hdr.t_ns);
	jw__str(&w, "kind", "oom_kill");
	jw__str(&w, "verdict", verdict_names[v.kind]);
	jw__str(&w, "reason", v.reason);
	jw__obj_end(&w);
	len = jw__finish(&w);
	if (len > 0)
		fwrite(buf, 1, (size_t)len, stdout);
}

static bool is(const json_t *o, const char *key, const char *want)
{
	const char *text = json_string_value(json_object_get(o, key));

	return text && !strcmp(text, want);
}

union any_rec {
	struct rec_hdr hdr;
	struct oom_kill_rec kill;
	struct batch_rec batch;
	struct sample_rec sample;
};

/* 0, or -EBADMSG, and *why is the field that is not there. */
static int take_line(struct screen *s, const json_t *o, bool json, const char **why)
{
	static union any_rec rec;

	if (integer(o, "guest", 0))
		return 0;	/* another machine */
	memset(&rec, 0, sizeof(rec));
	rec.hdr.t_ns = (__u64)integer(o, "t_ns", 0);
	if (is(o, "type", "sample") && is(o, "src", "guest"))
		get_sample(o, &rec.sample);
	else if (is(o, "type", "event") && is(o, "kind", "oom_kill") && (*why = lacks(o)))
		return -EBADMSG;
	else if (is(o, "type", "event") && is(o, "kind", "oom_kill"))
		get_kill(o, &rec.kill);
	else if (is(o, "type", "event") && is(o, "kind", "batch") && !flag(o, "open", 0))
		get_batch(o, &rec.batch);
	else
		return 0;
	if (json) {
		if (rec.hdr.type == REC_OOM_KILL)
			put_verdict(&rec.kill);
		return 0;
	}
	screen__tick(s, rec.hdr.t_ns);
	screen__record(s, &rec.hdr, flag(o, "own", 0));
	return 0;
}

int replay__file(const char *path, bool json)
{
	static struct screen s;
	FILE *f = fopen(path, "re");
	char *line = NULL;
	size_t size = 0;
	__u64 nr = 0;
	ssize_t len;
	int err = 0;

	if (!f) {
		err = -errno;
		fprintf(stderr, "hinttrace: cannot open %s: %s\n", path, strerror(-err));
		return err;
	}
	s.to = stdout;
	while (!err && (len = getline(&line, &size, f)) > 0) {
		json_error_t why;
		json_t *o = json_loadb(line, (size_t)len, 0, &why);

		nr++;
		/* A stream may have been cut at any byte. */
		if (!o && line[len - 1] != '\n')
			break;
		if (json_is_object(o)) {
			const char *lack = NULL;

			err = take_line(&s, o, json, &lack);
			if (err)
				fprintf(stderr, "hinttrace: %s:%llu: a kill without %s, of an older tracer: python3 -m analysis judge says what can be told of it\n",
					path, nr, lack);
		} else {
			fprintf(stderr, "hinttrace: %s:%llu: not a line of a record: %s\n", path,
				nr, o ? "no object" : why.text);
			err = -EBADMSG;
		}
		json_decref(o);
	}
	if (!json)
		screen__end(&s);
	if (!err && !json && !s.nr_incidents)
		printf("nobody was killed in %s\n", path);
	free(line);
	fclose(f);
	return err;
}
