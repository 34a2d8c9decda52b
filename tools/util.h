/* SPDX-License-Identifier: GPL-2.0 */
#ifndef UTIL_H
#define UTIL_H

#include <stdbool.h>
#include <stddef.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
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

/* These end the program when there is no memory. */
void *xrealloc(void *p, size_t n, size_t size);
char *xstrdup(const char *s);

/* Lists of structures of one size, the first member is enough to grow them. */
struct list {
	void *v;
	size_t n;
};

void *list_add(struct list *l, size_t size);
#define LIST(type, l) ((type *)(l)->v)
#define for_each(type, p, l) \
	for (type *p = LIST(type, l); p && p < LIST(type, l) + (l)->n; p++)

#endif
