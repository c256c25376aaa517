/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What every part of the host runner needs: messages, bounded paths, whole
 * files.
 */
#ifndef RUN_UTIL_H
#define RUN_UTIL_H

#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/fd.h"
#include "common/status.h"

#define MIB		((uint64_t)1 << 20)
#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define PRINTF(f, a)	__attribute__((format(printf, f, a)))

/* One line "hintrun: ..." on stderr. */
void say__error(const char *fmt, ...) PRINTF(1, 2);

/* snprintf that refuses to cut: 0 or -ENAMETOOLONG. */
int str__fmt(char *buf, size_t size, const char *fmt, ...) PRINTF(3, 4);
/* Does s consist of 1..max_len characters a-z 0-9 - _ and start with a letter or digit? */
#define NAME_RULE "a-z 0-9 - _, the first a letter or a digit"
bool str__is_name(const char *s, size_t max_len);

/* The whole file as a fresh NUL-terminated buffer; -EFBIG beyond max bytes. */
int file__read(const char *path, size_t max, char **data, size_t *len);
/* Write under a temporary name, flush, rename. */
int file__replace(const char *path, const void *data, size_t len);
/* One word for a shell, quoted where it must be. */
void file__put_word(FILE *f, const char *word);
bool file__is_executable(const char *path);

int dir__make(const char *path);	/* with its parents, mode 0777 less umask */
int dir__remove(const char *path);	/* with its content; absent is fine */
int dir__free_bytes(const char *path, uint64_t *bytes);

/*
 * Output of a command, at most size - 1 bytes, without the last newline; argv
 * ends with NULL. -ENOENT when it cannot be run, -EIO when it fails.
 */
int cmd__output(char *const argv[], char *buf, size_t size);

/*
 * Block what tells a program to end, and the end of a child, to wait for them:
 * they are put into set. old may be NULL.
 */
int signals__block(sigset_t *set, sigset_t *old);

#endif
