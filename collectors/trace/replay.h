/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TRACE_REPLAY_H
#define TRACE_REPLAY_H

#include <stdbool.h>

/*
 * Prints the screens of a record, or of what `hinttrace -j` wrote, from the records that
 * its lines were made of. json: a line of verdict for each kill instead. 0, or -errno, said.
 */
int replay__file(const char *path, bool json);

#endif
