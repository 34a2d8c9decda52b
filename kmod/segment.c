// SPDX-License-Identifier: GPL-2.0
/* Copying inner packets out of the stack's skbs: whole, in TCP or UDP
 * segments, or in IPv4 fragments. Headers are made right and checksums are
 * filled in while copying, in memory of our own; the skb is never written to.
 */
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <net/checksum.h>
#include <net/ip.h>
#include <net/ip6_checksum.h>
#include "segment.h"

static bool init_gso(struct espudp_segment *s)
{
	const struct skb_shared_info *info = skb_shinfo(s->skb);

	s->th = skb_transport_offset(s->skb);
	if (info->gso_type & (SKB_GSO_TCPV4 | SKB_GSO_TCPV6)) {
		if (!pskb_may_pull(s->skb, s->th + sizeof(struct tcphdr)))
			return false;
		s->hlen = s->th + tcp_hdrlen(s->skb);
	} else if (info->gso_type & SKB_GSO_UDP_L4) {
		s->hlen = s->th + sizeof(struct udphdr);
	} else {
		return false;
	}
	if (!info->gso_size || s->hlen >= s->total || !pskb_may_pull(s->skb, s->hlen))
		return false;
	s->gso = true;
	s->part_max = info->gso_size;
	return true;
}

static void set_part(struct espudp_segment *s)
{
	s->part = min(s->part_max, s->total - s->off);
	s->len = s->hlen + s->part;
}

/**
 * espudp_segment_init() - begin with the first segment of a packet
 * @s: filled in
 * @skb: parsed by espudp_select_parse()
 * @total: octets of the IP packet
 *
 * Return: false if its headers make no sense.
 */
bool espudp_segment_init(struct espudp_segment *s, struct sk_buff *skb, unsigned int total)
{
	memset(s, 0, sizeof(*s));
	s->skb = skb;
	s->total = total;
	s->family = skb->protocol == htons(ETH_P_IP) ? AF_INET : AF_INET6;
	if (skb_is_gso(skb)) {
		if (!init_gso(s))
			return false;
	} else {
		s->part_max = total;
	}
	s->off = s->hlen;
	set_part(s);
	return true;
}

/**
 * espudp_segment_transport() - leave the IP header out (RFC 4303 section 3.1.1)
 * @s: from espudp_segment_init()
 * @upper: offset of the upper layer header
 * @proto: upper layer protocol
 * @oa: addresses that the packet has, and those that its checksum shall be over
 */
void espudp_segment_transport(struct espudp_segment *s, unsigned int upper, u8 proto,
			      const struct espudp_natoa *oa)
{
	s->skip = s->family == AF_INET ? ip_hdrlen(s->skb) : sizeof(struct ipv6hdr);
	s->upper = upper;
	s->proto = proto;
	s->oa = oa;
	s->diff = espudp_natoa_diff(oa);
}

/**
 * espudp_segment_fragment() - cut into IPv4 fragments instead
 * @s: from espudp_segment_init(), of an IPv4 packet, not GSO
 * @mtu: octets of the largest fragment
 *
 * Return: false if this packet cannot be cut here: it has options, which not
 * every fragment may repeat.
 */
bool espudp_segment_fragment(struct espudp_segment *s, unsigned int mtu)
{
	struct sk_buff *skb = s->skb;

	if (ip_hdr(skb)->ihl != 5 || mtu < sizeof(struct iphdr) + 8)
		return false;
	if (skb->ip_summed == CHECKSUM_PARTIAL) {
		unsigned int start = skb_checksum_start_offset(skb);

		s->sum = csum_fold(skb_checksum(skb, start, s->total - start, 0));
		if (!s->sum)
			s->sum = CSUM_MANGLED_0;
	}
	s->frag = true;
	s->hlen = sizeof(struct iphdr);
	s->off = s->hlen;
	s->part_max = ALIGN_DOWN(mtu - sizeof(struct iphdr), 8);
	set_part(s);
	return true;
}

static void fix_ip(const struct espudp_segment *s, u8 *to)
{
	if (s->family == AF_INET) {
		struct iphdr *ip = (struct iphdr *)to;

		ip->tot_len = htons(s->len);
		if (s->gso && !(skb_shinfo(s->skb)->gso_type & SKB_GSO_TCP_FIXEDID))
			ip->id = htons(ntohs(ip->id) + s->index);
		ip->check = 0;
		ip->check = ip_fast_csum(to, ip->ihl);
	} else {
		((struct ipv6hdr *)to)->payload_len = htons(s->len - sizeof(struct ipv6hdr));
	}
}

static __sum16 l4_sum(const struct espudp_segment *s, const u8 *th, u8 proto, __wsum sum)
{
	const struct ipv6hdr *ip6 = ipv6_hdr(s->skb);
	const struct iphdr *ip = ip_hdr(s->skb);
	unsigned int len = s->len - s->th;

	sum = csum_add(sum, csum_partial(th, s->hlen - s->th, 0));
	if (s->family == AF_INET)
		return csum_tcpudp_magic(ip->saddr, ip->daddr, len, proto, sum);
	return csum_ipv6_magic(&ip6->saddr, &ip6->daddr, len, proto, sum);
}

static bool copy_gso(const struct espudp_segment *s, u8 *to)
{
	bool last = s->off + s->part == s->total;
	u8 *l4 = to + s->th - s->skip;
	__wsum sum;

	memcpy(to, s->skb->data + s->skip, s->hlen - s->skip);
	sum = skb_copy_and_csum_bits(s->skb, s->off, to + s->hlen - s->skip, s->part);
	if (!s->skip)
		fix_ip(s, to);
	if (skb_shinfo(s->skb)->gso_type & SKB_GSO_UDP_L4) {
		struct udphdr *uh = (struct udphdr *)l4;

		uh->len = htons(s->len - s->th);
		if (uh->check) {
			uh->check = 0;
			uh->check = l4_sum(s, l4, IPPROTO_UDP, sum) ?: CSUM_MANGLED_0;
		}
	} else {
		struct tcphdr *th = (struct tcphdr *)l4;

		th->seq = htonl(ntohl(th->seq) + (s->off - s->hlen));
		if (!last) {
			th->fin = 0;
			th->psh = 0;
		}
		if (s->index)
			th->cwr = 0;
		th->check = 0;
		th->check = l4_sum(s, l4, IPPROTO_TCP, sum);
	}
	return true;
}

static bool copy_frag(const struct espudp_segment *s, u8 *to)
{
	const struct sk_buff *skb = s->skb;
	struct iphdr *ip = (struct iphdr *)to;
	u16 frag = ntohs(ip_hdr(skb)->frag_off);
	bool last = s->off + s->part == s->total;

	memcpy(to, skb->data, s->hlen);
	if (skb_copy_bits(skb, s->off, to + s->hlen, s->part))
		return false;
	ip->frag_off = htons((frag & ~IP_MF) + (s->off - s->hlen) / 8);
	if (!last || frag & IP_MF)
		ip->frag_off |= htons(IP_MF);
	fix_ip(s, to);
	if (s->sum && !s->index) {
		unsigned int at = skb_checksum_start_offset(skb) + skb->csum_offset;

		if (at + sizeof(s->sum) > s->len)
			return false;
		*(__sum16 *)(to + at) = s->sum;
	}
	return true;
}

static bool copy_whole(const struct espudp_segment *s, u8 *to)
{
	struct sk_buff *skb = s->skb;
	unsigned int start, at;

	if (skb->ip_summed != CHECKSUM_PARTIAL)
		return !skb_copy_bits(skb, s->skip, to, s->total - s->skip);

	start = skb_checksum_start_offset(skb);
	at = start + skb->csum_offset;
	if (start < s->skip || start > s->total || at + sizeof(__sum16) > s->total ||
	    skb_copy_bits(skb, s->skip, to, start - s->skip))
		return false;
	to -= s->skip;	/* offsets are the packet's */
	*(__sum16 *)(to + at) =
		csum_fold(skb_copy_and_csum_bits(skb, start, to + start, s->total - start)) ?:
		CSUM_MANGLED_0;
	return true;
}

/* The peer expects checksums, and packets that ICMP errors quote, with the
 * addresses that it knows.
 */
static bool fix_transport(const struct espudp_segment *s, u8 *to)
{
	unsigned int len = s->len - s->upper;
	u8 *upper = to + s->upper - s->skip;

	if (espudp_natoa_icmp_error(upper, len, s->proto, s->oa, &s->oa->dst[1], &s->oa->src[1]))
		return true;
	return espudp_natoa_fix(upper, len, s->proto, s->diff);
}

/**
 * espudp_segment_copy() - copy a segment
 * @s: segment
 * @to: @s->len octets of memory of our own, less @s->skip
 *
 * Return: false if the packet is malformed.
 */
bool espudp_segment_copy(const struct espudp_segment *s, u8 *to)
{
	bool ok;

	if (s->gso)
		ok = copy_gso(s, to);
	else if (s->frag)
		ok = copy_frag(s, to);
	else
		ok = copy_whole(s, to);
	return ok && (!s->skip || fix_transport(s, to));
}

/**
 * espudp_segment_next() - go on to the next segment
 * @s: segment
 *
 * Return: false if there is none.
 */
bool espudp_segment_next(struct espudp_segment *s)
{
	s->off += s->part;
	if (s->off >= s->total)
		return false;
	s->index++;
	set_part(s);
	return true;
}
