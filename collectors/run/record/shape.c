// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "run/record/shape.h"
#include "run/util.h"

#define MAX_ZONES	320	/* 64 nodes of 5 zones */
#define MAX_BUCKETS	8192

enum shape {
	UINT,		/* integer, not negative */
	INT,
	BOOL,
	STR,
	WORD,		/* string of 1..64 bytes a-z 0-9 - _ . */
	MAP,		/* object of name to UINT */
	UINTS,		/* list of at most 64 UINT */
	PAIRS,		/* list of at most 64 [UINT, UINT] */
	COUNTS,		/* as PAIRS, MAX_BUCKETS long, first numbers ascending */
	STRINGS,	/* object of name to STR */
	ZONES,		/* list of zones */
	GUEST_ZONES,	/* list of zones as in hello, nothing else in them */
};

struct field {
	const char *name;
	enum shape shape;
	bool required;
};

/* The last field of a list has no name. */
static const struct field zone_fields[] = {
	{ "node", UINT, true }, { "zone", UINT, true }, { "free_pages", INT, true },
	{ "min_pages", UINT, false }, { "low_pages", UINT, false },
	{ "high_pages", UINT, false }, { "reserve_pages", INT, false },
	{ "highatomic_pages", INT, false }, { "held_pages", INT, true },
	{ "uncompensated_pages", INT, true }, { "buffer_pages", INT, false },
	{ "boost_pages", UINT, false }, { "held_by_order", PAIRS, false },
	{ "nr_free_by_order", UINTS, false }, { 0 },
};

static const struct field hello_zone_fields[] = {
	{ "node", UINT, true }, { "zone", WORD, true }, { "managed_pages", UINT, true },
	{ "min_pages", UINT, true }, { "low_pages", UINT, true },
	{ "high_pages", UINT, true }, { 0 },
};

static const struct field hello_fields[] = {
	{ "type", STR, true }, { "release", STR, true }, { "cmdline", STR, true },
	{ "mem_total_kib", UINT, true }, { "min_free_kib", UINT, true },
	{ "features", STR, true }, { "order", INT, true }, { "delay_ms", INT, true },
	{ "capacity", INT, true }, { "buffer_wanted_pages", UINT, true },
	{ "buffer_held_pages", UINT, true }, { "zones", GUEST_ZONES, true },
	{ "swap_kib", UINT, true }, { "parameters", STRINGS, false }, { 0 },
};

static const struct field task_fields[] = {
	{ "kind", STR, true }, { "cpu", UINT, false }, { "pid", INT, false },
	{ "comm", STR, false }, { 0 },
};

static const struct field batch_fields[] = {
	{ "start_ns", UINT, false }, { "sent_ns", UINT, true }, { "ack_ns", UINT, false },
	{ "done_ns", UINT, true }, { "nr_chunks", UINT, true }, { "nr_pages", UINT, true },
	{ "min_order", UINT, false }, { "max_order", UINT, false }, { "err", INT, true },
	{ "exchange", BOOL, false }, { 0 },
};

static const struct field oom_kill_fields[] = {
	{ "victim_pid", INT, true }, { "victim_comm", STR, true },
	{ "victim_rss_pages", INT, false }, { "victim_oom_score_adj", INT, false },
	{ "gfp", UINT, false }, { "order", INT, false }, { "highest_zoneidx", UINT, false },
	{ "memcg", BOOL, false }, { "sysrq", BOOL, false }, { "culprit_pid", INT, false },
	{ "culprit_comm", STR, false }, { "zones", ZONES, false },
	{ "held_pages", INT, false }, { "uncompensated_pages", INT, false },
	{ "batch_age_ns", UINT, false }, { "constraint", WORD, false },
	{ "zones_missing", BOOL, false }, { 0 },
};

static const struct field alloc_fail_fields[] = {
	{ "gfp", UINT, true }, { "order", UINT, true }, { "highest_zoneidx", UINT, false },
	{ "zones", ZONES, false }, { "held_pages", INT, false },
	{ "uncompensated_pages", INT, false }, { "batch_age_ns", UINT, false }, { 0 },
};

static const struct field stall_fields[] = {
	{ "duration_ns", UINT, true }, { "gfp", UINT, false }, { "order", INT, false },
	{ "nr_reclaimed_pages", UINT, false }, { "zones", ZONES, false },
	{ "held_pages", INT, false }, { "uncompensated_pages", INT, false },
	{ "highest_zoneidx", UINT, false }, { 0 },
};

static const struct field kswapd_fields[] = {
	{ "node", UINT, true }, { "order", INT, false }, { "zones", ZONES, false },
	{ "held_pages", INT, false }, { "uncompensated_pages", INT, false }, { 0 },
};

static const struct field violation_fields[] = {
	{ "node", UINT, true }, { "zone", UINT, true }, { "order", UINT, true },
	{ "free_delta_pages", INT, true }, { "taken_pfn", UINT, false },
	{ "released_pfn", UINT, false }, { 0 },
};

static const struct field exit_fields[] = {
	{ "name", WORD, true }, { "status", INT, false }, { "signal", INT, false },
	{ "round", INT, false }, { 0 },
};

static const struct field lag_fields[] = { { "lag_ns", UINT, true }, { 0 } };

static const struct field lag_max_fields[] = {
	{ "lag_ns", UINT, true }, { "nr", UINT, true }, { 0 },
};

static const struct {
	const char *kind;
	const struct field *fields;
} kinds[] = {
	{ "batch", batch_fields }, { "oom_kill", oom_kill_fields },
	{ "alloc_fail", alloc_fail_fields }, { "direct_reclaim", stall_fields },
	{ "compaction_stall", stall_fields }, { "kswapd_wake", kswapd_fields },
	{ "exchange_violation", violation_fields }, { "proc_exit", exit_fields },
	{ "load_lag", lag_fields }, { "load_lag_max", lag_max_fields },
};

static const struct field phase_fields[] = {
	{ "name", WORD, true }, { "edge", WORD, true }, { "index", UINT, false }, { 0 },
};

static const struct field guest_sample_fields[] = {
	{ "zones", ZONES, false }, { "uncompensated_page_ns", UINT, false },
	{ "held_page_ns", UINT, false }, { "exchanges", UINT, false },
	{ "exchange_free_delta_pages", UINT, false }, { "vmstat", MAP, false }, { 0 },
};

static const struct field load_sample_fields[] = {
	{ "n", UINT, true }, { "errors", UINT, true }, { 0 },
};

static const struct field hist_fields[] = {
	{ "name", WORD, true }, { "unit", STR, true }, { "sub_bits", UINT, true },
	{ "n", UINT, true }, { "sum", UINT, true }, { "max", UINT, true },
	{ "counts", COUNTS, true }, { "lost", UINT, false }, { 0 },
};

static const struct field loss_fields[] = {
	{ "probe", STR, true }, { "seen", UINT, true }, { "recorded", UINT, true },
	{ "dropped", MAP, true }, { 0 },
};

static const struct field log_fields[] = {
	{ "src", WORD, true }, { "text", STR, true }, { 0 },
};

static const struct field sync_fields[] = { { "tsc", UINT, true }, { 0 } };
static const struct field bye_fields[] = { { "status", UINT, true }, { 0 } };

static const struct {
	const char *name;
	enum line_type type;
	bool has_time;
	const struct field *fields;
} types[] = {
	{ "phase", LINE_PHASE, true, phase_fields },
	{ "event", LINE_EVENT, true, task_fields },
	{ "sample", LINE_SAMPLE, true, NULL },
	{ "hist", LINE_HIST, true, hist_fields },
	{ "loss", LINE_LOSS, true, loss_fields },
	{ "log", LINE_LOG, true, log_fields },
	{ "hello", LINE_HELLO, false, hello_fields },
	{ "sync", LINE_SYNC, true, sync_fields },
	{ "bye", LINE_BYE, false, bye_fields },
};

static bool is_uint(const json_t *v)
{
	return json_is_integer(v) && json_integer_value(v) >= 0;
}

static bool is_word(const json_t *v)
{
	const char *s = json_string_value(v);
	size_t len = s ? strlen(s) : 0;

	return len && len <= 64 &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == len;
}

static bool is_map(const json_t *v)
{
	const char *key;
	json_t *item;

	if (!json_is_object(v) || json_object_size(v) > 64)
		return false;
	json_object_foreach((json_t *)v, key, item)
		if (!is_uint(item))
			return false;
	return true;
}

static bool is_strings(const json_t *v)
{
	const char *key;
	json_t *item;

	if (!json_is_object(v) || json_object_size(v) > 64)
		return false;
	json_object_foreach((json_t *)v, key, item)
		if (!json_is_string(item))
			return false;
	return true;
}

static bool is_uints(const json_t *v)
{
	size_t i, n = json_array_size(v);

	if (!json_is_array(v) || n > 64)
		return false;
	for (i = 0; i < n; i++)
		if (!is_uint(json_array_get(v, i)))
			return false;
	return true;
}

static bool is_pairs(const json_t *v, size_t max, bool ascending)
{
	size_t i, n = json_array_size(v);
	json_int_t last = -1;

	if (!json_is_array(v) || n > max)
		return false;
	for (i = 0; i < n; i++) {
		const json_t *pair = json_array_get(v, i);

		if (json_array_size(pair) != 2 || !is_uints(pair))
			return false;
		if (ascending && json_integer_value(json_array_get(pair, 0)) <= last)
			return false;
		last = json_integer_value(json_array_get(pair, 0));
	}
	return true;
}

static const struct field *wrong_field(const json_t *obj, const struct field *fields);

static bool has_only(const json_t *obj, const struct field *fields)
{
	const struct field *f;
	size_t n = 0;

	for (f = fields; f->name; f++)
		n += json_object_get(obj, f->name) != NULL;
	return n == json_object_size(obj);
}

static bool is_zones(const json_t *v, const struct field *fields, bool only)
{
	size_t i, n = json_array_size(v);

	if (!json_is_array(v) || n > MAX_ZONES)
		return false;
	for (i = 0; i < n; i++) {
		const json_t *zone = json_array_get(v, i);

		if (!json_is_object(zone) || wrong_field(zone, fields) ||
		    (only && !has_only(zone, fields)))
			return false;
	}
	return true;
}

static bool is_shape(const json_t *v, enum shape shape)
{
	switch (shape) {
	case UINT:
		return is_uint(v);
	case INT:
		return json_is_integer(v);
	case BOOL:
		return json_is_boolean(v);
	case STR:
		return json_is_string(v);
	case WORD:
		return is_word(v);
	case MAP:
		return is_map(v);
	case UINTS:
		return is_uints(v);
	case PAIRS:
		return is_pairs(v, 64, false);
	case COUNTS:
		return is_pairs(v, MAX_BUCKETS, true);
	case STRINGS:
		return is_strings(v);
	case ZONES:
		return is_zones(v, zone_fields, false);
	case GUEST_ZONES:
		return is_zones(v, hello_zone_fields, true);
	}
	return false;
}

/* The first field that is missing or of wrong shape; NULL when all is well. */
static const struct field *wrong_field(const json_t *obj, const struct field *fields)
{
	const struct field *f;

	for (f = fields; f->name; f++) {
		const json_t *v = json_object_get(obj, f->name);

		if (v ? !is_shape(v, f->shape) : f->required)
			return f;
	}
	return NULL;
}

static bool is_deeper_than(const json_t *v, int depth)
{
	const char *key;
	json_t *item;
	size_t i;

	if (!json_is_object(v) && !json_is_array(v))
		return false;
	if (!depth)
		return true;
	if (json_is_object(v)) {
		json_object_foreach((json_t *)v, key, item)
			if (is_deeper_than(item, depth - 1))
				return true;
	} else {
		json_array_foreach((json_t *)v, i, item)
			if (is_deeper_than(item, depth - 1))
				return true;
	}
	return false;
}

static const struct field *fields_of_kind(const json_t *line)
{
	const char *kind = json_string_value(json_object_get(line, "kind"));
	size_t i;

	for (i = 0; kind && i < ARRAY_SIZE(kinds); i++)
		if (!strcmp(kind, kinds[i].kind))
			return kinds[i].fields;
	return NULL;
}

/* A guest may not speak as the host. */
static const struct field *fields_of_src(const json_t *line)
{
	const char *src = json_string_value(json_object_get(line, "src"));

	if (src && !strcmp(src, "guest"))
		return guest_sample_fields;
	if (src && !strcmp(src, "load"))
		return load_sample_fields;
	return NULL;
}

/* Sum the second numbers; false when it is not total, or overflows. */
static bool adds_up(const json_t *pairs, json_int_t total)
{
	json_int_t sum = 0, n;
	size_t i;

	for (i = 0; i < json_array_size(pairs); i++) {
		n = json_integer_value(json_array_get(json_array_get(pairs, i), 1));
		if (__builtin_add_overflow(sum, n, &sum))
			return false;
	}
	return sum == total;
}

static bool loss_adds_up(const json_t *line)
{
	json_int_t sum = json_integer_value(json_object_get(line, "recorded"));
	const char *key;
	json_t *n;

	json_object_foreach(json_object_get(line, "dropped"), key, n)
		if (__builtin_add_overflow(sum, json_integer_value(n), &sum))
			return false;
	return sum == json_integer_value(json_object_get(line, "seen"));
}

/* What a table of fields cannot say; NULL, or the complaint. */
static const char *check_meaning(const json_t *line, enum line_type type)
{
	const char *edge = json_string_value(json_object_get(line, "edge"));
	const char *src = json_string_value(json_object_get(line, "src"));

	switch (type) {
	case LINE_PHASE:
		if (strcmp(edge, "begin") && strcmp(edge, "end"))
			return "edge is neither begin nor end";
		break;
	case LINE_HELLO:
		if (!has_only(line, hello_fields))
			return "hello has a field that is not allowed";
		break;
	case LINE_HIST:
		if (json_integer_value(json_object_get(line, "sub_bits")) > 16)
			return "sub_bits is beyond 16";
		if (!adds_up(json_object_get(line, "counts"),
			     json_integer_value(json_object_get(line, "n"))))
			return "counts do not add up to n";
		break;
	case LINE_LOSS:
		if (!loss_adds_up(line))
			return "seen is not recorded + dropped";
		break;
	case LINE_LOG:
		if (!strcmp(src, "host") || !strcmp(src, "runner"))
			return "the guest speaks as the host";
		break;
	case LINE_BYE:
		if (json_integer_value(json_object_get(line, "status")) > 255)
			return "status is beyond 255";
		break;
	default:
		break;
	}
	return NULL;
}

static enum line_type bad(char *why, size_t size, const char *what, const char *detail)
{
	snprintf(why, size, "%s%s%s", what, *detail ? ": " : "", detail);
	return LINE_BAD;
}

enum line_type shape__check(const json_t *line, char *why, size_t size)
{
	const char *type = json_string_value(json_object_get(line, "type"));
	const struct field *more = NULL, *wrong;
	const char *complaint;
	size_t i;

	if (!json_is_object(line) || !type)
		return bad(why, size, "not an object with a type", "");
	if (is_deeper_than(line, SHAPE_MAX_DEPTH))
		return bad(why, size, "nested too deeply", "");
	for (i = 0; i < ARRAY_SIZE(types); i++)
		if (!strcmp(type, types[i].name))
			break;
	if (i == ARRAY_SIZE(types))
		return bad(why, size, "unknown type", "");
	if (types[i].has_time) {
		const json_t *t = json_object_get(line, "t_ns");

		if (!is_uint(t) || json_integer_value(t) > SHAPE_MAX_TIME_NS)
			return bad(why, size, types[i].name, "t_ns");
	}
	wrong = types[i].fields ? wrong_field(line, types[i].fields) : NULL;
	if (wrong)
		return bad(why, size, types[i].name, wrong->name);
	if (types[i].type == LINE_EVENT) {
		more = fields_of_kind(line);
		if (!more)
			return bad(why, size, "event", "unknown kind");
	} else if (types[i].type == LINE_SAMPLE) {
		more = fields_of_src(line);
		if (!more)
			return bad(why, size, "sample", "src is neither guest nor load");
	}
	wrong = more ? wrong_field(line, more) : NULL;
	if (wrong)
		return bad(why, size, json_string_value(json_object_get(line, "kind")) ?: type,
			   wrong->name);
	complaint = check_meaning(line, types[i].type);
	if (complaint)
		return bad(why, size, types[i].name, complaint);
	return types[i].type;
}
