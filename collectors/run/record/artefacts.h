/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files that guests hand out (a profile, a capture, a dump) lie in artefacts/
 * of the cell, those of guest i > 0 in artefacts/guest-i/. A guest has a say
 * in name and content, so both are bounded.
 */
#ifndef RUN_RECORD_ARTEFACTS_H
#define RUN_RECORD_ARTEFACTS_H

#include <jansson.h>
#include <stdbool.h>

/*
 * A new list of {name, bytes, sha256} ordered by name, empty when there are
 * none. What may not be listed (no plain file, an odd name, too large, too
 * many) is said and left out.
 */
int artefacts__list(const char *dir, json_t **list);

/* What the guest of one cell has handed out so far. */
struct artefacts {
	const char *dir;	/* of the cell */
	unsigned int nr;	/* files */
};

/*
 * Append a piece to the file of that name. -EINVAL for an odd name or what is not the base64 it
 * is said to be, -EFBIG when
 * the file would be too large or one too many; how much it is in sum is bounded
 * by the stream it comes in (GUEST_STREAM_MAX).
 */
int artefacts__append(struct artefacts *a, const char *name, const char *text, bool is_base64);

#endif
