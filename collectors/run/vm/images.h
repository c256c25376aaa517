/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The products of the build that every guest is made of. */
#ifndef RUN_VM_IMAGES_H
#define RUN_VM_IMAGES_H

#include "run/plan/cell.h"

struct images {
	char kernel[PATH_MAX];	/* bzImage */
	char qemu[PATH_MAX];	/* program */
	char share[PATH_MAX];	/* firmware */
	char rootfs[PATH_MAX];	/* root.erofs */
	char kernel_id[CELL_HASH_LEN + 1];
	char qemu_id[CELL_HASH_LEN + 1];
	char rootfs_id[CELL_HASH_LEN + 1];
};

/* Find and check them; says which is missing and how to make it. */
int images__find(struct images *im, const char *kernel_dir, const char *qemu_dir,
		 const char *rootfs_dir);
/*
 * The same without the ids, which only cells need. A folder that is NULL is not
 * looked at, and its fields stay empty.
 */
int images__find_files(struct images *im, const char *kernel_dir, const char *qemu_dir,
		       const char *rootfs_dir);

#endif
