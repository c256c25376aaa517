// SPDX-License-Identifier: GPL-2.0-or-later
/* Which of the arms a list names. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "run/plan/arms.h"
#include "run/json.h"
#include "run/util.h"

static void say_unknown_arm(const struct arms *a, const char *name)
{
	char all[MAX_ARMS * (CELL_NAME_MAX + 1) + 1] = "";
	size_t n = 0;
	unsigned int i;

	for (i = 0; i < a->nr && n < sizeof(all); i++)
		n += (size_t)snprintf(all + n, sizeof(all) - n, " %s", a->arm[i].name);
	say__error("ARMS (--arms): there is no arm \"%s\"; allowed: " ARMS_ALL "%s", name, all);
}

static bool has_arm(const struct arm *const *list, unsigned int nr, const struct arm *arm)
{
	unsigned int i;

	for (i = 0; i < nr; i++)
		if (list[i] == arm)
			return true;
	return false;
}

static void add_once(const struct arm **out, unsigned int *nr, const struct arm *arm)
{
	if (!has_arm(out, *nr, arm))
		out[(*nr)++] = arm;
}

static bool names_a_control(const struct arms *a, const struct arm *const *named,
			    unsigned int nr, const struct arm *arm)
{
	unsigned int i;

	for (i = 0; i < arm->nr_controls; i++)
		if (has_arm(named, nr, arms__find(a, arm->controls[i])))
			return true;
	return false;
}

int arms__select(const struct arms *a, const char *list, bool with_controls, const struct arm **out,
		 unsigned int *nr_out)
{
	const struct arm *named[MAX_ARMS];
	char copy[1024], *save = NULL, *word;
	unsigned int nr = 0, i, j;

	*nr_out = 0;
	if (str__fmt(copy, sizeof(copy), "%s", list)) {
		say__error("ARMS (--arms): the list is longer than %zu bytes", sizeof(copy) - 1);
		return -EINVAL;
	}
	for (word = strtok_r(copy, " ,\t\n", &save); word; word = strtok_r(NULL, " ,\t\n", &save)) {
		const struct arm *arm = arms__find(a, word);

		if (!strcmp(word, ARMS_ALL)) {
			for (i = 0; i < a->nr; i++)
				add_once(named, &nr, &a->arm[i]);
			continue;
		}
		if (!arm) {
			say_unknown_arm(a, word);
			return -EINVAL;
		}
		add_once(named, &nr, arm);
	}
	if (!nr) {
		say_unknown_arm(a, "");
		return -EINVAL;
	}
	for (i = 0; i < nr; i++) {
		bool alone = !with_controls || names_a_control(a, named, nr, named[i]);

		for (j = 0; !alone && j < named[i]->nr_controls; j++)
			add_once(out, nr_out, arms__find(a, named[i]->controls[j]));
		add_once(out, nr_out, named[i]);
	}
	return 0;
}
