/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _ESPUDP_STATS_H
#define _ESPUDP_STATS_H

#include <linux/u64_stats_sync.h>
#include <linux/percpu.h>
#include <linux/skbuff.h>
#include <uapi/linux/espudp.h>
#include "limits.h"

struct espudp_dev;
struct espudp_peer;
struct espudp_sa;

#define ESPUDP_DROP_MAX (ESPUDP_DROP_TX_SOURCE + 1)

/**
 * struct espudp_stats - counters of one CPU, for a device, peer or SA
 * @syncp: makes 64-bit counters readable on 32-bit machines
 *
 * Written with BH off by the CPU that owns it.
 */
struct espudp_stats {
	u64_stats_t rx_packets;
	u64_stats_t rx_bytes;
	u64_stats_t tx_packets;
	u64_stats_t tx_bytes;
	u64_stats_t rx_ike;
	u64_stats_t rx_keepalive;
	u64_stats_t tx_keepalive;
	struct u64_stats_sync syncp;
};

/* Drops by enum espudp_drop; they wrap at 32 bits. A device, which a flood meets, has them
 * for each CPU; peers and SAs, of which there are many, only once.
 */
struct espudp_dev_drops {
	u32 n[ESPUDP_DROP_MAX];
};

struct espudp_drops {
	atomic_t n[ESPUDP_DROP_MAX];
};

/* One sender of an unknown SPI, as remembered. */
struct espudp_unknown {
	__be32 spi;
	__be16 port;
	u8 family;
	struct in6_addr addr;	/* IPv4 in the first word */
	u64 count;
	unsigned long last;	/* jiffies */
};

struct espudp_unknown_ring {
	spinlock_t lock;	/* readers on other CPUs */
	unsigned int next;
	struct espudp_unknown rec[ESPUDP_UNKNOWN_SPIS];
};

struct espudp_stats __percpu *espudp_stats_alloc(gfp_t gfp);
void espudp_stats_rx(struct espudp_sa *sa, unsigned int packets, unsigned int bytes);
void espudp_stats_tx(struct espudp_sa *sa, unsigned int packets, unsigned int bytes);
void espudp_stats_drop(struct espudp_dev *edev, struct espudp_peer *peer,
		       struct espudp_sa *sa, enum espudp_drop reason);
void espudp_drop(struct espudp_dev *edev, struct espudp_peer *peer,
		 struct espudp_sa *sa, struct sk_buff *skb, enum espudp_drop reason);
void espudp_drop_all(struct espudp_dev *edev, struct espudp_sa *sa, struct sk_buff *skb,
		     enum espudp_drop reason);
void espudp_stats_unknown(struct espudp_dev *edev, const struct sk_buff *skb, __be32 spi);
int espudp_stats_put(struct sk_buff *msg, int attr, struct espudp_stats __percpu *stats,
		     const struct espudp_drops *drops);
int espudp_stats_put_dev(struct sk_buff *msg, int attr, struct espudp_dev *edev);
int espudp_stats_put_unknown(struct sk_buff *msg, int attr, struct espudp_dev *edev);
void espudp_stats_sum(struct espudp_dev *edev, struct rtnl_link_stats64 *out);
bool espudp_stats_sent(struct espudp_stats __percpu *stats);
u64 espudp_stats_ms_since(unsigned long then);

#endif
