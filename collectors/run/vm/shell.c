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

static int write_env(const struct cell *c, const char *dir, unsigned int how)
{
	char path[PATH_MAX], *env = cell__env(c), *text = NULL;
	int err = -ENOMEM;

	if (env && asprintf(&text, "%s%s", env,
			    how & TERMINAL_SHELL ? "HINT_SHELL=1\n" : "") >= 0)
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
	signals__block(&set, NULL);
	fflush(NULL);
	pid = fork();
	if (pid < 0)
		return EXIT_INFRASTRUCTURE;
	if (!pid)
		qemu__exec(args, -1, QEMU_MAX_FILE);
	while (waitpid(pid, &status, WNOHANG) != pid) {
		sigwait(&set, &sig);
		if (sig == SIGTERM || sig == SIGHUP)
			kill(pid, SIGTERM);
	}
	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return EXIT_DONE;
	say__error("QEMU did not end well (wait status %d)", status);
	return EXIT_INFRASTRUCTURE;
}

/* What a debugger needs to know, for whoever is at another terminal. */
static void say_how_to_attach(const struct images *im, const char *socket)
{
	char symbols[PATH_MAX];

	strcpy(symbols, im->kernel);
	strcpy(strrchr(symbols, '/') + 1, "vmlinux");
	printf("  %-8s the guest waits before its first instruction; at another terminal:\n"
	       "           gdb -ex 'target remote %s' %s\n"
	       "           That file has functions and addresses, no lines and no types: docs/runner.md\n"
	       "           says where one with these is. Without gdb: Ctrl-A C, then `c`, lets it go.\n",
	       "DEBUG", socket, symbols);
}

int shell__run(const struct cell *c, const struct images *im, const char *tools_dir,
	       const char *workload_dir, unsigned int how)
{
	const char *base = getenv("XDG_RUNTIME_DIR");
	char dir[PATH_MAX], tar[PATH_MAX], socket[PATH_MAX], gdb[PATH_MAX + 64];
	struct qemu_args args = { .nr = 0 };
	struct cell_machine cm;
	struct payload payload;
	int err, status = EXIT_INFRASTRUCTURE;

	/* mkdtemp makes it 0700: what the guest writes is for this user only. */
	if (str__fmt(dir, sizeof(dir), "%s/hintrun-shell-XXXXXX", base && *base ? base : "/tmp") ||
	    !mkdtemp(dir)) {
		say__error("cannot make a private folder: %s", strerror(errno));
		return EXIT_INFRASTRUCTURE;
	}
	err = str__fmt(tar, sizeof(tar), "%s/payload.tar", dir) ?:
	      payload__write(&payload, tar, tools_dir, workload_dir) ?:
	      write_env(c, dir, how) ?:
	      str__fmt(socket, sizeof(socket), "%s/gdb", dir) ?:
	      str__fmt(gdb, sizeof(gdb), "unix:%s,server=on,wait=off", socket);
	if (!err)
		err = cell_machine__init(&cm, c, im, tar, dir);
	if (!err) {
		cm.m.console = NULL;	/* the terminal */
		cm.m.is_halted = how & TERMINAL_HALTED;
		cm.m.gdb = how & TERMINAL_HALTED ? gdb : NULL;
		err = qemu__args(&args, &cm.m);
	}
	if (err) {
		say__error("cannot prepare the guest in %s: %s", dir, strerror(-err));
	} else {
		printf("  %-8s arm %s, %s; the tools are in /run/hint; "
		       "Ctrl-A X ends it, Ctrl-A H helps\n",
		       how & TERMINAL_SHELL ? "SHELL" : "GUEST", c->arm, c->accel);
		if (how & TERMINAL_HALTED)
			say_how_to_attach(im, socket);
		status = run_qemu(&args);
	}
	qemu__free(&args);
	dir__remove(dir);
	return status;
}
