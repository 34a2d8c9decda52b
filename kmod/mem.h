/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _ESPUDP_MEM_H
#define _ESPUDP_MEM_H

#include <linux/mm.h>
#include <linux/percpu.h>

enum espudp_mem_use { ESPUDP_MEM_TX, ESPUDP_MEM_RX, ESPUDP_MEM_USES };

void *espudp_mem_get(enum espudp_mem_use use, unsigned int len, unsigned int align);
void espudp_mem_put(void *p);
bool espudp_mem_is_ours(struct page *page);
void espudp_mem_exit(void);

#define ESPUDP_SPARES 16

/**
 * struct espudp_spares - objects of one kind that a CPU keeps for the next batch
 * @n: how many
 * @obj: the objects, as they were left
 */
struct espudp_spares {
	unsigned int n;
	void *obj[ESPUDP_SPARES];
};

void *espudp_spare_get(struct espudp_spares __percpu *spares, size_t size);
void espudp_spare_put(struct espudp_spares __percpu *spares, void *obj);
void espudp_spares_free(struct espudp_spares __percpu *spares);

#endif
