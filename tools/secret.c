// SPDX-License-Identifier: GPL-2.0
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "secret.h"
#include "util.h"

void *secret_alloc(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED) {
		fputs("espudp: out of memory\n", stderr);
		exit(FAILED);
	}
	/* Refused beyond RLIMIT_MEMLOCK: keys may then reach the swap. */
	(void)!mlock(p, size);
	madvise(p, size, MADV_DONTDUMP);
	return p;
}

void secret_free(void *p, size_t size)
{
	if (!p)
		return;
	explicit_bzero(p, size);
	munmap(p, size);
}
