/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What hintsay's files share: the end of a line of the guest stream, and artefacts. */
#ifndef GUEST_SAY_H
#define GUEST_SAY_H

#include <stddef.h>

#include "common/json.h"

#define OUT_FD	   3
#define EXIT_INFRA 69

/* Close the object and write the line to OUT_FD. An exit status; says what is wrong. */
int say__finish(struct jw *w, const char *type);
/* End text at len; a NUL within becomes a question mark. */
void say__end_text(char *text, size_t len);
/* Of a text cut at len: how many bytes at its end begin a character and do not finish it. */
size_t say__unfinished(const char *text, size_t len);

/* Standard input as the file of that name, in pieces: an exit status. */
int artefact__text(const char *name);
int artefact__base64(const char *name);

#endif
