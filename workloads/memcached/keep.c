// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * keep: runs a program and starts it again when it is killed.
 *
 * Safe from the OOM killer itself, it starts the program as an ordinary
 * victim and records each of its ends.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/opts.h"
#include "common/proc.h"
#include "common/time.h"

#define TERM_NS		(5 * NSEC_PER_SEC)	/* from SIGTERM to SIGKILL */
#define NAME_MAX_LEN	64

static const char usage_text[] =
"Usage: keep [OPTION]... [--] PROGRAM [ARGUMENT]...\n"
"Runs a program, and starts it again when it is killed by SIGKILL.\n"
"\n"
"  --name=NAME          role in the record lines        [the program]\n"
"  --restart=TIME       pause before it is started again [200ms]\n"
"  --out-fd=N           write record lines to descriptor N (docs/record.md)\n"
"  --unprotected        no locked memory, no exemption from the OOM killer\n"
"  --help\n"
"\n"
"The program runs with oom_score_adj 0 and without descriptor N.\n"
"SIGTERM ends the program, and then keep.\n"
"\n"
"Example:\n"
"  keep --name=memcached --out-fd=3 memcached -u root -m 200\n"
"\n"
"Exit status: 0 ended by SIGTERM or SIGINT, 1 the program ended in another way\n"
"than by SIGKILL, 2 wrong usage, 69 the process could not be protected.\n";

struct options {
	const char *name;
	uint64_t restart_ns;
	int out_fd;
	bool protect;
	char **argv;
};

static void parse_options(struct options *o, int argc, char **argv)
{
	const struct opt table[] = {
		OPT(STRING, "name", &o->name, .max = NAME_MAX_LEN),
		OPT(TIME, "restart", &o->restart_ns),
		OPT(FD, "out-fd", &o->out_fd),
		OPT(CLEAR, "unprotected", &o->protect),
		{ 0 },
	};
	int first;

	*o = (struct options){
		.restart_ns = 200 * NSEC_PER_MSEC, .out_fd = -1, .protect = true,
	};
	/* The program's own options are not for us. */
	first = opts__table(argc, argv, usage_text, table, true);
	if (first == argc)
		opts__fail("PROGRAM is needed");
	o->argv = argv + first;
	if (!o->name)
		o->name = o->argv[0];
	opts__check(strlen(o->name) > NAME_MAX_LEN, "name", o->name,
		    "must be at most 64 bytes");
}

static void __attribute__((noreturn))
exec_child(const struct options *o, const sigset_t *mask)
{
	int err;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	err = o->protect ? proc__set_oom_score_adj(0) : 0;
	if (err) {
		fprintf(stderr, "keep: cannot set oom_score_adj of %s: %s\n",
			o->argv[0], strerror(-err));
		_exit(EXIT_FAILED);
	}
	if (o->out_fd >= 0)
		close(o->out_fd);
	sigprocmask(SIG_SETMASK, mask, NULL);
	execvp(o->argv[0], o->argv);
	fprintf(stderr, "keep: cannot run %s: %s\n", o->argv[0], strerror(errno));
	_exit(127);
}

/* The signals waited for, blocked from the start. */
struct signals {
	sigset_t all, child, stop, old;
};

static void block_signals(struct signals *s)
{
	/* SIGCHLD then means the end of a child, never a stopped one. */
	const struct sigaction sa = {
		.sa_handler = SIG_DFL, .sa_flags = SA_NOCLDSTOP,
	};

	sigaction(SIGCHLD, &sa, NULL);
	sigemptyset(&s->child);
	sigaddset(&s->child, SIGCHLD);
	sigemptyset(&s->stop);
	sigaddset(&s->stop, SIGTERM);
	sigaddset(&s->stop, SIGINT);
	s->all = s->stop;
	sigaddset(&s->all, SIGCHLD);
	sigprocmask(SIG_BLOCK, &s->all, &s->old);
}

/* Ends the child in good order if it can, and waits for it. */
static void terminate(pid_t child, const struct signals *s)
{
	struct timespec limit = time__to_timespec(TERM_NS);

	kill(child, SIGTERM);
	if (sigtimedwait(&s->child, NULL, &limit) < 0)
		kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

/* Records the end of a child; whether it is to be started again. */
static bool record_end(const struct options *o, pid_t child)
{
	int wstatus, err;

	waitpid(child, &wstatus, 0);
	if (o->out_fd >= 0) {
		err = proc__write_exit(o->out_fd, o->name, child, wstatus, -1);
		if (err) {
			fprintf(stderr, "keep: cannot write to descriptor %d: %s\n",
				o->out_fd, strerror(-err));
			return false;
		}
	}
	if (WIFSIGNALED(wstatus) && WTERMSIG(wstatus) == SIGKILL)
		return true;
	fprintf(stderr, "keep: %s ended with wait status 0x%x\n", o->name, wstatus);
	return false;
}

static int keep_running(const struct options *o)
{
	struct timespec pause = time__to_timespec(o->restart_ns);
	struct signals signals;
	pid_t child;

	block_signals(&signals);
	for (;;) {
		child = fork();
		if (child == 0)
			exec_child(o, &signals.old);
		if (child > 0) {
			if (sigwaitinfo(&signals.all, NULL) != SIGCHLD) {
				terminate(child, &signals);
				return EXIT_DONE;
			}
			if (!record_end(o, child))
				return EXIT_FAILED;
		}
		/* Killed, or no memory for a fork. */
		if (sigtimedwait(&signals.stop, NULL, &pause) > 0)
			return EXIT_DONE;
	}
}

int main(int argc, char **argv)
{
	struct options o;

	parse_options(&o, argc, argv);
	if (o.protect && proc__protect("keep"))
		return EXIT_INFRASTRUCTURE;
	return keep_running(&o);
}
