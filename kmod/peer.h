/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _ESPUDP_PEER_H
#define _ESPUDP_PEER_H

#include <linux/kref.h>
#include <linux/list.h>
#include <linux/timer.h>
#include <linux/workqueue.h>
#include <net/dst_cache.h>
#include "limits.h"
#include "select.h"
#include "stats.h"

struct espudp_dev;
struct espudp_sa;
struct netlink_ext_ack;

/**
 * struct espudp_endpoint - outer addresses and remote port of a peer
 * @family: AF_INET or AF_INET6, of both addresses
 * @has_local: @local is set; else the route chooses
 * @has_remote: @remote is known
 * @remote_port: network byte order
 *
 * Immutable once published; replaced under the peer's lock, read under RCU.
 * Keeps the path MTU that an ICMP error taught, since a new path has its own.
 */
struct espudp_endpoint {
	struct rcu_head rcu;
	u8 family;
	bool has_local;
	bool has_remote;
	__be16 remote_port;
	struct in6_addr local;	/* IPv4 in the first word */
	struct in6_addr remote;
	u32 pmtu;		/* 0: not lowered; WRITE_ONCE */
	unsigned long pmtu_until;	/* jiffies */
};

/**
 * struct espudp_peer - one remote party
 * @ep: current outer addresses
 * @out: newest usable outbound SA, or NULL
 * @sels: traffic selectors, for the inbound check
 * @sas: all SAs, newest first; written under the device's lock
 * @lock: protects writers of @ep, @ep_gen and the timer against deletion
 * @ep_gen: generation of the SA that owns the endpoint
 * @tx_queued: octets of packets taken and not yet handed down
 * @last_rx: jiffies of the last authenticated packet; 0 for never
 * @last_tx: likewise of the last datagram sent
 * @dead: unlinked; nobody may start anything with it
 * @mapping_timer: tells of the last of @mapping_lost changes, after that to @told
 * @ike: name of the IKE SA, under the device's lock
 *
 * References: one from the device's table, one from each SA, one from each
 * packet queued for transmission. Freed after a grace period.
 */
struct espudp_peer {
	struct espudp_dev *edev;
	struct espudp_endpoint __rcu *ep;
	struct espudp_sa __rcu *out;
	struct espudp_sels __rcu *sels;
	struct dst_cache dst_cache;
	struct espudp_stats __percpu *stats;
	unsigned long made;	/* jiffies */
	unsigned long last_rx;
	unsigned long last_tx;
	atomic_t tx_queued;

	u32 id;
	u8 mode;
	u8 roaming;
	u8 role;
	u8 nat_local;
	u8 nat_remote;
	u8 virt_family;		/* 0: no virtual address */
	u16 keepalive;		/* seconds */
	u16 tfc;		/* octets */
	bool dead;
	bool keepalive_set;	/* asked for, not the default */
	bool virt_lost;		/* @virt is another peer's by now; WRITE_ONCE */
	bool renew;		/* moved; its selectors are to follow */
	struct in6_addr virt;	/* constant; IPv4 in the first word */

	spinlock_t lock;
	u32 ep_gen;
	unsigned long last_mapping_event;
	unsigned long last_acquire_event;
	u32 mapping_lost;
	u32 acquire_lost;

	struct list_head sas;
	unsigned int n_sas;
	struct timer_list keepalive_timer;
	struct timer_list mapping_timer;
	struct espudp_endpoint told;
	u32 serial;		/* for created/destroyed lines */
	struct kref ref;
	struct rcu_work free_work;
	u64 cookie;
	char name[ESPUDP_NAME_LEN];
	char ike[ESPUDP_NAME_LEN];
	struct espudp_drops drops;
};

struct espudp_peer *espudp_peer_new(struct espudp_dev *edev, u32 id,
				    struct netlink_ext_ack *extack);
void espudp_peer_kill(struct espudp_peer *peer);
void espudp_peer_put(struct espudp_peer *peer);
struct espudp_peer *espudp_peer_by_id(struct espudp_dev *edev, u32 id);
void espudp_peer_set_endpoint(struct espudp_peer *peer, struct espudp_endpoint *ep);
void espudp_peer_own_endpoint(struct espudp_peer *peer, struct espudp_sa *sa, bool owns);
void espudp_peer_roam(struct espudp_peer *peer, struct espudp_sa *sa,
		      const struct espudp_endpoint *seen);
struct espudp_sa *espudp_peer_usable_out(const struct espudp_peer *peer);
void espudp_peer_pick_out(struct espudp_peer *peer);
void espudp_peer_set_keepalive(struct espudp_peer *peer, u16 seconds);
void espudp_peer_sent(struct espudp_peer *peer);
int espudp_peer_renew(struct espudp_peer *peer, const struct espudp_endpoint *ep,
		      struct netlink_ext_ack *extack);
void espudp_peer_renew_later(struct espudp_peer *peer);
void espudp_peer_renew_work(struct work_struct *work);
bool espudp_peer_ends(struct espudp_peer *peer, struct in6_addr *local,
		      struct in6_addr *remote);
void espudp_peer_acquire(struct espudp_peer *peer);
void espudp_peer_learn_pmtu(struct espudp_peer *peer, u32 mtu);
u32 espudp_peer_pmtu(const struct espudp_endpoint *ep, u32 route);
u32 espudp_peer_mtu(struct espudp_peer *peer, u32 *pmtu);

static inline bool espudp_addr_equal(u8 family, const struct in6_addr *a,
				     const struct in6_addr *b)
{
	if (family == AF_INET)
		return a->s6_addr32[0] == b->s6_addr32[0];
	return ipv6_addr_equal(a, b);
}

#endif
