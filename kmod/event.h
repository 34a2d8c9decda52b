/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _ESPUDP_EVENT_H
#define _ESPUDP_EVENT_H

#include <uapi/linux/espudp.h>
#include <linux/types.h>

struct espudp_dev;
struct espudp_peer;
struct espudp_sa;
struct espudp_endpoint;
struct net;
struct sk_buff;

/* All may be called from softirq and never sleep; an event that cannot be
 * allocated or delivered is lost, which a dump makes good.
 */
void espudp_event_sa(struct espudp_sa *sa, enum espudp_event_type type,
		     enum espudp_expire_cause cause, u64 count);
void espudp_event_mapping(struct espudp_peer *peer, const struct espudp_endpoint *old,
			  const struct espudp_endpoint *now, u32 lost);
void espudp_event_acquire(struct espudp_peer *peer, u32 lost);
void espudp_event_socket_lost(struct espudp_dev *edev);
void espudp_event_ike(struct espudp_dev *edev, struct net *net, const struct sk_buff *skb);

#endif
