/* SPDX-License-Identifier: GPL-2.0 */
#ifndef UTIL_H
#define UTIL_H

#include <stdbool.h>

#include "list.h"

#define PRINTF(f, a) __attribute__((format(printf, f, a)))

/* What functions that can fail return, and what the program exits with. */
enum status { OK, FAILED, USAGE };

/* Names the place an error is about, as "file:12: "; empty for none. */
extern char error_where[];
#define ERROR_WHERE_LEN 300

/* Errors are one line on stderr. error() returns FAILED, usage() USAGE. */
int error(const char *fmt, ...) PRINTF(1, 2);
int usage(const char *fmt, ...) PRINTF(1, 2);
void note(const char *fmt, ...) PRINTF(1, 2);
/* Whether errors are kept quiet for now. */
void error_silence(bool on);

#endif
