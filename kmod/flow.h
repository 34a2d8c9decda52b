/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _ESPUDP_FLOW_H
#define _ESPUDP_FLOW_H

#include <linux/inetdevice.h>
#include <linux/limits.h>
#include "select.h"

/**
 * struct espudp_flow_range - walks the prefixes that make up a range of addresses
 * @prefix: current prefix
 * @plen: its length
 * @next: where the next one begins
 */
struct espudp_flow_range {
	struct in6_addr prefix;
	unsigned int plen;
	struct in6_addr next;
	struct in6_addr to;
	unsigned int bits;
	bool done;
};

void espudp_flow_range_start(struct espudp_flow_range *r, u8 family,
			     const struct in6_addr *ends);
bool espudp_flow_range_next(struct espudp_flow_range *r);
unsigned int espudp_flow_range_count(u8 family, const struct in6_addr *ends);
int espudp_flow_check(const struct espudp_sel *sel, struct netlink_ext_ack *extack);

static inline unsigned int espudp_flow_bits(u8 family)
{
	return family == AF_INET ? 32 : 128;
}

/* First @plen bits of an address; IPv4 in the first word. */
static inline void espudp_flow_prefix(struct in6_addr *prefix, const struct in6_addr *a,
				      int plen)
{
	int i;

	for (i = 0; i < 4; i++)
		prefix->s6_addr32[i] = a->s6_addr32[i] &
				       inet_make_mask(clamp(plen - 32 * i, 0, 32));
}

static inline bool espudp_flow_any_ports(const u16 *lport, const u16 *rport)
{
	return !lport[0] && lport[1] == U16_MAX && !rport[0] && rport[1] == U16_MAX;
}

/* The upper layer protocol of a later IPv6 fragment may be in the first one. */
static inline bool espudp_flow_hidden(const struct espudp_flow *flow)
{
	return flow->frag && flow->family == AF_INET6 &&
	       (flow->proto == IPPROTO_HOPOPTS || flow->proto == IPPROTO_ROUTING ||
		flow->proto == IPPROTO_FRAGMENT || flow->proto == IPPROTO_DSTOPTS);
}

/**
 * espudp_flow_upper() - compare protocol and ports with those of a selector
 * @flow: a packet
 * @proto: 0 means any
 * @lport: first and last local port
 * @rport: likewise remote
 *
 * Return: 1 equal, 0 not, -EAGAIN if only the reassembled datagram can tell.
 */
static inline int espudp_flow_upper(const struct espudp_flow *flow, u8 proto,
				    const u16 *lport, const u16 *rport)
{
	if (proto && proto != flow->proto)
		return espudp_flow_hidden(flow) ? -EAGAIN : 0;
	if (flow->ports) {
		u16 l = ntohs(flow->local_port), r = ntohs(flow->remote_port);

		return l >= lport[0] && l <= lport[1] && r >= rport[0] && r <= rport[1];
	}
	if (espudp_flow_any_ports(lport, rport))
		return 1;
	return flow->frag ? -EAGAIN : 0;
}

#endif
