// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "run/plan/payload.h"
#include "run/vm/machine.h"
#include "run/vm/shell.h"
#include "run/util.h"

static int write_env(const struct cell *c, const char *dir)
{
	char path[PATH_MAX], *env = cell__env(c), *text = NULL;
	int err = -ENOMEM;

	if (env && asprintf(&text, "%sHINT_SHELL=1\n", env) >= 0)
		err = str__fmt(path, sizeof(path), "%s/cell.env", dir) ?:
		      file__replace(path, text, strlen(text));
	free(env);
	free(text);
	return err;
}

static int run_qemu(const struct qemu_args *args)
{
	sigset_t set;
	int status = 0, sig = 0;
	pid_t pid;

	/*
	 * Ctrl-C is for the guest; when we are told to end, the folder must still
	 * be removed. qemu__exec() lets the child have its signals.
	 */
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fflush(NULL);
	pid = fork();
	if (pid < 0)
		return STATUS_INFRA;
	if (!pid)
		qemu__exec(args, -1);
	while (waitpid(pid, &status, WNOHANG) != pid) {
		sigwait(&set, &sig);
		if (sig == SIGTERM || sig == SIGHUP)
			kill(pid, SIGTERM);
	}
	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return STATUS_DONE;
	say__error("QEMU did not end well (wait status %d)", status);
	return STATUS_INFRA;
}

int shell__run(const struct cell *c, const struct images *im, const char *tools_dir,
	       const char *workload_dir)
{
	const char *base = getenv("XDG_RUNTIME_DIR");
	char dir[PATH_MAX], tar[PATH_MAX];
	struct qemu_args args = { .nr = 0 };
	struct cell_machine cm;
	struct payload payload;
	int err, status = STATUS_INFRA;

	/* mkdtemp makes it 0700: what the guest writes is for this user only. */
	if (str__fmt(dir, sizeof(dir), "%s/hintrun-shell-XXXXXX", base && *base ? base : "/tmp") ||
	    !mkdtemp(dir)) {
		say__error("cannot make a private folder: %s", strerror(errno));
		return STATUS_INFRA;
	}
	err = str__fmt(tar, sizeof(tar), "%s/payload.tar", dir) ?:
	      payload__write(&payload, tar, tools_dir, workload_dir) ?:
	      write_env(c, dir);
	if (!err)
		err = cell_machine__init(&cm, c, im, tar, dir);
	if (!err) {
		cm.m.console = NULL;	/* the terminal */
		err = qemu__args(&args, &cm.m);
	}
	if (err) {
		say__error("cannot prepare the guest in %s: %s", dir, strerror(-err));
	} else {
		printf("  %-8s arm %s, %s; the tools are in /run/hint; "
		       "Ctrl-A X ends it, Ctrl-A H helps\n", "SHELL", c->arm, c->accel);
		status = run_qemu(&args);
	}
	qemu__free(&args);
	dir__remove(dir);
	return status;
}
