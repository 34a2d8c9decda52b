/* SPDX-License-Identifier: GPL-2.0 */
/* The only file that tests kernel versions. */
#ifndef _ESPUDP_COMPAT_H
#define _ESPUDP_COMPAT_H

#include <linux/version.h>
#include <linux/netdevice.h>
#include <linux/skbuff.h>
#include <linux/timer.h>
#include <linux/udp.h>
#include <net/genetlink.h>

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0)
#include <linux/unaligned.h>
#else
#include <asm/unaligned.h>
#endif

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 1, 0)
#error "espudp needs Linux 6.1 or newer"
#endif

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 3, 0)
#define ESPUDP_ENCAP_ERR_ARGS \
	struct sock *sk, struct sk_buff *skb, int err, __be16 port, u32 info, u8 *payload
#else
#define ESPUDP_ENCAP_ERR_ARGS \
	struct sock *sk, struct sk_buff *skb, unsigned int udp_offset
#endif

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 3, 0)
#define ESPUDP_CRYPTO_DONE_ARG void *arg
#define espudp_crypto_done_ctx(arg) (arg)
#else
#define ESPUDP_CRYPTO_DONE_ARG struct crypto_async_request *arg
#define espudp_crypto_done_ctx(arg) ((arg)->data)
#endif

/* The library of 6.16 and newer works on states of another type. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 16, 0) && \
	IS_REACHABLE(CONFIG_CRYPTO_LIB_CHACHA) && IS_REACHABLE(CONFIG_CRYPTO_LIB_POLY1305)
#define ESPUDP_LIB_CHACHA
#endif

/* Devices that a packet went through, to bound nesting. tc_index survives
 * routing, segmentation and fragmentation; without it nothing is counted.
 */
static inline void espudp_skb_set_hops(struct sk_buff *skb, u8 hops)
{
#ifdef CONFIG_NET_SCHED
	skb->tc_index = hops;
#endif
}

static inline u8 espudp_skb_hops(const struct sk_buff *skb)
{
#ifdef CONFIG_NET_SCHED
	return skb->tc_index;
#else
	return 0;
#endif
}

/* Transmission takes no lock of the stack's. */
static inline void espudp_dev_lockless(struct net_device *dev)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0)
	dev->lltx = true;
#else
	dev->features |= NETIF_F_LLTX;
#endif
}

/* Whether UDP may give a socket super-packets whole. Where the flags are no atomic
 * bits it never does.
 */
static inline void espudp_udp_accept_super(struct sock *sk, bool on)
{
#ifdef udp_set_bit
	if (on)
		udp_set_bit(ACCEPT_L4, sk);
	else if (!udp_test_bit(GRO_ENABLED, sk))
		udp_clear_bit(ACCEPT_L4, sk);
#endif
}

static inline bool espudp_udp_accepts_super(struct sock *sk)
{
#ifdef udp_test_bit
	return udp_test_bit(ACCEPT_L4, sk);
#else
	return false;
#endif
}

/* Gives the stack TCP segments that were put together, behind what GRO has. Before 6.10
 * GRO takes those of a super-packet with DF for ones of equal identifications.
 */
static inline void espudp_gro_receive_super(struct napi_struct *napi, struct sk_buff *skb)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 10, 0)
	if (skb_is_gso(skb)) {
		napi_gro_flush(napi, false);
		list_add_tail(&skb->list, &napi->rx_list);
		napi->rx_count++;
		return;
	}
#endif
	napi_gro_receive(napi, skb);
}

/* Does GRO keep packets, or those that are done with, or wait for more? */
static inline bool espudp_gro_keeps(const struct napi_struct *napi)
{
	return napi->gro_bitmask || napi->rx_count || READ_ONCE(napi->dev->gro_flush_timeout);
}

/* Attributes of a dump's request. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 6, 0)
#define espudp_genl_dump_attrs(cb) (genl_info_dump(cb)->attrs)
#else
#define espudp_genl_dump_attrs(cb) (genl_dumpit_info(cb)->attrs)
#endif

#endif
