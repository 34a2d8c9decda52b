// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "nft.h"
#include "util.h"

#define NO_NFT 127

static void child(int in, int out, const char *const words[])
{
	const char *argv[6] = { "nft" };

	for (int i = 0; i < 4 && words[i]; i++)
		argv[i + 1] = words[i];
	/* Messages are told from each other by their words. */
	setenv("LC_ALL", "C", 1);
	if (dup2(in, 0) >= 0 && dup2(out, 1) >= 0 && dup2(out, 2) >= 0) {
		execvp("nft", (char *const *)argv);
		/* Not in the path of everybody who may become root. */
		execv("/usr/sbin/nft", (char *const *)argv);
	}
	_exit(NO_NFT);
}

static char *read_all(int fd)
{
	size_t len = 0, size = 4096;
	char *text = xrealloc(NULL, size, 1);
	ssize_t n;

	do {
		if (size - len < 2048) {
			size *= 2;
			text = xrealloc(text, size, 1);
		}
		n = read(fd, text + len, size - len - 1);
		len += n > 0 ? n : 0;
	} while (n > 0 || (n < 0 && errno == EINTR));
	text[len] = 0;
	return text;
}

int nft(const char *input, char **output, const char *const words[])
{
	int in = memfd_create("ruleset", MFD_CLOEXEC), out[2], status;
	size_t len = strlen(input);
	pid_t pid;

	*output = NULL;
	if (in < 0 || write(in, input, len) != (ssize_t)len ||
	    lseek(in, 0, SEEK_SET) || pipe2(out, O_CLOEXEC))
		return error("nft: %s", strerror(errno));
	pid = fork();
	if (!pid)
		child(in, out[1], words);
	close(in);
	close(out[1]);
	*output = read_all(out[0]);
	close(out[0]);
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return error("nft: %s", strerror(errno));
	if (!WIFEXITED(status))
		return FAILED;
	return WEXITSTATUS(status) == NO_NFT ? -1 : WEXITSTATUS(status);
}
