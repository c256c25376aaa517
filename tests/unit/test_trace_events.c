// SPDX-License-Identifier: GPL-2.0-only
/* SOURCES: collectors/trace/events.c collectors/trace/sample.c collectors/trace/out.c collectors/common/json.c collectors/common/hist.c */
/* LIBS: -lm */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/hist.h"
#include "tap.h"
#include "trace/events.h"
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
	struct shortage_rec sr = { .hdr.type = REC_ALLOC_FAIL };
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

static struct shortage_rec *stall_rec(void)
{
	static struct shortage_rec r = {
		.hdr = { .type = REC_DIRECT_RECLAIM, .cpu = 1, .t_ns = 5, .tgid = 7, .tid = 8,
			 .comm = "a\"b" },
		.duration_ns = 9,
		.nr_reclaimed_pages = 10,
		.s = { .gfp = 0xcc0, .order = 2, .highest_zoneidx = 3, .nr_zones = 1,
		       .held_pages = 512, .uncompensated_pages = 512, .batch_age_ns = 11 },
	};

	r.hdr.len = SHORTAGE_REC_LEN(r, 1);
	r.s.zones[0] = (struct zone_snap){
		.free_pages = 1, .min_pages = 2, .low_pages = 3, .high_pages = 4, .boost_pages = 5,
		.reserve_pages = 6, .highatomic_pages = 7, .held_pages = 512,
		.uncompensated_pages = 512, .buffer_pages = -1, .node = 0, .zone = 1,
	};
	r.s.zones[0].held[9] = 1;
	r.s.zones[0].nr_free[1] = 12;
	return &r;
}

static const char want[] =
	"{\"type\":\"event\",\"t_ns\":5,\"kind\":\"direct_reclaim\",\"cpu\":1,\"pid\":7,\"tid\":8,"
	"\"comm\":\"a\\\"b\",\"duration_ns\":9,\"nr_reclaimed_pages\":10,\"gfp\":3264,\"order\":2,"
	"\"highest_zoneidx\":3,\"held_pages\":512,\"uncompensated_pages\":512,\"batch_age_ns\":11,"
	"\"zones\":[{\"node\":0,\"zone\":1,\"free_pages\":1,\"min_pages\":2,\"low_pages\":3,"
	"\"high_pages\":4,\"boost_pages\":5,\"reserve_pages\":6,\"highatomic_pages\":7,"
	"\"held_pages\":512,\"uncompensated_pages\":512,\"buffer_pages\":-1,"
	"\"held_by_order\":[[9,1]],\"nr_free_by_order\":[0,12]}]}\n";

static void test_line(void)
{
	char path[] = "/tmp/trace_events.XXXXXX", got[4096] = "";
	struct shortage_rec *r = stall_rec();
	struct events e = { 0 };
	struct out out;
	int fd = mkstemp(path);
	ssize_t n, nr;

	ok(fd >= 0 && !out__open(&out, path, false, false), "a stream");
	e.out = &out;
	is_s64(events__handle(&e, r, sizeof(*r)), 0, "a record is handled");
	is_s64(read(fd, got, sizeof(got) - 1), 0, "its line is kept");
	events__flush(&e);
	n = read(fd, got, sizeof(got) - 1);
	is_s64(n, (long)sizeof(want) - 1, "one line");
	is_str(got, want, "as the record format has it");
	is_s64(events__handle(&e, r, 20), 0, "a bad record does not stop the consumer");
	is_u64(e.nr_bad, 1, "... and is counted");

	for (nr = 1; lseek(fd, 0, SEEK_END) < 2 * n; nr++)
		events__handle(&e, r, sizeof(*r));
	is_s64(lseek(fd, 0, SEEK_END), n * nr, "lines are written before they are too many, all and whole");
	ok(n * (nr - 1) >= OUT_KEEP_BYTES && n * (nr - 2) < OUT_KEEP_BYTES, "... at that bound");

	close(out.stream_fd);
	out.stream_fd = open(path, O_RDONLY);
	events__handle(&e, r, sizeof(*r));
	events__handle(&e, r, sizeof(*r));
	is_u64(e.nr_unwritten[PROBE_DIRECT_RECLAIM], 0, "what is kept is not lost yet");
	events__flush(&e);
	is_u64(e.nr_unwritten[PROBE_DIRECT_RECLAIM], 2, "what could not be written is counted");
	ok(out.err == -EBADF && out.nr_failed == 2, "... with its reason");
	events__flush(&e);
	is_u64(e.nr_unwritten[PROBE_DIRECT_RECLAIM], 2, "... once");
	out__close(&out);
	close(fd);
	unlink(path);
}

int main(void)
{
	test_slots();
	test_check();
	test_line();
	return tap__done();
}
