// SPDX-License-Identifier: GPL-2.0-or-later
/* SOURCES: collectors/run/record/record.c collectors/run/record/artefacts.c collectors/run/record/guest.c collectors/run/record/pace.c collectors/run/record/shape.c collectors/run/record/lines.c collectors/run/plan/cell.c collectors/run/plan/hash.c collectors/run/record/device.c collectors/run/record/axis.c collectors/run/util.c collectors/common/fd.c */
/* LIBS: -ljansson -lm -lnettle */
/* The record of a cell with two guests and with artefacts. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tap.h"
#include "run/record/artefacts.h"
#include "run/record/record.h"
#include "run/util.h"

#define LOG(t, text) "{\"type\":\"log\",\"t_ns\":" #t ",\"src\":\"x\",\"text\":\"" text "\"}\n"

static char dir[] = "/tmp/test_run_record.XXXXXX";

static void put(const char *name, const char *data, size_t len)
{
	char path[PATH_MAX];

	ok(!str__fmt(path, sizeof(path), "%s/%s", dir, name) &&
	   !file__replace(path, data, len), "write %s", name);
}

static void make(const char *name)
{
	char path[PATH_MAX];

	ok(!str__fmt(path, sizeof(path), "%s/%s", dir, name) && !dir__make(path), "make %s", name);
}

static void feed(struct guest *g, const char *work, const char *folder)
{
	char name[64];

	snprintf(name, sizeof(name), "%swork.stream", folder);
	put(name, work, strlen(work));
	snprintf(name, sizeof(name), "%strace.stream", folder);
	put(name, "", 0);
	ok(!guest__init(g), "init");
	guest__feed(g, PORT_WORK, work, strlen(work), 1000);
	guest__finish(g);
	is_u64(g->nr_bad, 0, "all lines are taken");
}

static json_t *line(char **at)
{
	char *end = strchr(*at, '\n');
	json_t *v = json_loadb(*at, (size_t)(end - *at), 0, NULL);

	*at = end + 1;
	return v;
}

static const char *str_of(const json_t *obj, const char *key)
{
	return json_string_value(json_object_get(obj, key));
}

static void test_two_guests(void)
{
	static struct cell cell = { .experiment = "x", .clock = "virtual", .name = "c" };
	static const struct { const char *text; long long guest; } want[] = {
		{ "a", 0 }, { "b", 1 }, { "c", 0 }, { "d", 1 },
	};
	struct record r = { .cell = &cell, .dir = dir, .nr_guests = 2, .detail = "" };
	struct guest guests[2];
	char *text, *at;
	json_t *obj;
	size_t len, i;

	make("guest-1");
	feed(&guests[0], LOG(1, "a") LOG(3, "c"), "");
	feed(&guests[1], LOG(2, "b") LOG(4, "d"), "guest-1/");
	r.guests[0].guest = &guests[0];
	r.guests[1].guest = &guests[1];
	r.host = json_object();
	is_s64(record__write(&r), 0, "written");
	ok(!str__fmt(cell.label, sizeof(cell.label), "x"), "label");
	text = NULL;
	{
		char path[PATH_MAX];

		ok(!str__fmt(path, sizeof(path), "%s/record.jsonl", dir) &&
		   !file__read(path, 1 << 20, &text, &len), "read");
	}
	at = text;
	obj = line(&at);
	is_u64(json_array_size(json_object_get(obj, "guests")), 2, "the run line has two guests");
	json_decref(obj);
	for (i = 0; i < ARRAY_SIZE(want); i++) {
		obj = line(&at);
		is_str(str_of(obj, "text"), want[i].text, "by time across guests");
		is_s64(json_integer_value(json_object_get(obj, "guest")), want[i].guest,
		       "and whose it is");
		json_decref(obj);
	}
	obj = line(&at);
	is_s64(json_integer_value(json_object_get(obj, "nr_lines")), 4, "the lines are counted");
	is_u64(json_array_size(json_object_get(obj, "guests")), 2, "each guest has its end");
	json_decref(obj);
	free(text);
	json_decref(r.host);
	guest__free(&guests[0]);
	guest__free(&guests[1]);
}

static void test_artefacts(void)
{
	char path[PATH_MAX], target[PATH_MAX];
	json_t *list = NULL;
	int fd;

	is_s64(artefacts__list(dir, &list), 0, "no folder");
	is_u64(json_array_size(list), 0, "is no artefact");
	json_decref(list);
	make("artefacts/guest-1");
	make("artefacts/folder");
	put("artefacts/perf.data", "abc", 3);
	put("artefacts/guest-1/dump", "", 0);
	put("artefacts/odd name", "x", 1);
	put("artefacts/.hidden", "x", 1);
	ok(!str__fmt(path, sizeof(path), "%s/artefacts/link", dir) &&
	   !symlink("/etc/passwd", path), "a link");
	ok(!str__fmt(path, sizeof(path), "%s/artefacts/pipe", dir) && !mkfifo(path, 0600),
	   "a pipe");
	ok(!str__fmt(path, sizeof(path), "%s/artefacts/guest-2", dir) &&
	   !str__fmt(target, sizeof(target), "%s/artefacts/folder", dir) &&
	   !symlink(target, path), "a linked folder");
	ok(!str__fmt(path, sizeof(path), "%s/artefacts/large", dir), "path");
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	ok(fd >= 0 && !ftruncate(fd, RECORD_MAX_ARTEFACT_BYTES + 1), "a large file");
	close(fd);
	is_s64(artefacts__list(dir, &list), 0, "listed");
	is_u64(json_array_size(list), 2, "only plain files of plain names, not too large");
	is_str(str_of(json_array_get(list, 0), "name"), "guest-1/dump", "of another guest");
	is_str(str_of(json_array_get(list, 1), "name"), "perf.data", "of the first");
	is_str(str_of(json_array_get(list, 1), "sha256"),
	       "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", "its hash");
	json_decref(list);
}

static uint64_t size_of(const char *name)
{
	char path[PATH_MAX];
	struct stat st;

	return str__fmt(path, sizeof(path), "%s/artefacts/%s", dir, name) || stat(path, &st)
	       ? UINT64_MAX : (uint64_t)st.st_size;
}

/* A guest hands out as much as a record may list, and not a byte more. */
static void test_handing_out(void)
{
	struct artefacts a = { .dir = dir };
	char path[PATH_MAX];

	is_s64(artefacts__append(&a, "new", "one\n", false), 0, "a piece");
	is_s64(artefacts__append(&a, "new", "two\n", false), 0, "and another");
	is_u64(size_of("new"), 8, "of one file");
	is_u64(a.nr, 1, "which counts once");
	is_s64(artefacts__append(&a, "raw", "AP8A", true), 0, "a piece that is no text");
	is_s64(artefacts__append(&a, "raw", "/w==", true), 0, "and its last");
	is_u64(size_of("raw"), 4, "in a file of its bytes");
	is_s64(artefacts__append(&a, "raw", "/w=", true), -EINVAL, "cut base64 is refused");
	is_s64(artefacts__append(&a, "raw", "a b*", true), -EINVAL, "and what is none");
	is_s64(artefacts__append(&a, "..", "x", false), -EINVAL, "no way up");
	is_s64(artefacts__append(&a, ".hidden", "x", false), -EINVAL, "nothing hidden");
	is_s64(artefacts__append(&a, "guest-1", "x", false), -EINVAL, "nor the folder of a guest");
	ok(artefacts__append(&a, "link", "x", false) < 0, "nor through a link");
	ok(!str__fmt(path, sizeof(path), "%s/artefacts/new", dir) &&
	   !truncate(path, RECORD_MAX_ARTEFACT_BYTES - 2), "a file all but full");
	is_s64(artefacts__append(&a, "new", "abc", false), -EFBIG, "no piece beyond the bound");
	is_s64(artefacts__append(&a, "new", "ab", false), 0, "but one up to it");
	is_u64(size_of("new"), RECORD_MAX_ARTEFACT_BYTES, "and that is all");
	a.nr = RECORD_MAX_ARTEFACTS;
	is_s64(artefacts__append(&a, "one-more", "x", false), -EFBIG, "nor one file more");
}

int main(void)
{
	ok(mkdtemp(dir) != NULL, "a folder");
	test_two_guests();
	test_artefacts();
	test_handing_out();
	dir__remove(dir);
	return tap__done();
}
