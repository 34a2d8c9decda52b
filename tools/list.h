/* SPDX-License-Identifier: GPL-2.0 */
#ifndef LIST_H
#define LIST_H

#include <stddef.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

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
