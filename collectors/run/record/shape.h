/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The shape of every line a guest may send, as record.json describes it.
 * Nothing a guest says is used before it has passed.
 */
#ifndef RUN_RECORD_SHAPE_H
#define RUN_RECORD_SHAPE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gen/record_types.h"

#define SHAPE_WHY_MAX	192

enum is_a {
	IS_BOOL, IS_INT, IS_NUMBER, IS_TEXT, IS_HEX, IS_WORDS, IS_MAP, IS_LIST, IS_PAIRS,
	IS_OBJECT, IS_OBJECTS,
};

/* A kind of value and its bounds: of the number, of the bytes of a text, of the entries. */
struct value {
	enum is_a is_a;
	int64_t low, high;
	const char *chars, *first_chars;	/* of a text; NULL: any */
	const char *const *words;		/* NULL ends them */
	const struct value *first, *of;		/* of a pair's first, of the second or of entries */
	const struct object *object;
	bool null;				/* an entry may be null */
};

struct field {
	const char *name;
	const struct value *value;
	bool required;
	bool null;
	const char *unless;	/* a flag of the same object that makes it optional */
};

struct object {
	const char *name;
	const struct field *fields;	/* the last has no name */
	bool closed;			/* no other fields are allowed */
};

struct line_shape {
	const char *name;
	enum line_type type;
	const char *by, *kind;	/* one of several shapes of the type: NULL, or field and value */
	const struct object *object;
};

/* The type of the line; LINE_BAD with field and reason in why. */
enum line_type shape__check(const json_t *line, char *why, size_t size);

/* All shapes, for tests that try each field. */
const struct line_shape *shape__lines(size_t *nr);

#endif
