// SPDX-License-Identifier: GPL-2.0-or-later
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/num.h"
#include "common/time.h"
#include "common/usage.h"
#include "run/plan/cell.h"
#include "run/plan/settings.h"
#include "run/util.h"

#define MAX_ACK_NS	(600 * NSEC_PER_SEC)
#define MAX_PERIOD_NS	(3600 * NSEC_PER_SEC)
#define MAX_PARAMS	64

enum setting_type {
	SET_TEXT,
	SET_WORD,
	SET_SIZE,
	SET_COUNT,
	SET_TIME,
	SET_FLAG,
	SET_ACK,
	SET_CHECKPOINT
};

static const struct setting {
	const char *name;
	enum setting_type type;
	size_t offset, size;
	uint64_t min, max, step;
	const char *allowed;	/* for people; the words themselves of a SET_WORD */
	const char *what;
	enum factor factor;
} table[] = {
#define AT(m)	offsetof(struct settings, m), sizeof(((struct settings *)0)->m)
	{ "workload", SET_TEXT, AT(workload), 0, 0, 0,
	  "NAME|PATH", "folder under workloads/, or path of your own, with an executable `run`",
	  FACTOR_NONE },
	{ "arms", SET_TEXT, AT(arms), 0, 0, 0,
	  "\"ARM ...\"", "mechanisms to compare (see `hintrun list`)", FACTOR_NONE },
	{ "controls", SET_WORD, AT(controls), 0, 0, 0, "with|without",
	  "whether the controls of an arm come along (with, unless one is named)", FACTOR_NONE },
	{ "repeats", SET_COUNT, AT(repeats), 1, 1000, 1, "1 to 1000", "boots of each arm",
	  FACTOR_NONE },
	{ "mem", SET_SIZE, AT(mem_bytes), CELL_MEM_MIN, CELL_MEM_MAX, 2 * MIB,
	  "64M to 64G in steps of 2M", "memory sold to the guest (X)", FACTOR_ALL },
	{ "buffer", SET_SIZE, AT(buffer_bytes), 2 * MIB, CELL_MEM_MAX / 2, 2 * MIB,
	  "2M to 32G in steps of 2M", "hinting buffer, and extra memory of the control (B)",
	  FACTOR_EXTRA },
	{ "ack-delay", SET_ACK, AT(ack_delay), 0, 0, 0,
	  "0, or DURATION[+DURATION] such as 200ms or 200ms+1ms, at most 600s",
	  "model of a slow host: answer to a batch, plus per chunk", FACTOR_HINTS },
	{ "checkpoint", SET_CHECKPOINT, AT(checkpoint), 0, 0, 0,
	  "0, or PERIOD/WINDOW such as 10s/2s, the window shorter, at most 3600s",
	  "model of a host that answers nothing in a window of each period", FACTOR_HINTS },
	{ "stuck-after", SET_COUNT, AT(stuck_after), 0, UINT32_MAX, 1, "0 to 4294967295",
	  "model of a host that answers so many batches and no more (0: all)", FACTOR_HINTS },
	{ "clock", SET_WORD, AT(clock), 0, 0, 0, "auto|virtual|real",
	  "guest time: instructions executed, or wall time", FACTOR_NONE },
	{ "accel", SET_WORD, AT(accel), 0, 0, 0, "auto|kvm|tcg", "accelerator", FACTOR_NONE },
	{ "seed", SET_COUNT, AT(seed), 0, UINT32_MAX, 1, "0 to 4294967295",
	  "of the workload, the order of cells and the guest's random numbers", FACTOR_NONE },
	{ "jobs", SET_COUNT, AT(jobs), 1, 256, 1, "1 to 256", "cells run at once", FACTOR_NONE },
	{ "vcpus", SET_COUNT, AT(vcpus), 1, 64, 1, "1 to 64", "virtual CPUs",
	  FACTOR_ALL },
	{ "order", SET_COUNT, AT(order), 0, 10, 1, "0 to 10", "smallest order hinted",
	  FACTOR_HINTS },
	{ "delay-ms", SET_COUNT, AT(delay_ms), 0, 60000, 1, "0 to 60000",
	  "guest's pause before a reporting pass", FACTOR_HINTS },
	{ "capacity", SET_COUNT, AT(capacity), 1, CELL_CAPACITY_MAX, 1, "1 to 1024",
	  "chunks in a batch, at most (default: of the arm)", FACTOR_HINTS },
	{ "time-limit", SET_TIME, AT(time_limit_ns), NSEC_PER_SEC, 86400 * NSEC_PER_SEC, 1,
	  "1s to 86400s", "wall time a cell may take", FACTOR_NONE },
	{ "hang-limit", SET_TIME, AT(hang_limit_ns), NSEC_PER_SEC, 86400 * NSEC_PER_SEC, 1,
	  "1s to 86400s", "wall time a guest may be silent", FACTOR_NONE },
	{ "quick", SET_FLAG, AT(quick), 0, 0, 0, "0|1",
	  "one repeat (unless given) of a shortened workload", FACTOR_NONE },
#undef AT
};

static const struct setting *find(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(table); i++)
		if (!strcmp(table[i].name, name))
			return &table[i];
	return NULL;
}

bool setting__exists(const char *name)
{
	return find(name) != NULL;
}

enum factor setting__factor(const char *name)
{
	const struct setting *def = find(name);

	if (!strncmp(name, "param.", 6))
		return FACTOR_ALL;
	return def ? def->factor : FACTOR_NONE;
}

void setting__factors(char *buf, size_t size)
{
	size_t i, n = 0;

	buf[0] = '\0';
	for (i = 0; i < ARRAY_SIZE(table) && n < size; i++)
		if (table[i].factor)
			n += (size_t)snprintf(buf + n, size - n, "%s ", table[i].name);
	if (n < size)
		snprintf(buf + n, size - n, "param.NAME");
}

bool settings__same(const struct settings *a, const struct settings *b, const char *name)
{
	const struct setting *def = find(name);

	if (!strncmp(name, "param.", 6))
		return json_equal(json_object_get(a->params, name + 6),
				  json_object_get(b->params, name + 6));
	/* One time may be written in several ways. */
	if (def->type == SET_ACK)
		return a->ack_base_ns == b->ack_base_ns &&
		       a->ack_per_chunk_ns == b->ack_per_chunk_ns;
	if (def->type == SET_CHECKPOINT)
		return a->checkpoint_period_ns == b->checkpoint_period_ns &&
		       a->checkpoint_window_ns == b->checkpoint_window_ns;
	return !memcmp((const char *)a + def->offset, (const char *)b + def->offset, def->size);
}

int settings__init(struct settings *s)
{
	memset(s, 0, sizeof(*s));
	s->params = json_object();
	return s->params ? 0 : -ENOMEM;
}

void settings__free(struct settings *s)
{
	json_decref(s->params);
	s->params = NULL;
}

int settings__copy(struct settings *to, const struct settings *from)
{
	*to = *from;
	to->params = json_copy(from->params);
	return to->params ? 0 : -ENOMEM;
}

/* Is value one of the words in "a|b|c"? */
static bool is_word_of(const char *words, const char *value)
{
	size_t len = strlen(value);
	const char *p = words;

	while (len && *p) {
		size_t n = strcspn(p, "|");

		if (n == len && !strncmp(p, value, n))
			return true;
		p += n + (p[n] == '|');
	}
	return false;
}

static int parse_delay(const char *s, uint64_t *ns)
{
	if (!strcmp(s, "0")) {
		*ns = 0;
		return 0;
	}
	return num__duration_ns(s, 0, MAX_ACK_NS, ns);
}

static int set_ack(struct settings *s, const char *value)
{
	char base[sizeof(s->ack_delay)];
	uint64_t base_ns, chunk_ns = 0;
	char *plus;

	if (str__fmt(base, sizeof(base), "%s", value))
		return -EINVAL;
	plus = strchr(base, '+');
	if (plus)
		*plus++ = '\0';
	if (parse_delay(base, &base_ns) || (plus && parse_delay(plus, &chunk_ns)))
		return -EINVAL;
	strcpy(s->ack_delay, value);
	s->ack_base_ns = base_ns;
	s->ack_per_chunk_ns = chunk_ns;
	return 0;
}

static int set_checkpoint(struct settings *s, const char *value)
{
	char period[sizeof(s->checkpoint)];
	uint64_t period_ns = 0, window_ns = 0;
	char *slash;

	if (str__fmt(period, sizeof(period), "%s", value))
		return -EINVAL;
	slash = strchr(period, '/');
	if (slash)
		*slash++ = '\0';
	else if (strcmp(value, "0"))
		return -EINVAL;
	if (slash && (num__duration_ns(period, 1, MAX_PERIOD_NS, &period_ns) ||
		      num__duration_ns(slash, 1, period_ns - 1, &window_ns)))
		return -EINVAL;
	strcpy(s->checkpoint, value);
	s->checkpoint_period_ns = period_ns;
	s->checkpoint_window_ns = window_ns;
	return 0;
}

static int set_number(const struct setting *def, void *p, const char *value)
{
	uint64_t v;
	int err;

	if (def->type == SET_SIZE)
		err = num__size(value, def->min, def->max, &v);
	else if (def->type == SET_TIME)
		err = num__duration_ns(value, def->min, def->max, &v);
	else
		err = num__u64(value, def->min, def->max, &v);
	if (!err && v % def->step)
		err = -EINVAL;
	if (!err)
		*(uint64_t *)p = v;
	return err;
}

int settings__set(struct settings *s, const char *name, const char *value, const char *where)
{
	const struct setting *def = find(name);
	char upper[32];
	void *p;
	size_t i;
	int err = 0;

	if (!def) {
		say__error("%s: there is no setting \"%s\"", where, name);
		return -EINVAL;
	}
	p = (char *)s + def->offset;
	switch (def->type) {
	case SET_TEXT:
		err = *value ? str__fmt(p, def->size, "%s", value) : -EINVAL;
		break;
	case SET_WORD:
		err = is_word_of(def->allowed, value) ? str__fmt(p, def->size, "%s", value)
						      : -EINVAL;
		break;
	case SET_FLAG:
		if (strcmp(value, "0") && strcmp(value, "1"))
			err = -EINVAL;
		else
			*(bool *)p = value[0] == '1';
		break;
	case SET_ACK:
		err = set_ack(s, value);
		break;
	case SET_CHECKPOINT:
		err = set_checkpoint(s, value);
		break;
	default:
		err = set_number(def, p, value);
	}
	if (!err)
		return 0;
	for (i = 0; def->name[i] && i < sizeof(upper) - 1; i++)
		upper[i] = def->name[i] == '-' ? '_' : (char)toupper((unsigned char)def->name[i]);
	upper[i] = '\0';
	say__error("%s: %s (--%s) cannot be \"%.64s\"; allowed: %s",
		   where, upper, def->name, value, def->allowed);
	return -EINVAL;
}

int settings__set_param(struct settings *s, const char *name, const char *value,
			const char *where)
{
	if (!param__is_name(name) || !param__is_value(value)) {
		say__error("%s: workload parameter \"%.64s=%.64s\": a name is a-z 0-9 _ and begins "
			   "with a letter, a value is printable without quotes and backslash",
			   where, name, value);
		return -EINVAL;
	}
	if (json_object_size(s->params) >= MAX_PARAMS) {
		say__error("%s: more than %d workload parameters", where, MAX_PARAMS);
		return -EINVAL;
	}
	return json_object_set_new(s->params, name, json_string(value)) ? -ENOMEM : 0;
}

void settings__help(const struct usage *u)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(table); i++) {
		const struct setting *def = &table[i];
		bool is_words = def->type == SET_WORD || def->type == SET_TEXT;
		const char *arg = def->type == SET_FLAG	 ? NULL :
				  is_words		 ? def->allowed :
				  def->type == SET_SIZE	 ? "SIZE" :
				  def->type == SET_COUNT ? "N" :
							   "DURATION";
		char what[256];

		snprintf(what, sizeof(what), "%s%s%s%s", def->what, arg && !is_words ? " (" : "",
			 arg && !is_words ? def->allowed : "", arg && !is_words ? ")" : "");
		usage__option(u, 0, def->name, arg, what);
	}
}
