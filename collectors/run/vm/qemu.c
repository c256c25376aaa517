// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "run/record/guest.h"
#include "run/vm/qemu.h"
#include "run/util.h"

/*
 * TCG: a model without "fast string" microcode flags, for which the kernel
 * clears and copies pages by plain loops; TCG runs a loop as translated code
 * but a `rep stos` one iteration after the other.
 */
#define CPU_TCG	"kvm64"
#define CPU_KVM	"host"

/*
 * The same for all arms and all sizes: nothing here follows from memory size.
 * The kernel sizes its hash tables by all memory it finds at boot, the buffer
 * included; fixed sizes keep the guests alike.
 */
#define KERNEL_CMDLINE \
	"console=ttyS0 panic=-1 oops=panic nokaslr root=/dev/pmem0 rootfstype=erofs ro" \
	" init=/sbin/hint-init loglevel=6 tsc=reliable clocksource=tsc no_timer_check" \
	" random.trust_cpu=on random.trust_bootloader=on mitigations=off" \
	" dhash_entries=65536 ihash_entries=32768 mhash_entries=1024 mphash_entries=1024" \
	" thash_entries=4096 uhash_entries=512"

/* Nothing QEMU writes may grow beyond this, whatever the guest does. */
#define QEMU_MAX_FILE	(2 * GUEST_STREAM_MAX)

static void push(struct qemu_args *a, const char *fmt, ...) PRINTF(2, 3);

static void push(struct qemu_args *a, const char *fmt, ...)
{
	va_list ap;

	if (a->err)
		return;
	if (a->nr == QEMU_MAX_ARGS) {
		a->err = -E2BIG;
		return;
	}
	va_start(ap, fmt);
	if (vasprintf(&a->argv[a->nr], fmt, ap) < 0) {
		a->argv[a->nr] = NULL;
		a->err = -ENOMEM;
	} else {
		a->nr++;
	}
	va_end(ap);
}

/* In QEMU's options a comma ends a value; two stand for one. */
static const char *escape(const char *path, char *buf, size_t size)
{
	size_t n = 0;

	for (; *path && n + 2 < size; path++) {
		buf[n++] = *path;
		if (*path == ',')
			buf[n++] = ',';
	}
	buf[n] = '\0';
	return buf;
}

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

int images__find(struct images *im, const char *kernel_link, const char *qemu_link,
		 const char *rootfs_link)
{
	char kernel_dir[PATH_MAX], qemu_dir[PATH_MAX], rootfs_dir[PATH_MAX];
	struct stat st;
	int err;

	err = follow(kernel_dir, kernel_link, "kernel") ?:
	      follow(qemu_dir, qemu_link, "qemu") ?:
	      follow(rootfs_dir, rootfs_link, "image");
	if (err)
		return err;
	err = find_file(im->kernel, kernel_dir, "bzImage", "kernel", false) ?:
	      find_file(im->qemu, qemu_dir, "qemu-system-x86_64", "qemu", true) ?:
	      find_file(im->share, qemu_dir, "share", "qemu", false) ?:
	      find_file(im->rootfs, rootfs_dir, "root.erofs", "image", false) ?:
	      read_id(im->kernel_id, kernel_dir) ?:
	      read_id(im->qemu_id, qemu_dir) ?:
	      read_id(im->rootfs_id, rootfs_dir);
	if (err)
		return err;
	if (stat(im->rootfs, &st))
		return -errno;
	im->rootfs_bytes = (uint64_t)st.st_size;
	if (!im->rootfs_bytes || im->rootfs_bytes % (2 * MIB)) {
		say__error("%s: size %" PRIu64 " is not a multiple of 2 MiB: `make image` again",
			   im->rootfs, im->rootfs_bytes);
		return -EINVAL;
	}
	return 0;
}

static void push_machine(struct qemu_args *a, const struct images *im, const char *accel)
{
	bool kvm = !strcmp(accel, "kvm");

	push(a, "%s", im->qemu);
	push(a, "-L");
	push(a, "%s", im->share);
	push(a, "-nodefaults");
	push(a, "-no-user-config");
	push(a, "-machine");
	push(a, "pc,nvdimm=on,hpet=off");
	push(a, "-accel");
	push(a, "%s", kvm ? "kvm" : "tcg,thread=single");
	push(a, "-cpu");
	push(a, "%s", kvm ? CPU_KVM : CPU_TCG);
}

/*
 * NVDIMM n becomes /dev/pmem<n>. QEMU describes them to the guest in the order
 * of a hash of their names, which is ascending for nv0 and nv1.
 */
static void push_nvdimm(struct qemu_args *a, int n, const char *path, uint64_t size)
{
	char buf[2 * PATH_MAX];

	push(a, "-object");
	push(a, "memory-backend-file,id=image%d,mem-path=%s,share=on,readonly=on,size=%" PRIu64,
	     n, escape(path, buf, sizeof(buf)), size);
	push(a, "-device");
	push(a, "nvdimm,id=nv%d,memdev=image%d,unarmed=on", n, n);
}

static void push_file_chardev(struct qemu_args *a, const char *id, const char *dir,
			      const char *name)
{
	char buf[2 * PATH_MAX];

	push(a, "-chardev");
	push(a, "file,id=%s,path=%s/%s", id, escape(dir, buf, sizeof(buf)), name);
}

static void push_balloon(struct qemu_args *a, const struct cell *c)
{
	char props[1024] = "";
	const char *key;
	json_t *value;
	size_t n = 0;

	json_object_foreach(c->device, key, value) {
		n += (size_t)snprintf(props + n, sizeof(props) - n, ",%s=%s", key,
				      json_string_value(value));
		if (n >= sizeof(props)) {
			a->err = -E2BIG;
			return;
		}
	}
	/*
	 * Without ioeventfd the device works while the guest's notification
	 * traps: the answer does not come at a random virtual time.
	 */
	push(a, "-device");
	push(a, "virtio-balloon-pci,id=balloon0,ioeventfd=off,x-report-ack-base-ns=%" PRIu64
	     ",x-report-ack-per-chunk-ns=%" PRIu64 "%s",
	     c->ack_base_ns, c->ack_per_chunk_ns, props);
}

/* The arm's parameters come last: they are all that differs between arms. */
static void push_kernel_params(struct qemu_args *a, const struct cell *c)
{
	char more[1024] = "";
	const char *key;
	json_t *value;
	size_t n = 0;

	json_object_foreach(c->kernel_params, key, value) {
		n += (size_t)snprintf(more + n, sizeof(more) - n, " %s=%s", key,
				      json_string_value(value));
		if (n >= sizeof(more)) {
			a->err = -E2BIG;
			return;
		}
	}
	push(a, "-append");
	push(a, KERNEL_CMDLINE " page_reporting.page_reporting_order=%u page_reporting.delay_ms=%u"
	     " page_reporting.capacity=%u%s", c->order, c->delay_ms, c->capacity, more);
}

int qemu__args(struct qemu_args *a, const struct cell *c, const struct images *im,
	       const struct qemu_files *files)
{
	char buf[2 * PATH_MAX];

	memset(a, 0, sizeof(*a));
	push_machine(a, im, c->accel);
	push(a, "-smp");
	push(a, "%u", c->vcpus);
	push(a, "-m");
	push(a, "size=%" PRIu64 "M,slots=4,maxmem=128G", cell__ram_bytes(c) / MIB);
	if (!strcmp(c->clock, "virtual")) {
		push(a, "-icount");
		push(a, "shift=0,sleep=off,align=off");
		push(a, "-rtc");
		push(a, "clock=vm,base=2020-01-01T00:00:00");
		push(a, "-seed");
		push(a, "%" PRIu64, cell__guest_seed(c) & UINT32_MAX);
	}
	/* When the guest ends it stays, stopped, until its counters are read. */
	push(a, "-action");
	push(a, files->qmp_fd < 0 ? "reboot=shutdown" : "reboot=shutdown,shutdown=pause");
	push(a, "-kernel");
	push(a, "%s", im->kernel);
	push_kernel_params(a, c);
	push_nvdimm(a, 0, im->rootfs, im->rootfs_bytes);
	push_nvdimm(a, 1, files->payload, files->payload_bytes);
	push(a, "-fw_cfg");
	push(a, "name=opt/org.hintbuf/cell,file=%s/cell.env",
	     escape(files->dir, buf, sizeof(buf)));
	push_balloon(a, c);
	push(a, "-device");
	push(a, "virtio-serial-pci,id=ports,ioeventfd=off,max_ports=4");
	push_file_chardev(a, "work", files->dir, "work.stream");
	push(a, "-device");
	push(a, "virtserialport,bus=ports.0,nr=1,chardev=work,name=org.hintbuf.work");
	push_file_chardev(a, "trace", files->dir, "trace.stream");
	push(a, "-device");
	push(a, "virtserialport,bus=ports.0,nr=2,chardev=trace,name=org.hintbuf.trace");
	push(a, "-display");
	push(a, "none");
	if (files->qmp_fd < 0) {
		push(a, "-chardev");
		push(a, "stdio,id=console,mux=on,signal=off");
		push(a, "-mon");
		push(a, "chardev=console,mode=readline");
	} else {
		push_file_chardev(a, "console", files->dir, "console.log");
		push(a, "-chardev");
		push(a, "socket,id=qmp,fd=%d", files->qmp_fd);
		push(a, "-mon");
		push(a, "chardev=qmp,mode=control");
	}
	push(a, "-serial");
	push(a, "chardev:console");
	if (a->err) {
		int err = a->err;

		qemu__free(a);
		return err;
	}
	return 0;
}

int qemu__probe_args(struct qemu_args *a, const struct images *im, const char *accel,
		     const char *console)
{
	char buf[2 * PATH_MAX];
	int err;

	memset(a, 0, sizeof(*a));
	push_machine(a, im, accel);
	push(a, "-m");
	push(a, "256M");
	push(a, "-no-reboot");
	push(a, "-kernel");
	push(a, "%s", im->kernel);
	push(a, "-append");
	push(a, "console=ttyS0 panic=-1");
	push(a, "-display");
	push(a, "none");
	push(a, "-serial");
	push(a, "file:%s", escape(console, buf, sizeof(buf)));
	err = a->err;
	if (err)
		qemu__free(a);
	return err;
}

void qemu__free(struct qemu_args *a)
{
	unsigned int i;

	for (i = 0; i < a->nr; i++)
		free(a->argv[i]);
	memset(a, 0, sizeof(*a));
}

char *qemu__quoted(const struct qemu_args *a)
{
	const char *plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
			    "-_=./:,+@%";
	char *text = NULL;
	unsigned int i;
	size_t len;
	FILE *f;

	f = open_memstream(&text, &len);
	if (!f)
		return NULL;
	for (i = 0; i < a->nr; i++) {
		const char *s = a->argv[i];

		if (i)
			fputc(' ', f);
		if (*s && strspn(s, plain) == strlen(s)) {
			fputs(s, f);
			continue;
		}
		fputc('\'', f);
		for (; *s; s++) {
			if (*s == '\'')
				fputs("'\\''", f);
			else
				fputc(*s, f);
		}
		fputc('\'', f);
	}
	if (fclose(f)) {
		free(text);
		return NULL;
	}
	return text;
}

void qemu__exec(const struct qemu_args *a, int keep_fd)
{
	struct rlimit file = { QEMU_MAX_FILE, QEMU_MAX_FILE }, core = { 0, 0 };
	sigset_t none;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setrlimit(RLIMIT_FSIZE, &file);
	setrlimit(RLIMIT_CORE, &core);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (keep_fd >= 0)
		fcntl(keep_fd, F_SETFD, 0);
	execv(a->argv[0], a->argv);
	dprintf(STDERR_FILENO, "hintrun: cannot run %s: %s\n", a->argv[0], strerror(errno));
	_exit(127);
}
