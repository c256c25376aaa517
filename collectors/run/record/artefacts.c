// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <nettle/base64.h>

#include "gen/record_types.h"
#include "run/plan/hash.h"
#include "run/record/artefacts.h"
#include "run/util.h"

#define NAME_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
#define NAME_MAX_BYTES	112	/* with guest-15/ before it the name in the record is at most 128 */

struct listing {
	json_t *list;
	uint64_t bytes;
	const char *dir;	/* of the cell, for messages */
};

static void refuse(const struct listing *l, const char *name, const char *why)
{
	say__error("%s/artefacts/%s is not part of the record: %s", l->dir, name, why);
}

static bool is_name(const char *s)
{
	size_t len = strlen(s);

	return len && len <= NAME_MAX_BYTES && strspn(s, NAME_CHARS) == len && *s != '.' && *s != '-';
}

/* Hash of what is read, which is at most `max` bytes; *bytes says how many. */
static int hash_file(int fd, uint64_t max, uint64_t *bytes, char *hex)
{
	struct sha256_ctx ctx;
	uint8_t buf[65536];
	ssize_t n;

	sha256_init(&ctx);
	for (*bytes = 0; (n = read(fd, buf, sizeof(buf))) > 0; *bytes += (uint64_t)n) {
		if (*bytes + (uint64_t)n > max)
			return -EFBIG;
		sha256_update(&ctx, (size_t)n, buf);
	}
	hash__hex(&ctx, hex);
	return n < 0 ? -errno : 0;
}

static int list_file(struct listing *l, int dirfd, const char *file, const char *name)
{
	uint64_t left = RECORD_MAX_ARTEFACTS_BYTES - l->bytes, bytes;
	char hex[2 * SHA256_DIGEST_SIZE + 1];
	struct stat st;
	int fd, err;

	/* Neither through a link, nor waiting for the other end of a pipe. */
	fd = openat(dirfd, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		if (fd >= 0)
			close(fd);
		refuse(l, name, "not a plain file");
		return 0;
	}
	err = hash_file(fd, left < RECORD_MAX_ARTEFACT_BYTES ? left : RECORD_MAX_ARTEFACT_BYTES,
			&bytes, hex);
	close(fd);
	if (err == -EFBIG) {
		refuse(l, name, "larger than 64 MiB, or all of them than 256 MiB");
		return 0;
	}
	if (err)
		return err;
	l->bytes += bytes;
	return json_array_append_new(l->list, json_pack("{s:s, s:I, s:s}", "name", name,
							"bytes", (json_int_t)bytes,
							"sha256", hex)) ? -ENOMEM : 0;
}

static int compare(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);	/* not by locale */
}

static int no_dots(const struct dirent *d)
{
	return strcmp(d->d_name, ".") && strcmp(d->d_name, "..");
}

/* Is this the folder of a guest? guest-0 is not, its files lie above. */
static bool is_guest_dir(const char *name)
{
	int guest, end = 0;

	return sscanf(name, "guest-%d%n", &guest, &end) == 1 && !name[end] && guest > 0 &&
	       guest < RECORD_MAX_GUESTS && name[6] != '0' && name[6] != '+';
}

static int list_dir(struct listing *l, int parent, const char *path, const char *prefix)
{
	struct dirent **names = NULL;
	int fd, i, nr, err = 0;

	fd = openat(parent, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	nr = scandirat(fd, ".", &names, no_dots, compare);
	if (nr < 0) {
		err = -errno;
		close(fd);
		return err;
	}
	for (i = 0; i < nr; i++) {
		const char *file = names[i]->d_name;
		char name[256 + 16];

		if (!err && !is_name(file)) {
			refuse(l, prefix, "it has a file of an odd name");
		} else if (!err && json_array_size(l->list) >= RECORD_MAX_ARTEFACTS) {
			refuse(l, file, "there are too many");
		} else if (!err) {
			snprintf(name, sizeof(name), "%s%s", prefix, file);
			if (!*prefix && is_guest_dir(file)) {
				snprintf(name, sizeof(name), "%s/", file);
				err = list_dir(l, fd, file, name);
				err = err == -ENOTDIR || err == -ELOOP ? 0 : err;
			} else {
				err = list_file(l, fd, file, name);
			}
		}
		free(names[i]);
	}
	free(names);
	close(fd);
	return err;
}

int artefacts__list(const char *dir, json_t **list)
{
	struct listing l = { .list = json_array(), .dir = dir };
	char path[PATH_MAX];
	int err;

	err = !l.list ? -ENOMEM : str__fmt(path, sizeof(path), "%s/artefacts", dir) ?:
	      list_dir(&l, AT_FDCWD, path, "");
	if (err == -ENOENT)
		err = 0;
	if (err)
		json_decref(l.list);
	else
		*list = l.list;
	return err;
}

/* Open for appending; *is_new says whether it was not there. */
static int open_piece(const char *dir, const char *name, bool *is_new)
{
	const int flags = O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
	char path[PATH_MAX];
	int fd, err;

	err = str__fmt(path, sizeof(path), "%s/artefacts", dir) ?: dir__make(path) ?:
	      str__fmt(path, sizeof(path), "%s/artefacts/%s", dir, name);
	if (err)
		return err;
	fd = open(path, flags);
	*is_new = fd < 0 && errno == ENOENT;
	if (*is_new)
		fd = open(path, flags | O_CREAT | O_EXCL, 0666);
	return fd < 0 ? -errno : fd;
}

/* The bytes that the text stands for, in a fresh buffer. */
static int decode(const char *text, uint8_t **data, size_t *len)
{
	struct base64_decode_ctx ctx;
	size_t max = BASE64_DECODE_LENGTH(strlen(text));

	*data = malloc(max + 1);
	if (!*data)
		return -ENOMEM;
	base64_decode_init(&ctx);
	*len = max;
	if (base64_decode_update(&ctx, len, *data, strlen(text), text) && base64_decode_final(&ctx))
		return 0;
	free(*data);
	return -EINVAL;
}

static int append(struct artefacts *a, const char *name, const void *data, size_t len)
{
	struct stat st;
	bool is_new;
	int fd, err = 0;

	if (!is_name(name) || is_guest_dir(name))
		return -EINVAL;
	fd = open_piece(a->dir, name, &is_new);
	if (fd < 0)
		return fd;
	a->nr += is_new;
	if (fstat(fd, &st))
		err = -errno;
	else if (a->nr > RECORD_MAX_ARTEFACTS ||
		 (uint64_t)st.st_size + len > RECORD_MAX_ARTEFACT_BYTES)
		err = -EFBIG;
	else
		err = fd__write_all(fd, data, len);
	close(fd);
	return err;
}

int artefacts__append(struct artefacts *a, const char *name, const char *text, bool is_base64)
{
	uint8_t *data;
	size_t len;
	int err;

	if (!is_base64)
		return append(a, name, text, strlen(text));
	err = decode(text, &data, &len);
	if (err)
		return err;
	err = append(a, name, data, len);
	free(data);
	return err;
}
