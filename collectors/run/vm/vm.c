// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/time.h"
#include "run/plan/arms.h"
#include "run/record/artefacts.h"
#include "run/record/axis.h"
#include "run/record/record.h"
#include "run/vm/child.h"
#include "run/vm/host.h"
#include "run/vm/machine.h"
#include "run/vm/qmp.h"
#include "run/vm/sampler.h"
#include "run/vm/tails.h"
#include "run/vm/vm.h"
#include "run/util.h"

#define SAMPLE_NS	(100 * NSEC_PER_MSEC)
#define DISK_CHECK_NS	NSEC_PER_SEC
#define DISK_MIN_FREE	(8 * MIB)
#define QUIT_LIMIT_NS	(10 * NSEC_PER_SEC)
#define DOUBT_LIMIT_NS	(2 * NSEC_PER_SEC)
#define MUTE_LIMIT_NS	(60 * NSEC_PER_SEC)	/* 3 s on an idle machine */
#define BALLOON_PATH	"/machine/peripheral/balloon0"

/* How far the end of a cell has come. */
enum stage {
	STAGE_RUNNING,
	STAGE_LAST_READ,	/* the guest has stopped, its counters are asked for */
	STAGE_QUITTING,		/* QEMU was told to quit */
	STAGE_GONE,
};

struct vm {
	const struct cell *cell;
	const char *dir;
	const struct vm_limits *limits;
	struct guest guest;
	struct artefacts artefacts;
	struct console console;
	struct qmp qmp;
	struct tails tails;
	int signal_fd, qmp_fd;
	pid_t pid;
	int wait_status;
	enum stage stage;
	uint64_t start_ns, sign_ns, sample_ns, disk_ns, stage_ns;
	struct sampler sampler;
	char doubt[200];	/* why a sample could not be taken; a QEMU that ends explains it */
	uint64_t doubt_ns;
	enum failure failure;
	char detail[FAILURE_DETAIL_MAX];
	bool stop;		/* told to stop */
	bool is_arm_checked;	/* hello has come and its arm is as asked for */
};

/* The first failure of lowest rank stays. */
static void fail(struct vm *vm, enum failure f, const char *fmt, ...) PRINTF(3, 4);

static void fail(struct vm *vm, enum failure f, const char *fmt, ...)
{
	va_list ap;

	if (vm->failure && vm->failure <= f)
		return;
	vm->failure = f;
	va_start(ap, fmt);
	vsnprintf(vm->detail, sizeof(vm->detail), fmt, ap);
	va_end(ap);
}

static void enter(struct vm *vm, enum stage stage)
{
	vm->stage = stage;
	vm->stage_ns = time__now_ns();
}

static int open_signals(struct vm *vm)
{
	sigset_t set;
	int err = signals__block(&set, NULL);

	if (err)
		return err;
	vm->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return vm->signal_fd < 0 ? -errno : 0;
}

static void read_signals(struct vm *vm)
{
	struct signalfd_siginfo info;

	while (read(vm->signal_fd, &info, sizeof(info)) == sizeof(info))
		if (info.ssi_signo != SIGCHLD)
			vm->stop = true;
	if (vm->pid > 0 && waitpid(vm->pid, &vm->wait_status, WNOHANG) == vm->pid) {
		vm->pid = 0;
		enter(vm, STAGE_GONE);
	}
}

/* What the guest did wrong is the stream's failure; what this machine cannot do is not. */
static int take_artefact(void *arg, const char *name, const char *text, bool is_base64)
{
	struct vm *vm = arg;
	int err = artefacts__append(&vm->artefacts, name, text, is_base64);

	if (!err || err == -EINVAL || err == -EFBIG)
		return err;
	fail(vm, FAIL_INFRASTRUCTURE, "cannot write artefacts/%s: %s", name, strerror(-err));
	return 0;
}

/* A guest in which another mechanism runs than was asked for is no use to anyone. */
static void check_arm(struct vm *vm)
{
	char why[160];

	if (vm->is_arm_checked || !vm->guest.hello)
		return;
	vm->is_arm_checked = true;
	if (!arm__is_as_expected(vm->cell, vm->guest.hello, why, sizeof(why)))
		fail(vm, FAIL_BOOT, "%s", why);
}

static bool read_tails(struct vm *vm)
{
	bool more = tails__read(&vm->tails, &vm->guest, &vm->console, &vm->sign_ns);
	char what[96];

	check_arm(vm);
	if (vm->guest.err)
		fail(vm, FAIL_INFRASTRUCTURE, "out of memory while reading the guest's stream");
	else if (tails__excess(&vm->tails, &vm->guest, what, sizeof(what)))
		fail(vm, FAIL_STREAM, "%s", what);
	return more;
}

/* The answer to a command: which one it was shows in it. */
static void take_answer(struct vm *vm, const json_t *answer)
{
	bool is_ram = !vm->sampler.ram.nr;
	char *why = vm->doubt;
	int err;

	if (is_ram)
		err = sampler__find_ram(&vm->sampler, answer, cell__ram_bytes(vm->cell),
					why, sizeof(vm->doubt));
	else
		err = sampler__take(&vm->sampler, vm->pid, answer, why, sizeof(vm->doubt));
	if (err == -ESRCH)
		return;		/* it has ended; the signal that says so is on its way */
	if (err) {
		/* One that ends by itself takes its memory away first: has it ended? */
		vm->doubt_ns = time__now_ns();
	} else if (!is_ram && vm->stage == STAGE_LAST_READ) {
		enter(vm, STAGE_QUITTING);
		qmp__send(&vm->qmp, "quit", NULL);
	}
}

/* Read the socket, then do whatever the protocol is free for. */
static void talk_to_qemu(struct vm *vm)
{
	char buf[65536];
	json_t *answer;
	ssize_t n;

	while ((n = read(vm->qmp_fd, buf, sizeof(buf))) > 0) {
		vm->sampler.answered_ns = time__now_ns();
		qmp__feed(&vm->qmp, buf, (size_t)n);
	}
	if (vm->qmp.error[0])
		fail(vm, FAIL_INFRASTRUCTURE, "QEMU refused a command: %s", vm->qmp.error);
	if (vm->qmp.stopped_by_error && !vm->qmp.shut_down)
		fail(vm, FAIL_INFRASTRUCTURE, "QEMU stopped the guest by itself%s",
		     strcmp(vm->cell->accel, "kvm") ? "" : " (KVM cannot run it: ACCEL=tcg can)");
	answer = qmp__take(&vm->qmp);
	if (answer && json_object_size(answer))
		take_answer(vm, answer);
	json_decref(answer);
}

static void ask_for_counters(struct vm *vm)
{
	uint64_t now = time__now_ns();

	if (!vm->qmp.ready || vm->qmp.busy || vm->qmp.broken || vm->doubt_ns)
		return;
	if (!vm->sampler.ram.nr) {
		/* Once: no memory is plugged into the guest of a cell. */
		qmp__send(&vm->qmp, "x-query-ramblock", NULL);
		return;
	}
	vm->sampler.asked_ns = now;
	if (vm->stage == STAGE_RUNNING && vm->qmp.shut_down) {
		enter(vm, STAGE_LAST_READ);
		qmp__get(&vm->qmp, BALLOON_PATH, "hint-stats");
	} else if (vm->stage == STAGE_RUNNING && now - vm->sample_ns >= SAMPLE_NS) {
		vm->sample_ns = now;
		qmp__get(&vm->qmp, BALLOON_PATH, "hint-stats");
	}
}

static void check_limits(struct vm *vm)
{
	uint64_t mute_ns = vm->limits->hang_ns < MUTE_LIMIT_NS ? vm->limits->hang_ns
								: MUTE_LIMIT_NS;
	uint64_t now = time__now_ns(), free_bytes;

	if (vm->doubt_ns && now - vm->doubt_ns > DOUBT_LIMIT_NS)
		fail(vm, FAIL_INFRASTRUCTURE, "%s", vm->doubt);
	if (vm->stage != STAGE_RUNNING) {
		if (now - vm->stage_ns > QUIT_LIMIT_NS)
			fail(vm, FAIL_DIED, "QEMU did not end when told to");
		return;
	}
	if (now - vm->start_ns > vm->limits->time_ns)
		fail(vm, vm->guest.hello ? FAIL_HANG : FAIL_BOOT,
		     "not finished within the time limit of %llu s",
		     (unsigned long long)(vm->limits->time_ns / NSEC_PER_SEC));
	/* A kernel that is none, or for another CPU, does not print its first line. */
	if (!vm->console.has_kernel && !vm->guest.hello && now - vm->start_ns > mute_ns)
		fail(vm, FAIL_BOOT, "the kernel has not said a word in %llu s: does it boot? "
		     "(`make kernel`)", (unsigned long long)(mute_ns / NSEC_PER_SEC));
	if (now - vm->sign_ns > vm->limits->hang_ns)
		fail(vm, vm->guest.hello ? FAIL_HANG : FAIL_BOOT,
		     "no sign of life for %llu s",
		     (unsigned long long)(vm->limits->hang_ns / NSEC_PER_SEC));
	/* A guest that only sleeps takes no wall time under the virtual clock. */
	if (vm->guest.trace_last_ns > vm->limits->time_ns + vm->guest.trace_first_ns)
		fail(vm, FAIL_HANG, "not finished within the time limit of %llu s on the guest's "
		     "clock", (unsigned long long)(vm->limits->time_ns / NSEC_PER_SEC));
	if (now - vm->disk_ns > DISK_CHECK_NS) {
		vm->disk_ns = now;
		if (!dir__free_bytes(vm->dir, &free_bytes) && free_bytes < DISK_MIN_FREE)
			fail(vm, FAIL_INFRASTRUCTURE, "the disk of %s is full", vm->dir);
	}
}

static void loop(struct vm *vm)
{
	struct pollfd fds[] = {
		{ .fd = vm->signal_fd, .events = POLLIN },
		{ .fd = vm->tails.inotify_fd, .events = POLLIN },
		{ .fd = vm->qmp_fd, .events = POLLIN },
	};

	while (vm->stage != STAGE_GONE && !vm->failure && !vm->stop) {
		/* A closed socket would be ready for ever; the child's end is told by signal. */
		if (poll(fds, ARRAY_SIZE(fds), (int)(SAMPLE_NS / NSEC_PER_MSEC)) < 0 &&
		    errno != EINTR)
			fail(vm, FAIL_INFRASTRUCTURE, "poll: %s", strerror(errno));
		if (fds[2].revents & (POLLHUP | POLLERR))
			fds[2].fd = -1;
		read_tails(vm);
		talk_to_qemu(vm);
		read_signals(vm);
		ask_for_counters(vm);
		check_limits(vm);
	}
}

static void end_qemu(struct vm *vm)
{
	if (vm->pid <= 0)
		return;
	kill(vm->pid, SIGKILL);
	while (waitpid(vm->pid, &vm->wait_status, 0) < 0 && errno == EINTR)
		;
	vm->pid = 0;
}

/* QEMU is gone and was not told to go. */
static void judge_death(struct vm *vm)
{
	char why[160];

	child__last_words(vm->dir, why, sizeof(why));
	if (!vm->qmp.ready)
		fail(vm, FAIL_INFRASTRUCTURE, "QEMU did not start: %s", why);
	else if (WIFSIGNALED(vm->wait_status) && WTERMSIG(vm->wait_status) == SIGXFSZ)
		fail(vm, FAIL_STREAM, "the guest wrote without end");
	else if (WIFSIGNALED(vm->wait_status))
		fail(vm, FAIL_DIED, "QEMU was ended by signal %d (%s)",
		     WTERMSIG(vm->wait_status), strsignal(WTERMSIG(vm->wait_status)));
	else
		fail(vm, FAIL_DIED, "QEMU ended with status %d: %s",
		     WEXITSTATUS(vm->wait_status), why);
}

/* Did the guest's init end it, for a reason that is not the tracer? */
static bool has_given_up(const struct vm *vm)
{
	return vm->guest.bye_status == EXIT_INFRASTRUCTURE && vm->console.init_text[0] &&
	       !strstr(vm->console.init_text, "tracer");
}

/* The workload, or what started it, ended with another status than 0. */
static void judge_status(struct vm *vm)
{
	const struct guest *g = &vm->guest;
	const char *meaning = "";
	char words[GUEST_WORDS_MAX];

	if (has_given_up(vm)) {
		fail(vm, FAIL_WORKLOAD, "the guest's init gave up: %s", vm->console.init_text);
		return;
	}
	if (g->bye_status == 126)
		meaning = " (it cannot be run)";
	else if (g->bye_status == 127)
		meaning = " (a program, a library, or the interpreter in the first line of a "
			  "script is not there)";
	else if (g->bye_status > 128 && g->bye_status < 128 + NSIG)
		meaning = strsignal(g->bye_status - 128);
	fail(vm, FAIL_WORKLOAD, "the workload ended with status %d%s%s%s; %s", g->bye_status,
	     g->bye_status > 128 ? " (" : "", meaning, g->bye_status > 128 ? ")" : "",
	     guest__last_words(g, SPEAKER_WORKLOAD, words, sizeof(words)));
}

/* All has been read: what became of the cell? */
static void judge(struct vm *vm, bool was_killed)
{
	const struct guest *g = &vm->guest;
	/* With panic=-1 a panic resets the guest; else a workload only printed the words. */
	bool is_sound = g->has_bye && !vm->qmp.guest_reset;
	char why[FAILURE_DETAIL_MAX];

	if (!was_killed && !vm->qmp.shut_down)
		judge_death(vm);
	if (vm->console.verdict == VERDICT_PANIC && !is_sound)
		fail(vm, FAIL_PANIC, "%s", vm->console.text);
	else if (vm->console.verdict == VERDICT_SPLAT)
		fail(vm, FAIL_SPLAT, "%s", vm->console.text);
	if (g->nr_bad)
		fail(vm, FAIL_STREAM, "%llu bad lines; the first: %s",
		     (unsigned long long)g->nr_bad, g->first_bad);
	if (was_killed)
		return;		/* it could not say more */
	if (cell__is_traced(vm->cell) && g->hello && g->has_bye && !has_given_up(vm) &&
	    guest__tracer_gap(g, why, sizeof(why)))
		fail(vm, FAIL_TRACER, "%s", why);
	if (!g->hello)
		fail(vm, FAIL_BOOT, "the guest ended before it said hello");
	else if (!g->has_bye)
		fail(vm, FAIL_DIED, "the guest %s before the workload had ended",
		     vm->qmp.guest_reset ? "reset" : "powered off");
	else if (g->bye_status)
		judge_status(vm);
}

static int finish(struct vm *vm, const char *root, const struct qemu_args *args)
{
	struct axis axis;
	struct record r = {
		.cell = vm->cell, .dir = vm->dir, .nr_guests = 1,
		.guests[0] = {
			.guest = &vm->guest, .samples = vm->sampler.samples,
			.nr_samples = vm->sampler.nr,
		},
	};
	struct ledger *ledger = &r.guests[0].ledger;
	char *quoted = qemu__quoted(args);
	int err;

	axis__init(&axis, vm->cell->clock, &vm->guest, vm->sampler.samples, vm->sampler.nr);
	ledger__check(ledger, vm->cell, &vm->guest, &axis, vm->sampler.samples,
		      vm->sampler.nr);
	if (ledger->verdict == LEDGER_BAD)
		fail(vm, FAIL_LEDGER, "%s", ledger->detail);
	r.failure = vm->failure;
	r.detail = vm->detail;
	r.wall_ns = time__now_ns() - vm->start_ns;
	r.host = host__facts(root, vm->qmp.version, quoted ? quoted : "");
	free(quoted);
	err = r.host ? record__write(&r) : -ENOMEM;
	json_decref(r.host);
	if (err) {
		say__error("cannot write the record of %s: %s", vm->dir, strerror(-err));
		return EXIT_INFRASTRUCTURE;
	}
	if (vm->failure == FAIL_INFRASTRUCTURE)
		return EXIT_INFRASTRUCTURE;
	return vm->failure ? EXIT_FAILED : EXIT_DONE;
}

static int prepare(struct vm *vm, struct qemu_args *args, const struct images *im,
		   const char *payload)
{
	struct cell_machine cm;
	int pair[2], err;

	err = guest__init(&vm->guest) ?: console__init(&vm->console) ?:
	      open_signals(vm) ?: tails__open(&vm->tails, vm->dir) ?:
	      cell_machine__init(&cm, vm->cell, im, payload, vm->dir);
	if (err)
		return err;
	vm->guest.artefact = take_artefact;
	vm->guest.artefact_arg = vm;
	/*
	 * QMP goes over a socket pair that QEMU inherits: there is no name in a
	 * file system that another user could open or a crash could leave.
	 */
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return -errno;
	vm->qmp_fd = pair[0];
	if (fcntl(pair[0], F_SETFL, O_NONBLOCK))
		err = -errno;
	cm.m.qmp_fd = pair[1];
	cm.m.stays = true;
	err = err ?: qmp__init(&vm->qmp, pair[0]) ?:
	      qemu__args(args, &cm.m) ?:
	      cell_machine__save(args, vm->cell, vm->dir) ?:
	      child__start(&vm->pid, args, vm->dir, pair[1]);
	close(pair[1]);
	return err;
}

static void vm__free(struct vm *vm)
{
	tails__close(&vm->tails);
	close(vm->signal_fd);
	close(vm->qmp_fd);
	qmp__free(&vm->qmp);
	guest__free(&vm->guest);
	console__free(&vm->console);
	sampler__free(&vm->sampler);
}

int vm__run(const struct cell *c, const struct images *im, const char *root,
	    const char *payload, const char *dir, const struct vm_limits *limits)
{
	struct vm vm = {
		.cell = c, .dir = dir, .limits = limits, .artefacts = { .dir = dir },
		.tails = { { -1, -1, -1 }, -1 }, .signal_fd = -1, .qmp_fd = -1,
	};
	struct qemu_args args = { .nr = 0 };
	bool was_killed;
	int status, err;

	vm.start_ns = vm.sign_ns = vm.disk_ns = time__now_ns();
	err = prepare(&vm, &args, im, payload);
	if (err) {
		say__error("cannot start the cell in %s: %s", dir, strerror(-err));
		status = EXIT_INFRASTRUCTURE;
		goto out;
	}
	loop(&vm);
	was_killed = vm.pid > 0;
	end_qemu(&vm);
	if (vm.stop) {
		status = -EINTR;
		goto out;
	}
	while (read_tails(&vm))
		;	/* what came last; QEMU is gone, so it ends */
	guest__finish(&vm.guest);
	judge(&vm, was_killed);
	status = finish(&vm, root, &args);
out:
	qemu__free(&args);
	vm__free(&vm);
	return status;
}
