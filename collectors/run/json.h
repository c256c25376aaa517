/* SPDX-License-Identifier: GPL-2.0-or-later */
/* JSON files written by people: loaded whole, unknown fields refused. */
#ifndef RUN_JSON_H
#define RUN_JSON_H

#include <jansson.h>
#include <stddef.h>

/*
 * Load an object with "schema": 1. Says what is wrong, with file and line,
 * and returns -EINVAL; -ENOENT, silently, when there is no such file.
 */
int json__load(const char *path, json_t **root);
/* Every key of obj must be one of allowed; `where` names obj in the message. */
int json__only(const char *path, const char *where, const json_t *obj,
	       const char *const allowed[], size_t nr_allowed);

#endif
