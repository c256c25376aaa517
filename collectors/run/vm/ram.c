// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "run/vm/ram.h"
#include "run/util.h"

/*
 * Blocks of a PC that are no RAM of its guest: firmware, what QEMU lays out
 * for it (ACPI tables, the boot order), option ROMs and video memory.
 */
static bool is_ram(const char *name, const char *access)
{
	size_t len = strlen(name);

	if (strcmp(access, "rw"))
		return false;
	if (!strncmp(name, "/rom@", 5) || !strcmp(name, "pc.bios") || !strcmp(name, "pc.rom"))
		return false;
	return len < 4 || (strcmp(name + len - 4, ".rom") && strcmp(name + len - 5, ".vram"));
}

static int by_address(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* "NAME PSIZE OFFSET USED TOTAL HVA RO", a line per block after one of titles. */
int ram__parse(struct guest_ram *ram, const char *text, char *why, size_t size)
{
	const char *line;
	unsigned int i;

	memset(ram, 0, sizeof(*ram));
	for (line = strchr(text, '\n'); line && line[1]; line = strchr(line, '\n')) {
		char name[256], access[8] = "rw";
		uint64_t used, address;
		int n;

		line++;
		if (*line == '\n' || *line == '\r')
			continue;
		/* The page size is "4 KiB": two words. */
		n = sscanf(line, " %255s %*s %*[KMGTi]B 0x%*x 0x%" SCNx64 " 0x%*x 0x%" SCNx64
			   " %7[row]", name, &used, &address, access);
		if (n < 3) {
			snprintf(why, size, "QEMU's list of memory blocks has another form: %.60s",
				 line);
			return -EINVAL;
		}
		if (!is_ram(name, access))
			continue;
		if (ram->nr == RAM_MAX_RANGES || !used || !address) {
			snprintf(why, size, "QEMU lists %s of guest RAM: %.80s",
				 ram->nr == RAM_MAX_RANGES ? "too many blocks" : "an empty block",
				 name);
			return -EINVAL;
		}
		ram->range[ram->nr].from = address;
		ram->range[ram->nr++].to = address + used;
		ram->bytes += used;
	}
	if (!ram->nr) {
		snprintf(why, size, "QEMU lists no block of guest RAM");
		return -EINVAL;
	}
	qsort(ram->range, ram->nr, sizeof(ram->range[0]), by_address);
	for (i = 1; i < ram->nr; i++) {
		if (ram->range[i].from < ram->range[i - 1].to) {
			snprintf(why, size, "QEMU lists blocks of guest RAM that overlap");
			return -EINVAL;
		}
	}
	return 0;
}

/* Bytes of RAM in a mapping; -1 when it holds other memory as well. */
static int64_t ram_in(const struct guest_ram *ram, uint64_t from, uint64_t to)
{
	unsigned int i;

	for (i = 0; i < ram->nr; i++) {
		if (to <= ram->range[i].from || from >= ram->range[i].to)
			continue;
		return from >= ram->range[i].from && to <= ram->range[i].to
		       ? (int64_t)(to - from) : -1;
	}
	return 0;
}

/*
 * Resident bytes of the process, as the kernel counts them without its page
 * tables. -ESRCH when it has no memory any more: it is ending, or has.
 */
static int read_statm(pid_t pid, uint64_t *bytes)
{
	unsigned long long size, pages;
	char path[64];
	FILE *f;
	int n;

	snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
	f = fopen(path, "re");
	if (!f)
		return errno == ENOENT ? -ESRCH : -errno;
	n = fscanf(f, "%llu %llu", &size, &pages);
	fclose(f);
	if (n != 2 || !size)
		return -ESRCH;
	*bytes = pages * (uint64_t)sysconf(_SC_PAGESIZE);
	return 0;
}

static void add_line(struct ram_use *use, const char *line)
{
	static const struct {
		const char *key;
		size_t offset;
	} fields[] = {
		{ "Rss:", offsetof(struct ram_use, rss_bytes) },
		{ "AnonHugePages:", offsetof(struct ram_use, huge_bytes) },
		{ "ShmemPmdMapped:", offsetof(struct ram_use, huge_bytes) },
		{ "FilePmdMapped:", offsetof(struct ram_use, huge_bytes) },
		{ "Swap:", offsetof(struct ram_use, swap_bytes) },
	};
	size_t i, len;

	for (i = 0; i < ARRAY_SIZE(fields); i++) {
		len = strlen(fields[i].key);
		if (!strncmp(line, fields[i].key, len))
			*(uint64_t *)((char *)use + fields[i].offset) +=
				strtoull(line + len, NULL, 10) * 1024;
	}
}

int ram__read(const struct guest_ram *ram, pid_t pid, struct ram_use *use,
	      char *why, size_t size)
{
	uint64_t from, to, found = 0;
	char path[64], line[512];
	int64_t inside = 0;
	FILE *f;
	int err;

	memset(use, 0, sizeof(*use));
	snprintf(path, sizeof(path), "/proc/%d/smaps", (int)pid);
	f = fopen(path, "re");
	if (!f)
		return errno == ENOENT ? -ESRCH : -errno;
	while (inside >= 0 && fgets(line, sizeof(line), f)) {
		/* "from-to perms ...": a mapping begins; its numbers are "Key: n kB". */
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %*4[-rwxps] ", &from, &to) == 2) {
			inside = ram_in(ram, from, to);
			found += inside > 0 ? (uint64_t)inside : 0;
		} else if (inside > 0) {
			add_line(use, line);
		}
	}
	fclose(f);
	if (inside < 0) {
		snprintf(why, size, "a mapping of QEMU holds the guest's RAM and more");
		return -EINVAL;
	}
	/* The list of a process that ends while it is read is cut anywhere: this is asked first. */
	err = read_statm(pid, &use->process_rss_bytes);
	if (err)
		return err;
	if (found != ram->bytes) {
		snprintf(why, size, "QEMU maps %" PRIu64 " of %" PRIu64 " MiB of the guest's RAM",
			 found / MIB, ram->bytes / MIB);
		return -EINVAL;
	}
	return 0;
}
