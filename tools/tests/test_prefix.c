// SPDX-License-Identifier: GPL-2.0
#include <stdlib.h>
#include <string.h>

#include "../format.h"
#include "../parse.h"
#include "../prefix.h"
#include "unit.h"

/* The prefixes of a range as one line. */
static const char *split(const char *range)
{
	static char text[16384];
	struct list l = { 0 };
	struct addr from, to;
	size_t len = 0;

	text[0] = 0;
	if (parse_range("range", range, &from, &to))
		return "bad";
	prefixes_of_range(&from, &to, &l);
	for_each(struct prefix, p, &l)
		len += snprintf(text + len, sizeof(text) - len, "%s%s",
				len ? " " : "", format_prefix(p));
	free(l.v);
	return text;
}

/* Whatever they are added in. */
static void test_order(void)
{
	static const char *const texts[] = { "10.0.0.0/8",  "fd00::/16",
					     "10.0.0.0/24", "9.0.0.0/8",
					     "10.0.0.0/8",  "fc00::/16" };
	struct list l = { 0 };
	struct prefix p;
	struct addr to;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		check(!parse_range("r", texts[i], &p.addr, &to));
		p.len = prefix_of_range(&p.addr, &to);
		prefix_add(&l, &p);
		check(prefix_has(&l, &p));
		p.len++;
		check(!prefix_has(&l, &p));
	}
	check(l.n == 5);
	for (size_t i = 1; i < l.n; i++)
		check(prefix_cmp(&LIST(struct prefix, &l)[i - 1],
				 &LIST(struct prefix, &l)[i]) < 0);
	free(l.v);
}

void test_prefix(void)
{
	struct list l = { 0 };
	struct addr from, to;

	check(!strcmp(split("10.0.0.0/8"), "10.0.0.0/8"));
	check(!strcmp(split("10.0.0.1-10.0.0.1"), "10.0.0.1/32"));
	check(!strcmp(split("10.0.0.1-10.0.0.6"),
		      "10.0.0.1/32 10.0.0.2/31 10.0.0.4/31 10.0.0.6/32"));
	check(!strcmp(split("0.0.0.0-255.255.255.255"), "0.0.0.0/0"));
	check(!strcmp(split("255.255.255.254-255.255.255.255"),
		      "255.255.255.254/31"));
	check(!strcmp(split("10.255.255.255-11.0.0.0"),
		      "10.255.255.255/32 11.0.0.0/32"));
	check(!strcmp(split("::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
		      "::/0"));
	check(!strcmp(split("fd00::fffe-fd00::1:1"),
		      "fd00::fffe/127 fd00::1:0/127"));
	/* The worst case: two for each bit but the first. */
	parse_range("r", "::1-ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe", &from,
		    &to);
	prefixes_of_range(&from, &to, &l);
	check(l.n == 254);
	free(l.v);
	test_order();
}
