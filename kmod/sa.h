/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _ESPUDP_SA_H
#define _ESPUDP_SA_H

#include <linux/kref.h>
#include <linux/rhashtable.h>
#include <linux/timer.h>
#include <linux/workqueue.h>
#include "aead.h"
#include "natoa.h"
#include "peer.h"
#include "replay.h"

/* Lifetimes; 0 means none. */
struct espudp_lifetime {
	u64 soft_seconds, hard_seconds;
	u64 soft_packets, hard_packets;
	u64 soft_bytes, hard_bytes;
	u32 standby;		/* outbound, milliseconds: while an older SA is usable */
};

/**
 * struct espudp_sa - a security association (RFC 4301), one direction
 * @node: in the device's table of inbound SPIs
 * @peer: owner; NULL while an SPI is reserved without one
 * @seq: outbound, last sequence number given out; 64 bits also without ESN
 * @iv_mask: outbound, combined with the sequence number into counter IVs
 * @oa: addresses that the peer's checksums are over, transport mode
 * @seen_local: inbound, where its last authentic packet was sent to, of @seen_family
 * @queued: inbound, on which queue its last datagram is, see espudp_queue_for()
 * @packets: counted towards lifetimes (inbound; outbound it follows from @seq)
 * @bytes: inner octets, added once a batch
 * @ready: jiffies when @life.standby is over, which then is 0
 * @gen: order of installation within the device
 * @list: in the peer's or the device's list; device's lock
 *
 * References: one from the tables, dropped a grace period after the SA was
 * unlinked (so that RCU readers may take more), one from each crypto request
 * in flight. Freed, its keys wiped, in process context.
 */
struct espudp_sa {
	struct rhash_head node;
	__be32 spi;
	u8 dir;
	u32 state;		/* enum espudp_sa_state; WRITE_ONCE */
	unsigned long told;	/* events sent: a bit for each espudp_expire_cause; 6, 7: seq */
	struct espudp_peer *peer;
	struct espudp_dev *edev;
	struct espudp_aead aead;
	struct espudp_replay replay;
	atomic64_t seq;
	u64 seq_start;
	u64 iv_mask;
	struct espudp_oa oa;
	struct in6_addr seen_local;
	u8 seen_family;
	u64 queued;
	atomic64_t packets;
	atomic64_t bytes;
	unsigned long last_used;
	struct espudp_lifetime life;
	unsigned long ready;
	struct espudp_failures {
		atomic_t n;
		u32 told;
		unsigned long last;	/* jiffies */
	} fail_replay, fail_auth;
	struct espudp_stats __percpu *stats;

	u32 gen;
	u32 serial;		/* for created/destroyed lines */
	time64_t installed;	/* boot time, seconds */
	struct timer_list timer;
	struct list_head list;
	struct kref ref;
	struct rcu_work free_work;
	struct espudp_drops drops;
};

struct espudp_sa *espudp_sa_reserve(struct espudp_dev *edev, struct espudp_peer *peer,
				    u32 min, u32 max, u32 timeout,
				    struct netlink_ext_ack *extack);
int espudp_sa_check_spi(struct espudp_dev *edev, struct espudp_peer *peer, u32 spi, u8 dir,
			struct netlink_ext_ack *extack);
struct espudp_sa *espudp_sa_new(struct espudp_dev *edev, struct espudp_peer *peer,
				u32 spi, u8 dir, const struct espudp_aead_params *params,
				u32 window, u64 seq, const struct espudp_lifetime *life,
				const struct espudp_endpoint *ep, const struct espudp_oa *oa,
				struct netlink_ext_ack *extack);
void espudp_sa_set_lifetime(struct espudp_sa *sa, const struct espudp_lifetime *life);
void espudp_sa_kill(struct espudp_sa *sa);
void espudp_sa_put(struct espudp_sa *sa);
struct espudp_sa *espudp_sa_find_in(struct espudp_dev *edev, __be32 spi);
struct espudp_sa *espudp_sa_find_out(struct espudp_peer *peer, __be32 spi);
void espudp_sa_used(struct espudp_sa *sa, unsigned int packets, unsigned int bytes);
bool espudp_sa_count_in(struct espudp_sa *sa);
void espudp_sa_failed(struct espudp_sa *sa, enum espudp_drop reason);
unsigned int espudp_sa_take_seq(struct espudp_sa *sa, unsigned int n, u64 *first,
				enum espudp_drop *why);
void espudp_sa_reap(struct work_struct *work);
int espudp_sa_table_init(struct espudp_dev *edev);
void espudp_sa_table_destroy(struct espudp_dev *edev);
u64 espudp_sa_packets(const struct espudp_sa *sa);

static inline void espudp_sa_get(struct espudp_sa *sa)
{
	kref_get(&sa->ref);
}

/* May an authenticated packet pass a limit on packets? */
static inline bool espudp_sa_admit(struct espudp_sa *sa)
{
	return likely(!READ_ONCE(sa->life.hard_packets)) || espudp_sa_count_in(sa);
}

static inline bool espudp_sa_usable(const struct espudp_sa *sa)
{
	u32 state = READ_ONCE(sa->state);

	return state == ESPUDP_SA_STATE_VALID || state == ESPUDP_SA_STATE_SOFT;
}

#endif
