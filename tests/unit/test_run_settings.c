// SPDX-License-Identifier: GPL-2.0-or-later
/* SOURCES: collectors/run/plan/settings.c collectors/common/usage.c collectors/run/plan/cell.c collectors/run/plan/hash.c collectors/run/util.c collectors/common/num.c collectors/common/fd.c */
/* LIBS: -ljansson -lnettle */
#include "tap.h"
#include "run/plan/settings.h"
#include "run/util.h"

int main(void)
{
	static const struct {
		const char *name, *value;
		int good;
	} cases[] = {
		{ "mem", "512M", 1 }, { "mem", "513M", 0 }, { "mem", "5Q", 0 },
		{ "mem", "-512M", 0 }, { "mem", "", 0 }, { "mem", "1M", 0 },
		{ "mem", "65G", 0 }, { "mem", "512M ", 0 },
		{ "buffer", "64M", 1 }, { "buffer", "0", 0 },
		{ "ack-delay", "0", 1 }, { "ack-delay", "200ms", 1 },
		{ "ack-delay", "200ms+1ms", 1 }, { "ack-delay", "0+1ms", 1 },
		{ "ack-delay", "200", 0 }, { "ack-delay", "200ms+", 0 },
		{ "ack-delay", "+1ms", 0 }, { "ack-delay", "601s", 0 },
		{ "ack-delay", "1ms+1ms+1ms", 0 },
		{ "clock", "virtual", 1 }, { "clock", "virtual|real", 0 },
		{ "clock", "", 0 }, { "clock", "virtua", 0 },
		{ "accel", "kvm", 1 }, { "accel", "hvf", 0 },
		{ "seed", "0", 1 }, { "seed", "4294967296", 0 }, { "seed", "1x", 0 },
		{ "capacity", "16", 1 }, { "capacity", "0", 0 }, { "capacity", "1025", 0 },
		{ "repeats", "0", 0 }, { "repeats", "3", 1 },
		{ "quick", "1", 1 }, { "quick", "yes", 0 },
		{ "workload", "", 0 }, { "nonsense", "1", 0 },
	};
	struct settings s;
	size_t i;

	ok(!settings__init(&s), "init");
	for (i = 0; i < ARRAY_SIZE(cases); i++)
		is_u64(!settings__set(&s, cases[i].name, cases[i].value, "test"), cases[i].good,
		       "%s=%s is %s", cases[i].name, cases[i].value,
		       cases[i].good ? "taken" : "refused");

	ok(!settings__set(&s, "ack-delay", "150ms+2ms", "test"), "a delay with both parts");
	is_u64(s.ack_base_ns, 150000000, "base");
	is_u64(s.ack_per_chunk_ns, 2000000, "per chunk");
	ok(settings__set(&s, "ack-delay", "1ms+x", "test"), "a bad second part");
	is_u64(s.ack_base_ns, 150000000, "leaves the first as it was");

	ok(!settings__set(&s, "checkpoint", "10s/2s", "test"), "a checkpoint");
	is_u64(s.checkpoint_period_ns, 10000000000, "its period");
	is_u64(s.checkpoint_window_ns, 2000000000, "its window");
	ok(settings__set(&s, "checkpoint", "2s/2s", "test"), "refused: a window as long as the period");
	ok(settings__set(&s, "checkpoint", "10s", "test"), "refused: no window");
	ok(settings__set(&s, "checkpoint", "10s/", "test"), "refused: an empty window");
	ok(settings__set(&s, "checkpoint", "2h/1s", "test"), "refused: a unit there is not");
	ok(settings__set(&s, "checkpoint", "3601s/1s", "test"), "refused: more than an hour");
	is_u64(s.checkpoint_window_ns, 2000000000, "all of which leave it as it was");
	ok(!settings__set(&s, "checkpoint", "0", "test"), "none");
	is_u64(s.checkpoint_period_ns, 0, "and that is none");

	ok(!settings__set_param(&s, "rate", "400", "test"), "a parameter");
	ok(settings__set_param(&s, "Rate", "400", "test"), "refused: a capital");
	ok(settings__set_param(&s, "rate", "4'00", "test"), "refused: a quote");
	ok(settings__set_param(&s, "rate", "4\n00", "test"), "refused: a new line");

	is_u64(setting__factor("order"), FACTOR_HINTS, "order matters to arms that hint");
	is_u64(setting__factor("buffer"), FACTOR_EXTRA, "B to arms with memory beyond X");
	is_u64(setting__factor("param.rate"), FACTOR_ALL, "a parameter to all");
	is_u64(setting__factor("accel"), FACTOR_NONE, "an accelerator is no factor");
	settings__free(&s);
	return tap__done();
}
