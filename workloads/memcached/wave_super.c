// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/json.h"
#include "common/proc.h"
#include "common/time.h"
#include "wave_child.h"
#include "wave_super.h"

struct supervisor {
	const struct wave_run *run;
	struct wave_plan plan;
	struct wave_round round;	/* the present or next one */
	bool round_open;		/* begun and not ended */
	bool joined;			/* the child takes part in it */
	uint64_t epoch_ns;

	pid_t child;			/* 0: none */
	uint64_t first_round;		/* of the child */
	uint64_t spawn_ns;		/* when to start the next */
	int signal_fd;
	int msg_fds[2];
	sigset_t old_mask;

	struct wave_result *result;
	bool stop;
};

static void put_round(struct supervisor *s, const char *edge,
		      const char *outcome, const struct wave_msg *msg)
{
	char buf[512];
	struct jw w;
	int err;

	if (s->run->out_fd < 0)
		return;
	jw__init(&w, buf, sizeof(buf));
	jw__obj_begin(&w, NULL);
	jw__str(&w, "type", "phase");
	jw__u64(&w, "t_ns", time__now_ns());
	jw__str(&w, "name", "round");
	jw__str(&w, "edge", edge);
	jw__u64(&w, "index", s->round.index);
	if (!outcome)
		jw__u64(&w, "high_bytes", s->round.high_bytes);
	else
		jw__str(&w, "outcome", outcome);
	if (msg) {
		jw__u64(&w, "grow_ns", msg->grow_ns);
		jw__u64(&w, "nr_pages", msg->nr_pages);
	}
	jw__obj_end(&w);
	err = jw__line(&w, s->run->out_fd);
	if (err) {
		fprintf(stderr, "wave: cannot write to descriptor %d: %s\n",
			s->run->out_fd, strerror(-err));
		s->result->failed = true;
		s->stop = true;
	}
}

/* Whether the present round is one too many. */
static bool is_over(const struct supervisor *s)
{
	return s->round.index >= s->run->nr_rounds ||
	       s->round.end_ns > s->run->duration_ns;
}

static void begin_round(struct supervisor *s)
{
	s->joined = s->child && s->first_round <= s->round.index;
	s->round_open = true;
	put_round(s, "begin", NULL, NULL);
}

static void end_round(struct supervisor *s, const char *outcome,
		      const struct wave_msg *msg)
{
	put_round(s, "end", outcome, msg);
	s->round_open = false;
	wave_plan__next(&s->plan, &s->round);
}

static void spawn(struct supervisor *s)
{
	const struct wave_run *o = s->run;
	struct wave_job job = {
		.opts = o->wave,
		.epoch_ns = s->epoch_ns,
		.first_round = s->round.index + s->round_open,
		.lock = o->protect,
		.small_pages = o->small_pages,
		.msg_fd = s->msg_fds[1],
	};
	pid_t pid = fork();
	int err;

	if (pid < 0) {	/* no memory, most likely: later */
		s->spawn_ns = time__now_ns() + o->restart_ns + NSEC_PER_MSEC;
		return;
	}
	if (pid > 0) {
		s->child = pid;
		s->first_round = job.first_round;
		return;
	}

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigprocmask(SIG_SETMASK, &s->old_mask, NULL);
	close(s->signal_fd);
	close(s->msg_fds[0]);
	if (o->out_fd >= 0)
		close(o->out_fd);
	err = o->protect ? proc__set_oom_score_adj(0) : 0;
	if (err) {
		fprintf(stderr, "wave: child: cannot set oom_score_adj: %s\n",
			strerror(-err));
		_exit(EXIT_FAILURE);
	}
	wave_child__run(&job);
}

static void reap(struct supervisor *s)
{
	bool in_round = s->round_open && s->joined;
	int wstatus, err = 0;

	if (!s->child || waitpid(s->child, &wstatus, WNOHANG) != s->child)
		return;
	if (s->run->out_fd >= 0)
		err = proc__write_exit(s->run->out_fd, "wave", s->child, wstatus,
				       in_round ? (int64_t)s->round.index : -1);
	s->child = 0;
	s->spawn_ns = time__now_ns() + s->run->restart_ns;
	if (in_round) {
		s->result->nr_killed++;
		end_round(s, "killed", NULL);
	}
	/* The OOM killer sends SIGKILL; any other end is a fault. */
	if (err || !WIFSIGNALED(wstatus) || WTERMSIG(wstatus) != SIGKILL) {
		fprintf(stderr, "wave: child ended with wait status 0x%x%s\n",
			wstatus, err ? ", and this could not be recorded" : "");
		s->result->failed = true;
		s->stop = true;
	}
}

static void take_messages(struct supervisor *s)
{
	struct wave_msg msg;

	while (read(s->msg_fds[0], &msg, sizeof(msg)) == sizeof(msg)) {
		if (msg.round != s->round.index || is_over(s))
			continue;	/* of a child killed right after it */
		/* The child may be through before we woke up for its start. */
		if (!s->round_open)
			begin_round(s);
		s->result->nr_done++;
		end_round(s, "done", &msg);
	}
}

static void take_signals(struct supervisor *s)
{
	struct signalfd_siginfo info;

	while (read(s->signal_fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGCHLD)
			reap(s);
		else
			s->stop = true;
	}
}

/* Begins and ends rounds and starts children; when the next of it is due. */
static uint64_t keep_time(struct supervisor *s)
{
	uint64_t now_ns = time__now_ns(), next_ns;

	if (s->round_open && !s->joined &&
	    now_ns >= s->epoch_ns + s->round.end_ns) {
		s->result->nr_absent++;
		end_round(s, "absent", NULL);
	}
	if (!s->round_open && is_over(s)) {
		s->stop = true;
		return now_ns;
	}
	if (!s->round_open && now_ns >= s->epoch_ns + s->round.start_ns)
		begin_round(s);
	if (!s->child && now_ns >= s->spawn_ns)
		spawn(s);

	if (!s->round_open)
		next_ns = s->epoch_ns + s->round.start_ns;
	else if (!s->joined)
		next_ns = s->epoch_ns + s->round.end_ns;
	else
		next_ns = UINT64_MAX;	/* the child will say */
	if (!s->child && s->spawn_ns < next_ns)
		next_ns = s->spawn_ns;
	return next_ns;
}

static int setup(struct supervisor *s)
{
	sigset_t mask;

	sigemptyset(&mask);
	sigaddset(&mask, SIGCHLD);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGINT);
	if (sigprocmask(SIG_BLOCK, &mask, &s->old_mask))
		return -errno;
	s->signal_fd = signalfd(-1, &mask, SFD_NONBLOCK | SFD_CLOEXEC);
	if (s->signal_fd < 0)
		return -errno;
	/* Non-blocking on both sides: a child that cannot write says so. */
	if (pipe2(s->msg_fds, O_NONBLOCK | O_CLOEXEC))
		return -errno;
	return 0;
}

int wave_super__run(const struct wave_run *run, struct wave_result *result)
{
	struct supervisor sup = { .run = run, .result = result }, *s = &sup;
	struct pollfd fds[2];
	struct timespec timeout;
	uint64_t next_ns, now_ns;
	int err;

	memset(result, 0, sizeof(*result));
	err = setup(s);
	if (err)
		return err;
	fds[0] = (struct pollfd){ .fd = s->signal_fd, .events = POLLIN };
	fds[1] = (struct pollfd){ .fd = s->msg_fds[0], .events = POLLIN };
	s->epoch_ns = time__now_ns() + s->run->settle_ns;
	wave_plan__init(&s->plan, &s->run->wave);
	wave_plan__next(&s->plan, &s->round);

	for (;;) {
		next_ns = keep_time(s);
		if (s->stop)
			break;
		now_ns = time__now_ns();
		timeout = time__to_timespec(next_ns > now_ns ? next_ns - now_ns : 0);
		if (ppoll(fds, 2, next_ns == UINT64_MAX ? NULL : &timeout, NULL) < 0 &&
		    errno != EINTR)
			return -errno;
		/* Messages first: a round the child finished counts as done. */
		take_messages(s);
		take_signals(s);
	}
	if (s->child) {
		kill(s->child, SIGKILL);
		waitpid(s->child, NULL, 0);
	}
	return 0;
}
