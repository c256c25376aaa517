// SPDX-License-Identifier: GPL-2.0-only
/*
 * hinttrace: loads and attaches the BPF programs, turns their records into
 * lines, takes samples, and at the end writes histograms and losses.
 *
 * It runs in the guest that runs out of memory: everything it needs is
 * allocated and locked before it says that it is ready.
 */
#include <bpf/libbpf.h>
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common_proc.h"
#include "common_time.h"
#include "trace_events.h"
#include "trace_load.h"
#include "trace_opts.h"
#include "trace_out.h"
#include "trace_sample.h"
#include "trace_totals.h"

#define EXIT_LOST	1
#define EXIT_USAGE	2
#define EXIT_INFRA	69

struct tracer {
	struct opts opts;
	struct loaded loaded;
	struct out out;
	struct events events;
	struct sampler sampler;
	struct totals totals;
	struct ring_buffer *ring;
};

static volatile sig_atomic_t stopping;
static bool verbose;

static void on_signal(int sig)
{
	(void)sig;
	stopping = 1;
}

static void catch_signals(void)
{
	struct sigaction sa = { .sa_handler = on_signal };

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

static int make_ring(struct tracer *t)
{
	for (int o = 0; o < NR_OBJECTS; o++) {
		int err, fd = t->loaded.object[o].events_fd;

		if (fd < 0)
			continue;
		if (!t->ring) {
			t->ring = ring_buffer__new(fd, events__handle, &t->events, NULL);
			err = t->ring ? 0 : -errno;
		} else {
			err = ring_buffer__add(t->ring, fd, events__handle, &t->events);
		}
		if (err) {
			fprintf(stderr, "hinttrace: cannot map the events of %s: %s\n",
				trace_object_names[o], strerror(-err));
			return err;
		}
	}
	return 0;
}

/* Everything that allocates. */
static int prepare(struct tracer *t)
{
	const struct opts *o = &t->opts;
	int err;

	err = probes__check();
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
	err = make_ring(t);
	if (!err)
		err = sampler__init(&t->sampler);
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
	int err = loaded__attach(&t->loaded);

	return !err && t->opts.strict ? check_strict() : err;
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
	if (t->out.human)
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

static void run(struct tracer *t)
{
	__u64 start = time__now_ns(), next = start, now;
	__u64 end = t->opts.duration_ns ? start + t->opts.duration_ns : ~0ULL;

	while (!stopping) {
		now = time__now_ns();
		if (now >= end)
			break;
		if (now >= next) {
			sampler__put(&t->sampler, &t->loaded, &t->out);
			/* On the grid of the start; what was missed is left out. */
			next += ((now - next) / t->opts.interval_ns + 1) * t->opts.interval_ns;
		}
		if (next < end)
			now = next - now;
		else
			now = end - now;
		/* A signal between the test above and the wait is seen after 200 ms at most. */
		if (now > 200 * NSEC_PER_MSEC)
			now = 200 * NSEC_PER_MSEC;
		now = (now + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC;
		if (t->ring)
			ring_buffer__poll(t->ring, (int)now);
		else
			usleep((useconds_t)now * 1000);
	}
}

/*
 * A last sample, then nothing new comes in: what is in the rings and the maps
 * is complete. Of adopted programs, which stay attached, it is what was there.
 */
static int finish(struct tracer *t)
{
	int err;

	sampler__put(&t->sampler, &t->loaded, &t->out);
	loaded__detach(&t->loaded);
	if (t->ring)
		ring_buffer__consume(t->ring);
	err = totals__put_hists(&t->totals, &t->loaded, &t->out);
	if (totals__put_losses(&t->totals, &t->loaded, &t->events, &t->out))
		err = -EIO;
	if (t->sampler.nr_torn)
		out__log(&t->out, "%llu zone states changed faster than they could be read",
			 t->sampler.nr_torn);
	if (t->totals.nr_lost)
		fprintf(stderr, "hinttrace: %llu events were lost\n", t->totals.nr_lost);
	return err || t->out.nr_failed ? EXIT_LOST : 0;
}

static int trace(struct tracer *t)
{
	const struct opts *o = &t->opts;
	int status = EXIT_INFRA;

	t->events.out = &t->out;
	if (out__open(&t->out, o->stream, o->json, !o->json && !o->stream))
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
	log_probes(t);
	if (say_ready(o->ready))
		goto out;
	run(t);
	status = finish(t);
	if (o->ready)
		unlink(o->ready);
out:
	ring_buffer__free(t->ring);
	sampler__free(&t->sampler);
	totals__free(&t->totals);
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
	if (t.opts.mode == MODE_LIST) {
		probes__describe(stdout);
		return 0;
	}
	if (t.opts.mode == MODE_LIST_PROBES) {
		if (probes__check())
			return EXIT_INFRA;
		probes__print(stdout);
		return 0;
	}
	catch_signals();
	return trace(&t);
}
