// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "run/plan/opts.h"
#include "run/util.h"

#define COMMAND_LINE	"command line"

static const struct path_option {
	const char *name;
	size_t offset;
	const char *below_root;	/* default, or NULL */
	const char *what;
} paths[] = {
	{ "root", offsetof(struct opts, root), NULL,
	  "the checkout (default: of this program, else the folder you are in)" },
	{ "out", offsetof(struct opts, out), NULL, "results folder (results/EXPERIMENT)" },
	{ "kernel", offsetof(struct opts, kernel), "build/kernel", "folder of bzImage" },
	{ "qemu", offsetof(struct opts, qemu), "build/qemu", "folder of QEMU and its firmware" },
	{ "rootfs", offsetof(struct opts, rootfs), "build/rootfs", "folder of root.erofs" },
	{ "payload-dir", offsetof(struct opts, payload_dir), "build/guest",
	  "folder of the guest's tools" },
};

struct option {
	const char *name, *value;
};

struct option_list {
	struct option *option;
	int nr;
};

static const struct path_option *find_path(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(paths); i++)
		if (!strcmp(paths[i].name, name))
			return &paths[i];
	return NULL;
}

/* Split "--name value" and "--name=value"; a flag stands for --flag=1. */
static int split(struct option_list *l, struct opts *o, int argc, char **argv)
{
	int i;

	l->option = calloc((size_t)argc + 1, sizeof(*l->option));
	if (!l->option)
		return -ENOMEM;
	for (i = 0; i < argc; i++) {
		char *arg = argv[i], *eq;

		if (strncmp(arg, "--", 2)) {
			if (*o->file || str__fmt(o->file, sizeof(o->file), "%s", arg)) {
				say__error("one argument too many: \"%s\" (see --help)", arg);
				return -EINVAL;
			}
			continue;
		}
		eq = strchr(arg, '=');
		if (eq) {
			*eq = '\0';
			l->option[l->nr].value = eq + 1;
		} else if (!strcmp(arg, "--quick")) {
			l->option[l->nr].value = "1";
		} else if (i + 1 < argc) {
			l->option[l->nr].value = argv[++i];
		} else {
			say__error("%s needs a value (see --help)", arg);
			return -EINVAL;
		}
		l->option[l->nr++].name = arg + 2;
	}
	return 0;
}

static const char *value_of(const struct option_list *l, const char *name)
{
	const char *value = NULL;
	int i;

	for (i = 0; i < l->nr; i++)
		if (!strcmp(l->option[i].name, name))
			value = l->option[i].value;
	return value;
}

static bool is_checkout(const char *dir)
{
	char file[PATH_MAX];

	return !str__fmt(file, sizeof(file), "%s/experiments/default.json", dir) &&
	       !access(file, F_OK);
}

/* build/bin/hintrun lies two below the checkout; one that is installed takes where we are. */
int opts__default_root(char *root)
{
	char exe[PATH_MAX], here[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	int i;

	if (n < 0)
		return -errno;
	exe[n] = '\0';
	for (i = 0; i < 3; i++) {
		char *slash = strrchr(exe, '/');

		if (!slash)
			return -EINVAL;
		*slash = '\0';
	}
	if (!is_checkout(exe) && getcwd(here, sizeof(here)) && is_checkout(here))
		return str__fmt(root, PATH_MAX, "%s", here);
	return str__fmt(root, PATH_MAX, "%s", *exe ? exe : "/");
}

static int set_path(struct opts *o, const struct path_option *p, const char *value)
{
	if (!*value || str__fmt((char *)o + p->offset, PATH_MAX, "%s", value)) {
		say__error("--%s: \"%.64s\" is not a path", p->name, value);
		return -EINVAL;
	}
	return 0;
}

static int default_paths(struct opts *o)
{
	size_t i;
	int err = 0;

	for (i = 0; !err && i < ARRAY_SIZE(paths); i++) {
		char *p = (char *)o + paths[i].offset;

		if (!*p && paths[i].below_root)
			err = str__fmt(p, PATH_MAX, "%s/%s", o->root, paths[i].below_root);
	}
	return err;
}

/* What is given on the command line is no longer varied. */
static int set_param(struct opts *o, const char *name, const char *value)
{
	struct experiment *e = &o->experiment;
	char key[CELL_NAME_MAX + 8];
	unsigned int i;
	int err = 0;

	if (!str__fmt(key, sizeof(key), "param.%s", name))
		experiment__fix(e, key);
	for (i = 0; !err && i < e->nr; i++)
		err = settings__set_param(&e->matrices[i].settings, name, value, COMMAND_LINE);
	return err;
}

static int set_setting(struct opts *o, const char *name, const char *value)
{
	struct experiment *e = &o->experiment;
	unsigned int i;
	int err = 0;

	experiment__fix(e, name);
	for (i = 0; !err && i < e->nr; i++) {
		struct settings *s = &e->matrices[i].settings;
		uint64_t jobs = s->jobs;

		/* The virtual clock is TCG's: the accelerator is for the other matrices. */
		if (e->has_several && !strcmp(name, "accel") && !strcmp(s->clock, "virtual"))
			continue;
		err = settings__set(s, name, value, COMMAND_LINE);
		/* Where a matrix says how many cells it bears at once, no more are run. */
		if (e->has_several && jobs && s->jobs > jobs)
			s->jobs = jobs;
	}
	return err;
}

static int set_option(struct opts *o, const char *name, const char *value)
{
	const struct path_option *path = find_path(name);
	char param[CELL_NAME_MAX + 2];
	const char *eq;

	if (path)
		return set_path(o, path, value);
	if (!strcmp(name, "experiment"))
		return 0;	/* read before */
	if (!strcmp(name, "cell"))
		return str__fmt(o->file, sizeof(o->file), "%s", value);
	if (!strcmp(name, "arm"))
		return str__fmt(o->arm, sizeof(o->arm), "%s", value);
	if (!strcmp(name, "param")) {
		eq = strchr(value, '=');
		if (!eq || str__fmt(param, sizeof(param), "%.*s", (int)(eq - value), value)) {
			say__error("--param needs NAME=VALUE, not \"%.64s\"", value);
			return -EINVAL;
		}
		return set_param(o, param, eq + 1);
	}
	o->has_workload |= !strcmp(name, "workload");
	if (!setting__exists(name)) {
		say__error("there is no option --%s (see --help)", name);
		return -EINVAL;
	}
	return set_setting(o, name, value);
}

static int load_experiment(struct opts *o, struct settings *s, const char *name, bool must_exist)
{
	struct experiment e;
	char path[PATH_MAX];
	int err;

	if (!str__is_name(name, CELL_NAME_MAX)) {
		say__error("--experiment: \"%.64s\" is not a name: " NAME_RULE, name);
		return -EINVAL;
	}
	err = str__fmt(path, sizeof(path), "%s/experiments/%s.json", o->root, name) ?:
	      experiment__load(&e, s, path, name);
	if (!err) {
		experiment__free(&o->experiment);
		o->experiment = e;
	}
	if (err != -ENOENT)
		return err;
	if (must_exist) {
		say__error("%s is missing (see `hintrun list`)", path);
		return -EINVAL;
	}
	return 0;
}

/* default.json, then the experiment asked for or the one named like the workload. */
static int load_experiments(struct opts *o, const struct option_list *l)
{
	const char *name = value_of(l, "experiment"), *workload = value_of(l, "workload");
	struct settings s;
	int err;

	err = settings__init(&s) ?: load_experiment(o, &s, "default", true);
	if (!err && name)
		err = load_experiment(o, &s, name, true);
	else if (!err && workload && str__is_name(workload, CELL_NAME_MAX))
		err = load_experiment(o, &s, workload, false);
	settings__free(&s);
	return err;
}

/* QUICK=1: one repeat, unless given, and the short lists of what is varied. */
static int shorten(struct opts *o, bool has_repeats)
{
	struct experiment *e = &o->experiment;
	unsigned int i;

	if (!e->matrices[0].settings.quick)
		return 0;
	for (i = 0; i < e->nr && !has_repeats; i++)
		e->matrices[i].settings.repeats = 1;
	return experiment__shorten(e);
}

/* A later option of the same name takes the place of this one. */
static bool is_replaced(const struct option_list *l, int i)
{
	int j;

	for (j = i + 1; j < l->nr; j++)
		if (!strcmp(l->option[i].name, l->option[j].name) &&
		    strcmp(l->option[i].name, "param"))
			return true;
	return false;
}

/* Can make's variables say it all? PARAM is a list of words; paths have no variable. */
static bool is_for_make(const struct option_list *l)
{
	int i;

	for (i = 0; i < l->nr; i++) {
		const char *name = l->option[i].name;

		if (!strcmp(name, "param") ? strpbrk(l->option[i].value, " \t") != NULL
					   : find_path(name) && strcmp(name, "out"))
			return false;
	}
	return true;
}

/* "ack-delay", "5ms" to ACK_DELAY=5ms; $ is make's own sign. */
static void put_variable(FILE *f, const char *name, const char *value)
{
	char *word = NULL;
	size_t len;
	FILE *w = open_memstream(&word, &len);

	if (!w)
		return;
	for (; *value; value++)
		fputs(*value == '$' ? "$$" : (char[]){ *value, '\0' }, w);
	if (!fclose(w)) {
		fputc(' ', f);
		for (; *name; name++)
			fputc(*name == '-' ? '_' : toupper((unsigned char)*name), f);
		fputc('=', f);
		file__put_word(f, word);
	}
	free(word);
}

/*
 * The line that repeats this run: what was given and nothing else, since the rest
 * is in files of the checkout. An own workload is named by its full path.
 */
static int make_command(struct opts *o, const struct option_list *l)
{
	bool for_make = is_for_make(l);
	char params[4096] = "", real[PATH_MAX];
	size_t len, n = 0;
	FILE *f = open_memstream(&o->command, &len);
	int i;

	if (!f)
		return -ENOMEM;
	fputs(for_make ? "make run" : "build/bin/hintrun run", f);
	for (i = 0; i < l->nr; i++) {
		const char *name = l->option[i].name, *value = l->option[i].value;

		if (is_replaced(l, i))
			continue;
		if (!strcmp(name, "workload") && strchr(value, '/') && realpath(value, real))
			value = real;
		if (!for_make) {
			char word[2 * PATH_MAX];

			if (str__fmt(word, sizeof(word), "--%s=%s", name, value))
				break;
			fputc(' ', f);
			file__put_word(f, word);
		} else if (!strcmp(name, "param")) {
			n += (size_t)snprintf(params + n, sizeof(params) - n, "%s%s",
					      n ? " " : "", value);
			if (n >= sizeof(params))
				break;
		} else {
			put_variable(f, name, value);
		}
	}
	if (n)
		put_variable(f, "param", params);
	return fclose(f) || i < l->nr ? -ENOMEM : 0;
}

int opts__read(struct opts *o, int argc, char **argv)
{
	struct option_list l = { .nr = 0 };
	const char *root;
	int i, err;

	memset(o, 0, sizeof(*o));
	err = split(&l, o, argc, argv);
	if (!err) {
		root = value_of(&l, "root");
		err = root ? str__fmt(o->root, sizeof(o->root), "%s", root)
			   : opts__default_root(o->root);
	}
	if (!err)
		err = load_experiments(o, &l);
	for (i = 0; !err && i < l.nr; i++)
		err = set_option(o, l.option[i].name, l.option[i].value);
	if (!err)
		err = default_paths(o) ?: make_command(o, &l) ?:
		      shorten(o, value_of(&l, "repeats") != NULL);
	free(l.option);
	if (err)
		opts__free(o);
	return err;
}

void opts__free(struct opts *o)
{
	experiment__free(&o->experiment);
	free(o->command);
}

struct settings *opts__settings(struct opts *o)
{
	experiment__keep_first(&o->experiment);
	return &o->experiment.matrices[0].settings;
}

void opts__help(const struct usage *u)
{
	size_t i;

	settings__help(u);
	usage__option(u, 0, "param", "NAME=VALUE", "parameter of the workload (HINT_P_NAME)");
	usage__option(u, 0, "experiment", "NAME", "settings of experiments/NAME.json");
	usage__option(u, 0, "arm", "ARM", "the arm of a guest on this terminal");
	usage__option(u, 0, "cell", "DIR", "the cell of a guest on this terminal");
	for (i = 0; i < ARRAY_SIZE(paths); i++)
		usage__option(u, 0, paths[i].name, "DIR", paths[i].what);
}
