// SPDX-License-Identifier: GPL-2.0
/* natt_socket PORT: what an IKE daemon does for the kernel's xfrm: UDP sockets
 * on the port, IPv4 and IPv6, that take ESP-in-UDP. Runs until it is killed.
 */
#include <arpa/inet.h>
#include <linux/udp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static int encap_socket(int family, uint16_t port)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6,
				    .sin6_port = htons(port) };
	struct sockaddr_in in = { .sin_family = AF_INET,
				  .sin_port = htons(port) };
	int fd = socket(family, SOCK_DGRAM, 0);
	int type = UDP_ENCAP_ESPINUDP;
	int on = 1;
	int err;

	if (fd < 0)
		return -1;
	if (family == AF_INET6) {
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
		err = bind(fd, (struct sockaddr *)&in6, sizeof(in6));
	} else {
		err = bind(fd, (struct sockaddr *)&in, sizeof(in));
	}
	if (!err)
		err = setsockopt(fd, IPPROTO_UDP, UDP_ENCAP, &type,
				 sizeof(type));
	return err;
}

int main(int argc, char **argv)
{
	uint16_t port = argc > 1 ? atoi(argv[1]) : 4500;

	if (encap_socket(AF_INET, port) || encap_socket(AF_INET6, port)) {
		perror("natt_socket");
		return 1;
	}
	puts("ready");
	fflush(stdout);
	for (;;)
		pause();
}
