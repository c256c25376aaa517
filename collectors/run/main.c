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
#include <unistd.h>

#include "run/vm/accel.h"
#include "run/vm/boot.h"
#include "run/vm/console.h"
#include "run/jobs/jobs.h"
#include "run/plan/list.h"
#include "run/plan/opts.h"
#include "run/plan/params.h"
#include "run/plan/payload.h"
#include "run/plan/plan.h"
#include "run/vm/shell.h"
#include "run/util.h"

/* What every command that boots a guest begins with. */
struct session {
	struct opts opts;
	struct arms arms;
	struct images images;
	struct workload workload;
	struct payload payload;
	const char *accel;
};

static void session__free(struct session *s)
{
	opts__free(&s->opts);
	arms__free(&s->arms);
}

static int session__init(struct session *s, int argc, char **argv)
{
	char path[PATH_MAX];
	int err;

	memset(s, 0, sizeof(*s));
	err = opts__read(&s->opts, argc, argv);
	if (err)
		return STATUS_USAGE;
	if (str__fmt(path, sizeof(path), "%s/arms", s->opts.root) ||
	    arms__load(&s->arms, path)) {
		opts__free(&s->opts);
		return STATUS_USAGE;
	}
	return STATUS_DONE;
}

/* The images, and the accelerator they run on. */
static int session__find_machine(struct session *s)
{
	const struct opts *o = &s->opts;
	char memory[PATH_MAX];

	if (images__find(&s->images, o->kernel, o->qemu, o->rootfs))
		return STATUS_INFRA;
	if (str__fmt(memory, sizeof(memory), "%s/build/accel", o->root))
		return STATUS_INFRA;
	return accel__decide(o->settings.accel, o->settings.clock, &s->images, memory, &s->accel);
}

static int make_plan(struct session *s, struct plan *plan)
{
	const struct plan_base base = {
		.arms = &s->arms,
		.command = s->opts.command,
		.workload_name = s->workload.name,
		.accel = s->accel,
		.workload_hash = s->payload.workload_hash,
		.kernel = s->images.kernel_id,
		.qemu = s->images.qemu_id,
		.rootfs = s->images.rootfs_id,
		.tools = s->payload.tools_hash,
	};

	return plan__make(plan, &s->opts.experiment, &s->opts.settings, &base)
	       ? STATUS_USAGE : STATUS_DONE;
}

/* The payload lies beside the cells that ran it; its name is its content. */
static int payload_path(char *path, const char *out, const char *tools, const char *workload)
{
	return str__fmt(path, PATH_MAX, "%s/payload-%.12s-%.12s.tar", out, tools, workload);
}

static int write_payload(struct session *s, const char *out, char *path)
{
	struct payload again;
	int err;

	err = payload_path(path, out, s->payload.tools_hash, s->payload.workload_hash);
	/* Its name says what it was when it was written; a full disk may have cut it. */
	if (err || payload__is_at(&s->payload, path))
		return err;
	err = payload__write(&again, path, s->opts.payload_dir, s->workload.built);
	if (!err && strcmp(again.file_hash, s->payload.file_hash)) {
		unlink(path);
		say__error("the workload or the tools changed while they were packed: run again");
		err = -ESTALE;
	}
	return err;
}

static int run_cells(struct session *s, const struct plan *plan, const char *out)
{
	const struct settings *set = &s->opts.settings;
	char payload[PATH_MAX];
	uint64_t largest = 0;
	unsigned int i;
	struct jobs jobs = {
		.root = s->opts.root, .out = out, .images = &s->images, .payload = payload,
		.limits = { set->time_limit_ns, set->hang_limit_ns },
	};

	if (out__lock(out) || write_payload(s, out, payload))
		return STATUS_INFRA;
	for (i = 0; i < plan->nr; i++)
		if (cell__ram_bytes(&plan->cells[i]) > largest)
			largest = cell__ram_bytes(&plan->cells[i]);
	jobs.nr = set->jobs ? (unsigned int)set->jobs
			    : jobs__default(plan->cells[0].clock, largest);
	printf("  %-8s %s: %u cells, %u at once, %s, %s clock, results in %s\n", "RUN",
	       s->workload.name, plan->nr, jobs.nr, plan->cells[0].accel,
	       plan->cells[0].clock, out);
	return jobs__run(&jobs, plan);
}

static int results_folder(const struct session *s, char *out)
{
	if (*s->opts.out)
		return str__fmt(out, PATH_MAX, "%s", s->opts.out);
	return str__fmt(out, PATH_MAX, "%s/results/%s", s->opts.root, s->opts.experiment.name);
}

/* All that can be said of a run before anything is built; an exit status. */
static int check_choice(struct session *s)
{
	struct experiment *e = &s->opts.experiment;

	if (*s->opts.file) {
		say__error("one argument too many: \"%s\" (see --help)", s->opts.file);
		return STATUS_USAGE;
	}
	if (workload__find(&s->workload, s->opts.root, s->opts.settings.workload))
		return STATUS_USAGE;
	if (params__check(&s->workload, s->opts.root, &s->opts.settings, e))
		return STATUS_USAGE;
	/* Without a file of its own an experiment is named like its workload. */
	if (!strcmp(e->name, "default"))
		strcpy(e->name, s->workload.name);
	return STATUS_DONE;
}

/* From the command line to the cells; an exit status. */
static int plan_cells(struct session *s, struct plan *plan)
{
	int status;

	status = check_choice(s);
	if (status)
		return status;
	if (workload__find_built(&s->workload, s->opts.root))
		return STATUS_USAGE;
	status = session__find_machine(s);
	if (status)
		return status;
	if (payload__write(&s->payload, NULL, s->opts.payload_dir, s->workload.built))
		return STATUS_INFRA;
	payload__say_left_out(s->workload.built);
	return make_plan(s, plan);
}

/* Is all well with what was asked for? Says nothing when it is. */
static int command_check(int argc, char **argv)
{
	struct session s;
	int status;

	status = session__init(&s, argc, argv);
	if (status)
		return status;
	status = check_choice(&s);
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
	status = plan_cells(&s, &plan);
	if (!status)
		status = results_folder(&s, out) ? STATUS_USAGE : run_cells(&s, &plan, out);
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
	status = plan_cells(&s, &plan);
	for (i = 0; !status && i < plan.nr; i++) {
		json_t *line = json_pack("{s:s, s:s, s:o}", "cell", plan.cells[i].name,
					 "command", plan.cells[i].command, "spec", cell__spec(&plan.cells[i]));

		if (!line || json_dumpf(line, stdout, JSON_COMPACT) || putchar('\n') == EOF)
			status = STATUS_INFRA;
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
		{ "set of guest tools", c->tools, s->payload.tools_hash },
		{ "workload", c->workload_hash, s->payload.workload_hash },
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
	struct cell c;
	struct plan plan = { &c, 1 };
	char out[PATH_MAX];
	int status;

	status = session__init(&s, argc, argv);
	if (status)
		return status;
	status = STATUS_USAGE;
	if (!*s.opts.file) {
		say__error("`hintrun cell` needs the cell.json of a cell (see --help)");
		goto out_session;
	}
	if (load_cell(&s, &c))
		goto out_session;
	strcpy(c.experiment, "again");
	strcpy(s.opts.experiment.name, c.experiment);
	if (workload__find(&s.workload, s.opts.root,
			   s.opts.has_workload ? s.opts.settings.workload : c.workload) ||
	    workload__find_built(&s.workload, s.opts.root) ||
	    results_folder(&s, out))
		goto out_cell;
	strcpy(s.opts.settings.accel, c.accel);
	strcpy(s.opts.settings.clock, c.clock);
	status = session__find_machine(&s);
	if (status)
		goto out_cell;
	status = STATUS_INFRA;
	if (payload__write(&s.payload, NULL, s.opts.payload_dir, s.workload.built))
		goto out_cell;
	status = STATUS_USAGE;
	if (!check_parts(&s, &c))
		status = run_cells(&s, &plan, out);
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
		say__error("`hintrun shell` needs --arm ARM or --cell DIR (see --help)");
		return STATUS_USAGE;
	}
	strcpy(s->opts.settings.arms, s->opts.arm);
	s->opts.settings.repeats = 1;
	json_object_clear(s->opts.experiment.vary);
	status = make_plan(s, plan);
	for (i = 0; !status && i < plan->nr; i++) {
		if (strcmp(plan->cells[i].arm, s->opts.arm))
			continue;	/* a control it brings along */
		*c = plan->cells[i];
		memset(&plan->cells[i], 0, sizeof(*c));
		return STATUS_DONE;
	}
	return status ? status : STATUS_USAGE;
}

/* A terminal is no place for a virtual clock, and another clock is another cell. */
static int set_real_clock(struct cell *c)
{
	strcpy(c->clock, "real");
	return cell__seal(c);
}

static int command_shell(int argc, char **argv)
{
	struct session s;
	struct plan plan = { .nr = 0 };
	struct cell c = { .text = NULL };
	bool has_workload = true;
	const char *choice;
	int status;

	status = session__init(&s, argc, argv);
	if (status)
		return status;
	status = STATUS_USAGE;
	if (*s.opts.file && load_cell(&s, &c))
		goto out;
	choice = *s.opts.file && !s.opts.has_workload ? c.workload : s.opts.settings.workload;
	if (!strcmp(choice, "none")) {
		has_workload = false;
		strcpy(s.workload.name, "none");
	} else if (workload__find(&s.workload, s.opts.root, choice) ||
		   workload__find_built(&s.workload, s.opts.root)) {
		goto out;
	}
	strcpy(s.opts.settings.clock, "real");
	if (*s.opts.file && !strcmp(s.opts.settings.accel, "auto"))
		strcpy(s.opts.settings.accel, c.accel);
	status = session__find_machine(&s);
	if (status)
		goto out;
	status = STATUS_INFRA;
	if (payload__write(&s.payload, NULL, s.opts.payload_dir,
			   has_workload ? s.workload.built : NULL))
		goto out;
	status = *s.opts.file ? STATUS_DONE : cell_of_arm(&s, &plan, &c);
	if (!status)
		status = set_real_clock(&c) ? STATUS_INFRA
			: shell__run(&c, &s.images, s.opts.payload_dir,
				     has_workload ? s.workload.built : NULL);
out:
	cell__free(&c);
	plan__free(&plan);
	session__free(&s);
	return status;
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
		return STATUS_INFRA;
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
		return STATUS_INFRA;
	}
	return nr ? STATUS_FAILED : STATUS_DONE;
}

static void print_help(void)
{
	printf("Usage: hintrun run [OPTION...]           run an experiment, what is done is kept\n"
	       "       hintrun check [OPTION...]         whether `run` would take these options\n"
	       "       hintrun plan [OPTION...]          its cells as JSON, a line each; none is run\n"
	       "       hintrun list                      workloads, arms and experiments\n"
	       "       hintrun shell --arm ARM|--cell DIR    an interactive guest of an arm, or of a\n"
	       "                                         cell (--workload none: without a workload)\n"
	       "       hintrun cell DIR/cell.json        one cell again, into results/again\n"
	       "       hintrun boot [OPTION...]          one guest of any kind (boot --help)\n"
	       "       hintrun console [FILE]            complaints of a kernel on its console\n"
	       "\n"
	       "Options (defaults come from experiments/default.json and the experiment):\n");
	opts__help();
	printf("\n"
	       "Examples:\n"
	       "  hintrun run --workload memcached --quick\n"
	       "  hintrun run --workload memcached --arms \"none reporting buffer\" --repeats 5\n"
	       "  hintrun run --workload ~/my-workload --mem 1G --buffer 128M --ack-delay 50ms+1ms\n"
	       "  hintrun shell --arm buffer\n"
	       "  hintrun cell results/memcached/buffer-s1-r1-0123456789ab/cell.json\n"
	       "\n"
	       "Exit status: 0 all cells done; 1 the guest or workload of some cell failed; 2 wrong\n"
	       "usage; 69 the machine failed (an image is missing, QEMU does not start, the disk is\n"
	       "full); 128 + N stopped by signal N. An OOM kill in a guest is a result, no failure.\n"
	       "Stopped at any moment, the same command continues.\n");
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*fn)(int argc, char **argv);
	} commands[] = {
		{ "run", command_run }, { "check", command_check }, { "plan", command_plan },
		{ "list", command_list }, { "shell", command_shell }, { "cell", command_cell },
		{ "boot", command_boot }, { "console", command_console },
	};
	char names[160] = "";
	size_t i, n = 0;
	int k;

	for (k = 1; k < argc && strcmp(argv[k], "--"); k++) {
		if (!strcmp(argv[k], "--help") || !strcmp(argv[k], "-h") ||
		    (k == 1 && !strcmp(argv[k], "help"))) {
			if (k > 1 && !strcmp(argv[1], "boot"))
				boot__help();
			else
				print_help();
			return STATUS_DONE;
		}
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
	return STATUS_USAGE;
}
