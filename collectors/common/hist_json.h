/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef COMMON_HIST_JSON_H
#define COMMON_HIST_JSON_H

#include "common/hist.h"
#include "common/json.h"

/* The fields of a "hist" record that hold the histogram (docs/record.md). */
void hist__write(const struct hist *h, struct jw *w);

#endif /* COMMON_HIST_JSON_H */
