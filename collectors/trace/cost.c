// SPDX-License-Identifier: GPL-2.0-only
#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/time.h"
#include "trace/cost.h"

static void read_one(const struct loaded *l, unsigned int i, __u64 *ns, __u64 *runs)
{
	struct bpf_prog_info info = { 0 };
	__u32 len = sizeof(info);

	*ns = 0;
	*runs = 0;
	if (l->prog_fd[i] < 0 || bpf_obj_get_info_by_fd(l->prog_fd[i], &info, &len))
		return;
	*ns = info.run_time_ns;
	*runs = info.run_cnt;
}

void cost__begin(struct cost *c, const struct loaded *l)
{
	c->stats_fd = bpf_enable_stats(BPF_STATS_RUN_TIME);
	c->err = c->stats_fd < 0 ? -errno : 0;
	for (unsigned int i = 0; i < nr_trace_probes; i++)
		read_one(l, i, &c->base_ns[i], &c->base_runs[i]);
}

static __u64 ns_of(const struct timeval *t)
{
	return (__u64)t->tv_sec * NSEC_PER_SEC + (__u64)t->tv_usec * 1000;
}

static __u64 own_ns(void)
{
	struct rusage used;

	if (getrusage(RUSAGE_SELF, &used))
		return 0;
	return ns_of(&used.ru_utime) + ns_of(&used.ru_stime);
}

void cost__started(struct cost *c)
{
	c->own_ns = own_ns();
}

static int put(struct out *out, const char *program, __u64 run_ns, const __u64 *runs)
{
	struct jw *w = out__begin("cost", time__now_ns());

	jw__str(w, "program", program);
	jw__u64(w, "run_ns", run_ns);
	if (runs)
		jw__u64(w, "runs", *runs);
	return out__end(out);
}

int cost__put(const struct cost *c, const struct loaded *l, struct out *out)
{
	int err = 0;

	if (!out__wants_json(out))
		return 0;
	if (c->err)
		out__log(out,
			 "what the programs cost is not known: bpf_stats cannot be enabled: %s",
			 strerror(-c->err));
	for (unsigned int i = 0; i < nr_trace_probes && !c->err; i++) {
		__u64 ns, runs;

		if (l->prog_fd[i] < 0)
			continue;
		read_one(l, i, &ns, &runs);
		runs -= c->base_runs[i];
		err = put(out, trace_probes[i].name, ns - c->base_ns[i], &runs) ?: err;
	}
	return put(out, "hinttrace", own_ns() - c->own_ns, NULL) ?: err;
}

void cost__end(struct cost *c)
{
	if (c->stats_fd >= 0)
		close(c->stats_fd);
	c->stats_fd = -1;
}
