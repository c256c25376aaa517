// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <linux/capability.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "trace/rights.h"

#define LOCKDOWN "/sys/kernel/security/lockdown"

/* "none integrity [confidentiality]" */
static bool is_locked_down(void)
{
	FILE *f = fopen(LOCKDOWN, "re");
	char text[64] = "";
	bool locked;

	if (!f)
		return false;
	locked = fgets(text, sizeof(text), f) && strstr(text, "[confidentiality]");
	fclose(f);
	return locked;
}

int rights__check(void)
{
	if (!is_locked_down())
		return 0;
	fprintf(stderr,
		"hinttrace: this kernel is locked down (confidentiality, see " LOCKDOWN
		"): no program may read its memory; boot it with lockdown=integrity, or without\n");
	return -EPERM;
}

void rights__missing(char *buf, size_t size)
{
	static const struct {
		int cap;
		const char *name;
	} needed[] = {
		{ CAP_BPF, " CAP_BPF" },
		{ CAP_PERFMON, " CAP_PERFMON" },
		{ CAP_SYSLOG, " CAP_SYSLOG" },
		{ CAP_SYS_ADMIN, " CAP_SYS_ADMIN" },
	};
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = { { 0 } };
	size_t len = 0;

	buf[0] = '\0';
	if (syscall(SYS_capget, &head, sets))
		return;
	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]) && len < size; i++) {
		int cap = needed[i].cap;

		if (!(sets[CAP_TO_INDEX(cap)].effective & CAP_TO_MASK(cap)))
			len += (size_t)snprintf(buf + len, size - len, "%s", needed[i].name);
	}
}
