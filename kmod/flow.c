// SPDX-License-Identifier: GPL-2.0
/* What selectors look at in a packet, and whether a packet matches one. */
#include <linux/netlink.h>
#include <linux/skbuff.h>
#include <net/ip.h>
#include <net/ipv6.h>
#include "flow.h"
#include "peer.h"
#include "select.h"

#define EXTHDRS_MAX 16		/* IPv6 extension headers worth reading */

static bool has_ports(u8 proto)
{
	switch (proto) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE:
	case IPPROTO_SCTP:
	case IPPROTO_DCCP:
		return true;
	}
	return false;
}

/* Length of IPv4 header and options; 0 if malformed. */
static unsigned int parse4(struct sk_buff *skb, struct espudp_flow *flow,
			   struct in6_addr *src, struct in6_addr *dst, unsigned int *end)
{
	const struct iphdr *iph = ip_hdr(skb);
	unsigned int len = iph->ihl * 4;

	*end = ntohs(iph->tot_len);
	if (len < sizeof(*iph) || len > *end || *end > skb->len)
		return 0;
	if (!pskb_may_pull(skb, len))
		return 0;

	iph = ip_hdr(skb);
	src->s6_addr32[0] = iph->saddr;
	dst->s6_addr32[0] = iph->daddr;
	flow->family = AF_INET;
	flow->proto = iph->protocol;
	flow->frag = ip_is_fragment(iph);
	return len;
}

/* Unlike ipv6_skip_exthdr() this stops at AH, which is an upper layer protocol
 * to RFC 4301 section 4.4.1.1, and knows what comes behind a later fragment's
 * header.
 */
static unsigned int skip_exthdrs(struct sk_buff *skb, struct espudp_flow *flow,
				 unsigned int off, unsigned int end)
{
	const struct {
		u8 next;
		u8 len;
		__be16 frag;
	} *h;
	int i;

	for (i = 0; i < EXTHDRS_MAX; i++) {
		switch (flow->proto) {
		case IPPROTO_HOPOPTS:
		case IPPROTO_ROUTING:
		case IPPROTO_DSTOPTS:
		case IPPROTO_FRAGMENT:
			break;
		default:
			return off;
		}
		if (!pskb_may_pull(skb, off + sizeof(*h)))
			return 0;
		h = (const void *)skb->data + off;
		off += 8;
		if (flow->proto == IPPROTO_FRAGMENT) {
			if (h->frag & htons(IP6_OFFSET | IP6_MF))
				flow->frag = true;
		} else {
			off += h->len * 8;
		}
		if (off > end)
			return 0;
		if (flow->proto == IPPROTO_FRAGMENT && h->frag & htons(IP6_OFFSET)) {
			flow->proto = h->next;
			return off;
		}
		flow->proto = h->next;
	}
	return 0;
}

/* Length of all IPv6 headers; 0 if malformed, or a jumbogram, which ends before
 * its hop-by-hop options if its length of zero is believed.
 */
static unsigned int parse6(struct sk_buff *skb, struct espudp_flow *flow,
			   struct in6_addr *src, struct in6_addr *dst, unsigned int *end)
{
	const struct ipv6hdr *ip6h;

	if (!pskb_may_pull(skb, sizeof(*ip6h)))
		return 0;
	ip6h = ipv6_hdr(skb);
	*end = sizeof(*ip6h) + ntohs(ip6h->payload_len);
	if (*end > skb->len)
		return 0;

	*src = ip6h->saddr;
	*dst = ip6h->daddr;
	flow->family = AF_INET6;
	flow->proto = ip6h->nexthdr;
	return skip_exthdrs(skb, flow, sizeof(*ip6h), *end);
}

/**
 * espudp_select_parse() - read what selectors look at in an inner packet
 * @skb: begins with, and has its network header at, an IP header
 * @out: the source is local; else the destination
 * @flow: filled in
 *
 * On success all headers up to ports are in the linear part, where nobody changes
 * them once they were looked at; the packet is not longer than skb->len, perhaps shorter.
 *
 * Return: false if the packet is malformed.
 */
bool espudp_select_parse(struct sk_buff *skb, bool out, struct espudp_flow *flow)
{
	struct in6_addr *src = out ? &flow->local : &flow->remote;
	struct in6_addr *dst = out ? &flow->remote : &flow->local;
	unsigned int off, end;
	const __be16 *ports;

	memset(flow, 0, sizeof(*flow));
	if (!pskb_may_pull(skb, sizeof(struct iphdr)))
		return false;
	switch (ip_hdr(skb)->version) {
	case 4:
		off = parse4(skb, flow, src, dst, &end);
		break;
	case 6:
		off = parse6(skb, flow, src, dst, &end);
		break;
	default:
		return false;
	}
	if (!off)
		return false;
	flow->upper = off;
	if (flow->frag || !has_ports(flow->proto))
		return true;

	if (end - off < 2 * sizeof(*ports) || !pskb_may_pull(skb, off + 2 * sizeof(*ports)))
		return false;
	ports = (const void *)skb->data + off;
	flow->ports = true;
	flow->local_port = out ? ports[0] : ports[1];
	flow->remote_port = out ? ports[1] : ports[0];
	return true;
}

static bool addr_within(u8 family, const struct in6_addr *a, const struct in6_addr *range)
{
	if (family == AF_INET) {
		u32 x = ntohl(a->s6_addr32[0]);

		return x >= ntohl(range[0].s6_addr32[0]) && x <= ntohl(range[1].s6_addr32[0]);
	}
	return ipv6_addr_cmp(a, &range[0]) >= 0 && ipv6_addr_cmp(a, &range[1]) <= 0;
}

/* In transport mode a selector's addresses mean the two ends, wherever they are
 * by now, and so the packet's; what it says of protocol and ports counts.
 */
static bool sel_addrs(const struct espudp_peer *peer, const struct espudp_sel *sel,
		      const struct espudp_flow *flow)
{
	if (sel->family != flow->family)
		return false;
	return peer->mode == ESPUDP_MODE_TRANSPORT ||
	       (addr_within(flow->family, &flow->remote, sel->remote) &&
		addr_within(flow->family, &flow->local, sel->local));
}

/**
 * espudp_select_match() - do a peer's selectors cover this packet?
 * @peer: owner of the SA that brought it (RFC 4301 section 5.2), or that has the
 *	virtual address it goes to
 * @flow: the inner packet
 *
 * Context: RCU read side.
 * Return: 1 yes, 0 no, -EAGAIN if only the reassembled datagram can tell.
 */
int espudp_select_match(const struct espudp_peer *peer, const struct espudp_flow *flow)
{
	const struct espudp_sels *sels = rcu_dereference(peer->sels);
	unsigned int i;
	int ret = 0;

	for (i = 0; sels && i < sels->n; i++) {
		const struct espudp_sel *sel = &sels->sel[i];
		int m;

		if (!sel_addrs(peer, sel, flow))
			continue;
		m = espudp_flow_upper(flow, sel->proto, sel->lport, sel->rport);
		if (m > 0)
			return m;
		if (m)
			ret = m;
	}
	return ret;
}

/**
 * espudp_flow_check() - is this a selector?
 * @sel: selector, as configured
 * @extack: told why not
 *
 * Return: 0 or -EINVAL.
 */
int espudp_flow_check(const struct espudp_sel *sel, struct netlink_ext_ack *extack)
{
	int i, j;

	if (sel->family != AF_INET && sel->family != AF_INET6) {
		NL_SET_ERR_MSG(extack, "selector is neither IPv4 nor IPv6");
		return -EINVAL;
	}
	for (i = 0; sel->family == AF_INET && i < 2; i++) {
		for (j = 1; j < 4; j++) {
			if (sel->local[i].s6_addr32[j] || sel->remote[i].s6_addr32[j]) {
				NL_SET_ERR_MSG(extack, "selector mixes IPv4 and IPv6 addresses");
				return -EINVAL;
			}
		}
	}
	if (ipv6_addr_cmp(&sel->local[0], &sel->local[1]) > 0 ||
	    ipv6_addr_cmp(&sel->remote[0], &sel->remote[1]) > 0) {
		NL_SET_ERR_MSG(extack, "selector's address range ends before it begins");
		return -EINVAL;
	}
	if (sel->lport[0] > sel->lport[1] || sel->rport[0] > sel->rport[1]) {
		NL_SET_ERR_MSG(extack, "selector's port range ends before it begins");
		return -EINVAL;
	}
	if (!has_ports(sel->proto) && !espudp_flow_any_ports(sel->lport, sel->rport)) {
		NL_SET_ERR_MSG(extack, "ports need protocol TCP, UDP, UDP-Lite, SCTP or DCCP");
		return -EINVAL;
	}
	return 0;
}

/**
 * espudp_flow_range_start() - begin to split a range into prefixes
 * @r: set up; nothing to free
 * @family: AF_INET or AF_INET6
 * @ends: first and last address
 */
void espudp_flow_range_start(struct espudp_flow_range *r, u8 family,
			     const struct in6_addr *ends)
{
	r->next = ends[0];
	r->to = ends[1];
	r->bits = espudp_flow_bits(family);
	r->done = false;
}

/**
 * espudp_flow_range_next() - find the next prefix of a range
 * @r: range
 *
 * Takes the largest block that begins where the last one ended.
 *
 * Return: false if there is none.
 */
bool espudp_flow_range_next(struct espudp_flow_range *r)
{
	struct in6_addr last = r->next;
	unsigned int i;

	if (r->done)
		return false;
	r->prefix = r->next;
	for (r->plen = r->bits; r->plen; r->plen--) {
		struct in6_addr wider = last;
		u8 bit = 0x80 >> ((r->plen - 1) % 8);

		i = (r->plen - 1) / 8;
		if (r->prefix.s6_addr[i] & bit)
			break;
		wider.s6_addr[i] |= bit;
		if (ipv6_addr_cmp(&wider, &r->to) > 0)
			break;
		last = wider;
	}

	r->done = ipv6_addr_equal(&last, &r->to);
	r->next = last;
	for (i = r->bits / 8; i && !++r->next.s6_addr[i - 1]; i--)
		;
	return true;
}

/**
 * espudp_flow_range_count() - number of prefixes that a range splits into
 * @family: AF_INET or AF_INET6
 * @ends: first and last address
 *
 * Return: at most 62 for IPv4 and 254 for IPv6.
 */
unsigned int espudp_flow_range_count(u8 family, const struct in6_addr *ends)
{
	struct espudp_flow_range r;
	unsigned int n = 0;

	espudp_flow_range_start(&r, family, ends);
	while (espudp_flow_range_next(&r))
		n++;
	return n;
}
