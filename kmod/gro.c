// SPDX-License-Identifier: GPL-2.0
/* Super-packets on their way in: ESP packets of one SA as one skb.
 *
 * UDP gives a socket with encap_rcv such a packet whole only if its gso_type says
 * that it is a tunnel's; else it is cut up first, for it could be anything. The
 * sender on the same host, or on the other side of a veth or virtio device, cannot
 * say so, as a device that lacks the feature would have to cut it up. So a hook, the
 * last one of INPUT, says it of packets that are ESP for a socket of ours. If it
 * reaches another socket after all it is cut up as ever.
 */
#include <linux/netfilter_ipv4.h>
#include <linux/netfilter_ipv6.h>
#include <linux/udp.h>
#include "dev.h"
#include "encap.h"
#include "gro.h"
#include "sock.h"

/* Are all datagrams of a super-packet ESP of one SPI? */
static bool all_esp(const struct sk_buff *skb, unsigned int off)
{
	unsigned int part = skb_shinfo(skb)->gso_size;
	__be32 _spi, *spi, first = 0;

	if (part < ESPUDP_SHORTEST)
		return false;
	for (; off < skb->len; off += part) {
		spi = skb_header_pointer(skb, off, sizeof(_spi), &_spi);
		if (!spi || !*spi || (first && *spi != first))
			return false;
		first = *spi;
	}
	return first;
}

static unsigned int mark(void *priv, struct sk_buff *skb, const struct nf_hook_state *state)
{
	const struct espudp_sock *es = priv;
	unsigned int off = skb_transport_offset(skb) + sizeof(struct udphdr);
	u8 proto = state->pf == NFPROTO_IPV4 ? ip_hdr(skb)->protocol : ipv6_hdr(skb)->nexthdr;

	if (likely(!skb_is_gso(skb)) || !espudp_gro_is(skb, SKB_GSO_UDP_L4) || proto != IPPROTO_UDP || skb_cloned(skb) || skb_headlen(skb) < off ||
	    udp_hdr(skb)->dest != htons(es->port))
		return NF_ACCEPT;
	if (all_esp(skb, off))
		skb_shinfo(skb)->gso_type |= SKB_GSO_UDP_TUNNEL_CSUM;
	return NF_ACCEPT;
}

/**
 * espudp_gro_attach() - receive super-packets whole
 * @es: attached socket
 *
 * Without it they come one by one: nothing depends on its success.
 *
 * Context: process.
 */
void espudp_gro_attach(struct espudp_sock *es)
{
	struct net *net = sock_net(es->sk);
	int i;

	espudp_udp_accept_super(es->sk, true);
	for (i = 0; i < 2; i++) {
		if (!(i ? es->v6 : es->v4))
			continue;
		es->hooks[i] = (struct nf_hook_ops) {
			.hook = mark,
			.priv = es,
			.pf = i ? NFPROTO_IPV6 : NFPROTO_IPV4,
			.hooknum = NF_INET_LOCAL_IN,
			.priority = INT_MAX,
		};
		if (nf_register_net_hook(net, &es->hooks[i]))
			es->hooks[i].hook = NULL;
	}
}

/**
 * espudp_gro_detach() - let go of a socket
 * @es: socket; still alive
 *
 * Context: process.
 */
void espudp_gro_detach(struct espudp_sock *es)
{
	int i;

	for (i = 0; i < 2; i++)
		if (es->hooks[i].hook)
			nf_unregister_net_hook(sock_net(es->sk), &es->hooks[i]);
	espudp_udp_accept_super(es->sk, false);
}
