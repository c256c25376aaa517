// SPDX-License-Identifier: GPL-2.0-or-later
/* SOURCES: collectors/run/record/shape.c collectors/run/util.c collectors/common/fd.c */
/* LIBS: -ljansson */
/*
 * Every field of every line a guest may send, from the description itself:
 * missing, of another type, out of bounds. It is refused, and named.
 */
#include <stdlib.h>

#include "tap.h"
#include "run/record/shape.h"
#include "run/util.h"

static json_t *make_object(const struct object *object, bool is_line);

static json_t *text_of(char c, size_t len)
{
	char *s = malloc(len + 1);
	json_t *v;

	memset(s, c, len);
	s[len] = '\0';
	v = json_string(s);
	free(s);
	return v;
}

/* A value that is allowed, the smallest. */
static json_t *make_value(const struct value *v)
{
	const char *chars = v->first_chars ? v->first_chars : v->chars ? v->chars : "a";

	switch (v->is_a) {
	case IS_BOOL:
		return json_false();
	case IS_INT:
		return json_integer(v->low < 0 && v->high >= 0 ? 0 : v->low);
	case IS_NUMBER:
		return json_real((double)v->low);
	case IS_TEXT:
		return text_of(*chars, (size_t)v->low);
	case IS_HEX:
		return json_string("0x0");
	case IS_WORDS:
		return json_string(v->words[0]);
	case IS_MAP:
		return json_object();
	case IS_LIST:
	case IS_PAIRS:
		return json_array();
	case IS_OBJECT:
		return make_object(v->object, false);
	case IS_OBJECTS:
		return json_pack("[o]", make_object(v->object, false));
	}
	return NULL;
}

static json_t *make_object(const struct object *object, bool is_line)
{
	json_t *obj = json_object();
	const struct field *f;

	for (f = object->fields; f->name; f++)
		if (!is_line || strcmp(f->name, "guest"))	/* is not for a guest to say */
			json_object_set_new(obj, f->name, make_value(f->value));
	return obj;
}

static json_t *make_line(const struct line_shape *shape)
{
	json_t *line = make_object(shape->object, true);

	json_object_set_new(line, "type", json_string(shape->name));
	if (shape->by)
		json_object_set_new(line, shape->by, json_string(shape->kind));
	return line;
}

static json_t *too_many(const struct value *v)
{
	json_t *list = json_array();
	int64_t i;

	for (i = 0; i <= v->high; i++) {
		if (v->is_a == IS_PAIRS)
			json_array_append_new(list, json_pack("[I, i]", (json_int_t)i, 0));
		else
			json_array_append_new(list, v->is_a == IS_LIST ? make_value(v->of) :
						    make_object(v->object, false));
	}
	return list;
}

static json_t *map_of(int64_t nr, json_t *item)
{
	json_t *map = json_object();
	char key[24];

	while (nr--) {
		snprintf(key, sizeof(key), "k%d", (int)nr);
		json_object_set(map, key, item);
	}
	json_decref(item);
	return map;
}

/* The i-th value that is not allowed; NULL after the last. */
static json_t *bad_value(const struct value *v, int i)
{
	json_t *of_another_type = v->is_a == IS_TEXT || v->is_a == IS_HEX || v->is_a == IS_WORDS ?
				  json_integer(1) : json_string("?");

	if (i == 0)
		return of_another_type;
	json_decref(of_another_type);
	switch (v->is_a) {
	case IS_BOOL:
		return i == 1 ? json_integer(0) : NULL;
	case IS_INT:
		return i == 1 ? json_real(0.5) :
		       i == 2 ? json_integer(v->low - 1) :
		       i == 3 && v->high < INT64_MAX ? json_integer(v->high + 1) : NULL;
	case IS_NUMBER:
		return i == 1 ? json_real((double)v->low - 1) :
		       i == 2 ? json_real((double)v->high * 2) : NULL;
	case IS_TEXT:
		return i == 1 ? text_of('a', (size_t)v->high + 1) :
		       i == 2 && v->chars ? text_of('\x01', (size_t)v->low) :
		       i == 3 && v->low ? json_string("") : NULL;
	case IS_HEX:
		return i == 1 ? json_string("0xg") : i == 2 ? json_string("0x") :
		       i == 3 ? json_string("1x1") : i == 4 ? text_of('1', 40) : NULL;
	case IS_WORDS:
		return i == 1 ? json_string("no such word") : NULL;
	case IS_MAP:
		return i == 1 ? map_of(1, bad_value(v->of, 0)) :
		       i == 2 ? map_of(v->high + 1, make_value(v->of)) : NULL;
	case IS_LIST:
		return i == 1 ? json_pack("[o]", bad_value(v->of, 0)) :
		       i == 2 ? too_many(v) : NULL;
	case IS_PAIRS:
		return i == 1 ? json_pack("[[i]]", 0) :
		       i == 2 ? json_pack("[[i, i], [i, i]]", 1, 0, 1, 0) :
		       i == 3 ? json_pack("[[i, s]]", 0, "x") :
		       i == 4 ? too_many(v) : NULL;
	case IS_OBJECT:
		return i == 1 ? json_array() : NULL;
	case IS_OBJECTS:
		return i == 1 ? json_pack("[i]", 1) : i == 2 ? too_many(v) : NULL;
	}
	return NULL;
}

static bool is_refused(const json_t *line, const char *field)
{
	char why[SHAPE_WHY_MAX] = "";

	if (shape__check(line, why, sizeof(why)) == LINE_BAD && strstr(why, field))
		return true;
	printf("# %s: %s\n", field, why[0] ? why : "taken");
	return false;
}

static bool is_taken(const json_t *line)
{
	char why[SHAPE_WHY_MAX] = "";

	if (shape__check(line, why, sizeof(why)) != LINE_BAD)
		return true;
	printf("# %s\n", why);
	return false;
}

/* The fields of obj, which is line or a part of it. */
static void try_fields(const json_t *line, json_t *obj, const struct object *object)
{
	const struct field *f;

	for (f = object->fields; f->name; f++) {
		json_t *good = json_incref(json_object_get(obj, f->name)), *bad;
		bool well = true;
		int i;

		if (!good)
			continue;
		json_object_del(obj, f->name);
		well &= f->required ? is_refused(line, f->name) : is_taken(line);
		for (i = 0; (bad = bad_value(f->value, i)); i++) {
			json_object_set_new(obj, f->name, bad);
			well &= is_refused(line, f->name);
		}
		json_object_set_new(obj, f->name, json_null());
		well &= f->null ? is_taken(line) : is_refused(line, f->name);
		json_object_set_new(obj, f->name, good);
		ok(well && is_taken(line), "%s.%s: missing, of another type, out of bounds",
		   object->name, f->name);
		if (f->value->is_a == IS_OBJECT)
			try_fields(line, good, f->value->object);
		else if (f->value->is_a == IS_OBJECTS)
			try_fields(line, json_array_get(good, 0), f->value->object);
	}
	json_object_set_new(obj, "unheard_of", json_integer(1));
	ok(object->closed ? is_refused(line, "not allowed") : is_taken(line),
	   "%s: a field that is not described", object->name);
	json_object_del(obj, "unheard_of");
}

static void test_open_batch(void)
{
	json_t *line = json_pack("{s:s, s:i, s:s, s:i, s:i, s:i, s:i, s:b}", "type", "event",
				 "t_ns", 9, "kind", "batch", "start_ns", 1, "sent_ns", 0,
				 "nr_chunks", 1, "nr_pages", 512, "open", 1);

	ok(is_taken(line), "an open batch has no end");
	json_object_set_new(line, "open", json_false());
	ok(is_refused(line, "ack_ns: missing"), "another has");
	json_decref(line);
}

int main(void)
{
	size_t i, nr;
	const struct line_shape *shapes = shape__lines(&nr);

	for (i = 0; i < nr; i++) {
		json_t *line = make_line(&shapes[i]);

		ok(is_taken(line), "%s: taken", shapes[i].object->name);
		try_fields(line, line, shapes[i].object);
		json_decref(line);
	}
	test_open_batch();
	return tap__done();
}
