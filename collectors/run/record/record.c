// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "run/record/artefacts.h"
#include "run/record/axis.h"
#include "run/record/record.h"
#include "run/util.h"

#define LAST_LINE_MAX	65536

static const char *const failure_names[NR_FAILURES] = {
	[FAIL_NONE]		= "",
	[FAIL_INFRASTRUCTURE]	= "infrastructure",
	[FAIL_PANIC]		= "panic",
	[FAIL_SPLAT]		= "splat",
	[FAIL_HANG]		= "hang",
	[FAIL_DIED]		= "died",
	[FAIL_STREAM]		= "stream",
	[FAIL_TRACER]		= "tracer",
	[FAIL_BOOT]		= "boot",
	[FAIL_WORKLOAD]		= "workload",
	[FAIL_LEDGER]		= "ledger",
};

const char *failure__name(enum failure f)
{
	return failure_names[f];
}

/* One object as one line; takes obj. */
static int put_json(FILE *f, json_t *obj)
{
	int err = obj ? json_dumpf(obj, f, JSON_COMPACT | JSON_REAL_PRECISION(6)) : -1;

	json_decref(obj);
	return err || fputc('\n', f) == EOF ? -EIO : 0;
}

static void axis_of(struct axis *axis, const struct record *r, size_t guest)
{
	const struct guest_part *p = &r->guests[guest];

	axis__init(axis, r->cell->clock, p->guest, p->samples, p->nr_samples);
}

static int put_run(FILE *f, const struct record *r)
{
	json_t *guests = json_array();
	struct axis axis;
	size_t i;

	for (i = 0; i < r->nr_guests; i++) {
		json_t *hello = r->guests[i].guest->hello;

		json_array_append_new(guests, hello ? json_incref(hello) : json_null());
	}
	axis_of(&axis, r, 0);
	return put_json(f, json_pack("{s:s, s:i, s:s, s:s, s:s?, s:o, s:O?, s:O, s:o, s:o}",
				     "type", "run",
				     "schema", RECORD_SCHEMA,
				     "cell", r->cell->name,
				     "experiment", r->cell->experiment,
				     "command", r->cell->command,
				     "spec", cell__spec(r->cell),
				     "arm", r->cell->arm_def,
				     "host", r->host,
				     "guests", guests,
				     "clock", axis__json(&axis, r->cell->clock)));
}

static int put_sample(FILE *f, const struct host_sample *s, const struct reading *r, size_t guest)
{
	json_t *obj = json_pack("{s:s, s:I, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}",
				"type", "sample",
				"t_ns", (json_int_t)r->t_ns,
				"src", "host",
				"t_error_ns", (json_int_t)r->error_ns,
				"host_ns", (json_int_t)r->host_ns,
				"memory_after_ns", (json_int_t)(s->memory_ns - r->host_ns),
				"rss_bytes", (json_int_t)s->ram.rss_bytes,
				"huge_bytes", (json_int_t)s->ram.huge_bytes,
				"swap_bytes", (json_int_t)s->ram.swap_bytes,
				"process_rss_bytes", (json_int_t)s->ram.process_rss_bytes,
				"device", device__json(&s->device));

	if (obj && guest)
		json_object_set_new(obj, "guest", json_integer((json_int_t)guest));
	return put_json(f, obj);
}

/*
 * A guest's line as it came, which has been checked to be one line of JSON and
 * not to say whose it is.
 */
static int put_line(FILE *f, const struct line_ref *ref, const int *fds, size_t guest)
{
	char buf[GUEST_LINE_MAX];
	ssize_t n = pread(fds[ref->port], buf, ref->len, (off_t)ref->offset);
	const char *rest = buf;

	if (n != (ssize_t)ref->len)
		return n < 0 ? -errno : -EIO;
	if (guest) {
		rest = memchr(buf, '{', (size_t)n);
		if (!rest++ || fprintf(f, "{\"guest\":%zu,", guest) < 0)
			return -EIO;
	}
	n -= rest - buf;
	return fwrite(rest, 1, (size_t)n, f) == (size_t)n && fputc('\n', f) != EOF ? 0 : -EIO;
}

/* The next line of one guest, from what it said or from what the host saw of it. */
struct source {
	struct axis axis;
	const struct guest_part *part;
	int fds[NR_PORTS];
	size_t ref, sample;	/* next of each */
	bool is_sample;
	struct reading reading;	/* of the next sample */
	int64_t t_ns;		/* of the next line */
};

/* False when there is none. */
static bool source__next(struct source *s)
{
	const struct guest *g = s->part->guest;
	struct reading *r = &s->reading;

	/* A sample before the guest's clock began has no place. */
	while (s->sample < s->part->nr_samples &&
	       (!axis__read(&s->axis, &s->part->samples[s->sample], r) || r->t_ns < 0))
		s->sample++;
	s->is_sample = s->sample < s->part->nr_samples &&
		       (s->ref == g->nr_refs || r->t_ns < (int64_t)g->refs[s->ref].t_ns);
	if (!s->is_sample && s->ref == g->nr_refs)
		return false;
	s->t_ns = s->is_sample ? r->t_ns : (int64_t)g->refs[s->ref].t_ns;
	return true;
}

static int put_body(FILE *f, struct source *sources, size_t nr, uint64_t *nr_lines)
{
	struct source *next;
	int err = 0;
	size_t i;

	for (*nr_lines = 0; !err; ++*nr_lines) {
		for (next = NULL, i = 0; i < nr; i++)
			if (source__next(&sources[i]) && (!next || sources[i].t_ns < next->t_ns))
				next = &sources[i];
		if (!next)
			break;
		i = (size_t)(next - sources);
		if (next->is_sample)
			err = put_sample(f, &next->part->samples[next->sample++], &next->reading,
					 i);
		else
			err = put_line(f, &next->part->guest->refs[next->ref++], next->fds, i);
	}
	return err;
}

static json_t *end_of_guest(const struct guest_part *p)
{
	const struct guest *g = p->guest;

	return json_pack("{s:o, s:o, s:{s:I, s:I, s:I}}",
			 "device", p->nr_samples ? device__json(&p->samples[p->nr_samples - 1].device)
						 : json_null(),
			 "ledger", ledger__json(&p->ledger),
			 "loss", "seen", (json_int_t)g->loss_seen,
			 "recorded", (json_int_t)g->loss_recorded,
			 "dropped", (json_int_t)g->loss_dropped);
}

static int put_end(FILE *f, const struct record *r, uint64_t nr_lines)
{
	bool done = r->failure == FAIL_NONE;
	json_t *guests = json_array(), *artefacts = NULL;
	uint64_t nr_bad = 0;
	size_t i;
	int err;

	for (i = 0; i < r->nr_guests; i++) {
		json_array_append_new(guests, end_of_guest(&r->guests[i]));
		nr_bad += r->guests[i].guest->nr_bad;
	}
	err = artefacts__list(r->dir, &artefacts);
	if (err) {
		json_decref(guests);
		return err;
	}
	return put_json(f, json_pack("{s:s, s:s, s:o, s:o, s:f, s:I, s:I, s:o, s:o}",
				     "type", "end",
				     "status", done ? "done" : "failed",
				     "failure", done ? json_null()
						     : json_string(failure__name(r->failure)),
				     "failure_detail", done ? json_null() : json_string(r->detail),
				     "wall_s", (double)r->wall_ns / 1e9,
				     "nr_lines", (json_int_t)nr_lines,
				     "nr_bad_lines", (json_int_t)nr_bad,
				     "guests", guests,
				     "artefacts", artefacts));
}

static int write_to(const struct record *r, const char *path, struct source *sources)
{
	uint64_t nr_lines;
	FILE *f;
	int err;

	f = fopen(path, "we");
	if (!f)
		return -errno;
	errno = 0;
	err = put_run(f, r) ?: put_body(f, sources, r->nr_guests, &nr_lines) ?:
	      put_end(f, r, nr_lines);
	if (!err && (fflush(f) || fsync(fileno(f))))
		err = -errno;
	/* stdio tells that a write failed; errno tells why. */
	if (err == -EIO && errno)
		err = -errno;
	if (fclose(f) && !err)
		err = -errno;
	return err;
}

int record__guest_dir(char *path, size_t size, const char *dir, size_t guest)
{
	return guest ? str__fmt(path, size, "%s/guest-%zu", dir, guest) :
		       str__fmt(path, size, "%s", dir);
}

static int open_source(struct source *s, const struct record *r, size_t guest)
{
	static const char *const streams[NR_PORTS] = { "work.stream", "trace.stream" };
	char dir[PATH_MAX], path[PATH_MAX];
	int i, err;

	*s = (struct source) { .part = &r->guests[guest], .fds = { -1, -1 } };
	axis_of(&s->axis, r, guest);
	guest__sort(s->part->guest);
	err = record__guest_dir(dir, sizeof(dir), r->dir, guest);
	for (i = 0; !err && i < NR_PORTS; i++) {
		err = str__fmt(path, sizeof(path), "%s/%s", dir, streams[i]);
		if (err)
			break;
		s->fds[i] = open(path, O_RDONLY | O_CLOEXEC);
		if (s->fds[i] < 0)
			err = -errno;
	}
	return err;
}

int record__write(struct record *r)
{
	struct source sources[RECORD_MAX_GUESTS];
	char path[PATH_MAX], tmp[PATH_MAX];
	size_t nr_open = 0;
	int i, err;

	err = str__fmt(path, sizeof(path), "%s/record.jsonl", r->dir) ?:
	      str__fmt(tmp, sizeof(tmp), "%s/record.jsonl.tmp", r->dir);
	if (err)
		return err;
	while (!err && nr_open < r->nr_guests) {
		err = open_source(&sources[nr_open], r, nr_open);
		nr_open++;
	}
	if (!err)
		err = write_to(r, tmp, sources);
	if (!err && rename(tmp, path))
		err = -errno;
	if (err)
		unlink(tmp);
	while (nr_open--)
		for (i = 0; i < NR_PORTS; i++)
			if (sources[nr_open].fds[i] >= 0)
				close(sources[nr_open].fds[i]);
	return err;
}

/* The last whole line of a file; -EINVAL when it does not end in one. */
static int last_line(const char *path, char *buf, size_t size, size_t *len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	off_t end, from;
	ssize_t n;
	char *nl;

	if (fd < 0)
		return -errno;
	end = lseek(fd, 0, SEEK_END);
	from = end > (off_t)size ? end - (off_t)size : 0;
	n = end > 0 ? pread(fd, buf, (size_t)(end - from), from) : 0;
	close(fd);
	if (n <= 1 || buf[n - 1] != '\n')
		return -EINVAL;
	nl = memrchr(buf, '\n', (size_t)n - 1);
	if (!nl)
		return -EINVAL;
	*len = (size_t)(buf + n - 1 - (nl + 1));
	memmove(buf, nl + 1, *len);
	return 0;
}

int outcome__read(struct outcome *o, const char *dir)
{
	const char *status, *failure, *detail;
	char path[PATH_MAX], *buf;
	json_t *end = NULL;
	size_t len = 0;
	int err;

	memset(o, 0, sizeof(*o));
	buf = malloc(LAST_LINE_MAX);
	if (!buf)
		return -ENOMEM;
	err = str__fmt(path, sizeof(path), "%s/record.jsonl", dir) ?:
	      last_line(path, buf, LAST_LINE_MAX, &len);
	if (!err)
		end = json_loadb(buf, len, JSON_REJECT_DUPLICATES, NULL);
	free(buf);
	if (err)
		return err;
	status = json_string_value(json_object_get(end, "status"));
	failure = json_string_value(json_object_get(end, "failure"));
	detail = json_string_value(json_object_get(end, "failure_detail"));
	if (!status) {
		json_decref(end);
		return -EINVAL;
	}
	o->is_done = !strcmp(status, "done");
	o->wall_s = json_number_value(json_object_get(end, "wall_s"));
	snprintf(o->failure, sizeof(o->failure), "%s", failure ? failure : "");
	snprintf(o->detail, sizeof(o->detail), "%s", detail ? detail : "");
	json_decref(end);
	return 0;
}
