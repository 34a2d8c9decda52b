// SPDX-License-Identifier: GPL-2.0
/* Messages to the groups events and ike. */
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>
#include <net/net_namespace.h>
#include "dev.h"
#include "event.h"
#include "netlink.h"
#include "netlink-gen.h"
#include "peer.h"
#include "sa.h"

/* More than an event can have in it. */
#define EVENT_SIZE 512

/**
 * struct event - a message being made
 * @net: namespace that is told, a reference
 * @group: who is told there
 * @msg: message
 * @hdr: its generic netlink header
 * @nest: ESPUDP_A_EVENT
 */
struct event {
	struct net *net;
	unsigned int group;
	struct sk_buff *msg;
	void *hdr;
	struct nlattr *nest;
};

/* The device may be on its way to another namespace, its old one on its way
 * out: a reference keeps the netlink socket.
 */
static struct net *listening_net(const struct net_device *dev)
{
	struct net *net;

	rcu_read_lock();
	net = maybe_get_net(dev_net(dev));
	rcu_read_unlock();
	if (net && !genl_has_listeners(&espudp_genl_family, net, ESPUDP_NLGRP_EVENTS)) {
		put_net(net);
		net = NULL;
	}
	return net;
}

static int put_peer(struct sk_buff *msg, const struct espudp_peer *peer)
{
	char name[ESPUDP_NAME_LEN];

	if (!peer)
		return 0;
	/* Somebody may be changing it. */
	memcpy(name, peer->name, sizeof(name));
	name[sizeof(name) - 1] = 0;
	if (nla_put_u32(msg, ESPUDP_A_EVENT_PEER, peer->id) ||
	    (name[0] && nla_put_string(msg, ESPUDP_A_EVENT_NAME, name)))
		return -EMSGSIZE;
	return nla_put_u64_64bit(msg, ESPUDP_A_EVENT_COOKIE, READ_ONCE(peer->cookie),
				 ESPUDP_A_EVENT_PAD);
}

/* Where a device is no longer, its index may be another's. */
static int put_dev(const struct event *e, const struct net_device *dev)
{
	char name[IFNAMSIZ];

	if (net_eq(dev_net(dev), e->net))
		return espudp_netlink_put_dev(e->msg, dev);
	strscpy(name, dev->name, sizeof(name));
	return nla_put_string(e->msg, ESPUDP_A_IFNAME, name);
}

/* True if the message has its first attributes; else the reference is dropped. */
static bool event_start(struct event *e, const struct espudp_dev *edev,
			enum espudp_event_type type, const struct espudp_peer *peer)
{
	e->msg = genlmsg_new(EVENT_SIZE, GFP_ATOMIC);
	if (!e->msg)
		goto lost;
	e->hdr = genlmsg_put(e->msg, 0, 0, &espudp_genl_family, 0, ESPUDP_CMD_EVENT);
	if (!e->hdr || put_dev(e, edev->dev))
		goto free;
	e->nest = nla_nest_start(e->msg, ESPUDP_A_EVENT);
	if (!e->nest || nla_put_u8(e->msg, ESPUDP_A_EVENT_TYPE, type) || put_peer(e->msg, peer))
		goto free;
	return true;

free:
	nlmsg_free(e->msg);
lost:
	/* Listeners learn that they missed something, as from a full buffer. */
	genl_set_err(&espudp_genl_family, e->net, 0, e->group, -ENOBUFS);
	put_net(e->net);
	return false;
}

/* True if somebody listens and the message has its first attributes. */
static bool event_begin(struct event *e, const struct espudp_dev *edev,
			enum espudp_event_type type, const struct espudp_peer *peer)
{
	e->net = listening_net(edev->dev);
	e->group = ESPUDP_NLGRP_EVENTS;
	return e->net && event_start(e, edev, type, peer);
}

static void event_end(struct event *e, int err)
{
	if (err) {
		nlmsg_free(e->msg);
	} else {
		nla_nest_end(e->msg, e->nest);
		genlmsg_end(e->msg, e->hdr);
		genlmsg_multicast_netns(&espudp_genl_family, e->net, e->msg, 0, e->group,
					GFP_ATOMIC);
	}
	put_net(e->net);
}

/**
 * espudp_event_sa() - tell about an SA
 * @sa: SA
 * @type: what happened
 * @cause: which lifetime, of an expiry
 * @count: failures, of failed checks
 *
 * Context: any.
 */
void espudp_event_sa(struct espudp_sa *sa, enum espudp_event_type type,
		     enum espudp_expire_cause cause, u64 count)
{
	bool expire = type == ESPUDP_EVENT_TYPE_EXPIRE_SOFT ||
		      type == ESPUDP_EVENT_TYPE_EXPIRE_HARD;
	struct event e;
	int err = 0;

	if (!event_begin(&e, sa->edev, type, sa->peer))
		return;
	if (nla_put_u32(e.msg, ESPUDP_A_EVENT_SPI, be32_to_cpu(sa->spi)) ||
	    nla_put_u8(e.msg, ESPUDP_A_EVENT_DIR, sa->dir) ||
	    (expire && nla_put_u8(e.msg, ESPUDP_A_EVENT_CAUSE, cause)) ||
	    (count && nla_put_u64_64bit(e.msg, ESPUDP_A_EVENT_COUNT, count, ESPUDP_A_EVENT_PAD)))
		err = -EMSGSIZE;
	event_end(&e, err);
}

static int put_remote(struct sk_buff *msg, int addr, int port, const struct espudp_endpoint *ep)
{
	if (!ep->has_remote)
		return 0;
	if (nla_put(msg, addr, espudp_addr_len(ep->family), &ep->remote))
		return -EMSGSIZE;
	return nla_put_u16(msg, port, be16_to_cpu(ep->remote_port));
}

/**
 * espudp_event_mapping() - tell that a peer's outer address has changed
 * @peer: peer
 * @old: before
 * @now: after
 * @lost: changes that were not told since the last such event
 *
 * Context: any.
 */
void espudp_event_mapping(struct espudp_peer *peer, const struct espudp_endpoint *old,
			  const struct espudp_endpoint *now, u32 lost)
{
	struct event e;
	int err = 0;

	if (!event_begin(&e, peer->edev, ESPUDP_EVENT_TYPE_MAPPING, peer))
		return;
	if (put_remote(e.msg, ESPUDP_A_EVENT_OLD_REMOTE, ESPUDP_A_EVENT_OLD_REMOTE_PORT, old) ||
	    put_remote(e.msg, ESPUDP_A_EVENT_REMOTE, ESPUDP_A_EVENT_REMOTE_PORT, now) ||
	    (lost && nla_put_u32(e.msg, ESPUDP_A_EVENT_LOST, lost)))
		err = -EMSGSIZE;
	event_end(&e, err);
}

/**
 * espudp_event_acquire() - tell that a peer has traffic and no usable SA
 * @peer: peer
 * @lost: events not told since the last such event
 *
 * Context: any.
 */
void espudp_event_acquire(struct espudp_peer *peer, u32 lost)
{
	struct event e;

	if (!event_begin(&e, peer->edev, ESPUDP_EVENT_TYPE_ACQUIRE, peer))
		return;
	event_end(&e, lost ? nla_put_u32(e.msg, ESPUDP_A_EVENT_LOST, lost) : 0);
}

/**
 * espudp_event_socket_lost() - tell that an adopted socket is gone
 * @edev: device
 *
 * Context: any.
 */
void espudp_event_socket_lost(struct espudp_dev *edev)
{
	struct event e;

	if (event_begin(&e, edev, ESPUDP_EVENT_TYPE_SOCKET_LOST, NULL))
		event_end(&e, 0);
}

/* RFC 7296 section 3.1, and RFC 2408 section 3.1. */
struct ike_hdr {
	__be64 spi_i;
	__be64 spi_r;
	u8 next_payload;
	u8 version;
	u8 exchange;
	u8 flags;
	__be32 message_id;
	__be32 length;
} __packed;

#define IKE_AT (sizeof(struct udphdr) + 4)	/* behind the non-ESP marker */

static int put_ends(struct sk_buff *msg, const struct sk_buff *skb)
{
	const struct ipv6hdr *ip6 = ipv6_hdr(skb);
	const struct iphdr *ip = ip_hdr(skb);
	bool v4 = ip->version == 4;
	unsigned int len = v4 ? sizeof(ip->saddr) : sizeof(ip6->saddr);

	if (nla_put(msg, ESPUDP_A_EVENT_REMOTE, len, v4 ? (void *)&ip->saddr : &ip6->saddr) ||
	    nla_put(msg, ESPUDP_A_EVENT_LOCAL, len, v4 ? (void *)&ip->daddr : &ip6->daddr) ||
	    nla_put_u16(msg, ESPUDP_A_EVENT_REMOTE_PORT, be16_to_cpu(udp_hdr(skb)->source)))
		return -EMSGSIZE;
	return nla_put_u16(msg, ESPUDP_A_EVENT_LOCAL_PORT, be16_to_cpu(udp_hdr(skb)->dest));
}

static int put_ike(struct sk_buff *msg, const struct sk_buff *skb)
{
	struct ike_hdr _ike, *ike = skb_header_pointer(skb, IKE_AT, sizeof(_ike), &_ike);

	if (nla_put_u32(msg, ESPUDP_A_EVENT_LENGTH, skb->len - IKE_AT))
		return -EMSGSIZE;
	if (!ike)
		return 0;
	if (nla_put_u64_64bit(msg, ESPUDP_A_EVENT_INITIATOR_SPI, be64_to_cpu(ike->spi_i),
			      ESPUDP_A_EVENT_PAD) ||
	    nla_put_u64_64bit(msg, ESPUDP_A_EVENT_RESPONDER_SPI, be64_to_cpu(ike->spi_r),
			      ESPUDP_A_EVENT_PAD) ||
	    nla_put_u8(msg, ESPUDP_A_EVENT_VERSION, ike->version) ||
	    nla_put_u8(msg, ESPUDP_A_EVENT_EXCHANGE, ike->exchange) ||
	    nla_put_u8(msg, ESPUDP_A_EVENT_IKE_FLAGS, ike->flags))
		return -EMSGSIZE;
	return nla_put_u32(msg, ESPUDP_A_EVENT_MESSAGE_ID, be32_to_cpu(ike->message_id));
}

/**
 * espudp_event_ike() - tell of an IKE datagram, if somebody listens
 * @edev: device
 * @net: namespace of the socket it came to; not the device's, who may be a stranger
 * @skb: datagram, data at its UDP header, behind that the non-ESP marker
 *
 * Of its header only. Anybody may send such datagrams, so not of all.
 *
 * Context: softirq, RCU read side.
 */
void espudp_event_ike(struct espudp_dev *edev, struct net *net, const struct sk_buff *skb)
{
	struct event e = { .group = ESPUDP_NLGRP_IKE };
	u32 lost;
	int err;

	if (likely(!genl_has_listeners(&espudp_genl_family, net, ESPUDP_NLGRP_IKE))) {
		/* Who listens next did not miss these. */
		if (unlikely(atomic_read(&edev->ike_lost)))
			atomic_set(&edev->ike_lost, 0);
		return;
	}
	if (!espudp_rate_allows(&edev->ike_rate, ESPUDP_IKE_RATE)) {
		atomic_inc(&edev->ike_lost);
		return;
	}
	lost = atomic_xchg(&edev->ike_lost, 0);
	e.net = maybe_get_net(net);
	if (!e.net || !event_start(&e, edev, ESPUDP_EVENT_TYPE_IKE, NULL))
		return;
	err = put_ends(e.msg, skb);
	if (!err)
		err = put_ike(e.msg, skb);
	if (!err && lost)
		err = nla_put_u32(e.msg, ESPUDP_A_EVENT_LOST, lost);
	event_end(&e, err);
}
