/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MCLOAD_NET_H
#define MCLOAD_NET_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/* The server's address and blocking use of it, outside the measured part. */
struct net_addr {
	struct sockaddr_storage sa;
	socklen_t len;
};

/* "127.0.0.1:11211" (numeric) or "unix:/path".  0 or -EINVAL. */
int net__parse(const char *s, struct net_addr *addr);

/* A new stream socket, TCP without delay; flags as for socket(2).  fd or -errno. */
int net__socket(const struct net_addr *addr, int flags);

/*
 * Connects, trying again until the server answers "version" or timeout_ns has
 * passed.  A blocking socket whose calls time out after 30 s, or -errno.
 */
int net__connect_wait(const struct net_addr *addr, uint64_t timeout_ns);

/* Sends all of buf.  0 or -errno. */
int net__send_all(int fd, const char *buf, size_t len);

/* Reads lines from a blocking socket. */
struct net_lines {
	int fd;
	size_t start, end;
	char buf[4096];
};

/* The next line without its end, valid until the next call; NULL and errno. */
char *net__line(struct net_lines *l);

#endif
