// SPDX-License-Identifier: GPL-2.0
/* socket_owner PORT COMMAND [ARGUMENT]...: owns a UDP socket, for both
 * families, as descriptor 3; runs COMMAND, which inherits it, says "ready" if
 * that succeeds, and keeps the socket until it is killed.
 */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct sockaddr_in6 addr = { .sin6_family = AF_INET6 };
	int fd, status;
	pid_t pid;

	if (argc < 3)
		return 2;
	addr.sin6_port = htons(atoi(argv[1]));
	fd = socket(AF_INET6, SOCK_DGRAM, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) ||
	    (fd != 3 && dup2(fd, 3) != 3)) {
		perror("socket_owner");
		return 1;
	}
	if (fd != 3)
		close(fd);
	pid = fork();
	if (!pid) {
		execvp(argv[2], argv + 2);
		perror(argv[2]);
		_exit(127);
	}
	if (waitpid(pid, &status, 0) != pid || status)
		return 1;
	puts("ready");
	fflush(stdout);
	for (;;)
		pause();
}
