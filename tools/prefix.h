/* SPDX-License-Identifier: GPL-2.0 */
#ifndef PREFIX_H
#define PREFIX_H

#include "objects.h"

struct prefix {
	struct addr addr;
	uint8_t len;
};

/* Compares addresses of one family. */
int addr_cmp(const struct addr *a, const struct addr *b);
/* The length of the prefix that is exactly this range, or -1. */
int prefix_of_range(const struct addr *from, const struct addr *to);
/* First and last address of a prefix. */
void prefix_range(const struct addr *addr, uint8_t len, struct addr *from,
		  struct addr *to);
/* Adds the fewest prefixes that make up a range to a list of them. */
void prefixes_of_range(const struct addr *from, const struct addr *to,
		       struct list *prefixes);
bool prefix_equal(const struct prefix *a, const struct prefix *b);
/* Of any two, for qsort() and bsearch() of what begins with one. */
int prefix_cmp(const void *a, const void *b);
/* Lists of prefixes have an order, and each once. */
void prefix_add(struct list *prefixes, const struct prefix *p);
bool prefix_has(const struct list *prefixes, const struct prefix *p);
const char *format_prefix(const struct prefix *p);

#endif
