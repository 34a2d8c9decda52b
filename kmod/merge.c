// SPDX-License-Identifier: GPL-2.0
/* TCP segments that come one behind the other in a batch are put together
 * before the stack sees them: the second is compared with the first and never
 * parsed, and never an skb. The rules are those of the stack's own GRO: what it
 * is cut into again, when it is forwarded, is what came.
 */
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <net/checksum.h>
#include <net/ip.h>
#include <net/ip6_checksum.h>
#include <net/tcp.h>
#include "merge.h"

static const __be32 never = TCP_FLAG_CWR | TCP_FLAG_URG | TCP_FLAG_PSH | TCP_FLAG_RST |
			    TCP_FLAG_SYN | TCP_FLAG_FIN;

static bool same_ip(const struct espudp_merge *m, const void *ip, unsigned int len)
{
	const struct ipv6hdr *a6 = ipv6_hdr(m->skb), *b6 = ip;

	if (m->skb->protocol == htons(ETH_P_IP)) {
		const struct iphdr *a = ip_hdr(m->skb), *b = ip;
		u16 step = ntohs(b->id) - m->id;

		if (*(u16 *)a != *(u16 *)b || ntohs(b->tot_len) != len ||
		    a->frag_off != b->frag_off || a->ttl != b->ttl ||
		    a->protocol != b->protocol || a->saddr != b->saddr ||
		    a->daddr != b->daddr || ip_fast_csum(ip, 5))
			return false;
		if (m->n == 1)
			return step == 1 || (!step && b->frag_off);
		return step == (m->fixed_id ? 0 : m->n);
	}
	return *(u32 *)a6 == *(u32 *)b6 && ntohs(b6->payload_len) + sizeof(*b6) == len &&
	       a6->nexthdr == b6->nexthdr && a6->hop_limit == b6->hop_limit &&
	       ipv6_addr_equal(&a6->saddr, &b6->saddr) &&
	       ipv6_addr_equal(&a6->daddr, &b6->daddr);
}

static bool csum_ok(const struct espudp_merge *m, const void *ip, const struct tcphdr *th,
		    unsigned int len)
{
	__wsum sum = csum_partial(th, len, 0);
	const struct ipv6hdr *h6 = ip;
	const struct iphdr *h = ip;

	if (m->skb->protocol == htons(ETH_P_IP))
		return !csum_tcpudp_magic(h->saddr, h->daddr, len, IPPROTO_TCP, sum);
	return !csum_ipv6_magic(&h6->saddr, &h6->daddr, len, IPPROTO_TCP, sum);
}

/**
 * espudp_merge_begin() - let a packet wait for what comes behind it
 * @m: holds nothing
 * @skb: inner TCP packet, linear, trimmed, its checksum verified; network header set
 * @upper: offset of the TCP header
 *
 * Return: true if @skb was taken, false if nothing may be added to it.
 */
bool espudp_merge_begin(struct espudp_merge *m, struct sk_buff *skb, unsigned int upper)
{
	const struct tcphdr *th = (struct tcphdr *)(skb->data + upper);
	unsigned int hlen = upper + th->doff * 4;

	if (skb_is_nonlinear(skb) || !skb->head_frag || th->doff < 5 || hlen >= skb->len)
		return false;
	if ((tcp_flag_word(th) & (never | TCP_FLAG_ACK)) != TCP_FLAG_ACK)
		return false;
	if (skb->protocol == htons(ETH_P_IP)) {
		if (upper != sizeof(struct iphdr) || ip_hdr(skb)->frag_off & ~htons(IP_DF) ||
		    ip_fast_csum(ip_hdr(skb), 5))
			return false;
		m->id = ntohs(ip_hdr(skb)->id);
	} else if (upper != sizeof(struct ipv6hdr)) {
		return false;
	}
	m->skb = skb;
	m->last = skb;
	m->n = 1;
	m->hlen = hlen;
	m->upper = upper;
	m->gso_size = skb->len - hlen;
	m->next = ntohl(th->seq) + m->gso_size;
	m->closed = false;
	return true;
}

/* Leaves only headers in the head. The stack's GRO may put what was put together into
 * another packet's frag_list, and a head that holds data there becomes a segment as it
 * is when that is cut: one that claims to be many, so that identifications jump.
 */
static void move_data(struct sk_buff *skb, unsigned int hlen)
{
	struct page *page = virt_to_head_page(skb->head);
	unsigned int len = skb->len - hlen;
	void *data = skb->data + hlen;

	get_page(page);
	skb_fill_page_desc(skb, 0, page, data - page_address(page), len);
	skb->tail -= len;
	skb->data_len = len;
	skb->truesize += len;	/* whoever takes the frag over has its memory charged */
}

/* Puts data behind the last, as a frag of it while there is room, else as another
 * skb. False if there is no memory.
 */
static bool append(struct espudp_merge *m, void *data, unsigned int len, void *piece,
		   unsigned int size)
{
	struct page *page = virt_to_head_page(data);
	struct sk_buff *skb, *last = m->last;

	if (skb_shinfo(last)->nr_frags < MAX_SKB_FRAGS) {
		skb_add_rx_frag(last, skb_shinfo(last)->nr_frags, page,
				data - page_address(page), len, size);
		if (last == m->skb)
			return true;
	} else {
		skb = napi_build_skb(piece, size);
		if (unlikely(!skb))
			return false;
		skb_reserve(skb, data - piece);
		skb_put(skb, len);
		size = skb->truesize;
		if (last == m->skb)
			skb_shinfo(last)->frag_list = skb;
		else
			last->next = skb;
		m->last = skb;
	}
	m->skb->len += len;
	m->skb->data_len += len;
	m->skb->truesize += size;
	return true;
}

/**
 * espudp_merge_add() - add a packet
 * @m: where to; may hold nothing
 * @protocol: ETH_P_IP or ETH_P_IPV6, network byte order
 * @ip: packet; if it is added, the reference to its memory goes along
 * @len: its octets
 * @piece: memory of our own that it is in, with room for an skb's tail behind it
 * @size: octets of that
 *
 * Context: BH off.
 * Return: true if it was added; else nothing has changed.
 */
bool espudp_merge_add(struct espudp_merge *m, __be16 protocol, void *ip, unsigned int len,
		      void *piece, unsigned int size)
{
	unsigned int data = len - m->hlen;
	struct tcphdr *first, *th;

	if (!m->skb || m->closed || protocol != m->skb->protocol || len <= m->hlen ||
	    data > m->gso_size || m->skb->len + data > IP_MAX_MTU)
		return false;
	first = (struct tcphdr *)(m->skb->data + m->upper);
	th = ip + m->upper;
	if (!same_ip(m, ip, len) || *(u32 *)first != *(u32 *)th || ntohl(th->seq) != m->next ||
	    first->ack_seq != th->ack_seq ||
	    (tcp_flag_word(first) ^ tcp_flag_word(th)) & ~TCP_FLAG_PSH ||
	    memcmp(first + 1, th + 1, m->hlen - m->upper - sizeof(*th)) ||
	    !csum_ok(m, ip, th, len - m->upper))
		return false;
	if (m->n == 1)
		move_data(m->skb, m->hlen);
	if (!append(m, ip + m->hlen, data, piece, size))
		return false;

	if (m->n == 1 && protocol == htons(ETH_P_IP))
		m->fixed_id = ((struct iphdr *)ip)->id == ip_hdr(m->skb)->id;
	if (th->psh || data < m->gso_size)
		m->closed = true;
	first->psh |= th->psh;
	m->next += data;
	m->n++;
	return true;
}

/**
 * espudp_merge_end() - finish what was put together
 * @m: holds nothing any more
 *
 * Return: a packet like one from GRO, the one that was begun with, or NULL.
 */
struct sk_buff *espudp_merge_end(struct espudp_merge *m)
{
	struct sk_buff *skb = m->skb;
	unsigned int len;
	struct tcphdr *th;

	m->skb = NULL;
	if (!skb || m->n == 1)
		return skb;

	len = skb->len - m->upper;
	th = (struct tcphdr *)(skb->data + m->upper);
	if (skb->protocol == htons(ETH_P_IP)) {
		struct iphdr *ip = ip_hdr(skb);

		ip->tot_len = htons(skb->len);
		ip_send_check(ip);
		th->check = ~tcp_v4_check(len, ip->saddr, ip->daddr, 0);
		skb_shinfo(skb)->gso_type = SKB_GSO_TCPV4;
		if (m->fixed_id)
			skb_shinfo(skb)->gso_type |= SKB_GSO_TCP_FIXEDID;
	} else {
		struct ipv6hdr *ip6 = ipv6_hdr(skb);

		ip6->payload_len = htons(skb->len - sizeof(*ip6));
		th->check = ~tcp_v6_check(len, &ip6->saddr, &ip6->daddr, 0);
		skb_shinfo(skb)->gso_type = SKB_GSO_TCPV6;
	}
	skb_shinfo(skb)->gso_size = m->gso_size;
	skb_shinfo(skb)->gso_segs = m->n;
	skb_set_transport_header(skb, m->upper);
	skb->ip_summed = CHECKSUM_PARTIAL;
	skb->csum_start = skb_transport_header(skb) - skb->head;
	skb->csum_offset = offsetof(struct tcphdr, check);
	return skb;
}
