/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TRACE_VERDICT_H
#define TRACE_VERDICT_H

#include <stdbool.h>

#include "../bpf/hint_rec.h"

/*
 * Was the memory there? The rules of analysis/judge on the record of a kill; what they
 * mean is in docs/report.md. tests/py/test_judge_same.py holds both against each other.
 */

enum verdict_kind { VERDICT_ATTRIBUTABLE, VERDICT_GENUINE, VERDICT_UNDETERMINED, NR_VERDICTS };

extern const char *const verdict_names[NR_VERDICTS];

/* Yes, no, or the sample does not decide. */
enum truth { TRUTH_NO, TRUTH_YES, TRUTH_OPEN };

/* One watermark test in pages: passes when usable > need and there is a block. */
struct check {
	__s64 free, unusable, mark, reserve;
	enum truth block, passes;
};

/* A zone the request could use, without and with what hinting held. */
struct zone_verdict {
	const struct zone_snap *zone;
	struct check without, with_held;
};

struct verdict {
	enum verdict_kind kind;
	char reason[512];	/* of an undetermined one */
	__u32 nr_zones;
	struct zone_verdict zones[HINT_MAX_SNAP_ZONES];
};

void verdict__of_kill(struct verdict *v, const struct oom_kill_rec *kill);

static inline __s64 check__usable(const struct check *c)
{
	return c->free - c->unusable;
}

static inline __s64 check__need(const struct check *c)
{
	return c->mark + c->reserve;
}

/* Pages missing for the count to pass; 0 when it does. */
static inline __s64 check__shortfall(const struct check *c)
{
	__s64 pages = check__need(c) + 1 - check__usable(c);

	return pages > 0 ? pages : 0;
}

const char *zone__name(__u32 zone);	/* "DMA32" */

#endif
