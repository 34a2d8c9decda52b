// SPDX-License-Identifier: GPL-2.0
/* flood ADDRESS PORT RATE SECONDS KIND [FILE]
 *
 * Sends RATE datagrams a second (0: as many as it can) to a UDP port, each from
 * another of 64,000 sources, by a raw IPv4 socket. Kinds, several joined by
 * commas in turn: garbage (random octets of random length), unknown (unknown
 * SPIs), ike, keepalive, short; and from a file of a valid ESP packet: icv (its
 * own SPI, sequence numbers that are new, wrong ICV), replay (the packet
 * itself). Prints how many the kernel took.
 */
#include <arpa/inet.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static struct {
	struct iphdr ip;
	struct udphdr udp;
	uint8_t data[1500];
} __attribute__((packed)) packet;

static uint8_t esp[1500];
static size_t esp_len;
static uint32_t seq = 1 << 20;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static size_t fill(const char *kind)
{
	uint32_t word;
	size_t len, i;

	if (!strcmp(kind, "replay")) {
		memcpy(packet.data, esp, esp_len);
		return esp_len;
	}
	if (!strcmp(kind, "icv")) {
		memcpy(packet.data, esp, esp_len);
		word = htonl(seq++);
		memcpy(packet.data + 4, &word, 4);
		return esp_len;
	}
	if (!strcmp(kind, "keepalive")) {
		packet.data[0] = 0xff;
		return 1;
	}
	if (!strcmp(kind, "short"))
		return random() % 4;
	len = 4 + random() % 400;
	for (i = 0; i < len; i++)
		packet.data[i] = random();
	if (!strcmp(kind, "unknown")) {
		word = htonl(0x80000000 | random());
		memcpy(packet.data, &word, 4);
	} else if (!strcmp(kind, "ike")) {
		memset(packet.data, 0, 4);
	}
	return len;
}

int main(int argc, char **argv)
{
	struct sockaddr_in dst = { .sin_family = AF_INET };
	char *kinds[16], *kind;
	double start, seconds, rate;
	unsigned int n = 0;
	long tried = 0, sent = 0;
	int fd;

	if (argc < 6) {
		fprintf(stderr,
			"flood ADDRESS PORT RATE SECONDS KIND[,KIND] [FILE]\n");
		return 2;
	}
	inet_pton(AF_INET, argv[1], &dst.sin_addr);
	rate = atof(argv[3]);
	seconds = atof(argv[4]);
	for (kind = strtok(argv[5], ","); kind && n < 16;
	     kind = strtok(NULL, ","))
		kinds[n++] = kind;
	if (argc > 6) {
		FILE *file = fopen(argv[6], "rb");

		if (file)
			esp_len = fread(esp, 1, sizeof(esp), file);
		if (!esp_len) {
			perror(argv[6]);
			return 1;
		}
	}
	fd = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
	if (fd < 0) {
		perror("socket");
		return 1;
	}
	packet.ip.version = 4;
	packet.ip.ihl = 5;
	packet.ip.ttl = 64;
	packet.ip.protocol = IPPROTO_UDP;
	packet.ip.daddr = dst.sin_addr.s_addr;
	packet.udp.dest = htons(atoi(argv[2]));

	start = now();
	while (now() - start < seconds) {
		size_t len = fill(kinds[tried++ % n]);

		packet.ip.saddr =
			htonl((198 << 24) + (18 << 16) + (random() & 0xffff));
		packet.udp.source = htons(1024 + random() % 60000);
		packet.udp.len = htons(sizeof(packet.udp) + len);
		packet.ip.tot_len =
			htons(sizeof(packet.ip) + sizeof(packet.udp) + len);
		if (sendto(fd, &packet,
			   sizeof(packet.ip) + sizeof(packet.udp) + len, 0,
			   (struct sockaddr *)&dst, sizeof(dst)) > 0)
			sent++;
		if (rate) {
			double ahead = tried / rate - (now() - start);

			if (ahead > 0.002)
				usleep(ahead * 1e6);
		}
	}
	printf("%ld\n", sent);
	return 0;
}
