// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "run/vm/images.h"
#include "run/util.h"

static int find_file(char *out, const char *dir, const char *name, const char *target,
		     bool is_program)
{
	if (str__fmt(out, PATH_MAX, "%s/%s", dir, name))
		return -ENAMETOOLONG;
	if (is_program ? file__is_executable(out) : !access(out, R_OK))
		return 0;
	say__error("%s is missing: make it with `make %s`", out, target);
	return -ENOENT;
}

static int read_id(char *id, const char *dir)
{
	char path[PATH_MAX], *text;
	int err;

	err = str__fmt(path, sizeof(path), "%s/id", dir) ?:
	      file__read(path, 256, &text, NULL);
	if (err) {
		say__error("cannot read %s: %s", path, strerror(-err));
		return err;
	}
	text[strcspn(text, "\n")] = '\0';
	if (!*text || strspn(text, "0123456789abcdef") != strlen(text) ||
	    str__fmt(id, CELL_HASH_LEN + 1, "%s", text)) {
		say__error("%s does not hold a hexadecimal hash", path);
		err = -EINVAL;
	}
	free(text);
	return err;
}

/*
 * The build's folders are links to products that never change. Follow them
 * once: a build meanwhile must not put another kernel under a running cell.
 */
static int follow(char *real, const char *dir, const char *target)
{
	if (realpath(dir, real))
		return 0;
	say__error("%s is missing: make it with `make %s`", dir, target);
	return -ENOENT;
}

int images__find_files(struct images *im, const char *kernel_link, const char *qemu_link,
		       const char *rootfs_link)
{
	char dir[PATH_MAX];
	int err = 0;

	memset(im, 0, sizeof(*im));
	if (kernel_link)
		err = follow(dir, kernel_link, "kernel") ?:
		      find_file(im->kernel, dir, "bzImage", "kernel", false);
	if (!err && qemu_link)
		err = follow(dir, qemu_link, "qemu") ?:
		      find_file(im->qemu, dir, "qemu-system-x86_64", "qemu", true) ?:
		      find_file(im->share, dir, "share", "qemu", false);
	if (!err && rootfs_link)
		err = follow(dir, rootfs_link, "image") ?:
		      find_file(im->rootfs, dir, "root.erofs", "image", false);
	return err;
}

/* The id of the folder that a product lies in. */
static int read_id_beside(char *id, const char *file)
{
	char dir[PATH_MAX];

	strcpy(dir, file);
	*strrchr(dir, '/') = '\0';
	return read_id(id, dir);
}

int images__find(struct images *im, const char *kernel_link, const char *qemu_link,
		 const char *rootfs_link)
{
	return images__find_files(im, kernel_link, qemu_link, rootfs_link) ?:
	       read_id_beside(im->kernel_id, im->kernel) ?:
	       read_id_beside(im->qemu_id, im->qemu) ?:
	       read_id_beside(im->rootfs_id, im->rootfs);
}
