/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _ESPUDP_MERGE_H
#define _ESPUDP_MERGE_H

#include <linux/skbuff.h>

/**
 * struct espudp_merge - TCP segments that become one packet again
 * @skb: the first, what was added behind it; NULL if there is none
 * @last: what more is added to: @skb, or the last of its frag_list
 * @n: segments
 * @gso_size: octets of data in the first
 * @hlen: octets of its IP and TCP headers
 * @upper: offset of its TCP header
 * @next: sequence number of what would fit
 * @id: IPv4 identification of the first
 * @fixed_id: all have that; else it counts up
 * @closed: a shorter one or a push came; no more fit
 */
struct espudp_merge {
	struct sk_buff *skb;
	struct sk_buff *last;
	unsigned int n;
	unsigned int gso_size;
	unsigned int hlen;
	unsigned int upper;
	u32 next;
	u16 id;
	bool fixed_id;
	bool closed;
};

bool espudp_merge_begin(struct espudp_merge *m, struct sk_buff *skb, unsigned int upper);
bool espudp_merge_add(struct espudp_merge *m, __be16 protocol, void *ip, unsigned int len,
		      void *piece, unsigned int size);
struct sk_buff *espudp_merge_end(struct espudp_merge *m);

#endif
