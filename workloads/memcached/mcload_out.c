// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "mcload_out.h"

/* Enough for write(2); with memory locked, all of a stack is resident. */
#define STACK_BYTES 65536

static void sem_wait_uninterrupted(sem_t *sem)
{
	while (sem_wait(sem) && errno == EINTR)
		;
}

static void *writer(void *arg)
{
	struct out *o = arg;
	uint32_t i;
	int err;

	for (;;) {
		sem_wait_uninterrupted(&o->nr_full);
		if (atomic_load(&o->stop) && o->next_out == o->next_in)
			return NULL;
		i = o->next_out++ % OUT_NR_LINES;
		err = jw__write_all(o->fd, o->lines[i].text, o->lines[i].len);
		if (err && !o->err)
			o->err = err;
		sem_post(&o->nr_room);
	}
}

int out__start(struct out *o, int fd)
{
	pthread_attr_t attr;
	int err;

	memset(o, 0, sizeof(*o));
	o->fd = fd;
	if (fd < 0)
		return 0;
	sem_init(&o->nr_full, 0, 0);
	sem_init(&o->nr_room, 0, OUT_NR_LINES);
	err = pthread_attr_init(&attr);
	if (err)
		return -err;
	err = pthread_attr_setstacksize(&attr, STACK_BYTES);
	if (!err)
		err = pthread_create(&o->thread, &attr, writer, o);
	pthread_attr_destroy(&attr);
	return -err;
}

void out__line(struct out *o, struct jw *w)
{
	long len = jw__finish(w);
	uint32_t i;

	if (o->fd < 0)
		return;
	if (len < 0 || len > OUT_LINE_MAX || sem_trywait(&o->nr_room)) {
		o->nr_lost++;
		return;
	}
	i = o->next_in % OUT_NR_LINES;
	memcpy(o->lines[i].text, w->buf, (size_t)len);
	o->lines[i].len = (uint32_t)len;
	o->next_in++;
	sem_post(&o->nr_full);
}

int out__stop(struct out *o)
{
	if (o->fd < 0)
		return 0;
	atomic_store(&o->stop, true);
	sem_post(&o->nr_full);
	pthread_join(o->thread, NULL);
	sem_destroy(&o->nr_full);
	sem_destroy(&o->nr_room);
	return o->err;
}
