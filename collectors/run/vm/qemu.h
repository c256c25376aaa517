/* SPDX-License-Identifier: GPL-2.0-or-later */
/* QEMU's command line: the same for all arms but for memory and balloon. */
#ifndef RUN_VM_QEMU_H
#define RUN_VM_QEMU_H

#include <stdbool.h>

#include "run/plan/cell.h"

#define QEMU_MAX_ARGS	96

struct images {
	char kernel[PATH_MAX];	/* bzImage */
	char qemu[PATH_MAX];	/* program */
	char share[PATH_MAX];	/* firmware */
	char rootfs[PATH_MAX];	/* root.erofs */
	char kernel_id[CELL_HASH_LEN + 1];
	char qemu_id[CELL_HASH_LEN + 1];
	char rootfs_id[CELL_HASH_LEN + 1];
	uint64_t rootfs_bytes;
};

/* Find and check the products of the build; says which is missing and how to make it. */
int images__find(struct images *im, const char *kernel_dir, const char *qemu_dir,
		 const char *rootfs_dir);

struct qemu_files {
	const char *payload;	/* tar */
	uint64_t payload_bytes;
	const char *dir;	/* of the cell: cell.env, and what QEMU writes */
	int qmp_fd;		/* inherited; -1: console and monitor on the terminal */
};

struct qemu_args {
	char *argv[QEMU_MAX_ARGS + 1];
	unsigned int nr;
	int err;
};

int qemu__args(struct qemu_args *a, const struct cell *c, const struct images *im,
	       const struct qemu_files *files);
/* The least that tells whether a guest can run: kernel, console, no disk. */
int qemu__probe_args(struct qemu_args *a, const struct images *im, const char *accel,
		     const char *console);
void qemu__free(struct qemu_args *a);

/* The command line quoted for a shell, on one line: a fresh string. */
char *qemu__quoted(const struct qemu_args *a);

/* In a fresh child: die with the parent, leave the terminal's signals, exec. */
void qemu__exec(const struct qemu_args *a, int keep_fd) __attribute__((noreturn));

#endif
