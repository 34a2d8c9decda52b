/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _ESPUDP_DEV_H
#define _ESPUDP_DEV_H

#include <linux/mutex.h>
#include <linux/netdevice.h>
#include <linux/rhashtable.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>
#include "limits.h"
#include "pool.h"
#include "rate.h"
#include "select.h"
#include "stats.h"

struct espudp_sock;

/**
 * struct espudp_queue - work of one CPU in one direction
 * @napi: polls the queue
 * @in: packets to start with; its lock guards it against the poll elsewhere
 * @bytes: octets in @in, under its lock
 * @cpu: whose
 * @queued: packets ever put into @in, under its lock
 * @taken: packets ever taken out; owned by the poll
 * @done: likewise, those that were handed down, with all before them
 * @settled: what @done was two polls before, and @prev one before
 * @began: when the last poll began, and @ended it, units of 1024 ns
 * @span: how long polls take, of late
 * @flying: ESP packets of @order
 * @skip: large batches for which no helper is to be asked
 * @from: CPU from which on helpers are looked for
 * @shy: large batches that nobody has helped with, since somebody did
 * @csd: takes the poll to @cpu
 * @down: why packets are dropped when the device goes down
 * @order: started packets or batches, oldest first, finished strictly in this
 *	order; owned by the poll
 */
struct espudp_queue {
	struct napi_struct napi;
	struct espudp_dev *edev;
	struct sk_buff_head in;
	unsigned int bytes;
	u16 cpu;
	u64 queued;
	u64 taken;
	u64 done;
	u64 prev;
	u64 settled;
	u32 began;
	u32 ended;
	u32 span;
	unsigned int flying;
	u16 from;
	u8 skip;
	u8 shy;
	call_single_data_t csd;
	enum espudp_drop down;
	struct list_head order;
};

/**
 * struct espudp_dev - private part of a netdevice of kind espudp
 * @net: namespace of creation, where the sockets are; NULL once it is gone
 * @lock: serializes control: settings, sockets, peers, SAs. Taken under RTNL
 *	where both are needed, never the other way round
 * @sock4: socket for IPv4 outer packets; @sock6 likewise
 * @flows: by hash, on which queue a flow's last packet is: its CPU, and in the
 *	lower 48 bits what @queued was
 * @peers: by id
 * @spis: inbound SAs and reserved SPIs
 * @reserved: SPIs without a peer
 * @stuck: a peer's selectors could not follow it to where another's are
 * @generation: counts changes, for consistent dumps
 * @held: datagrams for reserved SPIs, oldest first; @held_bytes: their memory,
 *	under its lock
 * @ike_rate: IKE datagrams told of
 * @ike_lost: those that were not, since the last that was
 */
struct espudp_dev {
	struct net_device *dev;
	struct net *net;
	struct espudp_sock __rcu *sock4;
	struct espudp_sock __rcu *sock6;
	struct espudp_queue __percpu *rxq;
	struct espudp_queue __percpu *txq;
	u64 flows[ESPUDP_FLOWS];
	struct rhashtable spis;
	struct espudp_select select;
	struct espudp_pools pools;
	struct espudp_stats __percpu *stats;
	struct espudp_dev_drops __percpu *drops;
	struct espudp_unknown_ring __percpu *unknown;

	u32 fwmark;
	u32 bound_ifindex;
	u16 port;
	u8 outer_csum;
	u8 df;
	u8 frag;
	u8 dscp;
	u8 ttl;
	u8 pmtu_discovery;
	u8 on_socket_loss;
	u8 nat_scope;
	u32 replay_window;

	struct mutex lock;
	struct xarray peers;
	struct list_head reserved;
	u32 n_peers;
	u32 n_sas;
	u32 n_reserved;
	u32 next_gen;
	u32 generation;
	bool dead;		/* being deleted; under lock */
	u32 serial;		/* for created/destroyed lines */
	struct sk_buff_head held;
	unsigned int held_bytes;
	struct timer_list held_timer;
	struct espudp_rate err_rate;	/* ICMP errors looked at */
	struct espudp_rate ike_rate;
	atomic_t ike_lost;
	struct work_struct reap_work;
	struct work_struct renew_work;
	bool stuck;
	struct delayed_work sock_work;
	struct list_head list;	/* all devices, for namespace exit */
};

extern const struct net_device_ops espudp_netdev_ops;
extern struct workqueue_struct *espudp_wq;

/* Lines that the test suite pairs up; a debug build only. */
#ifdef ESPUDP_DEBUG
#define espudp_trace_object(what, kind, fmt, ...) \
	pr_info("espudp: " what " " kind " " fmt "\n", ##__VA_ARGS__)
#else
#define espudp_trace_object(what, kind, fmt, ...) do { } while (0)
#endif

u32 espudp_dev_serial(void);
int espudp_dev_init(void);
void espudp_dev_exit(void);
void espudp_dev_reset_routes(struct espudp_dev *edev);
void espudp_dev_flush(struct espudp_dev *edev, bool peers);
struct espudp_dev *espudp_dev_from(struct net_device *dev);

#endif
