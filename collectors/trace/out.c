// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/time.h"
#include "trace/out.h"

/* Kept lines, the first of them perhaps written in part, and the one that is being made. */
static char lines[OUT_KEPT_BYTES + JW_LINE_MAX];
static size_t written_bytes, kept_bytes;
static __u64 nr_kept;
static struct jw line;

int out__open(struct out *o, const char *path, bool json, bool human)
{
	memset(o, 0, sizeof(*o));
	o->stream_fd = -1;
	o->json = json;
	o->human = human;
	if (!path)
		return 0;
	o->stream_fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0644);
	if (o->stream_fd < 0) {
		int err = -errno;

		fprintf(stderr, "hinttrace: cannot open stream %s: %s; give the path of a virtio port or a file\n",
			path, strerror(-err));
		return err;
	}
	return 0;
}

void out__close(struct out *o)
{
	if (o->stream_fd >= 0)
		close(o->stream_fd);
	o->stream_fd = -1;
}

bool out__wants_json(const struct out *o)
{
	return o->json || o->stream_fd >= 0;
}

struct jw *out__begin(const char *type, __u64 t_ns)
{
	jw__init(&line, lines + kept_bytes, JW_LINE_MAX);
	jw__obj_begin(&line, NULL);
	jw__str(&line, "type", type);
	jw__u64(&line, "t_ns", t_ns);
	return &line;
}

static int lost(struct out *o, __u64 nr_lines, int err)
{
	o->nr_failed += nr_lines;
	if (!o->err) {
		o->err = err;
		fprintf(stderr, "hinttrace: cannot write a line: %s; lines are being lost, and counted\n",
			strerror(-err));
	}
	return err;
}

long out__keep(struct out *o)
{
	long len;

	jw__obj_end(&line);
	len = jw__finish(&line);
	if (len < 0)
		return lost(o, 1, (int)len);
	kept_bytes += (size_t)len;
	nr_kept++;
	return (long)(kept_bytes - written_bytes);
}

static int write_piece(const struct out *o, const char *piece, size_t len)
{
	int err = 0;

	if (o->stream_fd >= 0)
		err = fd__write_all(o->stream_fd, piece, len);
	if (!err && o->json)
		err = fd__write_all(STDOUT_FILENO, piece, len);
	return err;
}

/* What is left goes to the front, so there is room for another line. */
static long hold_back(size_t len)
{
	if (written_bytes)
		memmove(lines, lines + written_bytes, len);
	written_bytes = 0;
	kept_bytes = len;
	return (long)len;
}

long out__flush(struct out *o, bool force)
{
	__u64 nr = nr_kept;
	int err = 0;

	while (written_bytes < kept_bytes && !err) {
		size_t len = kept_bytes - written_bytes;

		if (!force && o->memory && memory__is_short(o->memory)) {
			if (len <= OUT_KEPT_BYTES)
				return hold_back(len);
			o->nr_forced++;
		}
		len = len < OUT_WRITE_BYTES ? len : OUT_WRITE_BYTES;
		err = write_piece(o, lines + written_bytes, len);
		written_bytes += len;
	}
	written_bytes = 0;
	kept_bytes = 0;
	nr_kept = 0;
	return err ? lost(o, nr, err) : 0;
}

int out__end(struct out *o)
{
	long left = out__keep(o);

	if (left >= 0)
		left = out__flush(o, false);
	return left < 0 ? (int)left : 0;
}

void out__log(struct out *o, const char *fmt, ...)
{
	char text[512];
	struct jw *w;
	va_list ap;

	if (!out__wants_json(o))
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	w = out__begin("log", time__now_ns());
	jw__str(w, "src", "trace");
	jw__str(w, "text", text);
	out__end(o);
}
