// SPDX-License-Identifier: GPL-2.0
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util.h"

char error_where[ERROR_WHERE_LEN];

static bool silent;

void error_silence(bool on)
{
	silent = on;
}

/* Tokens may come from anywhere: what is printed must stay on one line. */
static void print_line(const char *fmt, va_list ap)
{
	char text[2048];
	int len;

	if (silent)
		return;
	fflush(stdout);
	len = vsnprintf(text, sizeof(text), fmt, ap);
	for (char *p = text; len > 0 && *p; p++)
		if ((unsigned char)*p < ' ' || *p == 127)
			*p = '?';
	fprintf(stderr, "espudp: %s%s\n", error_where, text);
}

int error(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	print_line(fmt, ap);
	va_end(ap);
	return FAILED;
}

int usage(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	print_line(fmt, ap);
	va_end(ap);
	return USAGE;
}

void note(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	print_line(fmt, ap);
	va_end(ap);
}

void *xrealloc(void *p, size_t n, size_t size)
{
	void *q = NULL;

	if (n <= SIZE_MAX / size)
		q = realloc(p, n ? n * size : size);
	if (!q) {
		fputs("espudp: out of memory\n", stderr);
		exit(FAILED);
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
