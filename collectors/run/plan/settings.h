/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The settings of an experiment. Each has one name, one range and one text
 * form, whether it comes from a file of experiments/ or from the command line.
 */
#ifndef RUN_PLAN_SETTINGS_H
#define RUN_PLAN_SETTINGS_H

#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "common/usage.h"

struct settings {
	char workload[PATH_MAX];	/* a name under workloads/, or a path */
	char arms[1024];
	char controls[8];		/* with, without; "": with */
	char clock[8];			/* auto, virtual, real */
	char accel[8];			/* auto, kvm, tcg */
	char ack_delay[64];		/* as given, for labels and messages */
	uint64_t repeats;		/* 0: not given */
	uint64_t mem_bytes;
	uint64_t buffer_bytes;
	uint64_t ack_base_ns;
	uint64_t ack_per_chunk_ns;
	char checkpoint[64];		/* as given */
	uint64_t checkpoint_period_ns;	/* 0: none */
	uint64_t checkpoint_window_ns;
	uint64_t stuck_after;		/* 0: never */
	uint64_t seed;
	uint64_t jobs;			/* 0: decided by the runner */
	uint64_t vcpus;
	uint64_t order;
	uint64_t delay_ms;
	uint64_t capacity;		/* 0: the arm's own */
	uint64_t time_limit_ns;		/* wall time of a cell */
	uint64_t hang_limit_ns;		/* wall time without a sign of life */
	bool quick;
	json_t *params;			/* workload parameters, string to string */
};

int settings__init(struct settings *s);
void settings__free(struct settings *s);
int settings__copy(struct settings *to, const struct settings *from);

bool setting__exists(const char *name);

/* Which arms a setting means anything to, and so may be varied in. */
enum factor {
	FACTOR_NONE,	/* not to be varied: the same for all cells of a results folder */
	FACTOR_ALL,	/* every arm */
	FACTOR_HINTS,	/* arms that hint */
	FACTOR_EXTRA,	/* arms with memory beyond X */
};

/* Also of param.NAME. */
enum factor setting__factor(const char *name);
/* Print the names of the settings that may be varied, with blanks between, into buf. */
void setting__factors(char *buf, size_t size);
/* Is the setting the same in both, however it was written? Also of param.NAME. */
bool settings__same(const struct settings *a, const struct settings *b, const char *name);
/* Says what is wrong and what is allowed; `where` names the source. */
int settings__set(struct settings *s, const char *name, const char *value, const char *where);
/* A workload parameter. */
int settings__set_param(struct settings *s, const char *name, const char *value,
			const char *where);
/* One line a setting: option, what is allowed, what it is. */
void settings__help(const struct usage *u);

#endif
