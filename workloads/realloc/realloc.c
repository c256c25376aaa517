// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * realloc: one process holds memory, another takes some, gives it back, and
 * takes as much again after a pause.
 *
 * There is no load: what it shows is which rounds a process does not survive.
 * The taker of each round is a process of its own, so memory comes and goes as
 * it does with short-lived jobs. The parent, which the OOM killer leaves alone,
 * starts both, marks the rounds, and holds the rest of the guest (ballast).
 *
 *	start_ns       + hold                        start of the next round
 *	| take and hold | taker gone, memory is free |
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/json.h"
#include "common/opts.h"
#include "common/proc.h"
#include "common/rng.h"
#include "common/time.h"

#define PAGE		4096
#define EXIT_LOST	4	/* a child found other content than it wrote */

static const char usage_text[] =
"Usage: realloc --hold=SIZE --take=SIZE --rounds=N [OPTION]...\n"
"A process holds memory; another takes some, frees it, and after a pause takes\n"
"as much again.\n"
"\n"
"  --hold=SIZE          what the first process holds\n"
"  --take=SIZE          what the second takes in every round\n"
"  --rounds=N\n"
"  --ballast=SIZE       held beside them, by a process that is no victim [0]\n"
"  --for=TIME           how long a taker lives             [500ms]\n"
"  --pause-min=TIME     its memory is free for so long     [1500ms]\n"
"  --pause-max=TIME     and at most for so long            [2400ms]\n"
"  --seed=N             of the pauses                      [1]\n"
"  --out-fd=N           write record lines to descriptor N (docs/record.md)\n"
"  --unprotected        no locked memory, no exemption from the OOM killer\n"
"  --help\n"
"\n"
"Every page is written, and checked before it is given back.\n"
"\n"
"Example: realloc --unprotected --hold=50M --take=20M --rounds=3\n"
"\n"
"Exit status: 0 done (a killed child is a result), 1 a child failed or lost\n"
"data, 2 wrong usage, 69 the process could not be protected.\n";

struct options {
	uint64_t hold_bytes, take_bytes, ballast_bytes;
	uint64_t nr_rounds, seed;
	uint64_t for_ns, pause_min_ns, pause_max_ns;
	int out_fd;
	bool protect;
};

struct state {
	struct options o;
	pid_t holder, taker;	/* 0: none */
	int ready_fds[2];	/* a holder says here that it holds all */
	uint64_t round;
	bool in_round, failed;
	uint64_t nr_killed;	/* rounds in which a child was */
	bool killed;		/* in this round */
	bool absent;		/* no memory to start its taker */
};

static void parse_options(struct options *o, int argc, char **argv)
{
	const struct opt table[] = {
		OPT(SIZE, "hold", &o->hold_bytes),
		OPT(SIZE, "take", &o->take_bytes),
		OPT(SIZE, "ballast", &o->ballast_bytes),
		OPT(U64, "rounds", &o->nr_rounds, .min = 1, .max = 1000000),
		OPT(U64, "seed", &o->seed, .min = 0, .max = UINT64_MAX),
		OPT(TIME, "for", &o->for_ns),
		OPT(TIME, "pause-min", &o->pause_min_ns),
		OPT(TIME, "pause-max", &o->pause_max_ns),
		OPT(FD, "out-fd", &o->out_fd),
		OPT(CLEAR, "unprotected", &o->protect),
		{ 0 },
	};

	*o = (struct options){
		.seed = 1,
		.for_ns = 500 * NSEC_PER_MSEC,
		.pause_min_ns = 1500 * NSEC_PER_MSEC,
		.pause_max_ns = 2400 * NSEC_PER_MSEC,
		.out_fd = -1,
		.protect = true,
	};
	opts__table_only(argc, argv, usage_text, table);
	if (!o->hold_bytes || !o->take_bytes || !o->nr_rounds)
		opts__fail("--hold, --take and --rounds are needed");
	if (o->pause_min_ns > o->pause_max_ns)
		opts__fail("--pause-min is longer than --pause-max");
}

static char *take(uint64_t bytes, uint64_t tag)
{
	char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint64_t i;

	if (memory == MAP_FAILED)
		return NULL;
	for (i = 0; i + sizeof(uint64_t) <= bytes; i += PAGE)
		*(volatile uint64_t *)(memory + i) = rng__mix(tag ^ i);
	return memory;
}

static int verify(const char *memory, uint64_t bytes, uint64_t tag)
{
	uint64_t i, got;

	for (i = 0; i + sizeof(uint64_t) <= bytes; i += PAGE) {
		got = *(const volatile uint64_t *)(memory + i);
		if (got == rng__mix(tag ^ i))
			continue;
		fprintf(stderr, "realloc: DATA LOST: byte %llu of a process holds %016llx\n",
			(unsigned long long)i, (unsigned long long)got);
		return EXIT_LOST;
	}
	return 0;
}

/* The rest of a child's life: holds @bytes until @end_ns, for ever if 0. */
static void __attribute__((noreturn))
child(struct state *s, uint64_t bytes, uint64_t tag, uint64_t end_ns)
{
	sigset_t none;
	char *memory;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* The parent's name says instrument (the file "own"). */
	prctl(PR_SET_NAME, end_ns ? "taker" : "holder");
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (s->o.out_fd >= 0)
		close(s->o.out_fd);
	/* Its own code must not be read back from disk later. */
	if (s->o.protect &&
	    (proc__set_oom_score_adj(0) || mlockall(MCL_CURRENT)))
		_exit(EXIT_FAILED);
	memory = take(bytes, tag);
	if (!memory)
		_exit(EXIT_FAILED);
	if (!end_ns && write(s->ready_fds[1], "", 1) != 1)
		_exit(EXIT_FAILED);
	while (!end_ns)
		pause();
	time__sleep_until_ns(end_ns);
	_exit(verify(memory, bytes, tag));
}

static pid_t start(struct state *s, uint64_t bytes, uint64_t tag, uint64_t end_ns)
{
	pid_t pid = fork();

	if (pid == 0)
		child(s, bytes, tag, end_ns);
	if (pid < 0)
		fprintf(stderr, "realloc: cannot fork: %s\n", strerror(errno));
	return pid < 0 ? 0 : pid;
}

static void put_round(struct state *s, const char *edge, const char *outcome)
{
	char buf[512];
	struct jw w;

	if (s->o.out_fd < 0)
		return;
	jw__init(&w, buf, sizeof(buf));
	jw__obj_begin(&w, NULL);
	jw__str(&w, "type", "phase");
	jw__u64(&w, "t_ns", time__now_ns());
	jw__str(&w, "name", "round");
	jw__str(&w, "edge", edge);
	jw__u64(&w, "index", s->round);
	if (outcome)
		jw__str(&w, "outcome", outcome);
	jw__obj_end(&w);
	if (jw__line(&w, s->o.out_fd))
		s->failed = true;
}

/* Takes note of every child that has ended. */
static void reap(struct state *s)
{
	bool is_holder;
	int wstatus;
	pid_t pid;

	while ((pid = waitpid(-1, &wstatus, WNOHANG)) > 0) {
		is_holder = pid == s->holder;
		*(is_holder ? &s->holder : &s->taker) = 0;
		if (!is_holder && WIFEXITED(wstatus) && !WEXITSTATUS(wstatus))
			continue;
		if (s->o.out_fd >= 0 &&
		    proc__write_exit(s->o.out_fd, is_holder ? "holder" : "taker", pid,
				     wstatus, s->in_round ? (int64_t)s->round : -1))
			s->failed = true;
		if (WIFSIGNALED(wstatus) && WTERMSIG(wstatus) == SIGKILL) {
			s->killed = true;
			continue;
		}
		fprintf(stderr, "realloc: %s ended with wait status 0x%x\n",
			is_holder ? "holder" : "taker", wstatus);
		s->failed = true;
	}
}

/* Until @ns; children that end meanwhile are noted when they do. */
static void wait_until(struct state *s, uint64_t ns)
{
	struct timespec timeout;
	sigset_t chld;
	uint64_t now;

	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	for (;;) {
		reap(s);
		now = time__now_ns();
		if (now >= ns || s->failed)
			return;
		timeout = time__to_timespec(ns - now);
		sigtimedwait(&chld, NULL, &timeout);
	}
}

/* A holder, if there is none, up to when it holds everything or is killed. */
static void need_holder(struct state *s)
{
	char c;

	if (s->holder)
		return;
	s->holder = start(s, s->o.hold_bytes, s->o.seed, 0);
	while (s->holder && !s->failed && read(s->ready_fds[0], &c, 1) != 1)
		wait_until(s, time__now_ns() + 10 * NSEC_PER_MSEC);
}

static int run_rounds(struct state *s)
{
	const struct options *o = &s->o;
	uint64_t next_ns, end_ns;
	struct rng rng;

	rng__seed(&rng, o->seed, 0);
	need_holder(s);
	next_ns = time__now_ns() + NSEC_PER_SEC;
	for (; s->round < o->nr_rounds && !s->failed; s->round++) {
		wait_until(s, next_ns);
		end_ns = next_ns + o->for_ns;
		next_ns = end_ns + o->pause_min_ns +
			  rng__below(&rng, o->pause_max_ns - o->pause_min_ns + 1);
		s->killed = false;
		s->in_round = true;
		put_round(s, "begin", NULL);
		s->taker = start(s, o->take_bytes, rng__mix(o->seed) ^ s->round, end_ns);
		s->absent = !s->taker;
		wait_until(s, end_ns);
		/* It verifies what it held, and may have been late. */
		while (s->taker && !s->failed)
			wait_until(s, time__now_ns() + 10 * NSEC_PER_MSEC);
		put_round(s, "end", s->killed ? "killed" :
				s->absent ? "absent" : "done");
		s->in_round = false;
		s->nr_killed += s->killed;
		need_holder(s);
	}
	wait_until(s, next_ns);
	if (s->holder) {
		kill(s->holder, SIGKILL);
		waitpid(s->holder, NULL, 0);
	}
	printf("realloc: %llu rounds, a process killed in %llu\n",
	       (unsigned long long)s->round, (unsigned long long)s->nr_killed);
	return s->failed ? EXIT_FAILED : EXIT_DONE;
}

int main(int argc, char **argv)
{
	static char stdout_buf[4096];
	static struct state s;
	sigset_t chld;
	char *ballast;

	setvbuf(stdout, stdout_buf, _IOFBF, sizeof(stdout_buf));
	parse_options(&s.o, argc, argv);
	if (s.o.protect && proc__protect("realloc"))
		return EXIT_INFRASTRUCTURE;
	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	sigprocmask(SIG_BLOCK, &chld, NULL);
	if (pipe2(s.ready_fds, O_NONBLOCK | O_CLOEXEC)) {
		fprintf(stderr, "realloc: no pipe: %s\n", strerror(errno));
		return EXIT_INFRASTRUCTURE;
	}
	if (s.o.ballast_bytes) {
		ballast = take(s.o.ballast_bytes, s.o.seed);
		if (!ballast) {
			fprintf(stderr, "realloc: no room for the ballast: %s\n",
				strerror(errno));
			return EXIT_FAILED;
		}
		/* Children would only copy its page tables. */
		madvise(ballast, s.o.ballast_bytes, MADV_DONTFORK);
	}
	return run_rounds(&s);
}
