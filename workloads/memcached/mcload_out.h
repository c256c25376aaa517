/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MCLOAD_OUT_H
#define MCLOAD_OUT_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdint.h>

#include "common/json.h"

/*
 * Lines on their way out.  Writing to a virtio-serial port allocates memory
 * in the kernel and waits for the host; a thread of its own does it, so that
 * the generator never waits.  One producer, one consumer.
 */
#define OUT_LINE_MAX	512
#define OUT_NR_LINES	128

struct out {
	int fd;
	int err;		/* first failure of a write; read after out__stop() */
	uint64_t nr_lost;	/* lines that found no room */
	uint32_t next_in, next_out;
	atomic_bool stop;
	sem_t nr_full;
	sem_t nr_room;
	pthread_t thread;
	struct {
		uint32_t len;
		char text[OUT_LINE_MAX];
	} lines[OUT_NR_LINES];
};

/* fd < 0: lines are dropped without being counted.  0 or -errno. */
int out__start(struct out *o, int fd);

/* Ends w's line and queues it; never waits. */
void out__line(struct out *o, struct jw *w);

/* Writes what is queued and ends the thread.  0 or -errno of a write. */
int out__stop(struct out *o);

#endif
