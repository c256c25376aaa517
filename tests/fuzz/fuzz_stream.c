// SPDX-License-Identifier: GPL-2.0-or-later
/* SOURCES: collectors/run/record/guest.c collectors/run/record/pace.c collectors/run/record/shape.c collectors/run/record/lines.c collectors/run/vm/console.c collectors/run/vm/qmp.c collectors/run/util.c collectors/common/fd.c */
/* LIBS: -ljansson -lm */
/*
 * Everything a guest can send, and what a broken QEMU could: the readers must
 * neither crash nor keep what they should have refused. The first two bytes
 * of the input say who reads it and in what pieces. Build and run:
 *
 *	make fuzz FUZZ_SECONDS=60
 *
 * tests/unit/test_run_fuzz.c runs the same code over inputs of its own.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "run/vm/console.h"
#include "run/record/guest.h"
#include "run/vm/qmp.h"
#include "run/record/shape.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Every line kept is there, whole, and would pass again. */
static void check_refs(const struct guest *g, const char *data, size_t size)
{
	uint32_t i;

	for (i = 0; i < g->nr_refs; i++) {
		const struct line_ref *ref = &g->refs[i];
		char why[SHAPE_WHY_MAX];
		json_t *line;

		if (ref->offset + ref->len >= size || data[ref->offset + ref->len] != '\n' ||
		    ref->len > GUEST_LINE_MAX || memchr(data + ref->offset, '\n', ref->len) ||
		    (i && g->refs[i - 1].t_ns > ref->t_ns))
			abort();
		line = json_loadb(data + ref->offset, ref->len, JSON_REJECT_DUPLICATES, NULL);
		if (!line || shape__check(line, why, sizeof(why)) == LINE_BAD)
			abort();
		json_decref(line);
	}
}

static void feed_guest(const char *data, size_t size, size_t piece)
{
	struct guest g;
	size_t at, n;
	int64_t t;

	if (guest__init(&g))
		return;
	for (at = 0; at < size; at += n) {
		n = size - at < piece ? size - at : piece;
		guest__feed(&g, PORT_TRACE, data + at, n, 1 + at);
	}
	guest__finish(&g);
	guest__sort(&g);
	check_refs(&g, data, size);
	guest__time_of_virtual(&g, 12345, &t);
	guest__free(&g);
}

static void feed_console(const char *data, size_t size, size_t piece)
{
	struct console c;
	size_t at, n;

	if (console__init(&c))
		return;
	for (at = 0; at < size; at += n) {
		n = size - at < piece ? size - at : piece;
		console__feed(&c, data + at, n);
	}
	if ((c.verdict == VERDICT_NONE) != !c.text[0])
		abort();
	console__free(&c);
}

static void feed_qmp(const char *data, size_t size, size_t piece)
{
	int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	struct qmp q;
	size_t at, n;

	if (fd < 0)
		return;
	if (!qmp__init(&q, fd)) {
		for (at = 0; at < size; at += n) {
			n = size - at < piece ? size - at : piece;
			qmp__feed(&q, data + at, n);
			json_decref(qmp__take(&q));
		}
		qmp__free(&q);
	}
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data + 2;

	if (size < 2)
		return 0;
	switch (data[0] % 4) {
	case 0:
		feed_console(text, size - 2, data[1] + 1u);
		break;
	case 1:
		feed_qmp(text, size - 2, data[1] + 1u);
		break;
	default:
		feed_guest(text, size - 2, data[1] + 1u);
	}
	return 0;
}
