/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Facts about the host, and the resident size of a guest's memory. */
#ifndef RUN_VM_HOST_H
#define RUN_VM_HOST_H

#include <jansson.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * What a record says of the host: a new object, NULL when out of memory. Facts
 * that the host does not tell are null in it.
 */
json_t *host__facts(const char *root, const char *qemu_version, const char *qemu_cmd);

/*
 * Resident bytes of the guest's memory in process pid: of the largest
 * anonymous mapping that can hold it. 0 when not (yet) mapped, -errno on error.
 */
int64_t host__guest_rss(pid_t pid, uint64_t ram_bytes);

#endif
