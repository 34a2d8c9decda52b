// SPDX-License-Identifier: GPL-2.0
/* UDP encapsulation (RFC 3948): telling ESP, IKE and keepalives apart, routes
 * of outer packets, ICMP errors about them.
 */
#include <linux/icmp.h>
#include <linux/icmpv6.h>
#include <net/icmp.h>
#include <net/ip6_route.h>
#include <net/route.h>
#include <net/udp.h>
#include <net/udp_tunnel.h>
#include "dev.h"
#include "encap.h"
#include "event.h"
#include "fault.h"
#include "gro.h"
#include "rx.h"
#include "sock.h"

static void drop_rx(struct espudp_dev *edev, struct sk_buff *skb, enum espudp_drop reason)
{
	espudp_drop(edev, NULL, NULL, skb, reason);
}

static void count_ike(struct espudp_dev *edev)
{
	struct espudp_stats *s = this_cpu_ptr(edev->stats);

	u64_stats_update_begin(&s->syncp);
	u64_stats_inc(&s->rx_ike);
	u64_stats_update_end(&s->syncp);
}

/* One datagram, skb->data at its UDP header. Returns 0 if it was consumed, 1
 * if it is IKE for the socket's owner.
 */
static int encap_one(struct espudp_sock *es, struct sk_buff *skb)
{
	struct espudp_dev *edev = es->edev;
	unsigned int len = skb->len - sizeof(struct udphdr);
	__be32 _spi = 0, *spi;

	spi = skb_header_pointer(skb, sizeof(struct udphdr), min_t(unsigned int, len, 4), &_spi);
	if (unlikely(!spi)) {
		drop_rx(edev, skb, ESPUDP_DROP_RX_NOMEM);
		return 0;
	}
	if (len == 1 && *(u8 *)spi == 0xff) {
		struct espudp_stats *s = this_cpu_ptr(edev->stats);

		u64_stats_update_begin(&s->syncp);
		u64_stats_inc(&s->rx_keepalive);
		u64_stats_update_end(&s->syncp);
		consume_skb(skb);
		return 0;
	}
	if (len < 4) {
		drop_rx(edev, skb, ESPUDP_DROP_RX_SHORT);
		return 0;
	}
	if (!*spi) {
		espudp_event_ike(edev, sock_net(es->sk), skb);
		if (!es->adopted) {
			drop_rx(edev, skb, ESPUDP_DROP_RX_IKE_UNOWNED);
			return 0;
		}
		count_ike(edev);
		/* The owner reads from behind a UDP header's length: moving
		 * data on by four strips the marker without a write.
		 */
		if (!es->keep_marker && pskb_may_pull(skb, sizeof(struct udphdr) + 4))
			skb_pull_rcsum(skb, 4);
		return 1;
	}
	espudp_rx_queue(edev, skb, *spi);
	return 0;
}

/* A super-packet that is all ESP (gro.c), or one that the stack has merged since the
 * socket's owner has set UDP_GRO. That merger looks at ports and lengths only; but IKE
 * must never be merged: what is not ours goes through the stack again, one by one.
 */
static int encap_gso(struct espudp_sock *es, struct sock *sk, struct sk_buff *skb)
{
	bool v4 = ip_hdr(skb)->version == 4;
	struct sk_buff *segs, *next;
	__be32 _marker, *marker;

	if (espudp_gro_marked(skb))
		return encap_one(es, skb);
	__skb_push(skb, -skb_mac_offset(skb));
	segs = udp_rcv_segment(sk, skb, v4);
	skb_list_walk_safe(segs, skb, next) {
		skb_mark_not_on_list(skb);
		__skb_pull(skb, skb_transport_offset(skb));
		skb->ip_summed = CHECKSUM_UNNECESSARY;
		marker = skb_header_pointer(skb, sizeof(struct udphdr), sizeof(_marker), &_marker);
		if (!marker || *marker) {
			encap_one(es, skb);
			continue;
		}
		__skb_push(skb, -skb_network_offset(skb));
		skb_dst_drop(skb);
		skb_orphan(skb);
		nf_reset_ct(skb);
		netif_rx(skb);
	}
	return 0;
}

/**
 * espudp_encap_rcv() - a datagram for an attached socket
 * @sk: socket
 * @skb: datagram, data at the UDP header, checksum verified
 *
 * RFC 3948 section 2. Called by UDP; softirq, RCU read side.
 *
 * Return: 0 if consumed, 1 if the socket's owner shall have it.
 */
int espudp_encap_rcv(struct sock *sk, struct sk_buff *skb)
{
	struct espudp_sock *es = rcu_dereference_sk_user_data(sk);

	if (!es)
		return 1;
	if (unlikely(skb_is_gso(skb)))
		return encap_gso(es, sk, skb);
	return encap_one(es, skb);
}

/* Anybody may send ICMP errors; the walk over all peers is not for free. */
static bool err_allowed(struct espudp_dev *edev)
{
	return espudp_rate_allows(&edev->err_rate, ESPUDP_ICMP_RATE);
}

/* No other error has any effect. The ICMP header stands in front of data. */
static bool err_too_big(const struct sk_buff *skb)
{
	const u8 *icmp = skb->data - sizeof(struct icmphdr);

	return ip_hdr(skb)->version == 4 ?
	       icmp[0] == ICMP_DEST_UNREACH && icmp[1] == ICMP_FRAG_NEEDED :
	       icmp[0] == ICMPV6_PKT_TOOBIG;
}

/* The peer that an ICMP error is about. Eight quoted octets end before the
 * SPI, so addresses and ports must do.
 */
static struct espudp_peer *err_peer(struct espudp_dev *edev, const struct sk_buff *skb)
{
	const struct iphdr *ip = ip_hdr(skb);
	const struct udphdr *uh = udp_hdr(skb);
	struct in6_addr remote = {};
	struct espudp_peer *peer;
	unsigned long id;
	u8 family;

	if (ip->version == 4) {
		family = AF_INET;
		remote.s6_addr32[0] = ip->daddr;
	} else {
		family = AF_INET6;
		remote = ipv6_hdr(skb)->daddr;
	}
	xa_for_each(&edev->peers, id, peer) {
		const struct espudp_endpoint *ep = rcu_dereference(peer->ep);

		if (ep && ep->has_remote && ep->family == family &&
		    ep->remote_port == uh->dest &&
		    espudp_addr_equal(family, &ep->remote, &remote))
			return peer;
	}
	return NULL;
}

/**
 * espudp_encap_err_lookup() - is an ICMP error about a datagram of ours?
 * @sk: attached socket
 * @skb: error; network and transport header are the quoted ones
 *
 * Return: 0 if so.
 */
int espudp_encap_err_lookup(struct sock *sk, struct sk_buff *skb)
{
	struct espudp_sock *es = rcu_dereference_sk_user_data(sk);

	if (!es || !READ_ONCE(es->edev->pmtu_discovery))
		return -ENOENT;
	return err_too_big(skb) && err_allowed(es->edev) && err_peer(es->edev, skb) ? 0 : -ENOENT;
}

/* "Too big", about a datagram of ours; the arguments differ from kernel to
 * kernel. Called by UDP after espudp_encap_err_lookup() agreed, the transport header
 * at the ICMP header again and data at the quoted IP header.
 */
void espudp_encap_err_rcv(ESPUDP_ENCAP_ERR_ARGS)
{
	struct espudp_sock *es = rcu_dereference_sk_user_data(sk);
	const struct iphdr *quoted = (struct iphdr *)skb->data;
	int transport = skb_transport_offset(skb);
	int network = skb_network_offset(skb);
	struct espudp_peer *peer;
	u32 mtu;
	int hlen;

	if (!es)
		return;
	if (quoted->version == 4) {
		mtu = ntohs(icmp_hdr(skb)->un.frag.mtu);
		hlen = quoted->ihl * 4;
	} else {
		u8 nexthdr = ((struct ipv6hdr *)quoted)->nexthdr;
		__be16 frag_off;

		mtu = ntohl(icmp6_hdr(skb)->icmp6_mtu);
		hlen = ipv6_skip_exthdr(skb, sizeof(struct ipv6hdr), &nexthdr, &frag_off);
		if (hlen < 0)
			return;
	}
	if (!mtu)
		return;
	skb_reset_network_header(skb);
	skb_set_transport_header(skb, hlen);
	peer = err_peer(es->edev, skb);
	if (peer)
		espudp_peer_learn_pmtu(peer, mtu);
	skb_set_network_header(skb, network);
	skb_set_transport_header(skb, transport);
}

static struct dst_entry *route4(struct espudp_peer *peer, struct sock *sk,
				struct espudp_path *path)
{
	struct espudp_dev *edev = peer->edev;
	struct flowi4 fl = {
		.flowi4_oif = edev->bound_ifindex,
		.flowi4_mark = edev->fwmark,
		.flowi4_proto = IPPROTO_UDP,
		.saddr = path->saddr.s6_addr32[0],
		.daddr = path->daddr.s6_addr32[0],
		.fl4_sport = path->sport,
		.fl4_dport = path->dport,
	};
	struct net *net = sock_net(sk);
	struct rtable *rt;

	rt = dst_cache_get_ip4(&peer->dst_cache, &fl.saddr);
	if (rt) {
		path->saddr.s6_addr32[0] = fl.saddr;
		return &rt->dst;
	}
	/* An address that this host has lost must not be sent from. A VRF has a
	 * table of its own.
	 */
	if (fl.saddr && inet_addr_type_dev_table(net, dev_get_by_index_rcu(net, fl.flowi4_oif),
						 fl.saddr) != RTN_LOCAL)
		return NULL;
	rt = ip_route_output_flow(net, &fl, sk);
	if (IS_ERR(rt))
		return NULL;
	path->saddr.s6_addr32[0] = fl.saddr;
	dst_cache_set_ip4(&peer->dst_cache, &rt->dst, fl.saddr);
	return &rt->dst;
}

#if IS_ENABLED(CONFIG_IPV6)
static struct dst_entry *route6(struct espudp_peer *peer, struct sock *sk,
				struct espudp_path *path)
{
	struct espudp_dev *edev = peer->edev;
	struct flowi6 fl = {
		.flowi6_oif = edev->bound_ifindex,
		.flowi6_mark = edev->fwmark,
		.flowi6_proto = IPPROTO_UDP,
		.saddr = path->saddr,
		.daddr = path->daddr,
		.fl6_sport = path->sport,
		.fl6_dport = path->dport,
	};
	struct net *net = sock_net(sk);
	struct dst_entry *dst;

	dst = dst_cache_get_ip6(&peer->dst_cache, &fl.saddr);
	if (dst) {
		path->saddr = fl.saddr;
		return dst;
	}
	if (!ipv6_addr_any(&fl.saddr) && !ipv6_chk_addr(net, &fl.saddr, NULL, 0))
		return NULL;
	dst = espudp_route6(net, sk, &fl);
	if (IS_ERR(dst))
		return NULL;
	path->saddr = fl.saddr;
	dst_cache_set_ip6(&peer->dst_cache, dst, &fl.saddr);
	return dst;
}
#else
static struct dst_entry *route6(struct espudp_peer *peer, struct sock *sk,
				struct espudp_path *path)
{
	return NULL;
}
#endif

static struct espudp_sock *family_sock(struct espudp_dev *edev, u8 family)
{
	struct espudp_sock *es;

	if (family == AF_INET6)
		es = rcu_dereference(edev->sock6);
	else
		es = rcu_dereference(edev->sock4);
	return es && espudp_sock_alive(es) ? es : NULL;
}

static bool full_csum(const struct espudp_dev *edev, const struct espudp_path *path)
{
	netdev_features_t f = path->dst->dev->features;

	if (path->family == AF_INET6)
		return true;
	switch (READ_ONCE(edev->outer_csum)) {
	case ESPUDP_OUTER_CSUM_FULL:
		return true;
	case ESPUDP_OUTER_CSUM_ZERO:
		return false;
	default:
		return (f & NETIF_F_GSO_UDP_L4) && (f & NETIF_F_CSUM_MASK);
	}
}

/**
 * espudp_encap_path() - find the way to a peer
 * @peer: peer
 * @path: filled in; the caller releases its route or passes it on
 *
 * Context: BH off, RCU read side.
 * Return: ESPUDP_DROP_NONE, or why there is none; then @path holds nothing.
 */
enum espudp_drop espudp_encap_path(struct espudp_peer *peer, struct espudp_path *path)
{
	const struct espudp_endpoint *ep = rcu_dereference(peer->ep);
	struct espudp_dev *edev = peer->edev;
	struct espudp_sock *es;

	if (unlikely(!ep || !ep->has_remote))
		return ESPUDP_DROP_TX_NO_ENDPOINT;
	es = family_sock(edev, ep->family);
	if (unlikely(!es))
		return ESPUDP_DROP_TX_NO_SOCKET;

	path->family = ep->family;
	path->daddr = ep->remote;
	path->dport = ep->remote_port;
	path->sport = htons(es->port);
	if (ep->has_local)
		path->saddr = ep->local;
	else
		path->saddr = in6addr_any;

	path->dst = ep->family == AF_INET6 ? route6(peer, es->sk, path) :
					     route4(peer, es->sk, path);
	if (unlikely(!path->dst))
		return ESPUDP_DROP_TX_NO_ROUTE;
	if (unlikely(path->dst->dev == edev->dev)) {
		dst_release(path->dst);
		dst_cache_reset(&peer->dst_cache);
		return ESPUDP_DROP_TX_LOOP;
	}
	path->csum = full_csum(edev, path);
	/* The stack keeps with the route what any ICMP error told, unbounded. */
	path->mtu = READ_ONCE(edev->pmtu_discovery) ?
			    espudp_peer_pmtu(ep, dst_mtu(path->dst)) :
			    READ_ONCE(path->dst->dev->mtu);
	return ESPUDP_DROP_NONE;
}

/**
 * espudp_encap_xmit() - put UDP and IP headers in front of ESP and send
 * @edev: device
 * @path: its route passes to the stack, or is released
 * @skb: ESP packet, or several with gso_size set; consumed unless refused
 * @tos: type of service or traffic class
 * @df: don't fragment (IPv4)
 * @hops: devices that the packet went through, this one included
 *
 * Context: BH off, RCU read side.
 * Return: ESPUDP_DROP_NONE, or why @skb was refused, still the caller's.
 */
enum espudp_drop espudp_encap_xmit(struct espudp_dev *edev, struct espudp_path *path,
				   struct sk_buff *skb, u8 tos, bool df, u8 hops)
{
	struct espudp_sock *es = family_sock(edev, path->family);
	u8 ttl = READ_ONCE(edev->ttl);

	if (unlikely(!es)) {
		dst_release(path->dst);
		return ESPUDP_DROP_TX_NO_SOCKET;
	}
	skb->dev = NULL;	/* else the tunnel code counts it, too */
	skb->mark = edev->fwmark;
	skb->protocol = path->family == AF_INET6 ? htons(ETH_P_IPV6) : htons(ETH_P_IP);
	espudp_skb_set_hops(skb, hops);
	skb_reset_inner_headers(skb);
	skb_reset_network_header(skb);
	/* Rather in fragments than not at all where the route's MTU is below ours. */
	df = df && path->mtu <= dst_mtu(path->dst);
	skb->ignore_df = !df;
	if (skb_is_gso(skb)) {
		skb->ip_summed = CHECKSUM_PARTIAL;
		skb->csum_start = skb_headroom(skb) - sizeof(struct udphdr);
		skb->csum_offset = offsetof(struct udphdr, check);
	}

	if (path->family == AF_INET6)
		espudp_tunnel6_xmit(path->dst, es->sk, skb, NULL, &path->saddr,
				    &path->daddr, tos, ttl ?: ip6_dst_hoplimit(path->dst),
				    0, path->sport, path->dport, false);
	else
		espudp_tunnel_xmit((struct rtable *)path->dst, es->sk, skb,
				   path->saddr.s6_addr32[0], path->daddr.s6_addr32[0],
				   tos, ttl ?: ip4_dst_hoplimit(path->dst),
				   df ? htons(IP_DF) : 0, path->sport, path->dport,
				   false, !path->csum);
	return ESPUDP_DROP_NONE;
}

/**
 * espudp_encap_keepalive() - send a NAT-keepalive
 * @peer: peer
 *
 * One octet 0xFF (RFC 3948 section 2.3).
 *
 * Context: softirq, RCU read side.
 */
void espudp_encap_keepalive(struct espudp_peer *peer)
{
	struct espudp_dev *edev = peer->edev;
	struct espudp_path path;
	enum espudp_drop why;
	struct sk_buff *skb;
	struct espudp_stats *s;

	why = espudp_encap_path(peer, &path);
	if (why) {
		espudp_stats_drop(edev, peer, NULL, why);
		return;
	}
	skb = espudp_fault() ? NULL : alloc_skb(MAX_HEADER + 64 + 1, GFP_ATOMIC);
	if (!skb) {
		dst_release(path.dst);
		espudp_stats_drop(edev, peer, NULL, ESPUDP_DROP_TX_NOMEM);
		return;
	}
	skb_reserve(skb, MAX_HEADER + 64);
	skb_put_u8(skb, 0xff);
	why = espudp_encap_xmit(edev, &path, skb, 0, false, 1);
	if (why) {
		espudp_drop(edev, peer, NULL, skb, why);
		return;
	}
	espudp_peer_sent(peer);
	s = this_cpu_ptr(peer->stats);
	u64_stats_update_begin(&s->syncp);
	u64_stats_inc(&s->tx_keepalive);
	u64_stats_update_end(&s->syncp);
	s = this_cpu_ptr(edev->stats);
	u64_stats_update_begin(&s->syncp);
	u64_stats_inc(&s->tx_keepalive);
	u64_stats_update_end(&s->syncp);
}
