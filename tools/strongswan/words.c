// SPDX-License-Identifier: GPL-2.0
/* In place of the tool's util.c: what there is to say goes to the daemon's log. */
#include <utils/debug.h>

#define SAY(fmt)                                        \
	do {                                            \
		char text[512];                         \
		va_list ap;                             \
                                                        \
		va_start(ap, fmt);                      \
		vsnprintf(text, sizeof(text), fmt, ap); \
		va_end(ap);                             \
		DBG1(DBG_KNL, "espudp: %s", text);      \
	} while (0)

int error(const char *fmt, ...)
{
	SAY(fmt);
	return 1;
}

int usage(const char *fmt, ...)
{
	SAY(fmt);
	return 2;
}

void note(const char *fmt, ...)
{
	SAY(fmt);
}
