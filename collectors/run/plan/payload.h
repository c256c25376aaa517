/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The payload: what the guest runs, as a tar that is the guest's second
 * NVDIMM. Two trees go in: the tools (at the top) and the workload (under
 * workload/). The bytes depend on names, modes and contents only, so the hash
 * of each part names it.
 */
#ifndef RUN_PLAN_PAYLOAD_H
#define RUN_PLAN_PAYLOAD_H

#include <stdint.h>

#include "run/plan/cell.h"

#define PAYLOAD_MAX_BYTES	(256ULL << 20)
#define WORKLOAD_MAX_BYTES	(64ULL << 20)

struct payload {
	char tools_hash[CELL_HASH_LEN + 1];
	char workload_hash[CELL_HASH_LEN + 1];
	char file_hash[CELL_HASH_LEN + 1];
	uint64_t size;		/* of the file, a multiple of 2 MiB */
};

/*
 * Write the tar to path; path NULL only computes the hashes. Says what is
 * wrong. Names that begin with a dot are left out; links are kept as links.
 * workload_dir NULL: the folder workload/ is empty.
 */
int payload__write(struct payload *p, const char *path, const char *tools_dir,
		   const char *workload_dir);
/* Name what the workload's folder has and the guest will not. */
void payload__say_left_out(const char *workload_dir);

/* Is the file at path this payload, to the byte? */
bool payload__is_at(const struct payload *p, const char *path);

#endif
