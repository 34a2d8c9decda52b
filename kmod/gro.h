/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _ESPUDP_GRO_H
#define _ESPUDP_GRO_H

#include <linux/skbuff.h>

struct espudp_sock;

void espudp_gro_attach(struct espudp_sock *es);
void espudp_gro_detach(struct espudp_sock *es);

/* Is that what a super-packet consists of, and no tunnel's packets around it? */
static inline bool espudp_gro_is(const struct sk_buff *skb, unsigned int type)
{
	return (skb_shinfo(skb)->gso_type & ~SKB_GSO_DODGY) == type && !skb->encapsulation;
}

/* Is a super-packet all ESP of one SPI? UDP alone makes none like it. */
static inline bool espudp_gro_marked(const struct sk_buff *skb)
{
	return espudp_gro_is(skb, SKB_GSO_UDP_L4 | SKB_GSO_UDP_TUNNEL_CSUM);
}

#endif
