// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/time.h"
#include "run/plan/cell.h"
#include "run/plan/hash.h"
#include "run/util.h"

#define SECTION_BYTES		(128 * MIB)
#define SECTION_MEMMAP_BYTES	(2 * MIB)	/* 32768 pages of 64 bytes */
#define MAX_PARAMS		64

/* How each input is stored; the order is of no importance, the text is sorted. */
/* IN_OPTION: a number that is left out while it is 0, so that cells without keep their names. */
enum input_type { IN_NAME, IN_WORD, IN_HASH, IN_U64, IN_UINT, IN_OPTION, IN_STRINGS };

static const struct input {
	const char *key;
	enum input_type type;
	size_t offset;
	size_t size;		/* of a string, with its NUL */
	uint64_t min, max;	/* of a number */
} inputs[] = {
#define STR(k, t)	{ #k, t, offsetof(struct cell, k), sizeof(((struct cell *)0)->k), 0, 0 }
#define NUM(k, t, a, b)	{ #k, t, offsetof(struct cell, k), 0, a, b }
	STR(workload, IN_NAME),
	STR(arm, IN_NAME),
	STR(label, IN_WORD),
	NUM(mem_bytes, IN_U64, CELL_MEM_MIN, CELL_MEM_MAX),
	NUM(buffer_bytes, IN_U64, 0, CELL_MEM_MAX),
	NUM(extra_bytes, IN_U64, 0, CELL_MEM_MAX),
	NUM(overhead_bytes, IN_U64, 0, CELL_MEM_MAX),
	NUM(vcpus, IN_UINT, 1, 64),
	NUM(order, IN_UINT, 0, 10),
	NUM(delay_ms, IN_UINT, 0, 60000),
	NUM(capacity, IN_UINT, 1, CELL_CAPACITY_MAX),
	NUM(ack_base_ns, IN_U64, 0, 3600 * NSEC_PER_SEC),
	NUM(ack_per_chunk_ns, IN_U64, 0, 3600 * NSEC_PER_SEC),
	NUM(checkpoint_period_ns, IN_OPTION, 1, 3600 * NSEC_PER_SEC),
	NUM(checkpoint_window_ns, IN_OPTION, 1, 3600 * NSEC_PER_SEC),
	NUM(stuck_after, IN_OPTION, 1, UINT32_MAX),
	STR(clock, IN_NAME),
	STR(accel, IN_NAME),
	NUM(seed, IN_U64, 0, UINT32_MAX),
	NUM(repeat, IN_UINT, 1, 1000),
	STR(workload_hash, IN_HASH),
	STR(kernel, IN_HASH),
	STR(qemu, IN_HASH),
	STR(rootfs, IN_HASH),
	STR(tools, IN_HASH),
	{ "device", IN_STRINGS, offsetof(struct cell, device), 0, 0, 0 },
	{ "kernel_params", IN_STRINGS, offsetof(struct cell, kernel_params), 0, 0, 0 },
	{ "params", IN_STRINGS, offsetof(struct cell, params), 0, 0, 0 },
#undef STR
#undef NUM
};

static const char *field_str(const struct cell *c, const struct input *in)
{
	return (const char *)c + in->offset;
}

static uint64_t field_num(const struct cell *c, const struct input *in)
{
	const char *p = (const char *)c + in->offset;

	return in->type == IN_UINT ? *(const unsigned int *)p : *(const uint64_t *)p;
}

static json_t *field_obj(const struct cell *c, const struct input *in)
{
	return *(json_t *const *)((const char *)c + in->offset);
}

json_t *cell__spec(const struct cell *c)
{
	json_t *spec = json_pack("{s:i}", "schema", CELL_SCHEMA);
	size_t i;

	if (!spec)
		return NULL;
	for (i = 0; i < ARRAY_SIZE(inputs); i++) {
		const struct input *in = &inputs[i];
		json_t *v;

		if (in->type == IN_OPTION && !field_num(c, in))
			continue;
		switch (in->type) {
		case IN_U64:
		case IN_UINT:
		case IN_OPTION:
			v = json_integer((json_int_t)field_num(c, in));
			break;
		case IN_STRINGS:
			v = field_obj(c, in) ? json_deep_copy(field_obj(c, in)) : json_object();
			break;
		default:
			v = json_string(field_str(c, in));
		}
		if (json_object_set_new(spec, in->key, v)) {
			json_decref(spec);
			return NULL;
		}
	}
	return spec;
}

int cell__seal(struct cell *c)
{
	json_t *spec = cell__spec(c);
	char *dump, *text = NULL;

	if (!spec)
		return -ENOMEM;
	dump = json_dumps(spec, JSON_SORT_KEYS | JSON_INDENT(2));
	json_decref(spec);
	if (!dump || asprintf(&text, "%s\n", dump) < 0) {
		free(dump);
		return -ENOMEM;
	}
	free(dump);
	free(c->text);
	c->text = text;
	hash__bytes(text, strlen(text), c->hash);
	return str__fmt(c->name, sizeof(c->name), "%s-s%llu-r%u-%.*s", c->label,
			(unsigned long long)c->seed, c->repeat, CELL_NAME_HASH_LEN, c->hash);
}

void cell__free(struct cell *c)
{
	json_decref(c->arm_def);
	json_decref(c->device);
	json_decref(c->kernel_params);
	json_decref(c->params);
	free(c->text);
	memset(c, 0, sizeof(*c));
}

bool param__is_name(const char *s)
{
	size_t len = strlen(s);

	return len && len <= CELL_NAME_MAX && islower((unsigned char)s[0]) &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_") == len;
}

bool kernel_param__is_name(const char *s)
{
	size_t len = strlen(s);

	return len && len <= CELL_NAME_MAX && islower((unsigned char)s[0]) &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_.-") == len;
}

bool param__is_value(const char *s)
{
	size_t i;

	for (i = 0; s[i]; i++)
		if (i >= 256 || (unsigned char)s[i] < ' ' || (unsigned char)s[i] > '~' ||
		    strchr("'\"\\", s[i]))
			return false;
	return true;
}

static bool is_hash(const char *s)
{
	size_t len = strlen(s);

	return len && len <= CELL_HASH_LEN && strspn(s, "0123456789abcdef") == len;
}

/* A label may carry varied values such as 64M or 200ms+1ms. */
static bool is_label(const char *s)
{
	size_t i;

	for (i = 0; s[i]; i++)
		if (!isalnum((unsigned char)s[i]) && !strchr("-_+.", s[i]))
			return false;
	return i && i <= CELL_NAME_MAX && isalnum((unsigned char)s[0]);
}

static bool is_property(const char *s)
{
	return str__is_name(s, CELL_NAME_MAX);
}

/*
 * What may stand in each object of strings. A comma would begin another
 * property of QEMU's device, a blank another kernel parameter.
 */
static const struct strings {
	size_t offset;
	bool (*is_name)(const char *s);
	const char *not_in_value;
} strings[] = {
	{ offsetof(struct cell, device), is_property, "," },
	{ offsetof(struct cell, kernel_params), kernel_param__is_name, " " },
	{ offsetof(struct cell, params), param__is_name, "" },
};

static bool is_strings(const json_t *v, size_t offset)
{
	const struct strings *kind = strings;
	const char *key;
	json_t *item;

	if (!json_is_object(v) || json_object_size(v) > MAX_PARAMS)
		return false;
	while (kind->offset != offset)
		kind++;
	json_object_foreach((json_t *)v, key, item) {
		if (!json_is_string(item) || !param__is_value(json_string_value(item)) ||
		    strpbrk(json_string_value(item), kind->not_in_value) || !kind->is_name(key))
			return false;
	}
	return true;
}

static bool field_load(struct cell *c, const struct input *in, json_t *v)
{
	char *p = (char *)c + in->offset;
	const char *s = json_string_value(v);

	switch (in->type) {
	case IN_OPTION:
		if (!v)
			return true;
		/* fall through */
	case IN_U64:
	case IN_UINT:
		if (!json_is_integer(v) || json_integer_value(v) < 0 ||
		    (uint64_t)json_integer_value(v) < in->min ||
		    (uint64_t)json_integer_value(v) > in->max)
			return false;
		if (in->type == IN_UINT)
			*(unsigned int *)p = (unsigned int)json_integer_value(v);
		else
			*(uint64_t *)p = (uint64_t)json_integer_value(v);
		return true;
	case IN_STRINGS:
		if (!is_strings(v, in->offset))
			return false;
		*(json_t **)p = json_incref(v);
		return true;
	case IN_NAME:
		return s && str__is_name(s, in->size - 1) && !str__fmt(p, in->size, "%s", s);
	case IN_WORD:
		return s && is_label(s) && !str__fmt(p, in->size, "%s", s);
	case IN_HASH:
		return s && is_hash(s) && !str__fmt(p, in->size, "%s", s);
	}
	return false;
}

int cell__load(struct cell *c, const char *path)
{
	json_error_t why;
	json_t *spec;
	char *text;
	size_t len, i, nr_fields;
	int err;

	memset(c, 0, sizeof(*c));
	err = file__read(path, CELL_FILE_MAX, &text, &len);
	if (err) {
		say__error("cannot read the cell %s: %s", path, strerror(-err));
		return err;
	}
	spec = json_loadb(text, len, JSON_REJECT_DUPLICATES, &why);
	free(text);
	if (!json_is_object(spec)) {
		say__error("%s:%d: %s", path, spec ? 1 : why.line,
			   spec ? "not a JSON object" : why.text);
		json_decref(spec);
		return -EINVAL;
	}
	err = -EINVAL;
	if (json_integer_value(json_object_get(spec, "schema")) != CELL_SCHEMA) {
		say__error("%s: schema must be %d: this cell is of another version",
			   path, CELL_SCHEMA);
		goto out;
	}
	nr_fields = 1;			/* schema */
	for (i = 0; i < ARRAY_SIZE(inputs); i++)
		nr_fields += inputs[i].type != IN_OPTION || json_object_get(spec, inputs[i].key);
	if (json_object_size(spec) != nr_fields) {
		say__error("%s: has %zu fields, a cell like it has %zu", path,
			   json_object_size(spec), nr_fields);
		goto out;
	}
	for (i = 0; i < ARRAY_SIZE(inputs); i++) {
		if (!field_load(c, &inputs[i], json_object_get(spec, inputs[i].key))) {
			say__error("%s: field %s is missing or not allowed", path, inputs[i].key);
			goto out;
		}
	}
	if ((strcmp(c->clock, "virtual") && strcmp(c->clock, "real")) ||
	    (strcmp(c->accel, "tcg") && strcmp(c->accel, "kvm"))) {
		say__error("%s: clock must be virtual or real, accel tcg or kvm", path);
		goto out;
	}
	if (c->checkpoint_window_ns && c->checkpoint_window_ns >= c->checkpoint_period_ns) {
		say__error("%s: checkpoint_window_ns must be less than checkpoint_period_ns", path);
		goto out;
	}
	err = cell__seal(c);
out:
	json_decref(spec);
	if (err)
		cell__free(c);
	return err;
}

uint64_t cell__ram_bytes(const struct cell *c)
{
	return c->mem_bytes + c->extra_bytes + c->overhead_bytes;
}

static uint64_t nr_sections(uint64_t bytes)
{
	return (bytes + SECTION_BYTES - 1) / SECTION_BYTES;
}

uint64_t cell__overhead(uint64_t mem_bytes, uint64_t extra_bytes)
{
	uint64_t overhead = 0, next;

	/* Grows by at least 2 MiB a step and a 64th of what it adds: it ends. */
	for (;;) {
		next = SECTION_MEMMAP_BYTES * (nr_sections(mem_bytes + extra_bytes + overhead) -
					       nr_sections(mem_bytes));
		if (next == overhead)
			return overhead;
		overhead = next;
	}
}

uint64_t cell__guest_seed(const struct cell *c)
{
	return c->seed * 1000 + c->repeat - 1;	/* repeat is at most 1000 */
}

static void env_put(FILE *f, const char *name, const char *value)
{
	fprintf(f, "HINT_%s='%s'\n", name, value);
}

static void env_put_u64(FILE *f, const char *name, uint64_t value)
{
	fprintf(f, "HINT_%s=%llu\n", name, (unsigned long long)value);
}

char *cell__env(const struct cell *c)
{
	const char *key;
	json_t *value;
	char *text = NULL;
	size_t len;
	FILE *f;

	f = open_memstream(&text, &len);
	if (!f)
		return NULL;
	env_put(f, "WORKLOAD", c->workload);
	env_put(f, "ARM", c->arm);
	env_put(f, "LABEL", c->label);
	env_put_u64(f, "MEM_BYTES", c->mem_bytes);
	env_put_u64(f, "BUFFER_BYTES", c->buffer_bytes);
	env_put_u64(f, "EXTRA_BYTES", c->extra_bytes);
	env_put_u64(f, "VCPUS", c->vcpus);
	env_put(f, "CLOCK", c->clock);
	env_put_u64(f, "SEED", cell__guest_seed(c));
	env_put_u64(f, "REPEAT", c->repeat);
	json_object_foreach(c->params, key, value) {
		char name[CELL_NAME_MAX + 3] = "P_";
		size_t i;

		/* `quick` is a word of its own for workloads: HINT_QUICK. */
		if (!strcmp(key, "quick"))
			env_put(f, "QUICK", json_string_value(value));
		for (i = 0; key[i]; i++)
			name[i + 2] = (char)toupper((unsigned char)key[i]);
		name[i + 2] = '\0';
		env_put(f, name, json_string_value(value));
	}
	if (fclose(f)) {
		free(text);
		return NULL;
	}
	return text;
}
