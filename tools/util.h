/* SPDX-License-Identifier: GPL-2.0 */
#ifndef UTIL_H
#define UTIL_H

#include <stdbool.h>

#include "list.h"

#define PRINTF(f, a) __attribute__((format(printf, f, a)))

/* What functions that can fail return, and what the program exits with. */
enum status { OK, FAILED, USAGE };

/* The place that errors are about. */
extern struct error_where {
	const char *file; /* NULL for none */
	unsigned int line;
} error_where;

/* Errors are one line on stderr. error() returns FAILED, usage() USAGE. */
int error(const char *fmt, ...) PRINTF(1, 2);
int usage(const char *fmt, ...) PRINTF(1, 2);
void note(const char *fmt, ...) PRINTF(1, 2);
/* Whether errors are kept quiet for now. */
void error_silence(bool on);

#endif
