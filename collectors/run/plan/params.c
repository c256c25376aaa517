// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/num.h"
#include "run/json.h"
#include "run/plan/params.h"
#include "run/util.h"

/*
 * What bounds a parameter follows from how its bounds are written: whole
 * numbers, numbers with a point, times ("1ms") or sizes ("4K").
 */
enum kind { KIND_ANY, KIND_WHOLE, KIND_REAL, KIND_TIME, KIND_SIZE };

struct range {
	enum kind kind;
	bool is_pair;		/* "A-B", or one value for both */
	uint64_t min, max;
	double real_min, real_max;
};

static bool read_text_bound(const char *s, uint64_t *v, enum kind *kind)
{
	if (!strcmp(s, "0")) {
		*v = 0;		/* of either kind: the other bound says */
		return true;
	}
	if (!num__duration_ns(s, 0, UINT64_MAX, v)) {
		*kind = KIND_TIME;
		return true;
	}
	if (!num__size(s, 0, UINT64_MAX, v)) {
		*kind = KIND_SIZE;
		return true;
	}
	return false;
}

static bool read_range(struct range *r, const json_t *def)
{
	const json_t *min = json_object_get(def, "min"), *max = json_object_get(def, "max");

	memset(r, 0, sizeof(*r));
	r->is_pair = json_is_true(json_object_get(def, "pair"));
	if (!min && !max)
		return true;
	if (json_is_integer(min) && json_is_integer(max) && json_integer_value(min) >= 0) {
		r->kind = KIND_WHOLE;
		r->min = (uint64_t)json_integer_value(min);
		r->max = (uint64_t)json_integer_value(max);
		return true;
	}
	if (json_is_number(min) && json_is_number(max)) {
		r->kind = KIND_REAL;
		r->real_min = json_number_value(min);
		r->real_max = json_number_value(max);
		return true;
	}
	return json_is_string(min) && json_is_string(max) &&
	       read_text_bound(json_string_value(min), &r->min, &r->kind) &&
	       read_text_bound(json_string_value(max), &r->max, &r->kind) && r->kind;
}

static bool is_in(const struct range *r, const char *value, double *number)
{
	uint64_t v;
	int err;

	switch (r->kind) {
	case KIND_WHOLE:
		err = num__u64(value, r->min, r->max, &v);
		break;
	case KIND_REAL:
		return !num__double(value, r->real_min, r->real_max, number);
	case KIND_TIME:
		err = !strcmp(value, "0") ? num__u64(value, r->min, r->max, &v)
					  : num__duration_ns(value, r->min, r->max, &v);
		break;
	case KIND_SIZE:
		err = num__size(value, r->min, r->max, &v);
		break;
	default:
		return true;
	}
	if (!err)
		*number = (double)v;
	return !err;
}

/* "A-B" with A at most B, or one value; a number has no minus sign of its own. */
static bool is_pair_in(const struct range *r, const char *value)
{
	char first[257];
	const char *dash = strchr(value, '-');
	double a = 0, b = 0;

	if (!dash)
		return is_in(r, value, &a);
	if (str__fmt(first, sizeof(first), "%.*s", (int)(dash - value), value))
		return false;
	return is_in(r, first, &a) && is_in(r, dash + 1, &b) && a <= b;
}

static bool is_choice(const json_t *choices, const char *value)
{
	const json_t *item;
	size_t i;

	json_array_foreach((json_t *)choices, i, item)
		if (!strcmp(json_string_value(item), value))
			return true;
	return false;
}

static void put_bound(char *buf, size_t size, const json_t *bound)
{
	char *text = json_dumps(bound, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));

	snprintf(buf, size, "%.*s", json_is_string(bound) ? (int)strlen(text) - 2 : 64,
		 text ? text + json_is_string(bound) : "");
	free(text);
}

/* "poisson, fixed", "1 to 64", "etc, or 1 to 16384", "A-B, each 1ms to 10s". */
static void say_allowed(char *buf, size_t size, const json_t *def)
{
	const json_t *choices = json_object_get(def, "choices"), *item;
	char min[64], max[64];
	size_t n = 0, i;

	buf[0] = '\0';
	json_array_foreach((json_t *)choices, i, item)
		if (n < size)
			n += (size_t)snprintf(buf + n, size - n, "%s%s", i ? ", " : "",
					      json_string_value(item));
	if (!json_object_get(def, "min") || n >= size)
		return;
	put_bound(min, sizeof(min), json_object_get(def, "min"));
	put_bound(max, sizeof(max), json_object_get(def, "max"));
	snprintf(buf + n, size - n, "%s%s%s to %s", n ? ", or " : "",
		 json_is_true(json_object_get(def, "pair")) ? "A-B, each " : "", min, max);
}

static bool is_allowed(const json_t *def, const char *value)
{
	const json_t *choices = json_object_get(def, "choices");
	struct range r;
	double number;

	if (is_choice(choices, value))
		return true;
	read_range(&r, def);
	if (r.kind == KIND_ANY)
		return !choices;
	return r.is_pair ? is_pair_in(&r, value) : is_in(&r, value, &number);
}

static int check_def(const char *path, const char *name, const json_t *def)
{
	static const char *const allowed[] = {
		"default", "quick", "min", "max", "pair", "choices", "what",
	};
	const char *const texts[] = { "default", "what" };
	const json_t *choices = json_object_get(def, "choices"), *item;
	struct range r;
	size_t i;

	if (json__only(path, name, def, allowed, ARRAY_SIZE(allowed)))
		return -EINVAL;
	if (!param__is_name(name)) {
		say__error("%s: \"%s\" is not a name for a parameter: a-z 0-9 _, the first a "
			   "letter", path, name);
		return -EINVAL;
	}
	for (i = 0; i < ARRAY_SIZE(texts); i++) {
		if (!json_is_string(json_object_get(def, texts[i]))) {
			say__error("%s: %s needs \"%s\", a string", path, name, texts[i]);
			return -EINVAL;
		}
	}
	json_array_foreach((json_t *)choices, i, item) {
		if (!json_is_string(item)) {
			say__error("%s: %s: choices must be strings", path, name);
			return -EINVAL;
		}
	}
	if ((choices && !json_is_array(choices)) || !read_range(&r, def)) {
		say__error("%s: %s: choices must be a list, min and max both be whole numbers, "
			   "numbers, times (\"1ms\") or sizes (\"4K\")", path, name);
		return -EINVAL;
	}
	/* "" is for a default that follows from something else. */
	if (*json_string_value(json_object_get(def, "default")) &&
	    !is_allowed(def, json_string_value(json_object_get(def, "default")))) {
		say__error("%s: %s: its default is not allowed", path, name);
		return -EINVAL;
	}
	return 0;
}

/* -ENOENT, silently, when the folder declares nothing. */
static int load(const char *dir, json_t **root)
{
	static const char *const allowed[] = { "schema", "description", "params" };
	char path[PATH_MAX];
	const char *name;
	json_t *def;
	int err;

	*root = NULL;
	err = str__fmt(path, sizeof(path), "%s/params.json", dir) ?: json__load(path, root);
	if (err)
		return err;
	err = json__only(path, "the file", *root, allowed, ARRAY_SIZE(allowed));
	if (!err && !json_is_object(json_object_get(*root, "params"))) {
		say__error("%s: \"params\" must be an object", path);
		err = -EINVAL;
	}
	json_object_foreach(json_object_get(*root, "params"), name, def) {
		if (!err)
			err = check_def(path, name, def);
	}
	if (err) {
		json_decref(*root);
		*root = NULL;
	}
	return err;
}

static const json_t *find(const json_t *root, const char *name)
{
	return json_object_get(json_object_get(root, "params"), name);
}

static int say_unknown(const struct workload *w, const json_t *own, const json_t *common,
		       const char *name)
{
	const json_t *const roots[] = { own, common };
	char all[2048] = "";
	const char *key;
	json_t *def;
	size_t n = 0, i;

	for (i = 0; i < ARRAY_SIZE(roots); i++)
		json_object_foreach(json_object_get(roots[i], "params"), key, def)
			if (n < sizeof(all))
				n += (size_t)snprintf(all + n, sizeof(all) - n, " %s", key);
	say__error("PARAM (--param): workload %s has no parameter \"%s\"; allowed:%s",
		   w->name, name, all);
	return -EINVAL;
}

static int check_one(const struct workload *w, const json_t *own, const json_t *common,
		     const char *name, const char *value)
{
	const json_t *def = find(own, name);
	char allowed[512];

	if (!def)
		def = find(common, name);
	if (!def)
		return own ? say_unknown(w, own, common, name) : 0;
	if (is_allowed(def, value))
		return 0;
	say_allowed(allowed, sizeof(allowed), def);
	say__error("PARAM (--param): %s of workload %s cannot be \"%.64s\"; allowed: %s (%s)", name,
		   w->name, value, allowed, json_string_value(json_object_get(def, "what")));
	return -EINVAL;
}

int params__check(const struct workload *w, const char *root, const struct matrix *m)
{
	json_t *own, *common = NULL, *value;
	char dir[PATH_MAX];
	const char *key;
	size_t i;
	int err;

	err = load(w->dir, &own);
	if (!err || err == -ENOENT)
		err = str__fmt(dir, sizeof(dir), "%s/workloads", root) ?: load(dir, &common);
	if (err == -ENOENT)
		err = 0;
	json_object_foreach(m->settings.params, key, value) {
		if (!err)
			err = check_one(w, own, common, key, json_string_value(value));
	}
	json_object_foreach(m->vary, key, value) {
		if (strncmp(key, "param.", 6))
			continue;
		for (i = 0; !err && i < json_array_size(value); i++)
			err = check_one(w, own, common, key + 6,
					json_string_value(json_array_get(value, i)));
	}
	json_decref(own);
	json_decref(common);
	return err;
}

void params__print(FILE *f, const char *dir, const char *workload)
{
	const char *name, *quick, *what;
	json_t *root, *def;
	char allowed[256], text[96];

	load(dir, &root);
	what = json_string_value(json_object_get(root, "description"));
	fprintf(f, "  %-32s %s\n", workload, what ? what : "");
	json_object_foreach(json_object_get(root, "params"), name, def) {
		say_allowed(allowed, sizeof(allowed), def);
		quick = json_string_value(json_object_get(def, "quick"));
		snprintf(text, sizeof(text), "%s=%s%s%s", name,
			 json_string_value(json_object_get(def, "default")),
			 quick ? ", quick " : "", quick ? quick : "");
		fprintf(f, "    %-30s %s%s%s%s\n", text,
			json_string_value(json_object_get(def, "what")),
			*allowed ? " (" : "", allowed, *allowed ? ")" : "");
	}
	json_decref(root);
}
