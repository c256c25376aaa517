// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/num.h"
#include "common/rng.h"
#include "mcload_prefill.h"

/* Large writes: few system calls a megabyte. */
#define BATCH_BYTES	(256 * 1024)

/* Largest request for an item of the key space. */
#define REQUEST_MAX	(KEYS_LEN_MAX + KEYS_VALUE_MAX + PROTO_OVERHEAD)

static int send_items(int fd, const struct prefill_opts *o, uint64_t *bytes,
		      uint64_t *nr)
{
	struct item item;
	size_t len = 0;
	uint32_t id;
	char *buf;
	int err = 0;

	buf = malloc(BATCH_BYTES);
	if (!buf)
		return -ENOMEM;
	for (id = 0; id < o->keys.nr && *bytes < o->bytes && !err; id++) {
		keys__item(&o->keys, id, &item);
		len += proto__set(o->proto, &item, true, buf + len,
				  BATCH_BYTES - len);
		*bytes += item.key_len + item.value_len + PREFILL_ITEM_OVERHEAD;
		(*nr)++;
		if (len + REQUEST_MAX > BATCH_BYTES) {
			err = net__send_all(fd, buf, len);
			len = 0;
		}
	}
	if (!err)
		err = net__send_all(fd, buf, len);
	free(buf);
	return err;
}

static int send_ballast(int fd, const struct prefill_opts *o, uint64_t *bytes,
			uint64_t *nr)
{
	struct item item = { .value_len = PREFILL_BALLAST_BYTES };
	char head[KEYS_LEN_MAX + PROTO_OVERHEAD];
	uint64_t word;
	struct rng r;
	char *value;
	size_t i;
	int n, err = 0;

	/* The line end rides at the end of the value: one buffer, one call. */
	value = malloc(PREFILL_BALLAST_BYTES + 2);
	if (!value)
		return -ENOMEM;
	/* Random, so that nothing below can compress or merge it. */
	rng__seed(&r, o->keys.seed, UINT64_MAX);
	for (i = 0; i < PREFILL_BALLAST_BYTES; i += sizeof(word)) {
		word = rng__next(&r);
		memcpy(value + i, &word, sizeof(word));
	}
	_Static_assert(PREFILL_BALLAST_BYTES % sizeof(word) == 0, "whole words");
	memcpy(value + PREFILL_BALLAST_BYTES, "\r\n", 2);

	while (*bytes < o->bytes && !err) {
		snprintf(item.key, sizeof(item.key), "ballast-%08llx",
			 (unsigned long long)*nr);
		memcpy(value, item.key, strlen(item.key));
		n = snprintf(head, sizeof(head), o->proto->quiet_fmt, item.key,
			     item.value_len);
		err = net__send_all(fd, head, (size_t)n);
		if (!err)
			err = net__send_all(fd, value, PREFILL_BALLAST_BYTES + 2);
		*bytes += PREFILL_BALLAST_BYTES + strlen(item.key) +
			  PREFILL_ITEM_OVERHEAD;
		(*nr)++;
	}
	free(value);
	return err;
}

/* Waits until everything sent is done, and passes on what was refused. */
static int check_done(struct net_lines *lines)
{
	uint64_t nr_refused = 0;
	char *line;
	int err;

	err = net__send_all(lines->fd, "version\r\n", 9);
	if (err)
		return err;
	while ((line = net__line(lines))) {
		if (!strncmp(line, "VERSION ", 8))
			return nr_refused ? -ENOSPC : 0;
		if (!nr_refused++)
			fprintf(stderr, "mcload: prefill: the server says '%.80s'\n",
				line);
	}
	return -errno;
}

static int read_stats(struct net_lines *lines, struct prefill_result *result)
{
	const struct {
		const char *name;
		uint64_t *value;
	} wanted[] = {
		{ "STAT curr_items ", &result->curr_items },
		{ "STAT bytes ", &result->bytes },
		{ "STAT evictions ", &result->evictions },
	};
	size_t i, len;
	char *line;
	int err;

	err = net__send_all(lines->fd, "stats\r\n", 7);
	if (err)
		return err;
	while ((line = net__line(lines))) {
		if (!strcmp(line, "END"))
			return 0;
		for (i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
			len = strlen(wanted[i].name);
			if (!strncmp(line, wanted[i].name, len) &&
			    num__u64(line + len, 0, UINT64_MAX, wanted[i].value))
				return -EPROTO;
		}
	}
	return -errno;
}

int prefill__run(const struct prefill_opts *o, struct prefill_result *result)
{
	struct net_lines lines = { 0 };
	uint64_t bytes = 0;
	int err;

	memset(result, 0, sizeof(*result));
	lines.fd = net__connect_wait(&o->addr, o->wait_ns);
	if (lines.fd < 0) {
		fprintf(stderr, "mcload: prefill: no memcached answers: %s; is it running, is --server right?\n",
			strerror(-lines.fd));
		return lines.fd;
	}
	err = send_items(lines.fd, o, &bytes, &result->nr_items);
	if (!err)
		err = send_ballast(lines.fd, o, &bytes, &result->nr_ballast);
	if (!err)
		err = check_done(&lines);
	if (!err)
		err = read_stats(&lines, result);
	if (!err && result->evictions)
		err = -ENOSPC;
	if (err)
		fprintf(stderr, "mcload: prefill of %llu bytes failed: %s%s\n",
			(unsigned long long)o->bytes, strerror(-err),
			err == -ENOSPC ? "; give memcached more memory (-m)" : "");
	close(lines.fd);
	return err;
}
