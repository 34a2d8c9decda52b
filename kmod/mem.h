/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _ESPUDP_MEM_H
#define _ESPUDP_MEM_H

#include <linux/types.h>

enum espudp_mem_use { ESPUDP_MEM_TX, ESPUDP_MEM_RX, ESPUDP_MEM_USES };

void *espudp_mem_get(enum espudp_mem_use use, unsigned int len, unsigned int align);
void espudp_mem_put(void *p);
void espudp_mem_exit(void);

#endif
