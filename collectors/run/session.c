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

/* The images, and the accelerators they run on. */
int session__find_machine(struct session *s)
{
	const struct opts *o = &s->opts;
	char memory[PATH_MAX];
	unsigned int i;
	int status = EXIT_DONE;

	if (images__find(&s->images, o->kernel, o->qemu, o->rootfs) ||
	    str__fmt(memory, sizeof(memory), "%s/build/accel", o->root))
		return EXIT_INFRASTRUCTURE;
	for (i = 0; !status && i < o->experiment.nr; i++) {
		const struct settings *set = &o->experiment.matrices[i].settings;

		status = accel__decide(set->accel, set->clock, &s->images, memory,
				       &s->matrices[i].accel);
	}
	return status;
}

int session__make_plan(struct session *s, struct plan *plan)
{
	struct plan_base bases[MAX_MATRICES];
	unsigned int i;

	for (i = 0; i < s->opts.experiment.nr; i++)
		bases[i] = (struct plan_base) {
			.arms = &s->arms,
			.command = s->opts.command,
			.workload_name = s->matrices[i].workload.name,
			.accel = s->matrices[i].accel,
			.workload_hash = s->matrices[i].payload.workload_hash,
			.kernel = s->images.kernel_id,
			.qemu = s->images.qemu_id,
			.rootfs = s->images.rootfs_id,
			.tools = s->matrices[i].payload.tools_hash,
		};
	return plan__make(plan, &s->opts.experiment, bases) ? EXIT_USAGE : EXIT_DONE;
}

static int session__write_payload(const struct session *s, const struct session_matrix *m,
				  const char *out)
{
	struct payload again;
	char path[PATH_MAX];
	int err;

	err = jobs__payload_path(path, out, m->payload.tools_hash, m->payload.workload_hash);
	/* Its name says what it was when it was written; a full disk may have cut it. */
	if (err || payload__is_at(&m->payload, path))
		return err;
	err = payload__write(&again, path, s->opts.payload_dir, m->workload.built);
	if (!err && strcmp(again.file_hash, m->payload.file_hash)) {
		unlink(path);
		say__error("the workload or the tools changed while they were packed: run again");
		err = -ESTALE;
	}
	return err;
}

/* Of one matrix as ever; of several the workloads differ. */
static void say_what_runs(const struct session *s, const struct plan *plan, unsigned int most,
			  const char *out)
{
	const struct cell *c = &plan->cells[0];

	if (s->opts.experiment.has_several)
		printf("  %-8s %s: %u cells of %u matrices, at most %u at once, results in %s\n",
		       "RUN", s->opts.experiment.name, plan->nr, s->opts.experiment.nr, most, out);
	else
		printf("  %-8s %s: %u cells, %u at once, %s, %s clock, results in %s\n", "RUN",
		       c->workload, plan->nr, most, c->accel, c->clock, out);
}

int session__run(struct session *s, const struct plan *plan, const char *out)
{
	const struct jobs jobs = { .root = s->opts.root, .out = out, .images = &s->images };
	unsigned int i, most = 1;

	if (out__lock(out))
		return EXIT_INFRASTRUCTURE;
	for (i = 0; i < s->opts.experiment.nr; i++)
		if (session__write_payload(s, &s->matrices[i], out))
			return EXIT_INFRASTRUCTURE;
	for (i = 0; i < plan->nr; i++) {
		struct cell *c = &plan->cells[i];

		if (!c->jobs)
			c->jobs = jobs__default(c->clock, cell__ram_bytes(c));
		if (c->jobs > most)
			most = c->jobs;
	}
	say_what_runs(s, plan, most, out);
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
	char out[PATH_MAX];
	unsigned int i;

	if (*s->opts.file) {
		say__error("one argument too many: \"%s\" (see --help)", s->opts.file);
		return EXIT_USAGE;
	}
	for (i = 0; i < e->nr; i++) {
		struct workload *w = &s->matrices[i].workload;

		if (workload__find(w, s->opts.root, e->matrices[i].settings.workload) ||
		    params__check(w, s->opts.root, &e->matrices[i]))
			return EXIT_USAGE;
	}
	/* Without a file of its own an experiment is named like its workload. */
	if (!strcmp(e->name, "default"))
		strcpy(e->name, s->matrices[0].workload.name);
	if (session__results(s, out))
		return EXIT_USAGE;
	for (i = 0; i < e->nr; i++)
		if (workload__holds(&s->matrices[i].workload, out)) {
			say__error("OUT (--out): %s is in the workload's own folder, which goes "
				   "into the guest as it is: name a folder outside of %s", out,
				   s->matrices[i].workload.dir);
			return EXIT_USAGE;
		}
	return EXIT_DONE;
}

/* Has an earlier matrix the same workload? */
static const struct session_matrix *same_workload(const struct session *s, unsigned int i)
{
	unsigned int j;

	for (j = 0; j < i; j++)
		if (!strcmp(s->matrices[j].workload.built, s->matrices[i].workload.built))
			return &s->matrices[j];
	return NULL;
}

/* From the command line to the cells; an exit status. */
int session__plan(struct session *s, struct plan *plan)
{
	unsigned int i;
	int status;

	status = session__check(s);
	if (status)
		return status;
	for (i = 0; i < s->opts.experiment.nr; i++)
		if (workload__find_built(&s->matrices[i].workload, s->opts.root))
			return EXIT_USAGE;
	status = session__find_machine(s);
	if (status)
		return status;
	for (i = 0; i < s->opts.experiment.nr; i++) {
		struct session_matrix *m = &s->matrices[i];
		const struct session_matrix *same = same_workload(s, i);

		if (same) {
			m->payload = same->payload;
			continue;
		}
		if (payload__write(&m->payload, NULL, s->opts.payload_dir, m->workload.built))
			return EXIT_INFRASTRUCTURE;
		payload__say_left_out(m->workload.built);
	}
	return session__make_plan(s, plan);
}
