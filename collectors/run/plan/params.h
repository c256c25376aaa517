/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The parameters that a workload declares, in params.json of its folder, and
 * those that the guest's init takes beside every workload
 * (workloads/params.json). A folder without the file may be given any.
 */
#ifndef RUN_PLAN_PARAMS_H
#define RUN_PLAN_PARAMS_H

#include <stdio.h>

#include "run/plan/list.h"
#include "run/plan/plan.h"

/*
 * Check every parameter that is set or varied against what is declared; says
 * which is wrong and what is allowed.
 */
int params__check(const struct workload *w, const char *root, const struct matrix *m);
/* What the workload is and takes, a line each, as far as dir declares it. */
void params__print(FILE *f, const char *dir, const char *name);

#endif
