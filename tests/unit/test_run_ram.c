// SPDX-License-Identifier: GPL-2.0-or-later
/* SOURCES: collectors/run/vm/ram.c collectors/run/util.c collectors/common/fd.c */
/* LIBS: */
/*
 * How much of a guest's RAM is in host memory, against a real process (this
 * one) whose mappings are known: split ones, holes given back, and a decoy as
 * QEMU under TCG has one, executable, private and larger than the RAM.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tap.h"
#include "run/vm/ram.h"
#include "run/util.h"

#define RAM	(64 * MIB)
#define HEAD	"              Block Name    PSize              Offset               Used" \
		"              Total                HVA  RO\n"

static char why[200];

/* Memory with a page before and after that nothing merges with. */
static char *map(size_t len, int prot)
{
	char *p = mmap(NULL, len + 2 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	mprotect(p + 4096, len, prot);
	return p + 4096;
}

static int list(char *text, size_t size, const char *ram, uint64_t used)
{
	return snprintf(text, size, HEAD
		"                  pc.ram    4 KiB  0x0000000000000000 0x%016" PRIx64
		" 0x%016" PRIx64 " 0x%016" PRIx64 "  rw\n"
		"                  image0    4 KiB  0x0000000050000000 0x0000000030000000"
		" 0x0000000030000000 0x00007f0000000000  ro\n"
		"                 pc.bios    4 KiB  0x0000000020000000 0x0000000000040000"
		" 0x0000000000040000 0x00007f1111000000  ro\n"
		"                  pc.rom    4 KiB  0x0000000020040000 0x0000000000020000"
		" 0x0000000000020000 0x00007f1112000000  rw\n"
		"    /rom@etc/acpi/tables    4 KiB  0x0000000020060000 0x0000000000020000"
		" 0x0000000000200000 0x00007f1113000000  rw\n",
		used, used, (uint64_t)(uintptr_t)ram);
}

static void test_parse(void)
{
	struct guest_ram ram;
	char text[4096];
	int n;

	n = list(text, sizeof(text), (char *)0x7f2000000000, RAM);
	ok(!ram__parse(&ram, text, why, sizeof(why)), "QEMU's list is read: %s", why);
	is_u64(ram.nr, 1, "RAM is what the guest can write to; firmware and images are none");
	is_u64(ram.range[0].from, 0x7f2000000000, "its address");
	is_u64(ram.bytes, RAM, "its size");
	snprintf(text + n, sizeof(text) - (size_t)n,
		 "                   plug1    2 MiB  0x0000000100000000 0x0000000004000000"
		 " 0x0000000004000000 0x00007e0000000000  rw\n");
	ok(!ram__parse(&ram, text, why, sizeof(why)), "a module plugged in");
	is_u64(ram.bytes, RAM + 64 * MIB, "counts as RAM");
	is_u64(ram.range[0].from, 0x7e0000000000, "ranges are in the order of addresses");
	ok(ram__parse(&ram, HEAD, why, sizeof(why)), "a list without RAM is an error");
	is_str(why, "QEMU lists no block of guest RAM", "in a sentence");
	ok(ram__parse(&ram, HEAD "gibberish\n", why, sizeof(why)), "so is another form");
	ok(ram__parse(&ram, "", why, sizeof(why)), "and nothing at all");
}

static struct ram_use now(const struct guest_ram *ram)
{
	struct ram_use use = { 0 };
	int err = ram__read(ram, getpid(), &use, why, sizeof(why));

	ok(!err, "the process is read: %s", err ? why : "");
	return use;
}

static void test_known_memory(void)
{
	char *decoy = map(4 * RAM, PROT_READ | PROT_WRITE | PROT_EXEC);
	char *p = map(RAM, PROT_READ | PROT_WRITE);
	struct guest_ram ram;
	char text[4096];

	/* What is touched is then known to the page. */
	madvise(p, RAM, MADV_NOHUGEPAGE);
	memset(decoy, 1, 4 * RAM);
	list(text, sizeof(text), p, RAM);
	ram__parse(&ram, text, why, sizeof(why));
	is_u64(now(&ram).rss_bytes, 0, "an executable mapping larger than the RAM is not it");
	memset(p, 1, 24 * MIB);
	is_u64(now(&ram).rss_bytes, 24 * MIB, "what is touched");
	memset(p + 48 * MIB, 1, 16 * MIB);
	is_u64(now(&ram).rss_bytes, 40 * MIB, "above a hole as well");
	/* Four mappings in place of one, none of them as large as the RAM. */
	mprotect(p + 8 * MIB, 8 * MIB, PROT_READ);
	madvise(p + 32 * MIB, 16 * MIB, MADV_DONTDUMP);
	is_u64(now(&ram).rss_bytes, 40 * MIB, "the sum over split mappings");
	madvise(p, 8 * MIB, MADV_DONTNEED);
	is_u64(now(&ram).rss_bytes, 32 * MIB, "less what was given back");
	is_u64(now(&ram).huge_bytes, 0, "none in huge pages");
	is_u64(now(&ram).swap_bytes, 0, "none in swap");
	ok(now(&ram).process_rss_bytes >= 32 * MIB + 4 * RAM, "the whole process is more");
	munmap(p + 16 * MIB, 4096);
	ok(ram__read(&ram, getpid(), &(struct ram_use){ 0 }, why, sizeof(why)) == -EINVAL,
	   "RAM that is not mapped in full is an error");
	is_str(why, "QEMU maps 63 of 64 MiB of the guest's RAM", "in a sentence");
	munmap(p - 4096, RAM + 2 * 4096);
	munmap(decoy - 4096, 4 * RAM + 2 * 4096);
}

static void test_huge(void)
{
	char *p = map(RAM, PROT_READ | PROT_WRITE);
	char *head = (char *)(((uintptr_t)p + 2 * MIB - 1) & ~(uintptr_t)(2 * MIB - 1));
	struct guest_ram ram;
	struct ram_use use;
	char text[4096];

	list(text, sizeof(text), p, RAM);
	ram__parse(&ram, text, why, sizeof(why));
	if (madvise(p, RAM, MADV_HUGEPAGE) || (*head = 1, now(&ram).huge_bytes == 0)) {
		skip("no transparent huge pages here", "huge pages are counted apart");
	} else {
		memset(head, 1, 16 * MIB);
		use = now(&ram);
		is_u64(use.huge_bytes, 16 * MIB, "huge pages are counted apart");
		is_u64(use.rss_bytes, 16 * MIB, "and are resident");
	}
	munmap(p - 4096, RAM + 2 * 4096);
}

static void test_shared(void)
{
	int fd = memfd_create("ram", 0);
	struct guest_ram ram;
	char text[4096], *p;

	ftruncate(fd, RAM);
	p = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	list(text, sizeof(text), p, RAM);
	ram__parse(&ram, text, why, sizeof(why));
	memset(p, 1, 6 * MIB);
	is_u64(now(&ram).rss_bytes, 6 * MIB, "RAM in a file of memory");
	munmap(p, RAM);
	close(fd);
}

static void test_others(void)
{
	char *p = mmap(NULL, RAM + 4096, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct guest_ram ram;
	struct ram_use use;
	char text[4096];
	pid_t pid;

	list(text, sizeof(text), p + 4096, RAM);
	ram__parse(&ram, text, why, sizeof(why));
	ok(ram__read(&ram, getpid(), &use, why, sizeof(why)) == -EINVAL,
	   "a mapping that holds more than RAM is an error, not a guess");
	munmap(p, RAM + 4096);
	pid = fork();
	if (!pid)
		_exit(0);
	waitid(P_PID, (id_t)pid, &(siginfo_t){ 0 }, WEXITED | WNOWAIT);
	ok(ram__read(&ram, pid, &use, why, sizeof(why)) == -ESRCH, "a process that has ended");
	waitpid(pid, NULL, 0);
	ok(ram__read(&ram, pid, &use, why, sizeof(why)) == -ESRCH, "and one that is gone");
}

/* The list of mappings of a process that is killed is cut anywhere: never "half of the RAM". */
static void test_killed(void)
{
	unsigned int nr_odd = 0, i;

	for (i = 0; i < 60; i++) {
		char *p = map(RAM, PROT_READ | PROT_WRITE);
		struct guest_ram ram;
		struct ram_use use;
		char text[4096];
		pid_t pid;
		int err;

		list(text, sizeof(text), p, RAM);
		ram__parse(&ram, text, why, sizeof(why));
		/* Many mappings before and behind: reading them takes a while. */
		pid = fork();
		if (!pid) {
			for (size_t at = 0; at < RAM; at += 8192)
				mprotect(p + at, 4096, PROT_READ);
			pause();
			_exit(0);
		}
		usleep(1000 + i * 200);
		kill(pid, SIGKILL);
		err = ram__read(&ram, pid, &use, why, sizeof(why));
		nr_odd += err && err != -ESRCH;
		waitpid(pid, NULL, 0);
		munmap(p - 4096, RAM + 2 * 4096);
	}
	is_u64(nr_odd, 0, "60 processes killed while they are read: whole, or gone");
}

int main(void)
{
	test_parse();
	test_known_memory();
	test_huge();
	test_shared();
	test_others();
	test_killed();
	return tap__done();
}
