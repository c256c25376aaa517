// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * hintrun: run the cells of an experiment, one VM each, and leave their
 * records. The steps of a run: settings -> accelerator -> payload -> plan ->
 * jobs; of a job: QEMU, guest streams and host samples -> record.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/usage.h"
#include "run/vm/boot.h"
#include "run/vm/console.h"
#include "run/plan/list.h"
#include "run/plan/payload.h"
#include "run/session.h"
#include "run/vm/shell.h"
#include "run/util.h"

/* Is all well with what was asked for? Says nothing when it is. */
static int command_check(int argc, char **argv)
{
	struct session s;
	int status;

	status = session__init(&s, argc, argv);
	if (status)
		return status;
	status = session__check(&s);
	session__free(&s);
	return status;
}

static int command_run(int argc, char **argv)
{
	struct session s;
	struct plan plan = { .nr = 0 };
	char out[PATH_MAX];
	int status;

	status = session__init(&s, argc, argv);
	if (status)
		return status;
	status = session__plan(&s, &plan);
	if (!status)
		status = session__results(&s, out) ? EXIT_USAGE : session__run(&s, &plan, out);
	plan__free(&plan);
	session__free(&s);
	return status;
}

/* What `run` would run, a line each; nothing is made and nothing boots. */
static int command_plan(int argc, char **argv)
{
	struct session s;
	struct plan plan = { .nr = 0 };
	unsigned int i;
	int status;

	status = session__init(&s, argc, argv);
	if (status)
		return status;
	status = session__plan(&s, &plan);
	for (i = 0; !status && i < plan.nr; i++) {
		json_t *line = json_pack("{s:s, s:s, s:o}", "cell", plan.cells[i].name,
					 "command", plan.cells[i].command,
					 "spec", cell__spec(&plan.cells[i]));

		if (!line || json_dumpf(line, stdout, JSON_COMPACT) || putchar('\n') == EOF)
			status = EXIT_INFRASTRUCTURE;
		json_decref(line);
	}
	plan__free(&plan);
	session__free(&s);
	return status;
}

/* A cell may be run again only from the same parts. */
static int check_parts(const struct session *s, const struct cell *c)
{
	const struct {
		const char *what, *was, *is;
	} parts[] = {
		{ "kernel", c->kernel, s->images.kernel_id },
		{ "QEMU", c->qemu, s->images.qemu_id },
		{ "guest root", c->rootfs, s->images.rootfs_id },
		{ "set of guest tools", c->tools, s->matrices[0].payload.tools_hash },
		{ "workload", c->workload_hash, s->matrices[0].payload.workload_hash },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(parts); i++) {
		if (strcmp(parts[i].was, parts[i].is)) {
			say__error("the cell had another %s (%.12s) than there is now (%.12s): "
				   "go to its commit, or use `hintrun run`",
				   parts[i].what, parts[i].was, parts[i].is);
			return -EINVAL;
		}
	}
	return 0;
}

/* The cell of the file or folder on the command line; the arm is that of today. */
static int load_cell(struct session *s, struct cell *c)
{
	char path[PATH_MAX];
	const struct arm *arm;
	struct stat st;
	int err;

	memset(c, 0, sizeof(*c));
	err = str__fmt(path, sizeof(path), "%s%s", s->opts.file,
		       !stat(s->opts.file, &st) && S_ISDIR(st.st_mode) ? "/cell.json" : "") ?:
	      cell__load(c, path);
	if (err)
		return err;
	arm = arms__find(&s->arms, c->arm);
	c->arm_def = arm ? json_incref(arm->def) : NULL;
	return 0;
}

static int command_cell(int argc, char **argv)
{
	struct session s;
	struct session_matrix *m = &s.matrices[0];
	struct settings *set;
	struct cell c;
	struct plan plan = { &c, 1 };
	char out[PATH_MAX];
	int status;

	status = session__init(&s, argc, argv);
	if (status)
		return status;
	status = EXIT_USAGE;
	if (!*s.opts.file) {
		say__error("`hintrun cell` needs the cell.json of a cell (see --help)");
		goto out_session;
	}
	if (load_cell(&s, &c))
		goto out_session;
	strcpy(c.experiment, "again");
	strcpy(s.opts.experiment.name, c.experiment);
	set = opts__settings(&s.opts);
	if (workload__find(&m->workload, s.opts.root,
			   s.opts.has_workload ? set->workload : c.workload) ||
	    workload__find_built(&m->workload, s.opts.root) ||
	    session__results(&s, out))
		goto out_cell;
	strcpy(set->accel, c.accel);
	strcpy(set->clock, c.clock);
	c.jobs = 1;
	c.time_limit_ns = set->time_limit_ns;
	c.hang_limit_ns = set->hang_limit_ns;
	status = session__find_machine(&s);
	if (status)
		goto out_cell;
	status = EXIT_INFRASTRUCTURE;
	if (payload__write(&m->payload, NULL, s.opts.payload_dir, m->workload.built))
		goto out_cell;
	status = EXIT_USAGE;
	if (!check_parts(&s, &c))
		status = session__run(&s, &plan, out);
out_cell:
	cell__free(&c);
out_session:
	session__free(&s);
	return status;
}

/* The cell of one arm with the settings of the command line. */
static int cell_of_arm(struct session *s, struct plan *plan, struct cell *c)
{
	unsigned int i;
	int status;

	if (!*s->opts.arm) {
		say__error("a guest on a terminal needs --arm ARM or --cell DIR (see --help)");
		return EXIT_USAGE;
	}
	strcpy(opts__settings(&s->opts)->arms, s->opts.arm);
	opts__settings(&s->opts)->repeats = 1;
	json_object_clear(s->opts.experiment.matrices[0].vary);
	status = session__make_plan(s, plan);
	for (i = 0; !status && i < plan->nr; i++) {
		if (strcmp(plan->cells[i].arm, s->opts.arm))
			continue;	/* a control it brings along */
		*c = plan->cells[i];
		memset(&plan->cells[i], 0, sizeof(*c));
		return EXIT_DONE;
	}
	return status ? status : EXIT_USAGE;
}

/* A terminal is no place for a virtual clock, and another clock is another cell. */
static int set_real_clock(struct cell *c)
{
	strcpy(c->clock, "real");
	return cell__seal(c);
}

/* One guest on this terminal, of an arm or of a cell. */
static int on_terminal(int argc, char **argv, unsigned int how)
{
	struct session s;
	struct session_matrix *m = &s.matrices[0];
	struct settings *set;
	struct plan plan = { .nr = 0 };
	struct cell c = { .text = NULL };
	bool has_workload = true, has_own_clock;
	const char *choice;
	int status;

	status = session__init(&s, argc, argv);
	if (status)
		return status;
	set = opts__settings(&s.opts);
	status = EXIT_USAGE;
	if (*s.opts.file && load_cell(&s, &c))
		goto out;
	/* A cell is debugged as it was: its workload runs, on its clock. */
	has_own_clock = *s.opts.file && how & TERMINAL_HALTED;
	if (!*s.opts.file)
		how |= TERMINAL_SHELL;
	choice = *s.opts.file && !s.opts.has_workload ? c.workload : set->workload;
	if (!strcmp(choice, "none")) {
		has_workload = false;
		strcpy(m->workload.name, "none");
	} else if (workload__find(&m->workload, s.opts.root, choice) ||
		   workload__find_built(&m->workload, s.opts.root)) {
		goto out;
	}
	strcpy(set->clock, has_own_clock ? c.clock : "real");
	if (*s.opts.file && !strcmp(set->accel, "auto"))
		strcpy(set->accel, c.accel);
	status = session__find_machine(&s);
	if (status)
		goto out;
	status = EXIT_INFRASTRUCTURE;
	if (payload__write(&m->payload, NULL, s.opts.payload_dir,
			   has_workload ? m->workload.built : NULL))
		goto out;
	status = *s.opts.file ? EXIT_DONE : cell_of_arm(&s, &plan, &c);
	if (!status)
		status = !has_own_clock && set_real_clock(&c) ? EXIT_INFRASTRUCTURE
			: shell__run(&c, &s.images, s.opts.payload_dir,
				     has_workload ? m->workload.built : NULL, how);
out:
	cell__free(&c);
	plan__free(&plan);
	session__free(&s);
	return status;
}

static int command_shell(int argc, char **argv)
{
	return on_terminal(argc, argv, TERMINAL_SHELL);
}

static int command_debug(int argc, char **argv)
{
	return on_terminal(argc, argv, TERMINAL_HALTED);
}

static int command_list(int argc, char **argv)
{
	struct session s;
	int status;

	status = session__init(&s, argc, argv);
	if (status)
		return status;
	status = list__print(s.opts.root);
	session__free(&s);
	return status;
}

static int command_boot(int argc, char **argv)
{
	char root[PATH_MAX];

	if (opts__default_root(root)) {
		say__error("cannot tell which checkout this program belongs to");
		return EXIT_INFRASTRUCTURE;
	}
	return boot__run(root, argc, argv);
}

/* Of a guest that no cell owns: the same verdict on its console. */
static int command_console(int argc, char **argv)
{
	FILE *f = argc ? fopen(argv[0], "re") : stdin;
	unsigned int nr;
	int err;

	err = f ? console__print(f, &nr) : -errno;
	if (argc && f)
		fclose(f);
	if (err) {
		say__error("cannot read %s: %s", argc ? argv[0] : "standard input",
			   strerror(-err));
		return EXIT_INFRASTRUCTURE;
	}
	return nr ? EXIT_FAILED : EXIT_DONE;
}

static const struct command {
	const char *name;
	int (*fn)(int argc, char **argv);
	const char *arguments, *what;
} commands[] = {
	{ "run", command_run, "[OPTION...]", "run an experiment; what is done is kept" },
	{ "check", command_check, "[OPTION...]", "whether run would take these options" },
	{ "plan", command_plan, "[OPTION...]", "its cells as JSON, a line each; none is run" },
	{ "list", command_list, "", "workloads, arms and experiments" },
	{ "shell", command_shell, "--arm ARM|--cell DIR",
	  "an interactive guest of an arm, or of a cell (--workload none: without a workload)" },
	{ "debug", command_debug, "--arm ARM|--cell DIR",
	  "the same, halted, for gdb; a cell runs its workload on its own clock" },
	{ "cell", command_cell, "DIR/cell.json", "one cell again, into results/again" },
	{ "boot", command_boot, "[OPTION...]", "one guest of any kind (boot --help)" },
	{ "console", command_console, "[FILE]", "complaints of a kernel on its console" },
};

/* Those of boot are long, and a text of their own; the table has both. */
static void print_help(bool as_table)
{
	const struct usage u = { .to = stdout, .table = as_table, .column = 28 };
	size_t i;

	usage__head(
		&u, "hintrun", "COMMAND [OPTION...]",
		"Runs the cells of an experiment, a virtual machine each, and leaves their records.");
	usage__group(&u, "Commands", NULL, NULL);
	for (i = 0; i < ARRAY_SIZE(commands); i++)
		usage__command(&u, commands[i].name, commands[i].arguments, commands[i].what);
	usage__group(&u, "Options",
		     "defaults come from experiments/default.json and the experiment",
		     "run check plan list shell debug cell");
	opts__help(&u);
	if (as_table) {
		usage__group(&u, "Options of boot", NULL, "boot");
		boot__options(&u);
	}
	usage__section(
		&u, "Examples",
		"  hintrun run --workload memcached --quick\n"
		"  hintrun run --workload memcached --arms \"none reporting buffer\" --repeats 5\n"
		"  hintrun run --workload ~/my-workload --mem 1G --buffer 128M --ack-delay 50ms+1ms\n"
		"  hintrun shell --arm buffer\n"
		"  hintrun cell results/memcached/buffer-s1-r1-0123456789ab/cell.json\n");
	usage__section(
		&u, "Exit status",
		"0 all cells done; 1 the guest or workload of some cell failed; 2 wrong usage; 69 the\n"
		"machine failed (an image is missing, QEMU does not start, the disk is full);\n"
		"128 + N stopped by signal N. An OOM kill in a guest is a result, no failure.\n"
		"Stopped at any moment, the same command continues.\n");
}

static void print_boot_help(void)
{
	const struct usage u = { .to = stdout, .column = 28 };

	boot__help(&u);
}

int main(int argc, char **argv)
{
	char names[160] = "";
	size_t i, n = 0;
	bool as_table;
	int k;

	for (k = 1; k < argc && strcmp(argv[k], "--"); k++) {
		if (!usage__is_help(argv[k], &as_table) && (k != 1 || strcmp(argv[k], "help")))
			continue;
		if (k > 1 && !strcmp(argv[1], "boot"))
			print_boot_help();
		else
			print_help(as_table);
		return EXIT_DONE;
	}
	for (i = 0; argc > 1 && i < ARRAY_SIZE(commands); i++)
		if (!strcmp(argv[1], commands[i].name))
			return commands[i].fn(argc - 2, argv + 2);
	for (i = 0; i < ARRAY_SIZE(commands); i++)
		n += (size_t)snprintf(names + n, sizeof(names) - n, " %s", commands[i].name);
	if (argc > 1)
		say__error("there is no command \"%.64s\"; allowed:%s (see hintrun --help)",
			   argv[1], names);
	else
		say__error("a command is needed:%s (see hintrun --help)", names);
	return EXIT_USAGE;
}
