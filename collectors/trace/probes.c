// SPDX-License-Identifier: GPL-2.0-only
#include <bpf/btf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "trace/probes.h"

const char *const trace_object_names[NR_OBJECTS] = { "hint", "swap", "allocfail", "sample" };

#define NAMED(id, name)	#name,

const char *const hint_probe_names[NR_PROBES] = { HINT_PROBES(NAMED) };
const char *const hint_drop_names[NR_DROPS] = { HINT_DROPS(NAMED) };

/* name, object, kind, hook, arguments, module, counters */
#define TP(n, o, h, a, c) \
	{ .name = n, .object = o, .kind = "tp_btf", .hook = h, .nr_args = a, .counts = c }
#define FN(n, o, k, h, a, c) \
	{ .name = n, .object = o, .kind = k, .hook = h, .nr_args = a, .counts = c }
#define FB(n, k, h, a, m, c) \
	{ .name = n, .object = OBJ_HINT, .kind = k, .hook = h, .nr_args = a, .module = m, \
	  .counts = c, .fallback = true }
#define ZSWAP(n, k, h, c) \
	{ .name = n, .object = OBJ_SWAP, .kind = k, .hook = h, .nr_args = 1, .counts = c, \
	  .returns_bool = true }

struct probe trace_probes[] = {
	TP("hint_isolate", OBJ_HINT, "page_reporting_isolate", 5, PROBE_ISOLATE),
	TP("hint_putback", OBJ_HINT, "page_reporting_putback", 4, PROBE_PUTBACK),
	TP("hint_batch", OBJ_HINT, "page_reporting_batch", 3, PROBE_BATCH),
	TP("hint_ack", OBJ_HINT, "page_reporting_ack", 3, PROBE_BATCH),
	TP("hint_done", OBJ_HINT, "page_reporting_done", 2, PROBE_BATCH),
	TP("hint_exchange", OBJ_HINT, "page_reporting_exchange", 6, PROBE_EXCHANGE),
	TP("hint_buffer", OBJ_HINT, "page_reporting_buffer", 4, PROBE_BUFFER),
	FB("fb_pass_begin", "fentry", "page_reporting_process", 0, NULL, NO_PROBE),
	FB("fb_pass_end", "fexit", "page_reporting_process", 0, NULL, NO_PROBE),
	FB("fb_zone", "fentry", "zone_watermark_ok", 1, NULL, NO_PROBE),
	FB("fb_isolate", "fexit", "__isolate_free_page", 2, NULL, PROBE_ISOLATE),
	FB("fb_batch", "fentry", "virtballoon_free_page_report", 3, "virtio_balloon",
	   PROBE_BATCH),
	FB("fb_ack", "fexit", "virtballoon_free_page_report", 3, "virtio_balloon", PROBE_BATCH),
	FB("fb_putback", "fentry", "__putback_isolated_page", 2, NULL, PROBE_PUTBACK),

	TP("sw_exch_begin", OBJ_SWAP, "page_reporting_exchange_begin", 2,
	   PROBE_EXCHANGE_LATENCY),
	TP("sw_exch_end", OBJ_SWAP, "page_reporting_exchange", 6, PROBE_EXCHANGE_LATENCY),
	FN("sw_out_begin", OBJ_SWAP, "fentry", "__swap_writepage", 1, PROBE_SWAP_OUT),
	FN("sw_out_sync", OBJ_SWAP, "fexit", "__swap_writepage", 1, PROBE_SWAP_OUT),
	FN("sw_out_end", OBJ_SWAP, "fentry", "end_swap_bio_write", 1, PROBE_SWAP_OUT),
	FN("sw_in_begin", OBJ_SWAP, "fentry", "swap_read_folio", 1, PROBE_SWAP_IN),
	FN("sw_in_sync", OBJ_SWAP, "fexit", "swap_read_folio", 1, PROBE_SWAP_IN),
	FN("sw_in_end", OBJ_SWAP, "fentry", "end_swap_bio_read", 1, PROBE_SWAP_IN),
	ZSWAP("sw_zout_begin", "fentry", "zswap_store", PROBE_ZSWAP_OUT),
	ZSWAP("sw_zout_end", "fexit", "zswap_store", PROBE_ZSWAP_OUT),
	ZSWAP("sw_zin_begin", "fentry", "zswap_load", PROBE_ZSWAP_IN),
	ZSWAP("sw_zin_end", "fexit", "zswap_load", PROBE_ZSWAP_IN),

	{ .name = "af_alloc", .object = OBJ_ALLOCFAIL, .kind = "raw_tp",
	  .hook = "mm_page_alloc", .nr_args = 3, .counts = PROBE_ALLOC_FAIL },
	FN("af_charge", OBJ_ALLOCFAIL, "fexit", "__memcg_kmem_charge_page", 3, NO_PROBE),
	FN("af_reclaim_ask", OBJ_ALLOCFAIL, "fentry", "try_to_free_pages", 4, NO_PROBE),
	TP("af_reclaim_beg", OBJ_ALLOCFAIL, "mm_vmscan_direct_reclaim_begin", 2,
	   PROBE_DIRECT_RECLAIM),
	TP("af_reclaim_end", OBJ_ALLOCFAIL, "mm_vmscan_direct_reclaim_end", 1,
	   PROBE_DIRECT_RECLAIM),
	FN("af_compact_beg", OBJ_ALLOCFAIL, "fentry", "try_to_compact_pages", 4,
	   PROBE_COMPACTION_STALL),
	FN("af_compact_end", OBJ_ALLOCFAIL, "fexit", "try_to_compact_pages", 6,
	   PROBE_COMPACTION_STALL),
	TP("af_kswapd", OBJ_ALLOCFAIL, "mm_vmscan_wakeup_kswapd", 4, PROBE_KSWAPD_WAKE),
	FN("af_oom_begin", OBJ_ALLOCFAIL, "fentry", "out_of_memory", 1, PROBE_OOM_KILL),
	FN("af_oom_end", OBJ_ALLOCFAIL, "fexit", "out_of_memory", 1, PROBE_OOM_KILL),
	FN("af_oom_kill", OBJ_ALLOCFAIL, "fentry", "oom_kill_process", 1, PROBE_OOM_KILL),
	TP("af_victim", OBJ_ALLOCFAIL, "mark_victim", 1, PROBE_OOM_KILL),

	FN("sample_guest", OBJ_SAMPLE, "perf_event", "cpu-clock", 0, PROBE_SAMPLE),
};

const unsigned int nr_trace_probes = sizeof(trace_probes) / sizeof(trace_probes[0]);

struct probe *probe__find(const char *name)
{
	for (unsigned int i = 0; i < nr_trace_probes; i++) {
		if (!strcmp(trace_probes[i].name, name))
			return &trace_probes[i];
	}
	return NULL;
}

static bool is_tracepoint(const struct probe *probe)
{
	return !strcmp(probe->kind, "tp_btf") || !strcmp(probe->kind, "raw_tp");
}

/* The timer of the samples is no place in the kernel. */
static bool is_timer(const struct probe *probe)
{
	return !strcmp(probe->kind, "perf_event");
}

/* The prototype of a function, or of the callbacks of a tracepoint, or NULL. */
static const struct btf_type *hook_proto(const struct btf *btf, const struct probe *probe)
{
	const struct btf_type *t;
	char name[128];
	int id;

	if (!is_tracepoint(probe)) {
		id = btf__find_by_name_kind(btf, probe->hook, BTF_KIND_FUNC);
		return id < 0 ? NULL : btf__type_by_id(btf, btf__type_by_id(btf, id)->type);
	}
	snprintf(name, sizeof(name), "btf_trace_%s", probe->hook);
	id = btf__find_by_name_kind(btf, name, BTF_KIND_TYPEDEF);
	if (id < 0)
		return NULL;
	t = btf__type_by_id(btf, btf__type_by_id(btf, id)->type);
	return t && btf_is_ptr(t) ? btf__type_by_id(btf, t->type) : NULL;
}

static bool returns_bool(const struct btf *btf, const struct btf_type *proto)
{
	int id = btf__resolve_type(btf, proto->type);
	const struct btf_type *t = id < 0 ? NULL : btf__type_by_id(btf, id);

	return t && btf_is_int(t) && t->size == 1;
}

/* Without these counters /proc/vmstat, the stand-in, has none of them either. */
static void check_timer(struct probe *probe, const struct btf *vmlinux)
{
	if (btf__find_by_name_kind(vmlinux, "vm_event_states", BTF_KIND_VAR) >= 0) {
		probe->state = STATE_WANTED;
		return;
	}
	probe->state = STATE_MISSING;
	probe->why = "no vm_event_states in BTF; /proc is read instead";
}

static void check_btf(struct probe *probe, const struct btf *vmlinux)
{
	const struct btf_type *proto = hook_proto(vmlinux, probe);
	const struct btf *btf = vmlinux;
	struct btf *module = NULL;
	unsigned int nr_args;

	if (!proto && probe->module) {
		module = btf__load_module_btf(probe->module, (struct btf *)vmlinux);
		if (module) {
			btf = module;
			proto = hook_proto(btf, probe);
		}
	}
	probe->state = STATE_MISSING;
	if (!proto || !btf_is_func_proto(proto)) {
		probe->why = is_tracepoint(probe) ? "no such tracepoint" : "no such function in BTF";
		goto out;
	}
	/* Callbacks of a tracepoint have a first argument that programs do not see. */
	nr_args = btf_vlen(proto) - is_tracepoint(probe);
	if (nr_args < probe->nr_args) {
		probe->why = "has fewer arguments than expected";
		goto out;
	}
	if (probe->returns_bool && !returns_bool(btf, proto)) {
		probe->why = "does not return a bool";
		goto out;
	}
	probe->state = STATE_WANTED;
out:
	btf__free(module);
}

/* The functions probes attach to; and where the sample finds the zones, with and without NUMA. */
static bool needs_symbol(const struct probe *probe, char type, const char *name)
{
	if (is_tracepoint(probe))
		return false;
	if (is_timer(probe))
		return !strcmp(name, "node_data") || !strcmp(name, "contig_page_data");
	return (type == 't' || type == 'T') && !strcmp(name, probe->hook);
}

/* Functions that are in BTF and yet have no symbol of their plain name cannot be attached to. */
static int check_kallsyms(void)
{
	bool found[MAX_PROBES] = { false };
	char *line = NULL;
	size_t size = 0;
	FILE *f;

	_Static_assert(sizeof(trace_probes) / sizeof(trace_probes[0]) <= MAX_PROBES, "found[]");
	f = fopen("/proc/kallsyms", "re");
	if (!f)
		return -errno;
	while (getline(&line, &size, f) > 0) {
		char name[128], type;

		if (sscanf(line, "%*x %c %127s", &type, name) != 2)
			continue;
		for (unsigned int i = 0; i < nr_trace_probes; i++)
			found[i] |= needs_symbol(&trace_probes[i], type, name);
	}
	free(line);
	fclose(f);
	for (unsigned int i = 0; i < nr_trace_probes; i++) {
		struct probe *probe = &trace_probes[i];

		if (probe->state == STATE_WANTED && !is_tracepoint(probe) && !found[i]) {
			probe->state = STATE_MISSING;
			probe->why = is_timer(probe) ?
				"no CONFIG_KALLSYMS_ALL to find the zones; /proc is read instead" :
				"inlined or cloned by the compiler";
		}
	}
	return 0;
}

/* The fallbacks stand in for the tracepoints of hint as a whole: half of each would count twice. */
static void choose_fallback(void)
{
	bool have_all = true;

	for (unsigned int i = 0; i < nr_trace_probes; i++) {
		if (trace_probes[i].object == OBJ_HINT && !trace_probes[i].fallback &&
		    trace_probes[i].state == STATE_MISSING)
			have_all = false;
	}
	for (unsigned int i = 0; i < nr_trace_probes; i++) {
		struct probe *probe = &trace_probes[i];

		if (probe->object != OBJ_HINT || probe->state != STATE_WANTED)
			continue;
		if (probe->fallback == have_all)
			probe->state = STATE_SPARE;
	}
}

int probes__check(void)
{
	struct btf *vmlinux = btf__load_vmlinux_btf();
	int err;

	if (!vmlinux) {
		err = -errno;
		fprintf(stderr,
			"hinttrace: this kernel has no type information (/sys/kernel/btf/vmlinux): %s; it needs CONFIG_DEBUG_INFO_BTF=y\n",
			strerror(-err));
		return err;
	}
	for (unsigned int i = 0; i < nr_trace_probes; i++) {
		if (is_timer(&trace_probes[i]))
			check_timer(&trace_probes[i], vmlinux);
		else
			check_btf(&trace_probes[i], vmlinux);
	}
	btf__free(vmlinux);
	err = check_kallsyms();
	if (err) {
		fprintf(stderr, "hinttrace: cannot read /proc/kallsyms: %s; is procfs mounted?\n",
			strerror(-err));
		return err;
	}
	choose_fallback();
	return 0;
}

const char *probe__state_name(const struct probe *probe)
{
	switch (probe->state) {
	case STATE_WANTED:	return "present";
	case STATE_SPARE:	return "spare";
	case STATE_MISSING:	return "missing";
	case STATE_FAILED:	return "failed";
	case STATE_ATTACHED:	return "attached";
	case STATE_FELL_BACK:	return "fell back";
	case STATE_ADOPTED:	return "adopted";
	}
	return "?";
}

void probes__print(FILE *to)
{
	fprintf(to, "%-10s %-15s %-9s %-7s %s\n", "OBJECT", "PROGRAM", "STATE", "KIND", "HOOK");
	for (unsigned int i = 0; i < nr_trace_probes; i++) {
		const struct probe *probe = &trace_probes[i];

		fprintf(to, "%-10s %-15s %-9s %-7s %s%s%s%s\n", trace_object_names[probe->object],
			probe->name, probe__state_name(probe), probe->kind, probe->hook,
			probe->why ? " (" : "", probe->why ? probe->why : "",
			probe->why ? ")" : "");
	}
}

void probes__describe(FILE *to)
{
#define KIND(id, name, probe, what)	fprintf(to, "  %-19s %s\n", #name, what);
#define HIST(id, name)			fprintf(to, "  " #name "\n");
	fputs("Events\n", to);
	HINT_KINDS(KIND)
	fputs("Histograms (ns)\n", to);
	HINT_HISTS(HIST)
	SWAP_HISTS(HIST)
	ALLOCFAIL_HISTS(HIST)
#undef KIND
#undef HIST
}
