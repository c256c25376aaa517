// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run/plan/arms.h"
#include "run/json.h"
#include "run/util.h"

static int load_controls(struct arm *arm, const char *path, json_t *list)
{
	size_t i;
	json_t *item;

	if (!list)
		return 0;
	if (!json_is_array(list) || json_array_size(list) > MAX_CONTROLS) {
		say__error("%s: arm %s: controls must be a list of at most %d arms",
			   path, arm->name, MAX_CONTROLS);
		return -EINVAL;
	}
	json_array_foreach(list, i, item) {
		if (!json_is_string(item) || !str__is_name(json_string_value(item), CELL_NAME_MAX)) {
			say__error("%s: arm %s: a control must be the name of an arm",
				   path, arm->name);
			return -EINVAL;
		}
		strcpy(arm->controls[arm->nr_controls++], json_string_value(item));
	}
	return 0;
}

static int load_arm(struct arm *arm, const char *path, const char *name, json_t *def)
{
	static const char *const allowed[] = {
		"description", "device", "memory", "buffer", "capacity", "controls",
	};
	const char *memory, *description;
	json_int_t capacity;

	if (!str__is_name(name, CELL_NAME_MAX)) {
		say__error("%s: \"%s\" is not a name for an arm: a-z 0-9 - _", path, name);
		return -EINVAL;
	}
	strcpy(arm->name, name);
	if (json__only(path, name, def, allowed, ARRAY_SIZE(allowed)))
		return -EINVAL;
	description = json_string_value(json_object_get(def, "description"));
	memory = json_string_value(json_object_get(def, "memory"));
	capacity = json_integer_value(json_object_get(def, "capacity"));
	arm->has_buffer = json_is_true(json_object_get(def, "buffer"));
	arm->device = json_incref(json_object_get(def, "device"));
	if (!description || !json_is_object(arm->device)) {
		say__error("%s: arm %s needs a description and a device", path, name);
		return -EINVAL;
	}
	if (!memory || (strcmp(memory, "x") && strcmp(memory, "x+b"))) {
		say__error("%s: arm %s: memory must be \"x\" or \"x+b\"", path, name);
		return -EINVAL;
	}
	if (capacity < 1 || capacity > 1024) {
		say__error("%s: arm %s: capacity must be 1 to 1024", path, name);
		return -EINVAL;
	}
	arm->has_extra = !strcmp(memory, "x+b");
	arm->capacity = (unsigned int)capacity;
	arm->description = strdup(description);
	if (!arm->description)
		return -ENOMEM;
	return load_controls(arm, path, json_object_get(def, "controls"));
}

int arms__load(struct arms *a, const char *path)
{
	static const char *const allowed[] = { "schema", "arms" };
	json_t *root, *list, *def;
	const char *name;
	unsigned int i, j;
	int err;

	memset(a, 0, sizeof(*a));
	err = json__load(path, &root);
	if (err) {
		if (err == -ENOENT)
			say__error("%s is missing: is --root the checkout?", path);
		return -EINVAL;
	}
	list = json_object_get(root, "arms");
	err = json__only(path, "the file", root, allowed, ARRAY_SIZE(allowed));
	if (!err && (!json_is_object(list) || json_object_size(list) > MAX_ARMS)) {
		say__error("%s: \"arms\" must be an object of at most %d arms", path, MAX_ARMS);
		err = -EINVAL;
	}
	if (!err) {
		json_object_foreach(list, name, def) {
			err = load_arm(&a->arm[a->nr++], path, name, def);
			if (err)
				break;
		}
	}
	json_decref(root);
	for (i = 0; !err && i < a->nr; i++) {
		for (j = 0; j < a->arm[i].nr_controls; j++) {
			if (!arms__find(a, a->arm[i].controls[j])) {
				say__error("%s: arm %s: no arm %s to be its control",
					   path, a->arm[i].name, a->arm[i].controls[j]);
				err = -EINVAL;
			}
		}
	}
	if (err)
		arms__free(a);
	return err;
}

void arms__free(struct arms *a)
{
	unsigned int i;

	for (i = 0; i < a->nr; i++) {
		free(a->arm[i].description);
		json_decref(a->arm[i].device);
	}
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

static void say_unknown_arm(const struct arms *a, const char *name)
{
	char all[1024] = "";
	size_t n = 0;
	unsigned int i;

	for (i = 0; i < a->nr && n < sizeof(all); i++)
		n += (size_t)snprintf(all + n, sizeof(all) - n, " %s", a->arm[i].name);
	say__error("ARMS (--arms): there is no arm \"%s\"; allowed:%s", name, all);
}

static void add_once(const struct arm **out, unsigned int *nr, const struct arm *arm)
{
	unsigned int i;

	for (i = 0; i < *nr; i++)
		if (out[i] == arm)
			return;
	out[(*nr)++] = arm;
}

int arms__select(const struct arms *a, const char *list,
		 const struct arm **out, unsigned int *nr_out)
{
	char copy[1024], *save = NULL, *word;

	*nr_out = 0;
	if (str__fmt(copy, sizeof(copy), "%s", list)) {
		say__error("ARMS (--arms): the list is longer than %zu bytes", sizeof(copy) - 1);
		return -EINVAL;
	}
	for (word = strtok_r(copy, " ,\t\n", &save); word; word = strtok_r(NULL, " ,\t\n", &save)) {
		const struct arm *arm = arms__find(a, word);
		unsigned int i;

		if (!arm) {
			say_unknown_arm(a, word);
			return -EINVAL;
		}
		for (i = 0; i < arm->nr_controls; i++)
			add_once(out, nr_out, arms__find(a, arm->controls[i]));
		add_once(out, nr_out, arm);
	}
	if (!*nr_out) {
		say_unknown_arm(a, "");
		return -EINVAL;
	}
	return 0;
}

int arm__apply(const struct arm *arm, struct cell *c, uint64_t buffer_bytes)
{
	const char *key;
	json_t *value;

	strcpy(c->arm, arm->name);
	c->extra_bytes = arm->has_extra ? buffer_bytes : 0;
	c->buffer_bytes = arm->has_buffer ? buffer_bytes : 0;
	c->overhead_bytes = cell__overhead(c->mem_bytes, c->extra_bytes);
	c->capacity = arm->capacity;
	json_decref(c->device);
	c->device = json_object();
	json_object_foreach(arm->device, key, value) {
		const char *s = json_string_value(value);
		char number[24];

		if (s && !strcmp(s, "$buffer")) {
			snprintf(number, sizeof(number), "%llu",
				 (unsigned long long)c->buffer_bytes);
			s = number;
		} else if (s && !strcmp(s, "$capacity")) {
			snprintf(number, sizeof(number), "%u", c->capacity);
			s = number;
		}
		if (!s || !str__is_name(key, CELL_NAME_MAX) || !param__is_value(s) ||
		    strchr(s, ',')) {
			say__error("arm %s: device property %s: must be a plain string",
				   arm->name, key);
			return -EINVAL;
		}
		if (json_object_set_new(c->device, key, json_string(s)))
			return -ENOMEM;
	}
	return 0;
}
