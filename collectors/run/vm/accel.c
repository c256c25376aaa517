// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/time.h"
#include "run/vm/accel.h"
#include "run/vm/console.h"
#include "run/vm/qemu.h"
#include "run/util.h"

#define PROBE_LIMIT_NS	(20 * NSEC_PER_SEC)

static bool cpu_has_vmx_or_svm(void)
{
	char line[8192];
	bool found = false;
	FILE *f = fopen("/proc/cpuinfo", "re");

	while (f && !found && fgets(line, sizeof(line), f))
		if (!strncmp(line, "flags", 5))
			found = strstr(line, " vmx ") || strstr(line, " svm ") ||
				strstr(line, " vmx\n") || strstr(line, " svm\n");
	if (f)
		fclose(f);
	return found;
}

static bool file_contains(const char *path, const char *text)
{
	char *data;
	bool found;

	if (file__read(path, 1 << 20, &data, NULL))
		return false;
	found = strstr(data, text) != NULL;
	free(data);
	return found;
}

/* Does the kernel speak within the limit? Then the accelerator runs guests. */
static bool kernel_speaks(const struct qemu_args *args, const char *console)
{
	uint64_t end = time__now_ns() + PROBE_LIMIT_NS;
	bool speaks = false;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid < 0)
		return false;
	if (!pid) {
		int null = open("/dev/null", O_RDWR);

		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
		qemu__exec(args, -1, QEMU_MAX_FILE);
	}
	while (!speaks && time__now_ns() < end) {
		bool gone = waitpid(pid, NULL, WNOHANG) == pid;

		speaks = file_contains(console, CONSOLE_SIGN);
		if (gone)
			return speaks;
		usleep(50000);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return speaks;
}

static bool kvm_boots(const struct images *im)
{
	char console[] = "/tmp/hintrun-probe-XXXXXX";
	/* The least that tells whether a guest can run: kernel, console, no disk. */
	const struct machine m = {
		.qemu = im->qemu, .share = im->share, .kernel = im->kernel, .accel = "kvm",
		.ram_bytes = 256 * MIB, .vcpus = 1, .console = console, .agent_fd = -1,
		.qmp_fd = -1,
	};
	struct qemu_args args;
	bool boots;
	int fd;

	fd = mkstemp(console);
	if (fd < 0)
		return false;
	close(fd);
	boots = !qemu__args(&args, &m) && kernel_speaks(&args, console);
	qemu__free(&args);
	unlink(console);
	return boots;
}

/* NULL when there is a KVM that may run guests; else why not. Takes no time. */
static const char *why_no_device(void)
{
	int fd;

	if (!cpu_has_vmx_or_svm())
		return "this CPU shows neither vmx nor svm";
	fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? "there is no /dev/kvm"
				       : "/dev/kvm cannot be opened (group kvm?)";
	close(fd);
	return NULL;
}

/* An answer holds for one boot of the host, one kernel and one QEMU. */
static int memory_key(const struct images *im, char *key, size_t size)
{
	char *boot;
	int err;

	err = file__read("/proc/sys/kernel/random/boot_id", 256, &boot, NULL);
	if (err)
		return err;
	boot[strcspn(boot, "\n")] = '\0';
	err = str__fmt(key, size, "%s %s %s", boot, im->kernel_id, im->qemu_id);
	free(boot);
	return err;
}

int accel__decide(const char *choice, const char *clock, const struct images *im,
		  const char *memory, const char **accel)
{
	bool is_auto = !strcmp(choice, "auto"), is_virtual = !strcmp(clock, "virtual");
	char key[256], kept[512];
	const char *why = why_no_device();
	int has_key;

	*accel = "tcg";
	if (!strcmp(choice, "tcg") || (is_auto && is_virtual))
		return EXIT_DONE;
	if (is_virtual) {
		say__error("CLOCK=virtual counts instructions, which needs ACCEL=tcg, not kvm");
		return EXIT_USAGE;
	}
	has_key = !memory_key(im, key, sizeof(key));
	if (has_key) {
		str__fmt(kept, sizeof(kept), "kvm %s", key);
		/* The device may have gone since: a container moved, a group changed. */
		if (!why && file_contains(memory, kept)) {
			*accel = "kvm";
			return EXIT_DONE;
		}
		str__fmt(kept, sizeof(kept), "tcg %s", key);
		if (is_auto && file_contains(memory, kept))
			return EXIT_DONE;
	}
	if (!why && !kvm_boots(im))
		why = "/dev/kvm opens, but a guest does not boot with it";
	if (has_key && !str__fmt(kept, sizeof(kept), "%s %s\n%s\n", why ? "tcg" : "kvm", key,
				 why ? why : "a guest boots"))
		file__replace(memory, kept, strlen(kept));	/* only saves time */
	if (!why) {
		*accel = "kvm";
		return EXIT_DONE;
	}
	if (!is_auto) {
		say__error("ACCEL=kvm cannot be had: %s; ACCEL=tcg always works", why);
		return EXIT_INFRASTRUCTURE;
	}
	printf("  %-8s TCG, not KVM: %s\n", "ACCEL", why);
	return EXIT_DONE;
}
