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

	{ VERDICT_SPLAT, "[   30.0] BUG: Bad page state in process kworker/0:1  pfn:1f000" },
	{ VERDICT_SPLAT, "[   30.0] BUG: Bad page map in process soak  pte:80000000 pmd:1234067" },
	{ VERDICT_SPLAT, "[   30.0] BUG: Bad rss-counter state mm:00000000a type:MM_ANONPAGES val:1" },
	{ VERDICT_SPLAT, "[   30.0] page dumped because: VM_BUG_ON_PAGE(page_ref_count(page) != 0)" },
	{ VERDICT_SPLAT, "[   30.0] page dumped because: nonzero mapcount" },
	{ VERDICT_SPLAT, "[   30.0] bad page state in the buffer" },
	{ VERDICT_SPLAT, "[   30.0] WARNING: possible irq lock inversion dependency detected" },
	{ VERDICT_SPLAT, "[   30.0] WARNING: inconsistent lock state" },
	{ VERDICT_SPLAT, "[   30.0] WARNING: held lock freed!" },
	{ VERDICT_SPLAT, "[   30.0] WARNING: bad unlock balance detected!" },
	{ VERDICT_SPLAT, "[   30.0] [ BUG: Invalid wait context ]" },
	{ VERDICT_SPLAT, "[   30.0] INFO: possible circular locking dependency detected" },
	{ VERDICT_SPLAT, "[   30.0] INFO: trying to register non-static key." },
	{ VERDICT_SPLAT, "[   30.0] DEBUG_LOCKS_WARN_ON(lock->magic != lock)" },
	{ VERDICT_SPLAT, "[   30.0] BUG: scheduling while atomic: kworker/1:2/77/0x00000002" },
	{ VERDICT_SPLAT, "[   30.0] INFO: task kworker/u4:1:30 blocked for more than 120 seconds." },
	{ VERDICT_SPLAT, "[   30.0] rcu: INFO: rcu_preempt self-detected stall on CPU" },
	{ VERDICT_SPLAT, "[   30.0] rcu: INFO: rcu_sched detected expedited stalls on CPUs/tasks: { 1-... }" },
	{ VERDICT_SPLAT, "[   30.0] watchdog: BUG: soft lockup - CPU#1 stuck for 22s! [soak:90]" },
	{ VERDICT_SPLAT, "[   30.0] NMI watchdog: Watchdog detected hard LOCKUP on cpu 1" },
	{ VERDICT_SPLAT, "[   30.0] BUG: workqueue lockup - pool cpus=0 node=0 flags=0x0 nice=0 stuck for 40s!" },
	{ VERDICT_SPLAT, "[   30.0] BUG: KASAN: use-after-free in page_reporting_process+0x1/0x2" },
	{ VERDICT_SPLAT, "[   30.0] BUG: KFENCE: memory corruption in kfree+0x1/0x2" },
	{ VERDICT_SPLAT, "[   30.0] BUG: unable to handle page fault for address: ffff888000000000" },
	{ VERDICT_SPLAT, "[   30.0] Unable to handle kernel paging request at virtual address" },
	{ VERDICT_SPLAT, "[   30.0] Oops: Oops: 0002 [#1] PREEMPT SMP KASAN NOPTI" },
	{ VERDICT_SPLAT, "[   30.0] Oops[#1]:" },
	{ VERDICT_SPLAT, "[   30.0] kernel BUG at mm/page_reporting.c:700!" },
	{ VERDICT_SPLAT, "[   30.0] list_del corruption. prev->next should be ffffea0000, but was dead000000000122" },
	{ VERDICT_SPLAT, "[   30.0] refcount_t: saturated; leaking memory." },
	{ VERDICT_SPLAT, "[   30.0] pagealloc: memory corruption" },
	{ VERDICT_SPLAT, "[   30.0] irq 11: nobody cared (try booting with the \"irqpoll\" option)" },
	{ VERDICT_PANIC, "[   30.0] Kernel panic - not syncing: Fatal exception" },

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

	/* Printed in the life of a sound guest: suspended, memory plugged and gone. */
	{ VERDICT_NONE, "[   10.0] PM: suspend entry (deep)" },
	{ VERDICT_NONE, "[   10.0] Freezing user space processes completed (elapsed 0.001 seconds)" },
	{ VERDICT_NONE, "[   10.0] PM: suspend debug: Waiting for 1 second(s)." },
	{ VERDICT_NONE, "[   10.0] Offlined Pages 32768" },
	{ VERDICT_NONE, "[   10.0] migrating pfn 28800 failed ret:1" },
	{ VERDICT_NONE, "[   10.0] page dumped because: migration failure" },
	{ VERDICT_NONE, "[   10.0] page dumped because: isolation failed" },
	{ VERDICT_NONE, "[   10.0] page dumped because: unmovable page" },
	{ VERDICT_NONE, "[   10.0] memory offlining [mem 0x20000000-0x27ffffff] failed due to unmovable page" },
	{ VERDICT_NONE, "[   10.0] virtio_mem virtio4: requested size: 0x10000000" },
	{ VERDICT_NONE, "[   10.0] Hinting buffer of 4294967295 pages is more than half of memory, using 84000" },
	{ VERDICT_NONE, "[   10.0] HugeTLB: registered 1.00 GiB page size, pre-allocated 0 pages" },
	{ VERDICT_NONE, "[   10.0] alloc_contig_range: [100000, 140000) PFNs busy" },
	{ VERDICT_NONE, "[   10.0] rcu: Hierarchical RCU implementation." },
	{ VERDICT_NONE, "[   10.0] rcu: RCU restricting CPUs from NR_CPUS=64 to nr_cpu_ids=2." },

	/* The console is also the workload's. */
	{ VERDICT_NONE, "Kernel panic - not syncing: says a workload" },
	{ VERDICT_NONE, "[INFO] WARNING: see [the manual] of x" },
	{ VERDICT_SPLAT, "half a line[    7.25] BUG: Bad page state in process x" },
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
	memcpy(big, "[    1.5] BUG: ", 15);
	ok(!console__init(&c), "init");
	console__feed(&c, big, sizeof(big));
	ok(c.verdict == VERDICT_SPLAT, "a line too long is judged by its beginning");
	console__free(&c);
	return tap__done();
}
