// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "trace/metrics.h"

static void put_one(FILE *f, struct totals *t, const struct loaded *l, enum trace_object o,
		    __u32 i, const char *family, const char *label)
{
	if (l->object[o].present && !totals__hist(t, l, o, i))
		metrics__put_hist(f, family, label, t->hists);
}

static void put_hists(FILE *f, struct totals *t, const struct loaded *l)
{
	fputs("# HELP hinttrace_stall_seconds Tasks that had to reclaim or compact by themselves.\n"
	      "# TYPE hinttrace_stall_seconds histogram\n", f);
	put_one(f, t, l, OBJ_ALLOCFAIL, HIST_DIRECT_RECLAIM, "hinttrace_stall_seconds",
		"kind=\"direct_reclaim\"");
	put_one(f, t, l, OBJ_ALLOCFAIL, HIST_COMPACTION_STALL, "hinttrace_stall_seconds",
		"kind=\"compaction_stall\"");
	fputs("# HELP hinttrace_hold_seconds How long a batch of free memory was out.\n"
	      "# TYPE hinttrace_hold_seconds histogram\n", f);
	put_one(f, t, l, OBJ_HINT, HIST_BATCH_HOLD, "hinttrace_hold_seconds", "");
	fputs("# EOF\n", f);
}

int metrics__write(struct metrics *m, struct totals *t, const struct loaded *l)
{
	char tmp[PATH_MAX];
	FILE *f = NULL;
	int err = 0;

	if (!m->path)
		return 0;
	if (snprintf(tmp, sizeof(tmp), "%s.%d.tmp", m->path, getpid()) >= (int)sizeof(tmp))
		err = -ENAMETOOLONG;
	else
		f = fopen(tmp, "we");
	if (f) {
		metrics__put(m, f);
		put_hists(f, t, l);
		err = ferror(f) ? -EIO : 0;
		if (fclose(f))
			err = -errno;
		if (!err && !rename(tmp, m->path))
			return 0;
	}
	if (!err)
		err = -errno;
	if (f)
		unlink(tmp);
	if (!m->complained)
		fprintf(stderr, "hinttrace: cannot write %s: %s\n", m->path, strerror(-err));
	m->complained = true;
	return err;
}
