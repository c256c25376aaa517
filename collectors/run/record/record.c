// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
	[FAIL_BOOT]		= "boot",
	[FAIL_STREAM]		= "stream",
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

static int put_run(FILE *f, const struct record *r, const struct axis *axis)
{
	int64_t offset;
	json_t *clock;

	clock = json_pack("{s:s, s:o}", "mode", r->cell->clock, "host_minus_guest_ns",
			  axis__offset(axis, &offset) ? json_integer(offset) : json_null());
	return put_json(f, json_pack("{s:s, s:i, s:s, s:s, s:s?, s:o, s:O?, s:O, s:o, s:o}",
				     "type", "run",
				     "schema", 1,
				     "cell", r->cell->name,
				     "experiment", r->cell->experiment,
				     "command", r->cell->command,
				     "spec", cell__spec(r->cell),
				     "arm", r->cell->arm_def,
				     "host", r->host,
				     "guest", r->guest->hello ? json_incref(r->guest->hello)
							      : json_null(),
				     "clock", clock));
}

static int put_sample(FILE *f, const struct host_sample *s, int64_t t_ns)
{
	return put_json(f, json_pack("{s:s, s:I, s:s, s:I, s:I, s:I, s:I, s:I, s:o}",
				     "type", "sample",
				     "t_ns", (json_int_t)t_ns,
				     "src", "host",
				     "host_ns", (json_int_t)s->host_ns,
				     "rss_bytes", (json_int_t)s->ram.rss_bytes,
				     "huge_bytes", (json_int_t)s->ram.huge_bytes,
				     "swap_bytes", (json_int_t)s->ram.swap_bytes,
				     "process_rss_bytes", (json_int_t)s->ram.process_rss_bytes,
				     "device", device__json(&s->device)));
}

/* A guest's line as it came; it has been checked to be one line of JSON. */
static int put_line(FILE *f, const struct line_ref *ref, const int *fds)
{
	char buf[GUEST_LINE_MAX];
	ssize_t n = pread(fds[ref->port], buf, ref->len, (off_t)ref->offset);

	if (n != (ssize_t)ref->len)
		return n < 0 ? -errno : -EIO;
	return fwrite(buf, 1, ref->len, f) == ref->len && fputc('\n', f) != EOF ? 0 : -EIO;
}

static int put_body(FILE *f, const struct record *r, const struct axis *axis, const int *fds,
		    uint64_t *nr_lines)
{
	const struct guest *g = r->guest;
	size_t i = 0, s = 0;
	int err = 0;

	*nr_lines = 0;
	while (!err && (i < g->nr_refs || s < r->nr_samples)) {
		int64_t t = 0;

		/* A sample before the guest's clock began has no place. */
		while (s < r->nr_samples && (!axis__time(axis, &r->samples[s], &t) || t < 0))
			s++;
		if (s < r->nr_samples && (i == g->nr_refs || t < (int64_t)g->refs[i].t_ns))
			err = put_sample(f, &r->samples[s++], t);
		else if (i < g->nr_refs)
			err = put_line(f, &g->refs[i++], fds);
		else
			break;
		++*nr_lines;
	}
	return err;
}

static int put_end(FILE *f, const struct record *r, uint64_t nr_lines)
{
	const struct guest *g = r->guest;
	bool done = r->failure == FAIL_NONE;

	return put_json(f, json_pack("{s:s, s:s, s:o, s:o, s:f, s:I, s:I, s:o, s:o, s:{s:I, s:I, s:I}}",
				     "type", "end",
				     "status", done ? "done" : "failed",
				     "failure", done ? json_null()
						     : json_string(failure__name(r->failure)),
				     "failure_detail", done ? json_null() : json_string(r->detail),
				     "wall_s", (double)r->wall_ns / 1e9,
				     "nr_lines", (json_int_t)nr_lines,
				     "nr_bad_lines", (json_int_t)g->nr_bad,
				     "device", r->nr_samples
					? device__json(&r->samples[r->nr_samples - 1].device)
					: json_null(),
				     "ledger", ledger__json(&r->ledger),
				     "loss", "seen", (json_int_t)g->loss_seen,
				     "recorded", (json_int_t)g->loss_recorded,
				     "dropped", (json_int_t)g->loss_dropped));
}

static int write_to(struct record *r, const char *path, const int *fds)
{
	struct axis axis = { !strcmp(r->cell->clock, "virtual"), r->guest };
	uint64_t nr_lines;
	FILE *f;
	int err;

	f = fopen(path, "we");
	if (!f)
		return -errno;
	guest__sort(r->guest);
	errno = 0;
	err = put_run(f, r, &axis) ?: put_body(f, r, &axis, fds, &nr_lines) ?:
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

int record__write(struct record *r)
{
	static const char *const streams[NR_PORTS] = { "work.stream", "trace.stream" };
	char path[PATH_MAX], tmp[PATH_MAX];
	int fds[NR_PORTS] = { -1, -1 };
	int i, err;

	err = str__fmt(path, sizeof(path), "%s/record.jsonl", r->dir) ?:
	      str__fmt(tmp, sizeof(tmp), "%s/record.jsonl.tmp", r->dir);
	for (i = 0; !err && i < NR_PORTS; i++) {
		char stream[PATH_MAX];

		err = str__fmt(stream, sizeof(stream), "%s/%s", r->dir, streams[i]);
		if (err)
			break;
		fds[i] = open(stream, O_RDONLY | O_CLOEXEC);
		if (fds[i] < 0)
			err = -errno;
	}
	if (!err)
		err = write_to(r, tmp, fds);
	if (!err && rename(tmp, path))
		err = -errno;
	if (err)
		unlink(tmp);
	for (i = 0; i < NR_PORTS; i++)
		if (fds[i] >= 0)
			close(fds[i]);
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
