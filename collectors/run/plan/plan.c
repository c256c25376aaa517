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

/* `what` is the name of the object in the file: vary, or quick. */
static int check_vary(const json_t *vary, const char *what, const struct settings *s,
		      const char *path)
{
	struct settings scratch;
	const char *key;
	json_t *list, *item;
	size_t i;
	int err;

	if (!json_is_object(vary) || json_object_size(vary) > MAX_FACTORS) {
		say__error("%s: \"%s\" must be an object of at most %d lists", path, what,
			   MAX_FACTORS);
		return -EINVAL;
	}
	err = settings__copy(&scratch, s);
	if (err)
		return err;
	json_object_foreach((json_t *)vary, key, list) {
		if (setting__factor(key) == FACTOR_NONE) {
			char all[256];

			setting__factors(all, sizeof(all));
			say__error("%s: %s.%s: may be varied: %s", path, what, key, all);
			err = -EINVAL;
			break;
		}
		if (!json_array_size(list) || json_array_size(list) > MAX_VALUES) {
			say__error("%s: %s.%s must be a list of 1 to %d values",
				   path, what, key, MAX_VALUES);
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

static int set_all(struct settings *s, const json_t *set, const char *path)
{
	const char *key;
	json_t *value;
	int err = 0;

	json_object_foreach((json_t *)set, key, value)
		err = err ?: set_by_key(s, key, value, path);
	return err;
}

/* A matrix that begins with the settings s and has vary and quick of def. */
static int add_matrix(struct experiment *e, const struct settings *s, const json_t *def,
		      const char *path)
{
	struct matrix *m = &e->matrices[e->nr];
	const json_t *vary = json_object_get(def, "vary"), *quick = json_object_get(def, "quick");
	const char *key;
	json_t *list;
	int err;

	err = settings__copy(&m->settings, s);
	if (err)
		return err;
	e->nr++;
	if (e->has_several)
		err = set_all(&m->settings, json_object_get(def, "set"), path);
	if (!err && vary)
		err = check_vary(vary, "vary", &m->settings, path);
	if (!err && quick)
		err = check_vary(quick, "quick", &m->settings, path);
	json_object_foreach((json_t *)quick, key, list) {
		if (!err && !json_object_get(vary, key)) {
			say__error("%s: quick.%s is not varied: \"vary\" must have it, too", path, key);
			err = -EINVAL;
		}
	}
	m->vary = vary ? json_deep_copy(vary) : json_object();
	m->quick = quick ? json_deep_copy(quick) : json_object();
	return err ?: (m->vary && m->quick) ? 0 : -ENOMEM;
}

static int add_matrices(struct experiment *e, const struct settings *s, const json_t *list,
			const char *path)
{
	static const char *const allowed[] = { "set", "vary", "quick" };
	json_t *item;
	size_t i;
	int err = 0;

	if (!json_array_size(list) || json_array_size(list) > MAX_MATRICES) {
		say__error("%s: \"matrices\" must be a list of 1 to %d objects", path, MAX_MATRICES);
		return -EINVAL;
	}
	e->has_several = true;
	json_array_foreach((json_t *)list, i, item)
		err = err ?: json__only(path, "a matrix", item, allowed, ARRAY_SIZE(allowed)) ?:
		      add_matrix(e, s, item, path);
	return err;
}

int experiment__load(struct experiment *e, struct settings *s, const char *path,
		     const char *name)
{
	static const char *const allowed[] = {
		"schema", "description", "set", "vary", "quick", "matrices",
	};
	json_t *root, *list;
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
	err = set_all(s, json_object_get(root, "set"), path);
	if (err)
		goto out;
	list = json_object_get(root, "matrices");
	if (list && (json_object_get(root, "vary") || json_object_get(root, "quick"))) {
		say__error("%s: \"vary\" and \"quick\" belong to each of its matrices", path);
		err = -EINVAL;
		goto out;
	}
	err = list ? add_matrices(e, s, list, path) : add_matrix(e, s, root, path);
out:
	json_decref(root);
	if (err)
		experiment__free(e);
	return err;
}

static void matrix__free(struct matrix *m)
{
	settings__free(&m->settings);
	json_decref(m->vary);
	json_decref(m->quick);
}

void experiment__keep_first(struct experiment *e)
{
	while (e->nr > 1)
		matrix__free(&e->matrices[--e->nr]);
	e->has_several = false;
}

void experiment__free(struct experiment *e)
{
	free(e->description);
	while (e->nr)
		matrix__free(&e->matrices[--e->nr]);
	memset(e, 0, sizeof(*e));
}

void experiment__fix(struct experiment *e, const char *key)
{
	unsigned int i;

	for (i = 0; i < e->nr; i++) {
		json_object_del(e->matrices[i].vary, key);
		json_object_del(e->matrices[i].quick, key);
	}
}

int experiment__shorten(struct experiment *e)
{
	unsigned int i;

	for (i = 0; i < e->nr; i++)
		if (json_object_update(e->matrices[i].vary, e->matrices[i].quick))
			return -ENOMEM;
	return 0;
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
		return arm->has_size;
	case FACTOR_HINTS:
		return arm->hints;
	default:
		return true;
	}
}

/*
 * Arm, then "-KEY.value" for each factor that takes more than one value. Of several
 * matrices one may have a single value where others have more: there the label has
 * all factors, behind the workload.
 */
static int make_label(struct cell *c, const struct experiment *e, const struct matrix *m,
		      const struct arm *arm, const size_t *index)
{
	const char *key;
	json_t *list;
	char label[512];
	size_t f = 0, n, i;

	n = (size_t)snprintf(label, sizeof(label), "%s%s%s", e->has_several ? c->workload : "",
			     e->has_several ? "-" : "", arm->name);
	json_object_foreach(m->vary, key, list) {
		const char *value = json_string_value(json_array_get(list, index[f++])), *name;

		if ((json_array_size(list) < 2 && !e->has_several) || !factor_applies(key, arm))
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

static int make_cell(struct cell *c, const struct experiment *e, const struct matrix *m,
		     const struct settings *s, const struct plan_base *base,
		     const struct arm *arm, const size_t *index, unsigned int repeat)
{
	int err;

	strcpy(c->experiment, e->name);
	c->command = base->command;
	c->jobs = (unsigned int)s->jobs;
	c->time_limit_ns = s->time_limit_ns;
	c->hang_limit_ns = s->hang_limit_ns;
	c->mem_bytes = s->mem_bytes;
	c->vcpus = (unsigned int)s->vcpus;
	c->order = (unsigned int)s->order;
	c->delay_ms = (unsigned int)s->delay_ms;
	c->ack_base_ns = s->ack_base_ns;
	c->ack_per_chunk_ns = s->ack_per_chunk_ns;
	c->checkpoint_period_ns = s->checkpoint_period_ns;
	c->checkpoint_window_ns = s->checkpoint_window_ns;
	c->stuck_after = s->stuck_after;
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
	err = err ?: make_label(c, e, m, arm, index);
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
static int apply_factors(struct settings *varied, const struct experiment *e,
			 const struct matrix *m, const struct arm *arm, const size_t *index)
{
	const char *key;
	json_t *list;
	size_t f = 0;
	int err;

	err = settings__copy(varied, &m->settings);
	json_object_foreach(m->vary, key, list) {
		json_t *value = json_array_get(list, index[f++]);

		if (!err && factor_applies(key, arm))
			err = set_by_key(varied, key, value, e->name);
	}
	return err;
}

/*
 * Take the new cell, which lies behind the last one, unless it is there already. Two cells of
 * one label would be taken for one: what a label cannot have may have made their values alike.
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
static int add_arms(struct plan *p, const struct experiment *e, const struct matrix *m,
		    const struct plan_base *base, const size_t *index, unsigned int repeat)
{
	struct settings varied;
	const struct arm *arms[MAX_ARMS];
	unsigned int nr, i;
	int err;

	err = arms__select(base->arms, m->settings.arms,
			   strcmp(m->settings.controls, "without") != 0, arms, &nr);
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
		err = apply_factors(&varied, e, m, arms[i], index) ?:
		      make_cell(&p->cells[p->nr], e, m, &varied, base, arms[i], index, repeat);
		settings__free(&varied);
		if (err)
			cell__free(&p->cells[p->nr]);
		else
			err = keep_cell(p);
	}
	return err;
}

/* Count index up like an odometer; false after wrapping around. */
static bool next_combination(const struct matrix *m, size_t *index)
{
	const char *key;
	json_t *list;
	size_t f = 0;

	json_object_foreach(m->vary, key, list) {
		if (++index[f] < json_array_size(list))
			return true;
		index[f++] = 0;
	}
	return false;
}

/* The cells of one repeat of one matrix. */
static int add_repeat(struct plan *p, const struct experiment *e, const struct matrix *m,
		      const struct plan_base *base, unsigned int repeat, uint64_t *random)
{
	size_t index[MAX_FACTORS] = { 0 };
	unsigned int first = p->nr;
	int err;

	do {
		err = add_arms(p, e, m, base, index, repeat);
	} while (!err && next_combination(m, index));
	shuffle(p->cells + first, p->nr - first, random);
	return err;
}

int plan__make(struct plan *p, const struct experiment *e, const struct plan_base *bases)
{
	uint64_t random = e->matrices[0].settings.seed * 2 + 1, repeats = 0, r;
	unsigned int i;
	int err = 0;

	memset(p, 0, sizeof(*p));
	for (i = 0; i < e->nr; i++)
		if (e->matrices[i].settings.repeats > repeats)
			repeats = e->matrices[i].settings.repeats;
	for (r = 1; r <= repeats; r++)
		for (i = 0; !err && i < e->nr; i++)
			if (r <= e->matrices[i].settings.repeats)
				err = add_repeat(p, e, &e->matrices[i], &bases[i],
						 (unsigned int)r, &random);
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
