/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _ESPUDP_SEGMENT_H
#define _ESPUDP_SEGMENT_H

#include <linux/skbuff.h>
#include "natoa.h"

/**
 * struct espudp_segment - the part of a packet that is to be copied next
 * @skb: whole packet, data at its network header; only read
 * @total: octets of the IP packet
 * @len: octets of this segment with its headers
 * @hlen: octets of headers that each segment repeats, IP header included
 * @off: offset in @skb of what follows the headers
 * @part: octets of payload in this segment
 * @part_max: in all but the last
 * @index: of this segment
 * @th: offset of the TCP or UDP header (@gso)
 * @family: AF_INET or AF_INET6
 * @gso: TCP or UDP segments
 * @frag: IPv4 fragments
 * @skip: octets of the IP header, which transport mode does not copy
 * @upper: offset of the header behind it and IPv6's extension headers
 * @proto: of that header
 * @oa: transport mode, addresses that the packet has, and its checksum gets
 * @diff: what that does to the checksum
 * @sum: checksum of a packet with CHECKSUM_PARTIAL that is being fragmented
 */
struct espudp_segment {
	struct sk_buff *skb;
	unsigned int total;
	unsigned int len;
	unsigned int hlen;
	unsigned int off;
	unsigned int part;
	unsigned int part_max;
	unsigned int index;
	unsigned int th;
	u8 family;
	bool gso;
	bool frag;
	unsigned int skip;
	unsigned int upper;
	u8 proto;
	const struct espudp_natoa *oa;
	__wsum diff;
	__sum16 sum;
};

bool espudp_segment_init(struct espudp_segment *s, struct sk_buff *skb, unsigned int total);
void espudp_segment_transport(struct espudp_segment *s, unsigned int upper, u8 proto,
			      const struct espudp_natoa *oa);
bool espudp_segment_fragment(struct espudp_segment *s, unsigned int mtu);
bool espudp_segment_copy(const struct espudp_segment *s, u8 *to);
bool espudp_segment_next(struct espudp_segment *s);

/* Octets of the largest segment. */
static inline unsigned int espudp_segment_max(const struct espudp_segment *s)
{
	return s->gso ? s->hlen + min(s->part_max, s->total - s->hlen) : s->len;
}

#endif
