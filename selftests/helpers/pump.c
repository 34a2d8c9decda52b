// SPDX-License-Identifier: GPL-2.0
/* pump: UDP datagrams with sequence numbers, to count what is lost on the way.
 *
 *	pump send [-s SRC] [-r PER-SECOND] [-n COUNT] [-l OCTETS] DST PORT
 *	pump recv ADDR PORT
 *
 * Both print one line for each datagram: its number and the time in
 * nanoseconds of the realtime clock, the one that captures have. A datagram
 * that sendto() refused gets a line "number time errno". Sending begins with
 * number 0 and ends after COUNT or on SIGTERM; receiving ends on SIGTERM.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t stop;

static void on_term(int sig)
{
	stop = sig;
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void resolve(const char *addr, const char *port,
		    struct sockaddr_storage *ss, socklen_t *len)
{
	struct addrinfo hints = {
		.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
		.ai_socktype = SOCK_DGRAM,
	};
	struct addrinfo *ai;
	int err;

	err = getaddrinfo(addr, port, &hints, &ai);
	if (err) {
		fprintf(stderr, "%s: %s\n", addr, gai_strerror(err));
		exit(1);
	}
	memcpy(ss, ai->ai_addr, ai->ai_addrlen);
	*len = ai->ai_addrlen;
	freeaddrinfo(ai);
}

static int udp_socket(const char *addr, const char *port)
{
	struct sockaddr_storage ss;
	int fd, size = 4 << 20;
	socklen_t len;

	resolve(addr, port, &ss, &len);
	fd = socket(ss.ss_family, SOCK_DGRAM, 0);
	if (fd < 0)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	if (bind(fd, (struct sockaddr *)&ss, len))
		die("bind");
	return fd;
}

static uint64_t now(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

static void send_all(int fd, const struct sockaddr_storage *dst, socklen_t len,
		     unsigned long rate, unsigned long count, unsigned int size)
{
	uint64_t start = now(CLOCK_MONOTONIC), at, seq;
	static char buf[65536];

	for (seq = 0; !stop && (!count || seq < count); seq++) {
		struct timespec ts;
		uint64_t stamp;

		at = start + seq * 1000000000ULL / rate;
		ts.tv_sec = at / 1000000000ULL;
		ts.tv_nsec = at % 1000000000ULL;
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
		if (stop)
			break;
		memcpy(buf, &seq, sizeof(seq));
		stamp = now(CLOCK_REALTIME);
		if (sendto(fd, buf, size, 0, (struct sockaddr *)dst, len) < 0)
			printf("%llu %llu %d\n", (unsigned long long)seq,
			       (unsigned long long)stamp, errno);
		else
			printf("%llu %llu\n", (unsigned long long)seq,
			       (unsigned long long)stamp);
	}
}

static void receive_all(int fd)
{
	static char buf[65536];
	uint64_t seq;

	while (!stop) {
		ssize_t n = recv(fd, buf, sizeof(buf), 0);

		if (n < (ssize_t)sizeof(seq))
			continue;
		memcpy(&seq, buf, sizeof(seq));
		printf("%llu %llu\n", (unsigned long long)seq,
		       (unsigned long long)now(CLOCK_REALTIME));
	}
}

static int usage(void)
{
	fputs("pump send [-s SRC] [-r PER-SECOND] [-n COUNT] [-l OCTETS] DST PORT\n"
	      "pump recv ADDR PORT\n",
	      stderr);
	return 2;
}

int main(int argc, char **argv)
{
	struct sigaction sa = { .sa_handler = on_term };
	unsigned long rate = 100, count = 0;
	unsigned int size = 64;
	const char *src = NULL;
	struct sockaddr_storage dst;
	socklen_t len;
	int opt;

	setvbuf(stdout, NULL, _IOLBF, 0);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGINT, &sa, NULL);
	if (argc == 4 && !strcmp(argv[1], "recv")) {
		receive_all(udp_socket(argv[2], argv[3]));
		return 0;
	}
	if (argc < 2 || strcmp(argv[1], "send"))
		return usage();
	optind = 2;
	while ((opt = getopt(argc, argv, "s:r:n:l:")) != -1) {
		switch (opt) {
		case 's':
			src = optarg;
			break;
		case 'r':
			rate = strtoul(optarg, NULL, 0);
			break;
		case 'n':
			count = strtoul(optarg, NULL, 0);
			break;
		case 'l':
			size = strtoul(optarg, NULL, 0);
			break;
		default:
			return usage();
		}
	}
	if (optind + 2 != argc || !rate || size < sizeof(uint64_t) ||
	    size > 65507)
		return usage();
	resolve(argv[optind], argv[optind + 1], &dst, &len);
	if (!src)
		src = dst.ss_family == AF_INET ? "0.0.0.0" : "::";
	send_all(udp_socket(src, "0"), &dst, len, rate, count, size);
	return 0;
}
