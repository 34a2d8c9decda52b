/* SPDX-License-Identifier: GPL-2.0 */
/* The only file that tests kernel versions. */
#ifndef _ESPUDP_COMPAT_H
#define _ESPUDP_COMPAT_H

#include <linux/version.h>
#include <linux/netdevice.h>
#include <linux/skbuff.h>
#include <linux/timer.h>
#include <linux/udp.h>
#include <linux/workqueue.h>
#include <net/addrconf.h>
#include <net/genetlink.h>
#include <net/gro.h>
#include <net/ipv6.h>
#include <net/rtnetlink.h>
#include <net/udp_tunnel.h>

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0)
#include <linux/hex.h>
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

#ifndef timer_container_of
#define timer_container_of from_timer
#endif

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 15, 0)
#define ESPUDP_NEWLINK_ARGS \
	struct net_device *dev, struct rtnl_newlink_params *params, struct netlink_ext_ack *extack
#define espudp_newlink_net() (params->src_net)
#else
#define ESPUDP_NEWLINK_ARGS \
	struct net *src_net, struct net_device *dev, struct nlattr *tb[], struct nlattr *data[], \
	struct netlink_ext_ack *extack
#define espudp_newlink_net() (src_net)
#endif

/* What IPv6 has for modules that do not depend on it, or is built in. */
static inline struct dst_entry *espudp_route6(struct net *net, struct sock *sk, struct flowi6 *fl)
{
#ifdef _IPV6_STUBS_H
	return ipv6_stub->ipv6_dst_lookup_flow(net, sk, fl, NULL);
#else
	return ip6_dst_lookup_flow(net, sk, fl, NULL);
#endif
}

#define ESPUDP_RELEASE_BY_SK __same_type(udp_tunnel_sock_release, void (struct sock *))
static inline void espudp_sock_release(struct socket *sock)
{
	udp_tunnel_sock_release(__builtin_choose_expr(ESPUDP_RELEASE_BY_SK, sock->sk, sock));
}

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 17, 0)
#define espudp_tunnel_xmit(...) udp_tunnel_xmit_skb(__VA_ARGS__, 0)
#define espudp_tunnel6_xmit(...) udp_tunnel6_xmit_skb(__VA_ARGS__, 0)
#else
#define espudp_tunnel_xmit udp_tunnel_xmit_skb
#define espudp_tunnel6_xmit udp_tunnel6_xmit_skb
#endif

/* Devices that a packet went through, to bound nesting. tc_index survives
 * routing, segmentation and fragmentation; without it nothing is counted. A tc filter
 * with a class may write it, too: what is not ours counts as none.
 */
#define ESPUDP_HOPS_MARK 0xe570	/* the low three bits are the number */

static inline void espudp_skb_set_hops(struct sk_buff *skb, u8 hops)
{
#ifdef CONFIG_NET_SCHED
	skb->tc_index = ESPUDP_HOPS_MARK | hops;
#endif
}

static inline u8 espudp_skb_hops(const struct sk_buff *skb)
{
#ifdef CONFIG_NET_SCHED
	return (skb->tc_index & ~7) == ESPUDP_HOPS_MARK ? skb->tc_index & 7 : 0;
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

/* From 6.16 on UDP counts who has GRO callbacks, and sockets of others may not have ours. */
static inline bool espudp_gro_callbacks(void)
{
	return LINUX_VERSION_CODE < KERNEL_VERSION(6, 16, 0);
}

static inline bool espudp_gro_is_ipv6(const struct sk_buff *skb)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 16, 0)
	return NAPI_GRO_CB(skb)->is_ipv6;
#else
	return ((const struct iphdr *)skb_gro_network_header(skb))->version == 6;
#endif
}

/* Bound to the CPU that it is queued on, as all that are not unbound were before. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 18, 0)
#define ESPUDP_WQ_PERCPU WQ_PERCPU
#else
#define ESPUDP_WQ_PERCPU 0
#endif

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
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 15, 0)
	const struct gro_node *gro = &napi->gro;

	return gro->bitmask || gro->rx_count || READ_ONCE(napi->dev->gro_flush_timeout);
#else
	return napi->gro_bitmask || napi->rx_count || READ_ONCE(napi->dev->gro_flush_timeout);
#endif
}

/* Attributes of a dump's request. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 6, 0)
#define espudp_genl_dump_attrs(cb) (genl_info_dump(cb)->attrs)
#else
#define espudp_genl_dump_attrs(cb) (genl_dumpit_info(cb)->attrs)
#endif

#endif
