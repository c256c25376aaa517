// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/num.h"
#include "run/plan/arms.h"
#include "run/json.h"
#include "run/util.h"

#define MAX_FEATURE	63

/* What stands for a number in a value of device, kernel or expect. */
static const struct {
	const char *name;
	uint64_t unit;		/* of B, in bytes; 0 when it is not of B */
} stand_ins[] = {
	{ "$buffer", 1 }, { "$buffer_kib", 1024 }, { "$capacity", 0 },
};

static uint64_t unit_of_buffer(const char *value)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(stand_ins); i++)
		if (!strcmp(value, stand_ins[i].name))
			return stand_ins[i].unit;
	return 0;
}

/* B, whatever it is used for in this arm: memory, or else a kernel parameter. */
static uint64_t size_of_buffer(const struct cell *c)
{
	const char *key;
	json_t *item;

	if (c->extra_bytes)
		return c->extra_bytes;
	json_object_foreach(json_object_get(c->arm_def, "kernel"), key, item) {
		const char *is = json_string_value(json_object_get(c->kernel_params, key));
		uint64_t unit = unit_of_buffer(json_string_value(item)), value;

		if (unit && is && !num__u64(is, 0, UINT64_MAX / unit, &value))
			return value * unit;
	}
	return 0;
}

/* The value as the cell has it: a number for what stands for one. */
static const char *value_in(const struct cell *c, uint64_t buffer_bytes, const char *value,
			    char *number, size_t size)
{
	uint64_t unit = unit_of_buffer(value);

	if (unit)
		snprintf(number, size, "%llu", (unsigned long long)(buffer_bytes / unit));
	else if (!strcmp(value, "$capacity"))
		snprintf(number, size, "%u", c->capacity);
	else
		return value;
	return number;
}

static bool is_value(const char *value)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(stand_ins); i++)
		if (!strcmp(value, stand_ins[i].name))
			return true;
	return value[0] != '$' && param__is_value(value) && !strpbrk(value, ", ");
}

static int load_controls(struct arm *arm, const char *path, json_t *list)
{
	size_t i;
	json_t *item;

	if (!list)
		return 0;
	if (!json_is_array(list) || json_array_size(list) > MAX_CONTROLS) {
		say__error("%s: controls must be a list of at most %d arms", path, MAX_CONTROLS);
		return -EINVAL;
	}
	json_array_foreach(list, i, item) {
		if (!json_is_string(item) ||
		    !str__is_name(json_string_value(item), CELL_NAME_MAX)) {
			say__error("%s: a control must be the name of an arm", path);
			return -EINVAL;
		}
		strcpy(arm->controls[arm->nr_controls++], json_string_value(item));
	}
	return 0;
}

/* device, kernel, expect.parameters: names to plain values. */
static int check_values(struct arm *arm, const char *path, const char *what,
			const json_t *obj, bool (*is_name)(const char *name))
{
	const char *key, *value;
	json_t *item;

	if (!obj)
		return 0;
	if (!json_is_object(obj)) {
		say__error("%s: %s must be an object", path, what);
		return -EINVAL;
	}
	json_object_foreach((json_t *)obj, key, item) {
		value = json_string_value(item);
		if (!is_name(key) || !value || !is_value(value)) {
			say__error("%s: %s.%s: must be a plain string, or $buffer, $buffer_kib "
				   "or $capacity", path, what, key);
			return -EINVAL;
		}
		if (!unit_of_buffer(value))
			continue;
		/* The record then says B as the kernel parameter, and only there. */
		if (!strcmp(what, "kernel"))
			arm->has_size = true;
		if (!arm->has_size) {
			say__error("%s: %s.%s: %s needs an arm with memory \"x+b\", or with a "
				   "kernel parameter of that size", path, what, key, value);
			return -EINVAL;
		}
	}
	return 0;
}

static bool is_property(const char *name)
{
	return str__is_name(name, CELL_NAME_MAX);
}

static int check_expect(struct arm *arm, const char *path, const json_t *expect)
{
	static const char *const allowed[] = { "features", "parameters" };
	const char *key;
	json_t *item;
	uint64_t bit;

	if (!expect)
		return 0;
	if (json__only(path, "expect", expect, allowed, ARRAY_SIZE(allowed)))
		return -EINVAL;
	json_object_foreach(json_object_get(expect, "features"), key, item) {
		if (num__u64(key, 0, MAX_FEATURE, &bit) || !json_is_boolean(item)) {
			say__error("%s: expect.features: \"%s\" must be a bit, 0 to %d, and "
				   "true or false", path, key, MAX_FEATURE);
			return -EINVAL;
		}
	}
	return check_values(arm, path, "expect.parameters",
			    json_object_get(expect, "parameters"), param__is_name);
}

static bool is_colour(const json_t *v)
{
	const char *s = json_string_value(v);

	return s && s[0] == '#' && strlen(s) == 7 &&
	       strspn(s + 1, "0123456789abcdefABCDEF") == 6;
}

/* What only people and the report read. */
static int check_words(const char *path, const json_t *def, const char *role)
{
	static const char *const roles[] = { "baseline", "rival", "cure", "control" };
	const json_t *colour = json_object_get(def, "colour");
	size_t i;

	if (!json_string_value(json_object_get(def, "description"))) {
		say__error("%s needs a description, one line for people", path);
		return -EINVAL;
	}
	for (i = 0; role && i < ARRAY_SIZE(roles); i++)
		if (!strcmp(role, roles[i]))
			break;
	if (!role || i == ARRAY_SIZE(roles)) {
		say__error("%s: role must be baseline, rival, cure or control", path);
		return -EINVAL;
	}
	if (!is_colour(json_object_get(colour, "light")) ||
	    !is_colour(json_object_get(colour, "dark"))) {
		say__error("%s: colour must be {\"light\": \"#rrggbb\", \"dark\": \"#rrggbb\"}", path);
		return -EINVAL;
	}
	if (!strcmp(role, "control") != !!json_string_value(json_object_get(def, "of"))) {
		say__error("%s: a control, and only a control, says what cure it is a control \"of\"",
			   path);
		return -EINVAL;
	}
	return 0;
}

static int load_def(struct arm *arm, const char *path, const json_t *def)
{
	static const char *const allowed[] = {
		"schema", "description", "role", "order", "colour", "hints", "memory", "buffer",
		"capacity", "device", "kernel", "expect", "controls", "of", "claim", "name",
	};
	const char *memory = json_string_value(json_object_get(def, "memory"));
	json_int_t capacity = json_integer_value(json_object_get(def, "capacity"));
	json_int_t order = json_integer_value(json_object_get(def, "order"));

	arm->description = json_string_value(json_object_get(def, "description"));
	arm->role = json_string_value(json_object_get(def, "role"));
	if (json__only(path, "the arm", def, allowed, ARRAY_SIZE(allowed)) ||
	    check_words(path, def, arm->role))
		return -EINVAL;
	if (!json_is_integer(json_object_get(def, "order")) || order < 0 || order > 9999) {
		say__error("%s: order, the place in tables, must be 0 to 9999", path);
		return -EINVAL;
	}
	if (!json_is_boolean(json_object_get(def, "hints"))) {
		say__error("%s: hints must be true or false", path);
		return -EINVAL;
	}
	if (!memory || (strcmp(memory, "x") && strcmp(memory, "x+b"))) {
		say__error("%s: memory must be \"x\" or \"x+b\"", path);
		return -EINVAL;
	}
	if (capacity < 1 || capacity > CELL_CAPACITY_MAX) {
		say__error("%s: capacity must be 1 to %d", path, CELL_CAPACITY_MAX);
		return -EINVAL;
	}
	if (!json_is_object(json_object_get(def, "device"))) {
		say__error("%s needs a device", path);
		return -EINVAL;
	}
	arm->order = (unsigned int)order;
	arm->hints = json_is_true(json_object_get(def, "hints"));
	arm->has_extra = !strcmp(memory, "x+b");
	arm->has_size = arm->has_extra;
	arm->has_buffer = json_is_true(json_object_get(def, "buffer"));
	arm->capacity = (unsigned int)capacity;
	if (arm->has_buffer && !arm->has_extra) {
		say__error("%s: a buffer needs memory \"x+b\"", path);
		return -EINVAL;
	}
	return check_values(arm, path, "device", json_object_get(def, "device"), is_property) ?:
	       check_values(arm, path, "kernel", json_object_get(def, "kernel"),
			    kernel_param__is_name) ?:
	       check_expect(arm, path, json_object_get(def, "expect")) ?:
	       load_controls(arm, path, json_object_get(def, "controls"));
}

static int load_arm(struct arms *a, const char *path, const char *name)
{
	struct arm *arm = &a->arm[a->nr];
	int err;

	if (a->nr == MAX_ARMS) {
		say__error("%s: more than %d arms", path, MAX_ARMS);
		return -E2BIG;
	}
	if (!str__is_name(name, CELL_NAME_MAX) || !strcmp(name, ARMS_ALL)) {
		say__error("%s: \"%s\" is not a name for an arm: " NAME_RULE, path, name);
		return -EINVAL;
	}
	err = json__load(path, &arm->def);
	if (err)
		return err;
	a->nr++;
	strcpy(arm->name, name);
	err = load_def(arm, path, arm->def);
	if (!err && json_object_set_new(arm->def, "name", json_string(name)))
		err = -ENOMEM;
	return err;
}

static int by_order(const void *x, const void *y)
{
	const struct arm *a = x, *b = y;

	return a->order != b->order ? (a->order < b->order ? -1 : 1) : strcmp(a->name, b->name);
}

/* Every arm that is named by another one must be there. */
static int check_names(const struct arms *a, const char *dir)
{
	unsigned int i, j;

	for (i = 0; i < a->nr; i++) {
		const struct arm *arm = &a->arm[i];
		const char *of = json_string_value(json_object_get(arm->def, "of"));

		if (of && !arms__find(a, of)) {
			say__error("%s/%s.json: there is no arm %s for it to be a control of",
				   dir, arm->name, of);
			return -EINVAL;
		}
		for (j = 0; j < arm->nr_controls; j++) {
			if (!arms__find(a, arm->controls[j])) {
				say__error("%s/%s.json: there is no arm %s to be its control",
					   dir, arm->name, arm->controls[j]);
				return -EINVAL;
			}
		}
	}
	return 0;
}

static int is_arm_file(const struct dirent *d)
{
	size_t len = strlen(d->d_name);

	return d->d_name[0] != '.' && len > 5 && !strcmp(d->d_name + len - 5, ".json");
}

int arms__load(struct arms *a, const char *dir)
{
	struct dirent **list;
	int nr, i, err = 0;

	memset(a, 0, sizeof(*a));
	nr = scandir(dir, &list, is_arm_file, alphasort);
	if (nr <= 0) {
		say__error("there is no arm in %s: is --root the checkout?", dir);
		return -EINVAL;
	}
	for (i = 0; i < nr; i++) {
		char path[PATH_MAX], name[NAME_MAX + 1];

		snprintf(name, sizeof(name), "%.*s", (int)strlen(list[i]->d_name) - 5,
			 list[i]->d_name);
		if (!err)
			err = str__fmt(path, sizeof(path), "%s/%s", dir, list[i]->d_name) ?:
			      load_arm(a, path, name);
		free(list[i]);
	}
	free(list);
	qsort(a->arm, a->nr, sizeof(a->arm[0]), by_order);
	err = err ?: check_names(a, dir);
	if (err)
		arms__free(a);
	return err;
}

void arms__free(struct arms *a)
{
	unsigned int i;

	for (i = 0; i < a->nr; i++)
		json_decref(a->arm[i].def);
	memset(a, 0, sizeof(*a));
}

const struct arm *arms__find(const struct arms *a, const char *name)
{
	unsigned int i;

	for (i = 0; i < a->nr; i++)
		if (!strcmp(a->arm[i].name, name))
			return &a->arm[i];
	return NULL;
}

/* A fresh object of the values as the cell has them. */
static json_t *resolve(const struct cell *c, uint64_t buffer_bytes, const json_t *values)
{
	json_t *out = json_object(), *item;
	const char *key;
	char number[24];

	json_object_foreach((json_t *)values, key, item) {
		const char *value = value_in(c, buffer_bytes, json_string_value(item), number,
					     sizeof(number));

		if (json_object_set_new(out, key, json_string(value))) {
			json_decref(out);
			return NULL;
		}
	}
	return out;
}

int arm__apply(const struct arm *arm, struct cell *c, uint64_t buffer_bytes,
	       unsigned int capacity)
{
	strcpy(c->arm, arm->name);
	c->extra_bytes = arm->has_extra ? buffer_bytes : 0;
	c->buffer_bytes = arm->has_buffer ? buffer_bytes : 0;
	c->overhead_bytes = cell__overhead(c->mem_bytes, c->extra_bytes);
	c->capacity = capacity && arm->hints ? capacity : arm->capacity;
	json_decref(c->device);
	json_decref(c->kernel_params);
	json_decref(c->arm_def);
	c->device = resolve(c, buffer_bytes, json_object_get(arm->def, "device"));
	c->kernel_params = resolve(c, buffer_bytes, json_object_get(arm->def, "kernel"));
	c->arm_def = json_incref(arm->def);
	return c->device && c->kernel_params ? 0 : -ENOMEM;
}

bool arm__is_as_expected(const struct cell *c, const json_t *hello, char *why, size_t size)
{
	const json_t *expect = json_object_get(c->arm_def, "expect");
	const json_t *parameters = json_object_get(hello, "parameters");
	const char *bits = json_string_value(json_object_get(hello, "features"));
	uint64_t features = bits ? strtoull(bits, NULL, 16) : 0;
	const char *key;
	json_t *item;

	json_object_foreach(json_object_get(expect, "features"), key, item) {
		bool is = features >> strtoul(key, NULL, 10) & 1;

		if (is != json_is_true(item)) {
			snprintf(why, size, "arm %s expects feature bit %s to be %s, the guest "
				 "negotiated %s", c->arm, key, is ? "off" : "on", bits ?: "nothing");
			return false;
		}
	}
	json_object_foreach(json_object_get(expect, "parameters"), key, item) {
		const char *is = json_string_value(json_object_get(parameters, key));
		char number[24];
		const char *want = value_in(c, size_of_buffer(c), json_string_value(item), number,
					    sizeof(number));

		if (!is || strcmp(is, want)) {
			snprintf(why, size, "arm %s expects page_reporting.%s=%s, the guest read "
				 "back %s", c->arm, key, want, is ?: "nothing of that name");
			return false;
		}
	}
	return true;
}
