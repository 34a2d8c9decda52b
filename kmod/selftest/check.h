/* SPDX-License-Identifier: GPL-2.0 */
/* For the unit tests, each of which is part of the file that it tests. */
#ifndef _ESPUDP_SELFTEST_CHECK_H
#define _ESPUDP_SELFTEST_CHECK_H

#include <linux/printk.h>
#include <linux/prandom.h>

static const char *check_part;
static unsigned int check_count;

static void check_begin(const char *part)
{
	check_part = part;
	check_count = 0;
}

static __printf(2, 3) bool check(bool good, const char *fmt, ...)
{
	struct va_format vaf = { .fmt = fmt };
	va_list args;

	check_count++;
	if (likely(good))
		return true;
	va_start(args, fmt);
	vaf.va = &args;
	pr_err("espudp: selftest: %s: FAIL %pV\n", check_part, &vaf);
	va_end(args);
	return false;
}

static bool check_end(bool good)
{
	if (good)
		pr_info("espudp: selftest: %s: %u checks passed\n", check_part, check_count);
	return good;
}

#endif
