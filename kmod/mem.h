/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _ESPUDP_MEM_H
#define _ESPUDP_MEM_H

#include <linux/types.h>

void *espudp_mem_get(unsigned int len, unsigned int align);
void espudp_mem_put(void *p);
void espudp_mem_exit(void);

#endif
