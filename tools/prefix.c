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

int prefix_cmp(const void *a, const void *b)
{
	const struct prefix *x = a, *y = b;
	int order = x->addr.family - y->addr.family;

	if (!order)
		order = addr_cmp(&x->addr, &y->addr);
	return order ? order : x->len - y->len;
}

/* Where it is, or would be. */
static size_t place(const struct list *prefixes, const struct prefix *p)
{
	const struct prefix *v = prefixes->v;
	size_t low = 0, high = prefixes->n;

	/* Most lists come in order. */
	if (high && prefix_cmp(&v[high - 1], p) < 0)
		return high;
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (prefix_cmp(&v[middle], p) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool is_at(const struct list *prefixes, size_t at,
		  const struct prefix *p)
{
	return at < prefixes->n &&
	       prefix_equal(&LIST(struct prefix, prefixes)[at], p);
}

bool prefix_has(const struct list *prefixes, const struct prefix *p)
{
	return is_at(prefixes, place(prefixes, p), p);
}

void prefix_add(struct list *prefixes, const struct prefix *p)
{
	size_t at = place(prefixes, p);
	struct prefix *v;

	if (is_at(prefixes, at, p))
		return;
	list_add(prefixes, sizeof(*p));
	v = prefixes->v;
	memmove(v + at + 1, v + at, (prefixes->n - 1 - at) * sizeof(*v));
	v[at] = *p;
}

const char *format_prefix(const struct prefix *p)
{
	return format("%s/%u", format_addr(&p->addr), p->len);
}
