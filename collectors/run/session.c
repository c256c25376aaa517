// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "run/jobs/jobs.h"
#include "run/jobs/out.h"
#include "run/plan/params.h"
#include "run/plan/plan.h"
#include "run/session.h"
#include "run/util.h"
#include "run/vm/accel.h"

void session__free(struct session *s)
{
	opts__free(&s->opts);
	arms__free(&s->arms);
}

int session__init(struct session *s, int argc, char **argv)
{
	char path[PATH_MAX];
	int err;

	memset(s, 0, sizeof(*s));
	err = opts__read(&s->opts, argc, argv);
	if (err)
		return EXIT_USAGE;
	if (str__fmt(path, sizeof(path), "%s/arms", s->opts.root) ||
	    arms__load(&s->arms, path)) {
		opts__free(&s->opts);
		return EXIT_USAGE;
	}
	return EXIT_DONE;
}

/* The images, and the accelerator they run on. */
int session__find_machine(struct session *s)
{
	const struct opts *o = &s->opts;
	char memory[PATH_MAX];

	if (images__find(&s->images, o->kernel, o->qemu, o->rootfs))
		return EXIT_INFRASTRUCTURE;
	if (str__fmt(memory, sizeof(memory), "%s/build/accel", o->root))
		return EXIT_INFRASTRUCTURE;
	return accel__decide(o->settings.accel, o->settings.clock, &s->images, memory, &s->accel);
}

int session__make_plan(struct session *s, struct plan *plan)
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
	       ? EXIT_USAGE : EXIT_DONE;
}

/* The payload lies beside the cells that ran it; its name is its content. */
static int payload_path(char *path, const char *out, const char *tools, const char *workload)
{
	return str__fmt(path, PATH_MAX, "%s/payload-%.12s-%.12s.tar", out, tools, workload);
}

static int session__write_payload(struct session *s, const char *out, char *path)
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

int session__run(struct session *s, const struct plan *plan, const char *out)
{
	const struct settings *set = &s->opts.settings;
	char payload[PATH_MAX];
	uint64_t largest = 0;
	unsigned int i;
	struct jobs jobs = {
		.root = s->opts.root, .out = out, .images = &s->images, .payload = payload,
		.limits = { set->time_limit_ns, set->hang_limit_ns },
	};

	if (out__lock(out) || session__write_payload(s, out, payload))
		return EXIT_INFRASTRUCTURE;
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

int session__results(const struct session *s, char *out)
{
	if (*s->opts.out)
		return str__fmt(out, PATH_MAX, "%s", s->opts.out);
	return str__fmt(out, PATH_MAX, "%s/results/%s", s->opts.root, s->opts.experiment.name);
}

/* All that can be said of a run before anything is built; an exit status. */
int session__check(struct session *s)
{
	struct experiment *e = &s->opts.experiment;

	if (*s->opts.file) {
		say__error("one argument too many: \"%s\" (see --help)", s->opts.file);
		return EXIT_USAGE;
	}
	if (workload__find(&s->workload, s->opts.root, s->opts.settings.workload))
		return EXIT_USAGE;
	if (params__check(&s->workload, s->opts.root, &s->opts.settings, e))
		return EXIT_USAGE;
	/* Without a file of its own an experiment is named like its workload. */
	if (!strcmp(e->name, "default"))
		strcpy(e->name, s->workload.name);
	return EXIT_DONE;
}

/* From the command line to the cells; an exit status. */
int session__plan(struct session *s, struct plan *plan)
{
	int status;

	status = session__check(s);
	if (status)
		return status;
	if (workload__find_built(&s->workload, s->opts.root))
		return EXIT_USAGE;
	status = session__find_machine(s);
	if (status)
		return status;
	if (payload__write(&s->payload, NULL, s->opts.payload_dir, s->workload.built))
		return EXIT_INFRASTRUCTURE;
	payload__say_left_out(s->workload.built);
	return session__make_plan(s, plan);
}
