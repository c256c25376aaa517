/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SHA-256 as lower-case hexadecimal (64 digits and a NUL). */
#ifndef RUN_PLAN_HASH_H
#define RUN_PLAN_HASH_H

#include <stddef.h>
#include <nettle/sha2.h>

void hash__bytes(const void *data, size_t len, char *hex);
/* Finish a running hash into hex and start it anew. */
void hash__hex(struct sha256_ctx *ctx, char *hex);

#endif
