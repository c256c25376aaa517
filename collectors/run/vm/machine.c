// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run/vm/machine.h"
#include "run/util.h"

/* Append "BETWEEN KEY=VALUE" of every field. */
static int add_fields(char *buf, size_t size, json_t *fields, const char *between)
{
	size_t n = strlen(buf);
	const char *key;
	json_t *value;

	json_object_foreach(fields, key, value) {
		int err = str__fmt(buf + n, size - n, "%s%s=%s", between, key,
				   json_string_value(value));

		if (err)
			return err;
		n += strlen(buf + n);
	}
	return 0;
}

/* A property that a cell may do without, whose command line is then as it ever was. */
static int add_number(char *buf, size_t size, const char *property, uint64_t value)
{
	size_t n = strlen(buf);

	return value ? str__fmt(buf + n, size - n, ",%s=%" PRIu64, property, value) : 0;
}

/*
 * Without a tracer the device itself says what came when: every batch, and every
 * write to a port of the guest, in the order in which QEMU saw them (qemu.log).
 */
static char *const device_trace[] = {
	"-trace", "virtio_balloon_report", "-trace", "virtio_console_flush_buf", NULL,
};

int cell_machine__init(struct cell_machine *cm, const struct cell *c, const struct images *im,
		       const char *payload, const char *dir)
{
	memset(cm, 0, sizeof(*cm));
	cm->m = (struct machine) {
		.qemu = im->qemu, .share = im->share, .kernel = im->kernel, .root = im->rootfs,
		.append = cm->append, .payload = payload, .cell_env = cm->env,
		.balloon = cm->balloon, .ports = dir, .console = cm->console,
		.accel = c->accel, .is_virtual = !strcmp(c->clock, "virtual"),
		.seed = (uint32_t)(cell__guest_seed(c) & UINT32_MAX),
		.ram_bytes = cell__ram_bytes(c), .vcpus = c->vcpus,
		.agent_fd = -1, .qmp_fd = -1,
		.more = cell__is_traced(c) ? NULL : device_trace,
	};
	return str__fmt(cm->env, sizeof(cm->env), "%s/cell.env", dir) ?:
	       str__fmt(cm->console, sizeof(cm->console), "%s/console.log", dir) ?:
	       /* The arm's parameters come last: they are all that differs between arms. */
	       str__fmt(cm->append, sizeof(cm->append), "page_reporting.page_reporting_order=%u"
			" page_reporting.page_reporting_delay_ms=%u page_reporting.capacity=%u",
			c->order, c->delay_ms, c->capacity) ?:
	       str__fmt(cm->balloon, sizeof(cm->balloon), "x-report-ack-base-ns=%" PRIu64
			",x-report-ack-per-chunk-ns=%" PRIu64, c->ack_base_ns,
			c->ack_per_chunk_ns) ?:
	       add_number(cm->balloon, sizeof(cm->balloon), "x-report-checkpoint-period-ns",
			  c->checkpoint_period_ns) ?:
	       add_number(cm->balloon, sizeof(cm->balloon), "x-report-checkpoint-window-ns",
			  c->checkpoint_window_ns) ?:
	       add_number(cm->balloon, sizeof(cm->balloon), "x-report-stuck-after",
			  c->stuck_after) ?:
	       add_fields(cm->append, sizeof(cm->append), c->kernel_params, " ") ?:
	       add_fields(cm->balloon, sizeof(cm->balloon), c->device, ",");
}

static int write_text(const char *dir, const char *name, const char *text)
{
	char path[PATH_MAX];

	return str__fmt(path, sizeof(path), "%s/%s", dir, name) ?:
	       file__replace(path, text, strlen(text));
}

int cell_machine__save(const struct qemu_args *args, const struct cell *c, const char *dir)
{
	char *env = cell__env(c), *quoted = qemu__quoted(args), *cmd = NULL;
	int err = -ENOMEM;

	if (env && quoted &&
	    asprintf(&cmd, "# As run; `-chardev socket,id=qmp,...` and `-mon chardev=qmp,...` were\n"
		     "# on an inherited descriptor: leave them out to run this by hand.\n%s\n",
		     quoted) >= 0)
		err = write_text(dir, "cell.json", c->text) ?:
		      write_text(dir, "cell.env", env) ?:
		      write_text(dir, "qemu.cmd", cmd);
	free(env);
	free(quoted);
	free(cmd);
	return err;
}
