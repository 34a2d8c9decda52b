// SPDX-License-Identifier: GPL-2.0
/* Exchange data between two namespaces, both ends in this one process.
 *
 *	exchange NS-A NS-B SIZES OCTETS SECONDS
 *
 * Holds UDP sockets with ESP encapsulation on port 4500 in NS-A, as an IKE
 * daemon would for xfrm, prints "ready", and reads cells, a line each:
 *
 *	NAME ADDRESS-A ADDRESS-B MTU-B
 *
 * In each cell both ends send datagrams of SIZES sizes at once, of 1 octet to
 * one more than MTU-B holds, then OCTETS each way over one TCP connection. All
 * must arrive as they were sent, within SECONDS. Answers with a line
 *
 *	NAME ok UDP-MS TCP-MS		or	NAME failed: words
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define UDP_ENCAP 100
#define UDP_ENCAP_ESPINUDP 2
#define ENCAP_PORT 4500
#define PORT 7777
#define SIZE_MAX_ 65536
#define SIZES_MAX 256

enum side { A, B, SIDES };

static int ns[SIDES];
static unsigned int n_sizes, octets, limit_ms;
static char failure[512];
static uint8_t out[SIZE_MAX_], in[SIZE_MAX_];

struct cell {
	char name[32];
	struct sockaddr_storage addr[SIDES];
	socklen_t addr_len;
	bool v6;
	unsigned int max; /* payload that the MTU holds */
	unsigned int size[SIZES_MAX];
};

static bool fail(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(failure, sizeof(failure), fmt, args);
	va_end(args);
	return false;
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000ULL + ts.tv_nsec / 1000000;
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static int ns_open(const char *name)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "/run/netns/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		die(path);
	return fd;
}

static int sock_open(enum side side, int family, int type)
{
	int fd, one = 1;

	if (setns(ns[side], CLONE_NEWNET))
		die("setns");
	fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	return fd;
}

static void encap_open(int family)
{
	struct sockaddr_storage addr = { .ss_family = family };
	int fd = sock_open(A, family, SOCK_DGRAM);
	int type = UDP_ENCAP_ESPINUDP;

	/* the port is at the same place in both kinds of address */
	((struct sockaddr_in *)&addr)->sin_port = htons(ENCAP_PORT);
	if (bind(fd, (struct sockaddr *)&addr,
		 family == AF_INET ? sizeof(struct sockaddr_in) :
				     sizeof(struct sockaddr_in6)) ||
	    setsockopt(fd, IPPROTO_UDP, UDP_ENCAP, &type, sizeof(type)))
		die("encapsulation socket");
}

/* Octet of a stream or datagram; @key differs from one to the next. */
static uint8_t pattern(unsigned int key, unsigned int i)
{
	return (key * 2654435761U + i * 167 + (i >> 8) * 13) >> 3;
}

static void fill(uint8_t *to, unsigned int key, unsigned int from,
		 unsigned int len)
{
	for (unsigned int i = 0; i < len; i++)
		to[i] = pattern(key, from + i);
}

static int wrong(const uint8_t *data, unsigned int key, unsigned int from,
		 unsigned int len)
{
	for (unsigned int i = 0; i < len; i++)
		if (data[i] != pattern(key, from + i))
			return i;
	return -1;
}

/* Small and large ones one by one, those between evenly. */
static void choose_sizes(struct cell *c)
{
	unsigned int edge = n_sizes / 4, i;

	for (i = 0; i < n_sizes; i++) {
		if (i < edge)
			c->size[i] = i + 1;
		else if (i >= n_sizes - edge)
			c->size[i] = c->max + 2 - (n_sizes - i);
		else
			c->size[i] = edge + (i - edge + 1) *
						    (c->max - 2 * edge) /
						    (n_sizes - 2 * edge + 1);
	}
}

static int udp_open(const struct cell *c, enum side side)
{
	int fd = sock_open(side, c->addr[0].ss_family, SOCK_DGRAM);

	if (bind(fd, (void *)&c->addr[side], c->addr_len))
		die("bind");
	if (connect(fd, (void *)&c->addr[!side], c->addr_len)) {
		close(fd);
		fail("no route from %c: %s", 'a' + side, strerror(errno));
		return -1;
	}
	return fd;
}

static void set_df(const struct cell *c, int fd, bool df)
{
	int v4 = df ? IP_PMTUDISC_DO : IP_PMTUDISC_DONT;
	int v6 = df ? IPV6_PMTUDISC_DO : IPV6_PMTUDISC_DONT;

	if (c->v6) {
		setsockopt(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &v6,
			   sizeof(v6));
		v6 = df;
		setsockopt(fd, IPPROTO_IPV6, IPV6_DONTFRAG, &v6, sizeof(v6));
	} else {
		setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &v4, sizeof(v4));
	}
}

static bool udp_send(const struct cell *c, int fd, enum side side,
		     unsigned int i)
{
	unsigned int len = c->size[i];

	fill(out, len * 2 + side, 0, len);
	if (send(fd, out, len, 0) == (ssize_t)len)
		return true;
	return fail("%u octets from %c: %s", len, 'a' + side, strerror(errno));
}

/* Takes what has come to @side. */
static bool udp_take(const struct cell *c, int fd, enum side side, bool *seen,
		     unsigned int *n)
{
	unsigned int i;
	ssize_t len;
	int at;

	while ((len = recv(fd, in, sizeof(in), 0)) >= 0) {
		for (i = 0; i < n_sizes && c->size[i] != (unsigned int)len; i++)
			;
		if (i == n_sizes)
			return fail(
				"%zd octets came to %c, nobody sent so many",
				len, 'a' + side);
		if (seen[i])
			return fail("%zd octets came to %c twice", len,
				    'a' + side);
		at = wrong(in, len * 2 + !side, 0, len);
		if (at >= 0)
			return fail("octet %d of %zd to %c is wrong", at, len,
				    'a' + side);
		seen[i] = true;
		++*n;
	}
	if (errno != EAGAIN)
		return fail("receiving at %c: %s", 'a' + side, strerror(errno));
	return true;
}

static bool udp_exchange(struct cell *c, const int *fd)
{
	bool seen[SIDES][SIZES_MAX] = { 0 };
	unsigned int n[SIDES] = { 0 };
	uint64_t end = now_ms() + limit_ms;
	struct pollfd p[SIDES];
	unsigned int i, side;

	set_df(c, fd[A], false);
	set_df(c, fd[B], false);
	for (i = 0; i < n_sizes; i++)
		for (side = A; side < SIDES; side++)
			if (!udp_send(c, fd[side], side, i) ||
			    !udp_take(c, fd[!side], !side, seen[!side],
				      &n[!side]))
				return false;
	while (n[A] < n_sizes || n[B] < n_sizes) {
		if (now_ms() > end) {
			side = n[B] < n_sizes ? B : A;
			for (i = 0; seen[side][i]; i++)
				;
			return fail(
				"%u of %u datagrams came to %c, %u octets did not",
				n[side], n_sizes, 'a' + side, c->size[i]);
		}
		for (side = A; side < SIDES; side++)
			p[side] = (struct pollfd){ fd[side], POLLIN, 0 };
		poll(p, SIDES, 100);
		for (side = A; side < SIDES; side++)
			if (!udp_take(c, fd[side], side, seen[side], &n[side]))
				return false;
	}
	return true;
}

/* What is longer than the MTU and may not be fragmented is refused. */
static bool udp_refusal(const struct cell *c, int fd)
{
	set_df(c, fd, true);
	if (send(fd, out, c->max + 1, 0) >= 0)
		return fail("%u octets that may not be fragmented were sent",
			    c->max + 1);
	if (errno != EMSGSIZE)
		return fail("%u octets that may not be fragmented: %s",
			    c->max + 1, strerror(errno));
	return true;
}

static bool udp_cell(struct cell *c)
{
	int fd[SIDES] = { udp_open(c, A), udp_open(c, B) };
	bool ok = fd[A] >= 0 && fd[B] >= 0;

	if (ok)
		ok = udp_exchange(c, fd) && udp_refusal(c, fd[B]);
	for (int side = A; side < SIDES; side++)
		if (fd[side] >= 0)
			close(fd[side]);
	return ok;
}

struct stream {
	int fd;
	unsigned int sent, got;
	bool end;
};

static bool tcp_step(struct stream *s, enum side side, short events)
{
	unsigned int n;
	ssize_t len;
	int at;

	if (events & POLLOUT && s->sent < octets) {
		n = octets - s->sent < SIZE_MAX_ ? octets - s->sent : SIZE_MAX_;
		fill(out, side, s->sent, n);
		len = send(s->fd, out, n, MSG_NOSIGNAL);
		if (len < 0 && errno != EAGAIN)
			return fail("TCP from %c: %s", 'a' + side,
				    strerror(errno));
		if (len > 0)
			s->sent += len;
		if (s->sent == octets)
			shutdown(s->fd, SHUT_WR);
	}
	if (!s->end && events & (POLLIN | POLLHUP | POLLERR)) {
		len = recv(s->fd, in, sizeof(in), 0);
		if (len < 0 && errno != EAGAIN)
			return fail("TCP to %c: %s", 'a' + side,
				    strerror(errno));
		if (len > 0) {
			at = wrong(in, !side, s->got, len);
			if (at >= 0)
				return fail("TCP octet %u to %c is wrong",
					    s->got + at, 'a' + side);
			s->got += len;
		}
		s->end = !len;
	}
	return true;
}

static bool tcp_late(const struct stream *s)
{
	struct tcp_info i[SIDES];
	socklen_t len;

	for (int side = A; side < SIDES; side++) {
		len = sizeof(i[side]);
		memset(&i[side], 0, len);
		getsockopt(s[side].fd, IPPROTO_TCP, TCP_INFO, &i[side], &len);
	}
	return fail(
		"TCP: %u of %u octets came to a, %u to b; a: sent %u, mss %u, unacked %u, "
		"lost %u, retransmitted %u; b: sent %u, mss %u, unacked %u, lost %u, "
		"retransmitted %u",
		s[A].got, octets, s[B].got, s[A].sent, i[A].tcpi_snd_mss,
		i[A].tcpi_unacked, i[A].tcpi_lost, i[A].tcpi_total_retrans,
		s[B].sent, i[B].tcpi_snd_mss, i[B].tcpi_unacked, i[B].tcpi_lost,
		i[B].tcpi_total_retrans);
}

static bool tcp_transfer(struct stream *s, uint64_t end)
{
	struct pollfd p[SIDES];
	int side;

	while (!s[A].end || !s[B].end || s[A].sent < octets ||
	       s[B].sent < octets) {
		if (now_ms() > end)
			return tcp_late(s);
		for (side = A; side < SIDES; side++) {
			p[side].events = (s[side].end ? 0 : POLLIN) |
					 (s[side].sent < octets ? POLLOUT : 0);
			p[side].fd = p[side].events ? s[side].fd : -1;
			p[side].revents = 0;
		}
		poll(p, SIDES, 100);
		for (side = A; side < SIDES; side++)
			if (p[side].revents &&
			    !tcp_step(&s[side], side, p[side].revents))
				return false;
	}
	if (s[A].got != octets || s[B].got != octets)
		return fail("TCP ended with %u of %u octets at a, %u at b",
			    s[A].got, octets, s[B].got);
	return true;
}

/* A end connects, B listens. */
static bool tcp_connect(const struct cell *c, struct stream *s, int listener,
			uint64_t end)
{
	struct pollfd p[2];
	int error = 0;
	socklen_t len = sizeof(error);

	if (bind(listener, (void *)&c->addr[B], c->addr_len) ||
	    listen(listener, 1))
		die("listen");
	((struct sockaddr_in *)&c->addr[A])->sin_port = 0;
	if (bind(s[A].fd, (void *)&c->addr[A], c->addr_len))
		die("bind");
	if (connect(s[A].fd, (void *)&c->addr[B], c->addr_len) &&
	    errno != EINPROGRESS)
		return fail("TCP connect: %s", strerror(errno));
	while (s[B].fd < 0) {
		if (now_ms() > end)
			return fail("TCP connect: no answer");
		p[0] = (struct pollfd){ listener, POLLIN, 0 };
		p[1] = (struct pollfd){ s[A].fd, 0, 0 };
		poll(p, 2, 100);
		getsockopt(s[A].fd, SOL_SOCKET, SO_ERROR, &error, &len);
		if (error)
			return fail("TCP connect: %s", strerror(error));
		s[B].fd = accept4(listener, NULL, NULL,
				  SOCK_NONBLOCK | SOCK_CLOEXEC);
	}
	return true;
}

static bool tcp_cell(struct cell *c)
{
	int listener = sock_open(B, c->addr[0].ss_family, SOCK_STREAM);
	struct stream s[SIDES] = {
		{ .fd = sock_open(A, c->addr[0].ss_family, SOCK_STREAM) },
		{ .fd = -1 },
	};
	uint64_t end = now_ms() + limit_ms;
	bool ok;

	ok = tcp_connect(c, s, listener, end) && tcp_transfer(s, end);
	close(listener);
	close(s[A].fd);
	if (s[B].fd >= 0)
		close(s[B].fd);
	return ok;
}

static bool parse_address(struct cell *c, enum side side, const char *text)
{
	struct sockaddr_in *v4 = (void *)&c->addr[side];
	struct sockaddr_in6 *v6 = (void *)&c->addr[side];

	memset(&c->addr[side], 0, sizeof(c->addr[side]));
	c->v6 = strchr(text, ':');
	c->addr_len = c->v6 ? sizeof(*v6) : sizeof(*v4);
	v4->sin_family = c->v6 ? AF_INET6 : AF_INET;
	v4->sin_port = htons(PORT);
	if (c->v6)
		return inet_pton(AF_INET6, text, &v6->sin6_addr) == 1;
	return inet_pton(AF_INET, text, &v4->sin_addr) == 1;
}

static bool parse_cell(struct cell *c, const char *line)
{
	char a[64], b[64];
	unsigned int mtu;

	if (sscanf(line, "%31s %63s %63s %u", c->name, a, b, &mtu) != 4 ||
	    !parse_address(c, A, a) || !parse_address(c, B, b))
		return false;
	c->max = mtu - (c->v6 ? 40 : 20) - 8;
	choose_sizes(c);
	return true;
}

int main(int argc, char **argv)
{
	char line[256];
	struct cell c;

	if (argc != 6)
		return 2;
	ns[A] = ns_open(argv[1]);
	ns[B] = ns_open(argv[2]);
	n_sizes = atoi(argv[3]);
	octets = atoi(argv[4]);
	limit_ms = atoi(argv[5]) * 1000;
	if (!n_sizes || n_sizes > SIZES_MAX)
		return 2;
	encap_open(AF_INET);
	encap_open(AF_INET6);
	setvbuf(stdout, NULL, _IOLBF, 0);
	puts("ready");
	while (fgets(line, sizeof(line), stdin)) {
		uint64_t start = now_ms(), middle;

		if (!parse_cell(&c, line)) {
			fprintf(stderr, "not a cell: %s", line);
			return 2;
		}
		if (udp_cell(&c)) {
			middle = now_ms();
			if (tcp_cell(&c)) {
				printf("%s ok %u %u\n", c.name,
				       (unsigned int)(middle - start),
				       (unsigned int)(now_ms() - middle));
				continue;
			}
		}
		printf("%s failed: %s\n", c.name, failure);
	}
	return 0;
}
