// SPDX-License-Identifier: GPL-2.0-only
/*
 * hinttrace: loads and attaches the BPF programs, turns their records into
 * lines, takes samples, and at the end writes histograms and losses.
 *
 * It runs in the guest that runs out of memory: everything it needs is
 * allocated and locked before it says that it is ready.
 */
#define _GNU_SOURCE	/* ppoll() */
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "common/proc.h"
#include "common/status.h"
#include "common/time.h"
#include "trace/cost.h"
#include "trace/events.h"
#include "trace/load.h"
#include "trace/opts.h"
#include "trace/out.h"
#include "trace/metrics.h"
#include "trace/proc.h"
#include "trace/replay.h"
#include "trace/rights.h"
#include "trace/screen.h"
#include "trace/totals.h"

#define EXIT_LOST	1
#define EXIT_INFRA	69

/* Samples wait in their ring for so long at most, or until it is half full. */
#define TAKE_NS		NSEC_PER_SEC

struct tracer {
	struct opts opts;
	struct loaded loaded;
	struct out out;
	struct events events;
	struct screen screen;
	struct metrics metrics;
	struct proc_sampler sampler;
	struct totals totals;
	struct memory memory;
	struct cost cost;
	struct sample_rec sample;	/* the one just taken from /proc */
	struct ring_buffer *ring;
	sigset_t waiting_mask;	/* of signals while we wait */
};

static volatile sig_atomic_t stopping;
static bool verbose;

static void on_signal(int sig)
{
	(void)sig;
	stopping = 1;
}

/* They are let in only while we wait: one that comes before ends the wait at once. */
static void catch_signals(sigset_t *waiting_mask)
{
	struct sigaction sa = { .sa_handler = on_signal };
	sigset_t ends;

	sigemptyset(&ends);
	sigaddset(&ends, SIGINT);
	sigaddset(&ends, SIGTERM);
	sigprocmask(SIG_BLOCK, &ends, waiting_mask);
	sigdelset(waiting_mask, SIGINT);
	sigdelset(waiting_mask, SIGTERM);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	/* A reader that has gone shows as EPIPE. */
	signal(SIGPIPE, SIG_IGN);
}

static int print_libbpf(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	if (level != LIBBPF_WARN && !verbose)
		return 0;
	return vfprintf(stderr, fmt, ap);
}

static int check_strict(void)
{
	int nr = 0;

	for (unsigned int i = 0; i < nr_trace_probes; i++) {
		const struct probe *probe = &trace_probes[i];

		if (!probe->fallback &&
		    (probe->state == STATE_MISSING || probe->state == STATE_FAILED)) {
			fprintf(stderr, "hinttrace: --strict: %s is %s (%s)\n", probe->name,
				probe__state_name(probe), probe->why);
			nr++;
		}
	}
	return nr ? -ENOENT : 0;
}

static int add_ring(struct tracer *t, const char *object, int fd)
{
	int err;

	if (fd < 0)
		return 0;
	if (!t->ring) {
		t->ring = ring_buffer__new(fd, events__handle, &t->events, NULL);
		err = t->ring ? 0 : -errno;
	} else {
		err = ring_buffer__add(t->ring, fd, events__handle, &t->events);
	}
	if (err)
		fprintf(stderr, "hinttrace: cannot map the events of %s: %s\n", object,
			strerror(-err));
	return err;
}

/* Kills first: they are taken first. */
static int make_rings(struct tracer *t)
{
	int err = 0;

	for (int o = 0; o < NR_OBJECTS && !err; o++)
		err = add_ring(t, trace_object_names[o], t->loaded.object[o].kills_fd);
	for (int o = 0; o < NR_OBJECTS && !err; o++)
		err = add_ring(t, trace_object_names[o], t->loaded.object[o].events_fd);
	return err;
}

/* Everything that allocates. */
static int prepare(struct tracer *t)
{
	const struct opts *o = &t->opts;
	int err;

	err = rights__check() ?: probes__check();
	if (err)
		return err;
	for (unsigned int i = 0; i < o->nr_pinned; i++) {
		err = loaded__adopt(&t->loaded, o->pinned[i]);
		if (err)
			return err;
	}
	err = loaded__load(&t->loaded, o->objects);
	if (err || o->mode == MODE_DRY_RUN)
		return err;
	err = make_rings(t);
	if (!err)
		err = proc_sampler__init(&t->sampler);
	if (!err)
		err = totals__init(&t->totals);
	if (err)
		return err;
	/* The kernel's type information, needed for loading only, goes back before locking. */
	malloc_trim(0);
	return o->unprotected ? 0 : proc__protect("hinttrace");
}

static int attach(struct tracer *t)
{
	const struct opts *o = &t->opts;
	int err;

	if (out__wants_json(&t->out))
		cost__begin(&t->cost, &t->loaded);
	err = loaded__attach(&t->loaded, o->interval_ns);
	return !err && o->strict ? check_strict() : err;
}

/* What adopted programs recorded before us is not ours, and nobody's who could still read it. */
static int forget_before(struct tracer *t)
{
	if (!t->opts.nr_pinned)
		return 0;
	t->events.forget = true;
	if (t->ring)
		ring_buffer__consume(t->ring);
	t->events.forget = false;
	return totals__begin(&t->totals, &t->loaded);
}

/* Each line written to a tmpfs asks for the very memory that is watched. */
static void warn_of_memory(const struct opts *o)
{
	struct statfs fs;
	struct stat st;
	/* A device is none, though /dev is such a file system. */
	int err = o->stream ? stat(o->stream, &st) || statfs(o->stream, &fs) :
			      fstat(STDOUT_FILENO, &st) || fstatfs(STDOUT_FILENO, &fs);
	bool written = (o->stream || o->json) && !err && S_ISREG(st.st_mode);

	if (written && (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC))
		fprintf(stderr, "hinttrace: warning: the output is a file in this machine's memory (tmpfs), and takes of what is watched; write to a disk, a pipe or a virtio port\n");
}

static void log_probes(struct tracer *t)
{
	for (unsigned int i = 0; i < nr_trace_probes; i++) {
		const struct probe *probe = &trace_probes[i];

		if (probe->state != STATE_SPARE)
			out__log(&t->out, "probe %s %s %s/%s%s%s", probe->name,
				 probe__state_name(probe), probe->kind, probe->hook,
				 probe->why ? ": " : "", probe->why ? probe->why : "");
	}
	if (out__wants_json(&t->out))
		return;
	for (unsigned int i = 0; i < nr_trace_probes; i++) {
		const struct probe *probe = &trace_probes[i];

		if (!probe->fallback &&
		    (probe->state == STATE_MISSING || probe->state == STATE_FAILED))
			fprintf(stderr, "hinttrace: not attached: %s/%s (%s)\n", probe->kind,
				probe->hook, probe->why ? probe->why : "no reason known");
	}
	fprintf(stderr, "hinttrace: tracing; Ctrl-C ends\n");
}

static int say_ready(const char *path)
{
	FILE *f;

	if (!path)
		return 0;
	f = fopen(path, "we");
	if (f && fprintf(f, "%d\n", getpid()) > 0 && !fclose(f))
		return 0;
	fprintf(stderr, "hinttrace: cannot write %s: %s\n", path, strerror(errno));
	return -EIO;
}

static void take_records(struct tracer *t, bool force)
{
	if (t->ring)
		ring_buffer__consume(t->ring);
	events__flush(&t->events, force);
}

static void take_sample(struct tracer *t)
{
	if (out__wants_json(&t->out) &&
	    !proc_sampler__take(&t->sampler, &t->loaded, &t->sample))
		events__put_sample(&t->events, &t->sample);
}

/* A line for the host: from here on, or up to here, everything was watched. */
static void put_edge(struct tracer *t, const char *edge)
{
	if (!out__wants_json(&t->out))
		return;
	jw__str(out__begin("tracer", time__now_ns()), "edge", edge);
	out__end(&t->out);
}

/* Not while memory is short: a new file asks for some. */
static void write_metrics(struct tracer *t)
{
	__u64 now = time__now_ns();

	if (now < t->metrics.next_ns || memory__is_short(&t->memory))
		return;
	metrics__write(&t->metrics, &t->totals, &t->loaded);
	t->metrics.next_ns = now + METRICS_EVERY_NS;
}

/*
 * Until something comes in, a signal, or wait_ns are over (~0: for ever). A
 * record of the kernel's own samples does not wake us: all that is there is
 * taken each time.
 */
static void wait_and_take(struct tracer *t, __u64 wait_ns)
{
	struct pollfd events = {
		.fd = t->ring ? ring_buffer__epoll_fd(t->ring) : -1,
		.events = POLLIN,
	};
	struct timespec ts = time__to_timespec(wait_ns);

	ppoll(&events, 1, wait_ns == ~0ULL ? NULL : &ts, &t->waiting_mask);
	take_records(t, false);
	screen__tick(&t->screen, time__now_ns());
	write_metrics(t);
}

static void run(struct tracer *t)
{
	__u64 now = time__now_ns(), next = ~0ULL, step;
	__u64 end = t->opts.duration_ns ? now + t->opts.duration_ns : ~0ULL;
	bool by_proc = !loaded__samples(&t->loaded);

	step = t->opts.interval_ns;
	if (!by_proc && step < TAKE_NS)
		step = TAKE_NS;
	if (out__wants_json(&t->out))
		next = now + step;
	while (!stopping && now < end) {
		__u64 until = next < end ? next : end;

		/* An incident is printed once it is over. */
		if (screen__waits(&t->screen) && until > now + SCREEN_QUIET_NS)
			until = now + SCREEN_QUIET_NS;
		if (t->metrics.path && until > t->metrics.next_ns)
			until = t->metrics.next_ns > now ? t->metrics.next_ns : now + NSEC_PER_SEC;

		wait_and_take(t, until == ~0ULL ? until : until - now);
		now = time__now_ns();
		if (now < next)
			continue;
		if (by_proc)
			take_sample(t);
		/* On the grid of the start; what was missed is left out. */
		next += ((now - next) / step + 1) * step;
	}
}

/*
 * The batches that are out now are in no event. Their exchanges, together with
 * those of the batches that are, make up what the last sample says.
 */
static void put_open_batches(struct tracer *t)
{
	struct hint_totals totals;

	if (loaded__totals(&t->loaded, &totals))
		return;
	for (int i = 0; i < HINT_MAX_BATCHES; i++) {
		const struct batch_rec *batch = &totals.slots[i].batch;

		if (batch->start_ns || batch->nr_exchanges)
			events__put_open_batch(&t->events, batch, time__now_ns());
	}
}

/*
 * The last sample comes after hinting is no longer watched, so that it and the
 * batches say the same, and before kills are not. Of adopted programs, which
 * stay attached, it is what was there.
 */
static int finish(struct tracer *t)
{
	__u64 nr_torn;
	int err;

	loaded__detach(&t->loaded, OBJ_SAMPLE);
	take_records(t, false);
	events__end_samples(&t->events);
	loaded__detach(&t->loaded, OBJ_HINT);
	loaded__detach(&t->loaded, OBJ_SWAP);
	take_sample(t);
	events__end_samples(&t->events);
	loaded__detach(&t->loaded, OBJ_ALLOCFAIL);
	take_records(t, true);
	screen__end(&t->screen);
	t->out.memory = NULL;
	metrics__write(&t->metrics, &t->totals, &t->loaded);
	put_open_batches(t);
	err = totals__put_hists(&t->totals, &t->loaded, &t->out);
	if (totals__put_losses(&t->totals, &t->loaded, &t->events, &t->out) ||
	    cost__put(&t->cost, &t->loaded, &t->out))
		err = -EIO;
	nr_torn = t->sampler.nr_torn + t->events.nr_torn;
	if (nr_torn)
		out__log(&t->out, "%llu zone states changed faster than they could be read",
			 nr_torn);
	if (t->out.nr_forced)
		out__log(&t->out, "%llu writes could not wait until memory was not short",
			 t->out.nr_forced);
	if (t->totals.nr_lost)
		fprintf(stderr, "hinttrace: %llu events were lost\n", t->totals.nr_lost);
	put_edge(t, "end");
	return err || t->out.nr_failed ? EXIT_LOST : 0;
}

static int trace(struct tracer *t)
{
	const struct opts *o = &t->opts;
	int status = EXIT_INFRA;

	t->events.out = &t->out;
	t->screen.to = stdout;
	t->metrics.path = o->metrics;
	t->events.metrics = o->metrics ? &t->metrics : NULL;
	t->events.screen = !o->json && !o->stream ? &t->screen : NULL;
	t->events.tgid = (__u32)getpid();
	t->events.nr_own = o->nr_own;
	memcpy(t->events.own, o->own, sizeof(o->own));
	if (out__open(&t->out, o->stream, o->json, !o->json && !o->stream && !o->kills))
		return EXIT_INFRA;
	if (prepare(t))
		goto out;
	if (o->mode == MODE_DRY_RUN) {
		probes__print(stdout);
		status = 0;
		goto out;
	}
	if (attach(t))
		goto out;
	if (forget_before(t))
		goto out;
	log_probes(t);
	warn_of_memory(o);
	take_sample(t);
	memory__init(&t->memory, t->sampler.zones, t->sampler.nr_zones);
	put_edge(t, "begin");
	cost__started(&t->cost);
	/* From here on nothing is allocated. */
	if (!o->unprotected)
		t->out.memory = &t->memory;
	/* Maps are read and links are closed with CAP_BPF; nothing else is needed any more. */
	if (o->drop_caps && proc__keep_only("hinttrace", CAP_BPF))
		goto out;
	if (say_ready(o->ready))
		goto out;
	run(t);
	status = finish(t);
	if (o->ready)
		unlink(o->ready);
out:
	ring_buffer__free(t->ring);
	proc_sampler__free(&t->sampler);
	totals__free(&t->totals);
	cost__end(&t->cost);
	loaded__free(&t->loaded);
	out__close(&t->out);
	return status;
}

int main(int argc, char **argv)
{
	static struct tracer t;
	int ret = opts__parse(&t.opts, argc, argv);

	if (ret)
		return ret < 0 ? EXIT_USAGE : 0;
	verbose = t.opts.verbose;
	libbpf_set_print(print_libbpf);
	setlinebuf(stdout);
	loaded__init(&t.loaded);
	t.sampler.zoneinfo_fd = -1;
	t.sampler.vmstat_fd = -1;
	t.cost.stats_fd = -1;
	if (t.opts.mode == MODE_LIST) {
		probes__describe(stdout);
		return 0;
	}
	if (t.opts.mode == MODE_LIST_FIELDS) {
		events__list_fields(stdout);
		return 0;
	}
	if (t.opts.mode == MODE_LIST_PROBES) {
		if (probes__check())
			return EXIT_INFRA;
		probes__print(stdout);
		return 0;
	}
	if (t.opts.mode == MODE_REPLAY)
		return replay__file(t.opts.replay, t.opts.json) ? EXIT_USAGE : 0;
	catch_signals(&t.waiting_mask);
	return trace(&t);
}
