// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/time.h"
#include "run/jobs/jobs.h"
#include "run/jobs/out.h"
#include "run/record/record.h"
#include "run/util.h"

#define QEMU_OWN_BYTES	(400 * MIB)	/* code buffer, image cache, firmware */
#define STATUS_STOPPED	130		/* of a worker that was told to stop */

enum job_state { JOB_WAITING, JOB_RUNNING, JOB_DONE, JOB_FAILED, JOB_KEPT };

struct job {
	const struct cell *cell;
	enum job_state state;
	pid_t pid;
	uint64_t start_ns;
	double wall_s;		/* of a finished one */
};

struct run {
	const struct jobs *j;
	struct job *jobs;
	unsigned int nr, nr_running, nr_finished, nr_failed;
	bool is_tty;
	bool infra;		/* no further cell is started */
};

static uint64_t available_memory(void)
{
	unsigned long long kib = 0;
	char line[256];
	FILE *f = fopen("/proc/meminfo", "re");

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1)
			break;
	if (f)
		fclose(f);
	return kib * 1024;
}

unsigned int jobs__default(const char *clock, uint64_t ram_bytes)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	uint64_t fit = available_memory() / (ram_bytes + QEMU_OWN_BYTES);
	uint64_t n = cpus > 0 ? (uint64_t)cpus : 1;

	/* In wall time, guests that share a CPU would measure each other. */
	if (!strcmp(clock, "real"))
		return 1;
	if (n > fit)
		n = fit;
	return n < 1 ? 1 : n > 256 ? 256 : (unsigned int)n;
}

static int cell_dir(char *buf, const struct run *r, const struct job *job)
{
	return str__fmt(buf, PATH_MAX, "%s/%s", r->j->out, job->cell->name);
}

/* Is the cell done already? Else make its folder empty. */
static int prepare_job(struct run *r, struct job *job)
{
	char dir[PATH_MAX];
	struct outcome o;
	int err;

	err = cell_dir(dir, r, job) ?: out__unpark(r->j->out, job->cell->name);
	if (err)
		return err;
	err = outcome__read(&o, dir);
	if (!err && o.is_done && !r->j->again) {
		job->state = JOB_KEPT;
		job->wall_s = o.wall_s;
		r->nr_finished++;
		return 0;
	}
	if (!err && !o.is_done)
		return out__put_aside(r->j->out, job->cell->name);
	return dir__remove(dir);
}

int jobs__payload_path(char *path, const char *out, const char *tools, const char *workload)
{
	return str__fmt(path, PATH_MAX, "%s/payload-%.12s-%.12s.tar", out, tools, workload);
}

static int start_job(struct run *r, struct job *job)
{
	const struct cell *c = job->cell;
	const struct vm_limits limits = { c->time_limit_ns, c->hang_limit_ns };
	char dir[PATH_MAX], payload[PATH_MAX];
	pid_t runner = getpid();
	int err, status;

	err = cell_dir(dir, r, job) ?: dir__make(dir) ?:
	      jobs__payload_path(payload, r->j->out, c->tools, c->workload_hash);
	if (err)
		return err;
	fflush(NULL);
	job->start_ns = time__now_ns();
	job->pid = fork();
	if (job->pid < 0)
		return -errno;
	if (!job->pid) {
		setpgid(0, 0);	/* a Ctrl-C reaches us through the runner only */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != runner)
			_exit(EXIT_INFRASTRUCTURE);
		status = vm__run(c, r->j->images, r->j->root, payload, dir, &limits);
		_exit(status < 0 ? STATUS_STOPPED : status);
	}
	job->state = JOB_RUNNING;
	r->nr_running++;
	return 0;
}

/* What a cell of this label takes: mean of those finished, of all others if need be. */
static double expected_s(const struct run *r, const char *label)
{
	double sum = 0, all = 0;
	unsigned int i, n = 0, nr_all = 0;

	for (i = 0; i < r->nr; i++) {
		if (r->jobs[i].wall_s <= 0)
			continue;
		all += r->jobs[i].wall_s;
		nr_all++;
		if (!strcmp(r->jobs[i].cell->label, label)) {
			sum += r->jobs[i].wall_s;
			n++;
		}
	}
	return n ? sum / n : nr_all ? all / nr_all : -1;
}

static void time_left(const struct run *r, char *out, size_t size)
{
	double left = 0, one, ran;
	unsigned int i, most = 1;

	for (i = 0; i < r->nr; i++) {
		const struct job *job = &r->jobs[i];

		if (job->state != JOB_WAITING && job->state != JOB_RUNNING)
			continue;
		if (job->cell->jobs > most)
			most = job->cell->jobs;
		one = expected_s(r, job->cell->label);
		if (one < 0) {
			snprintf(out, size, "time left unknown until a cell has finished");
			return;
		}
		ran = job->state == JOB_RUNNING ?
			(double)(time__now_ns() - job->start_ns) / 1e9 : 0;
		left += one > ran ? one - ran : 0;
	}
	left /= most;
	if (left >= 90)
		snprintf(out, size, "about %.0f min left", left / 60);
	else
		snprintf(out, size, "about %.0f s left", left);
}

static void clear_live(const struct run *r)
{
	if (r->is_tty)
		fputs("\r\033[K", stdout);
}

static void show_live(const struct run *r)
{
	char now[160] = "", left[80];
	size_t n = 0;
	unsigned int i;

	if (!r->is_tty)
		return;
	for (i = 0; i < r->nr && n < sizeof(now); i++)
		if (r->jobs[i].state == JOB_RUNNING)
			n += (size_t)snprintf(now + n, sizeof(now) - n, "%s%s r%u",
					      n ? ", " : "", r->jobs[i].cell->label,
					      r->jobs[i].cell->repeat);
	time_left(r, left, sizeof(left));
	clear_live(r);
	/* Short: a line that wraps cannot be taken back. */
	printf("  %-8s %u of %u finished; now %.40s; %s", "RUN", r->nr_finished, r->nr, now, left);
	fflush(stdout);
}

static void show_finished(const struct run *r, const struct job *job, const struct outcome *o)
{
	char left[80] = "";

	if (r->nr_finished < r->nr)
		time_left(r, left, sizeof(left));
	clear_live(r);
	printf("  %-8s %s, repeat %u: %.0f s (%u of %u)%s%s\n",
	       job->state == JOB_DONE ? "DONE" : "FAILED",
	       job->cell->label, job->cell->repeat, job->wall_s,
	       r->nr_finished, r->nr, *left ? "; " : "", left);
	if (job->state == JOB_FAILED)
		printf("           %s: %s\n           see %s/%s/console.log\n",
		       o->failure, o->detail, r->j->out, job->cell->name);
	fflush(stdout);
}

static struct job *job_of(struct run *r, pid_t pid)
{
	unsigned int i;

	for (i = 0; i < r->nr; i++)
		if (r->jobs[i].state == JOB_RUNNING && r->jobs[i].pid == pid)
			return &r->jobs[i];
	return NULL;
}

static void finish_job(struct run *r, struct job *job, int wait_status, bool stopping)
{
	int status = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : -1;
	char dir[PATH_MAX];
	struct outcome o;

	r->nr_running--;
	job->state = JOB_WAITING;
	if (stopping || status == STATUS_STOPPED)
		return;
	if (cell_dir(dir, r, job) || outcome__read(&o, dir))
		o = (struct outcome){ .detail = "it left no record" };
	if (WIFSIGNALED(wait_status))
		snprintf(o.detail, sizeof(o.detail), "the worker was ended by signal %d (%s)",
			 WTERMSIG(wait_status), strsignal(WTERMSIG(wait_status)));
	if (!*o.failure)
		strcpy(o.failure, "infrastructure");
	job->wall_s = o.wall_s;
	job->state = status == EXIT_DONE && o.is_done ? JOB_DONE : JOB_FAILED;
	r->nr_finished++;
	if (job->state == JOB_FAILED)
		r->nr_failed++;
	if (status != EXIT_DONE && status != EXIT_FAILED)
		r->infra = true;
	show_finished(r, job, &o);
}

static void reap(struct run *r, bool stopping)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		struct job *job = job_of(r, pid);

		if (job)
			finish_job(r, job, status, stopping);
	}
}

static void stop_all(struct run *r)
{
	unsigned int i;

	for (i = 0; i < r->nr; i++)
		if (r->jobs[i].state == JOB_RUNNING)
			kill(r->jobs[i].pid, SIGTERM);
	while (r->nr_running) {
		usleep(20000);
		reap(r, true);
	}
}

/* Beside those that run: each says how many there may be while it runs. */
static bool has_room(const struct run *r, const struct job *job)
{
	unsigned int most = job->cell->jobs, i;

	for (i = 0; i < r->nr; i++)
		if (r->jobs[i].state == JOB_RUNNING && r->jobs[i].cell->jobs < most)
			most = r->jobs[i].cell->jobs;
	return r->nr_running < most;
}

static void start_more(struct run *r)
{
	unsigned int i;

	for (i = 0; i < r->nr && !r->infra; i++) {
		int err;

		if (r->jobs[i].state != JOB_WAITING)
			continue;
		/* In order: one that must be alone would wait for ever. */
		if (!has_room(r, &r->jobs[i]))
			return;
		err = start_job(r, &r->jobs[i]);
		if (err) {
			clear_live(r);
			say__error("cannot start %s: %s", r->jobs[i].cell->name, strerror(-err));
			r->infra = true;
		}
	}
}

/* Until all are finished; the signal that stopped us, or 0. */
static int run_all(struct run *r, const sigset_t *set)
{
	const struct timespec second = { .tv_sec = 1 };
	int sig;

	for (;;) {
		start_more(r);
		if (!r->nr_running)
			return 0;
		show_live(r);
		sig = sigtimedwait(set, NULL, &second);
		if (sig == SIGINT || sig == SIGTERM || sig == SIGHUP) {
			stop_all(r);
			return sig;
		}
		reap(r, false);
		if (r->infra)
			stop_all(r);
	}
}

static void show_order(const struct run *r)
{
	unsigned int i, repeat = 0;

	for (i = 0; i < r->nr; i++) {
		const struct cell *c = r->jobs[i].cell;

		if (c->repeat != repeat)
			printf("%s  %-8s repeat %u:", i ? "\n" : "", "ORDER", c->repeat);
		repeat = c->repeat;
		printf(" %s%s", c->label, r->jobs[i].state == JOB_KEPT ? " (done)" : "");
	}
	printf("\n");
	fflush(stdout);
}

static int summarize(const struct run *r, int sig)
{
	unsigned int good = r->nr_finished - r->nr_failed;

	clear_live(r);
	if (sig) {
		printf("  %-8s %s: %u of %u cells are finished in %s; "
		       "the same command continues\n", "STOPPED", strsignal(sig),
		       good, r->nr, r->j->out);
		return 128 + sig;
	}
	if (r->infra) {
		say__error("stopped: the machine, not a guest, is at fault; %u of %u cells "
			   "are finished in %s; the same command continues",
			   good, r->nr, r->j->out);
		return EXIT_INFRASTRUCTURE;
	}
	if (r->nr_failed) {
		say__error("%u of %u cells failed; the same command runs them again",
			   r->nr_failed, r->nr);
		return EXIT_FAILED;
	}
	return EXIT_DONE;
}

int jobs__run(const struct jobs *j, const struct plan *p)
{
	struct run r = { .j = j, .nr = p->nr, .is_tty = isatty(STDOUT_FILENO) };
	sigset_t set, old;
	unsigned int i;
	int err, sig, status = EXIT_INFRASTRUCTURE;

	if (out__check_disk(j->out))
		return EXIT_INFRASTRUCTURE;
	r.jobs = calloc(p->nr ? p->nr : 1, sizeof(*r.jobs));
	if (!r.jobs) {
		say__error("out of memory");
		return EXIT_INFRASTRUCTURE;
	}
	/* Before any worker: none of these may come between two steps. */
	signals__block(&set, &old);
	for (i = 0; i < r.nr; i++)
		r.jobs[i].cell = &p->cells[i];
	if (out__park_others(j->out, p))
		goto out;
	for (i = 0; i < r.nr; i++) {
		err = prepare_job(&r, &r.jobs[i]);
		if (err) {
			say__error("cannot prepare %s/%s: %s", j->out, p->cells[i].name,
				   strerror(-err));
			goto out;
		}
	}
	show_order(&r);
	sig = run_all(&r, &set);
	status = summarize(&r, sig);
out:
	sigprocmask(SIG_SETMASK, &old, NULL);
	free(r.jobs);
	return status;
}
