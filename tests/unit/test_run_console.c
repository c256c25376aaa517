// SPDX-License-Identifier: GPL-2.0-or-later
/* SOURCES: collectors/run/vm/console.c collectors/run/record/lines.c */
/* Golden cases: real kernel text, and what only looks like it. */
#include "tap.h"
#include "run/vm/console.h"

static const struct {
	enum verdict want;
	const char *line;
} cases[] = {
	{ VERDICT_PANIC, "[    0.467] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000200" },
	{ VERDICT_PANIC, "[    1.2] Kernel panic - not syncing: System is deadlocked on memory" },
	{ VERDICT_SPLAT, "[   12.1] WARNING: CPU: 0 PID: 31 at mm/page_alloc.c:4555 __alloc_pages_noprof+0x1/0x2" },
	{ VERDICT_SPLAT, "[   12.1] ------------[ cut here ]------------ WARNING: CPU: 1" },
	{ VERDICT_SPLAT, "[    3.0] BUG: Bad page state in process wave  pfn:0a7e9" },
	{ VERDICT_SPLAT, "[    3.0] BUG: kernel NULL pointer dereference, address: 0000000000000008" },
	{ VERDICT_SPLAT, "[    3.0] kernel BUG at mm/page_reporting.c:300!" },
	{ VERDICT_SPLAT, "[    3.0] Oops: Oops: 0000 [#1] SMP NOPTI" },
	{ VERDICT_SPLAT, "[    3.0] Oops: general protection fault, probably for non-canonical address" },
	{ VERDICT_SPLAT, "[    3.0] BUG: KASAN: slab-use-after-free in page_reporting_drain+0x12/0x80" },
	{ VERDICT_SPLAT, "[    9.0] WARNING: possible circular locking dependency detected" },
	{ VERDICT_SPLAT, "[    9.0] WARNING: possible recursive locking detected" },
	{ VERDICT_SPLAT, "[    9.0] WARNING: suspicious RCU usage" },
	{ VERDICT_SPLAT, "[    9.0] BUG: sleeping function called from invalid context at mm/x.c:1" },
	{ VERDICT_SPLAT, "[  245.0] INFO: task kworker/0:1:9 blocked for more than 120 seconds." },
	{ VERDICT_SPLAT, "[   60.0] rcu: INFO: rcu_sched self-detected stall on CPU" },
	{ VERDICT_SPLAT, "[   60.0] rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:" },
	{ VERDICT_SPLAT, "[   60.0] watchdog: BUG: soft lockup - CPU#0 stuck for 26s! [kworker/0:1:9]" },
	{ VERDICT_SPLAT, "[    5.0] list_add corruption. prev->next should be next" },
	{ VERDICT_SPLAT, "[    5.0] refcount_t: underflow; use-after-free." },
	{ VERDICT_SPLAT, "[    5.0] UBSAN: shift-out-of-bounds in mm/page_reporting.c:1:2" },

	/* Results, not failures. */
	{ VERDICT_NONE, "[   30.1] wave invoked oom-killer: gfp_mask=0x140dca(GFP_HIGHUSER_MOVABLE|__GFP_COMP), order=0, oom_score_adj=0" },
	{ VERDICT_NONE, "[   30.1] Out of memory: Killed process 71 (wave) total-vm:421336kB, anon-rss:419328kB" },
	{ VERDICT_NONE, "[   30.1] Call Trace:" },
	{ VERDICT_NONE, "[   30.1]  dump_stack_lvl+0x4d/0x70" },
	{ VERDICT_NONE, "[   30.1]  oom_kill_process.cold+0xa/0xbe" },
	{ VERDICT_NONE, "[   30.2] kworker/0:2: page allocation failure: order:4, mode:0x40c20(GFP_ATOMIC|__GFP_COMP)" },
	{ VERDICT_NONE, "[   30.2] oom_reaper: reaped process 71 (wave), now anon-rss:0kB" },
	{ VERDICT_NONE, "[   30.1] Tasks state (memory values in pages):" },

	/* Look like it. */
	{ VERDICT_NONE, "[    4.0] traps: toy[77] general protection fault ip:401136 sp:7ffe error:0" },
	{ VERDICT_NONE, "[    0.1] WARNING: See https://kernel.org/doc/html/latest/admin-guide/hw-vuln/srso.html" },
	{ VERDICT_NONE, "[    0.1] Spectre V2 : WARNING: Unprivileged eBPF is enabled" },
	{ VERDICT_NONE, "[    0.0] Kernel command line: console=ttyS0 panic=-1 oops=panic" },
	{ VERDICT_NONE, "[    0.2] PCI: if necessary, use \"pci=nocrs\" and report a bug" },
	{ VERDICT_NONE, "guest-init: payload of /dev/pmem1" },
	{ VERDICT_NONE, "" },
};

int main(void)
{
	struct console c;
	char big[10000];
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		is_u64(console__judge(cases[i].line), cases[i].want, "%.60s", cases[i].line);

	/* In pieces, with a splat first and a panic after. */
	ok(!console__init(&c), "init");
	console__feed(&c, "[ 1.0] Linux ver", 16);
	console__feed(&c, "sion 6.12\n[ 2.0] BUG: b", 23);
	ok(c.verdict == VERDICT_NONE, "an unfinished line is not judged");
	console__feed(&c, "ad\x1b[31m\n[ 2.1] Kernel panic - not syncing: x\n", 46);
	ok(c.has_kernel, "the kernel has spoken");
	ok(c.verdict == VERDICT_PANIC, "a panic outranks a splat");
	is_str(c.text, "[ 2.0] BUG: bad [31m", "but the first cause is told, printable");
	console__free(&c);

	/* A line without end is cut, and its beginning is judged. */
	memset(big, 'x', sizeof(big));
	memcpy(big, "BUG: ", 5);
	ok(!console__init(&c), "init");
	console__feed(&c, big, sizeof(big));
	ok(c.verdict == VERDICT_SPLAT, "a line too long is judged by its beginning");
	console__free(&c);
	return tap__done();
}
