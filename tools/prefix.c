// SPDX-License-Identifier: GPL-2.0
#include <string.h>

#include "format.h"
#include "prefix.h"

int addr_cmp(const struct addr *a, const struct addr *b)
{
	return memcmp(a->b, b->b, addr_len(a));
}

void prefix_range(const struct addr *addr, uint8_t len, struct addr *from,
		  struct addr *to)
{
	*from = *to = *addr;
	for (unsigned int bit = len; bit < addr_len(addr) * 8; bit++) {
		from->b[bit / 8] &= ~(0x80 >> bit % 8);
		to->b[bit / 8] |= 0x80 >> bit % 8;
	}
}

/* The largest aligned block that starts at @from and does not pass @to. */
static unsigned int block_len(const struct addr *from, const struct addr *to,
			      struct addr *last)
{
	unsigned int len = 0;
	struct addr first;

	for (;; len++) {
		prefix_range(from, len, &first, last);
		if (addr_equal(&first, from) && addr_cmp(last, to) <= 0)
			return len;
	}
}

int prefix_of_range(const struct addr *from, const struct addr *to)
{
	struct addr last;
	unsigned int len;

	if (from->family != to->family || addr_cmp(from, to) > 0)
		return -1;
	len = block_len(from, to, &last);
	return addr_equal(&last, to) ? (int)len : -1;
}

static bool addr_increment(struct addr *a)
{
	for (int i = addr_len(a) - 1; i >= 0; i--)
		if (++a->b[i])
			return true;
	return false;
}

void prefixes_of_range(const struct addr *from, const struct addr *to,
		       struct list *prefixes)
{
	struct addr next = *from, last;
	struct prefix p;

	if (from->family != to->family)
		return;
	while (addr_cmp(&next, to) <= 0) {
		p = (struct prefix){ next, block_len(&next, to, &last) };
		prefix_add(prefixes, &p);
		next = last;
		if (!addr_increment(&next))
			break;
	}
}

bool prefix_equal(const struct prefix *a, const struct prefix *b)
{
	return a->len == b->len && addr_equal(&a->addr, &b->addr);
}

void prefix_add(struct list *prefixes, const struct prefix *p)
{
	for_each(struct prefix, q, prefixes)
		if (prefix_equal(p, q))
			return;
	*(struct prefix *)list_add(prefixes, sizeof(*p)) = *p;
}

const char *format_prefix(const struct prefix *p)
{
	return format("%s/%u", format_addr(&p->addr), p->len);
}
