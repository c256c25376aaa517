/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest, and the command line of QEMU and of the kernel that makes it: the
 * only place where they stand. Cells, tests and shell differ in the
 * fields of struct machine and in nothing else.
 */
#ifndef RUN_VM_QEMU_H
#define RUN_VM_QEMU_H

#include <stdbool.h>

#include "run/plan/cell.h"
#include "run/record/guest.h"
#include "run/vm/images.h"

#define QEMU_MAX_ARGS	160

/* Strings that are NULL stand for "none"; descriptors are -1 then. */
struct machine {
	const char *qemu, *share;	/* program, folder of its firmware */
	const char *kernel;
	const char *initrd;		/* brings its own root */
	const char *append;		/* further kernel parameters; they win */

	const char *accel;		/* kvm or tcg */
	const char *cpu;		/* features more than the model has: "+pdpe1gb" */
	bool is_parallel;		/* a host thread per vCPU under TCG */
	bool is_virtual;		/* guest time counts instructions */
	uint32_t seed;			/* of QEMU's random numbers, when virtual */
	uint64_t ram_bytes;
	unsigned int vcpus;

	const char *root;		/* image of the root, first disk */
	const char *payload;		/* tar, second disk */
	bool is_on_disks;		/* these as virtio disks: a guest that migrates */
	const char *cell_env;		/* what the guest's init reads (fw_cfg) */
	const char *balloon;		/* properties, may be "" */
	const char *ports;		/* folder of work.stream and trace.stream */

	const char *console;		/* file; NULL: the terminal, with QEMU's monitor */
	int agent_fd;			/* second serial port */
	int qmp_fd;			/* inherited socket */
	const char *qmp;		/* socket in the file system */
	bool stays;			/* stopped at its end, until it is told to quit */
	bool is_halted;			/* until a debugger or QMP lets it go */
	const char *gdb;		/* QEMU's -gdb: where the stub listens */
	char *const *more;		/* QEMU's own options, ended by NULL */
};

struct qemu_args {
	char *argv[QEMU_MAX_ARGS + 1];
	unsigned int nr;
	int err;
};

/* 0 or -errno; an image of a wrong size is said. */
int qemu__args(struct qemu_args *a, const struct machine *m);
void qemu__free(struct qemu_args *a);

/* The command line quoted for a shell, on one line: a fresh string. */
char *qemu__quoted(const struct qemu_args *a);

/* No file that QEMU writes grows beyond this, whatever the guest does. */
#define QEMU_MAX_FILE	(2 * GUEST_STREAM_MAX)

/*
 * Replace this process by QEMU, which dies with the parent, has the terminal's
 * signals and can write no file of more than max_file bytes. keep_fd is
 * inherited, -1: none more.
 */
void qemu__exec(const struct qemu_args *a, int keep_fd, uint64_t max_file)
	__attribute__((noreturn));

#endif
