/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef COMMON_JSON_H
#define COMMON_JSON_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * Writes one line of JSON into a buffer of the caller; allocates nothing.
 *
 *	jw__init(&w, buf, sizeof(buf));
 *	jw__obj_begin(&w, NULL);
 *	jw__str(&w, "type", "phase");
 *	jw__u64(&w, "t_ns", now);
 *	jw__obj_end(&w);
 *	err = jw__line(&w, 3);
 *
 * key is NULL for the outermost value and inside an array; it is a name of the
 * program's own and written as it is, without escapes.  Errors stick and
 * come out of jw__finish() or jw__line(): -ENOSPC when the line did not fit
 * (newline included), -EINVAL when begin and end do not match.
 */
#define JW_LINE_MAX	65536	/* longest line of the guest stream, docs/record.md */
#define JW_DEPTH_MAX	63

struct jw {
	char *buf;
	size_t size;
	size_t len;
	unsigned int depth;
	__u64 started;	/* bit d: the container at depth d has a member */
	__u64 is_array;	/* bit d: the container at depth d is an array */
	int err;
};

void jw__init(struct jw *w, char *buf, size_t size);

void jw__obj_begin(struct jw *w, const char *key);
void jw__obj_end(struct jw *w);
void jw__arr_begin(struct jw *w, const char *key);
void jw__arr_end(struct jw *w);

void jw__u64(struct jw *w, const char *key, __u64 v);
void jw__s64(struct jw *w, const char *key, __s64 v);
void jw__bool(struct jw *w, const char *key, bool v);
/* Any bytes: control characters escaped, what is not UTF-8 becomes U+FFFD. */
void jw__str(struct jw *w, const char *key, const char *s);

/*
 * Ends the line with a newline.  Its length, newline included, or -errno; buf
 * holds it until the next use.  The writer is empty afterwards.
 */
long jw__finish(struct jw *w);

/*
 * jw__finish() and jw__write_all().  0 or -errno; nothing is written when the
 * line did not fit.  Processes that write to one file by this function do not
 * break each other's lines: the file is locked meanwhile, where it can be.
 */
int jw__line(struct jw *w, int fd);

/*
 * fd__write_all() of all of buf. 0 or -errno.
 *
 * In pieces, because a virtio-serial port allocates a buffer as large as the
 * write: 64 KiB would ask the kernel for a block of order 4, which fails first
 * when memory is short, and makes an observer the cause of what it observes.
 */
#define JW_WRITE_MAX	2048
int jw__write_all(int fd, const char *buf, size_t len);

#endif
