// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdint.h>
#include <stdio.h>

#include "run/plan/hash.h"

void hash__hex(struct sha256_ctx *ctx, char *hex)
{
	uint8_t digest[SHA256_DIGEST_SIZE];
	size_t i;

	sha256_digest(ctx, sizeof(digest), digest);
	for (i = 0; i < sizeof(digest); i++)
		sprintf(hex + 2 * i, "%02x", digest[i]);
}

void hash__bytes(const void *data, size_t len, char *hex)
{
	struct sha256_ctx ctx;

	sha256_init(&ctx);
	sha256_update(&ctx, len, data);
	hash__hex(&ctx, hex);
}
