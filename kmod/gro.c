// SPDX-License-Identifier: GPL-2.0
/* Super-packets on their way in: ESP packets of one SA as one skb.
 *
 * Those that come one by one are put together where a device's GRO asks the socket
 * (gro_receive), if they are for an SA of ours, and are sent to where an authentic packet
 * of it was sent: the question is asked of packets that are only forwarded, too. What
 * is not ESP of one SA, IKE first of all, goes on at once and alone.
 *
 * Some are one already, from a sender on the same host or on the other side of a veth
 * or virtio device. UDP gives a socket with encap_rcv such a packet whole only if its
 * gso_type says that it is a tunnel's; else it is cut up first, for it could be anything.
 * Its sender cannot say so, as a device that lacks the feature would have to cut it up.
 * So a hook, the last one of INPUT, says it of packets that are ESP for a socket of
 * ours. If it reaches another socket after all it is cut up as ever.
 */
#include <linux/moduleparam.h>
#include <linux/netfilter_ipv4.h>
#include <linux/netfilter_ipv6.h>
#include <linux/stop_machine.h>
#include <linux/udp.h>
#include <net/gro.h>
#include "dev.h"
#include "encap.h"
#include "gro.h"
#include "sa.h"
#include "sock.h"

static bool gro = true;
module_param(gro, bool, 0644);
MODULE_PARM_DESC(gro, "put ESP packets of an SA together where a device does GRO");

/* The headers in front of an ESP packet. */
union outer {
	struct {
		struct iphdr ip;
		struct udphdr udp;
	} v4;
	struct {
		struct ipv6hdr ip;
		struct udphdr udp;
	} v6;
};

/* Those of a packet whose ESP header is at @off, without options or extensions, or NULL. */
static const union outer *read_outer(const struct sk_buff *skb, unsigned int off, bool v6,
				     union outer *buf)
{
	unsigned int len = v6 ? sizeof(buf->v6) : sizeof(buf->v4);
	const union outer *o = off < len ? NULL : skb_header_pointer(skb, off - len, len, buf);

	if (!o || (v6 ? o->v6.ip.version != 6 || o->v6.ip.nexthdr != IPPROTO_UDP :
			o->v4.ip.version != 4 || o->v4.ip.ihl != 5))
		return NULL;
	return o;
}

/* May @b be put behind @a, packets of one flow, if so many are between them? */
static bool same_outer(const union outer *a, const union outer *b, bool v6, unsigned int step)
{
	u16 ids = ntohs(b->v4.ip.id) - ntohs(a->v4.ip.id);

	if (v6)
		return *(u32 *)&a->v6.ip == *(u32 *)&b->v6.ip &&
		       a->v6.ip.hop_limit == b->v6.ip.hop_limit;
	return a->v4.ip.tos == b->v4.ip.tos && a->v4.ip.ttl == b->v4.ip.ttl &&
	       a->v4.ip.frag_off == b->v4.ip.frag_off &&
	       (ids == step || a->v4.ip.frag_off & htons(IP_DF));
}

/* Is this the SPI of an SA of ours, and do its packets come to this address? */
static bool ours(const struct espudp_sock *es, __be32 spi, const union outer *o, bool v6)
{
	const struct espudp_sa *sa = espudp_sa_find_in(es->edev, spi);

	if (!sa || READ_ONCE(sa->seen_family) != (v6 ? AF_INET6 : AF_INET))
		return false;
	return v6 ? ipv6_addr_equal(&sa->seen_local, &o->v6.ip.daddr) :
		    sa->seen_local.s6_addr32[0] == o->v4.ip.daddr;
}

/* Puts a packet behind the others, in the list of fragments. */
static bool append(struct sk_buff *p, struct sk_buff *skb, unsigned int off)
{
	if (skb_zcopy(p) || skb_zcopy(skb) || !pskb_may_pull(skb, off))
		return false;
	__skb_pull(skb, off);
	skb->destructor = NULL;	/* the same socket's as that of @p, which has its memory now */
	skb->sk = NULL;
	__skb_header_release(skb);
	if (NAPI_GRO_CB(p)->last == p)
		skb_shinfo(p)->frag_list = skb;
	else
		NAPI_GRO_CB(p)->last->next = skb;
	NAPI_GRO_CB(p)->last = skb;
	NAPI_GRO_CB(p)->count++;
	p->len += skb->len;
	p->data_len += skb->len;
	p->truesize += skb->truesize;
	skb_shinfo(p)->flags |= skb_shinfo(skb)->flags & SKBFL_SHARED_FRAG;
	NAPI_GRO_CB(skb)->same_flow = 1;
	return true;
}

/* May a datagram of @len octets be put together with others? */
static bool may_merge(struct sock *sk, const struct espudp_sock *es,
		      const struct sk_buff *skb, const union outer *o, unsigned int len)
{
	bool v6 = espudp_gro_is_ipv6(skb);

	return es && READ_ONCE(gro) && espudp_udp_accepts_super(sk) && espudp_sock_alive(es) &&
	       !NAPI_GRO_CB(skb)->flush && len >= ESPUDP_SHORTEST && (!v6 || o->v6.udp.check) &&
	       ntohs(v6 ? o->v6.udp.len : o->v4.udp.len) == sizeof(struct udphdr) + len;
}

/* A datagram for a socket of ours, its data at the ESP header, checksum verified; UDP has
 * compared ports. Returns what is to be delivered now: what came before this one, of the
 * same SA, if this one cannot be put behind it.
 */
static struct sk_buff *gro_receive(struct sock *sk, struct list_head *head, struct sk_buff *skb)
{
	const struct espudp_sock *es = rcu_dereference_sk_user_data(sk);
	unsigned int off = skb_gro_offset(skb), len = skb_gro_len(skb);
	bool v6 = espudp_gro_is_ipv6(skb), may;
	const union outer *o, *first;
	union outer buf, first_buf;
	__be32 _spi, *spi, _p_spi, *p_spi;
	struct sk_buff *p;

	o = read_outer(skb, off, v6, &buf);
	spi = skb_header_pointer(skb, off, sizeof(_spi), &_spi);
	if (!o || !spi || !*spi)
		goto alone;
	may = may_merge(sk, es, skb, o, len);

	list_for_each_entry(p, head, list) {
		if (!NAPI_GRO_CB(p)->same_flow)
			continue;
		p_spi = skb_header_pointer(p, off, sizeof(_p_spi), &_p_spi);
		if (!p_spi || *p_spi != *spi) {
			NAPI_GRO_CB(p)->same_flow = 0;
			continue;
		}
		/* UDP itself may have kept it, before the socket was adopted. */
		if (!may || !NAPI_GRO_CB(p)->encap_mark) {
			NAPI_GRO_CB(skb)->flush = 1;
			return p;
		}
		first = read_outer(p, off, v6, &first_buf);
		if (!first || !same_outer(first, o, v6, NAPI_GRO_CB(p)->count) ||
		    len > skb_shinfo(p)->gso_size ||
		    p->len + len > min(READ_ONCE(p->dev->gro_max_size), (u32)IP_MAX_MTU) ||
		    !append(p, skb, off))
			return p;
		if (len < skb_shinfo(p)->gso_size || NAPI_GRO_CB(p)->count >= ESPUDP_BATCH_SEGS)
			return p;
		return NULL;
	}
	if (may && ours(es, *spi, o, v6))
		return NULL;
alone:
	NAPI_GRO_CB(skb)->flush = 1;
	return NULL;
}

/* What was put together leaves GRO; UDP has made it look like another protocol's. */
static int gro_complete(struct sock *sk, struct sk_buff *skb, int nhoff)
{
	struct udphdr *uh = (struct udphdr *)(skb->data + nhoff) - 1;
	const struct iphdr *ip = (struct iphdr *)uh - 1;

	/* A checksum is needed if it is cut up again after all. IPv6's never is zero. */
	if (!uh->check)
		uh->check = ~udp_v4_check(ntohs(uh->len), ip->saddr, ip->daddr, 0);
	skb->encapsulation = 0;
	skb->ip_summed = CHECKSUM_PARTIAL;
	skb->csum_start = (unsigned char *)uh - skb->head;
	skb->csum_offset = offsetof(struct udphdr, check);
	skb_shinfo(skb)->gso_segs = NAPI_GRO_CB(skb)->count;
	skb_shinfo(skb)->gso_type = SKB_GSO_UDP_L4 | SKB_GSO_UDP_TUNNEL_CSUM;
	return 0;
}

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

	if (likely(!skb_is_gso(skb)) || !espudp_gro_is(skb, SKB_GSO_UDP_L4) ||
	    proto != IPPROTO_UDP || skb_cloned(skb) || skb_headlen(skb) < off ||
	    !espudp_sock_alive(es) || udp_hdr(skb)->dest != htons(es->port))
		return NF_ACCEPT;
	if (all_esp(skb, off))
		skb_shinfo(skb)->gso_type |= SKB_GSO_UDP_TUNNEL_CSUM;
	return NF_ACCEPT;
}

/* An owner's socket is given back by stopping all processors (espudp_gro_detach()), which
 * is not for everybody who has a namespace of his own. Softirqs are not interrupted for
 * it, but with PREEMPT_RT.
 */
static bool wants_gro(const struct espudp_sock *es)
{
	if (!espudp_gro_callbacks())
		return false;
	return !es->adopted || (!IS_ENABLED(CONFIG_PREEMPT_RT) &&
				sock_net(es->sk)->user_ns == &init_user_ns);
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
	if (wants_gro(es)) {
		WRITE_ONCE(udp_sk(es->sk)->gro_complete, gro_complete);
		WRITE_ONCE(udp_sk(es->sk)->gro_receive, gro_receive);
	}
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

static int clear_gro(void *sk)
{
	struct udp_sock *up = udp_sk(sk);

	if (up->gro_receive == gro_receive)
		up->gro_receive = NULL;
	if (up->gro_complete == gro_complete)
		up->gro_complete = NULL;
	return 0;
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
	/* UDP reads each pointer twice, so on a socket that stays no processor may be in
	 * between. One that nobody can find now may be bound again.
	 */
	if (es->adopted &&
	    (udp_sk(es->sk)->gro_receive == gro_receive ||
	     udp_sk(es->sk)->gro_complete == gro_complete))
		stop_machine(clear_gro, es->sk, NULL);
}
