// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/json.h"
#include "common/status.h"
#include "common/time.h"
#include "guest/say.h"

/* A piece of an artefact: with every byte an escape of six it is still a line. */
#define PIECE_BYTES 10000
/* Of a file that is no text: in base64 as long as the above, and a multiple of three. */
#define RAW_BYTES	7500
/* What a record may have of one (record.json): more would fail the cell. */
#define ARTEFACT_BYTES (64ULL << 20)

static int say_piece(const char *name, char *line, char *text, size_t len, bool is_base64)
{
	struct jw w;

	say__end_text(text, len);
	jw__init(&w, line, JW_LINE_MAX);
	jw__obj_begin(&w, NULL);
	jw__str(&w, "type", "artefact");
	jw__u64(&w, "t_ns", time__now_ns());
	jw__str(&w, "name", name);
	jw__str(&w, "text", text);
	if (is_base64)
		jw__bool(&w, "base64", true);
	return say__finish(&w, "artefact");
}

/* Of len bytes at raw, into text: 4 characters for 3 of them. */
static size_t base64(const unsigned char *raw, size_t len, char *text)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t n = 0;

	for (size_t i = 0; i < len; i += 3) {
		unsigned int left = len - i < 3 ? (unsigned int)(len - i) : 3;
		unsigned int v = (unsigned int)raw[i] << 16 |
				 (left > 1 ? (unsigned int)raw[i + 1] << 8 : 0) |
				 (left > 2 ? raw[i + 2] : 0);

		for (unsigned int k = 0; k < 4; k++)
			text[n++] = k > left ? '=' : digits[v >> (18 - 6 * k) & 63];
	}
	return n;
}

/*
 * More of standard input, behind the *len of size bytes that are there: how
 * many, 0 at its end, -1 with the reason on stderr.
 */
static ssize_t read_more(void *buf, size_t size, size_t *len)
{
	ssize_t n;

	do {
		n = read(STDIN_FILENO, (char *)buf + *len, size - *len);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		perror("hintsay: cannot read standard input");
	else
		*len += (size_t)n;
	return n;
}

static void say_cut(const char *name)
{
	fprintf(stderr,
		"hintsay: artefact %s is cut at 64 MiB: hand out less, or in several files\n",
		name);
}

static char *new_line(void)
{
	char *line = malloc(JW_LINE_MAX);

	if (!line)
		fprintf(stderr, "hintsay: no memory for a line\n");
	return line;
}

/* Whole pieces only: padding stands at the end of the file, not within. */
int artefact__base64(const char *name)
{
	static unsigned char raw[RAW_BYTES];
	static char text[RAW_BYTES / 3 * 4 + 1];
	char *line = new_line();
	uint64_t left = ARTEFACT_BYTES;
	int status = 0;
	size_t len = 0;
	ssize_t n = 1;

	if (!line)
		return EXIT_INFRA;
	while (!status && n) {
		n = read_more(raw, RAW_BYTES, &len);
		if (n < 0)
			return EXIT_INFRA;
		if (!len || (n && len < RAW_BYTES))
			continue;
		if (len > left) {
			say_cut(name);
			return EXIT_FAILED;
		}
		left -= len;
		status = say_piece(name, line, text, base64(raw, len, text), true);
		len = 0;
	}
	return status;
}

int artefact__text(const char *name)
{
	static char text[PIECE_BYTES + 1], rest[4];
	char *line = new_line();
	uint64_t left = ARTEFACT_BYTES;
	size_t len = 0, cut;
	int status = 0;
	ssize_t n;

	if (!line)
		return EXIT_INFRA;
	while (!status && (n = read_more(text, PIECE_BYTES, &len)) != 0) {
		if (n < 0)
			return EXIT_INFRA;
		if (len > left) {
			say_cut(name);
			status = say_piece(name, line, text, (size_t)left, false);
			return status ? status : EXIT_FAILED;
		}
		if (len < PIECE_BYTES)
			continue;
		cut = say__unfinished(text, len);
		memcpy(rest, text + len - cut, cut);
		left -= len - cut;
		status = say_piece(name, line, text, len - cut, false);
		memcpy(text, rest, cut);
		len = cut;
	}
	return status || !len ? status : say_piece(name, line, text, len, false);
}
