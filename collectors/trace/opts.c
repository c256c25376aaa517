// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <getopt.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/num.h"
#include "common/time.h"
#include "common/usage.h"
#include "trace/opts.h"

#ifndef HINT_VERSION
#define HINT_VERSION "0.1"
#endif

enum {
	OPT_STREAM = 256,
	OPT_INTERVAL,
	OPT_READY,
	OPT_OBJECTS,
	OPT_PINNED,
	OPT_STRICT,
	OPT_UNPROTECTED,
	OPT_LIST,
	OPT_LIST_PROBES,
	OPT_LIST_FIELDS,
	OPT_OWN,
	OPT_DRY_RUN,
	OPT_REPLAY,
	OPT_METRICS,
	OPT_KILLS,
	OPT_DROP_CAPS,
};

/* Every option: what is parsed, --help, the man page and the completion come from here. */
static const struct option_def {
	int val; /* a letter: there is a short form; 0: a group begins */
	const char *name;
	const char *arg; /* NULL: takes none; of a group: a note */
	const char *what;
} table[] = {
#define GROUP(title, note)           \
	{                            \
		0, title, note, NULL \
	}
	GROUP("Output", "text on standard output unless one of these is given"),
	{ 'j', "json", NULL, "JSON lines on standard output" },
	{ OPT_STREAM, "stream", "PATH", "JSON lines to PATH, a virtio port or a file" },
	{ OPT_INTERVAL, "interval", "MS",
	  "time between guest samples in JSON (default 100, 10-60000)" },
	{ OPT_READY, "ready", "PATH", "write our process id to PATH once everything is attached" },
	{ OPT_METRICS, "metrics", "FILE",
	  "counters and histograms as OpenMetrics text, every 10 s and at the end, as the textfile collector of a node exporter wants" },
	{ OPT_KILLS, "kills", NULL,
	  "of text, only the screens of kills: no line for each event, no histograms" },
	GROUP("What to run", NULL),
	{ 'd', "duration", "SEC", "stop after SEC seconds (default: at SIGINT or SIGTERM)" },
	{ OPT_OBJECTS, "objects", "DIR",
	  "folder of hint.bpf.o, swap.bpf.o, allocfail.bpf.o and sample.bpf.o (default: bpf/ beside this program, or ../lib/hinttrace/bpf/ from there)" },
	{ OPT_PINNED, "pinned", "DIR",
	  "adopt the programs pinned in DIR instead of loading their object; once for each object" },
	{ OPT_STRICT, "strict", NULL, "fail unless every probe that has no stand-in is attached" },
	{ OPT_OWN, "own", "NAME",
	  "tasks of this name belong to the toolkit, as hinttrace does: what they ask for is marked; several are allowed" },
	{ OPT_UNPROTECTED, "unprotected", NULL,
	  "do not lock memory, do not leave the OOM killer's list" },
	{ OPT_DROP_CAPS, "drop-caps", NULL,
	  "once everything is attached, give up every capability but CAP_BPF" },
	{ OPT_REPLAY, "replay", "FILE",
	  "print the screens of the kills in FILE, a record or what -j wrote; with -j a line of verdict for each kill" },
	GROUP("What there is", NULL),
	{ OPT_LIST, "list", NULL, "events and histograms" },
	{ OPT_LIST_FIELDS, "list-fields", NULL,
	  "what the line of each event holds: kind, name, form" },
	{ OPT_LIST_PROBES, "list-probes", NULL,
	  "every probe, and whether this kernel has its hook" },
	{ OPT_DRY_RUN, "dry-run", NULL, "load into the kernel, attach nothing, show the probes" },
	{ 'v', "verbose", NULL, "messages of libbpf and the verifier" },
	{ 'V', "version", NULL, "print the version" },
	{ 'h', "help", NULL, "print this" },
#undef GROUP
};

#define NR_TABLE (sizeof(table) / sizeof(table[0]))

static void print_help(bool as_table)
{
	const struct usage u = { .to = stdout, .table = as_table, .column = 24 };

	usage__head(
		&u, "hinttrace", "[OPTION]...",
		"Watches free page hinting, paging and the allocator's failures with BPF, and tells for each failed allocation, stall and OOM kill how much memory hinting held in each zone at that instant.");
	for (size_t i = 0; i < NR_TABLE; i++) {
		const struct option_def *o = &table[i];

		if (o->val)
			usage__option(&u, o->val < 256 ? o->val : 0, o->name, o->arg, o->what);
		else
			usage__group(&u, o->name, o->arg, NULL);
	}
	usage__section(
		&u, "Examples",
		"  hinttrace -d 60                  # who was killed in the next minute, and why\n"
		"  hinttrace -j | grep oom_kill     # the same as JSON\n"
		"  hinttrace --stream /dev/virtio-ports/org.hintbuf.trace --ready /run/trace.pid\n"
		"  bpftool prog loadall bpf/hint.bpf.o /sys/fs/bpf/hint autoattach &&\n"
		"      hinttrace --pinned /sys/fs/bpf/hint\n");
	usage__section(
		&u, "Needs",
		"Root, or CAP_BPF, CAP_PERFMON, CAP_SYSLOG and CAP_SYS_ADMIN with room to lock memory\n"
		"(man hinttrace); Linux 5.17 or later with CONFIG_DEBUG_INFO_BTF, and for the state\n"
		"of the zones CONFIG_KALLSYMS_ALL. Without our page_reporting tracepoints it falls\n"
		"back to functions of the kernel, and knows nothing of a hinting buffer.\n");
	usage__section(&u, "Exit status",
		       "0 done; 1 records were lost on their way out; 2 wrong usage;\n"
		       "69 this kernel or this user cannot trace.\n");
}

static int bad_value(const char *option, const char *value, const char *allowed)
{
	fprintf(stderr, "hinttrace: %s: '%s' is not %s; see hinttrace --help\n", option, value,
		allowed);
	return -EINVAL;
}

static int set_path(char *path, const char *value)
{
	if (strlen(value) >= PATH_MAX || !*value)
		return bad_value("--objects", value, "a path");
	strcpy(path, value);
	return 0;
}

static bool has_objects(const char *dir)
{
	char file[PATH_MAX + 16];

	snprintf(file, sizeof(file), "%s/hint.bpf.o", dir);
	return !access(file, F_OK);
}

/* bpf/ beside the program; where `make install` puts them when only that is there. */
static int default_objects(char *path)
{
	char self[PATH_MAX], *dir;
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (len < 0) {
		fprintf(stderr, "hinttrace: cannot tell where this program is: %s; give the folder of the objects with --objects\n",
			strerror(errno));
		return -EINVAL;
	}
	self[len] = '\0';
	dir = dirname(self);
	if (snprintf(path, PATH_MAX, "%s/bpf", dir) < PATH_MAX && has_objects(path))
		return 0;
	if (snprintf(path, PATH_MAX, "%s/../lib/hinttrace/bpf", dir) < PATH_MAX &&
	    has_objects(path))
		return 0;
	if (snprintf(path, PATH_MAX, "%s/bpf", dir) >= PATH_MAX)
		return bad_value("--objects", self, "a path short enough");
	return 0; /* whoever opens them says that they are not there */
}

static int parse_one(struct opts *o, int c)
{
	uint64_t ms;
	double seconds;

	switch (c) {
	case 'j':
		o->json = true;
		return 0;
	case 'v':
		o->verbose = true;
		return 0;
	case 'd':
		if (num__double(optarg, 0.001, 31536000, &seconds))
			return bad_value("--duration", optarg, "a number of seconds from 0.001 to 31536000");
		o->duration_ns = (__u64)(seconds * 1e9);
		return 0;
	case OPT_INTERVAL:
		if (num__u64(optarg, 10, 60000, &ms))
			return bad_value("--interval", optarg, "a number of milliseconds from 10 to 60000");
		o->interval_ns = ms * NSEC_PER_MSEC;
		return 0;
	case OPT_PINNED:
		if (o->nr_pinned == MAX_PINNED)
			return bad_value("--pinned", optarg, "one of at most three folders");
		o->pinned[o->nr_pinned++] = optarg;
		return 0;
	case OPT_OBJECTS:
		return set_path(o->objects, optarg);
	case OPT_STREAM:
		o->stream = optarg;
		return 0;
	case OPT_READY:
		o->ready = optarg;
		return 0;
	case OPT_METRICS:
		o->metrics = optarg;
		return 0;
	case OPT_REPLAY:
		o->replay = optarg;
		o->mode = MODE_REPLAY;
		return 0;
	case OPT_STRICT:
		o->strict = true;
		return 0;
	case OPT_UNPROTECTED:
		o->unprotected = true;
		return 0;
	case OPT_KILLS:
		o->kills = true;
		return 0;
	case OPT_DROP_CAPS:
		o->drop_caps = true;
		return 0;
	case OPT_LIST:
		o->mode = MODE_LIST;
		return 0;
	case OPT_LIST_PROBES:
		o->mode = MODE_LIST_PROBES;
		return 0;
	case OPT_LIST_FIELDS:
		o->mode = MODE_LIST_FIELDS;
		return 0;
	case OPT_OWN:
		if (o->nr_own == EVENTS_MAX_OWN)
			return bad_value("--own", optarg, "one of at most 16 names");
		if (!*optarg || strlen(optarg) >= HINT_COMM_LEN)
			return bad_value("--own", optarg, "a name of 1 to 15 bytes");
		o->own[o->nr_own++] = optarg;
		return 0;
	case OPT_DRY_RUN:
		o->mode = MODE_DRY_RUN;
		return 0;
	case 'V':
		puts("hinttrace " HINT_VERSION);
		return 1;
	case 'h':
		if (optarg && strcmp(optarg, "table"))
			return bad_value("--help", optarg, "the word table");
		print_help(optarg != NULL);
		return 1;
	}
	fprintf(stderr, "See hinttrace --help.\n");
	return -EINVAL;
}

/* The table in the form that getopt_long() wants; letters has room for two a row. */
static void make_getopt(struct option *longs, char *letters)
{
	for (size_t i = 0; i < NR_TABLE; i++) {
		const struct option_def *o = &table[i];

		if (!o->val)
			continue;
		*longs++ = (struct option){
			.name = o->name,
			.val = o->val,
			.has_arg = o->val == 'h' ? optional_argument :
				   o->arg	 ? required_argument :
						   no_argument,
		};
		if (o->val > 255)
			continue;
		*letters++ = (char)o->val;
		if (o->arg)
			*letters++ = ':';
	}
	*longs = (struct option){ 0 };
	*letters = '\0';
}

int opts__parse(struct opts *o, int argc, char **argv)
{
	struct option longs[NR_TABLE + 1];
	char letters[2 * NR_TABLE + 1];
	int c, ret;

	memset(o, 0, sizeof(*o));
	o->interval_ns = 100 * NSEC_PER_MSEC;
	make_getopt(longs, letters);
	while ((c = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
		ret = parse_one(o, c);
		if (ret)
			return ret;
	}
	if (optind < argc)
		return bad_value("argument", argv[optind], "an option");
	if (o->kills && (o->json || o->stream)) {
		fprintf(stderr,
			"hinttrace: --kills is of text: it goes with neither --json nor --stream; see hinttrace --help\n");
		return -EINVAL;
	}
	return o->objects[0] ? 0 : default_objects(o->objects);
}
