/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _ESPUDP_POOL_H
#define _ESPUDP_POOL_H

#include <linux/in6.h>
#include <linux/list.h>
#include <linux/rhashtable.h>
#include <linux/socket.h>

struct espudp_dev;
struct espudp_peer;
struct net;
struct netlink_ext_ack;

/**
 * struct espudp_pool - virtual addresses of one family
 * @list: all pools, so that none overlap
 * @edev: owner
 * @addr: first address; IPv4 in the first word
 * @plen: prefix length; 0 for no pool
 * @next: where to look for the next free address, counted from @addr
 * @used: addresses that peers have
 *
 * Addresses are compared under RCU: @plen is cleared before @addr changes.
 */
struct espudp_pool {
	struct list_head list;
	struct espudp_dev *edev;
	struct in6_addr addr;
	u8 family;
	u8 plen;
	u32 next;
	u32 used;
};

/**
 * struct espudp_pools - a device's pools and the addresses handed out
 * @pool: IPv4 and IPv6
 * @hash: addresses in use, or used until lately
 * @names: the same by the owners' names
 * @released: the latter, oldest first; device's lock
 * @n_released: their number
 */
struct espudp_pools {
	struct espudp_pool pool[2];
	struct rhashtable hash;
	struct rhltable names;
	struct list_head released;
	u32 n_released;
};

int espudp_pool_init(struct espudp_dev *edev);
void espudp_pool_destroy(struct espudp_dev *edev);
int espudp_pool_set(struct espudp_dev *edev, u8 family, const struct in6_addr *addr,
		    u8 plen, struct netlink_ext_ack *extack);
bool espudp_pool_covers(const struct espudp_dev *edev, u8 family,
			const struct in6_addr *addr);
struct espudp_peer *espudp_pool_find(struct espudp_dev *edev, u8 family,
				     const struct in6_addr *addr);
int espudp_pool_get(struct espudp_peer *peer, u8 family, const struct in6_addr *wanted,
		    struct espudp_peer **from, const char *name,
		    const struct in6_addr *remote, struct netlink_ext_ack *extack);
void espudp_pool_undo(struct espudp_peer *peer, struct espudp_peer *from);
void espudp_pool_rename(struct espudp_peer *peer);
void espudp_pool_put(struct espudp_peer *peer);

#endif
