// SPDX-License-Identifier: GPL-2.0-or-later
/* SOURCES: collectors/run/plan/cell.c collectors/run/plan/hash.c collectors/run/util.c collectors/common/fd.c */
/* LIBS: -ljansson -lnettle */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "tap.h"
#include "run/plan/cell.h"
#include "run/plan/hash.h"
#include "run/util.h"

static void make_cell(struct cell *c)
{
	memset(c, 0, sizeof(*c));
	strcpy(c->workload, "toy");
	strcpy(c->arm, "buffer");
	strcpy(c->label, "buffer-ack.200ms+1ms");
	c->mem_bytes = 512 * MIB;
	c->buffer_bytes = c->extra_bytes = 64 * MIB;
	c->overhead_bytes = 2 * MIB;
	c->vcpus = 1;
	c->order = 9;
	c->capacity = 32;
	c->seed = 7;
	c->repeat = 3;
	strcpy(c->clock, "virtual");
	strcpy(c->accel, "tcg");
	strcpy(c->workload_hash, "ab");
	strcpy(c->kernel, "cd");
	strcpy(c->qemu, "ef");
	strcpy(c->rootfs, "01");
	strcpy(c->tools, "23");
	c->device = json_pack("{s:s}", "free-page-reporting", "on");
	c->kernel_params = json_pack("{s:s}", "page_reporting.max_out_kib", "65536");
	c->params = json_pack("{s:s, s:s}", "rate", "400", "quick", "1");
}

static void test_overhead(void)
{
	/* 512 MiB are 4 sections; 64 more touch a fifth, whose pages cost 2 MiB. */
	is_u64(cell__overhead(512 * MIB, 0), 0, "no extra memory, no overhead");
	is_u64(cell__overhead(512 * MIB, 64 * MIB), 2 * MIB, "one section more");
	is_u64(cell__overhead(500 * MIB, 12 * MIB), 0, "the last section is filled up");
	is_u64(cell__overhead(512 * MIB, 128 * MIB), 4 * MIB,
	       "the overhead itself spills into a section");
	is_u64(cell__overhead(512 * MIB, 126 * MIB), 2 * MIB, "the overhead just fits");
	is_u64(cell__overhead(1024 * MIB, 8192 * MIB), 2 * MIB * 66, "many sections");
}

static int load_text(struct cell *c, const char *text)
{
	char path[] = "/tmp/test_run_cell-XXXXXX";
	int fd = mkstemp(path), err;

	if (fd < 0 || fd__write_all(fd, text, strlen(text)))
		return -errno;
	close(fd);
	err = cell__load(c, path);
	unlink(path);
	return err;
}

/* The cell's text with one thing replaced. */
static char *with(const char *text, const char *from, const char *to)
{
	const char *at = strstr(text, from);
	char *out;

	if (!at || asprintf(&out, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from)) < 0)
		return NULL;
	return out;
}

static void test_load(const struct cell *c)
{
	static const struct {
		const char *from, *to, *what;
	} bad[] = {
		{ "\"tcg\"", "\"kvm,nested=on\"", "an accelerator that is none" },
		{ "536870912", "536870912000000", "memory out of range" },
		{ "\"capacity\": 32", "\"capacity\": \"32\"", "a number in quotes" },
		{ "\"on\"", "\"on,rombar=1\"", "a device value that adds a property" },
		{ "\"on\"", "3", "a device value that is no string" },
		{ "\"65536\"", "\"65536 init=/bin/sh\"", "a kernel parameter that adds another" },
		{ "page_reporting.max", "page_reporting max", "a kernel parameter with a blank" },
		{ "\"rate\"", "\"ra te\"", "a parameter with a blank in its name" },
		{ "\"400\"", "\"4'; reboot; '\"", "a parameter that would leave its quotes" },
		{ "\"kernel\": \"cd\"", "\"kernel\": \"../x\"", "a hash that is a path" },
		{ "\"label\": \"buffer", "\"label\": \"../buffer", "a label that is a path" },
		{ "\"schema\": 2", "\"schema\": 1", "another version" },
		{ "\"repeat\": 3", "\"repeat\": 3, \"more\": 1", "a field too many" },
		{ "\"repeat\": 3,", "", "a field too few" },
		{ "{", "[", "not an object" },
	};
	struct cell d;
	size_t i;

	ok(!load_text(&d, c->text), "its own text is read back");
	is_str(d.hash, c->hash, "with the same hash");
	is_str(d.name, c->name, "and the same name");
	cell__free(&d);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		char *text = with(c->text, bad[i].from, bad[i].to);

		ok(text && load_text(&d, text) == -EINVAL, "refused: %s", bad[i].what);
		free(text);
	}
}

int main(void)
{
	struct cell c, d;
	char hex[CELL_HASH_LEN + 1], *env;

	hash__bytes("abc", 3, hex);
	is_str(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
	       "SHA-256 of the standard's example");
	test_overhead();

	make_cell(&c);
	ok(!cell__seal(&c), "seal");
	hash__bytes(c.text, strlen(c.text), hex);
	is_str(c.hash, hex, "the hash is that of the text");
	ok(!strncmp(c.name, "buffer-ack.200ms+1ms-s7-r3-", 27) &&
	   !strncmp(c.name + 27, hex, 12), "the name carries label, seed, repeat, hash");
	is_u64(cell__ram_bytes(&c), 578 * MIB, "memory is X + extra + overhead");

	make_cell(&d);
	d.ack_base_ns = 1;
	ok(!cell__seal(&d), "seal another");
	ok(strcmp(c.hash, d.hash), "another input, another hash");
	is_u64(cell__guest_seed(&c), 7002, "the guest's seed differs by repeat");
	d.repeat = 4;
	ok(cell__guest_seed(&d) != cell__guest_seed(&c), "and is another for the next");
	cell__free(&d);

	ok(!strstr(c.text, "checkpoint") && !strstr(c.text, "stuck"),
	   "a host model that is not asked for is not in the text");
	make_cell(&d);
	d.checkpoint_period_ns = 10000000000;
	d.checkpoint_window_ns = 2000000000;
	d.stuck_after = 7;
	ok(!cell__seal(&d), "seal one with checkpoints");
	ok(strstr(d.text, "\"checkpoint_window_ns\": 2000000000,") && strstr(d.text, "\"stuck_after\": 7"),
	   "one that is asked for is");
	test_load(&d);
	cell__free(&d);

	env = cell__env(&c);
	ok(env && strstr(env, "HINT_ARM='buffer'\n"), "environment: arm");
	ok(env && strstr(env, "HINT_MEM_BYTES=536870912\n"), "environment: X, not X + B");
	ok(env && strstr(env, "HINT_P_RATE='400'\n"), "environment: parameter");
	ok(env && strstr(env, "HINT_QUICK='1'\n"), "environment: quick");
	free(env);
	test_load(&c);
	cell__free(&c);
	return tap__done();
}
