// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "run/json.h"
#include "run/util.h"

#define JSON_FILE_MAX	(1 << 20)

int json__load(const char *path, json_t **root)
{
	json_error_t why;
	json_t *obj;
	char *text;
	size_t len;
	int err;

	err = file__read(path, JSON_FILE_MAX, &text, &len);
	if (err == -ENOENT)
		return err;
	if (err) {
		say__error("cannot read %s: %s", path, strerror(-err));
		return -EINVAL;
	}
	obj = json_loadb(text, len, JSON_REJECT_DUPLICATES, &why);
	free(text);
	if (!obj) {
		say__error("%s:%d: %s", path, why.line, why.text);
		return -EINVAL;
	}
	if (json_integer_value(json_object_get(obj, "schema")) != 1) {
		say__error("%s: must be an object with \"schema\": 1", path);
		json_decref(obj);
		return -EINVAL;
	}
	*root = obj;
	return 0;
}

int json__only(const char *path, const char *where, const json_t *obj,
	       const char *const allowed[], size_t nr_allowed)
{
	const char *key;
	json_t *value;
	size_t i;

	if (!json_is_object(obj)) {
		say__error("%s: %s must be an object", path, where);
		return -EINVAL;
	}
	json_object_foreach((json_t *)obj, key, value) {
		for (i = 0; i < nr_allowed; i++)
			if (!strcmp(key, allowed[i]))
				break;
		if (i == nr_allowed) {
			say__error("%s: %s has an unknown field \"%s\"", path, where, key);
			return -EINVAL;
		}
	}
	return 0;
}
