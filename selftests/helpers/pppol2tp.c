// SPDX-License-Identifier: GPL-2.0
/* pppol2tp LOCAL PEER PORT: an end of L2TP with PPP in the kernel, without the daemons
 * and what they negotiate: a UDP socket from LOCAL, port 1701, to PEER and PORT; tunnel
 * 1, session 1; a PPP device on top, ppp0 in a new namespace. All stay until it is
 * killed.
 */
#include <arpa/inet.h>
#include <err.h>
#include <fcntl.h>
#include <linux/if_pppox.h>
#include <linux/ppp-ioctl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static struct sockaddr_in address(const char *text, int port)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
				  .sin_port = htons(port) };

	if (inet_pton(AF_INET, text, &in.sin_addr) != 1)
		errx(2, "no IPv4 address: %s", text);
	return in;
}

/* Session 0 is the tunnel itself. */
static int l2tp(int udp, const struct sockaddr_in *peer, int session)
{
	struct sockaddr_pppol2tp to = {
		.sa_family = AF_PPPOX,
		.sa_protocol = PX_PROTO_OL2TP,
		.pppol2tp = {
			.fd = udp,
			.addr = *peer,
			.s_tunnel = 1,
			.d_tunnel = 1,
			.s_session = session,
			.d_session = session,
		},
	};
	int fd = socket(AF_PPPOX, SOCK_DGRAM, PX_PROTO_OL2TP);
	const void *packed = &to;

	if (fd < 0 || connect(fd, packed, sizeof(to)))
		err(1, "L2TP %s", session ? "session" : "tunnel");
	return fd;
}

static int ppp(void)
{
	int fd = open("/dev/ppp", O_RDWR);

	if (fd < 0)
		err(1, "/dev/ppp");
	return fd;
}

int main(int argc, char **argv)
{
	struct sockaddr_in local, peer;
	int udp, session, channel, unit;
	int number;

	if (argc != 4)
		errx(2, "pppol2tp LOCAL PEER PORT");
	local = address(argv[1], 1701);
	peer = address(argv[2], atoi(argv[3]));
	udp = socket(AF_INET, SOCK_DGRAM, 0);
	if (udp < 0 || bind(udp, (struct sockaddr *)&local, sizeof(local)) ||
	    connect(udp, (struct sockaddr *)&peer, sizeof(peer)))
		err(1, "UDP");
	l2tp(udp, &peer, 0);
	session = l2tp(udp, &peer, 1);

	channel = ppp();
	unit = ppp();
	if (ioctl(session, PPPIOCGCHAN, &number) ||
	    ioctl(channel, PPPIOCATTCHAN, &number))
		err(1, "PPP channel");
	number = -1;
	if (ioctl(unit, PPPIOCNEWUNIT, &number) ||
	    ioctl(channel, PPPIOCCONNECT, &number))
		err(1, "PPP unit");
	puts("ready");
	fflush(stdout);
	for (;;)
		pause();
}
