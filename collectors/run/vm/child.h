/* SPDX-License-Identifier: GPL-2.0-or-later */
/* QEMU as a child of the worker that runs a cell. */
#ifndef RUN_VM_CHILD_H
#define RUN_VM_CHILD_H

#include <sys/types.h>

#include "run/vm/qemu.h"

/*
 * Start it, with what it says in dir/qemu.log; it inherits keep_fd and dies with
 * this process. 0 or -errno.
 */
int child__start(pid_t *pid, const struct qemu_args *args, const char *dir, int keep_fd);

/* The last line of its log, to say why it ended. */
void child__last_words(const char *dir, char *out, size_t size);

#endif
