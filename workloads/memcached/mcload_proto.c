// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdio.h>
#include <string.h>

#include "common/num.h"
#include "mcload_proto.h"

/* Longest first line of a reply; more without a line end is not the protocol. */
#define LINE_MAX_LEN 512

/* Copies the first line, without its end.  Its length with end, 0 if not all there. */
static size_t first_line(const char *buf, size_t len, char line[LINE_MAX_LEN],
			 struct reply *reply)
{
	size_t max = len < LINE_MAX_LEN ? len : LINE_MAX_LEN;
	const char *nl = memchr(buf, '\n', max);
	size_t n;

	reply->kind = REPLY_MORE;
	if (!nl) {
		if (len >= LINE_MAX_LEN)
			reply->kind = REPLY_BAD;
		return 0;
	}
	n = (size_t)(nl - buf);
	if (n < 1 || buf[n - 1] != '\r') {
		reply->kind = REPLY_BAD;
		return 0;
	}
	memcpy(line, buf, n - 1);
	line[n - 1] = '\0';
	return n + 1;
}

/* A line without a value: kind and length of the reply. */
static void simple_reply(const char *line, size_t len, const char *miss,
			 const char *stored, struct reply *reply)
{
	reply->len = len;
	if (!strcmp(line, miss))
		reply->kind = REPLY_MISS;
	else if (!strcmp(line, stored))
		reply->kind = REPLY_STORED;
	else if (!strncmp(line, "SERVER_ERROR", 12) ||
		 !strcmp(line, "NOT_STORED") || !strcmp(line, "NS"))
		reply->kind = REPLY_REFUSED;
	else
		reply->kind = REPLY_BAD;
}

/* A value of `digits` bytes after a line of `head` bytes, and then `tail`. */
static void value_reply(const char *buf, size_t len, size_t head,
			const char *digits, const char *tail,
			struct reply *reply)
{
	size_t tail_len = strlen(tail);
	uint64_t value_len;

	if (num__u64(digits, 0, KEYS_VALUE_MAX, &value_len)) {
		reply->kind = REPLY_BAD;
		return;
	}
	if (len < head + value_len + tail_len) {
		reply->kind = REPLY_MORE;
		return;
	}
	if (memcmp(buf + head + value_len, tail, tail_len)) {
		reply->kind = REPLY_BAD;
		return;
	}
	reply->kind = REPLY_HIT;
	reply->value = buf + head;
	reply->value_len = value_len;
	reply->len = head + value_len + tail_len;
}

/* "VALUE key flags bytes", data, "END" | "END" | "STORED" | an error. */
static void text_parse(const char *buf, size_t len, struct reply *reply)
{
	char line[LINE_MAX_LEN], *digits;
	size_t head = first_line(buf, len, line, reply);

	if (!head)
		return;
	if (strncmp(line, "VALUE ", 6)) {
		simple_reply(line, head, "END", "STORED", reply);
		return;
	}
	digits = strrchr(line, ' ') + 1;
	value_reply(buf, len, head, digits, "\r\nEND\r\n", reply);
}

/* "VA bytes", data | "EN" | "HD" | "NS" | an error. */
static void meta_parse(const char *buf, size_t len, struct reply *reply)
{
	char line[LINE_MAX_LEN];
	size_t head = first_line(buf, len, line, reply);

	if (!head)
		return;
	if (strncmp(line, "VA ", 3)) {
		simple_reply(line, head, "EN", "HD", reply);
		return;
	}
	value_reply(buf, len, head, line + 3, "\r\n", reply);
}

static const struct proto protos[] = {
	{
		.name = "text",
		.get_fmt = "get %s\r\n",
		.set_fmt = "set %s 0 0 %u\r\n",
		.quiet_fmt = "set %s 0 0 %u noreply\r\n",
		.parse = text_parse,
	}, {
		.name = "meta",
		.get_fmt = "mg %s v\r\n",
		.set_fmt = "ms %s %u\r\n",
		.quiet_fmt = "ms %s %u q\r\n",
		.parse = meta_parse,
	},
};

const struct proto *proto__find(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(protos) / sizeof(protos[0]); i++)
		if (!strcmp(protos[i].name, name))
			return &protos[i];
	return NULL;
}

size_t proto__get(const struct proto *p, const struct item *item, char *buf,
		  size_t size)
{
	int n = snprintf(buf, size, p->get_fmt, item->key);

	return n > 0 && (size_t)n < size ? (size_t)n : 0;
}

size_t proto__set(const struct proto *p, const struct item *item, bool quiet,
		  char *buf, size_t size)
{
	int n = snprintf(buf, size, quiet ? p->quiet_fmt : p->set_fmt, item->key,
			 item->value_len);

	if (n < 0 || (size_t)n >= size ||
	    size - (size_t)n < (size_t)item->value_len + 2)
		return 0;
	item__fill_value(item, buf + n);
	memcpy(buf + n + item->value_len, "\r\n", 2);
	return (size_t)n + item->value_len + 2;
}
