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
 * The same for all guests, whatever their memory. The kernel sizes its hash
 * tables by all memory it finds at boot, the buffer included; fixed sizes keep
 * the guests alike.
 */
#define CMDLINE_FIRST	"console=ttyS0 panic=-1 oops=panic nokaslr"
#define CMDLINE_ROOT	" root=/dev/%s rootfstype=erofs ro init=/sbin/hint-init"
#define CMDLINE_LAST \
	" loglevel=6 tsc=reliable clocksource=tsc no_timer_check" \
	" random.trust_cpu=on random.trust_bootloader=on mitigations=off" \
	" dhash_entries=65536 ihash_entries=32768 mhash_entries=1024 mphash_entries=1024" \
	" thash_entries=4096 uhash_entries=512"

/* An NVDIMM is a whole number of these. */
#define NVDIMM_ALIGN	(2 * MIB)

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

static void push_engine(struct qemu_args *a, const struct machine *m)
{
	bool kvm = !strcmp(m->accel, "kvm");

	push(a, "%s", m->qemu);
	push(a, "-L");
	push(a, "%s", m->share);
	push(a, "-nodefaults");
	push(a, "-no-user-config");
	push(a, "-machine");
	push(a, "pc,nvdimm=on,hpet=off");
	push(a, "-accel");
	push(a, "%s", kvm ? "kvm" : m->is_parallel ? "tcg,thread=multi" : "tcg,thread=single");
	push(a, "-cpu");
	push(a, "%s%s%s", kvm ? CPU_KVM : CPU_TCG, m->cpu ? "," : "", m->cpu ? m->cpu : "");
	push(a, "-smp");
	push(a, "%u", m->vcpus);
	push(a, "-m");
	push(a, "size=%" PRIu64 "M,slots=4,maxmem=128G", m->ram_bytes / MIB);
	if (!m->is_virtual)
		return;
	push(a, "-icount");
	push(a, "shift=0,sleep=off,align=off");
	push(a, "-rtc");
	push(a, "clock=vm,base=2020-01-01T00:00:00");
	push(a, "-seed");
	push(a, "%" PRIu32, m->seed);
}

static void push_kernel(struct qemu_args *a, const struct machine *m)
{
	char root[128] = "";

	if (m->root)
		snprintf(root, sizeof(root), CMDLINE_ROOT "%s", m->is_on_disks ? "vda" : "pmem0",
			 m->is_on_disks ? " rootwait" : "");
	push(a, "-kernel");
	push(a, "%s", m->kernel);
	if (m->initrd) {
		push(a, "-initrd");
		push(a, "%s", m->initrd);
	}
	push(a, "-append");
	push(a, CMDLINE_FIRST "%s" CMDLINE_LAST "%s%s", root, m->append ? " " : "",
	     m->append ? m->append : "");
}

/*
 * Image n becomes /dev/pmem<n>: QEMU describes NVDIMMs to the guest in the order
 * of a hash of their names, which is ascending for nv0 and nv1. Or /dev/vd<a+n>.
 */
static void push_image(struct qemu_args *a, const struct machine *m, int n, const char *path)
{
	char buf[2 * PATH_MAX];
	struct stat st;

	if (!path)
		return;
	if (stat(path, &st)) {
		a->err = -errno;
		say__error("cannot find the image %s: %s", path, strerror(errno));
		return;
	}
	if (m->is_on_disks) {
		push(a, "-drive");
		push(a, "if=none,id=image%d,file=%s,format=raw,readonly=on", n,
		     escape(path, buf, sizeof(buf)));
		push(a, "-device");
		push(a, "virtio-blk-pci,drive=image%d", n);
		return;
	}
	if (!st.st_size || st.st_size % (off_t)NVDIMM_ALIGN) {
		a->err = -EINVAL;
		say__error("%s: size %lld is not a multiple of 2 MiB, as an NVDIMM must be", path,
			   (long long)st.st_size);
		return;
	}
	push(a, "-object");
	push(a, "memory-backend-file,id=image%d,mem-path=%s,share=on,readonly=on,size=%lld",
	     n, escape(path, buf, sizeof(buf)), (long long)st.st_size);
	push(a, "-device");
	push(a, "nvdimm,id=nv%d,memdev=image%d,unarmed=on", n, n);
}

static void push_file_chardev(struct qemu_args *a, const char *id, const char *path)
{
	char buf[2 * PATH_MAX];

	push(a, "-chardev");
	push(a, "file,id=%s,path=%s", id, escape(path, buf, sizeof(buf)));
}

static void push_port(struct qemu_args *a, const struct machine *m, int nr, const char *name)
{
	char path[PATH_MAX];

	if (str__fmt(path, sizeof(path), "%s/%s.stream", m->ports, name)) {
		a->err = -ENAMETOOLONG;
		return;
	}
	push_file_chardev(a, name, path);
	push(a, "-device");
	push(a, "virtserialport,bus=ports.0,nr=%d,chardev=%s,name=org.hintbuf.%s", nr, name, name);
}

static void push_devices(struct qemu_args *a, const struct machine *m)
{
	char buf[2 * PATH_MAX];

	push_image(a, m, 0, m->root);
	push_image(a, m, 1, m->payload);
	if (m->cell_env) {
		push(a, "-fw_cfg");
		push(a, "name=opt/org.hintbuf/cell,file=%s",
		     escape(m->cell_env, buf, sizeof(buf)));
	}
	if (m->balloon) {
		/*
		 * Without ioeventfd the device works while the guest's notification
		 * traps: the answer does not come at a random virtual time.
		 */
		push(a, "-device");
		push(a, "virtio-balloon-pci,id=balloon0,ioeventfd=off%s%s",
		     *m->balloon ? "," : "", m->balloon);
	}
	if (m->ports) {
		push(a, "-device");
		push(a, "virtio-serial-pci,id=ports,ioeventfd=off,max_ports=4");
		push_port(a, m, 1, "work");
		push_port(a, m, 2, "trace");
	}
}

static void push_monitor(struct qemu_args *a, const char *chardev)
{
	push(a, "-mon");
	push(a, "chardev=%s,mode=control", chardev);
}

static void push_ends(struct qemu_args *a, const struct machine *m)
{
	char buf[2 * PATH_MAX];

	push(a, "-display");
	push(a, "none");
	if (m->console) {
		push_file_chardev(a, "console", m->console);
	} else {
		push(a, "-chardev");
		push(a, "stdio,id=console,mux=on,signal=off");
		push(a, "-mon");
		push(a, "chardev=console,mode=readline");
	}
	if (m->qmp_fd >= 0) {
		push(a, "-chardev");
		push(a, "socket,id=qmp,fd=%d", m->qmp_fd);
		push_monitor(a, "qmp");
	}
	if (m->qmp) {
		push(a, "-chardev");
		push(a, "socket,id=qmp-path,path=%s", escape(m->qmp, buf, sizeof(buf)));
		push_monitor(a, "qmp-path");
	}
	push(a, "-serial");
	push(a, "chardev:console");
	if (m->agent_fd >= 0) {
		push(a, "-chardev");
		push(a, "socket,id=agent,fd=%d", m->agent_fd);
		push(a, "-serial");
		push(a, "chardev:agent");
	}
	if (m->is_halted)
		push(a, "-S");
	if (m->gdb) {
		push(a, "-gdb");
		push(a, "%s", m->gdb);
	}
}

int qemu__args(struct qemu_args *a, const struct machine *m)
{
	char *const *more;
	int err;

	memset(a, 0, sizeof(*a));
	push_engine(a, m);
	/* When the guest ends it stays, stopped, until its counters are read. */
	push(a, "-action");
	push(a, m->stays ? "reboot=shutdown,shutdown=pause" : "reboot=shutdown");
	push_kernel(a, m);
	push_devices(a, m);
	push_ends(a, m);
	for (more = m->more; more && *more; more++)
		push(a, "%s", *more);
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
	char *text = NULL;
	unsigned int i;
	size_t len;
	FILE *f;

	f = open_memstream(&text, &len);
	if (!f)
		return NULL;
	for (i = 0; i < a->nr; i++) {
		if (i)
			fputc(' ', f);
		file__put_word(f, a->argv[i]);
	}
	if (fclose(f)) {
		free(text);
		return NULL;
	}
	return text;
}

void qemu__exec(const struct qemu_args *a, int keep_fd, uint64_t max_file)
{
	struct rlimit file = { max_file, max_file }, core = { 0, 0 };
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
