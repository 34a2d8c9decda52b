/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _ESPUDP_SPREAD_H
#define _ESPUDP_SPREAD_H

#include "queue.h"

bool espudp_spread_wanted(const struct espudp_job *job);
bool espudp_spread_ask(struct espudp_job *job);
unsigned int espudp_spread_take_back(struct espudp_job *job);
int espudp_spread_init(void);
void espudp_spread_exit(void);

#endif
