// SPDX-License-Identifier: GPL-2.0
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "list.h"

void *xrealloc(void *p, size_t n, size_t size)
{
	void *q = NULL;

	if (n <= SIZE_MAX / size)
		q = realloc(p, n ? n * size : size);
	if (!q) {
		fputs("espudp: out of memory\n", stderr);
		exit(1);
	}
	return q;
}

char *xstrdup(const char *s)
{
	size_t len = strlen(s) + 1;

	return memcpy(xrealloc(NULL, len, 1), s, len);
}

void *list_add(struct list *l, size_t size)
{
	char *new;

	/* Grow when the number is a power of two. */
	if (!(l->n & (l->n - 1)))
		l->v = xrealloc(l->v, l->n ? l->n * 2 : 1, size);
	new = (char *)l->v + l->n++ *size;
	return memset(new, 0, size);
}
