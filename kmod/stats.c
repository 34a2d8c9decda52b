// SPDX-License-Identifier: GPL-2.0
/* Counters, reasons for drops, the record of unknown SPIs, tracepoints. */
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/netdevice.h>
#include <linux/udp.h>
#include <net/netlink.h>
#include "dev.h"
#include "peer.h"
#include "queue.h"
#include "sa.h"
#include "stats.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

/* The kernel's nearest reasons; what is absent has none. */
static const enum skb_drop_reason skb_reasons[ESPUDP_DROP_MAX] = {
	[ESPUDP_DROP_RX_SHORT]		= SKB_DROP_REASON_PKT_TOO_SMALL,
	[ESPUDP_DROP_RX_DEV_DOWN]	= SKB_DROP_REASON_DEV_READY,
	[ESPUDP_DROP_RX_QUEUE_FULL]	= SKB_DROP_REASON_CPU_BACKLOG,
	[ESPUDP_DROP_RX_NOMEM]		= SKB_DROP_REASON_NOMEM,
	[ESPUDP_DROP_RX_NEXT_HEADER]	= SKB_DROP_REASON_UNHANDLED_PROTO,
	[ESPUDP_DROP_RX_INNER]		= SKB_DROP_REASON_IP_INHDR,
	[ESPUDP_DROP_RX_SELECTOR]	= SKB_DROP_REASON_XFRM_POLICY,
	[ESPUDP_DROP_RX_CSUM]		= SKB_DROP_REASON_TCP_CSUM,
	[ESPUDP_DROP_RX_IKE_UNOWNED]	= SKB_DROP_REASON_NO_SOCKET,
	[ESPUDP_DROP_TX_NO_SELECTOR]	= SKB_DROP_REASON_XFRM_POLICY,
	[ESPUDP_DROP_TX_NO_SA]		= SKB_DROP_REASON_XFRM_POLICY,
	[ESPUDP_DROP_TX_NO_ENDPOINT]	= SKB_DROP_REASON_IP_OUTNOROUTES,
	[ESPUDP_DROP_TX_NO_SOCKET]	= SKB_DROP_REASON_NO_SOCKET,
	[ESPUDP_DROP_TX_NO_ROUTE]	= SKB_DROP_REASON_IP_OUTNOROUTES,
	[ESPUDP_DROP_TX_LOOP]		= SKB_DROP_REASON_IP_OUTNOROUTES,
	[ESPUDP_DROP_TX_TOO_BIG]	= SKB_DROP_REASON_PKT_TOO_BIG,
	[ESPUDP_DROP_TX_MALFORMED]	= SKB_DROP_REASON_IP_INHDR,
	[ESPUDP_DROP_TX_QUEUE_FULL]	= SKB_DROP_REASON_FULL_RING,
	[ESPUDP_DROP_TX_NOMEM]		= SKB_DROP_REASON_NOMEM,
	[ESPUDP_DROP_TX_DEV_DOWN]	= SKB_DROP_REASON_DEV_READY,
};

/**
 * espudp_stats_alloc() - make counters
 * @gfp: may sleep
 *
 * Return: counters, all zero, freed with free_percpu(); or NULL.
 */
struct espudp_stats __percpu *espudp_stats_alloc(gfp_t gfp)
{
	return __netdev_alloc_pcpu_stats(struct espudp_stats, gfp);
}

static void add_rx(struct espudp_stats __percpu *stats, unsigned int packets,
		   unsigned int bytes)
{
	struct espudp_stats *s = this_cpu_ptr(stats);

	u64_stats_update_begin(&s->syncp);
	u64_stats_add(&s->rx_packets, packets);
	u64_stats_add(&s->rx_bytes, bytes);
	u64_stats_update_end(&s->syncp);
}

static void add_tx(struct espudp_stats __percpu *stats, unsigned int packets,
		   unsigned int bytes)
{
	struct espudp_stats *s = this_cpu_ptr(stats);

	u64_stats_update_begin(&s->syncp);
	u64_stats_add(&s->tx_packets, packets);
	u64_stats_add(&s->tx_bytes, bytes);
	u64_stats_update_end(&s->syncp);
}

/**
 * espudp_stats_rx() - count inner packets that were delivered
 * @sa: SA they came with; its peer and device are counted too
 * @packets: how many
 * @bytes: their octets
 *
 * Context: BH off.
 */
void espudp_stats_rx(struct espudp_sa *sa, unsigned int packets, unsigned int bytes)
{
	add_rx(sa->stats, packets, bytes);
	add_rx(sa->peer->stats, packets, bytes);
	add_rx(sa->edev->stats, packets, bytes);
	trace_espudp_rx(sa, packets, bytes);
}

/**
 * espudp_stats_tx() - count inner packets that were sent
 * @sa: SA they went with; its peer and device are counted too
 * @packets: how many, segments counted
 * @bytes: their octets
 *
 * Context: BH off.
 */
void espudp_stats_tx(struct espudp_sa *sa, unsigned int packets, unsigned int bytes)
{
	add_tx(sa->stats, packets, bytes);
	add_tx(sa->peer->stats, packets, bytes);
	add_tx(sa->edev->stats, packets, bytes);
	trace_espudp_tx(sa, packets, bytes);
}

/**
 * espudp_stats_drop() - count a drop
 * @edev: device
 * @peer: peer, if known; an SA's own need not be named
 * @sa: SA, if known
 * @reason: why
 *
 * Context: BH off.
 */
void espudp_stats_drop(struct espudp_dev *edev, struct espudp_peer *peer,
		       struct espudp_sa *sa, enum espudp_drop reason)
{
	if (!peer && sa)
		peer = sa->peer;
	this_cpu_inc(edev->drops->n[reason]);
	if (peer)
		atomic_inc(&peer->drops.n[reason]);
	if (sa)
		atomic_inc(&sa->drops.n[reason]);
	trace_espudp_drop(edev->dev, peer, sa, reason);
}

/**
 * espudp_drop() - count a drop and free the packet
 * @edev: device
 * @peer: peer, if known
 * @sa: SA, if known
 * @skb: packet
 * @reason: why
 *
 * Context: BH off.
 */
void espudp_drop(struct espudp_dev *edev, struct espudp_peer *peer,
		 struct espudp_sa *sa, struct sk_buff *skb, enum espudp_drop reason)
{
	espudp_stats_drop(edev, peer, sa, reason);
	if (reason == ESPUDP_DROP_RX_DUMMY || reason == ESPUDP_DROP_RX_KEEPALIVE)
		consume_skb(skb);
	else
		kfree_skb_reason(skb, skb_reasons[reason] ?: SKB_DROP_REASON_NOT_SPECIFIED);
}

/**
 * espudp_drop_all() - count and free a received datagram, or all those of a super-packet
 * @edev: device
 * @sa: SA, if known
 * @skb: packet
 * @reason: why
 *
 * Context: BH off.
 */
void espudp_drop_all(struct espudp_dev *edev, struct espudp_sa *sa, struct sk_buff *skb,
		     enum espudp_drop reason)
{
	unsigned int n = espudp_skb_parts(skb, sizeof(struct udphdr));

	while (--n)
		espudp_stats_drop(edev, NULL, sa, reason);
	espudp_drop(edev, NULL, sa, skb, reason);
}

/**
 * espudp_stats_unknown() - remember who sent an unknown SPI
 * @edev: device
 * @skb: datagram; its network and transport headers are the outer ones
 * @spi: its SPI
 *
 * Context: softirq.
 */
void espudp_stats_unknown(struct espudp_dev *edev, const struct sk_buff *skb, __be32 spi)
{
	struct espudp_unknown_ring *ring = this_cpu_ptr(edev->unknown);
	struct espudp_unknown seen = {
		.spi = spi,
		.port = udp_hdr(skb)->source,
		.last = jiffies,
	};
	struct espudp_unknown *rec;
	unsigned int i;

	if (ip_hdr(skb)->version == 4) {
		seen.family = AF_INET;
		seen.addr.s6_addr32[0] = ip_hdr(skb)->saddr;
	} else {
		seen.family = AF_INET6;
		seen.addr = ipv6_hdr(skb)->saddr;
	}

	spin_lock(&ring->lock);
	for (i = 0; i < ARRAY_SIZE(ring->rec); i++) {
		rec = &ring->rec[i];
		if (rec->spi == spi && rec->port == seen.port && rec->family == seen.family &&
		    ipv6_addr_equal(&rec->addr, &seen.addr))
			break;
	}
	if (i == ARRAY_SIZE(ring->rec)) {
		rec = &ring->rec[ring->next++ % ARRAY_SIZE(ring->rec)];
		*rec = seen;
	}
	rec->count++;
	rec->last = jiffies;
	spin_unlock(&ring->lock);
}

struct totals {
	u64 rx_packets;
	u64 rx_bytes;
	u64 tx_packets;
	u64 tx_bytes;
	u64 rx_ike;
	u64 rx_keepalive;
	u64 tx_keepalive;
	u64 drops[ESPUDP_DROP_MAX];
};

static void read_stats(struct espudp_stats __percpu *stats, struct totals *t)
{
	unsigned int start;
	int cpu;

	memset(t, 0, sizeof(*t));
	for_each_possible_cpu(cpu) {
		const struct espudp_stats *s = per_cpu_ptr(stats, cpu);
		struct totals c;

		do {
			start = u64_stats_fetch_begin(&s->syncp);
			c.rx_packets = u64_stats_read(&s->rx_packets);
			c.rx_bytes = u64_stats_read(&s->rx_bytes);
			c.tx_packets = u64_stats_read(&s->tx_packets);
			c.tx_bytes = u64_stats_read(&s->tx_bytes);
			c.rx_ike = u64_stats_read(&s->rx_ike);
			c.rx_keepalive = u64_stats_read(&s->rx_keepalive);
			c.tx_keepalive = u64_stats_read(&s->tx_keepalive);
		} while (u64_stats_fetch_retry(&s->syncp, start));
		t->rx_packets += c.rx_packets;
		t->rx_bytes += c.rx_bytes;
		t->tx_packets += c.tx_packets;
		t->tx_bytes += c.tx_bytes;
		t->rx_ike += c.rx_ike;
		t->rx_keepalive += c.rx_keepalive;
		t->tx_keepalive += c.tx_keepalive;
	}
}

static void read_dev(struct espudp_dev *edev, struct totals *t)
{
	unsigned int i;
	int cpu;

	read_stats(edev->stats, t);
	for_each_possible_cpu(cpu)
		for (i = 0; i < ESPUDP_DROP_MAX; i++)
			t->drops[i] += READ_ONCE(per_cpu_ptr(edev->drops, cpu)->n[i]);
}

/**
 * espudp_stats_sent() - was anything sent?
 * @stats: counters
 *
 * Return: true if packets or keepalives were.
 */
bool espudp_stats_sent(struct espudp_stats __percpu *stats)
{
	struct totals t;

	read_stats(stats, &t);
	return t.tx_packets || t.tx_keepalive;
}

static bool is_error(enum espudp_drop reason)
{
	switch (reason) {
	case ESPUDP_DROP_RX_SHORT:
	case ESPUDP_DROP_RX_ALIGN:
	case ESPUDP_DROP_RX_AUTH:
	case ESPUDP_DROP_RX_CRYPTO:
	case ESPUDP_DROP_RX_PAD:
	case ESPUDP_DROP_RX_NEXT_HEADER:
	case ESPUDP_DROP_RX_INNER:
	case ESPUDP_DROP_RX_ECN:
	case ESPUDP_DROP_RX_CSUM:
	case ESPUDP_DROP_TX_LOOP:
	case ESPUDP_DROP_TX_RECURSION:
	case ESPUDP_DROP_TX_MALFORMED:
	case ESPUDP_DROP_TX_CRYPTO:
		return true;
	default:
		return false;
	}
}

/**
 * espudp_stats_sum() - counters as every netdevice has them
 * @edev: device
 * @out: filled in
 */
void espudp_stats_sum(struct espudp_dev *edev, struct rtnl_link_stats64 *out)
{
	struct totals t;
	unsigned int i;

	read_dev(edev, &t);
	out->rx_packets = t.rx_packets;
	out->rx_bytes = t.rx_bytes;
	out->tx_packets = t.tx_packets;
	out->tx_bytes = t.tx_bytes;
	out->rx_crc_errors = t.drops[ESPUDP_DROP_RX_AUTH] + t.drops[ESPUDP_DROP_RX_CSUM];
	out->tx_carrier_errors = t.drops[ESPUDP_DROP_TX_NO_ROUTE];
	for (i = ESPUDP_DROP_NONE + 1; i < ESPUDP_DROP_MAX; i++) {
		bool rx = i < ESPUDP_DROP_TX_NO_SELECTOR;

		if (i == ESPUDP_DROP_RX_DUMMY || i == ESPUDP_DROP_RX_KEEPALIVE)
			continue;
		if (is_error(i))
			*(rx ? &out->rx_errors : &out->tx_errors) += t.drops[i];
		else
			*(rx ? &out->rx_dropped : &out->tx_dropped) += t.drops[i];
	}
}

static int put_u64(struct sk_buff *msg, int attr, u64 value)
{
	return nla_put_u64_64bit(msg, attr, value, ESPUDP_A_STATS_PAD);
}

static int put_totals(struct sk_buff *msg, int attr, const struct totals *t)
{
	struct nlattr *nest, *drop;
	unsigned int i;

	nest = nla_nest_start(msg, attr);
	if (!nest)
		return -EMSGSIZE;
	if (put_u64(msg, ESPUDP_A_STATS_RX_PACKETS, t->rx_packets) ||
	    put_u64(msg, ESPUDP_A_STATS_RX_BYTES, t->rx_bytes) ||
	    put_u64(msg, ESPUDP_A_STATS_TX_PACKETS, t->tx_packets) ||
	    put_u64(msg, ESPUDP_A_STATS_TX_BYTES, t->tx_bytes) ||
	    put_u64(msg, ESPUDP_A_STATS_RX_IKE, t->rx_ike) ||
	    put_u64(msg, ESPUDP_A_STATS_RX_KEEPALIVE, t->rx_keepalive) ||
	    put_u64(msg, ESPUDP_A_STATS_TX_KEEPALIVE, t->tx_keepalive))
		goto cancel;
	for (i = 0; i < ESPUDP_DROP_MAX; i++) {
		if (!t->drops[i])
			continue;
		drop = nla_nest_start(msg, ESPUDP_A_STATS_DROP);
		if (!drop || nla_put_u32(msg, ESPUDP_A_DROP_REASON, i) ||
		    nla_put_u64_64bit(msg, ESPUDP_A_DROP_COUNT, t->drops[i], ESPUDP_A_DROP_PAD))
			goto cancel;
		nla_nest_end(msg, drop);
	}
	nla_nest_end(msg, nest);
	return 0;

cancel:
	nla_nest_cancel(msg, nest);
	return -EMSGSIZE;
}

/**
 * espudp_stats_put() - put counters into a message
 * @msg: netlink message
 * @attr: type of the nest
 * @stats: counters of a peer or SA
 * @drops: likewise
 *
 * Return: 0 or -EMSGSIZE.
 */
int espudp_stats_put(struct sk_buff *msg, int attr, struct espudp_stats __percpu *stats,
		     const struct espudp_drops *drops)
{
	struct totals t;
	unsigned int i;

	read_stats(stats, &t);
	for (i = 0; i < ESPUDP_DROP_MAX; i++)
		t.drops[i] = (u32)atomic_read(&drops->n[i]);
	return put_totals(msg, attr, &t);
}

/**
 * espudp_stats_put_dev() - put a device's counters into a message
 * @msg: netlink message
 * @attr: type of the nest
 * @edev: device
 *
 * Return: 0 or -EMSGSIZE.
 */
int espudp_stats_put_dev(struct sk_buff *msg, int attr, struct espudp_dev *edev)
{
	struct totals t;

	read_dev(edev, &t);
	return put_totals(msg, attr, &t);
}

/* The newest of what all CPUs remember: a message has room for so many. */
static unsigned int newest_unknown(struct espudp_dev *edev, struct espudp_unknown *recs)
{
	unsigned int n = 0, i, j;
	int cpu;

	for_each_possible_cpu(cpu) {
		struct espudp_unknown_ring *ring = per_cpu_ptr(edev->unknown, cpu);

		spin_lock_bh(&ring->lock);
		for (i = 0; i < ARRAY_SIZE(ring->rec); i++) {
			const struct espudp_unknown *rec = &ring->rec[i];

			if (!rec->count)
				continue;
			for (j = n; j && time_after(rec->last, recs[j - 1].last); j--)
				if (j < ESPUDP_UNKNOWN_SPIS)
					recs[j] = recs[j - 1];
			if (j < ESPUDP_UNKNOWN_SPIS) {
				recs[j] = *rec;
				n = min_t(unsigned int, n + 1, ESPUDP_UNKNOWN_SPIS);
			}
		}
		spin_unlock_bh(&ring->lock);
	}
	return n;
}

static int put_unknown(struct sk_buff *msg, int attr, const struct espudp_unknown *rec)
{
	struct nlattr *nest = nla_nest_start(msg, attr);

	if (!nest)
		return -EMSGSIZE;
	if (nla_put_u32(msg, ESPUDP_A_UNKNOWN_SPI, be32_to_cpu(rec->spi)) ||
	    nla_put(msg, ESPUDP_A_UNKNOWN_REMOTE, rec->family == AF_INET ? 4 : 16, &rec->addr) ||
	    nla_put_u16(msg, ESPUDP_A_UNKNOWN_REMOTE_PORT, be16_to_cpu(rec->port)) ||
	    nla_put_u64_64bit(msg, ESPUDP_A_UNKNOWN_COUNT, rec->count, ESPUDP_A_UNKNOWN_PAD) ||
	    nla_put_u64_64bit(msg, ESPUDP_A_UNKNOWN_AGE, espudp_stats_ms_since(rec->last),
			      ESPUDP_A_UNKNOWN_PAD)) {
		nla_nest_cancel(msg, nest);
		return -EMSGSIZE;
	}
	nla_nest_end(msg, nest);
	return 0;
}

/**
 * espudp_stats_put_unknown() - put the record of unknown SPIs into a message
 * @msg: netlink message
 * @attr: type of the nests, one a record, the newest first
 * @edev: device
 *
 * Return: 0, -EMSGSIZE or -ENOMEM.
 */
int espudp_stats_put_unknown(struct sk_buff *msg, int attr, struct espudp_dev *edev)
{
	struct espudp_unknown *recs;
	unsigned int n, i;
	int err = 0;

	recs = kcalloc(ESPUDP_UNKNOWN_SPIS, sizeof(*recs), GFP_KERNEL);
	if (!recs)
		return -ENOMEM;
	n = newest_unknown(edev, recs);
	for (i = 0; i < n && !err; i++)
		err = put_unknown(msg, attr, &recs[i]);
	kfree(recs);
	return err;
}

/**
 * espudp_stats_ms_since() - time that has passed
 * @then: jiffies
 *
 * Return: milliseconds.
 */
u64 espudp_stats_ms_since(unsigned long then)
{
	return div_u64((u64)(jiffies - then) * MSEC_PER_SEC, HZ);
}
