/* SPDX-License-Identifier: GPL-2.0 */
#ifndef HELP_H
#define HELP_H

#include <stdio.h>

#include "parse.h"
#include "util.h"

struct command {
	const char *name;
	int (*run)(struct words *w);
	bool json;
	const char *summary;
	const char *text;
};

const struct command *command_find(const char *name);
void command_help(const struct command *c, FILE *f);

#endif
