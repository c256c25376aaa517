// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/num.h"
#include "run/vm/boot.h"
#include "run/vm/qemu.h"
#include "run/util.h"

struct boot {
	const char *kernel, *qemu, *rootfs;	/* folders, or the kernel itself */
	const char *root_on;			/* nvdimm, disk or none */
	const char *accel, *clock, *threads, *at_end;
	uint64_t mem_bytes, vcpus, seed, agent_fd, qmp_fd, max_file;
	const char *initrd, *append, *cpu, *payload, *cell, *balloon, *ports, *console, *qmp, *gdb;
	bool is_halted, is_dry;
};

enum option_type { OPT_TEXT, OPT_WORD, OPT_SIZE, OPT_COUNT, OPT_FLAG };

static const struct boot_option {
	const char *name;
	enum option_type type;
	size_t offset;
	uint64_t min, max;
	const char *allowed;	/* for people; the words themselves of an OPT_WORD */
	const char *what;
} table[] = {
#define AT(m)	offsetof(struct boot, m)
	{ "mem", OPT_SIZE, AT(mem_bytes), 16 * MIB, CELL_MEM_MAX, "16M to 64G",
	  "memory, all of it (512M)" },
	{ "vcpus", OPT_COUNT, AT(vcpus), 1, 64, "1 to 64", "virtual CPUs (1)" },
	{ "accel", OPT_WORD, AT(accel), 0, 0, "tcg|kvm", "accelerator (tcg)" },
	{ "clock", OPT_WORD, AT(clock), 0, 0, "real|virtual",
	  "guest time: wall time, or instructions executed (real)" },
	{ "threads", OPT_WORD, AT(threads), 0, 0, "single|multi",
	  "host threads for the vCPUs under tcg (single)" },
	{ "cpu", OPT_TEXT, AT(cpu), 0, 0, "FEATURES", "more of the CPU, such as +pdpe1gb" },
	{ "seed", OPT_COUNT, AT(seed), 0, UINT32_MAX, "0 to 4294967295",
	  "of QEMU's random numbers under the virtual clock (1)" },
	{ "kernel", OPT_TEXT, AT(kernel), 0, 0, "DIR|FILE", "folder of bzImage, or the kernel" },
	{ "qemu", OPT_TEXT, AT(qemu), 0, 0, "DIR", "folder of QEMU and its firmware" },
	{ "rootfs", OPT_TEXT, AT(rootfs), 0, 0, "DIR", "folder of root.erofs" },
	{ "root-on", OPT_WORD, AT(root_on), 0, 0, "nvdimm|disk|none",
	  "what root and payload are on (nvdimm)" },
	{ "initrd", OPT_TEXT, AT(initrd), 0, 0, "FILE", "initial root of a kernel of its own" },
	{ "append", OPT_TEXT, AT(append), 0, 0, "TEXT", "further kernel parameters" },
	{ "payload", OPT_TEXT, AT(payload), 0, 0, "FILE", "tar with the guest's init" },
	{ "cell", OPT_TEXT, AT(cell), 0, 0, "FILE", "cell.env for the guest" },
	{ "balloon", OPT_TEXT, AT(balloon), 0, 0, "PROPERTIES",
	  "properties of the balloon device, may be empty; without: no device" },
	{ "ports", OPT_TEXT, AT(ports), 0, 0, "DIR",
	  "ports work and trace, into DIR/work.stream and DIR/trace.stream" },
	{ "console", OPT_TEXT, AT(console), 0, 0, "FILE", "its console (the terminal)" },
	{ "agent-fd", OPT_COUNT, AT(agent_fd), 0, 65535, "0 to 65535",
	  "socket of the second serial port" },
	{ "qmp-fd", OPT_COUNT, AT(qmp_fd), 0, 65535, "0 to 65535", "socket for QMP" },
	{ "qmp", OPT_TEXT, AT(qmp), 0, 0, "PATH", "socket that somebody listens on for QMP" },
	{ "at-end", OPT_WORD, AT(at_end), 0, 0, "exit|stay", "when the guest ends (exit)" },
	{ "max-file", OPT_SIZE, AT(max_file), MIB, 1ULL << 44, "1M to 16T",
	  "no file that QEMU writes grows beyond this, a disk of the guest's neither (512M)" },
	{ "gdb", OPT_TEXT, AT(gdb), 0, 0, "tcp::PORT|unix:PATH,server=on,wait=off",
	  "a debugger's stub listens there" },
	{ "halted", OPT_FLAG, AT(is_halted), 0, 0, "", "wait for a debugger or QMP" },
	{ "dry-run", OPT_FLAG, AT(is_dry), 0, 0, "", "print QEMU's command line, boot nothing" },
#undef AT
};

#define NO_FD	UINT64_MAX

static bool is_word(const char *value, const char *words)
{
	size_t len = strlen(value);
	const char *p;

	for (p = words; (p = strstr(p, value)); p++)
		if (len && (p == words || p[-1] == '|') && (p[len] == '\0' || p[len] == '|'))
			return true;
	return false;
}

static int set_option(struct boot *b, const struct boot_option *o, const char *value)
{
	void *p = (char *)b + o->offset;
	bool good = true;

	switch (o->type) {
	case OPT_WORD:
		good = is_word(value, o->allowed);
		/* fall through */
	case OPT_TEXT:
		*(const char **)p = value;
		break;
	case OPT_SIZE:
		good = !num__size(value, o->min, o->max, p);
		break;
	case OPT_COUNT:
		good = !num__u64(value, o->min, o->max, p);
		break;
	case OPT_FLAG:
		*(bool *)p = true;
		break;
	}
	if (good)
		return 0;
	say__error("--%s: \"%.64s\"; allowed: %s", o->name, value, o->allowed);
	return -EINVAL;
}

static const struct boot_option *find_option(const char *name, size_t len)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(table); i++)
		if (strlen(table[i].name) == len && !strncmp(table[i].name, name, len))
			return &table[i];
	return NULL;
}

/* "--name value", "--name=value" or "--flag"; what follows "--" is QEMU's. */
static int read_options(struct boot *b, struct machine *m, int argc, char **argv)
{
	int i, err = 0;

	for (i = 0; !err && i < argc; i++) {
		const struct boot_option *o = NULL;
		const char *eq;

		if (!strcmp(argv[i], "--")) {
			m->more = argv + i + 1;
			return 0;
		}
		eq = strchrnul(argv[i], '=');
		if (!strncmp(argv[i], "--", 2))
			o = find_option(argv[i] + 2, (size_t)(eq - argv[i] - 2));
		if (!o) {
			say__error("boot: there is no option %.64s (see --help)", argv[i]);
			return -EINVAL;
		}
		if (o->type == OPT_FLAG) {
			err = set_option(b, o, "");
		} else if (*eq) {
			err = set_option(b, o, eq + 1);
		} else if (i + 1 < argc) {
			err = set_option(b, o, argv[++i]);
		} else {
			say__error("%s needs a value (see --help)", argv[i]);
			err = -EINVAL;
		}
	}
	return err;
}

static const char *default_dir(char *buf, const char *root, const char *name)
{
	return str__fmt(buf, PATH_MAX, "%s/build/%s", root, name) ? NULL : buf;
}

static bool is_folder(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISDIR(st.st_mode);
}

static int find_images(const struct boot *b, struct images *im, const char *root)
{
	char kernel[PATH_MAX], qemu[PATH_MAX], rootfs[PATH_MAX];
	const char *kernel_dir = b->kernel ? b->kernel : default_dir(kernel, root, "kernel");
	int err;

	err = images__find_files(im, is_folder(kernel_dir) || !b->kernel ? kernel_dir : NULL,
				 b->qemu ? b->qemu : default_dir(qemu, root, "qemu"),
				 !strcmp(b->root_on, "none") ? NULL :
				 b->rootfs ? b->rootfs : default_dir(rootfs, root, "rootfs"));
	if (!err && !*im->kernel) {
		err = str__fmt(im->kernel, sizeof(im->kernel), "%s", b->kernel);
		if (!err && access(im->kernel, R_OK)) {
			err = -errno;
			say__error("cannot read the kernel %s: %s", im->kernel, strerror(-err));
		}
	}
	return err;
}

static void make_machine(const struct boot *b, const struct images *im, struct machine *m)
{
	m->qemu = im->qemu;
	m->share = im->share;
	m->kernel = im->kernel;
	m->initrd = b->initrd;
	m->append = b->append;
	m->accel = b->accel;
	m->cpu = b->cpu;
	m->is_parallel = !strcmp(b->threads, "multi");
	m->is_virtual = !strcmp(b->clock, "virtual");
	m->seed = (uint32_t)b->seed;
	m->ram_bytes = b->mem_bytes;
	m->vcpus = (unsigned int)b->vcpus;
	m->root = *im->rootfs ? im->rootfs : NULL;
	m->payload = b->payload;
	m->is_on_disks = !strcmp(b->root_on, "disk");
	m->cell_env = b->cell;
	m->balloon = b->balloon;
	m->ports = b->ports;
	m->console = b->console;
	m->agent_fd = b->agent_fd == NO_FD ? -1 : (int)b->agent_fd;
	m->qmp_fd = b->qmp_fd == NO_FD ? -1 : (int)b->qmp_fd;
	m->qmp = b->qmp;
	m->stays = !strcmp(b->at_end, "stay");
	m->is_halted = b->is_halted;
	m->gdb = b->gdb;
}

int boot__run(const char *root, int argc, char **argv)
{
	struct boot b = {
		.root_on = "nvdimm", .accel = "tcg", .clock = "real", .threads = "single",
		.at_end = "exit", .mem_bytes = 512 * MIB, .vcpus = 1, .seed = 1,
		.agent_fd = NO_FD, .qmp_fd = NO_FD, .max_file = QEMU_MAX_FILE,
	};
	struct machine m = { .more = NULL };
	struct qemu_args args;
	struct images im;
	char *quoted;

	if (read_options(&b, &m, argc, argv))
		return EXIT_USAGE;
	if (!strcmp(b.accel, "kvm") && !strcmp(b.clock, "virtual")) {
		say__error("--clock virtual counts instructions, which needs --accel tcg, not kvm");
		return EXIT_USAGE;
	}
	if (b.initrd && !b.rootfs)
		b.root_on = "none";
	if (find_images(&b, &im, root))
		return EXIT_INFRASTRUCTURE;
	make_machine(&b, &im, &m);
	if (qemu__args(&args, &m))
		return EXIT_INFRASTRUCTURE;
	if (!b.is_dry)
		qemu__exec(&args, -1, b.max_file);
	quoted = qemu__quoted(&args);
	if (quoted)
		puts(quoted);
	qemu__free(&args);
	free(quoted);
	return quoted ? EXIT_DONE : EXIT_INFRASTRUCTURE;
}

void boot__options(const struct usage *u)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(table); i++) {
		const struct boot_option *o = &table[i];
		bool is_number = o->type == OPT_SIZE || o->type == OPT_COUNT;
		const char *arg = o->type == OPT_FLAG  ? NULL :
				  o->type == OPT_SIZE  ? "SIZE" :
				  o->type == OPT_COUNT ? "N" :
							 o->allowed;
		char what[256];

		snprintf(what, sizeof(what), "%s%s%s", o->what, is_number ? "; " : "",
			 is_number ? o->allowed : "");
		usage__option(u, 0, o->name, arg, what);
	}
}

void boot__help(const struct usage *u)
{
	usage__head(u, "hintrun boot", "[OPTION...] [-- QEMU-OPTION...]",
		    "Boots one guest and becomes its QEMU.");
	usage__group(u, "Options", NULL, "boot");
	boot__options(u);
	usage__section(u, "Examples",
		       "  hintrun boot --mem 512M --payload payload.tar --console console.log\n"
		       "  hintrun boot --clock virtual --balloon free-page-reporting=on --dry-run\n"
		       "  hintrun boot --vcpus 2 -- -object memory-backend-ram,id=hot,size=1G \\\n"
		       "      -device virtio-mem-pci,memdev=hot\n");
	usage__section(u, "Exit status", "QEMU's; 2 wrong usage; 69 something is missing.\n");
}
