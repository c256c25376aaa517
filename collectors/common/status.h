/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Exit statuses of every program here; scripts call them EX_FAILED and so on. */
#ifndef COMMON_STATUS_H
#define COMMON_STATUS_H

enum {
	EXIT_DONE = 0,
	EXIT_FAILED = 1,		/* what was to be found out, or run, failed */
	EXIT_USAGE = 2,			/* wrong usage */
	EXIT_INFRASTRUCTURE = 69,	/* something needed is missing or broken: EX_UNAVAILABLE */
};

#endif
