/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _ESPUDP_GRO_H
#define _ESPUDP_GRO_H

#include <linux/skbuff.h>

struct espudp_sock;

void espudp_gro_attach(struct espudp_sock *es);
void espudp_gro_detach(struct espudp_sock *es);

/* Is a super-packet all ESP of one SPI? UDP alone makes none like it. */
static inline bool espudp_gro_marked(const struct sk_buff *skb)
{
	const unsigned int type = SKB_GSO_UDP_L4 | SKB_GSO_UDP_TUNNEL_CSUM;

	return (skb_shinfo(skb)->gso_type & type) == type;
}

#endif
