// SPDX-License-Identifier: GPL-2.0
/* blast: UDP datagrams as fast as they go, and the time they take.
 *
 *	blast recv ADDR PORT COUNT
 *	blast send [-s SRC] [-l OCTETS] [-b BATCH] [-n ADDRESSES] DST PORT COUNT
 *	blast echo ADDR PORT
 *	blast ask [-s SRC] [-l OCTETS] DST PORT COUNT
 *
 * recv prints "ready", and, after COUNT datagrams or a second without any, how many
 * came and the nanoseconds of the monotonic clock when the last one did. send prints
 * how many it sent and when it began; with -b so many at a time, by UDP_SEGMENT where
 * the way takes that (xfrm's does not), else by sendmmsg; with -n to so many addresses
 * in turn, DST and those behind it. ask waits for the echo of each before it sends the
 * next, and prints how many it got and the median of the nanoseconds that took: an
 * emulated clock jumps at times.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define OCTETS_MAX 65000
#define VECTOR 64
#define BATCH_MAX 64

static char buf[OCTETS_MAX];

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * UINT64_C(1000000000) + ts.tv_nsec;
}

static struct sockaddr_in address(const char *addr, const char *port)
{
	struct sockaddr_in sin = {
		.sin_family = AF_INET,
		.sin_port = htons(atoi(port)),
	};

	if (inet_pton(AF_INET, addr, &sin.sin_addr) != 1) {
		fprintf(stderr, "%s is no IPv4 address\n", addr);
		exit(1);
	}
	return sin;
}

static int bound_to(const char *addr, const char *port)
{
	struct sockaddr_in sin = address(addr, port);
	int fd = socket(AF_INET, SOCK_DGRAM, 0), size = 64 << 20;

	if (fd < 0 || bind(fd, (struct sockaddr *)&sin, sizeof(sin)))
		die("bind");
	/* the receiver may be late: what is lost is lost by the tunnel */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)))
		die("SO_RCVBUFFORCE");
	return fd;
}

/* Is there something to be received within a second? */
static int something(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	int got = poll(&pfd, 1, 1000);

	if (got < 0)
		die("poll");
	return got;
}

static void receive(int fd, long count)
{
	static char data[VECTOR][2048];
	struct mmsghdr messages[VECTOR] = {};
	struct iovec iov[VECTOR];
	uint64_t last = 0;
	long n = 0;
	int i, got;

	for (i = 0; i < VECTOR; i++) {
		iov[i] = (struct iovec){ data[i], sizeof(data[i]) };
		messages[i].msg_hdr.msg_iov = &iov[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	puts("ready");
	fflush(stdout);
	while (n < count) {
		got = recvmmsg(fd, messages, VECTOR, MSG_DONTWAIT, NULL);
		if (got > 0) {
			n += got;
			last = now();
		} else if (errno != EAGAIN) {
			die("recvmmsg");
		} else if (!something(fd) && n) {
			break;
		}
	}
	printf("received %ld last %llu\n", n, (unsigned long long)last);
}

static void send_around(int fd, int octets, struct sockaddr_in first,
			int addresses, long count)
{
	uint32_t base = ntohl(first.sin_addr.s_addr);
	uint64_t begin = now();
	long n = 0;

	while (n < count) {
		first.sin_addr.s_addr = htonl(base + n % addresses);
		if (sendto(fd, buf, octets, 0, (struct sockaddr *)&first,
			   sizeof(first)) >= 0)
			n++;
		else if (errno != ENOBUFS)
			die("sendto");
	}
	printf("sent %ld first %llu\n", n, (unsigned long long)begin);
}

static int segment(int fd, int octets)
{
	return setsockopt(fd, SOL_UDP, UDP_SEGMENT, &octets, sizeof(octets));
}

/* Sends some, each for itself. Returns how many. */
static int send_some(int fd, int octets, int some)
{
	struct iovec iov = { buf, octets };
	struct mmsghdr messages[BATCH_MAX];
	int i;

	for (i = 0; i < some; i++)
		messages[i] = (struct mmsghdr){
			.msg_hdr = { .msg_iov = &iov, .msg_iovlen = 1 },
		};
	return sendmmsg(fd, messages, some, 0);
}

static void send_all(int fd, int octets, int batch, long count)
{
	uint64_t begin = now();
	bool at_once = true;
	long n = 0;

	if (batch > 1 && segment(fd, octets))
		die("UDP_SEGMENT");
	while (n < count) {
		int some = batch < count - n ? batch : (int)(count - n);

		if (!at_once)
			some = send_some(fd, octets, some);
		else if (send(fd, buf, (size_t)octets * some, 0) < 0)
			some = -1;
		if (some >= 0) {
			n += some;
		} else if (errno == EIO && at_once && batch > 1) {
			at_once = false;
			if (segment(fd, 0))
				die("UDP_SEGMENT");
		} else if (errno != ENOBUFS) {
			die("send");
		}
	}
	printf("sent %ld first %llu\n", n, (unsigned long long)begin);
}

static void echo(int fd)
{
	struct sockaddr_in from;
	socklen_t len;
	ssize_t got;

	for (;;) {
		len = sizeof(from);
		got = recvfrom(fd, buf, sizeof(buf), 0,
			       (struct sockaddr *)&from, &len);
		if (got < 0 || sendto(fd, buf, got, 0, (struct sockaddr *)&from,
				      len) != got)
			die("echo");
	}
}

static int by_value(const void *one, const void *other)
{
	uint64_t a = *(const uint64_t *)one, b = *(const uint64_t *)other;

	return a < b ? -1 : a > b;
}

static void ask(int fd, int octets, long count)
{
	struct timeval second = { .tv_sec = 1 };
	uint64_t *ns, begin;
	long i, answers = 0;

	ns = calloc(count, sizeof(*ns));
	if (!ns)
		die("calloc");
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof(second)))
		die("SO_RCVTIMEO");
	for (i = 0; i < count; i++) {
		begin = now();
		if (send(fd, buf, octets, 0) < 0)
			die("send");
		if (recv(fd, buf, sizeof(buf), 0) >= 0)
			ns[answers++] = now() - begin;
		else if (errno != EAGAIN)
			die("recv");
	}
	qsort(ns, answers, sizeof(*ns), by_value);
	printf("asked %ld answers %ld median %llu\n", count, answers,
	       answers ? (unsigned long long)ns[answers / 2] : 0);
	free(ns);
}

static void usage(void)
{
	fputs("usage: see blast.c\n", stderr);
	exit(2);
}

int main(int argc, char **argv)
{
	int octets = 64, batch = 1, addresses = 0, opt, fd;
	const char *source = "0.0.0.0";
	struct sockaddr_in sin;

	if (argc < 2)
		usage();
	while ((opt = getopt(argc - 1, argv + 1, "s:l:b:n:")) != -1) {
		if (opt == 's')
			source = optarg;
		else if (opt == 'l')
			octets = atoi(optarg);
		else if (opt == 'b')
			batch = atoi(optarg);
		else if (opt == 'n')
			addresses = atoi(optarg);
		else
			usage();
	}
	if (octets < 1 || batch < 1 || batch > BATCH_MAX || addresses < 0 ||
	    octets * batch > OCTETS_MAX)
		usage();
	opt = optind + 1;

	if (argc - opt == 3 && !strcmp(argv[1], "recv")) {
		receive(bound_to(argv[opt], argv[opt + 1]),
			atol(argv[opt + 2]));
	} else if (argc - opt == 2 && !strcmp(argv[1], "echo")) {
		echo(bound_to(argv[opt], argv[opt + 1]));
	} else if (argc - opt == 3 &&
		   (!strcmp(argv[1], "send") || !strcmp(argv[1], "ask"))) {
		fd = bound_to(source, "0");
		sin = address(argv[opt], argv[opt + 1]);
		if (addresses) {
			send_around(fd, octets, sin, addresses,
				    atol(argv[opt + 2]));
			return 0;
		}
		if (connect(fd, (struct sockaddr *)&sin, sizeof(sin)))
			die("connect");
		if (!strcmp(argv[1], "send"))
			send_all(fd, octets, batch, atol(argv[opt + 2]));
		else
			ask(fd, octets, atol(argv[opt + 2]));
	} else {
		usage();
	}
	return 0;
}
