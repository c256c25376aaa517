// SPDX-License-Identifier: GPL-2.0-or-later
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run/json.h"
#include "run/plan/plan.h"
#include "run/util.h"

#define MAX_FACTORS	8
#define MAX_VALUES	64

static int set_by_key(struct settings *s, const char *key, json_t *value, const char *where)
{
	const char *text = json_string_value(value);

	if (!text) {
		say__error("%s: \"%s\" must be a string, as on the command line", where, key);
		return -EINVAL;
	}
	if (!strncmp(key, "param.", 6))
		return settings__set_param(s, key + 6, text, where);
	return settings__set(s, key, text, where);
}

/* A value that stands twice, be it as 1G and 1024M, would be run twice under two labels. */
static int check_twice(const struct settings *s, const char *key, const json_t *list,
		       const char *path)
{
	struct settings a, b;
	size_t i, j;
	int err;

	err = settings__copy(&a, s);
	if (err)
		return err;
	err = settings__copy(&b, s);
	for (i = 0; !err && i < json_array_size(list); i++) {
		err = set_by_key(&a, key, json_array_get(list, i), path);
		for (j = 0; !err && j < i; j++) {
			err = set_by_key(&b, key, json_array_get(list, j), path);
			if (!err && settings__same(&a, &b, key)) {
				say__error("%s: vary.%s: \"%s\" and \"%s\" are the same", path, key,
					   json_string_value(json_array_get(list, j)),
					   json_string_value(json_array_get(list, i)));
				err = -EINVAL;
			}
		}
	}
	settings__free(&a);
	settings__free(&b);
	return err;
}

static int check_vary(const json_t *vary, const struct settings *s, const char *path)
{
	struct settings scratch;
	const char *key;
	json_t *list, *item;
	size_t i;
	int err;

	if (!json_is_object(vary) || json_object_size(vary) > MAX_FACTORS) {
		say__error("%s: \"vary\" must be an object of at most %d lists", path, MAX_FACTORS);
		return -EINVAL;
	}
	err = settings__copy(&scratch, s);
	if (err)
		return err;
	json_object_foreach((json_t *)vary, key, list) {
		if (setting__factor(key) == FACTOR_NONE) {
			char all[256];

			setting__factors(all, sizeof(all));
			say__error("%s: vary.%s: may be varied: %s", path, key, all);
			err = -EINVAL;
			break;
		}
		if (!json_array_size(list) || json_array_size(list) > MAX_VALUES) {
			say__error("%s: vary.%s must be a list of 1 to %d values",
				   path, key, MAX_VALUES);
			err = -EINVAL;
		}
		json_array_foreach(list, i, item) {
			if (!err)
				err = set_by_key(&scratch, key, item, path);
		}
		err = err ?: check_twice(s, key, list, path);
		if (err)
			break;
	}
	settings__free(&scratch);
	return err;
}

int experiment__load(struct experiment *e, struct settings *s, const char *path,
		     const char *name)
{
	static const char *const allowed[] = {
		"schema", "description", "set", "vary",
	};
	const char *key;
	json_t *root, *value;
	int err;

	memset(e, 0, sizeof(*e));
	err = json__load(path, &root);
	if (err)
		return err;
	err = str__fmt(e->name, sizeof(e->name), "%s", name);
	if (!err)
		err = json__only(path, "the experiment", root, allowed, ARRAY_SIZE(allowed));
	if (err)
		goto out;
	if (json_string_value(json_object_get(root, "description"))) {
		e->description = strdup(json_string_value(json_object_get(root, "description")));
		if (!e->description) {
			err = -ENOMEM;
			goto out;
		}
	}
	json_object_foreach(json_object_get(root, "set"), key, value) {
		err = set_by_key(s, key, value, path);
		if (err)
			goto out;
	}
	e->vary = json_incref(json_object_get(root, "vary"));
	if (e->vary)
		err = check_vary(e->vary, s, path);
out:
	json_decref(root);
	if (err)
		experiment__free(e);
	return err;
}

void experiment__free(struct experiment *e)
{
	free(e->description);
	json_decref(e->vary);
	memset(e, 0, sizeof(*e));
}

/* xorshift64*: only to shuffle; any seed but 0 is good. */
static uint64_t next_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 2685821657736338717ULL;
}

static void shuffle(struct cell *cells, unsigned int nr, uint64_t *state)
{
	unsigned int i;

	for (i = nr; i > 1; i--) {
		unsigned int j = (unsigned int)(next_random(state) % i);
		struct cell tmp = cells[i - 1];

		cells[i - 1] = cells[j];
		cells[j] = tmp;
	}
}

/*
 * Whether the factor applies to this arm. Where it does not, the arm is run
 * with the value that is set, once, and is compared with all values.
 */
static bool factor_applies(const char *key, const struct arm *arm)
{
	switch (setting__factor(key)) {
	case FACTOR_EXTRA:
		return arm->has_extra;
	case FACTOR_HINTS:
		return arm->hints;
	default:
		return true;
	}
}

/* Arm, then "-KEY.value" for each factor that takes more than one value. */
static int make_label(struct cell *c, const struct experiment *e, const struct arm *arm,
		      const size_t *index)
{
	const char *key;
	json_t *list;
	char label[512];
	size_t f = 0, n, i;

	n = (size_t)snprintf(label, sizeof(label), "%s", arm->name);
	json_object_foreach(e->vary, key, list) {
		const char *value = json_string_value(json_array_get(list, index[f++])), *name;

		if (json_array_size(list) < 2 || !factor_applies(key, arm))
			continue;
		/* key itself is jansson's way to the next one. */
		name = !strncmp(key, "param.", 6) ? key + 6 : key;
		n += (size_t)snprintf(label + n, sizeof(label) - n, "-%s.%s", name, value);
		if (n > CELL_NAME_MAX)
			break;
	}
	for (i = 0; label[i]; i++)
		if (!isalnum((unsigned char)label[i]) && !strchr("-_+.", label[i]))
			label[i] = '.';
	if (n > CELL_NAME_MAX) {
		say__error("the label \"%s\" is too long: vary fewer settings", label);
		return -EINVAL;
	}
	strcpy(c->label, label);
	return 0;
}

static int make_cell(struct cell *c, const struct experiment *e, const struct settings *s,
		     const struct plan_base *base, const struct arm *arm,
		     const size_t *index, unsigned int repeat)
{
	int err;

	strcpy(c->experiment, e->name);
	c->command = base->command;
	c->mem_bytes = s->mem_bytes;
	c->vcpus = (unsigned int)s->vcpus;
	c->order = (unsigned int)s->order;
	c->delay_ms = (unsigned int)s->delay_ms;
	c->ack_base_ns = s->ack_base_ns;
	c->ack_per_chunk_ns = s->ack_per_chunk_ns;
	c->seed = s->seed;
	c->repeat = repeat;
	strcpy(c->accel, base->accel);
	strcpy(c->clock, strcmp(s->clock, "auto") ? s->clock :
	       strcmp(base->accel, "kvm") ? "virtual" : "real");
	err = str__fmt(c->workload, sizeof(c->workload), "%s", base->workload_name);
	err = err ?: str__fmt(c->workload_hash, sizeof(c->workload_hash), "%s", base->workload_hash);
	err = err ?: str__fmt(c->kernel, sizeof(c->kernel), "%s", base->kernel);
	err = err ?: str__fmt(c->qemu, sizeof(c->qemu), "%s", base->qemu);
	err = err ?: str__fmt(c->rootfs, sizeof(c->rootfs), "%s", base->rootfs);
	err = err ?: str__fmt(c->tools, sizeof(c->tools), "%s", base->tools);
	err = err ?: arm__apply(arm, c, s->buffer_bytes, (unsigned int)s->capacity);
	err = err ?: make_label(c, e, arm, index);
	if (err)
		return err;
	c->params = json_copy(s->params);
	if (!c->params)
		return -ENOMEM;
	if (s->quick && json_object_set_new(c->params, "quick", json_string("1")))
		return -ENOMEM;
	return cell__seal(c);
}

/* The settings of one arm for one combination of varied values. */
static int apply_factors(struct settings *varied, const struct settings *s,
			 const struct experiment *e, const struct arm *arm, const size_t *index)
{
	const char *key;
	json_t *list;
	size_t f = 0;
	int err;

	err = settings__copy(varied, s);
	json_object_foreach(e->vary, key, list) {
		json_t *value = json_array_get(list, index[f++]);

		if (!err && factor_applies(key, arm))
			err = set_by_key(varied, key, value, e->name);
	}
	return err;
}

/*
 * Take the new cell, which lies behind the last one, unless it is there
 * already. Two cells of one label would be taken for one: characters that a
 * label cannot have may have made their values alike.
 */
static int keep_cell(struct plan *p)
{
	struct cell *c = &p->cells[p->nr];
	unsigned int i;

	for (i = 0; i < p->nr; i++) {
		if (!strcmp(p->cells[i].hash, c->hash)) {
			cell__free(c);
			return 0;
		}
		if (p->cells[i].repeat == c->repeat && !strcmp(p->cells[i].label, c->label)) {
			say__error("two different cells would have the label \"%s\": vary values "
				   "that differ in letters, digits or - _ + .", c->label);
			cell__free(c);
			return -EINVAL;
		}
	}
	p->nr++;
	return 0;
}

/* All arms for one combination of varied values and one repeat. */
static int add_arms(struct plan *p, const struct experiment *e, const struct settings *s,
		    const struct plan_base *base, const size_t *index, unsigned int repeat)
{
	struct settings varied;
	const struct arm *arms[MAX_ARMS];
	unsigned int nr, i;
	int err;

	err = arms__select(base->arms, s->arms, arms, &nr);
	for (i = 0; !err && i < nr; i++) {
		struct cell *more;

		if (p->nr == PLAN_MAX_CELLS) {
			say__error("the experiment has more than %d cells", PLAN_MAX_CELLS);
			return -EINVAL;
		}
		more = realloc(p->cells, (p->nr + 1) * sizeof(*p->cells));
		if (!more)
			return -ENOMEM;
		p->cells = more;
		memset(&p->cells[p->nr], 0, sizeof(*p->cells));
		err = apply_factors(&varied, s, e, arms[i], index) ?:
		      make_cell(&p->cells[p->nr], e, &varied, base, arms[i], index, repeat);
		settings__free(&varied);
		if (err)
			cell__free(&p->cells[p->nr]);
		else
			err = keep_cell(p);
	}
	return err;
}

/* Count index up like an odometer; false after wrapping around. */
static bool next_combination(const struct experiment *e, size_t *index)
{
	const char *key;
	json_t *list;
	size_t f = 0;

	json_object_foreach(e->vary, key, list) {
		if (++index[f] < json_array_size(list))
			return true;
		index[f++] = 0;
	}
	return false;
}

int plan__make(struct plan *p, const struct experiment *e, const struct settings *s,
	       const struct plan_base *base)
{
	uint64_t random = s->seed * 2 + 1;
	unsigned int repeats = (unsigned int)s->repeats, r;
	int err = 0;

	memset(p, 0, sizeof(*p));
	for (r = 1; !err && r <= repeats; r++) {
		unsigned int first = p->nr;
		size_t index[MAX_FACTORS] = { 0 };

		do {
			err = add_arms(p, e, s, base, index, r);
		} while (!err && next_combination(e, index));
		shuffle(p->cells + first, p->nr - first, &random);
	}
	if (err)
		plan__free(p);
	return err;
}

void plan__free(struct plan *p)
{
	unsigned int i;

	for (i = 0; i < p->nr; i++)
		cell__free(&p->cells[i]);
	free(p->cells);
	memset(p, 0, sizeof(*p));
}
