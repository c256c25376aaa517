// SPDX-License-Identifier: GPL-2.0-or-later
/* SOURCES: tests/fuzz/fuzz_stream.c collectors/run/record/guest.c collectors/run/record/pace.c collectors/run/record/shape.c collectors/run/record/lines.c collectors/run/vm/console.c collectors/run/vm/qmp.c collectors/run/util.c collectors/common/fd.c */
/* LIBS: -ljansson -lm */
/*
 * The fuzzer's entry over a bounded number of inputs: good lines, broken by a
 * seeded random hand. A violation aborts, so reaching the end is the test.
 */
#include <stdint.h>
#include <stdlib.h>

#include "tap.h"

#define ROUNDS	20000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const seeds[] = {
	"{\"type\":\"hello\",\"release\":\"6.12\",\"cmdline\":\"x\",\"mem_total_kib\":4,"
	"\"min_free_kib\":1,\"features\":\"0x22\",\"order\":9,\"delay_ms\":2000,\"capacity\":32,"
	"\"buffer_wanted_pages\":0,\"buffer_held_pages\":0,\"zones\":[{\"node\":0,\"zone\":\"DMA\","
	"\"managed_pages\":1,\"min_pages\":1,\"low_pages\":1,\"high_pages\":1}],\"swap_kib\":0}\n",
	"{\"type\":\"sync\",\"t_ns\":5,\"tsc\":7}\n{\"type\":\"bye\",\"status\":0}\n",
	"{\"type\":\"event\",\"t_ns\":5,\"kind\":\"batch\",\"start_ns\":1,\"sent_ns\":1,\"ack_ns\":2,\"done_ns\":2,"
	"\"nr_chunks\":1,\"nr_pages\":512,\"err\":0}\n",
	"{\"type\":\"hist\",\"t_ns\":5,\"name\":\"x\",\"unit\":\"ns\",\"sub_bits\":5,\"n\":3,"
	"\"sum\":9,\"max\":4,\"counts\":[[1,1],[4,2]]}\n",
	"{\"type\":\"loss\",\"t_ns\":5,\"probe\":\"oom\",\"seen\":3,\"recorded\":1,"
	"\"dropped\":{\"ring_full\":2}}\n",
	"{\"type\":\"sample\",\"t_ns\":5,\"src\":\"guest\",\"zones\":[{\"node\":0,\"zone\":1,"
	"\"free_pages\":1,\"held_pages\":0,\"uncompensated_pages\":0,"
	"\"held_by_order\":[[9,1]],\"nr_free_by_order\":[1,2]}],\"uncompensated_page_ns\":0,\"held_page_ns\":0,\"vmstat\":{}}\n",
	"[    3.0] BUG: Bad page state\n[ 4.0] Kernel panic - not syncing: x\n",
	"{\"QMP\":{\"version\":{\"qemu\":{\"major\":10,\"minor\":0,\"micro\":1}}}}\n"
	"{\"return\":{}}\n{\"event\":\"SHUTDOWN\",\"data\":{\"reason\":\"guest-reset\"}}\n"
	"{\"error\":{\"desc\":\"no\"}}\n",
};

static uint64_t state = 88172645463325252ULL;

static uint32_t pick(uint32_t below)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)(state >> 32) % below;
}

static size_t make_input(uint8_t *buf, size_t size)
{
	size_t n = 2, i, nr = 1 + pick(6);

	buf[0] = (uint8_t)pick(256);
	buf[1] = (uint8_t)pick(256);
	for (i = 0; i < nr; i++) {
		const char *seed = seeds[pick(sizeof(seeds) / sizeof(seeds[0]))];
		size_t len = strlen(seed);

		if (n + len > size)
			break;
		memcpy(buf + n, seed, len);
		n += len;
	}
	for (i = pick(8); i; i--) {
		size_t at = 2 + pick((uint32_t)n - 2);

		switch (pick(4)) {
		case 0:		/* a byte becomes another */
			buf[at] = (uint8_t)pick(256);
			break;
		case 1:		/* one that matters in JSON */
			buf[at] = (uint8_t)"{}[]\",:\\0-9\n"[pick(12)];
			break;
		case 2:		/* the end is cut off */
			n = at > 3 ? at : n;
			break;
		default:	/* a part is repeated */
			if (n + 64 < size && at + 64 < n) {
				memmove(buf + at + 64, buf + at, n - at);
				n += 64;
			}
		}
	}
	return n;
}

int main(void)
{
	static uint8_t buf[8192];
	int i;

	for (i = 0; i < ROUNDS; i++)
		LLVMFuzzerTestOneInput(buf, make_input(buf, sizeof(buf)));
	ok(i == ROUNDS, "%d inputs, none crashes a reader or is kept wrongly", ROUNDS);
	return tap__done();
}
