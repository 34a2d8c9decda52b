// SPDX-License-Identifier: GPL-2.0
/* splice METHOD [OPTION]... FILE ADDRESS PORT
 *
 * Sends a file as UDP datagrams in ways that put its own pages into the
 * packets, so that whoever writes to a packet writes to the file, and whoever
 * writes to the file writes to a packet in flight.
 *
 *	sendfile	sendfile() of each datagram
 *	splice		file, pipe, socket
 *	vmsplice	the file mapped, its pages gifted to a pipe, socket
 *	zerocopy	the file mapped, MSG_ZEROCOPY
 *	ring		frames copied to an AF_PACKET TX ring (-i, -m)
 *	tun		frames written to a tap device with a virtio header (-i, -m)
 *
 * -s N	octets of a datagram (the file's length)
 * -g N	UDP-GSO: segments of so many octets
 * -n N	send the file so many times (1)
 * -r N	rewrite: another thread flips the bits of the octet at offset N of
 *	each datagram (or of each segment) and flips them back, as fast as it can, in
 *	the pages that are in flight
 * -c	UDP checksums, where they can be left out
 * -i IF	interface, -m MAC of the next hop, -a ADDRESS of the sender
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/errqueue.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef UDP_CORK
#define UDP_CORK 1
#endif
#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef SO_ZEROCOPY
#define SO_ZEROCOPY 60
#endif
#ifndef MSG_ZEROCOPY
#define MSG_ZEROCOPY 0x4000000
#endif

static struct {
	const char *method;
	const char *interface;
	const char *source;
	size_t size;
	size_t segment;
	size_t file_len;
	long times;
	long rewrite;
	bool checksum;
	uint8_t mac[ETH_ALEN];
} opt = { .times = 1, .rewrite = -1, .source = "198.51.100.1" };

static union {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
} dst;
static socklen_t dst_len;
static int file, sock, tap;
static uint8_t *map;
static volatile bool stop;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void set(int level, int name, int value, const char *what)
{
	if (setsockopt(sock, level, name, &value, sizeof(value)))
		die(what);
}

/* Refused by an ICMP error of an earlier datagram: once more. */
static bool again(void)
{
	return errno == ECONNREFUSED || errno == EINTR || errno == ENOBUFS ||
	       errno == EHOSTUNREACH;
}

static void *rewriter(void *arg)
{
	size_t step = opt.segment ? opt.segment : opt.size;

	(void)arg;
	while (!stop) {
		size_t at;

		for (at = opt.rewrite; at < opt.file_len; at += step) {
			volatile uint8_t *octet = map + at;

			*octet ^= 0xff;
			*octet ^= 0xff;
		}
	}
	return NULL;
}

/* Pages reach the datagram through a pipe or file; the cork joins them. */
static void corked(off_t at, size_t len)
{
	static int pipe_fd[2] = { -1, -1 };
	size_t left = len;

	if (pipe_fd[0] < 0) {
		if (pipe(pipe_fd))
			die("pipe");
		fcntl(pipe_fd[1], F_SETPIPE_SZ, 1 << 17);
	}
	set(SOL_UDP, UDP_CORK, 1, "UDP_CORK");
	while (left) {
		ssize_t n, m;

		if (!strcmp(opt.method, "sendfile")) {
			n = sendfile(sock, file, &at, left);
			if (n < 0) {
				if (again())
					continue;
				die("sendfile");
			}
			left -= n;
			continue;
		}
		if (!strcmp(opt.method, "splice")) {
			n = splice(file, &at, pipe_fd[1], NULL, left, 0);
		} else {
			struct iovec v = { map + at, left };

			n = vmsplice(pipe_fd[1], &v, 1, SPLICE_F_GIFT);
			at += n;
		}
		if (n <= 0)
			die("splice to the pipe");
		left -= n;
		while (n) {
			m = splice(pipe_fd[0], NULL, sock, NULL, n,
				   SPLICE_F_MORE);
			if (m < 0) {
				if (again())
					continue;
				die("splice to the socket");
			}
			n -= m;
		}
	}
	while (setsockopt(sock, SOL_UDP, UDP_CORK, &(int){ 0 }, sizeof(int)))
		if (!again())
			die("UDP_CORK off");
}

static void zerocopy_done(void)
{
	char control[128];
	struct msghdr msg = { .msg_control = control,
			      .msg_controllen = sizeof(control) };

	while (recvmsg(sock, &msg, MSG_ERRQUEUE | MSG_DONTWAIT) >= 0)
		msg.msg_controllen = sizeof(control);
}

static void zerocopy(off_t at, size_t len)
{
	while (send(sock, map + at, len, MSG_ZEROCOPY) < 0) {
		if (!again())
			die("send");
		zerocopy_done();
	}
	zerocopy_done();
}

static uint16_t ip_csum(const void *data, size_t len)
{
	const uint16_t *p = data;
	uint32_t sum = 0;

	for (; len; len -= 2)
		sum += *p++;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

static size_t frame(uint8_t *to, off_t at, size_t len)
{
	struct ether_header *eth = (void *)to;
	struct iphdr *ip = (void *)(eth + 1);
	struct udphdr *uh = (void *)(ip + 1);
	struct ifreq ifr = { 0 };
	static uint8_t mine[ETH_ALEN];

	if (!mine[0] && !mine[5] && opt.interface) {
		int fd = socket(AF_INET, SOCK_DGRAM, 0);

		strncpy(ifr.ifr_name, opt.interface, IFNAMSIZ - 1);
		if (ioctl(fd, SIOCGIFHWADDR, &ifr))
			die("SIOCGIFHWADDR");
		memcpy(mine, ifr.ifr_hwaddr.sa_data, ETH_ALEN);
		close(fd);
	}
	memcpy(eth->ether_dhost, opt.mac, ETH_ALEN);
	memcpy(eth->ether_shost, mine, ETH_ALEN);
	eth->ether_type = htons(ETHERTYPE_IP);
	*ip = (struct iphdr){
		.version = 4,
		.ihl = 5,
		.ttl = 64,
		.protocol = IPPROTO_UDP,
		.tot_len = htons(sizeof(*ip) + sizeof(*uh) + len),
		.daddr = dst.in.sin_addr.s_addr,
	};
	inet_pton(AF_INET, opt.source, &ip->saddr);
	ip->check = ip_csum(ip, sizeof(*ip));
	*uh = (struct udphdr){
		.source = htons(4500),
		.dest = dst.in.sin_port,
		.len = htons(sizeof(*uh) + len),
	};
	memcpy(uh + 1, map + at, len);
	return sizeof(*eth) + sizeof(*ip) + sizeof(*uh) + len;
}

/* What the ring holds afterwards must be what was put there: the packet's
 * pages are the ring's.
 */
static long ring_changed, ring_sent;

static void ring(off_t at, size_t len)
{
	enum { FRAME = 4096, FRAMES = 64 };
	static uint8_t *mem, copy[FRAMES][FRAME];
	static unsigned int next;
	static int fd;
	struct tpacket2_hdr *hdr;
	uint8_t *data;
	size_t n;

	if (!mem) {
		struct sockaddr_ll ll = {
			.sll_family = AF_PACKET,
			.sll_protocol = 0,
			.sll_ifindex = if_nametoindex(opt.interface),
		};
		struct tpacket_req req = {
			.tp_block_size = FRAME,
			.tp_block_nr = FRAMES,
			.tp_frame_size = FRAME,
			.tp_frame_nr = FRAMES,
		};
		int version = TPACKET_V2;

		fd = socket(AF_PACKET, SOCK_RAW, 0);
		if (fd < 0 ||
		    setsockopt(fd, SOL_PACKET, PACKET_VERSION, &version,
			       sizeof(version)) ||
		    setsockopt(fd, SOL_PACKET, PACKET_TX_RING, &req,
			       sizeof(req)) ||
		    bind(fd, (struct sockaddr *)&ll, sizeof(ll)))
			die("AF_PACKET");
		mem = mmap(NULL, FRAME * FRAMES, PROT_READ | PROT_WRITE,
			   MAP_SHARED, fd, 0);
		if (mem == MAP_FAILED)
			die("mmap of the ring");
	}
	hdr = (void *)(mem + next * FRAME);
	while (__atomic_load_n(&hdr->tp_status, __ATOMIC_ACQUIRE) !=
	       TP_STATUS_AVAILABLE)
		send(fd, NULL, 0, MSG_DONTWAIT);
	data = (uint8_t *)hdr + TPACKET2_HDRLEN - sizeof(struct sockaddr_ll);
	if (hdr->tp_len) {
		ring_sent++;
		ring_changed += memcmp(data, copy[next], hdr->tp_len) != 0;
	}
	n = frame(data, at, len);
	memcpy(copy[next], data, n);
	hdr->tp_len = n;
	__atomic_store_n(&hdr->tp_status, TP_STATUS_SEND_REQUEST,
			 __ATOMIC_RELEASE);
	if (send(fd, NULL, 0, 0) < 0 && !again())
		die("send of the ring");
	next = (next + 1) % FRAMES;
}

static void tun(off_t at, size_t len)
{
	static uint8_t buf[sizeof(struct virtio_net_hdr) + 65536];
	struct virtio_net_hdr *vnet = (void *)buf;
	size_t n = frame(buf + sizeof(*vnet), at, len);

	memset(vnet, 0, sizeof(*vnet));
	if (write(tap, buf, sizeof(*vnet) + n) != (ssize_t)(sizeof(*vnet) + n))
		die("write to the tap");
}

static int open_tap(const char *name)
{
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	int fd = open("/dev/net/tun", O_RDWR);

	strncpy(ifr.ifr_name, name, IFNAMSIZ - 1);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &ifr))
		die("tap");
	return fd;
}

static void send_one(off_t at, size_t len)
{
	if (!strcmp(opt.method, "zerocopy"))
		zerocopy(at, len);
	else if (!strcmp(opt.method, "ring"))
		ring(at, len);
	else if (!strcmp(opt.method, "tun"))
		tun(at, len);
	else
		corked(at, len);
}

static void usage(void)
{
	fprintf(stderr,
		"splice sendfile|splice|vmsplice|zerocopy|ring|tun [-s N] [-g N] [-n N] "
		"[-r N] [-c] [-i IF] [-m MAC] [-a ADDRESS] FILE ADDRESS PORT\n");
	exit(2);
}

static void parse(int argc, char **argv)
{
	int c;

	if (argc < 2)
		usage();
	opt.method = argv[1];
	while ((c = getopt(argc - 1, argv + 1, "s:g:n:r:ci:m:a:")) != -1) {
		switch (c) {
		case 's':
			opt.size = atol(optarg);
			break;
		case 'g':
			opt.segment = atol(optarg);
			break;
		case 'n':
			opt.times = atol(optarg);
			break;
		case 'r':
			opt.rewrite = atol(optarg);
			break;
		case 'c':
			opt.checksum = true;
			break;
		case 'i':
			opt.interface = optarg;
			break;
		case 'a':
			opt.source = optarg;
			break;
		case 'm':
			if (sscanf(optarg, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx",
				   &opt.mac[0], &opt.mac[1], &opt.mac[2],
				   &opt.mac[3], &opt.mac[4], &opt.mac[5]) != 6)
				usage();
			break;
		default:
			usage();
		}
	}
	argv += optind + 1;
	if (argc - optind - 1 != 3)
		usage();

	/* Read-only, unless its pages are to be rewritten. */
	file = open(argv[0], opt.rewrite < 0 ? O_RDONLY : O_RDWR);
	if (file < 0)
		die(argv[0]);
	if (inet_pton(AF_INET, argv[1], &dst.in.sin_addr) == 1) {
		dst.in.sin_family = AF_INET;
		dst.in.sin_port = htons(atoi(argv[2]));
		dst_len = sizeof(dst.in);
	} else if (inet_pton(AF_INET6, argv[1], &dst.in6.sin6_addr) == 1) {
		dst.in6.sin6_family = AF_INET6;
		dst.in6.sin6_port = htons(atoi(argv[2]));
		dst_len = sizeof(dst.in6);
	} else {
		usage();
	}
}

int main(int argc, char **argv)
{
	pthread_t thread;
	struct stat st;
	size_t at;

	parse(argc, argv);
	if (fstat(file, &st))
		die("fstat");
	opt.file_len = st.st_size;
	if (!opt.size)
		opt.size = opt.file_len;
	map = mmap(NULL, opt.file_len,
		   opt.rewrite < 0 ? PROT_READ : PROT_READ | PROT_WRITE,
		   MAP_SHARED, file, 0);
	if (map == MAP_FAILED)
		die("mmap");

	if (!strcmp(opt.method, "tun")) {
		tap = open_tap(opt.interface);
	} else if (strcmp(opt.method, "ring")) {
		sock = socket(dst.sa.sa_family, SOCK_DGRAM, 0);
		if (sock < 0 || connect(sock, &dst.sa, dst_len))
			die("socket");
		set(SOL_SOCKET, SO_SNDBUF, 4 << 20, "SO_SNDBUF");
		if (opt.segment)
			set(SOL_UDP, UDP_SEGMENT, opt.segment, "UDP_SEGMENT");
		else if (!opt.checksum && dst.sa.sa_family == AF_INET)
			set(SOL_SOCKET, SO_NO_CHECK, 1, "SO_NO_CHECK");
		if (!strcmp(opt.method, "zerocopy"))
			set(SOL_SOCKET, SO_ZEROCOPY, 1, "SO_ZEROCOPY");
	}
	if (opt.rewrite >= 0 && pthread_create(&thread, NULL, rewriter, NULL))
		die("pthread_create");

	while (opt.times--)
		for (at = 0; at < opt.file_len; at += opt.size)
			send_one(at, at + opt.size < opt.file_len ?
					     opt.size :
					     opt.file_len - at);

	if (opt.rewrite >= 0) {
		stop = true;
		pthread_join(thread, NULL);
	}
	if (!strcmp(opt.method, "zerocopy")) {
		usleep(50000);
		zerocopy_done();
	}
	if (!strcmp(opt.method, "ring"))
		printf("%ld of %ld frames changed\n", ring_changed, ring_sent);
	return !!ring_changed;
}
