// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "common/fd.h"
#include "common/json.h"

void jw__init(struct jw *w, char *buf, size_t size)
{
	memset(w, 0, sizeof(*w));
	w->buf = buf;
	w->size = size;
}

static void put(struct jw *w, const char *s, size_t len)
{
	if (w->err)
		return;
	/* One byte stays for the newline. */
	if (len >= w->size || w->len > w->size - 1 - len) {
		w->err = -ENOSPC;
		return;
	}
	memcpy(w->buf + w->len, s, len);
	w->len += len;
}

static void put_char(struct jw *w, char c)
{
	if (!w->err && w->len + 1 < w->size)
		w->buf[w->len++] = c;
	else if (!w->err)
		w->err = -ENOSPC;
}

static void put_cstr(struct jw *w, const char *s)
{
	put(w, s, strlen(s));
}

/*
 * Length of the UTF-8 sequence at s, 0 if there is none (Unicode, table 3-7:
 * no overlong forms, no surrogates, nothing above U+10FFFF).  Stops at the
 * NUL, which is no continuation byte.
 */
static size_t utf8_len(const unsigned char *s)
{
	unsigned char lo = 0x80, hi = 0xbf;
	size_t len, i;

	if (s[0] < 0x80)
		return 1;
	if (s[0] >= 0xc2 && s[0] <= 0xdf)
		len = 2;
	else if (s[0] >= 0xe0 && s[0] <= 0xef)
		len = 3;
	else if (s[0] >= 0xf0 && s[0] <= 0xf4)
		len = 4;
	else
		return 0;
	if (s[0] == 0xe0)
		lo = 0xa0;
	else if (s[0] == 0xed)
		hi = 0x9f;
	else if (s[0] == 0xf0)
		lo = 0x90;
	else if (s[0] == 0xf4)
		hi = 0x8f;
	if (s[1] < lo || s[1] > hi)
		return 0;
	for (i = 2; i < len; i++)
		if (s[i] < 0x80 || s[i] > 0xbf)
			return 0;
	return len;
}

/* Length of the run at s that stands for itself: most strings are one. */
static size_t plain_len(const unsigned char *s)
{
	size_t len = 0;

	while (s[len] >= 0x20 && s[len] < 0x7f && s[len] != '"' && s[len] != '\\')
		len++;
	return len;
}

static void put_quoted(struct jw *w, const char *str)
{
	const unsigned char *s = (const unsigned char *)str;
	char esc[8];
	size_t len;

	put_char(w, '"');
	while (*s && !w->err) {
		len = plain_len(s);
		if (len) {
			put(w, (const char *)s, len);
			s += len;
			continue;
		}
		len = utf8_len(s);
		if (len == 0) {
			put_cstr(w, "\\ufffd");
			len = 1;
		} else if (*s == '"' || *s == '\\') {
			esc[0] = '\\';
			esc[1] = (char)*s;
			put(w, esc, 2);
		} else if (*s < 0x20 || *s == 0x7f) {
			snprintf(esc, sizeof(esc), "\\u%04x", *s);
			put_cstr(w, esc);
		} else if (*s == 0xc2 && s[1] < 0xa0) {
			/* U+0080 to U+009f: to a terminal, what ESC and a letter are. */
			snprintf(esc, sizeof(esc), "\\u%04x", s[1]);
			put_cstr(w, esc);
		} else {
			put(w, (const char *)s, len);
		}
		s += len;
	}
	put_char(w, '"');
}

/* By hand: printf() takes 700 instructions for it, and a sample has thirty. */
static void put_u64(struct jw *w, __u64 v)
{
	char s[20];
	size_t at = sizeof(s);

	do {
		s[--at] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	put(w, s + at, sizeof(s) - at);
}

/* Comma and key, whatever is due before a value. */
static void put_prefix(struct jw *w, const char *key)
{
	__u64 bit = 1ULL << w->depth;

	/* A key belongs in an object and nowhere else. */
	if (!w->err && (key != NULL) != (w->depth > 0 && !(w->is_array & bit)))
		w->err = -EINVAL;
	if (!w->err && w->depth == 0 && w->len)
		w->err = -EINVAL;
	if (w->started & bit)
		put_char(w, ',');
	w->started |= bit;
	if (key) {
		put_char(w, '"');
		put_cstr(w, key);
		put_char(w, '"');
		put_char(w, ':');
	}
}

static void begin(struct jw *w, const char *key, bool array)
{
	put_prefix(w, key);
	put_char(w, array ? '[' : '{');
	if (w->depth == JW_DEPTH_MAX) {
		w->err = w->err ? w->err : -EINVAL;
		return;
	}
	w->depth++;
	w->started &= ~(1ULL << w->depth);
	if (array)
		w->is_array |= 1ULL << w->depth;
	else
		w->is_array &= ~(1ULL << w->depth);
}

static void end(struct jw *w, bool array)
{
	bool is_array = w->is_array & (1ULL << w->depth);

	if (w->depth == 0 || is_array != array) {
		w->err = w->err ? w->err : -EINVAL;
		return;
	}
	w->depth--;
	put_char(w, array ? ']' : '}');
}

void jw__obj_begin(struct jw *w, const char *key)
{
	begin(w, key, false);
}

void jw__obj_end(struct jw *w)
{
	end(w, false);
}

void jw__arr_begin(struct jw *w, const char *key)
{
	begin(w, key, true);
}

void jw__arr_end(struct jw *w)
{
	end(w, true);
}

void jw__u64(struct jw *w, const char *key, __u64 v)
{
	put_prefix(w, key);
	put_u64(w, v);
}

void jw__s64(struct jw *w, const char *key, __s64 v)
{
	put_prefix(w, key);
	if (v < 0)
		put_char(w, '-');
	put_u64(w, v < 0 ? -(__u64)v : (__u64)v);
}

void jw__bool(struct jw *w, const char *key, bool v)
{
	put_prefix(w, key);
	put_cstr(w, v ? "true" : "false");
}

void jw__str(struct jw *w, const char *key, const char *s)
{
	put_prefix(w, key);
	put_quoted(w, s);
}

long jw__finish(struct jw *w)
{
	size_t len = w->len;
	int err = w->err;

	if (!err && (w->depth || !len))
		err = -EINVAL;
	jw__init(w, w->buf, w->size);
	if (err)
		return err;
	w->buf[len] = '\n';	/* put() left room */
	return (long)len + 1;
}

int jw__write_all(int fd, const char *buf, size_t len)
{
	int err = 0;

	while (len && !err) {
		size_t piece = len < JW_WRITE_MAX ? len : JW_WRITE_MAX;

		err = fd__write_all(fd, buf, piece);
		buf += piece;
		len -= piece;
	}
	return err;
}

/* Not every file can be locked; then a line is only as whole as its write(2). */
static void lock(int fd, short type)
{
	struct flock l = { .l_type = type, .l_whence = SEEK_SET };

	while (fcntl(fd, F_SETLKW, &l) && errno == EINTR)
		;
}

int jw__line(struct jw *w, int fd)
{
	long len = jw__finish(w);
	int err;

	if (len < 0)
		return (int)len;
	lock(fd, F_WRLCK);
	err = jw__write_all(fd, w->buf, (size_t)len);
	lock(fd, F_UNLCK);
	return err;
}
