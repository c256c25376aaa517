// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "run/jobs/out.h"
#include "run/plan/hash.h"
#include "run/util.h"

#define DISK_NEEDED	(64 * MIB)
#define MAX_FAILED_KEPT	3
#define FAILED_DIR	".failed"
#define PARKED_DIR	".parked"

int out__lock(const char *out)
{
	char path[PATH_MAX];
	int fd, err;

	err = dir__make(out);
	if (err) {
		say__error("cannot make the results folder %s: %s", out, strerror(-err));
		return err;
	}
	err = str__fmt(path, sizeof(path), "%s/.lock", out);
	if (err)
		return err;
	/* Held until the process ends, also for its workers. */
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	if (fd < 0) {
		err = -errno;
		say__error("cannot write in the results folder %s: %s", out, strerror(-err));
		return err;
	}
	if (flock(fd, LOCK_EX | LOCK_NB)) {
		say__error("another hintrun works in %s: wait for it, or give another OUT", out);
		close(fd);
		return -EBUSY;
	}
	return 0;
}

int out__check_disk(const char *out)
{
	uint64_t bytes = 0;
	int err = dir__free_bytes(out, &bytes);

	if (err || bytes >= DISK_NEEDED)
		return err;
	say__error("%s has %llu MiB free, a run needs at least %llu: make room, or give "
		   "another OUT; finished cells are kept", out,
		   (unsigned long long)(bytes / MIB), (unsigned long long)(DISK_NEEDED / MIB));
	return -ENOSPC;
}

int out__put_aside(const char *out, const char *name)
{
	char dir[PATH_MAX], to[PATH_MAX], parent[PATH_MAX];
	unsigned int i;
	int err;

	err = str__fmt(dir, sizeof(dir), "%s/%s", out, name) ?:
	      str__fmt(parent, sizeof(parent), "%s/" FAILED_DIR, out) ?: dir__make(parent);
	for (i = 1; !err && i <= MAX_FAILED_KEPT; i++) {
		err = str__fmt(to, sizeof(to), "%s/%s.%u", parent, name, i);
		if (!err && access(to, F_OK))
			return rename(dir, to) ? -errno : 0;
	}
	return err ?: dir__remove(dir);
}

/* Has a run made this folder? The end of its name is the hash of its cell.json. */
static bool is_cell_of_a_run(const char *name, const char *cell_json)
{
	char hash[CELL_HASH_LEN + 1], *text;
	const char *end = strrchr(name, '-');
	size_t len;

	if (!end || strlen(end + 1) != CELL_NAME_HASH_LEN ||
	    file__read(cell_json, CELL_FILE_MAX, &text, &len))
		return false;
	hash__bytes(text, len, hash);
	free(text);
	return !strncmp(hash, end + 1, CELL_NAME_HASH_LEN);
}

static int park(const char *out, const char *name)
{
	char dir[PATH_MAX], to[PATH_MAX];
	int err;

	err = str__fmt(dir, sizeof(dir), "%s/%s", out, name) ?:
	      str__fmt(to, sizeof(to), "%s/" PARKED_DIR, out) ?: dir__make(to) ?:
	      str__fmt(to, sizeof(to), "%s/" PARKED_DIR "/%s", out, name) ?:
	      dir__remove(to);
	return err ?: rename(dir, to) ? -errno : 0;
}

/* A folder that is somebody else's is not touched: with it, there is no run. */
static int refuse_stranger(const char *out, const char *name)
{
	char file[PATH_MAX];
	int err;

	err = str__fmt(file, sizeof(file), "%s/%s/cell.json", out, name);
	if (err || is_cell_of_a_run(name, file))
		return err;
	say__error("%s/%s is no cell of a run, though it has a cell.json: move it away, or give "
		   "another OUT", out, name);
	return -EEXIST;
}

/* Call fn for each folder that has a cell.json and is not of this plan. */
static int for_others(const char *out, const struct plan *p,
		      int (*fn)(const char *out, const char *name))
{
	char file[PATH_MAX];
	struct dirent *d;
	unsigned int i;
	int err = 0;
	DIR *dir;

	dir = opendir(out);
	if (!dir)
		return -errno;
	while (!err && (d = readdir(dir))) {
		for (i = 0; i < p->nr && strcmp(p->cells[i].name, d->d_name); i++)
			;
		if (d->d_name[0] == '.' || i < p->nr)
			continue;
		err = str__fmt(file, sizeof(file), "%s/%s/cell.json", out, d->d_name);
		if (!err && !access(file, F_OK))
			err = fn(out, d->d_name);
	}
	closedir(dir);
	return err;
}

int out__park_others(const char *out, const struct plan *p)
{
	int err = for_others(out, p, refuse_stranger) ?: for_others(out, p, park);

	if (err && err != -EEXIST)
		say__error("cannot put older cells of %s aside: %s", out, strerror(-err));
	return err;
}

int out__unpark(const char *out, const char *name)
{
	char dir[PATH_MAX], parked[PATH_MAX];
	int err;

	err = str__fmt(dir, sizeof(dir), "%s/%s", out, name) ?:
	      str__fmt(parked, sizeof(parked), "%s/" PARKED_DIR "/%s", out, name);
	if (err)
		return err;
	return access(dir, F_OK) && rename(parked, dir) && errno != ENOENT ? -errno : 0;
}
