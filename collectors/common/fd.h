/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef COMMON_FD_H
#define COMMON_FD_H

#include <stddef.h>

/* All of data, or -errno: repeats write(2) after EINTR and short writes. */
int fd__write_all(int fd, const void *data, size_t len);

#endif
