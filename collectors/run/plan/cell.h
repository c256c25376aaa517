/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A cell: every input of one VM run. Its text form (cell.json) is canonical,
 * and the name of the cell carries the hash of that text: same inputs, same
 * name; `sha256sum cell.json` checks it.
 */
#ifndef RUN_PLAN_CELL_H
#define RUN_PLAN_CELL_H

#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define CELL_SCHEMA	2
#define CELL_NAME_MAX	64
#define CELL_HASH_LEN	64	/* hexadecimal SHA-256 */
#define CELL_CAPACITY_MAX 1024
#define CELL_NAME_HASH_LEN 12	/* of it in the name */
#define CELL_FILE_MAX	65536	/* of a cell.json */
#define CELL_MEM_MIN	(64ULL << 20)
#define CELL_MEM_MAX	(64ULL << 30)

struct cell {
	/* Not part of the hash: words, and what the hash has in another form. */
	char experiment[CELL_NAME_MAX + 1];
	json_t *arm_def;		/* arms/NAME.json with its name, or NULL */
	const char *command;		/* line for a shell that repeats the run, or NULL */
	unsigned int jobs;		/* cells at once while this one runs; 0: what fits */
	uint64_t time_limit_ns;		/* wall time it may take */
	uint64_t hang_limit_ns;		/* wall time without a sign of life */

	char workload[CELL_NAME_MAX + 1];
	char arm[CELL_NAME_MAX + 1];
	char label[CELL_NAME_MAX + 1];	/* arm and what the experiment varies */
	uint64_t mem_bytes;		/* X: memory sold to the guest */
	uint64_t buffer_bytes;		/* B, or 0 when the arm has no buffer */
	uint64_t extra_bytes;		/* memory beyond X */
	uint64_t overhead_bytes;	/* page structs of the extra memory */
	unsigned int vcpus;
	unsigned int order;		/* smallest chunk reported */
	unsigned int delay_ms;		/* guest's pause before a reporting pass */
	unsigned int capacity;		/* chunks in a batch, at most */
	uint64_t ack_base_ns;		/* host model: answer to a batch ... */
	uint64_t ack_per_chunk_ns;	/* ... and per chunk in it */
	uint64_t checkpoint_period_ns;	/* it answers nothing in the first ... */
	uint64_t checkpoint_window_ns;	/* ... of each but the first; 0: none */
	uint64_t stuck_after;		/* batches it answers, 0: all */
	char clock[8];			/* "virtual" or "real" */
	char accel[4];			/* "kvm" or "tcg" */
	uint64_t seed;
	unsigned int repeat;		/* from 1 */
	char workload_hash[CELL_HASH_LEN + 1];
	char kernel[CELL_HASH_LEN + 1];
	char qemu[CELL_HASH_LEN + 1];
	char rootfs[CELL_HASH_LEN + 1];
	char tools[CELL_HASH_LEN + 1];
	json_t *device;			/* balloon properties of the arm, string to string */
	json_t *kernel_params;		/* of the arm: full name to value */
	json_t *params;			/* workload parameters, string to string */

	char hash[CELL_HASH_LEN + 1];	/* set by cell__seal() */
	char name[2 * CELL_NAME_MAX];	/* folder name, set by cell__seal() */
	char *text;			/* content of cell.json, set by cell__seal() */
};

/* Compute text, hash and name from the inputs. */
int cell__seal(struct cell *c);
void cell__free(struct cell *c);

/* The inputs as a JSON object: a new reference, NULL when out of memory. */
json_t *cell__spec(const struct cell *c);
/* Read a cell.json; says what is wrong with it. The cell comes sealed. */
int cell__load(struct cell *c, const char *path);

/* Memory given to QEMU: X + extra + overhead. */
uint64_t cell__ram_bytes(const struct cell *c);
/*
 * The guest keeps 64 bytes for each page and populates them for whole
 * sections of 128 MiB, 2 MiB a time: what the sections touched by the extra
 * memory cost, this cost itself included.
 */
uint64_t cell__overhead(uint64_t mem_bytes, uint64_t extra_bytes);
/* Seed for everything inside the guest: repeats differ, arms do not. */
uint64_t cell__guest_seed(const struct cell *c);

/* Does the guest's init start the tracer? Else the workload brings its own observers, or none. */
static inline bool cell__is_traced(const struct cell *c)
{
	const char *tracer = json_string_value(json_object_get(c->params, "tracer"));

	return !tracer || strcmp(tracer, "off");
}

/* Shell assignments for the guest (fw_cfg): a fresh string, or NULL. */
char *cell__env(const struct cell *c);

/* May s be the name of a workload parameter (a-z, then a-z 0-9 _)? */
bool param__is_name(const char *s);
/* The name of a kernel parameter, of a module's too: a-z 0-9 _ . - */
bool kernel_param__is_name(const char *s);
/* A value is printable ASCII, at most 256 bytes, without quotes and backslash. */
bool param__is_value(const char *s);

#endif
