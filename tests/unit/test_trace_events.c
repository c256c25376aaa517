// SPDX-License-Identifier: GPL-2.0-only
/* SOURCES: collectors/trace/events.c collectors/trace/screen.c collectors/trace/metrics.c collectors/trace/verdict.c collectors/trace/gfp.c collectors/trace/text.c collectors/trace/sample.c collectors/trace/out.c collectors/trace/memory.c collectors/common/json.c collectors/common/hist.c collectors/common/fd.c */
/* LIBS: -lm */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/hist.h"
#include "tap.h"
#include "trace/events.h"
#include "trace/sample.h"
#include "../../bpf/hint_hist.h"

/* The BPF form of the bucket index against the one of the record format. */
static void test_slots(void)
{
	__u64 v, nr_wrong = 0;

	for (int bits = 0; bits < HIST_MAX_BITS; bits++) {
		for (int d = -3; d <= 3; d++) {
			v = (1ULL << bits) + (__u64)d;
			if (v >> HIST_MAX_BITS)
				continue;
			nr_wrong += hist_cpu__slot(v) != hist__index(v, HIST_SUB_BITS);
		}
		v = (3ULL << bits) / 2;
		nr_wrong += hist_cpu__slot(v) != hist__index(v, HIST_SUB_BITS);
	}
	is_u64(nr_wrong, 0, "both bucket functions agree around every power of two");
	is_u64(hist_cpu__slot((1ULL << HIST_MAX_BITS) - 1), HIST_NR_SLOTS - 1, "the last bucket");
	is_u64(hist_cpu__slot(~0ULL), HIST_NR_SLOTS - 1, "what is larger is counted there too");
}

static void test_check(void)
{
	struct alloc_fail_rec sr = { .hdr.type = REC_ALLOC_FAIL };
	struct oom_kill_rec oom = { .hdr.type = REC_OOM_KILL };
	static struct sample_rec sample = { .hdr.type = REC_SAMPLE };
	struct batch_rec batch = { .hdr.type = REC_BATCH, .hdr.len = sizeof(batch) };

	is_s64(rec__check(&batch, sizeof(batch)), PROBE_BATCH, "a batch");
	is_s64(rec__check(&batch, sizeof(batch) - 1), -EBADMSG, "cut");
	is_s64(rec__check(&batch, 7), -EBADMSG, "shorter than a head");
	batch.hdr.len--;
	is_s64(rec__check(&batch, sizeof(batch)), -EBADMSG, "of another length");
	batch.hdr.type = 99;
	is_s64(rec__check(&batch, sizeof(batch)), -EBADMSG, "of no type");

	sr.s.nr_zones = 2;
	sr.hdr.len = SHORTAGE_REC_LEN(sr, 2);
	is_s64(rec__check(&sr, sizeof(sr)), PROBE_ALLOC_FAIL, "two zones of eight, reserved in full");
	is_s64(rec__check(&sr, sr.hdr.len), PROBE_ALLOC_FAIL, "two zones, sent as far as they reach");
	sr.s.nr_zones = 3;
	is_s64(rec__check(&sr, sizeof(sr)), -EBADMSG, "more zones than its length holds");
	sr.s.nr_zones = 255;
	is_s64(rec__check(&sr, sizeof(sr)), -EBADMSG, "more zones than there can be");

	oom.s.nr_zones = HINT_MAX_SNAP_ZONES;
	oom.hdr.len = sizeof(oom);
	is_s64(rec__check(&oom, sizeof(oom)), PROBE_OOM_KILL, "a kill with every zone");
	oom.hdr.len = offsetof(struct oom_kill_rec, s);
	is_s64(rec__check(&oom, oom.hdr.len), -EBADMSG, "a kill that ends before its zones");

	sample.nr_zones = HINT_SAMPLE_ZONES;
	sample.hdr.len = sizeof(sample);
	is_s64(rec__check(&sample, sizeof(sample)), PROBE_SAMPLE, "a sample of every zone");
	sample.nr_zones++;
	is_s64(rec__check(&sample, sizeof(sample)), -EBADMSG, "of more than there can be");
	sample.hdr.len = SAMPLE_REC_LEN(0) - 8;
	is_s64(rec__check(&sample, sample.hdr.len), -EBADMSG, "a sample that ends in its counts");
}

static struct direct_reclaim_rec *stall_rec(void)
{
	static struct direct_reclaim_rec r = {
		.hdr = { .type = REC_DIRECT_RECLAIM, .cpu = 1, .t_ns = 5, .tgid = 7, .tid = 8,
			 .comm = "a\"b" },
		.duration_ns = 9,
		.nr_reclaimed_pages = 10,
		.s = { .gfp = 0xcc0, .order = 2, .highest_zoneidx = 3, .nr_zones = 1,
		       .held_pages = 512, .uncompensated_pages = 512, .batch_age_ns = 11,
		       .state_ns = 4, .allowed_nodes = 1ULL << 63 | 2,
		       .constraint = HINT_CPUSET, .oom_victim = 1 },
	};

	r.hdr.len = SHORTAGE_REC_LEN(r, 1);
	r.s.zones[0] = (struct zone_snap){
		.free_pages = 1, .min_pages = 2, .low_pages = 3, .high_pages = 4, .boost_pages = 5,
		.reserve_pages = 6, .highatomic_pages = 7, .cma_pages = 8,
		.isolated_pageblocks = ~0U, .held_pages = 512,
		.uncompensated_pages = 512, .buffer_pages = -1, .node = 0, .zone = 1,
	};
	r.s.zones[0].held_by_order[9] = 1;
	r.s.zones[0].nr_free_by_order[1] = 12;
	return &r;
}

static const char want[] =
	"{\"type\":\"event\",\"t_ns\":5,\"kind\":\"direct_reclaim\",\"cpu\":1,\"pid\":7,\"tid\":8,"
	"\"comm\":\"a\\\"b\",\"duration_ns\":9,\"nr_reclaimed_pages\":10,\"state_ns\":4,"
	"\"allowed_nodes\":[1,63],\"batch_age_ns\":11,\"held_pages\":512,"
	"\"uncompensated_pages\":512,\"gfp\":3264,\"order\":2,\"highest_zoneidx\":3,"
	"\"constraint\":\"cpuset\",\"pf_memalloc\":false,\"oom_victim\":true,\"own\":false,"
	"\"zones\":[{\"node\":0,\"zone\":1,\"free_pages\":1,\"min_pages\":2,\"low_pages\":3,"
	"\"high_pages\":4,\"boost_pages\":5,\"reserve_pages\":6,\"highatomic_pages\":7,"
	"\"cma_pages\":8,\"held_pages\":512,\"uncompensated_pages\":512,\"buffer_pages\":-1,"
	"\"held_by_order\":[[9,1]],\"nr_free_by_order\":[0,12]}]}\n";

/* A stream that is a file, and what is in it. */
struct stream {
	char path[32];
	int fd;
	struct out out;
	struct events e;
};

static void stream__open(struct stream *s)
{
	memset(s, 0, sizeof(*s));
	strcpy(s->path, "/tmp/trace_events.XXXXXX");
	s->fd = mkstemp(s->path);
	ok(s->fd >= 0 && !out__open(&s->out, s->path, false, false), "a stream");
	s->e.out = &s->out;
}

static void stream__close(struct stream *s)
{
	out__close(&s->out);
	close(s->fd);
	unlink(s->path);
}

/* What was written since the last time, in a buffer of this function. */
static const char *stream__read(struct stream *s)
{
	static char got[65536];
	ssize_t n = read(s->fd, got, sizeof(got) - 1);

	got[n > 0 ? n : 0] = '\0';
	return got;
}

static void test_line(void)
{
	static struct stream s;
	struct direct_reclaim_rec *r = stall_rec();
	const ssize_t n = sizeof(want) - 1;
	ssize_t nr;

	stream__open(&s);
	is_s64(events__handle(&s.e, r, sizeof(*r)), 0, "a record is handled");
	is_str(stream__read(&s), "", "its line is kept");
	events__flush(&s.e, false);
	is_str(stream__read(&s), want, "and written as the record format has it");
	is_s64(events__handle(&s.e, r, 20), 0, "a bad record does not stop the consumer");
	is_u64(s.e.nr_bad, 1, "... and is counted");

	for (nr = 1; lseek(s.fd, 0, SEEK_END) < 2 * n; nr++)
		events__handle(&s.e, r, sizeof(*r));
	is_s64(lseek(s.fd, 0, SEEK_END), n * nr,
	       "lines are written before they are too many, all and whole");
	ok(n * (nr - 1) >= OUT_ENOUGH_BYTES && n * (nr - 2) < OUT_ENOUGH_BYTES, "... at that bound");

	close(s.out.stream_fd);
	s.out.stream_fd = open(s.path, O_RDONLY);
	events__handle(&s.e, r, sizeof(*r));
	events__handle(&s.e, r, sizeof(*r));
	is_u64(s.e.nr_unwritten[PROBE_DIRECT_RECLAIM], 0, "what is kept is not lost yet");
	events__flush(&s.e, false);
	is_u64(s.e.nr_unwritten[PROBE_DIRECT_RECLAIM], 2, "what could not be written is counted");
	ok(s.out.err == -EBADF && s.out.nr_failed == 2, "... with its reason");
	events__flush(&s.e, false);
	is_u64(s.e.nr_unwritten[PROBE_DIRECT_RECLAIM], 2, "... once");
	stream__close(&s);
}

/* The task that asked, and in which words the record says so. */
static void test_who(void)
{
	struct alloc_fail_rec fail = { .hdr = { .type = REC_ALLOC_FAIL, .tgid = 7, .comm = "load" },
				       .memcg = HINT_UNKNOWN, .s.constraint = 99 };
	static struct stream s;
	const char *line;

	fail.hdr.len = SHORTAGE_REC_LEN(fail, 0);
	stream__open(&s);
	events__handle(&s.e, &fail, sizeof(fail));
	events__flush(&s.e, false);
	line = stream__read(&s);
	ok(!strstr(line, "memcg"), "a charge that nobody watched is not said to have been none");
	ok(!strstr(line, "allowed_nodes"), "nodes that are not known are left out");
	ok(strstr(line, "\"constraint\":\"unknown\",") != NULL, "a constraint nobody knows is unknown");
	ok(strstr(line, "\"own\":false,") != NULL, "a task of the workload's is not our own");

	s.e.own[s.e.nr_own++] = "load";
	fail.memcg = 1;
	events__handle(&s.e, &fail, sizeof(fail));
	events__flush(&s.e, false);
	line = stream__read(&s);
	ok(strstr(line, "\"own\":true,") != NULL, "one of the toolkit by its name is");
	ok(strstr(line, "\"memcg\":true,") != NULL, "a charge that failed");

	fail.s.in_interrupt = 1;
	events__handle(&s.e, &fail, sizeof(fail));
	events__flush(&s.e, false);
	ok(strstr(stream__read(&s), "\"own\":false,") != NULL,
	   "what an interrupt asks for is not asked for by the task it meets");
	stream__close(&s);
}

static void test_open_batch(void)
{
	struct batch_rec batch = { .start_ns = 3, .nr_pages = 1024, .nr_chunks = 2,
				   .nr_exchanges = 2, .exchange = 1,
				   .min_order = 9, .max_order = 9 };
	static struct stream s;

	stream__open(&s);
	is_s64(events__put_open_batch(&s.e, &batch, 8), 0, "a batch that is still out");
	is_str(stream__read(&s),
	       "{\"type\":\"event\",\"t_ns\":8,\"kind\":\"batch\",\"open\":true,\"start_ns\":3,"
	       "\"sent_ns\":0,\"nr_pages\":1024,\"nr_chunks\":2,\"nr_exchanges\":2,\"min_order\":9,"
	       "\"max_order\":9,\"exchange\":true}\n", "has no answer and no end");
	stream__close(&s);
}

/* ---- while memory is short ---- */

static void test_memory(void)
{
	struct zoneinfo_zone zones[] = {
		{ .name = "DMA", .managed_pages = 1000, .high_pages = 10 },
		{ .name = "DMA32", .managed_pages = 100000, .high_pages = 500 },
	};
	struct memory m;
	__u64 t = 1000000000;

	memory__init(&m, zones, 2);
	is_u64(m.enough_bytes, 1500 * 4096, "enough: all of DMA, and the high mark of the other");
	ok(!memory__is_short_at(&m, t, m.enough_bytes), "enough is enough");
	ok(memory__is_short_at(&m, t, m.enough_bytes - 1), "less is short");
	ok(memory__is_short_at(&m, t + MEMORY_PATIENCE_NS - 1, 0), "... for long");
	ok(!memory__is_short_at(&m, t + MEMORY_PATIENCE_NS, 0), "... but not for ever");
	ok(!memory__is_short_at(&m, t, m.enough_bytes), "enough again");
	memory__stalled(&m, t);
	ok(memory__is_short_at(&m, t, ~0ULL), "short as well when a request has just waited");
	ok(!memory__is_short_at(&m, t + MEMORY_CALM_NS, ~0ULL), "... which passes");
}

static void test_held_back(void)
{
	struct direct_reclaim_rec *r = stall_rec();
	struct memory never_enough = { .enough_bytes = ~0ULL };
	const ssize_t n = sizeof(want) - 1;
	static struct stream s;
	ssize_t nr = 0, size;

	stream__open(&s);
	s.out.memory = &never_enough;
	while (n * (nr + 1) <= OUT_KEPT_BYTES) {
		events__handle(&s.e, r, sizeof(*r));
		nr++;
	}
	events__flush(&s.e, false);
	is_s64(lseek(s.fd, 0, SEEK_END), 0, "nothing is written while memory is short");
	events__handle(&s.e, r, sizeof(*r));
	size = lseek(s.fd, 0, SEEK_END);
	ok(size > 0 && size <= n + OUT_WRITE_BYTES, "... before there is no room, and then no more than that");
	ok(s.out.nr_forced > 0, "... which is counted");
	s.out.memory = NULL;
	events__flush(&s.e, false);
	is_s64(lseek(s.fd, 0, SEEK_END), n * (nr + 1), "all is written in the end");
	is_u64(s.e.nr_unwritten[PROBE_DIRECT_RECLAIM], 0, "... and nothing lost");
	stream__close(&s);
}

/* ---- samples ---- */

static void sample_at(struct stream *s, __u64 t_ns, __u64 free_pages)
{
	static struct sample_rec rec = { .hdr.type = REC_SAMPLE, .nr_zones = 1 };

	rec.hdr.len = SAMPLE_REC_LEN(1);
	rec.hdr.t_ns = t_ns;
	rec.zones[0].free_pages = free_pages;
	events__handle(&s->e, &rec, sizeof(rec));
}

static void is_samples(struct stream *s, const char *times, const char *name)
{
	char got[256] = "";
	const char *line;

	events__flush(&s->e, false);
	for (line = stream__read(s); (line = strstr(line, "\"t_ns\":")); line += 7) {
		size_t len = strlen(got);

		snprintf(got + len, sizeof(got) - len, " %llu", strtoull(line + 7, NULL, 10));
	}
	is_str(got, times, "%s", name);
}

static void test_samples(void)
{
	static struct stream s;

	stream__open(&s);
	sample_at(&s, 100, 1);
	is_samples(&s, " 100", "the first sample is written");
	sample_at(&s, 200, 1);
	sample_at(&s, 300, 1);
	is_samples(&s, "", "those that show no change are not");
	is_u64(s.e.nr_left_out, 2, "... and counted");
	sample_at(&s, 400, 2);
	is_samples(&s, " 300 400", "a change, and the last one before it");
	is_u64(s.e.nr_left_out, 1, "... which is no longer left out");
	sample_at(&s, 500, 3);
	is_samples(&s, " 500", "one change after the other");
	sample_at(&s, 600, 3);
	sample_at(&s, 500 + SAMPLE_MAX_GAP_NS, 3);
	is_samples(&s, " 5000000500", "after a while one without a change");
	sample_at(&s, 600 + SAMPLE_MAX_GAP_NS, 3);
	events__end_samples(&s.e);
	is_samples(&s, " 5000000600", "at the end the last one");
	stream__close(&s);
}

int main(void)
{
	test_slots();
	test_check();
	test_line();
	test_who();
	test_open_batch();
	test_memory();
	test_held_back();
	test_samples();
	return tap__done();
}
