/* SPDX-License-Identifier: GPL-2.0 */
#ifndef COMMANDS_H
#define COMMANDS_H

#include "parse.h"
#include "util.h"

int cmd_show(struct words *w);
int cmd_set(struct words *w);
int cmd_socket(struct words *w);
int cmd_peer(struct words *w);
int cmd_sa(struct words *w);
int cmd_flush(struct words *w);
int cmd_shield(struct words *w);
int cmd_route(struct words *w);
int cmd_monitor(struct words *w);
int cmd_stats(struct words *w);
int cmd_setconf(struct words *w);
int cmd_syncconf(struct words *w);
int cmd_showconf(struct words *w);
int cmd_help(struct words *w);

#endif
