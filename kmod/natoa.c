// SPDX-License-Identifier: GPL-2.0
/* Transport checksums of packets whose addresses a NAT, or we, have changed:
 * RFC 3948 section 3.1.2. All of it works in memory of our own.
 */
#include <linux/dccp.h>
#include <linux/icmp.h>
#include <linux/icmpv6.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <net/checksum.h>
#include <net/ip6_checksum.h>
#include <net/ipv6.h>
#include "natoa.h"

/* Where the checksum is, if it is over a pseudo header; else NULL. False in
 * @ok if the packet ends before.
 */
static __sum16 *sum_of(u8 *l4, unsigned int len, u8 proto, bool *ok)
{
	unsigned int at;

	switch (proto) {
	case IPPROTO_TCP:
		*ok = len >= sizeof(struct tcphdr);
		at = offsetof(struct tcphdr, check);
		break;
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE:
		*ok = len >= sizeof(struct udphdr);
		at = offsetof(struct udphdr, check);
		break;
	case IPPROTO_DCCP:
		*ok = len >= sizeof(struct dccp_hdr);
		at = offsetof(struct dccp_hdr, dccph_checksum);
		break;
	case IPPROTO_ICMPV6:
		*ok = len >= sizeof(struct icmp6hdr);
		at = offsetof(struct icmp6hdr, icmp6_cksum);
		break;
	default:
		*ok = true;
		return NULL;
	}
	return *ok ? (__sum16 *)(l4 + at) : NULL;
}

/**
 * espudp_natoa_diff() - what a change of addresses does to a checksum
 * @n: addresses before and after
 *
 * Return: to be given to espudp_natoa_fix().
 */
__wsum espudp_natoa_diff(const struct espudp_natoa *n)
{
	int size = n->family == AF_INET ? 4 : 16;
	__wsum sum = csum_partial(&n->src[1], size, csum_partial(&n->dst[1], size, 0));

	sum = csum_sub(sum, csum_partial(&n->src[0], size, 0));
	return csum_sub(sum, csum_partial(&n->dst[0], size, 0));
}

/**
 * espudp_natoa_fix() - make a checksum right for other addresses
 * @l4: header behind the IP header, in memory of our own
 * @len: octets from there on
 * @proto: protocol
 * @diff: from espudp_natoa_diff()
 *
 * A UDP checksum of zero stays zero, a wrong one wrong.
 *
 * Return: false if the packet is too short for its protocol.
 */
bool espudp_natoa_fix(u8 *l4, unsigned int len, u8 proto, __wsum diff)
{
	bool ok;
	__sum16 *sum = sum_of(l4, len, proto, &ok);

	if (!sum || (proto == IPPROTO_UDP && !*sum))
		return ok;
	*sum = csum_fold(csum_add(csum_unfold(~*sum), diff));
	if (!*sum && (proto == IPPROTO_UDP || proto == IPPROTO_UDPLITE))
		*sum = CSUM_MANGLED_0;
	return true;
}

static __sum16 pseudo(const struct sk_buff *skb, u8 family, unsigned int len, u8 proto,
		      __wsum sum)
{
	const struct iphdr *ip = ip_hdr(skb);
	const struct ipv6hdr *ip6 = ipv6_hdr(skb);

	if (family == AF_INET)
		return csum_tcpudp_magic(ip->saddr, ip->daddr, len, proto, sum);
	return csum_ipv6_magic(&ip6->saddr, &ip6->daddr, len, proto, sum);
}

/* Octets that a checksum covers; 0 if the header is wrong. */
static unsigned int coverage(const u8 *l4, unsigned int len, u8 proto)
{
	const struct udphdr *uh = (const struct udphdr *)l4;
	const struct dccp_hdr *dh = (const struct dccp_hdr *)l4;
	unsigned int n;

	switch (proto) {
	case IPPROTO_UDP:
		n = ntohs(uh->len);
		return n >= sizeof(*uh) && n <= len ? n : 0;
	case IPPROTO_UDPLITE:
		n = ntohs(uh->len) ?: len;
		return n >= sizeof(*uh) && n <= len ? n : 0;
	case IPPROTO_DCCP:
		n = dh->dccph_doff * 4;
		if (dh->dccph_cscov)
			n += (dh->dccph_cscov - 1) * 4;
		else
			n = len;
		return n >= sizeof(*dh) && n <= len ? n : 0;
	}
	return len;
}

/**
 * espudp_natoa_make() - make a checksum anew
 * @skb: linear, in memory of our own, trimmed to its IP length, its IP header
 *	has the addresses that it will go on with
 * @off: offset of the header behind the IP header
 * @proto: protocol
 * @family: AF_INET or AF_INET6
 *
 * What the peer computed was over addresses that are not known (RFC 3948
 * section 3.1.2, second option); ESP has vouched for the payload. TCP and UDP are
 * left to whoever needs it (CHECKSUM_PARTIAL).
 *
 * Return: false if the packet is malformed.
 */
bool espudp_natoa_make(struct sk_buff *skb, unsigned int off, u8 proto, u8 family)
{
	unsigned int covered, len = skb->len - off;
	u8 *l4 = skb->data + off;
	bool ok;
	__sum16 *sum = sum_of(l4, len, proto, &ok);

	if (!sum || (proto == IPPROTO_UDP && !*sum))
		return ok;
	covered = coverage(l4, len, proto);
	if (!covered)
		return false;
	if ((proto == IPPROTO_TCP || proto == IPPROTO_UDP) && covered == len) {
		*sum = ~pseudo(skb, family, len, proto, 0);
		skb->ip_summed = CHECKSUM_PARTIAL;
		skb->csum_start = skb_headroom(skb) + off;
		skb->csum_offset = (u8 *)sum - l4;
		return true;
	}
	*sum = 0;
	*sum = pseudo(skb, family, proto == IPPROTO_UDP ? covered : len, proto,
		      csum_partial(l4, covered, 0));
	if (!*sum && proto != IPPROTO_ICMPV6)
		*sum = CSUM_MANGLED_0;
	return true;
}

/**
 * espudp_natoa_icmp_error() - translate the packet that an ICMP error quotes
 * @l4: ICMP header, in memory of our own
 * @len: octets from there on
 * @proto: protocol
 * @n: addresses of the error itself; ICMPv6's checksum is over those it gets
 * @quoted_src: source of the quoted packet as its sender knows it
 * @quoted_dst: likewise the destination
 *
 * What is no ICMP error stays as it is.
 *
 * Return: true if it was one, its checksum is right now.
 */
bool espudp_natoa_icmp_error(u8 *l4, unsigned int len, u8 proto, const struct espudp_natoa *n,
			     const struct in6_addr *quoted_src,
			     const struct in6_addr *quoted_dst)
{
	if (proto == IPPROTO_ICMP && n->family == AF_INET) {
		struct icmphdr *icmp = (struct icmphdr *)l4;
		struct iphdr *ip = (struct iphdr *)(icmp + 1);

		if (len < sizeof(*icmp) + sizeof(*ip) || !icmp_is_err(icmp->type) ||
		    ip->ihl < 5 || len < sizeof(*icmp) + ip->ihl * 4)
			return false;
		ip->saddr = quoted_src->s6_addr32[0];
		ip->daddr = quoted_dst->s6_addr32[0];
		ip->check = 0;
		ip->check = ip_fast_csum(ip, ip->ihl);
		icmp->checksum = 0;
		icmp->checksum = csum_fold(csum_partial(icmp, len, 0));
		return true;
	}
	if (proto == IPPROTO_ICMPV6 && n->family == AF_INET6) {
		struct icmp6hdr *icmp = (struct icmp6hdr *)l4;
		struct ipv6hdr *ip6 = (struct ipv6hdr *)(icmp + 1);

		if (len < sizeof(*icmp) + sizeof(*ip6) || icmp->icmp6_type >= ICMPV6_INFOMSG_MASK)
			return false;
		ip6->saddr = *quoted_src;
		ip6->daddr = *quoted_dst;
		icmp->icmp6_cksum = 0;
		icmp->icmp6_cksum = csum_ipv6_magic(&n->src[1], &n->dst[1], len, IPPROTO_ICMPV6,
						    csum_partial(icmp, len, 0));
		return true;
	}
	return false;
}
