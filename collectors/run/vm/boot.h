/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `hintrun boot`: one guest as its options say, for whoever needs one outside of
 * an experiment: tests, a script.
 */
#ifndef RUN_VM_BOOT_H
#define RUN_VM_BOOT_H

#include "common/usage.h"

/*
 * argv is what follows the command's name; root is the checkout. Becomes QEMU, so
 * returns only an error, said, or after --dry-run: an exit status.
 */
int boot__run(const char *root, int argc, char **argv);
/* The options; alone, as `hintrun boot --help`, with all around them. */
void boot__options(const struct usage *u);
void boot__help(const struct usage *u);

#endif
