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

#include "run/plan/hash.h"
#include "run/plan/payload.h"
#include "run/util.h"

#define TAR_BLOCK	512
#define NVDIMM_ALIGN	(2 * MIB)
#define MAX_DEPTH	16
#define MAX_ENTRIES	4096

/* A ustar header (POSIX.1-1988). */
struct tar_header {
	char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], sum[8], type;
	char linkname[100], magic[6], version[2], uname[32], gname[32];
	char devmajor[8], devminor[8], prefix[155], pad[12];
};
_Static_assert(sizeof(struct tar_header) == TAR_BLOCK, "layout");

struct writer {
	int fd;			/* -1: hash only */
	struct sha256_ctx sha;	/* of the part being written */
	struct sha256_ctx file_sha;	/* of all */
	uint64_t size;		/* bytes so far */
	uint64_t part_max;	/* bytes that the current tree may have */
	uint64_t part_limit;	/* size at which it is too large */
	unsigned int nr_entries;
	bool said;		/* the error has been told, by the innermost folder */
};

static int put(struct writer *w, const void *data, size_t len)
{
	sha256_update(&w->sha, len, data);
	sha256_update(&w->file_sha, len, data);
	w->size += len;
	return w->fd < 0 ? 0 : fd__write_all(w->fd, data, len);
}

static int put_zeros(struct writer *w, uint64_t len)
{
	static const char zeros[65536];
	int err = 0;

	while (!err && len) {
		size_t n = len < sizeof(zeros) ? (size_t)len : sizeof(zeros);

		err = put(w, zeros, n);
		len -= n;
	}
	return err;
}

/* Names beyond 100 bytes are divided at a slash. */
static int set_name(struct tar_header *h, const char *name)
{
	size_t len = strlen(name);
	const char *cut;

	if (len <= sizeof(h->name)) {
		memcpy(h->name, name, len);
		return 0;
	}
	cut = strchr(name + len - sizeof(h->name) - 1, '/');
	if (!cut || (size_t)(cut - name) > sizeof(h->prefix))
		return -ENAMETOOLONG;
	memcpy(h->prefix, name, (size_t)(cut - name));
	memcpy(h->name, cut + 1, len - (size_t)(cut + 1 - name));
	return 0;
}

static int put_header(struct writer *w, const char *name, char type, mode_t mode,
		      uint64_t size, const char *target)
{
	struct tar_header h;
	unsigned int sum = 0;
	size_t i;

	memset(&h, 0, sizeof(h));
	if (set_name(&h, name) || strlen(target) > sizeof(h.linkname))
		return -ENAMETOOLONG;
	snprintf(h.mode, sizeof(h.mode), "%07o", mode & 0755);
	snprintf(h.uid, sizeof(h.uid), "%07o", 0);
	snprintf(h.gid, sizeof(h.gid), "%07o", 0);
	snprintf(h.size, sizeof(h.size), "%011llo", (unsigned long long)size);
	snprintf(h.mtime, sizeof(h.mtime), "%011o", 0);
	memset(h.sum, ' ', sizeof(h.sum));
	h.type = type;
	memcpy(h.linkname, target, strlen(target));
	memcpy(h.magic, "ustar", 6);
	memcpy(h.version, "00", 2);
	for (i = 0; i < sizeof(h); i++)
		sum += ((unsigned char *)&h)[i];
	snprintf(h.sum, sizeof(h.sum), "%06o", sum);
	return put(w, &h, sizeof(h));
}

static int put_file(struct writer *w, const char *path, const char *name, const struct stat *st)
{
	uint64_t left = (uint64_t)st->st_size;
	char buf[65536];
	int fd, err;

	/* Owner's execute bit decides, so that a umask does not change the hash. */
	err = put_header(w, name, '0', st->st_mode & 0100 ? 0755 : 0644, left, "");
	if (err)
		return err;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	while (!err && left) {
		ssize_t n = read(fd, buf, left < sizeof(buf) ? (size_t)left : sizeof(buf));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			err = n ? -errno : -ESTALE;	/* became shorter meanwhile */
			break;
		}
		err = put(w, buf, (size_t)n);
		left -= (uint64_t)n;
	}
	close(fd);
	if (!err)
		err = put_zeros(w, (TAR_BLOCK - (uint64_t)st->st_size % TAR_BLOCK) % TAR_BLOCK);
	return err;
}

static int is_listed(const struct dirent *d)
{
	return d->d_name[0] != '.';
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int put_tree(struct writer *w, const char *dir, const char *prefix, int depth);

static int put_entry(struct writer *w, const char *path, const char *name, int depth)
{
	char target[PATH_MAX];
	struct stat st;
	ssize_t n;

	if (lstat(path, &st))
		return -errno;
	if (++w->nr_entries > MAX_ENTRIES)
		return -E2BIG;
	if (S_ISDIR(st.st_mode)) {
		if (str__fmt(target, sizeof(target), "%s/", name))
			return -ENAMETOOLONG;
		return put_header(w, target, '5', 0755, 0, "") ?:
		       put_tree(w, path, target, depth + 1);
	}
	if (S_ISLNK(st.st_mode)) {
		n = readlink(path, target, sizeof(target) - 1);
		if (n < 0)
			return -errno;
		target[n] = '\0';
		return put_header(w, name, '2', 0755, 0, target);
	}
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if (w->size + (uint64_t)st.st_size > w->part_limit)
		return -EFBIG;
	return put_file(w, path, name, &st);
}

static void say_unpackable(const struct writer *w, const char *dir, const char *name, int err)
{
	char why[128];

	switch (err) {
	case -EFBIG:
		snprintf(why, sizeof(why), "with it the folder is larger than %llu MiB",
			 (unsigned long long)(w->part_max >> 20));
		break;
	case -E2BIG:
		snprintf(why, sizeof(why), "there are more than %d files and folders", MAX_ENTRIES);
		break;
	case -ELOOP:
		snprintf(why, sizeof(why), "folders are nested deeper than %d", MAX_DEPTH);
		break;
	case -ENAMETOOLONG:
		snprintf(why, sizeof(why), "a path is at most 100 bytes, or 155 before and 100 "
			 "after one of its slashes");
		break;
	case -EINVAL:
		snprintf(why, sizeof(why), "neither file, folder nor link");
		break;
	default:
		snprintf(why, sizeof(why), "%s", strerror(-err));
	}
	say__error("cannot pack %s/%s for the guest: %s", dir, name, why);
}

static int put_tree(struct writer *w, const char *dir, const char *prefix, int depth)
{
	struct dirent **list;
	int nr, i, err = 0;

	if (depth > MAX_DEPTH)
		return -ELOOP;
	nr = scandir(dir, &list, is_listed, by_name);
	if (nr < 0) {
		err = -errno;
		say__error("cannot read the folder %s: %s", dir, strerror(errno));
		w->said = true;
		return err;
	}
	for (i = 0; i < nr; i++) {
		char path[PATH_MAX], name[PATH_MAX];

		if (!err)
			err = str__fmt(path, sizeof(path), "%s/%s", dir, list[i]->d_name) ?:
			      str__fmt(name, sizeof(name), "%s%s", prefix, list[i]->d_name) ?:
			      put_entry(w, path, name, depth);
		if (err && !w->said) {
			say_unpackable(w, dir, list[i]->d_name, err);
			w->said = true;
		}
		free(list[i]);
	}
	free(list);
	return err;
}

int payload__write(struct payload *p, const char *path, const char *tools_dir,
		   const char *workload_dir)
{
	struct writer w = { .fd = -1 };
	char tmp[PATH_MAX] = "";
	int err;

	memset(p, 0, sizeof(*p));
	if (path) {
		err = str__fmt(tmp, sizeof(tmp), "%s.tmp", path);
		if (err)
			return err;
		w.fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
		if (w.fd < 0) {
			err = -errno;
			say__error("cannot write %s: %s", tmp, strerror(errno));
			return err;
		}
	}
	sha256_init(&w.sha);
	sha256_init(&w.file_sha);
	w.part_limit = w.part_max = PAYLOAD_MAX_BYTES;
	err = put_tree(&w, tools_dir, "", 0);
	hash__hex(&w.sha, p->tools_hash);
	if (!err) {
		w.part_max = WORKLOAD_MAX_BYTES;
		w.part_limit = w.size + w.part_max;
		err = put_header(&w, "workload/", '5', 0755, 0, "");
		if (!err && workload_dir)
			err = put_tree(&w, workload_dir, "workload/", 1);
		hash__hex(&w.sha, p->workload_hash);
	}
	if (!err)
		err = put_zeros(&w, 2 * TAR_BLOCK);
	if (!err)
		err = put_zeros(&w, (NVDIMM_ALIGN - w.size % NVDIMM_ALIGN) % NVDIMM_ALIGN);
	p->size = w.size;
	hash__hex(&w.file_sha, p->file_hash);
	if (path) {
		if (close(w.fd) && !err)
			err = -errno;
		if (!err && rename(tmp, path))
			err = -errno;
		if (err) {
			say__error("cannot write the payload %s: %s", path, strerror(-err));
			unlink(tmp);
		}
	}
	return err;
}

bool payload__is_at(const struct payload *p, const char *path)
{
	char hex[CELL_HASH_LEN + 1], buf[65536];
	struct sha256_ctx sha;
	struct stat st;
	ssize_t n;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	if (fstat(fd, &st) || (uint64_t)st.st_size != p->size) {
		close(fd);
		return false;
	}
	sha256_init(&sha);
	while ((n = read(fd, buf, sizeof(buf))) > 0)
		sha256_update(&sha, (size_t)n, (uint8_t *)buf);
	close(fd);
	hash__hex(&sha, hex);
	return !n && !strcmp(hex, p->file_hash);
}

static void list_hidden(const char *dir, const char *prefix, int depth, char *buf, size_t size)
{
	struct dirent *d;
	DIR *open_dir = depth > MAX_DEPTH ? NULL : opendir(dir);

	while (open_dir && (d = readdir(open_dir))) {
		char path[PATH_MAX], name[PATH_MAX];
		size_t n = strlen(buf);
		struct stat st;

		if (!strcmp(d->d_name, ".") || !strcmp(d->d_name, "..") ||
		    str__fmt(path, sizeof(path), "%s/%s", dir, d->d_name) ||
		    str__fmt(name, sizeof(name), "%s%s", prefix, d->d_name))
			continue;
		if (d->d_name[0] == '.')
			snprintf(buf + n, size - n, "%s%s", n ? ", " : "", name);
		else if (!lstat(path, &st) && S_ISDIR(st.st_mode) &&
			 !str__fmt(name, sizeof(name), "%s%s/", prefix, d->d_name))
			list_hidden(path, name, depth + 1, buf, size);
	}
	if (open_dir)
		closedir(open_dir);
}

void payload__say_left_out(const char *workload_dir)
{
	char names[512] = "";

	list_hidden(workload_dir, "", 0, names, sizeof(names));
	if (*names)
		say__error("note: the guest does not get %s of %s: a name that begins with a dot "
			   "is left out", names, workload_dir);
}
