// SPDX-License-Identifier: GPL-2.0
#include <stdarg.h>
#include <stdio.h>

#include "util.h"

struct error_where error_where;

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
	fputs("espudp: ", stderr);
	if (error_where.file)
		fprintf(stderr, "%s:%u: ", error_where.file, error_where.line);
	fprintf(stderr, "%s\n", text);
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
