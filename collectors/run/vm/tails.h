/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The files of a cell that QEMU appends to and the runner follows. */
#ifndef RUN_VM_TAILS_H
#define RUN_VM_TAILS_H

#include "run/record/guest.h"
#include "run/vm/console.h"

enum { TAIL_WORK, TAIL_TRACE, TAIL_CONSOLE, NR_TAILS };

struct tails {
	int fd[NR_TAILS];
	int inotify_fd;		/* ready when there may be something new */
};

/* Make them, empty. 0 or -errno; tails__close() either way. */
int tails__open(struct tails *t, const char *dir);
void tails__close(struct tails *t);

/*
 * Hand on what is new; *sign_ns becomes the time when something was. True when
 * there may be more: bounded for each call, so that a guest that writes without
 * end does not keep us from looking at the clock.
 */
bool tails__read(struct tails *t, struct guest *g, struct console *c, uint64_t *sign_ns);

/* The limit that the guest has gone beyond, in words, or NULL. */
const char *tails__excess(const struct tails *t, const struct guest *g, char *buf, size_t size);

#endif
