// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <getopt.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/num.h"
#include "common/time.h"
#include "trace/opts.h"

#ifndef HINT_VERSION
#define HINT_VERSION "0.1"
#endif

static const char help_text[] =
"Usage: hinttrace [OPTION]...\n"
"Watches free page hinting, paging and the allocator's failures with BPF, and\n"
"tells for each failed allocation, stall and OOM kill how much memory hinting\n"
"held in each zone at that instant.\n"
"\n"
"Output (text on standard output unless one of these is given)\n"
"  -j, --json            JSON lines on standard output\n"
"      --stream PATH     JSON lines to PATH, a virtio port or a file\n"
"      --interval MS     time between guest samples in JSON (default 100, 10-60000)\n"
"      --ready PATH      write our process id to PATH once everything is attached\n"
"      --metrics FILE    counters and histograms as OpenMetrics text, every 10 s and\n"
"                        at the end, as the textfile collector of a node exporter wants\n"
"What to run\n"
"  -d, --duration SEC    stop after SEC seconds (default: at SIGINT or SIGTERM)\n"
"      --objects DIR     folder of hint.bpf.o, swap.bpf.o, allocfail.bpf.o and\n"
"                        sample.bpf.o (default: bpf/ beside this program)\n"
"      --pinned DIR      adopt the programs pinned in DIR instead of loading their\n"
"                        object; once for each object\n"
"      --strict          fail unless every probe that has no stand-in is attached\n"
"      --own NAME        tasks of this name belong to the toolkit, as hinttrace does:\n"
"                        what they ask for is marked; several are allowed\n"
"      --unprotected     do not lock memory, do not leave the OOM killer's list\n"
"      --replay FILE     print the screens of the kills in FILE, a record or what -j\n"
"                        wrote; with -j a line of verdict for each kill\n"
"What there is\n"
"      --list            events and histograms\n"
"      --list-fields     what the line of each event holds: kind, name, form\n"
"      --list-probes     every probe, and whether this kernel has its hook\n"
"      --dry-run         load into the kernel, attach nothing, show the probes\n"
"  -v, --verbose         messages of libbpf and the verifier\n"
"  -V, --version\n"
"  -h, --help\n"
"\n"
"Examples\n"
"  hinttrace -d 60                  # who was killed in the next minute, and why\n"
"  hinttrace -j | grep oom_kill     # the same as JSON\n"
"  hinttrace --stream /dev/virtio-ports/org.hintbuf.trace --ready /run/trace.pid\n"
"  bpftool prog loadall bpf/hint.bpf.o /sys/fs/bpf/hint autoattach &&\n"
"      hinttrace --pinned /sys/fs/bpf/hint\n"
"\n"
"Needs root, Linux 5.17 or later with CONFIG_DEBUG_INFO_BTF, and for the state of\n"
"the zones CONFIG_KALLSYMS_ALL. Without our page_reporting tracepoints it falls\n"
"back to functions of the kernel, and knows nothing of a hinting buffer.\n"
"\n"
"Exit status: 0 done; 1 records were lost on their way out; 2 wrong usage;\n"
"69 this kernel or this user cannot trace.\n";

enum {
	OPT_STREAM = 256, OPT_INTERVAL, OPT_READY, OPT_OBJECTS, OPT_PINNED, OPT_STRICT,
	OPT_UNPROTECTED, OPT_LIST, OPT_LIST_PROBES,
	OPT_LIST_FIELDS, OPT_OWN, OPT_DRY_RUN, OPT_REPLAY, OPT_METRICS,
};

static const struct option long_options[] = {
	{ "json", no_argument, NULL, 'j' },
	{ "stream", required_argument, NULL, OPT_STREAM },
	{ "interval", required_argument, NULL, OPT_INTERVAL },
	{ "metrics", required_argument, NULL, OPT_METRICS },
	{ "replay", required_argument, NULL, OPT_REPLAY },
	{ "ready", required_argument, NULL, OPT_READY },
	{ "duration", required_argument, NULL, 'd' },
	{ "objects", required_argument, NULL, OPT_OBJECTS },
	{ "pinned", required_argument, NULL, OPT_PINNED },
	{ "strict", no_argument, NULL, OPT_STRICT },
	{ "unprotected", no_argument, NULL, OPT_UNPROTECTED },
	{ "list", no_argument, NULL, OPT_LIST },
	{ "list-probes", no_argument, NULL, OPT_LIST_PROBES },
	{ "list-fields", no_argument, NULL, OPT_LIST_FIELDS },
	{ "own", required_argument, NULL, OPT_OWN },
	{ "dry-run", no_argument, NULL, OPT_DRY_RUN },
	{ "verbose", no_argument, NULL, 'v' },
	{ "version", no_argument, NULL, 'V' },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

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

/* bpf/ beside the program. */
static int default_objects(char *path)
{
	char self[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (len < 0) {
		fprintf(stderr, "hinttrace: cannot tell where this program is: %s; give the folder of the objects with --objects\n",
			strerror(errno));
		return -EINVAL;
	}
	self[len] = '\0';
	if (snprintf(path, PATH_MAX, "%s/bpf", dirname(self)) >= PATH_MAX)
		return bad_value("--objects", self, "a path short enough");
	return 0;
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
		fputs(help_text, stdout);
		return 1;
	}
	fprintf(stderr, "See hinttrace --help.\n");
	return -EINVAL;
}

int opts__parse(struct opts *o, int argc, char **argv)
{
	int c, ret;

	memset(o, 0, sizeof(*o));
	o->interval_ns = 100 * NSEC_PER_MSEC;
	while ((c = getopt_long(argc, argv, "jd:vVh", long_options, NULL)) != -1) {
		ret = parse_one(o, c);
		if (ret)
			return ret;
	}
	if (optind < argc)
		return bad_value("argument", argv[optind], "an option");
	return o->objects[0] ? 0 : default_objects(o->objects);
}
