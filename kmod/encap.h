/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _ESPUDP_ENCAP_H
#define _ESPUDP_ENCAP_H

#include <net/dst.h>
#include <net/sock.h>
#include "compat.h"
#include "peer.h"
#include "sa.h"

/**
 * struct espudp_path - where a peer's datagrams go now
 * @dst: route, a reference
 * @sport: our port, network byte order
 * @dport: the peer's port
 * @family: AF_INET or AF_INET6
 * @csum: datagrams carry a UDP checksum, so that they can be sent as one
 *	UDP-GSO packet
 * @mtu: of the outer path, octets
 */
struct espudp_path {
	struct dst_entry *dst;
	struct in6_addr saddr;	/* IPv4 in the first word */
	struct in6_addr daddr;
	__be16 sport;
	__be16 dport;
	u8 family;
	bool csum;
	u32 mtu;
};

int espudp_encap_rcv(struct sock *sk, struct sk_buff *skb);
int espudp_encap_err_lookup(struct sock *sk, struct sk_buff *skb);
void espudp_encap_err_rcv(ESPUDP_ENCAP_ERR_ARGS);
enum espudp_drop espudp_encap_path(struct espudp_peer *peer, struct espudp_path *path);
enum espudp_drop espudp_encap_xmit(struct espudp_dev *edev, struct espudp_path *path,
				   struct sk_buff *skb, u8 tos, bool df, u8 hops);
void espudp_encap_keepalive(struct espudp_peer *peer);

/* Octets of IP and UDP header in front of ESP. */
static inline unsigned int espudp_encap_hlen(u8 family)
{
	return (family == AF_INET6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr)) +
	       sizeof(struct udphdr);
}

/* Largest inner packet of @sa that fits @path. */
static inline u32 espudp_encap_inner_max(const struct espudp_path *path,
					 const struct espudp_sa *sa)
{
	unsigned int hlen = espudp_encap_hlen(path->family);
	u32 max = espudp_aead_inner_max(&sa->aead, path->mtu - hlen);

	/* In transport mode the inner IP header becomes the outer one. */
	if (max && sa->peer->mode == ESPUDP_MODE_TRANSPORT)
		max += hlen - sizeof(struct udphdr);
	return max;
}

#endif
