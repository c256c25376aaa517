// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * hintsay: writes one line of the guest stream (docs/record.md) to file
 * descriptor 3, so that shell scripts need not make JSON.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <x86intrin.h>

#include "common/json.h"
#include "common/num.h"
#include "common/status.h"
#include "common/time.h"
#include "common/zoneinfo.h"
#include "guest/say.h"

#define MAX_ZONES	64
#define MAX_WORD	64
#define MAX_PARAMETERS	64
/*
 * Longer lines of a log come out as several. Each is one write of at most 512
 * bytes, unless many of its bytes need escapes, and of less than a page with
 * the worst: the port's driver allocates what is written at once, and this
 * must not ask for memory in blocks while the workload is short of it.
 */
#define MAX_TEXT	360
#define SHORT_LINE	4000
#define FILE_BYTES	(512 * 1024)

static char short_line[SHORT_LINE];
/* Of hello only: a process that copies a log should be small. */
static char *file_buf;

static const char usage_text[] =
	"Usage: hintsay hello\n"
	"       hintsay sync\n"
	"       hintsay bye STATUS\n"
	"       hintsay phase NAME begin|end [INDEX]\n"
	"       hintsay log SRC\n"
	"       hintsay artefact NAME [base64]\n"
	"Writes one line of the guest stream to file descriptor 3.\n"
	"  hello   what this guest is: memory, zones, negotiated balloon features,\n"
	"          page reporting parameters\n"
	"  sync    guest time and TSC, read together\n"
	"  bye     the exit status of the workload (0-255)\n"
	"  phase   a part of the workload begins or ends; INDEX counts repetitions\n"
	"  log     one line for each line of standard input, SRC says from whom\n"
	"  artefact\n"
	"          hands standard input out as the cell's file artefacts/NAME: text, at\n"
	"          most 64 MiB, of which a second call appends more; not while measured.\n"
	"          base64: it is no text, and travels so; the file is as it was\n"
	"Names are 1-64 characters of a-z 0-9 - _ .\n"
	"Examples:\n"
	"  hintsay phase measure begin\n"
	"  make 2>&1 | hintsay log workload\n"
	"  hintsay phase round end 7 3>>work.jsonl\n"
	"  hintsay artefact trace </sys/kernel/tracing/trace\n"
	"Exit status: 0 done, 1 an artefact was cut, 2 wrong usage, 69 the line could not\n"
	"be written.\n";

static int usage_error(const char *what, const char *value)
{
	fprintf(stderr, "hintsay: %s%s%s; see hintsay --help\n", what, value ? ": " : "",
		value ? value : "");
	return EXIT_USAGE;
}

static bool is_word(const char *s)
{
	size_t len = strlen(s);

	if (!len || len > MAX_WORD)
		return false;
	for (; *s; s++) {
		if (!islower((unsigned char)*s) && !isdigit((unsigned char)*s) &&
		    !strchr("-_.", *s))
			return false;
	}
	return true;
}

static void begin(struct jw *w, const char *type)
{
	jw__init(w, short_line, sizeof(short_line));
	jw__obj_begin(w, NULL);
	jw__str(w, "type", type);
}

int say__finish(struct jw *w, const char *type)
{
	int err;

	jw__obj_end(w);
	err = jw__line(w, OUT_FD);
	if (!err)
		return 0;
	fprintf(stderr, "hintsay: cannot write the %s line to file descriptor %d: %s%s\n", type,
		OUT_FD, strerror(-err), err == -EBADF ?
		"; open it, for instance with 3>FILE after the command" : "");
	return EXIT_INFRA;
}

/* A number in a sysfs or procfs file of its own, or otherwise. */
static long long read_number(const char *path, long long otherwise)
{
	char text[64], *end;
	long long v;

	if (proc_file__read_path(path, text, sizeof(text)) <= 0)
		return otherwise;
	errno = 0;
	v = strtoll(text, &end, 10);
	if (errno || end == text || (*end && *end != '\n'))
		return otherwise;
	return v;
}

/* The negotiated feature bits of the first balloon device, or 0. */
static unsigned long long balloon_features(void)
{
	static const char devices[] = "/sys/bus/virtio/devices";
	unsigned long long bits = 0;
	DIR *dir = opendir(devices);
	struct dirent *d;

	while (dir && (d = readdir(dir))) {
		char path[sizeof(devices) + sizeof(d->d_name) + 16], text[256];
		long device, i, len;

		if (d->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s/device", devices, d->d_name);
		if (proc_file__read_path(path, text, sizeof(text)) <= 0)
			continue;
		device = strtol(text, NULL, 16);
		if (device != 5)
			continue;
		/* A string of 0 and 1, bit 0 first. */
		snprintf(path, sizeof(path), "%s/%s/features", devices, d->d_name);
		len = proc_file__read_path(path, text, sizeof(text));
		for (i = 0; i < len && i < 64; i++) {
			if (text[i] == '1')
				bits |= 1ULL << i;
		}
		break;
	}
	if (dir)
		closedir(dir);
	return bits;
}

static int read_proc(const char *path)
{
	long len = proc_file__read_path(path, file_buf, FILE_BYTES);

	if (len >= 0)
		return 0;
	fprintf(stderr, "hintsay: cannot read %s: %s; is procfs mounted?\n", path,
		strerror((int)-len));
	return EXIT_INFRA;
}

static int say_zones(struct jw *w)
{
	static struct zoneinfo_zone zones[MAX_ZONES];
	int nr, status = read_proc("/proc/zoneinfo");

	if (status)
		return status;
	nr = zoneinfo__parse(file_buf, zones, MAX_ZONES);
	if (nr < 0) {
		fprintf(stderr, "hintsay: /proc/zoneinfo is not in the form of Linux 5.7 or later\n");
		return EXIT_INFRA;
	}
	jw__arr_begin(w, "zones");
	for (int i = 0; i < nr; i++) {
		jw__obj_begin(w, NULL);
		jw__u64(w, "node", zones[i].node);
		jw__str(w, "zone", zones[i].name);
		jw__u64(w, "managed_pages", zones[i].managed_pages);
		jw__u64(w, "min_pages", zones[i].min_pages);
		jw__u64(w, "low_pages", zones[i].low_pages);
		jw__u64(w, "high_pages", zones[i].high_pages);
		jw__obj_end(w);
	}
	jw__arr_end(w);
	return 0;
}

/* All that a module says of itself, whatever this kernel has; nothing without it. */
static void say_parameters(struct jw *w, const char *module)
{
	char dir[PATH_MAX / 2];
	struct dirent **names = NULL;
	int nr;

	snprintf(dir, sizeof(dir), "/sys/module/%s/parameters", module);
	nr = scandir(dir, &names, NULL, alphasort);
	for (int i = 0; i < nr; i++) {
		char path[PATH_MAX], text[256];

		snprintf(path, sizeof(path), "%s/%s", dir, names[i]->d_name);
		if (i < MAX_PARAMETERS && names[i]->d_name[0] != '.' &&
		    proc_file__read_path(path, text, sizeof(text)) >= 0) {
			text[strcspn(text, "\n")] = '\0';
			jw__str(w, names[i]->d_name, text);
		}
		free(names[i]);
	}
	free(names);
}

static int say_hello(void)
{
	static const char *const names[] = { "MemTotal", "SwapTotal" };
	__u64 kib[2];
	struct utsname uts;
	char hex[32];
	struct jw w;
	int status;

	uname(&uts);
	file_buf = malloc(FILE_BYTES + JW_LINE_MAX);
	if (!file_buf) {
		fprintf(stderr, "hintsay: no memory to read /proc into\n");
		return EXIT_INFRA;
	}
	jw__init(&w, file_buf + FILE_BYTES, JW_LINE_MAX);
	jw__obj_begin(&w, NULL);
	jw__str(&w, "type", "hello");
	jw__str(&w, "release", uts.release);
	status = read_proc("/proc/cmdline");
	if (status)
		return status;
	file_buf[strcspn(file_buf, "\n")] = '\0';
	jw__str(&w, "cmdline", file_buf);
	status = read_proc("/proc/meminfo");
	if (status)
		return status;
	if (proc_text__u64s(file_buf, names, kib, 2) != 2) {
		fprintf(stderr, "hintsay: /proc/meminfo has no MemTotal or no SwapTotal\n");
		return EXIT_INFRA;
	}
	jw__u64(&w, "mem_total_kib", kib[0]);
	jw__u64(&w, "swap_kib", kib[1]);
	jw__u64(&w, "min_free_kib",
		(__u64)read_number("/proc/sys/vm/min_free_kbytes", 0));
	snprintf(hex, sizeof(hex), "0x%llx", balloon_features());
	jw__str(&w, "features", hex);

	/* -1: this kernel has no such parameter, or has not set it yet. */
	jw__s64(&w, "order", read_number(
		"/sys/module/page_reporting/parameters/page_reporting_order", -1));
	jw__s64(&w, "delay_ms",
		read_number("/sys/module/page_reporting/parameters/page_reporting_delay_ms", -1));
	jw__s64(&w, "capacity", read_number("/sys/module/page_reporting/parameters/capacity", -1));
	jw__u64(&w, "buffer_wanted_pages",
		(__u64)read_number("/sys/kernel/mm/page_reporting/buffer_wanted_pages", 0));
	jw__u64(&w, "buffer_held_pages",
		(__u64)read_number("/sys/kernel/mm/page_reporting/buffer_held_pages", 0));
	jw__obj_begin(&w, "parameters");
	say_parameters(&w, "page_reporting");
	say_parameters(&w, "virtio_balloon");
	jw__obj_end(&w);
	status = say_zones(&w);
	return status ? status : say__finish(&w, "hello");
}

/*
 * Both clocks are read in one go; of several tries the one with the fewest
 * TSC ticks in between counts, so an interrupt does not tear the pair.
 */
static int say_sync(void)
{
	unsigned long long best = ~0ULL, tsc = 0, before, after;
	__u64 now, t_ns = 0;
	struct jw w;

	for (int i = 0; i < 16; i++) {
		before = __rdtsc();
		now = time__now_ns();
		after = __rdtsc();
		if (after - before < best) {
			best = after - before;
			tsc = before + best / 2;
			t_ns = now;
		}
	}
	begin(&w, "sync");
	jw__u64(&w, "t_ns", t_ns);
	jw__u64(&w, "tsc", tsc);
	return say__finish(&w, "sync");
}

static int say_bye(const char *arg)
{
	uint64_t status;
	struct jw w;

	if (num__u64(arg, 0, 255, &status))
		return usage_error("STATUS is not a number from 0 to 255", arg);
	begin(&w, "bye");
	jw__u64(&w, "t_ns", time__now_ns());
	jw__u64(&w, "status", status);
	return say__finish(&w, "bye");
}

static int say_phase(int argc, char **argv)
{
	uint64_t index = 0;
	struct jw w;

	if (!is_word(argv[0]))
		return usage_error("not a phase name", argv[0]);
	if (strcmp(argv[1], "begin") && strcmp(argv[1], "end"))
		return usage_error("a phase has a begin and an end, not", argv[1]);
	if (argc > 2 && num__u64(argv[2], 0, 1000000000, &index))
		return usage_error("INDEX is not a number from 0 to 1000000000", argv[2]);
	begin(&w, "phase");
	jw__u64(&w, "t_ns", time__now_ns());
	jw__str(&w, "name", argv[0]);
	jw__str(&w, "edge", argv[1]);
	if (argc > 2)
		jw__u64(&w, "index", index);
	return say__finish(&w, "phase");
}

/* A string in JSON cannot hold a NUL, and jw__str() would stop at it. */
void say__end_text(char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (!text[i])
			text[i] = '?';
	}
	text[len] = '\0';
}

static int say_text(const char *src, char *text, size_t len)
{
	struct jw w;

	while (len && (text[len - 1] == '\n' || text[len - 1] == '\r'))
		len--;
	say__end_text(text, len);
	begin(&w, "log");
	jw__u64(&w, "t_ns", time__now_ns());
	jw__str(&w, "src", src);
	jw__str(&w, "text", text);
	return say__finish(&w, "log");
}

/* Of a text cut at len: how many bytes at its end begin a character and do not finish it. */
size_t say__unfinished(const char *text, size_t len)
{
	for (size_t back = 1; back <= 3 && back <= len; back++) {
		unsigned char c = (unsigned char)text[len - back];

		if ((c & 0xc0) == 0x80)
			continue;
		return c >= 0xf0 ? (back < 4) * back : c >= 0xe0 ? (back < 3) * back :
		       c >= 0xc0 ? (back < 2) * back : 0;
	}
	return 0;
}

/*
 * It copies for as long as the workload runs, so it must not need memory then:
 * all it has is locked, and it reads and writes without stdio.
 */
static int say_log(const char *src)
{
	static char in[4096], text[MAX_TEXT + 1];
	char rest[4];
	size_t len = 0, cut;
	int status = 0;
	ssize_t n;

	if (!is_word(src))
		return usage_error("not a source name", src);
	mlockall(MCL_CURRENT | MCL_FUTURE);
	/* Keeps reading after a failed write: the writer must not die of SIGPIPE. */
	while ((n = read(STDIN_FILENO, in, sizeof(in))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break;
		for (ssize_t i = 0; i < n; i++) {
			text[len++] = in[i];
			if (in[i] != '\n' && len < MAX_TEXT)
				continue;
			cut = in[i] == '\n' ? 0 : say__unfinished(text, len);
			memcpy(rest, text + len - cut, cut);
			if (!status)
				status = say_text(src, text, len - cut);
			memcpy(text, rest, cut);
			len = cut;
		}
	}
	if (len && !status)
		status = say_text(src, text, len);
	if (n < 0 && !status) {
		perror("hintsay: cannot read standard input");
		status = EXIT_INFRA;
	}
	return status;
}

int main(int argc, char **argv)
{
	const char *cmd = argc > 1 ? argv[1] : "";

	if (!strcmp(cmd, "-h") || !strcmp(cmd, "--help")) {
		fputs(usage_text, stdout);
		return 0;
	}
	if (!strcmp(cmd, "hello") && argc == 2)
		return say_hello();
	if (!strcmp(cmd, "sync") && argc == 2)
		return say_sync();
	if (!strcmp(cmd, "bye") && argc == 3)
		return say_bye(argv[2]);
	if (!strcmp(cmd, "phase") && (argc == 4 || argc == 5))
		return say_phase(argc - 2, argv + 2);
	if (!strcmp(cmd, "log") && argc == 3)
		return say_log(argv[2]);
	if (!strcmp(cmd, "artefact") && (argc == 3 || (argc == 4 && !strcmp(argv[3], "base64")))) {
		if (!is_word(argv[2]) || argv[2][0] == '.' || argv[2][0] == '-')
			return usage_error("not a name of an artefact", argv[2]);
		return argc == 3 ? artefact__text(argv[2]) : artefact__base64(argv[2]);
	}
	return usage_error(argc > 1 ? "unknown command or wrong number of arguments" :
			   "nothing to say", argc > 1 ? cmd : NULL);
}
