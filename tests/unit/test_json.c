// SPDX-License-Identifier: GPL-2.0-or-later
/* SOURCES: collectors/common/json.c collectors/common/fd.c */
/* LIBS: -lm */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/json.h"
#include "tap.h"

static char buf[4096];

/* The finished line without its newline; NULL after an error. */
static const char *line(struct jw *w)
{
	long len = jw__finish(w);

	if (len < 1 || buf[len - 1] != '\n')
		return NULL;
	buf[len - 1] = '\0';
	return buf;
}

static void test_values(void)
{
	struct jw w;

	jw__init(&w, buf, sizeof(buf));
	jw__obj_begin(&w, NULL);
	jw__u64(&w, "u", ~0ULL);
	jw__s64(&w, "s", -9223372036854775807LL - 1);
	jw__bool(&w, "t", true);
	jw__bool(&w, "f", false);
	jw__arr_begin(&w, "a");
	jw__arr_begin(&w, NULL);
	jw__u64(&w, NULL, 1);
	jw__u64(&w, NULL, 2);
	jw__arr_end(&w);
	jw__obj_begin(&w, NULL);
	jw__obj_end(&w);
	jw__arr_end(&w);
	jw__str(&w, "e", "");
	jw__obj_end(&w);
	is_str(line(&w), "{\"u\":18446744073709551615,\"s\":-9223372036854775808,"
	       "\"t\":true,\"f\":false,\"a\":[[1,2],{}],\"e\":\"\"}",
	       "all kinds of values");

	jw__u64(&w, NULL, 7);
	is_str(line(&w), "7", "the writer is empty after a line");
}

static void test_strings(void)
{
	static const struct {
		const char *in, *out;
	} t[] = {
		{ "plain", "\"plain\"" },
		{ "a\"b\\c", "\"a\\\"b\\\\c\"" },
		{ "tab\tnl\ndel\x7f", "\"tab\\u0009nl\\u000adel\\u007f\"" },
		{ "\xc3\xa4\xe2\x82\xac\xf0\x9f\x90\xa7",
		  "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x90\xa7\"" },
		{ "\xff", "\"\\ufffd\"" },
		{ "\xc2\x9b"
		  "31m",
		  "\"\\u009b31m\"" }, /* CSI of eight bits */
		{ "\xc2\xa0", "\"\xc2\xa0\"" },
		{ "\xc3", "\"\\ufffd\"" }, /* cut short */
		{ "\xc0\xaf", "\"\\ufffd\\ufffd\"" }, /* overlong */
		{ "\xe0\x9f\xbf", "\"\\ufffd\\ufffd\\ufffd\"" },
		{ "\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\"" }, /* surrogate */
		{ "\xf4\x90\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\"" },
		{ "\xe2\x82x", "\"\\ufffd\\ufffdx\"" },
	};
	struct jw w;
	size_t i;

	jw__init(&w, buf, sizeof(buf));
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		jw__str(&w, NULL, t[i].in);
		is_str(line(&w), t[i].out, "string %zu", i);
	}
}

static void test_bounds(void)
{
	struct jw w;
	int i;

	memset(buf, '!', sizeof(buf));
	jw__init(&w, buf, 6);
	jw__u64(&w, NULL, 12345);
	is_s64(jw__finish(&w), 6, "exactly full");
	jw__u64(&w, NULL, 123456);
	is_s64(jw__finish(&w), -ENOSPC, "one byte too long");
	jw__u64(&w, NULL, 1);
	is_s64(jw__finish(&w), 2, "usable after an overflow");
	ok(buf[6] == '!', "nothing written behind the end");
	jw__init(&w, buf, 0);
	jw__u64(&w, NULL, 1);
	is_s64(jw__finish(&w), -ENOSPC, "no room at all");

	jw__init(&w, buf, sizeof(buf));
	is_s64(jw__finish(&w), -EINVAL, "nothing");
	jw__obj_begin(&w, NULL);
	is_s64(jw__finish(&w), -EINVAL, "object not ended");
	jw__obj_begin(&w, NULL);
	jw__arr_end(&w);
	is_s64(jw__finish(&w), -EINVAL, "object ended as array");
	jw__obj_end(&w);
	is_s64(jw__finish(&w), -EINVAL, "end without begin");
	jw__obj_begin(&w, NULL);
	jw__u64(&w, NULL, 1);
	jw__obj_end(&w);
	is_s64(jw__finish(&w), -EINVAL, "member without key");
	jw__arr_begin(&w, NULL);
	jw__u64(&w, "k", 1);
	jw__arr_end(&w);
	is_s64(jw__finish(&w), -EINVAL, "key in an array");
	jw__u64(&w, NULL, 1);
	jw__u64(&w, NULL, 1);
	is_s64(jw__finish(&w), -EINVAL, "two values in a line");
	for (i = 0; i < JW_DEPTH_MAX; i++)
		jw__arr_begin(&w, NULL);
	for (i = 0; i < JW_DEPTH_MAX; i++)
		jw__arr_end(&w);
	is_s64(jw__finish(&w), 2 * JW_DEPTH_MAX + 1, "deepest nesting");
	for (i = 0; i < JW_DEPTH_MAX + 1; i++)
		jw__arr_begin(&w, NULL);
	is_s64(jw__finish(&w), -EINVAL, "nested too deep");
}

static void test_line(void)
{
	char got[64] = "";
	struct jw w;
	int fds[2];

	if (pipe(fds)) {
		skip("no pipe", "line");
		return;
	}
	jw__init(&w, buf, sizeof(buf));
	jw__str(&w, NULL, "x");
	is_s64(jw__line(&w, fds[1]), 0, "line written");
	is_s64(read(fds[0], got, sizeof(got) - 1), 4, "its length");
	is_str(got, "\"x\"\n", "its content");
	close(fds[1]);
	jw__str(&w, NULL, "x");
	is_s64(jw__line(&w, fds[1]), -EBADF, "closed descriptor");
	close(fds[0]);
}

/* A port allocates a buffer as large as the write: none may be large. */
static void test_pieces(void)
{
	static char text[JW_LINE_MAX - 3], big[JW_LINE_MAX];
	size_t largest = 0, total = 0;
	char got[8192];
	struct jw w;
	ssize_t n;
	int fds[2];

	/* Keeps the writes apart. */
	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds)) {
		skip("no socket pair", "pieces");
		return;
	}
	memset(text, 'x', sizeof(text) - 1);
	if (fork() == 0) {
		jw__init(&w, big, sizeof(big));
		jw__str(&w, NULL, text);
		_exit(jw__line(&w, fds[1]) ? 1 : 0);
	}
	close(fds[1]);
	while ((n = read(fds[0], got, sizeof(got))) > 0) {
		total += (size_t)n;
		if ((size_t)n > largest)
			largest = (size_t)n;
	}
	close(fds[0]);
	is_u64(total, sizeof(text) + 2, "the longest line arrives whole");
	is_u64(largest, JW_WRITE_MAX, "in writes well below a page");
	wait(NULL);
}

/* One port has several writers, and a long line takes several writes. */
static void test_writers(void)
{
	const char *names[] = { "aaaaaaaa", "b" };
	unsigned int i, j, nr_lines = 0, nr_broken = 0;
	static char line[JW_LINE_MAX], big[JW_LINE_MAX], text[30001];
	struct jw w;
	int fds[2];
	FILE *f;

	if (pipe(fds)) {
		skip("no pipe", "writers");
		return;
	}
	for (i = 0; i < 2; i++) {
		if (fork())
			continue;
		memset(text, *names[i], i ? 1 : sizeof(text) - 1);
		for (j = 0; j < 200; j++) {
			jw__init(&w, big, sizeof(big));
			jw__str(&w, NULL, text);
			if (jw__line(&w, fds[1]))
				_exit(1);
		}
		_exit(0);
	}
	close(fds[1]);
	f = fdopen(fds[0], "r");
	while (f && fgets(line, sizeof(line), f)) {
		nr_lines++;
		nr_broken += strspn(line + 1, line[1] == 'a' ? "a" : "b") !=
			     strlen(line) - 3;
	}
	if (f)
		fclose(f);
	while (wait(NULL) > 0)
		;
	is_u64(nr_lines, 400, "lines of two writers");
	is_u64(nr_broken, 0, "none breaks another");
}

int main(void)
{
	test_values();
	test_strings();
	test_bounds();
	test_line();
	test_pieces();
	test_writers();
	return tap__done();
}
