// SPDX-License-Identifier: GPL-2.0-or-later
/* SOURCES: collectors/common/json.c */
/* LIBS: -lm */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
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
	jw__null(&w, "z");
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
	       "\"t\":true,\"f\":false,\"z\":null,\"a\":[[1,2],{}],\"e\":\"\"}",
	       "all kinds of values");

	jw__arr_begin(&w, NULL);
	jw__double(&w, NULL, 0.1);
	jw__double(&w, NULL, 1.0 / 3);
	jw__double(&w, NULL, 250);
	jw__double(&w, NULL, INFINITY);
	jw__double(&w, NULL, NAN);
	jw__arr_end(&w);
	is_str(line(&w), "[0.1,0.33333333333333331,250,null,null]",
	       "the writer is empty after a line; doubles");
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
		{ "\xc3", "\"\\ufffd\"" },			/* cut short */
		{ "\xc0\xaf", "\"\\ufffd\\ufffd\"" },		/* overlong */
		{ "\xe0\x9f\xbf", "\"\\ufffd\\ufffd\\ufffd\"" },
		{ "\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\"" },	/* surrogate */
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

int main(void)
{
	test_values();
	test_strings();
	test_bounds();
	test_line();
	return tap__done();
}
