/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who asked, and which nodes the request may use: by its zonelist, the policy's
 * nodemask and the task's cpuset, as the allocator's slow path takes them.
 *
 * Tracepoints of a failed or slow request do not carry its nodemask. It is
 * remembered where the allocator hands it to direct reclaim or compaction,
 * through which a request that may wait passes before it fails. Of one that
 * was not seen there, on a machine with several nodes, it may be unknown: then
 * it is said to be.
 */
#ifndef HINT_REQUEST_BPF_H
#define HINT_REQUEST_BPF_H

#include "hint_walk.bpf.h"

/* Macros of the kernel, hence not in BTF; unmoved since 4.20. */
#define GFP_MOVABLE_BIT		0x8
#define GFP_HIGH_BIT		0x20
#define GFP_DIRECT_RECLAIM_BIT	0x400
#define GFP_NOMEMALLOC_BIT	0x80000
#define GFP_HARDWALL_BIT	0x100000
#define GFP_THISNODE_BIT	0x200000
#define GFP_ACCOUNT_BIT		0x400000
#define TASK_MEMALLOC_FLAG	0x800
#define POLICY_BIND		2

#define ALL_NODES		(~0ULL)
#define NO_NODE			(~0U)

/* ---- context ---- */

/* x86: a per-CPU variable of its own until 6.2 and from 6.15 on, in pcpu_hot between. */
extern const struct pcpu_hot pcpu_hot __ksym __weak;
extern const int __preempt_count __ksym __weak;

/* Bits of preempt_count: softirq served, softirq served or off, hardirq, NMI. */
#define COUNT_SERVING_SOFTIRQ	0x100
#define COUNT_SOFTIRQ		0xff00
#define COUNT_HARDIRQ_NMI	0xff0000

static __always_inline __u32 context__count(void)
{
	if (&pcpu_hot)
		return ((struct pcpu_hot *)bpf_this_cpu_ptr(&pcpu_hot))->preempt_count;
	if (&__preempt_count)
		return *(const int *)bpf_this_cpu_ptr(&__preempt_count);
	return 0;
}

/* The running task only happens to be there. */
static __always_inline bool context__interrupts(void)
{
	return context__count() & (COUNT_SERVING_SOFTIRQ | COUNT_HARDIRQ_NMI);
}

/* ---- nodes ---- */

/* Of a machine with more than 64 nodes the first 64, as in all tables. */
static __always_inline __u64 nodes__with_memory(void)
{
	struct zone_walk w;

	return zone_walk__begin(&w) ? w.nodes : 0;
}

static __always_inline __u64 nodes__of_cpuset(struct task_struct *task)
{
	if (!bpf_core_field_exists(task->mems_allowed))
		return ALL_NODES;
	return read_u64(__builtin_preserve_access_index(&task->mems_allowed));
}

static __always_inline bool task__is_bound(struct task_struct *task)
{
	struct mempolicy *policy;

	if (!bpf_core_field_exists(task->mempolicy))
		return false;
	policy = BPF_CORE_READ(task, mempolicy);
	return policy && BPF_CORE_READ(policy, mode) == POLICY_BIND;
}

/* ---- a request ---- */

struct mem_request {
	__u64 nodes;		/* it may use; 0: not known */
	__u32 gfp;
	__u16 order;
	__u8 constraint;
	__u8 pad;
};

/* Key: thread. Requests that began and did not come to an event are pushed out by others. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, struct mem_request);
} requests SEC(".maps");

static __always_inline bool gfp__is_atomic(__u32 gfp)
{
	return (gfp & GFP_HIGH_BIT) && !(gfp & GFP_DIRECT_RECLAIM_BIT);
}

/*
 * first: node the zonelist begins with. policy: its nodemask, or ALL_NODES.
 * free: neither policy nor cpuset hold, as of an atomic request or in an interrupt.
 */
static __always_inline void request__bind(struct mem_request *r, __u32 first, __u64 policy,
					  bool free)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	__u64 mem = nodes__with_memory(), cpuset = nodes__of_cpuset(task);

	r->nodes = mem;
	r->constraint = HINT_NONE;
	if (r->gfp & GFP_THISNODE_BIT) {
		r->constraint = HINT_THISNODE;
		if (mem != 1)
			r->nodes = first < HINT_NR_NODES ? mem & (1ULL << first) : 0;
	}
	if (free)
		return;
	if (mem & ~policy) {
		if (r->constraint == HINT_NONE)
			r->constraint = HINT_MEMORY_POLICY;
		r->nodes &= policy;
	}
	if (!(mem & ~cpuset))
		return;
	if (r->gfp & GFP_HARDWALL_BIT) {
		if (BPF_CORE_READ(task, signal, oom_mm))
			return;
		if (r->constraint == HINT_NONE)
			r->constraint = HINT_CPUSET;
		r->nodes &= cpuset;
		return;
	}
	/* A request of the kernel's may use what the nearest hardwalled ancestor may. */
	r->constraint = HINT_UNKNOWN;
	r->nodes = 0;
}

/* Of a zone that was read as a number, not handed to the program. */
static __always_inline __u32 zone__read_node(struct zone *zone)
{
	struct zone___numa *numa = (void *)zone;

	if (!zone)
		return NO_NODE;
	return bpf_core_field_exists(numa->node) ? BPF_CORE_READ(numa, node) : 0;
}

static __always_inline void request__of(struct mem_request *r, struct zonelist *zonelist,
					nodemask_t *nodemask, __u32 gfp, __u16 order)
{
	struct zone *zone = BPF_CORE_READ(zonelist, _zonerefs[0].zone);

	__builtin_memset(r, 0, sizeof(*r));
	r->gfp = gfp;
	r->order = order;
	request__bind(r, zone__read_node(zone),
		      nodemask ? read_u64(nodemask) : ALL_NODES, gfp__is_atomic(gfp));
}

static __always_inline void request__remember(struct zonelist *zonelist, nodemask_t *nodemask,
					      __u32 gfp, __u16 order)
{
	__u32 tid = bpf_get_current_pid_tgid();
	struct mem_request r;

	request__of(&r, zonelist, nodemask, gfp, order);
	bpf_map_update_elem(&requests, &tid, &r, BPF_ANY);
}

/* As remembered of this thread, or what can be told without the nodemask. */
static __always_inline void request__recall(struct mem_request *r, __u32 gfp, __u16 order,
					    bool in_interrupt)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	__u32 tid = bpf_get_current_pid_tgid();
	struct mem_request *seen = in_interrupt ? NULL : bpf_map_lookup_elem(&requests, &tid);
	bool free = in_interrupt || gfp__is_atomic(gfp);

	if (seen && seen->gfp == gfp && seen->order == order) {
		*r = *seen;
		return;
	}
	__builtin_memset(r, 0, sizeof(*r));
	r->gfp = gfp;
	r->order = order;
	request__bind(r, NO_NODE, ALL_NODES, free);
	/* One node: there is no other to be kept from. */
	if (free || r->nodes == 1 || r->constraint == HINT_THISNODE)
		return;
	/* The policy of the mapping binds a user's page, that of the task everything else. */
	if (task__is_bound(task)) {
		r->constraint = HINT_MEMORY_POLICY;
		r->nodes = 0;
	} else if (gfp & GFP_MOVABLE_BIT) {
		r->constraint = HINT_UNKNOWN;
		r->nodes = 0;
	}
}

#endif
