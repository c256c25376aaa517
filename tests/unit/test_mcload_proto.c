// SPDX-License-Identifier: GPL-2.0-or-later
/* SOURCES: workloads/memcached/mcload_proto.c workloads/memcached/mcload_keys.c collectors/common/rng.c collectors/common/num.c */
/* LIBS: -lm */
#include "../../workloads/memcached/mcload_proto.h"
#include "tap.h"

static const struct {
	const char *proto, *bytes;
	enum reply_kind kind;
	size_t len;
	const char *value;
} t[] = {
	{ "text", "VALUE k 0 3\r\nabc\r\nEND\r\n", REPLY_HIT, 23, "abc" },
	{ "text", "VALUE k 0 3\r\nabc\r\nEND\r\nSTORED\r\n", REPLY_HIT, 23, "abc" },
	{ "text", "VALUE k 0 2\r\n\r\n\r\nEND\r\n", REPLY_HIT, 22, "\r\n" },
	{ "text", "VALUE k 0 0\r\n\r\nEND\r\n", REPLY_HIT, 20, "" },
	{ "text", "END\r\n", REPLY_MISS, 5, NULL },
	{ "text", "STORED\r\nEND\r\n", REPLY_STORED, 8, NULL },
	{ "text", "NOT_STORED\r\n", REPLY_REFUSED, 12, NULL },
	{ "text", "SERVER_ERROR out of memory storing object\r\n", REPLY_REFUSED, 43, NULL },
	{ "text", "ERROR\r\n", REPLY_BAD, 0, NULL },
	{ "text", "CLIENT_ERROR bad data chunk\r\n", REPLY_BAD, 0, NULL },
	{ "text", "HD\r\n", REPLY_BAD, 0, NULL },
	{ "text", "END\n", REPLY_BAD, 0, NULL },
	{ "text", "\n", REPLY_BAD, 0, NULL },
	{ "text", "VALUE k 0 -1\r\n", REPLY_BAD, 0, NULL },
	{ "text", "VALUE k 0 99999999999999999999\r\n", REPLY_BAD, 0, NULL },
	{ "text", "VALUE k 0 16385\r\n", REPLY_BAD, 0, NULL },
	{ "text", "VALUE \r\n", REPLY_BAD, 0, NULL },
	{ "text", "VALUE k 0 3\r\nabcd\r\nEND\r\n", REPLY_BAD, 0, NULL },
	{ "meta", "VA 3\r\nabc\r\n", REPLY_HIT, 11, "abc" },
	{ "meta", "VA 0\r\n\r\nEN\r\n", REPLY_HIT, 8, "" },
	{ "meta", "EN\r\n", REPLY_MISS, 4, NULL },
	{ "meta", "HD\r\n", REPLY_STORED, 4, NULL },
	{ "meta", "NS\r\n", REPLY_REFUSED, 4, NULL },
	{ "meta", "VA x\r\n", REPLY_BAD, 0, NULL },
	{ "meta", "END\r\n", REPLY_BAD, 0, NULL },
};

static void test_replies(void)
{
	struct reply r;
	size_t i, cut;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		const struct proto *p = proto__find(t[i].proto);
		unsigned int early = 0;

		memset(&r, 0, sizeof(r));
		p->parse(t[i].bytes, strlen(t[i].bytes), &r);
		is_u64(r.kind, t[i].kind, "%s reply %zu", t[i].proto, i);
		if (t[i].kind == REPLY_BAD)
			continue;
		is_u64(r.len, t[i].len, "its length");
		if (t[i].value)
			ok(r.value_len == strlen(t[i].value) &&
			   !memcmp(r.value, t[i].value, r.value_len), "its value");
		/* However the bytes come in, nothing is decided too early. */
		for (cut = 0; cut < t[i].len; cut++) {
			p->parse(t[i].bytes, cut, &r);
			early += r.kind != REPLY_MORE;
		}
		is_u64(early, 0, "cut short");
	}
}

static void test_endless_line(void)
{
	char buf[1024];
	struct reply r;

	memset(buf, 'x', sizeof(buf));
	proto__find("text")->parse(buf, 100, &r);
	is_u64(r.kind, REPLY_MORE, "a line may still end");
	proto__find("text")->parse(buf, sizeof(buf), &r);
	is_u64(r.kind, REPLY_BAD, "but not go on for ever");
}

static void test_requests(void)
{
	struct item item = { .key = "key", .key_len = 3, .value_len = 4, .stamp = "abcdef" };
	const struct proto *text = proto__find("text"), *meta = proto__find("meta");
	char buf[64];
	size_t n;

#define sent(call, want)						\
	do {								\
		n = (call);						\
		buf[n] = '\0';						\
		is_str(buf, want, "%s", #call);				\
	} while (0)
	sent(proto__get(text, &item, buf, sizeof(buf)), "get key\r\n");
	sent(proto__get(meta, &item, buf, sizeof(buf)), "mg key v\r\n");
	sent(proto__set(text, &item, false, buf, sizeof(buf)), "set key 0 0 4\r\nabcd\r\n");
	sent(proto__set(text, &item, true, buf, sizeof(buf)), "set key 0 0 4 noreply\r\nabcd\r\n");
	sent(proto__set(meta, &item, false, buf, sizeof(buf)), "ms key 4\r\nabcd\r\n");
	sent(proto__set(meta, &item, true, buf, sizeof(buf)), "ms key 4 q\r\nabcd\r\n");
	is_u64(proto__get(text, &item, buf, 9), 0, "no room for a get");
	is_u64(proto__set(text, &item, false, buf, 20), 0, "no room for a set");
	is_u64(proto__set(text, &item, false, buf, 21), 21, "just enough");
	ok(!proto__find("binary") && !proto__find(""), "unknown protocols");
}

int main(void)
{
	test_replies();
	test_endless_line();
	test_requests();
	return tap__done();
}
