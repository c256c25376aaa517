// SPDX-License-Identifier: GPL-2.0-only
/*
 * allocfail: the allocator out of luck. Failed allocations, direct reclaim
 * and direct compaction with their duration, kswapd woken, OOM kills; each
 * with the state of every populated zone at that instant.
 */
#include "vmlinux.h"
#include "hint_rec.h"
#define NR_HISTS NR_ALLOCFAIL_HISTS
#include "hint_probe.bpf.h"
#include "hint_shortage.bpf.h"

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, ALLOC_EVENTS_BYTES);
} alloc_events SEC(".maps");

/* Kills have a ring of their own: no flood of stalls and failures can crowd them out. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, KILL_EVENTS_BYTES);
} kill_events SEC(".maps");

/* A length the verifier sees bounded; it is never more than max. */
static __always_inline __u64 len__bounded(__u64 len, __u64 max)
{
	barrier_var(len);
	return len > max ? max : len;
}

/* ---- failed allocations ---- */

/*
 * Not static, as no state in these objects is: clang 14 splits a static
 * structure into its fields and leaves BTF that the kernel refuses.
 */
struct rate_now {
	__u64 second;
	__u32 nr;
} rate = {};

/* Two CPUs at the turn of a second may let a few more pass; each is counted as what it was. */
static __always_inline bool rate__pass(__u64 now)
{
	__u64 second = now / 1000000000;

	if (rate.second != second) {
		rate.second = second;
		rate.nr = 0;
	}
	return __sync_fetch_and_add(&rate.nr, 1) < ALLOC_FAIL_PER_S;
}

/*
 * Threads whose page was found and then given back, because the charge to
 * their cgroup failed: mm_page_alloc shows them a null page, too.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, __u8);
} charge_failed SEC(".maps");

/* Charges are seen here, so one that failed is too. */
__u8 charges_seen = 0;

SEC("fexit/__memcg_kmem_charge_page")
int BPF_PROG(af_charge, struct page *page, gfp_t gfp, int order, int err)
{
	__u32 tid = bpf_get_current_pid_tgid();
	__u8 failed = 1;

	charges_seen = 1;
	if (err)
		bpf_map_update_elem(&charge_failed, &tid, &failed, BPF_ANY);
	return 0;
}

/* Was it the charge? HINT_UNKNOWN when it may have been and charges are not seen. */
static __always_inline __u32 alloc__charge_failed(__u32 gfp, bool in_interrupt)
{
	__u32 tid = bpf_get_current_pid_tgid();

	if (!(gfp & GFP_ACCOUNT_BIT) || in_interrupt)
		return 0;
	if (!bpf_map_delete_elem(&charge_failed, &tid))
		return 1;
	return charges_seen ? 0 : HINT_UNKNOWN;
}

/*
 * A null page is a failure. raw_tp and not tp_btf: the verifier takes
 * arguments of tp_btf to be never null and would drop all that follows
 * (before 838a10bd2ebf, "bpf: Augment raw_tp arguments with PTR_MAYBE_NULL").
 */
SEC("raw_tp/mm_page_alloc")
int af_alloc(struct bpf_raw_tracepoint_args *ctx)
{
	__u32 gfp = ctx->args[2], order = ctx->args[1];
	struct alloc_fail_rec *rec;
	struct probe_stat *stat;
	struct mem_request r;
	__u64 now;

	if (ctx->args[0])
		return 0;
	stat = probe__seen(PROBE_ALLOC_FAIL);
	if (!stat)
		return 0;
	now = bpf_ktime_get_ns();
	if (!rate__pass(now)) {
		probe__dropped(stat, DROP_RATE);
		return 0;
	}
	rec = bpf_ringbuf_reserve(&alloc_events, sizeof(*rec), 0);
	if (!rec) {
		probe__dropped(stat, DROP_RING_FULL);
		return 0;
	}
	__builtin_memset(rec, 0, offsetof(struct alloc_fail_rec, s.zones));
	shortage__fill(&rec->s, gfp, order, gfp__highest_zoneidx(gfp));
	request__recall(&r, gfp, order, context__interrupts());
	shortage__ask(&rec->s, &r, true);
	rec->memcg = alloc__charge_failed(gfp, rec->s.in_interrupt);
	if (rec->memcg == 1)
		rec->s.constraint = HINT_MEMCG;
	rec__init(&rec->hdr, REC_ALLOC_FAIL, SHORTAGE_REC_LEN(*rec, rec->s.nr_zones), now);
	bpf_ringbuf_submit(rec, 0);
	probe__recorded(stat);
	return 0;
}

/* ---- stalls: direct reclaim and direct compaction ---- */

enum stall_kind { STALL_RECLAIM, STALL_COMPACTION };

/* Both kinds have one layout; the type says which it is. */
typedef struct direct_reclaim_rec stall_rec;

/* The record is made at the begin and waits for its end. Key: kind and thread. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 512);
	__type(key, __u64);
	__type(value, stall_rec);
} stalls SEC(".maps");

const stall_rec no_rec = {};

static __always_inline __u64 stall__key(enum stall_kind kind)
{
	return (__u64)kind << 32 | (__u32)bpf_get_current_pid_tgid();
}

static __always_inline void stall__begin(enum stall_kind kind, __u32 probe, __u16 type,
					 __u32 gfp, __u16 order)
{
	__u64 key = stall__key(kind);
	struct probe_stat *stat;
	stall_rec *rec = NULL;
	struct mem_request r;

	if (!bpf_map_update_elem(&stalls, &key, &no_rec, BPF_ANY))
		rec = bpf_map_lookup_elem(&stalls, &key);
	if (!rec) {
		stat = probe__seen(probe);
		if (stat)
			probe__dropped(stat, DROP_NO_SLOT);
		return;
	}
	shortage__fill(&rec->s, gfp, order, gfp__highest_zoneidx(gfp));
	request__recall(&r, gfp, order, false);
	/* It is the stall itself that sets PF_MEMALLOC: who has it before does not stall. */
	shortage__ask(&rec->s, &r, false);
	rec__init(&rec->hdr, type, 0, bpf_ktime_get_ns());
}

/* Without a begin it was counted when the table was full, or began before we attached. */
static __always_inline void stall__end(enum stall_kind kind, __u32 probe, __u32 hist, bool keep,
				       __u64 nr_reclaimed, int result)
{
	__u64 key = stall__key(kind);
	stall_rec *rec = bpf_map_lookup_elem(&stalls, &key);
	struct probe_stat *stat;
	__u64 len;

	if (!rec)
		return;
	if (!keep)
		goto out;
	stat = probe__seen(probe);
	if (!stat)
		goto out;
	rec->duration_ns = clock__since(stat, bpf_ktime_get_ns(), rec->hdr.t_ns);
	rec->nr_reclaimed_pages = nr_reclaimed;
	rec->result = result;
	hist__record(hist, rec->duration_ns);
	len = len__bounded(SHORTAGE_REC_LEN(*rec, rec->s.nr_zones), sizeof(*rec));
	rec->hdr.len = len;
	if (bpf_ringbuf_output(&alloc_events, rec, len, 0))
		probe__dropped(stat, DROP_RING_FULL);
	else
		probe__recorded(stat);
out:
	bpf_map_delete_elem(&stalls, &key);
}

SEC("fentry/try_to_free_pages")
int BPF_PROG(af_reclaim_ask, struct zonelist *zonelist, int order, gfp_t gfp, nodemask_t *nodemask)
{
	request__remember(zonelist, nodemask, gfp, order);
	return 0;
}

SEC("tp_btf/mm_vmscan_direct_reclaim_begin")
int BPF_PROG(af_reclaim_beg, int order, gfp_t gfp)
{
	stall__begin(STALL_RECLAIM, PROBE_DIRECT_RECLAIM, REC_DIRECT_RECLAIM, gfp, order);
	return 0;
}

SEC("tp_btf/mm_vmscan_direct_reclaim_end")
int BPF_PROG(af_reclaim_end, unsigned long nr_reclaimed)
{
	stall__end(STALL_RECLAIM, PROBE_DIRECT_RECLAIM, HIST_DIRECT_RECLAIM, true,
		   nr_reclaimed, 0);
	return 0;
}

SEC("fentry/try_to_compact_pages")
int BPF_PROG(af_compact_beg, gfp_t gfp, unsigned int order, unsigned int alloc_flags,
	     struct alloc_context *ac)
{
	request__remember(BPF_CORE_READ(ac, zonelist), BPF_CORE_READ(ac, nodemask), gfp, order);
	stall__begin(STALL_COMPACTION, PROBE_COMPACTION_STALL, REC_COMPACTION_STALL, gfp, order);
	return 0;
}

/* As compact_stall in /proc/vmstat: an attempt that was skipped is not a stall. */
SEC("fexit/try_to_compact_pages")
int BPF_PROG(af_compact_end, gfp_t gfp, unsigned int order, unsigned int alloc_flags, void *ac,
	     int prio, void *capture, int result)
{
	stall__end(STALL_COMPACTION, PROBE_COMPACTION_STALL, HIST_COMPACTION_STALL,
		   result != bpf_core_enum_value(enum compact_result, COMPACT_SKIPPED),
		   0, result);
	return 0;
}

/* ---- kswapd ---- */

SEC("tp_btf/mm_vmscan_wakeup_kswapd")
int BPF_PROG(af_kswapd, int nid, int zid, int order, gfp_t gfp)
{
	struct probe_stat *stat = probe__seen(PROBE_KSWAPD_WAKE);
	struct kswapd_wake_rec *rec;
	struct mem_request r;

	if (!stat)
		return 0;
	rec = bpf_ringbuf_reserve(&alloc_events, sizeof(*rec), 0);
	if (!rec) {
		probe__dropped(stat, DROP_RING_FULL);
		return 0;
	}
	__builtin_memset(rec, 0, offsetof(struct kswapd_wake_rec, s.zones));
	shortage__fill(&rec->s, gfp, order, zid);
	request__recall(&r, gfp, order, context__interrupts());
	shortage__ask(&rec->s, &r, true);
	rec__init(&rec->hdr, REC_KSWAPD_WAKE, SHORTAGE_REC_LEN(*rec, rec->s.nr_zones),
		  bpf_ktime_get_ns());
	rec->node = nid;
	bpf_ringbuf_submit(rec, 0);
	probe__recorded(stat);
	return 0;
}

/* ---- OOM kills ---- */

/*
 * Everything from the entry of out_of_memory() to its return is under
 * oom_lock: one at a time. The zones are sampled at the entry, when the last
 * attempt has just failed, not when the victim has been chosen.
 */
struct oom_kill_rec oom = {};
struct oom_now {
	__u64 task;		/* the one that asked; 0 when nobody is in out_of_memory() */
	__u64 oc;
	__u64 chosen;
	__u8 task_exiting;	/* before anyone was killed */
	__u8 chosen_exiting;
	struct mem_request request;
} oom_now = {};

/* Until 6.9 the only argument was a pid. */
typedef void (*btf_trace_mark_victim___task)(void *, struct task_struct *, uid_t);
#define HAVE_VICTIM_TASK bpf_core_type_exists(btf_trace_mark_victim___task)

/* Until f1a7941243c1 ("mm: convert mm's rss stats into percpu_counter"), 6.2. */
struct mm_rss_stat___atomic {
	atomic_long_t count[4];
} __attribute__((preserve_access_index));

struct mm_struct___atomic {
	struct mm_rss_stat___atomic rss_stat;
} __attribute__((preserve_access_index));

/* enum of mm's counters: file, anonymous, swap entries, shared memory. */
static __always_inline __u64 mm__pages(struct mm_struct *mm, int which)
{
	__s64 n;

	if (bpf_core_type_exists(struct mm_rss_stat___atomic))
		n = BPF_CORE_READ((struct mm_struct___atomic *)mm, rss_stat.count[which].counter);
	else
		n = BPF_CORE_READ(mm, rss_stat[which].count);
	return n > 0 ? n : 0;
}

/* Resident as get_mm_rss() has it; all 0 of a task that has let its memory go. */
static __always_inline void oom__victim_memory(struct mm_struct *mm)
{
	oom.victim_file_pages = mm ? mm__pages(mm, 0) : 0;
	oom.victim_anon_pages = mm ? mm__pages(mm, 1) : 0;
	oom.victim_swap_pages = mm ? mm__pages(mm, 2) : 0;
	oom.victim_shmem_pages = mm ? mm__pages(mm, 3) : 0;
	oom.victim_pgtable_bytes = mm ? BPF_CORE_READ(mm, pgtables_bytes.counter) : 0;
	oom.victim_rss_pages = oom.victim_file_pages + oom.victim_anon_pages +
			       oom.victim_shmem_pages;
}

/* A task that is on its way out gets its memory reserves, and nobody is killed. */
static __always_inline bool task__exiting(struct task_struct *task)
{
	const int SIGNAL_GROUP_EXIT_FLAG = 0x4, PF_EXITING_FLAG = 0x4;

	if (BPF_CORE_READ(task, signal, flags) & SIGNAL_GROUP_EXIT_FLAG)
		return true;
	return (BPF_CORE_READ(task, flags) & PF_EXITING_FLAG) &&
	       BPF_CORE_READ(task, signal, nr_threads) == 1;
}

/* The last attempt has just failed: oc is what it was. NULL when the entry was missed. */
static __always_inline void oom__request(struct oom_control *oc)
{
	__u32 gfp = 0;
	int order = 0;

	if (oc) {
		gfp = BPF_CORE_READ(oc, gfp_mask);
		order = BPF_CORE_READ(oc, order);
	}
	/* is_sysrq_oom(): order -1. */
	oom.sysrq = order == -1;
	if (oom.sysrq)
		order = 0;
	shortage__fill(&oom.s, gfp, order, gfp__highest_zoneidx(gfp));
	if (oc)
		request__of(&oom_now.request, BPF_CORE_READ(oc, zonelist),
			    BPF_CORE_READ(oc, nodemask), gfp, order);
	else
		__builtin_memset(&oom_now.request, 0, sizeof(oom_now.request));
	shortage__ask(&oom.s, &oom_now.request, true);
	if (!oc)
		oom.s.constraint = HINT_UNKNOWN;
}

/* What the kernel has found out since. */
static __always_inline void oom__bounds(struct oom_control *oc)
{
	__u8 constraint = BPF_CORE_READ(oc, constraint);

	oom.memcg = BPF_CORE_READ(oc, memcg) != NULL;
	if (constraint != HINT_NONE) {
		oom.s.constraint = constraint;
	} else if (oom.s.constraint == HINT_UNKNOWN) {
		oom.s.constraint = HINT_NONE;
		oom.s.allowed_nodes = nodes__with_memory();
	}
}

static __always_inline void oom__killed(struct task_struct *victim)
{
	struct probe_stat *stat;
	__u64 len;

	if (!victim)
		return;
	if (oom_now.task != bpf_get_current_task()) {
		oom.memcg = 0;
		oom__request(NULL);
	} else {
		if (((__u64)victim == oom_now.task && oom_now.task_exiting) ||
		    ((__u64)victim == oom_now.chosen && oom_now.chosen_exiting))
			return;
		oom__bounds((void *)oom_now.oc);
	}
	stat = probe__seen(PROBE_OOM_KILL);
	if (!stat)
		return;
	oom.victim_pid = BPF_CORE_READ(victim, tgid);
	oom.victim_oom_score_adj = BPF_CORE_READ(victim, signal, oom_score_adj);
	oom__victim_memory(BPF_CORE_READ(victim, mm));
	oom.victim_start_ns = BPF_CORE_READ(victim, start_time);
	__builtin_memset(oom.victim_cgroup, 0, sizeof(oom.victim_cgroup));
	if (bpf_core_field_exists(victim->cgroups))
		bpf_probe_read_kernel_str(oom.victim_cgroup, sizeof(oom.victim_cgroup),
					  BPF_CORE_READ(victim, cgroups, dfl_cgrp, kn, name));
	oom.victim_uid = BPF_CORE_READ(victim, cred, uid.val);
	BPF_CORE_READ_STR_INTO(&oom.victim_comm, victim, comm);
	len = len__bounded(SHORTAGE_REC_LEN(oom, oom.s.nr_zones), sizeof(oom));
	rec__init(&oom.hdr, REC_OOM_KILL, len, bpf_ktime_get_ns());
	oom.culprit_pid = oom_now.task == bpf_get_current_task() ? oom.hdr.tgid : 0;
	__builtin_memset(oom.culprit_comm, 0, sizeof(oom.culprit_comm));
	if (oom.culprit_pid)
		__builtin_memcpy(oom.culprit_comm, oom.hdr.comm, sizeof(oom.culprit_comm));
	if (bpf_ringbuf_output(&kill_events, &oom, len, 0))
		probe__dropped(stat, DROP_RING_FULL);
	else
		probe__recorded(stat);
}

SEC("fentry/out_of_memory")
int BPF_PROG(af_oom_begin, struct oom_control *oc)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	oom_now.oc = (__u64)oc;
	oom_now.chosen = 0;
	oom_now.chosen_exiting = 0;
	oom_now.task_exiting = task__exiting(task);
	oom_now.task = (__u64)task;
	oom__request(oc);
	return 0;
}

SEC("fexit/out_of_memory")
int BPF_PROG(af_oom_end)
{
	oom_now.task = 0;
	return 0;
}

SEC("fentry/oom_kill_process")
int BPF_PROG(af_oom_kill, struct oom_control *oc)
{
	struct task_struct *chosen = BPF_CORE_READ(oc, chosen);

	oom_now.chosen = (__u64)chosen;
	oom_now.chosen_exiting = task__exiting(chosen);
	if (!HAVE_VICTIM_TASK)
		oom__killed(chosen);
	return 0;
}

SEC("tp_btf/mark_victim")
int BPF_PROG(af_victim, struct task_struct *task)
{
	if (HAVE_VICTIM_TASK)
		oom__killed(task);
	return 0;
}
