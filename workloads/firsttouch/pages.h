/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef FIRSTTOUCH_PAGES_H
#define FIRSTTOUCH_PAGES_H

#include <stdint.h>

#define PAGE		4096UL
/* Physical memory up to 64 GiB, holes included. */
#define PAGES_MAX_PFN	(1UL << 24)

/*
 * The physical page behind an address, from /proc/self/pagemap, 0 when there
 * is none, or -errno: -EPERM for who may not know, -ERANGE beyond 64 GiB.
 */
long pages__pfn(const void *at);

/*
 * Appends a line "used PFN NUMBER" to the file for every run of physical pages
 * behind these addresses, PFN in hex. 0 or -errno.
 */
int pages__log_used(const char *path, const uint8_t *area, uint64_t len);

#endif
