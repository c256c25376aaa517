// SPDX-License-Identifier: GPL-2.0-or-later
/* SOURCES: collectors/common/zoneinfo.c */
/* LIBS: -lm */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/zoneinfo.h"
#include "tap.h"

/* As Linux 6.12 prints it: per-CPU lines repeat names, unpopulated zones are there. */
static const char text_6_12[] =
	"Node 0, zone      DMA\n"
	"  per-node stats\n"
	"      nr_inactive_anon 7\n"
	"  pages free     3840\n"
	"        boost    0\n"
	"        min      31\n"
	"        low      38\n"
	"        high     45\n"
	"        promo    52\n"
	"        spanned  4095\n"
	"        present  3998\n"
	"        managed  3840\n"
	"        cma      0\n"
	"        protection: (0, 446, 446, 446)\n"
	"      nr_free_pages 3840\n"
	"  pagesets\n"
	"    cpu: 0\n"
	"              count:    1\n"
	"              high:     99999\n"
	"              batch:    1\n"
	"  node_unreclaimable:  0\n"
	"Node 0, zone    DMA32\n"
	"  pages free     100\n"
	"        boost    50\n"
	"        min      503\n"
	"        low      616\n"
	"        high     729\n"
	"        spanned  200000\n"
	"        present  130000\n"
	"        managed  120000\n"
	"        cma      0\n"
	"        protection: (0, 0, 0, 0)\n"
	"      nr_free_pages 100\n"
	"Node 0, zone   Normal\n"
	"  pages free     0\n"
	"        boost    0\n"
	"        min      0\n"
	"        low      0\n"
	"        high     0\n"
	"        spanned  0\n"
	"        present  0\n"
	"        managed  0\n"
	"        protection: (0, 0, 0, 0)\n"
	"Node 1, zone   Normal\n"
	"  pages free     42\n"
	"        min      1\n"
	"        low      2\n"
	"        high     3\n"
	"        present  10\n"
	"        managed  9\n"
	"        protection: (0)\n";

static void test_parse(void)
{
	struct zoneinfo_zone z[8];
	int nr = zoneinfo__parse(text_6_12, z, 8);

	is_s64(nr, 3, "zones without memory are left out");
	if (nr != 3)
		return;
	is_str(z[0].name, "DMA", "name");
	is_u64(z[0].high_pages, 45, "per-CPU lines are not taken for the zone's");
	is_u64(z[1].zone, 1, "index in the node");
	is_u64(z[1].free_pages, 100, "free");
	is_u64(z[1].min_pages, 453, "min without the boost");
	is_u64(z[1].low_pages, 566, "low without the boost");
	is_u64(z[1].high_pages, 679, "high without the boost");
	is_u64(z[1].managed_pages, 120000, "managed");
	is_u64(z[2].node, 1, "second node");
	is_u64(z[2].zone, 0, "its index starts anew");
	is_u64(z[2].high_pages, 3, "a kernel without boost");
}

static void test_bad(void)
{
	struct zoneinfo_zone z[1];

	is_s64(zoneinfo__parse("", z, 1), -EBADMSG, "empty");
	is_s64(zoneinfo__parse("MemTotal: 3 kB\n", z, 1), -EBADMSG, "another file");
	is_s64(zoneinfo__parse("Node 0, zone DMA", z, 1), 0, "cut after its first line");
	is_s64(zoneinfo__parse(text_6_12, z, 1), 1, "no more than there is room for");
	is_s64(zoneinfo__parse("Node 0, zone DMA\n present 5\n min 3\n boost 9\n", z, 1), 1,
	       "a boost larger than min");
	is_u64(z[0].min_pages, 3, "... is not taken off");
}

static void test_lines(void)
{
	static const char text[] = "nr_free_pages 12\npswpin_more 4\npswpin 3\nMemTotal:   99 kB\nbad x\nlast 7";
	static const char *const names[] = { "pswpin", "MemTotal", "bad", "none", "last" };
	__u64 v[5] = { 1, 1, 1, 1, 1 };

	is_u64(proc_text__u64s(text, names, v, 5), 3, "three of five names are there");
	is_u64(v[0], 3, "vmstat form, whole names only");
	is_u64(v[1], 99, "meminfo form");
	is_u64(v[2], 0, "no number is 0");
	is_u64(v[3], 0, "no such name is 0");
	is_u64(v[4], 7, "last line without newline");
}

static void test_read(void)
{
	char name[] = "/tmp/zoneinfo.XXXXXX", buf[16];
	int fd = mkstemp(name);

	ok(fd >= 0 && write(fd, "0123456789", 10) == 10, "a file of 10 bytes");
	is_s64(proc_file__read(fd, buf, sizeof(buf)), 10, "its length");
	is_str(buf, "0123456789", "its text, ended by a NUL");
	is_s64(proc_file__read(fd, buf, sizeof(buf)), 10, "read again from its start");
	is_s64(proc_file__read(fd, buf, 10), -E2BIG, "too long for the buffer");
	is_s64(proc_file__read_path(name, buf, sizeof(buf)), 10, "by path");
	close(fd);
	unlink(name);
	is_s64(proc_file__read_path(name, buf, sizeof(buf)), -ENOENT, "not there");
}

int main(void)
{
	test_parse();
	test_bad();
	test_lines();
	test_read();
	return tap__done();
}
