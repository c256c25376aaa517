// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "run/record/lines.h"

int lines__init(struct lines *l, size_t limit)
{
	memset(l, 0, sizeof(*l));
	l->limit = limit;
	l->buf = malloc(limit + 1);
	return l->buf ? 0 : -ENOMEM;
}

void lines__free(struct lines *l)
{
	free(l->buf);
	memset(l, 0, sizeof(*l));
}

static void hand_over(struct lines *l, bool too_long, line_fn fn, void *ctx)
{
	l->buf[l->len] = '\0';
	fn(ctx, l->buf, l->len, l->start, too_long);
	l->len = 0;
}

void lines__feed(struct lines *l, const char *data, size_t len, line_fn fn, void *ctx)
{
	while (len) {
		const char *end = memchr(data, '\n', len);
		size_t n = end ? (size_t)(end - data) : len;
		size_t room = l->limit - l->len;

		if (!l->skipping) {
			size_t take = n < room ? n : room;

			if (!l->len)
				l->start = l->fed;
			memcpy(l->buf + l->len, data, take);
			l->len += take;
			if (take < n) {
				hand_over(l, true, fn, ctx);
				l->skipping = true;
			}
		}
		if (end) {
			if (!l->skipping)
				hand_over(l, false, fn, ctx);
			l->skipping = false;
			n++;
		}
		l->fed += n;
		data += n;
		len -= n;
	}
}

bool lines__partial(const struct lines *l)
{
	return l->len || l->skipping;
}
