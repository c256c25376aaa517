// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * gauge: how many instructions the guest executes while something happens.
 *
 * Under the virtual clock with one instruction a nanosecond the TSC counts
 * instructions, plus the time skipped while the only CPU is idle. The kernel
 * knows the latter to the nanosecond (/proc/timer_list). Their difference is
 * what kernel and user space executed.
 *
 * Each reading is taken between two lines on file descriptor 3, each one write:
 * the host finds what the device did meanwhile between these two writes in the
 * device's own trace.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <x86intrin.h>

#include "common/json.h"
#include "common/num.h"
#include "common/status.h"
#include "common/time.h"

#define OUT_FD		3
#define EXIT_INFRA	69
#define FLUSH_FILE	"/sys/module/page_reporting/parameters/flush"
#define MAX_IDLE_NS	(3600 * NSEC_PER_SEC)

static const char usage_text[] =
"Usage: gauge flush NAME\n"
"       gauge idle NAME TIME\n"
"       gauge phase NAME PROGRAM [ARGUMENT]...\n"
"Writes to file descriptor 3 how many instructions the guest executed, without\n"
"those of idling, under the virtual clock of QEMU.\n"
"  flush   while all free memory is reported\n"
"  idle    while nothing is asked of the guest for that TIME\n"
"  phase   in the phase that PROGRAM, a load generator, marks in its own lines on\n"
"          descriptor 3, of which the number of requests is kept\n"
"Examples:\n"
"  gauge flush everything\n"
"  gauge idle rest 2s\n"
"  gauge phase load mcload --duration=5s --phase=measure --out-fd=3\n"
"Exit status: 0 done, 1 the flush or PROGRAM failed, 2 wrong usage, 69 no reading.\n";

struct reading {
	uint64_t t_ns, tsc, idle_ns;
};

static char line_buf[JW_LINE_MAX];
static char stats_buf[256 * 1024];

static void die(int status, const char *what, int err)
{
	fprintf(stderr, "gauge: %s%s%s\n", what, err ? ": " : "", err ? strerror(err) : "");
	exit(status);
}

/* Time the CPU has spent idle, as of its last return from there. */
static uint64_t idle_ns(void)
{
	static const char name[] = ".idle_sleeptime :";
	size_t len = 0;
	ssize_t n;
	char *at;
	int fd;

	fd = open("/proc/timer_list", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		die(EXIT_INFRA, "/proc/timer_list", errno);
	while (len < sizeof(stats_buf) - 1) {
		n = read(fd, stats_buf + len, sizeof(stats_buf) - 1 - len);
		if (n < 0)
			die(EXIT_INFRA, "/proc/timer_list", errno);
		if (!n)
			break;
		len += (size_t)n;
	}
	close(fd);
	stats_buf[len] = '\0';

	at = strstr(stats_buf, name);
	if (!at)
		die(EXIT_INFRA, "/proc/timer_list has no idle_sleeptime: kernel without NO_HZ?", 0);
	if (strstr(at + 1, name))
		die(EXIT_INFRA, "more than one CPU: idle time and TSC do not add up", 0);
	return strtoull(at + strlen(name), NULL, 10);
}

/* What the reading itself takes lies outside of what is between two readings. */
static void read_begin(struct reading *r)
{
	r->idle_ns = idle_ns();
	r->t_ns = time__now_ns();
	r->tsc = __rdtsc();
}

static void read_end(struct reading *r)
{
	r->tsc = __rdtsc();
	r->t_ns = time__now_ns();
	r->idle_ns = idle_ns();
}

/* Free pages of all zones, counted exactly: per-CPU remainders are folded in. */
static uint64_t free_pages(void)
{
	char buf[8192], *at;
	ssize_t n;
	int fd;

	fd = open("/proc/sys/vm/stat_refresh", O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "1", 1) != 1)
		die(EXIT_INFRA, "/proc/sys/vm/stat_refresh", errno);
	close(fd);
	fd = open("/proc/vmstat", O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, buf, sizeof(buf) - 1);
	if (n < 0)
		die(EXIT_INFRA, "/proc/vmstat", errno);
	close(fd);
	buf[n] = '\0';
	at = strstr(buf, "nr_free_pages ");
	if (!at)
		die(EXIT_INFRA, "/proc/vmstat has no nr_free_pages", 0);
	return strtoull(at + strlen("nr_free_pages "), NULL, 10);
}

static void write_line(struct jw *w)
{
	int err = jw__line(w, OUT_FD);

	if (err)
		die(EXIT_INFRA, "descriptor 3", -err);
}

/* The first of the two lines. */
static void mark(const char *name)
{
	struct jw w;

	jw__init(&w, line_buf, sizeof(line_buf));
	jw__obj_begin(&w, NULL);
	jw__str(&w, "type", "mark");
	jw__u64(&w, "t_ns", time__now_ns());
	jw__str(&w, "name", name);
	jw__obj_end(&w);
	write_line(&w);
}

/* nr_requests NULL: there was no load. */
static void report(const char *name, const struct reading *begin, const struct reading *end,
		   const uint64_t *nr_requests)
{
	struct jw w;

	jw__init(&w, line_buf, sizeof(line_buf));
	jw__obj_begin(&w, NULL);
	jw__str(&w, "type", "gauge");
	jw__u64(&w, "t_ns", time__now_ns());
	jw__str(&w, "name", name);
	jw__u64(&w, "elapsed_ns", end->t_ns - begin->t_ns);
	jw__u64(&w, "elapsed_tsc", end->tsc - begin->tsc);
	jw__u64(&w, "idle_ns", end->idle_ns - begin->idle_ns);
	jw__u64(&w, "free_pages", free_pages());
	if (nr_requests)
		jw__u64(&w, "nr_requests", *nr_requests);
	jw__obj_end(&w);
	write_line(&w);
}

static int gauge_flush(const char *name)
{
	struct reading begin, end;
	ssize_t n;
	int fd;

	fd = open(FLUSH_FILE, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		die(EXIT_INFRA, FLUSH_FILE, errno);
	mark(name);
	read_begin(&begin);
	n = write(fd, "1", 1);
	read_end(&end);
	if (n != 1)
		die(EXIT_FAILED, FLUSH_FILE, errno);
	report(name, &begin, &end, NULL);
	return 0;
}

static int gauge_idle(const char *name, const char *time)
{
	struct reading begin, end;
	uint64_t ns;

	if (num__duration_ns(time, 1, MAX_IDLE_NS, &ns)) {
		fprintf(stderr, "gauge: TIME is '%s'; allowed: up to 3600s, for example 2s\n",
			time);
		return EXIT_USAGE;
	}
	mark(name);
	read_begin(&begin);
	time__sleep_until_ns(begin.t_ns + ns);
	read_end(&end);
	report(name, &begin, &end, NULL);
	return 0;
}

static void run_child(int fd, char **argv)
{
	if (dup2(fd, OUT_FD) < 0)
		die(EXIT_INFRA, "descriptor 3", errno);
	execvp(argv[0], argv);
	die(EXIT_INFRA, argv[0], errno);
}

/* What the lines of PROGRAM say of its phase. */
struct phase {
	struct reading begin, end;
	uint64_t nr_requests;
	int nr_edges, nr_hists;
};

/* A line of PROGRAM: take the reading it asks for, keep the number it has. */
static void take_line(const char *name, const char *line, struct phase *p)
{
	const char *n;

	if (strstr(line, "\"phase\"") && strstr(line, "\"begin\"")) {
		mark(name);
		read_begin(&p->begin);
		p->nr_edges++;
	} else if (strstr(line, "\"phase\"") && strstr(line, "\"end\"")) {
		read_end(&p->end);
		p->nr_edges++;
	} else if (strstr(line, "\"request_latency\"")) {
		n = strstr(line, "\"n\":");
		p->nr_requests = n ? strtoull(n + strlen("\"n\":"), NULL, 10) : 0;
		p->nr_hists++;
	}
}

static int gauge_phase(const char *name, char **argv)
{
	static char in[2 * JW_LINE_MAX];
	struct phase phase = { .nr_edges = 0 };
	int fds[2], wstatus;
	size_t len = 0;
	char *end;
	ssize_t n;
	pid_t pid;

	if (pipe(fds))
		die(EXIT_INFRA, "pipe", errno);
	pid = fork();
	if (pid < 0)
		die(EXIT_INFRA, "fork", errno);
	if (!pid) {
		close(fds[0]);
		run_child(fds[1], argv);
	}
	close(fds[1]);
	while ((n = read(fds[0], in + len, sizeof(in) - len)) > 0) {
		len += (size_t)n;
		while ((end = memchr(in, '\n', len))) {
			size_t line_len = (size_t)(end - in) + 1;

			*end = '\0';
			take_line(name, in, &phase);
			len -= line_len;
			memmove(in, end + 1, len);
		}
		if (len == sizeof(in))
			die(EXIT_FAILED, "a line of the program is too long", 0);
	}
	if (n < 0)
		die(EXIT_INFRA, "pipe", errno);
	if (waitpid(pid, &wstatus, 0) < 0)
		die(EXIT_INFRA, "waitpid", errno);
	if (!WIFEXITED(wstatus) || WEXITSTATUS(wstatus))
		die(EXIT_FAILED, "the program failed", 0);
	if (phase.nr_edges != 2 || phase.nr_hists != 1)
		die(EXIT_FAILED, "the program did not mark one phase and count its requests", 0);
	report(name, &phase.begin, &phase.end, &phase.nr_requests);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "--help")) {
		fputs(usage_text, stdout);
		return 0;
	}
	if (argc == 3 && !strcmp(argv[1], "flush"))
		return gauge_flush(argv[2]);
	if (argc == 4 && !strcmp(argv[1], "idle"))
		return gauge_idle(argv[2], argv[3]);
	if (argc >= 4 && !strcmp(argv[1], "phase"))
		return gauge_phase(argv[2], argv + 3);
	fputs("gauge: wrong usage; see gauge --help\n", stderr);
	return EXIT_USAGE;
}
