/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _ESPUDP_SELECT_H
#define _ESPUDP_SELECT_H

#include <linux/if_ether.h>
#include <linux/in6.h>
#include <linux/rcupdate.h>
#include <linux/rhashtable.h>
#include <linux/seqlock.h>
#include <linux/types.h>

struct espudp_endpoint;
struct espudp_peer;
struct espudp_select_entries;
struct netlink_ext_ack;
struct sk_buff;

/**
 * struct espudp_flow - what selectors look at in an inner packet
 * @family: AF_INET or AF_INET6
 * @proto: upper layer protocol, after IPv6 extension headers
 * @upper: offset of its header
 * @ports: @local_port and @remote_port are known
 * @frag: a fragment, also the first: its ports count as unknown, and behind the
 *	first @proto may be that of an IPv6 extension header
 * @local: our side's address; IPv4 in the first word, the others zero
 * @remote: the peer's side's address
 *
 * ICMP type and code stand in the ports as RFC 4301 section 4.4.1.1 says only
 * for selectors that we do not offer, so @ports is false for ICMP.
 */
struct espudp_flow {
	u8 family;
	u8 proto;
	bool ports;
	bool frag;
	u16 upper;
	__be16 local_port;
	__be16 remote_port;
	struct in6_addr local;
	struct in6_addr remote;
};

static inline __be16 espudp_flow_protocol(const struct espudp_flow *flow)
{
	return flow->family == AF_INET ? htons(ETH_P_IP) : htons(ETH_P_IPV6);
}

/**
 * struct espudp_sel - a traffic selector, as configured
 * @local: first and last address of the local range, network byte order
 * @remote: likewise the remote one
 * @lport: first and last local port, host byte order; 0 to 65535 means any
 * @rport: likewise remote
 * @proto: 0 means any
 * @prio: the lower wins among equal entries of different peers
 */
struct espudp_sel {
	struct in6_addr local[2];
	struct in6_addr remote[2];
	u32 prio;
	u16 lport[2];
	u16 rport[2];
	u8 family;
	u8 proto;
};

/**
 * struct espudp_sels - a peer's selectors, replaced as a whole under RCU
 * @entries: what they became in the look-up table; set by espudp_select_set()
 * @n: number of selectors
 * @ports: one at least has ports; set by espudp_select_set()
 * @sel: the selectors, as configured
 */
struct espudp_sels {
	struct rcu_head rcu;
	struct espudp_select_entries *entries;
	unsigned int n;
	bool ports;
	struct espudp_sel sel[];
};

/**
 * struct espudp_select - look-up table of a device's outbound selectors
 * @hash: buckets by remote prefix, and groups by remote and local prefix, whose
 *	entries are sorted, the best first
 * @commit: makes a look-up that saw half of a change look again
 * @plens: IPv4's and IPv6's remote prefix lengths in use, buckets of each
 * @used: bitmaps of @plens, longest prefix first in bit order
 *
 * Written under the device's lock, read under RCU.
 */
struct espudp_select {
	struct rhashtable hash;
	seqlock_t commit;
	u32 plens[2][129];
	unsigned long used[2][BITS_TO_LONGS(129)];
};

int espudp_select_init(struct espudp_select *t);
void espudp_select_destroy(struct espudp_select *t);
int espudp_select_check(const struct espudp_sels *sels, struct netlink_ext_ack *extack);
int espudp_select_set(struct espudp_select *t, struct espudp_peer *peer,
		      struct espudp_sels *sels, const struct espudp_endpoint *ep,
		      struct netlink_ext_ack *extack);
struct espudp_peer *espudp_select_lookup(struct espudp_select *t,
					 const struct espudp_flow *flow);
int espudp_select_match(const struct espudp_peer *peer, const struct espudp_flow *flow);
bool espudp_select_parse(struct sk_buff *skb, bool out, struct espudp_flow *flow);

#ifdef ESPUDP_DEBUG
bool espudp_select_selftest(void);
#endif

#endif
