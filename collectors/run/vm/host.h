/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Facts about the host. */
#ifndef RUN_VM_HOST_H
#define RUN_VM_HOST_H

#include <jansson.h>

/*
 * What a record says of the host: a new object, NULL when out of memory. Facts
 * that the host does not tell are null in it.
 */
json_t *host__facts(const char *root, const char *qemu_version, const char *qemu_cmd);

#endif
