// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "run/vm/qmp.h"
#include "run/util.h"

int qmp__init(struct qmp *q, int fd)
{
	memset(q, 0, sizeof(*q));
	q->fd = fd;
	return lines__init(&q->lines, QMP_LINE_MAX);
}

void qmp__free(struct qmp *q)
{
	lines__free(&q->lines);
	json_decref(q->answer);
	q->answer = NULL;
}

int qmp__send(struct qmp *q, const char *command, json_t *args)
{
	json_t *msg = json_pack("{s:s}", "execute", command);
	char *text;
	size_t len;
	ssize_t n;

	if (args && (!msg || json_object_set_new(msg, "arguments", args))) {
		json_decref(msg);
		return -ENOMEM;
	}
	text = msg ? json_dumps(msg, JSON_COMPACT) : NULL;
	json_decref(msg);
	if (!text)
		return -ENOMEM;
	len = strlen(text);
	text[len] = '\n';	/* in place of the NUL; the length is known */
	/* Commands are short and one at a time: the socket always has room. */
	n = send(q->fd, text, len + 1, MSG_NOSIGNAL);
	free(text);
	if (n != (ssize_t)len + 1) {
		q->broken = true;
		return n < 0 ? -errno : -EIO;
	}
	q->busy = true;
	q->error[0] = '\0';
	json_decref(q->answer);
	q->answer = NULL;
	return 0;
}

int qmp__get(struct qmp *q, const char *path, const char *property)
{
	return qmp__send(q, "qom-get", json_pack("{s:s, s:s}", "path", path,
						 "property", property));
}

json_t *qmp__take(struct qmp *q)
{
	json_t *answer = q->answer;

	q->answer = NULL;
	return answer;
}

static void take_greeting(struct qmp *q, const json_t *greeting)
{
	json_t *version = json_object_get(greeting, "version");
	json_t *numbers = json_object_get(version, "qemu");
	const char *package = json_string_value(json_object_get(version, "package"));

	snprintf(q->version, sizeof(q->version), "%d.%d.%d%s%.40s",
		 (int)json_integer_value(json_object_get(numbers, "major")),
		 (int)json_integer_value(json_object_get(numbers, "minor")),
		 (int)json_integer_value(json_object_get(numbers, "micro")),
		 package && *package ? " " : "", package ? package : "");
	qmp__send(q, "qmp_capabilities", NULL);
}

static void take_event(struct qmp *q, const char *event, const json_t *data)
{
	const char *reason = json_string_value(json_object_get(data, "reason"));

	if (!strcmp(event, "SHUTDOWN") && reason && !strcmp(reason, "host-signal")) {
		q->is_ending = true;	/* the guest has not ended, its machine has */
	} else if (!strcmp(event, "SHUTDOWN")) {
		q->shut_down = true;
		q->guest_reset = reason && !strcmp(reason, "guest-reset");
	} else if (!strcmp(event, "STOP") && !q->shut_down && !q->is_ending) {
		q->stopped_by_error = true;
	}
}

static void take_line(void *arg, char *text, size_t len, uint64_t offset, bool too_long)
{
	struct qmp *q = arg;
	const char *event, *desc;
	json_t *msg, *part;

	(void)offset;
	msg = too_long ? NULL : json_loadb(text, len, 0, NULL);
	if (!json_is_object(msg)) {
		q->broken = true;
		json_decref(msg);
		return;
	}
	event = json_string_value(json_object_get(msg, "event"));
	part = json_object_get(msg, "QMP");
	if (part) {
		take_greeting(q, part);
	} else if (event) {
		take_event(q, event, json_object_get(msg, "data"));
	} else if ((part = json_object_get(msg, "return"))) {
		q->busy = false;
		if (q->ready) {
			json_decref(q->answer);	/* one that nobody asked for */
			q->answer = json_incref(part);
		}
		q->ready = true;
	} else if ((part = json_object_get(msg, "error"))) {
		desc = json_string_value(json_object_get(part, "desc"));
		snprintf(q->error, sizeof(q->error), "%s", desc ? desc : "unknown error");
		q->busy = false;
	}
	json_decref(msg);
}

void qmp__feed(struct qmp *q, const char *data, size_t len)
{
	lines__feed(&q->lines, data, len, take_line, q);
}
