// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "run/plan/arms.h"
#include "run/json.h"
#include "run/plan/list.h"
#include "run/plan/params.h"
#include "run/util.h"

static bool is_workload(const char *dir)
{
	char run[PATH_MAX];

	return !str__fmt(run, sizeof(run), "%s/run", dir) && file__is_executable(run);
}

/* Calls fn for each name in a folder that is not hidden, in order. */
static void for_each(const char *dir, FILE *f,
		     void (*fn)(FILE *f, const char *dir, const char *name))
{
	struct dirent **list;
	int i, nr = scandir(dir, &list, NULL, alphasort);

	for (i = 0; i < nr; i++) {
		if (list[i]->d_name[0] != '.')
			fn(f, dir, list[i]->d_name);
		free(list[i]);
	}
	if (nr >= 0)
		free(list);
}

static void print_workload(FILE *f, const char *dir, const char *name)
{
	char path[PATH_MAX];

	if (!str__fmt(path, sizeof(path), "%s/%s", dir, name) && is_workload(path))
		fprintf(f, "  %s\n", name);
}

static void describe_workload(FILE *f, const char *dir, const char *name)
{
	char path[PATH_MAX];

	if (!str__fmt(path, sizeof(path), "%s/%s", dir, name) && is_workload(path))
		params__print(f, path, name);
}

static void print_experiment(FILE *f, const char *dir, const char *name)
{
	size_t len = strlen(name);
	const char *text;
	char path[PATH_MAX];
	json_t *root;

	if (len < 6 || strcmp(name + len - 5, ".json") ||
	    str__fmt(path, sizeof(path), "%s/%s", dir, name) || json__load(path, &root))
		return;
	text = json_string_value(json_object_get(root, "description"));
	fprintf(f, "  %-14.*s %s\n", (int)len - 5, name, text ? text : "");
	json_decref(root);
}

int list__print(const char *root)
{
	struct arms arms;
	char path[PATH_MAX];
	unsigned int i;

	printf("Workloads (WORKLOAD=, or the path of a folder with an executable `run`) and their\n"
	       "parameters (PARAM=\"NAME=VALUE ...\"):\n");
	if (!str__fmt(path, sizeof(path), "%s/workloads", root)) {
		for_each(path, stdout, describe_workload);
		params__print(stdout, path, "any of them");
	}
	if (str__fmt(path, sizeof(path), "%s/arms", root) ||
	    arms__load(&arms, path))
		return EXIT_USAGE;
	printf("\nArms (ARMS=\"...\"), in their order in tables:\n");
	for (i = 0; i < arms.nr; i++)
		printf("  %-18s %4u  %-9s %s\n", arms.arm[i].name, arms.arm[i].order,
		       arms.arm[i].role, arms.arm[i].description);
	arms__free(&arms);
	printf("\nExperiments (hintrun run --experiment NAME):\n");
	if (!str__fmt(path, sizeof(path), "%s/experiments", root))
		for_each(path, stdout, print_experiment);
	return EXIT_DONE;
}

static int say_no_workload(const char *root, const char *choice)
{
	char path[PATH_MAX];

	say__error("WORKLOAD (--workload): \"%s\" is neither a folder with an executable `run` "
		   "under workloads/ nor a path (with a slash) of one; allowed:", choice);
	if (!str__fmt(path, sizeof(path), "%s/workloads", root))
		for_each(path, stderr, print_workload);
	return -EINVAL;
}

int workload__find_built(struct workload *w, const char *root)
{
	char path[PATH_MAX];

	if (str__fmt(path, sizeof(path), "%s/workload.mk", w->dir))
		return -ENAMETOOLONG;
	if (access(path, F_OK))
		return str__fmt(w->built, sizeof(w->built), "%s", w->dir);
	if (str__fmt(w->built, sizeof(w->built), "%s/build/workloads/%s", root, w->name))
		return -ENAMETOOLONG;
	if (is_workload(w->built))
		return 0;
	say__error("%s is missing: make it with `make collectors`", w->built);
	return -ENOENT;
}

/* A first line that ends in CR LF names an interpreter that no guest has. */
static int check_first_line(const char *dir)
{
	char path[PATH_MAX], line[256] = "";
	FILE *f;

	if (str__fmt(path, sizeof(path), "%s/run", dir))
		return -ENAMETOOLONG;
	f = fopen(path, "re");
	if (!f || !fgets(line, sizeof(line), f))
		line[0] = '\0';
	if (f)
		fclose(f);
	if (strncmp(line, "#!", 2) || !strstr(line, "\r\n"))
		return 0;
	say__error("WORKLOAD (--workload): the lines of %s end in CR LF, so no shell is found to "
		   "run it: sed -i 's/\\r$//' %s", path, path);
	return -EINVAL;
}

static int find_workload(struct workload *w, const char *root, const char *choice)
{
	char *real;
	int err;

	if (!*choice)
		return say_no_workload(root, choice);
	if (!strchr(choice, '/')) {
		if (!str__is_name(choice, CELL_NAME_MAX) ||
		    str__fmt(w->dir, sizeof(w->dir), "%s/workloads/%s", root, choice) ||
		    !is_workload(w->dir))
			return say_no_workload(root, choice);
		strcpy(w->name, choice);
		return 0;
	}
	real = realpath(choice, NULL);
	if (!real || !is_workload(real)) {
		free(real);
		return say_no_workload(root, choice);
	}
	err = str__fmt(w->dir, sizeof(w->dir), "%s", real);
	free(real);
	if (!err && !str__is_name(strrchr(w->dir, '/') + 1, CELL_NAME_MAX)) {
		say__error("WORKLOAD (--workload): the last part of %s becomes the workload's name: "
			   "use at most %d of " NAME_RULE, w->dir, CELL_NAME_MAX);
		err = -EINVAL;
	}
	if (!err)
		strcpy(w->name, strrchr(w->dir, '/') + 1);
	return err;
}

int workload__find(struct workload *w, const char *root, const char *choice)
{
	return find_workload(w, root, choice) ?: check_first_line(w->dir);
}

bool workload__holds(const struct workload *w, const char *path)
{
	char dir[PATH_MAX], real[PATH_MAX], source[PATH_MAX];
	size_t len;

	if (str__fmt(dir, sizeof(dir), "%s", path) || !realpath(w->dir, source))
		return false;
	/* Up to the first folder that exists. */
	while (!realpath(dir, real)) {
		char *slash = strrchr(dir, '/');

		if (!slash)
			strcpy(dir, ".");
		else
			slash[slash == dir] = '\0';
	}
	len = strlen(source);
	return !strncmp(real, source, len) && (!real[len] || real[len] == '/');
}
