// SPDX-License-Identifier: GPL-2.0-or-later
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/num.h"
#include "common/time.h"
#include "mcload_net.h"

#define RETRY_NS	(20 * NSEC_PER_MSEC)
#define CALL_TIMEOUT_S	30

static int parse_unix(const char *path, struct net_addr *addr)
{
	struct sockaddr_un *un = (struct sockaddr_un *)&addr->sa;
	size_t len = strlen(path);

	if (len == 0 || len >= sizeof(un->sun_path))
		return -EINVAL;
	un->sun_family = AF_UNIX;
	memcpy(un->sun_path, path, len + 1);
	addr->len = sizeof(*un);
	return 0;
}

int net__parse(const char *s, struct net_addr *addr)
{
	struct sockaddr_in *in = (struct sockaddr_in *)&addr->sa;
	const char *colon = strrchr(s, ':');
	char host[INET_ADDRSTRLEN];
	uint64_t port;

	memset(addr, 0, sizeof(*addr));
	if (!strncmp(s, "unix:", 5))
		return parse_unix(s + 5, addr);
	if (!colon || (size_t)(colon - s) >= sizeof(host))
		return -EINVAL;
	memcpy(host, s, (size_t)(colon - s));
	host[colon - s] = '\0';
	if (num__u64(colon + 1, 1, UINT16_MAX, &port) ||
	    inet_pton(AF_INET, host, &in->sin_addr) != 1)
		return -EINVAL;
	in->sin_family = AF_INET;
	in->sin_port = htons((uint16_t)port);
	addr->len = sizeof(*in);
	return 0;
}

int net__socket(const struct net_addr *addr, int flags)
{
	int fd, one = 1, err;

	fd = socket(addr->sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
	if (fd < 0)
		return -errno;
	if (addr->sa.ss_family == AF_INET &&
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one))) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

int net__send_all(int fd, const char *buf, size_t len)
{
	ssize_t n;

	while (len) {
		n = send(fd, buf, len, MSG_NOSIGNAL);
		if (n < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		buf += n;
		len -= (size_t)n;
	}
	return 0;
}

char *net__line(struct net_lines *l)
{
	char *line, *nl;
	ssize_t n;

	for (;;) {
		line = l->buf + l->start;
		nl = memchr(line, '\n', l->end - l->start);
		if (nl) {
			l->start = (size_t)(nl + 1 - l->buf);
			if (nl > line && nl[-1] == '\r')
				nl--;
			*nl = '\0';
			return line;
		}
		memmove(l->buf, line, l->end - l->start);
		l->end -= l->start;
		l->start = 0;
		if (l->end == sizeof(l->buf)) {
			errno = EPROTO;
			return NULL;
		}
		n = recv(l->fd, l->buf + l->end, sizeof(l->buf) - l->end, 0);
		if (n == 0)
			errno = ECONNRESET;
		if (n == 0 || (n < 0 && errno != EINTR))
			return NULL;
		if (n > 0)
			l->end += (size_t)n;
	}
}

static int try_connect(const struct net_addr *addr)
{
	struct timeval limit = { .tv_sec = CALL_TIMEOUT_S };
	struct net_lines lines = { 0 };
	int fd, err;
	char *line;

	fd = net__socket(addr, 0);
	if (fd < 0)
		return fd;
	lines.fd = fd;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) ||
	    connect(fd, (const struct sockaddr *)&addr->sa, addr->len)) {
		err = -errno;
		goto out_close;
	}
	err = net__send_all(fd, "version\r\n", 9);
	if (err)
		goto out_close;
	line = net__line(&lines);
	if (!line) {
		err = -errno;
		goto out_close;
	}
	if (strncmp(line, "VERSION ", 8)) {
		err = -EPROTO;
		goto out_close;
	}
	return fd;

out_close:
	close(fd);
	return err;
}

int net__connect_wait(const struct net_addr *addr, uint64_t timeout_ns)
{
	uint64_t end_ns = time__now_ns() + timeout_ns;
	int fd;

	for (;;) {
		fd = try_connect(addr);
		/* Something else listens there: waiting will not help. */
		if (fd >= 0 || fd == -EPROTO || time__now_ns() >= end_ns)
			return fd;
		time__sleep_until_ns(time__now_ns() + RETRY_NS);
	}
}
