// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common_time.h"
#include "trace_out.h"

static char line_buf[JW_LINE_MAX];
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
	jw__init(&line, line_buf, sizeof(line_buf));
	jw__obj_begin(&line, NULL);
	jw__str(&line, "type", type);
	jw__u64(&line, "t_ns", t_ns);
	return &line;
}

int out__end(struct out *o)
{
	long len;
	int err = 0;

	jw__obj_end(&line);
	len = jw__finish(&line);
	if (len < 0)
		err = (int)len;
	if (!err && o->stream_fd >= 0)
		err = jw__write_all(o->stream_fd, line_buf, (size_t)len);
	if (!err && o->json)
		err = jw__write_all(STDOUT_FILENO, line_buf, (size_t)len);
	if (!err)
		return 0;
	o->nr_failed++;
	if (!o->err) {
		o->err = err;
		fprintf(stderr, "hinttrace: cannot write a line: %s; lines are being lost, and counted\n",
			strerror(-err));
	}
	return err;
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
