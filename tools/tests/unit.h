/* SPDX-License-Identifier: GPL-2.0 */
#ifndef UNIT_H
#define UNIT_H

#include <stdbool.h>
#include <stdio.h>

extern unsigned int unit_checks, unit_failures;

#define check(cond)                                                       \
	do {                                                              \
		unit_checks++;                                            \
		if (!(cond)) {                                            \
			unit_failures++;                                  \
			printf("%s:%d: failed: %s\n", __FILE__, __LINE__, \
			       #cond);                                    \
		}                                                         \
	} while (0)

void test_parse(void);
void test_prefix(void);
void test_key(void);
void test_conf(void);
void test_codec(void);
void test_format(void);

#endif
