// SPDX-License-Identifier: GPL-2.0-only
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "trace/load.h"
#include "trace/rights.h"

void loaded__init(struct loaded *l)
{
	memset(l, 0, sizeof(*l));
	l->zone_state_fd = -1;
	l->totals_fd = -1;
	for (int o = 0; o < NR_OBJECTS; o++) {
		l->object[o].probe_stats_fd = -1;
		l->object[o].hists_fd = -1;
		l->object[o].events_fd = -1;
		l->object[o].kills_fd = -1;
	}
	for (unsigned int i = 0; i < nr_trace_probes; i++)
		l->prog_fd[i] = -1;
}

/* Puts a map where it belongs by its name; other maps (.rodata, ...) are the programs' own. */
static bool take_map(struct loaded *l, enum trace_object o, const char *name, int fd)
{
	struct loaded_object *lo = &l->object[o];
	int *slot = NULL;

	if (!strcmp(name, "probe_stats"))
		slot = &lo->probe_stats_fd;
	else if (!strcmp(name, "hists"))
		slot = &lo->hists_fd;
	else if (!strcmp(name, "hint_events") || !strcmp(name, "alloc_events") ||
		 !strcmp(name, "samples"))
		slot = &lo->events_fd;
	else if (!strcmp(name, "kill_events"))
		slot = &lo->kills_fd;
	else if (o == OBJ_HINT && !strcmp(name, "zone_state"))
		slot = &l->zone_state_fd;
	else if (o == OBJ_HINT && !strcmp(name, "hint_totals"))
		slot = &l->totals_fd;
	if (!slot || *slot >= 0)
		return false;
	*slot = fd;
	return true;
}

/* The shared maps belong to hint; allocfail and sample read the same. */
static int share_state(struct loaded *l, struct bpf_object *obj)
{
	static const char *const names[] = { "zone_state", "hint_totals" };
	int fds[] = { l->zone_state_fd, l->totals_fd };

	for (int i = 0; i < 2; i++) {
		struct bpf_map *map = bpf_object__find_map_by_name(obj, names[i]);
		int err;

		if (!map || fds[i] < 0)
			continue;
		err = bpf_map__reuse_fd(map, fds[i]);
		if (err) {
			fprintf(stderr, "hinttrace: cannot share map %s: %s; was hint loaded from another build?\n",
				names[i], strerror(-err));
			return err;
		}
	}
	return 0;
}

static void say_refused(const char *path, int err)
{
	char missing[128];

	rights__missing(missing, sizeof(missing));
	if (err == -EPERM && missing[0])
		fprintf(stderr,
			"hinttrace: the kernel refused %s: %s; this process lacks%s (man hinttrace: CAPABILITIES)\n",
			path, strerror(-err), missing);
	else
		fprintf(stderr,
			"hinttrace: the kernel refused %s: %s; it needs Linux 5.17 or later, --verbose shows the verifier's log\n",
			path, strerror(-err));
}

static int load_one(struct loaded *l, enum trace_object o, const char *dir)
{
	struct loaded_object *lo = &l->object[o];
	struct bpf_program *prog;
	struct bpf_map *map;
	char path[PATH_MAX];
	int err, nr = 0;

	if (snprintf(path, sizeof(path), "%s/%s.bpf.o", dir, trace_object_names[o]) >=
	    (int)sizeof(path)) {
		fprintf(stderr, "hinttrace: the path of the objects is too long\n");
		return -ENAMETOOLONG;
	}
	lo->obj = bpf_object__open_file(path, NULL);
	if (!lo->obj) {
		err = -errno;
		fprintf(stderr, "hinttrace: cannot open %s: %s; give the folder with --objects\n",
			path, strerror(-err));
		return err;
	}
	bpf_object__for_each_program(prog, lo->obj) {
		const struct probe *probe = probe__find(bpf_program__name(prog));
		bool wanted = probe && probe->object == o && probe->state == STATE_WANTED;

		if (!probe) {
			fprintf(stderr, "hinttrace: %s has a program %s that this tracer does not know; use the objects built with it\n",
				path, bpf_program__name(prog));
			return -EINVAL;
		}
		bpf_program__set_autoload(prog, wanted);
		nr += wanted;
	}
	/* Not an error: a kernel without swap has nothing for swap to attach to. */
	if (!nr && o != OBJ_HINT)
		return 0;
	err = o == OBJ_HINT ? 0 : share_state(l, lo->obj);
	if (err)
		return err;
	err = bpf_object__load(lo->obj);
	if (err) {
		say_refused(path, err);
		return err;
	}
	bpf_object__for_each_map(map, lo->obj)
		take_map(l, o, bpf_map__name(map), bpf_map__fd(map));
	bpf_object__for_each_program(prog, lo->obj) {
		const struct probe *probe = probe__find(bpf_program__name(prog));

		if (bpf_program__autoload(prog))
			l->prog_fd[probe - trace_probes] = bpf_program__fd(prog);
	}
	lo->present = true;
	return 0;
}

int loaded__load(struct loaded *l, const char *dir)
{
	for (int o = 0; o < NR_OBJECTS; o++) {
		int err = l->object[o].present ? 0 : load_one(l, o, dir);

		if (err)
			return err;
	}
	return 0;
}

/* One CPU's timer: it reads what all of them have counted. NULL and errno. */
static struct bpf_link *attach_timer(const struct bpf_program *prog, __u64 period_ns)
{
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.type = PERF_TYPE_SOFTWARE,
		.config = PERF_COUNT_SW_CPU_CLOCK,
		.sample_period = period_ns,
		.disabled = 1,
	};
	int fd = (int)syscall(SYS_perf_event_open, &attr, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
	struct bpf_link *link;
	int err;

	if (fd < 0)
		return NULL;
	link = bpf_program__attach_perf_event(prog, fd);
	if (link)
		return link;
	err = errno;
	close(fd);
	errno = err;
	return NULL;
}

/*
 * In the order of the table: of a pair on one hook the begin comes first, and
 * ends without a begin are ignored by the programs.
 */
int loaded__attach(struct loaded *l, __u64 sample_ns)
{
	unsigned int nr = 0;

	for (unsigned int i = 0; i < nr_trace_probes; i++) {
		struct probe *probe = &trace_probes[i];
		struct bpf_program *prog;

		if (probe->state == STATE_ADOPTED)
			nr++;
		if (probe->state != STATE_WANTED || !l->object[probe->object].obj ||
		    (probe->object == OBJ_SAMPLE && !sample_ns))
			continue;
		prog = bpf_object__find_program_by_name(l->object[probe->object].obj, probe->name);
		if (probe->object == OBJ_SAMPLE)
			l->link[i] = prog ? attach_timer(prog, sample_ns) : NULL;
		else
			l->link[i] = prog ? bpf_program__attach(prog) : NULL;
		if (!l->link[i]) {
			int err = -errno;

			probe->state = STATE_FAILED;
			probe->why = strerror(-err);
			fprintf(stderr, "hinttrace: cannot attach %s to %s/%s: %s\n", probe->name,
				probe->kind, probe->hook, strerror(-err));
			continue;
		}
		probe->state = probe->fallback ? STATE_FELL_BACK : STATE_ATTACHED;
		nr += probe->object != OBJ_SAMPLE;
	}
	if (nr)
		return 0;
	fprintf(stderr, "hinttrace: nothing could be attached; --list-probes shows why\n");
	return -ENOENT;
}

bool loaded__samples(const struct loaded *l)
{
	for (unsigned int i = 0; i < nr_trace_probes; i++) {
		if (trace_probes[i].object == OBJ_SAMPLE && l->link[i])
			return true;
	}
	return false;
}

int loaded__totals(const struct loaded *l, struct hint_totals *totals)
{
	__u32 zero = 0;

	memset(totals, 0, sizeof(*totals));
	if (l->totals_fd < 0)
		return 0;
	return bpf_map_lookup_elem(l->totals_fd, &zero, totals) ? -errno : 0;
}

void loaded__detach(struct loaded *l, enum trace_object o)
{
	for (unsigned int i = 0; i < nr_trace_probes; i++) {
		if (trace_probes[i].object != o)
			continue;
		bpf_link__destroy(l->link[i]);
		l->link[i] = NULL;
	}
}

void loaded__free(struct loaded *l)
{
	for (int o = 0; o < NR_OBJECTS; o++) {
		loaded__detach(l, o);
		bpf_object__close(l->object[o].obj);
	}
	for (unsigned int i = 0; i < l->nr_adopted; i++)
		close(l->adopted_fd[i]);
	loaded__init(l);
}

/* ---- adopting ---- */

static int keep_fd(struct loaded *l, int fd)
{
	if (l->nr_adopted == sizeof(l->adopted_fd) / sizeof(l->adopted_fd[0])) {
		close(fd);
		return -E2BIG;
	}
	l->adopted_fd[l->nr_adopted++] = fd;
	return 0;
}

/* "anon_inode:bpf_link" or "anon_inode:bpf-link", by how it was opened; a program is "bpf-prog". */
static bool fd_is_link(int fd)
{
	char path[64], target[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, target, sizeof(target) - 1);
	if (n < 0)
		return false;
	target[n] = '\0';
	return strstr(target, "bpf_link") || strstr(target, "bpf-link");
}

/* The program behind a pin, attached: by the pinned link, or by us. */
static int pinned_prog(struct loaded *l, struct probe *probe, int fd, int *prog_fd)
{
	struct bpf_link_info info = { 0 };
	__u32 len = sizeof(info);
	int err;

	if (fd_is_link(fd)) {
		err = bpf_obj_get_info_by_fd(fd, &info, &len);
		if (err)
			return -errno;
		*prog_fd = bpf_prog_get_fd_by_id(info.prog_id);
		if (*prog_fd < 0)
			return -errno;
		return keep_fd(l, *prog_fd);
	}
	*prog_fd = fd;
	/* tp_btf, fentry and fexit know their hook from the load; a raw tracepoint does not. */
	err = bpf_raw_tracepoint_open(strcmp(probe->kind, "raw_tp") ? NULL : probe->hook, fd);
	return err < 0 ? -errno : keep_fd(l, err);
}

/* A map of this name and another size is of another build. */
static bool map_fits(const struct bpf_map_info *map)
{
	static const struct {
		const char *name;
		__u32 value_size;
	} layout[] = {
		{ "probe_stats", sizeof(struct probe_stat) },
		{ "hists", sizeof(struct hist_cpu) },
		{ "zone_state", sizeof(struct zone_state) },
		{ "hint_totals", sizeof(struct hint_totals) },
	};

	for (unsigned int i = 0; i < sizeof(layout) / sizeof(layout[0]); i++) {
		if (!strcmp(map->name, layout[i].name))
			return map->value_size == layout[i].value_size;
	}
	return true;
}

static int take_prog_maps(struct loaded *l, enum trace_object o, int prog_fd)
{
	__u32 ids[64], len = sizeof(struct bpf_prog_info);
	struct bpf_prog_info info = {
		.nr_map_ids = sizeof(ids) / sizeof(ids[0]),
		.map_ids = (__u64)(unsigned long)ids,
	};

	if (bpf_obj_get_info_by_fd(prog_fd, &info, &len))
		return -errno;
	for (__u32 i = 0; i < info.nr_map_ids && i < sizeof(ids) / sizeof(ids[0]); i++) {
		struct bpf_map_info map = { 0 };
		__u32 map_len = sizeof(map);
		int err, fd = bpf_map_get_fd_by_id(ids[i]);

		if (fd < 0)
			return -errno;
		if (bpf_obj_get_info_by_fd(fd, &map, &map_len)) {
			err = -errno;
			close(fd);
			return err;
		}
		if (!map_fits(&map)) {
			fprintf(stderr, "hinttrace: map %s has another layout: the pinned programs are of another build\n",
				map.name);
			close(fd);
			return -EINVAL;
		}
		if (!take_map(l, o, map.name, fd)) {
			close(fd);
			continue;
		}
		err = keep_fd(l, fd);
		if (err)
			return err;
	}
	return 0;
}

/*
 * A ring buffer has one reader: a second would take half of the events. The lock ends with
 * the descriptor, so with us at the latest.
 */
static int lock_pins(struct loaded *l, const char *dir)
{
	int err, fd = open(dir, O_RDONLY | O_CLOEXEC | O_DIRECTORY);

	if (fd < 0 && errno == ENOTDIR) {
		fprintf(stderr, "hinttrace: %s is one program: a tracer needs all of an object; pin them with 'bpftool prog loadall OBJECT FOLDER'\n",
			dir);
		return -ENOTDIR;
	}
	if (fd < 0) {
		err = -errno;
		fprintf(stderr, "hinttrace: cannot open %s: %s\n", dir, strerror(-err));
		return err;
	}
	if (!flock(fd, LOCK_EX | LOCK_NB))
		return keep_fd(l, fd);
	err = -errno;
	if (err == -EWOULDBLOCK)
		fprintf(stderr, "hinttrace: another hinttrace has adopted %s: its programs have one reader; end that one first\n",
			dir);
	else
		fprintf(stderr, "hinttrace: cannot lock %s: %s\n", dir, strerror(-err));
	close(fd);
	return err;
}

/* With a program missing, kills would lack their request, or be filed as what they are not. */
static int check_whole(const bool *in_object, const char *dir)
{
	for (unsigned int i = 0; i < nr_trace_probes; i++) {
		const struct probe *probe = &trace_probes[i];

		if (in_object[probe->object] && probe->state == STATE_WANTED) {
			fprintf(stderr, "hinttrace: %s lacks %s of object %s: only whole sets are adopted; pin it anew with 'bpftool prog loadall %s.bpf.o %s'\n",
				dir, probe->name, trace_object_names[probe->object],
				trace_object_names[probe->object], dir);
			return -ENOENT;
		}
	}
	return 0;
}

int loaded__adopt(struct loaded *l, const char *dir)
{
	bool in_object[NR_OBJECTS] = { false };
	int err, nr = 0;

	err = lock_pins(l, dir);
	if (err)
		return err;
	for (unsigned int i = 0; i < nr_trace_probes; i++) {
		struct probe *probe = &trace_probes[i];
		char path[PATH_MAX];
		int fd, prog_fd = -1;

		if (probe->object == OBJ_SAMPLE)
			continue;
		if (snprintf(path, sizeof(path), "%s/%s", dir, probe->name) >= (int)sizeof(path))
			return -ENAMETOOLONG;
		fd = bpf_obj_get(path);
		if (fd < 0 && errno == ENOENT)
			continue;
		if (fd < 0) {
			err = -errno;
			goto fail;
		}
		err = keep_fd(l, fd);
		if (err)
			goto fail;
		err = pinned_prog(l, probe, fd, &prog_fd);
		if (err)
			goto fail;
		err = take_prog_maps(l, probe->object, prog_fd);
		if (err)
			goto fail;
		l->prog_fd[i] = prog_fd;
		probe->state = STATE_ADOPTED;
		probe->why = NULL;
		in_object[probe->object] = true;
		nr++;
		continue;
fail:
		fprintf(stderr, "hinttrace: cannot adopt %s: %s\n", path, strerror(-err));
		return err;
	}
	if (!nr) {
		fprintf(stderr, "hinttrace: %s holds none of our programs; pin them with 'bpftool prog loadall hint.bpf.o %s autoattach'\n",
			dir, dir);
		return -ENOENT;
	}
	err = check_whole(in_object, dir);
	if (err)
		return err;
	for (int o = 0; o < NR_OBJECTS; o++)
		l->object[o].present |= in_object[o];
	return 0;
}
