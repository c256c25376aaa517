// SPDX-License-Identifier: GPL-2.0-or-later
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "run/record/shape.h"
#include "run/util.h"

/* line_shapes[] and what it points to. */
#include "gen/record_shapes.h"

const struct line_shape *shape__lines(size_t *nr)
{
	*nr = ARRAY_SIZE(line_shapes);
	return line_shapes;
}

/*
 * What is wrong with a value, and where: name is put together from the inside
 * out, "free_pages" becomes "zones[0].free_pages".
 */
struct fault {
	char name[96];
	char what[80];
};

static bool fault(struct fault *f, const char *what)
{
	f->name[0] = '\0';
	snprintf(f->what, sizeof(f->what), "%s", what);
	return false;
}

static bool fault_in(struct fault *f, const char *outer)
{
	size_t len = strlen(outer), have = strlen(f->name);
	size_t dot = have && f->name[0] != '[';

	/* Names are short; an inner one alone still helps. */
	if (len + dot + have >= sizeof(f->name))
		return false;
	memmove(f->name + len + dot, f->name, have + 1);
	memcpy(f->name, outer, len);
	if (dot)
		f->name[len] = '.';
	return false;
}

static bool fault_at(struct fault *f, size_t i)
{
	char index[24];

	snprintf(index, sizeof(index), "[%zu]", i);
	return fault_in(f, index);
}

static bool is_value(const json_t *v, const struct value *value, struct fault *f);

static bool is_int(const json_t *v, const struct value *value, struct fault *f)
{
	json_int_t n = json_integer_value(v);

	if (json_is_integer(v) && n >= value->low && n <= value->high)
		return true;
	fault(f, "");
	snprintf(f->what, sizeof(f->what), "not an integer from %" PRId64 " to %" PRId64,
		 value->low, value->high);
	return false;
}

static bool is_number(const json_t *v, const struct value *value, struct fault *f)
{
	double n = json_number_value(v);

	return (json_is_number(v) && n >= (double)value->low && n <= (double)value->high) ||
	       fault(f, "not a number, or out of bounds");
}

static bool is_text(const json_t *v, const struct value *value, struct fault *f)
{
	const char *s = json_string_value(v);
	size_t len = json_string_length(v);

	if (!s || len < (size_t)value->low || len > (size_t)value->high)
		return fault(f, "not a string, or of a length that is not allowed");
	if (value->chars && strspn(s, value->chars) != len)
		return fault(f, "has a character that is not allowed");
	if (value->first_chars && len && !strchr(value->first_chars, *s))
		return fault(f, "begins with a character that is not allowed");
	return true;
}

static bool is_hex(const json_t *v, const struct value *value, struct fault *f)
{
	const char *s, *digits;
	size_t nr;

	if (!is_text(v, value, f))
		return false;
	s = json_string_value(v);
	digits = s[0] == '0' && s[1] == 'x' ? s + 2 : s;
	nr = strlen(digits);
	return (nr && nr <= (size_t)value->high - 2 && !strchr(digits, 'x')) ||
	       fault(f, "not a hexadecimal number");
}

static bool is_word_of(const json_t *v, const struct value *value, struct fault *f)
{
	const char *const *word, *s = json_string_value(v);

	for (word = value->words; s && *word; word++)
		if (!strcmp(s, *word))
			return true;
	return fault(f, "not one of the words allowed");
}

static bool is_map(const json_t *v, const struct value *value, struct fault *f)
{
	const char *key;
	json_t *item;

	if (!json_is_object(v) || json_object_size(v) > (size_t)value->high)
		return fault(f, "not an object, or too large");
	json_object_foreach((json_t *)v, key, item)
		if (!is_value(item, value->of, f))
			return fault_in(f, "(an entry)");
	return true;
}

static bool is_list_of(const json_t *v, const struct value *value, struct fault *f)
{
	if (json_is_array(v) && json_array_size(v) <= (size_t)value->high)
		return true;
	return fault(f, "not a list, or too long");
}

static bool is_list(const json_t *v, const struct value *value, struct fault *f)
{
	json_t *item;
	size_t i;

	if (!is_list_of(v, value, f))
		return false;
	json_array_foreach((json_t *)v, i, item)
		if (!is_value(item, value->of, f))
			return fault_at(f, i);
	return true;
}

static bool is_pairs(const json_t *v, const struct value *value, struct fault *f)
{
	json_int_t first, last = -1;
	json_t *pair;
	size_t i;

	if (!is_list_of(v, value, f))
		return false;
	json_array_foreach((json_t *)v, i, pair) {
		if (json_array_size(pair) != 2) {
			fault(f, "not a pair");
			return fault_at(f, i);
		}
		if (!is_value(json_array_get(pair, 0), value->first, f) ||
		    !is_value(json_array_get(pair, 1), value->of, f))
			return fault_at(f, i);
		first = json_integer_value(json_array_get(pair, 0));
		if (first <= last) {
			fault(f, "the first numbers do not ascend");
			return fault_at(f, i);
		}
		last = first;
	}
	return true;
}

static bool is_object(const json_t *v, const struct object *object, size_t nr_more,
		      struct fault *f);

static bool is_objects(const json_t *v, const struct value *value, struct fault *f)
{
	json_t *item;
	size_t i;

	if (!is_list_of(v, value, f))
		return false;
	json_array_foreach((json_t *)v, i, item)
		if (!(value->null && json_is_null(item)) && !is_object(item, value->object, 0, f))
			return fault_at(f, i);
	return true;
}

static bool is_value(const json_t *v, const struct value *value, struct fault *f)
{
	switch (value->is_a) {
	case IS_BOOL:
		return json_is_boolean(v) || fault(f, "neither true nor false");
	case IS_INT:
		return is_int(v, value, f);
	case IS_NUMBER:
		return is_number(v, value, f);
	case IS_TEXT:
		return is_text(v, value, f);
	case IS_HEX:
		return is_hex(v, value, f);
	case IS_WORDS:
		return is_word_of(v, value, f);
	case IS_MAP:
		return is_map(v, value, f);
	case IS_LIST:
		return is_list(v, value, f);
	case IS_PAIRS:
		return is_pairs(v, value, f);
	case IS_OBJECT:
		return is_object(v, value->object, 0, f);
	case IS_OBJECTS:
		return is_objects(v, value, f);
	}
	return fault(f, "of no known kind");
}

/* nr_more: fields allowed beside those of the object (its type, and what says its kind). */
static bool is_object(const json_t *v, const struct object *object, size_t nr_more,
		      struct fault *f)
{
	const struct field *field;
	size_t nr = nr_more;

	if (!json_is_object(v))
		return fault(f, "not an object");
	for (field = object->fields; field->name; field++) {
		const json_t *item = json_object_get(v, field->name);

		if (item) {
			nr++;
			if (field->null && json_is_null(item))
				continue;
			if (!is_value(item, field->value, f))
				return fault_in(f, field->name);
		} else if (field->required &&
			   !(field->unless && json_is_true(json_object_get(v, field->unless)))) {
			fault(f, "missing");
			return fault_in(f, field->name);
		}
	}
	if (object->closed && nr != json_object_size(v))
		return fault(f, "has a field that is not allowed");
	return true;
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

/* What the description cannot say; NULL, or the complaint, which begins with the field. */
static const char *check_meaning(const json_t *line, enum line_type type, const char *kind)
{
	const char *src = json_string_value(json_object_get(line, "src"));
	const json_t *done = json_object_get(line, "done_ns");

	switch (type) {
	case LINE_EVENT:
		if (!strcmp(kind, "batch") && done && json_integer_value(done) <
		    json_integer_value(json_object_get(line, "start_ns")))
			return "done_ns: earlier than start_ns";
		break;
	case LINE_SAMPLE:
		if (!strcmp(kind, "load") && json_integer_value(json_object_get(line, "n")) &&
		    !json_is_number(json_object_get(line, "p50_us")))
			return "p50_us: missing though n > 0";
		break;
	case LINE_HIST:
		if (!adds_up(json_object_get(line, "counts"),
			     json_integer_value(json_object_get(line, "n"))))
			return "counts: do not add up to n";
		break;
	case LINE_LOSS:
		if (!loss_adds_up(line))
			return "seen: is not recorded + dropped";
		break;
	case LINE_LOG:
		if (!strcmp(src, "host") || !strcmp(src, "runner"))
			return "src: the guest speaks as the host";
		break;
	default:
		break;
	}
	/* Which guest it is the runner knows, and says. */
	return json_object_get(line, "guest") ? "guest: not for a guest to say" : NULL;
}

static enum line_type bad(char *why, size_t size, const char *of, const char *what)
{
	snprintf(why, size, "%s%s%s", of, *of && *what ? ": " : "", what);
	return LINE_BAD;
}

/* The shape that fits; NULL, with the reason in f, when there is none. */
static const struct line_shape *find_shape(const json_t *line, const char *type, struct fault *f)
{
	const char *kind = NULL;
	size_t i;

	fault(f, "unknown type");
	for (i = 0; i < ARRAY_SIZE(line_shapes); i++) {
		const struct line_shape *shape = &line_shapes[i];

		if (strcmp(type, shape->name))
			continue;
		if (!shape->by)
			return shape;
		kind = json_string_value(json_object_get(line, shape->by));
		if (kind && !strcmp(kind, shape->kind))
			return shape;
		fault(f, "missing, unknown, or not for a guest");
		fault_in(f, shape->by);
	}
	return NULL;
}

enum line_type shape__check(const json_t *line, char *why, size_t size)
{
	const char *type = json_string_value(json_object_get(line, "type")), *complaint;
	const struct line_shape *shape;
	char text[SHAPE_WHY_MAX];
	struct fault f;

	if (!json_is_object(line) || !type)
		return bad(why, size, "", "not an object with a type");
	if (is_deeper_than(line, RECORD_MAX_DEPTH))
		return bad(why, size, "", "nested too deeply");
	shape = find_shape(line, type, &f);
	if (!shape || !is_object(line, shape->object, shape->by ? 2 : 1, &f)) {
		snprintf(text, sizeof(text), "%s%s%s", f.name, f.name[0] ? ": " : "", f.what);
		return bad(why, size, shape ? shape->object->name : f.name[0] ? type : "", text);
	}
	complaint = check_meaning(line, shape->type, shape->kind);
	if (complaint)
		return bad(why, size, shape->object->name, complaint);
	return shape->type;
}
