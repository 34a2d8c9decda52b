// SPDX-License-Identifier: GPL-2.0
/* The receive path, from a datagram to the inner packet's delivery.
 *
 *	espudp_rx_queue		UDP: SPI known? onto this CPU's queue
 *	espudp_rx_poll		NAPI: for each datagram rx_start, then rx_finish
 *				for those whose crypto is done, in order
 *	rx_start		lengths, replay pre-check, copy, decrypt
 *	rx_finish		ICV, replay commit, roaming, trailer
 *	rx_inner		selectors, ECN, checksum, GRO
 *	rx_transport		likewise transport mode: selectors, virtual address,
 *				checksum, GRO
 *
 * The datagram is copied once, into memory of our own, and decrypted there:
 * what it is made of may be pages that somebody else reads, or goes on
 * writing.
 */
#include <linux/etherdevice.h>
#include <net/inet_ecn.h>
#include <net/ip.h>
#include <net/ip6_checksum.h>
#include <net/ipv6.h>
#include <net/ipv6_frag.h>
#include <net/netfilter/ipv6/nf_defrag_ipv6.h>
#include <net/udp.h>
#include "aead.h"
#include "dev.h"
#include "esp.h"
#include "hold.h"
#include "mem.h"
#include "rx.h"

/* Fragments of different peers never make one datagram. Others who use the stack's
 * fragment queues are below.
 */
#define DEFRAG_USER(peer) (BIT(31) | (peer)->serial)

/**
 * struct rx_pkt - a packet being received
 * @job: its decryption
 * @size: octets of memory, this structure and the skb's tail included
 * @len: octets of the ESP packet
 * @seq: sequence number that was authenticated, all 64 bits
 * @seen: outer addresses and ports, to be compared with the peer's
 * @tos: outer type of service or traffic class
 * @ttl: outer time to live or hop limit
 * @id: IPv4 identification
 * @df: IPv4 don't fragment bit
 *
 * Lies in what becomes the headroom of the inner packet, so it is gone once
 * the packet is delivered.
 */
struct rx_pkt {
	struct espudp_job job;
	unsigned int size;
	unsigned int len;
	u64 seq;
	struct espudp_endpoint seen;
	u8 tos;
	u8 ttl;
	__be16 id;
	__be16 df;
};

#define RX_HEADROOM	ALIGN(sizeof(struct rx_pkt) + NET_SKB_PAD, 64)

/* Traffic of one SA within a poll, accounted at its end. */
struct rx_run {
	struct espudp_sa *sa;
	unsigned int packets;
	unsigned int bytes;
};

static void *pkt_esp(struct rx_pkt *pkt)
{
	return (void *)pkt + RX_HEADROOM;
}

/**
 * espudp_rx_queue() - take an ESP packet
 * @edev: device
 * @skb: datagram, data at the UDP header; consumed
 * @spi: not zero
 *
 * Context: softirq, RCU read side.
 */
void espudp_rx_queue(struct espudp_dev *edev, struct sk_buff *skb, __be32 spi)
{
	struct espudp_queue *q = this_cpu_ptr(edev->rxq);
	enum espudp_drop why = ESPUDP_DROP_NONE;
	struct espudp_sa *sa;

	sa = espudp_sa_find_in(edev, spi);
	if (unlikely(!sa)) {
		why = ntohl(spi) < ESPUDP_SPI_MIN ? ESPUDP_DROP_RX_SPI_RESERVED :
						    ESPUDP_DROP_RX_SPI_UNKNOWN;
		espudp_stats_unknown(edev, skb, spi);
	} else if (unlikely(sa->state == ESPUDP_SA_STATE_RESERVED)) {
		espudp_hold(edev, skb, spi);
		return;
	} else if (unlikely(!netif_running(edev->dev))) {
		why = ESPUDP_DROP_RX_DEV_DOWN;
	} else if (unlikely(skb_queue_len(&q->in) >= ESPUDP_RXQ_LEN)) {
		why = ESPUDP_DROP_RX_QUEUE_FULL;
	}
	if (unlikely(why)) {
		espudp_drop(edev, sa ? sa->peer : NULL, sa, skb, why);
		return;
	}
	skb_dst_drop(skb);
	skb_orphan(skb);
	nf_reset_ct(skb);
	skb_queue_tail(&q->in, skb);
	napi_schedule(&q->napi);
}

static void read_outer(const struct sk_buff *skb, struct rx_pkt *pkt)
{
	const struct udphdr *uh = udp_hdr(skb);
	const struct iphdr *ip = ip_hdr(skb);

	memset(&pkt->seen, 0, sizeof(pkt->seen));
	if (ip->version == 4) {
		pkt->seen.family = AF_INET;
		pkt->seen.local.s6_addr32[0] = ip->daddr;
		pkt->seen.remote.s6_addr32[0] = ip->saddr;
		pkt->tos = ip->tos;
		pkt->ttl = ip->ttl;
		pkt->id = ip->id;
		pkt->df = ip->frag_off & htons(IP_DF);
	} else {
		const struct ipv6hdr *ip6 = ipv6_hdr(skb);

		pkt->seen.family = AF_INET6;
		pkt->seen.local = ip6->daddr;
		pkt->seen.remote = ip6->saddr;
		pkt->tos = ipv6_get_dsfield(ip6);
		pkt->ttl = ip6->hop_limit;
	}
	pkt->seen.has_local = true;
	pkt->seen.has_remote = true;
	pkt->seen.remote_port = uh->source;
}

/* Checks what can be checked without keys, copies, and starts decryption. */
static struct espudp_sa *rx_start(struct espudp_queue *q, struct sk_buff *skb,
				  struct espudp_sa *last)
{
	struct espudp_dev *edev = q->edev;
	unsigned int len = skb->len - sizeof(struct udphdr);
	struct espudp_sa *sa = NULL;
	enum espudp_drop why;
	struct rx_pkt *pkt;
	unsigned int size;
	__be32 hdr[2];
	u64 seq;

	why = ESPUDP_DROP_RX_SHORT;
	if (skb_copy_bits(skb, sizeof(struct udphdr), hdr, sizeof(hdr)))
		goto drop;
	sa = last && last->spi == hdr[0] ? last : espudp_sa_find_in(edev, hdr[0]);
	why = ESPUDP_DROP_RX_SPI_UNKNOWN;
	if (unlikely(!sa))
		goto drop;
	why = ESPUDP_DROP_RX_EXPIRED;
	if (unlikely(!espudp_sa_usable(sa)))
		goto drop;
	why = ESPUDP_DROP_RX_SHORT;
	if (unlikely(len < espudp_aead_esp_len(&sa->aead, 0)))
		goto drop;
	why = ESPUDP_DROP_RX_ALIGN;
	if (unlikely((len - 8 - sa->aead.iv - sa->aead.icv) & (sa->aead.block - 1)))
		goto drop;
	why = espudp_replay_check(&sa->replay, ntohl(hdr[1]), &seq);
	if (unlikely(why)) {
		espudp_sa_failed(sa, why);
		goto drop;
	}

	size = SKB_DATA_ALIGN(RX_HEADROOM + len) +
	       SKB_DATA_ALIGN(sizeof(struct skb_shared_info));
	why = ESPUDP_DROP_RX_NOMEM;
	pkt = espudp_mem_get(ESPUDP_MEM_RX, size, 64);
	if (unlikely(!pkt))
		goto drop;
	pkt->size = size;
	pkt->len = len;
	pkt->seq = seq;
	read_outer(skb, pkt);
	if (unlikely(skb_copy_bits(skb, sizeof(struct udphdr), pkt_esp(pkt), len))) {
		espudp_mem_put(pkt);
		goto drop;
	}
	/* The copy is what is authenticated; the header may have changed
	 * under our eyes since it was looked at.
	 */
	if (unlikely(((__be32 *)pkt_esp(pkt))[0] != hdr[0] ||
		     ((__be32 *)pkt_esp(pkt))[1] != hdr[1])) {
		espudp_mem_put(pkt);
		why = ESPUDP_DROP_RX_AUTH;
		goto drop;
	}
	consume_skb(skb);

	espudp_job_start(&pkt->job, q, sa);
	espudp_job_crypt(&pkt->job, false, pkt_esp(pkt), len, upper_32_bits(seq));
	espudp_job_submitted(&pkt->job);
	return sa;
drop:
	espudp_drop(edev, sa ? sa->peer : NULL, sa, skb, why);
	return sa;
}

static bool tcp_csum_ok(struct sk_buff *skb, const struct espudp_flow *flow)
{
	unsigned int off;
	__wsum sum;

	if (flow->family == AF_INET) {
		const struct iphdr *ip = ip_hdr(skb);

		off = ip->ihl * 4;
		sum = skb_checksum(skb, off, skb->len - off, 0);
		return !csum_tcpudp_magic(ip->saddr, ip->daddr, skb->len - off,
					  IPPROTO_TCP, sum);
	} else {
		const struct ipv6hdr *ip6 = ipv6_hdr(skb);
		u8 nexthdr = ip6->nexthdr;
		__be16 frag_off;
		int start;

		start = ipv6_skip_exthdr(skb, sizeof(*ip6), &nexthdr, &frag_off);
		if (start < 0)
			return false;
		sum = skb_checksum(skb, start, skb->len - start, 0);
		return !csum_ipv6_magic(&ip6->saddr, &ip6->daddr, skb->len - start,
					IPPROTO_TCP, sum);
	}
}

/* Collects an inner fragment. True if @skb is now the whole datagram; else it
 * was taken, and *@why is set if it was dropped.
 */
static bool rx_defrag(const struct espudp_peer *peer, struct sk_buff *skb,
		      enum espudp_drop *why)
{
	struct net *net = dev_net(peer->edev->dev);
	int err;

	memset(skb->cb, 0, sizeof(skb->cb));
	if (skb->protocol == htons(ETH_P_IP)) {
		err = ip_defrag(net, skb, DEFRAG_USER(peer));
	} else {
		err = nf_ct_frag6_gather(net, skb, DEFRAG_USER(peer));
		if (err && err != -EINPROGRESS)
			kfree_skb(skb);
	}
	if (err && err != -EINPROGRESS)
		*why = ESPUDP_DROP_RX_DEFRAG;
	return !err;
}

static bool rx_ecn_ok(struct sk_buff *skb, u8 outer_tos)
{
	u8 inner = skb->protocol == htons(ETH_P_IP) ? ip_hdr(skb)->tos :
						      ipv6_get_dsfield(ipv6_hdr(skb));

	if ((outer_tos & INET_ECN_MASK) == INET_ECN_ECT_1)
		INET_ECN_set_ect1(skb);	/* ECT(0) only (RFC 6040 section 4.2) */
	if (!INET_ECN_is_ce(outer_tos))
		return true;
	if (INET_ECN_is_not_ect(inner))
		return false;
	INET_ECN_set_ce(skb);
	return true;
}

/* The inner packet, alone in an skb of ours, checked and delivered. */
static void rx_inner(struct espudp_queue *q, struct espudp_sa *sa,
		     struct sk_buff *skb, u8 tos, struct rx_run *run)
{
	struct espudp_peer *peer = sa->peer;
	struct espudp_dev *edev = q->edev;
	enum espudp_drop why;
	struct espudp_flow flow;
	bool whole = false;
	unsigned int len;
	int match;

	skb->dev = edev->dev;
	skb_reset_mac_header(skb);
	skb_reset_network_header(skb);
again:
	why = ESPUDP_DROP_RX_INNER;
	if (unlikely(!espudp_select_parse(skb, false, &flow)))
		goto drop;
	if (unlikely(skb->protocol != espudp_flow_protocol(&flow)))
		goto drop;	/* not what next header said */
	/* What is behind the inner packet is traffic flow confidentiality
	 * padding (RFC 4303 section 2.7).
	 */
	len = flow.family == AF_INET ? ntohs(ip_hdr(skb)->tot_len) :
	      sizeof(struct ipv6hdr) + ntohs(ipv6_hdr(skb)->payload_len);
	if (len < skb->len && pskb_trim(skb, len))
		goto drop;

	match = espudp_select_match(peer, &flow);
	if (unlikely(match == -EAGAIN && !whole)) {
		if (!rx_defrag(peer, skb, &why)) {
			if (why == ESPUDP_DROP_RX_DEFRAG)
				espudp_stats_drop(edev, peer, sa, why);
			return;
		}
		whole = true;
		skb_reset_network_header(skb);
		goto again;
	}
	why = ESPUDP_DROP_RX_SELECTOR;
	if (unlikely(match != 1))
		goto drop;
	why = ESPUDP_DROP_RX_ECN;
	if (unlikely(!rx_ecn_ok(skb, tos)))
		goto drop;
	if (flow.proto == IPPROTO_TCP && !flow.frag) {
		why = ESPUDP_DROP_RX_CSUM;
		if (unlikely(!tcp_csum_ok(skb, &flow)))
			goto drop;
		skb->ip_summed = CHECKSUM_UNNECESSARY;
	}

	run->packets++;
	run->bytes += skb->len;
	if (unlikely(whole))
		netif_receive_skb(skb);
	else
		napi_gro_receive(&q->napi, skb);
	return;
drop:
	espudp_drop(edev, peer, sa, skb, why);
}

/* Puts the outer IP header in front of a transport mode payload. @pkt is in the
 * headroom, well before.
 */
static void push_header(struct sk_buff *skb, const struct rx_pkt *pkt, u8 next_header)
{
	if (pkt->seen.family == AF_INET) {
		struct iphdr *ip = skb_push(skb, sizeof(*ip));

		*ip = (struct iphdr) {
			.version = 4, .ihl = 5, .tos = pkt->tos, .ttl = pkt->ttl,
			.id = pkt->id, .frag_off = pkt->df, .protocol = next_header,
			.tot_len = htons(skb->len),
			.saddr = pkt->seen.remote.s6_addr32[0],
			.daddr = pkt->seen.local.s6_addr32[0],
		};
		skb->protocol = htons(ETH_P_IP);
	} else {
		struct ipv6hdr *ip6 = skb_push(skb, sizeof(*ip6));

		ip6_flow_hdr(ip6, pkt->tos, 0);
		ip6->payload_len = htons(skb->len - sizeof(*ip6));
		ip6->nexthdr = next_header;
		ip6->hop_limit = pkt->ttl;
		ip6->saddr = pkt->seen.remote;
		ip6->daddr = pkt->seen.local;
		skb->protocol = htons(ETH_P_IPV6);
	}
}

/* Gives a transport mode packet its peer's virtual address, and the checksum
 * for the addresses that it now has (RFC 3948 section 3.1.2).
 */
static bool translate(struct espudp_sa *sa, struct sk_buff *skb, const struct espudp_flow *flow)
{
	unsigned int len = skb->len - flow->upper;
	struct espudp_peer *peer = sa->peer;
	u8 *upper = skb->data + flow->upper;
	struct espudp_natoa n = {
		.family = flow->family,
		.src = { sa->oa.remote, peer->virt_family ? peer->virt : flow->remote },
		.dst = { sa->oa.local, flow->local },
	};

	if (flow->family == AF_INET) {
		ip_hdr(skb)->saddr = n.src[1].s6_addr32[0];
		ip_send_check(ip_hdr(skb));
	} else {
		ipv6_hdr(skb)->saddr = n.src[1];
	}
	if (espudp_natoa_icmp_error(upper, len, flow->proto, &n, &n.dst[1], &n.src[1]))
		return true;
	if (sa->oa.has_remote)
		return espudp_natoa_fix(upper, len, flow->proto, espudp_natoa_diff(&n));
	return espudp_natoa_make(skb, flow->upper, flow->proto, flow->family);
}

/* Are these the two ends of a host-to-host peer? */
static bool ends_match(const struct espudp_peer *peer, const struct espudp_flow *flow)
{
	const struct espudp_endpoint *ep = rcu_dereference(peer->ep);

	return ep && ep->has_remote && ep->family == flow->family &&
	       espudp_addr_equal(ep->family, &ep->remote, &flow->remote) &&
	       (!ep->has_local || espudp_addr_equal(ep->family, &ep->local, &flow->local));
}

/* A transport mode packet with the header it came with, checked and delivered. */
static void rx_transport(struct espudp_queue *q, struct espudp_sa *sa, struct sk_buff *skb,
			 struct rx_run *run)
{
	struct espudp_peer *peer = sa->peer;
	enum espudp_drop why;
	struct espudp_flow flow;

	skb->dev = q->edev->dev;
	skb_reset_mac_header(skb);
	skb_reset_network_header(skb);
	why = ESPUDP_DROP_RX_INNER;
	if (unlikely(!espudp_select_parse(skb, false, &flow) || flow.frag))
		goto drop;	/* RFC 4303 section 3.3.4: never a fragment */
	why = ESPUDP_DROP_RX_SELECTOR;
	if (unlikely(espudp_select_match(peer, &flow) != 1 ||
		     (!peer->virt_family && !ends_match(peer, &flow))))
		goto drop;
	why = ESPUDP_DROP_RX_VIRTUAL;
	if (unlikely(READ_ONCE(peer->virt_lost)))
		goto drop;
	why = ESPUDP_DROP_RX_INNER;
	if (unlikely(!translate(sa, skb, &flow)))
		goto drop;

	run->packets++;
	run->bytes += skb->len;
	napi_gro_receive(&q->napi, skb);
	return;
drop:
	espudp_drop(q->edev, peer, sa, skb, why);
}

static bool seen_elsewhere(const struct espudp_peer *peer, const struct espudp_endpoint *seen)
{
	const struct espudp_endpoint *ep = rcu_dereference(peer->ep);

	return !ep || !ep->has_remote || ep->remote_port != seen->remote_port ||
	       ep->family != seen->family ||
	       !espudp_addr_equal(ep->family, &ep->remote, &seen->remote) ||
	       (ep->has_local && !espudp_addr_equal(ep->family, &ep->local, &seen->local));
}

/* A packet whose decryption is over. */
static void rx_finish(struct rx_pkt *pkt, struct rx_run *run)
{
	struct espudp_queue *q = pkt->job.q;
	struct espudp_sa *sa = pkt->job.sa;
	struct espudp_dev *edev = q->edev;
	struct espudp_peer *peer = sa->peer;
	unsigned int hlen = 8 + sa->aead.iv;
	enum espudp_drop why;
	unsigned int payload;
	struct sk_buff *skb;
	u8 next_header;
	bool newest;
	u8 tos;

	if (unlikely(pkt->job.err)) {
		why = ESPUDP_DROP_RX_CRYPTO;
		if (pkt->job.err == -EBADMSG) {
			why = ESPUDP_DROP_RX_AUTH;
			espudp_sa_failed(sa, why);
		} else if (pkt->job.err == -ENOMEM) {
			why = ESPUDP_DROP_RX_NOMEM;
		}
		goto drop;
	}
	why = espudp_replay_commit(&sa->replay, pkt->seq, &newest);
	if (unlikely(why)) {
		espudp_sa_failed(sa, why);
		goto drop;
	}
	why = ESPUDP_DROP_RX_EXPIRED;
	if (unlikely(!espudp_sa_admit(sa)))
		goto drop;

	/* From here on the packet is the peer's: a sign of life. */
	if (READ_ONCE(peer->last_rx) != (jiffies ?: 1))
		WRITE_ONCE(peer->last_rx, jiffies ?: 1);
	if (unlikely(sa->gen > READ_ONCE(peer->ep_gen)))
		WRITE_ONCE(peer->ep_gen, sa->gen);
	if (newest && unlikely(seen_elsewhere(peer, &pkt->seen)))
		espudp_peer_roam(peer, sa, &pkt->seen);

	why = espudp_esp_open(pkt_esp(pkt) + hlen, pkt->len - hlen - sa->aead.icv,
			      &payload, &next_header);
	if (unlikely(why))
		goto drop;
	if (next_header == ESPUDP_NH_DUMMY) {
		why = ESPUDP_DROP_RX_DUMMY;
		goto drop;
	}
	why = ESPUDP_DROP_RX_NEXT_HEADER;
	if (unlikely(peer->mode == ESPUDP_MODE_TUNNEL && next_header != IPPROTO_IPIP &&
		     next_header != IPPROTO_IPV6))
		goto drop;

	why = ESPUDP_DROP_RX_NOMEM;
	tos = pkt->tos;
	skb = napi_build_skb(pkt, pkt->size);
	if (unlikely(!skb))
		goto drop;
	/* @pkt is the skb's now. */
	skb_reserve(skb, RX_HEADROOM + hlen);
	skb_put(skb, payload);
	if (peer->mode == ESPUDP_MODE_TRANSPORT) {
		push_header(skb, pkt, next_header);
		rx_transport(q, sa, skb, run);
		return;
	}
	skb->protocol = next_header == IPPROTO_IPIP ? htons(ETH_P_IP) : htons(ETH_P_IPV6);
	rx_inner(q, sa, skb, tos, run);
	return;
drop:
	espudp_stats_drop(edev, peer, sa, why);
	espudp_mem_put(pkt);
}

static void run_account(struct rx_run *run)
{
	if (run->packets) {
		espudp_stats_rx(run->sa, run->packets, run->bytes);
		espudp_sa_used(run->sa, run->packets, run->bytes);
	}
	run->packets = 0;
	run->bytes = 0;
}

/**
 * espudp_rx_poll() - receive what is queued
 * @napi: a CPU's receive queue
 * @budget: packets
 *
 * Context: softirq or NAPI thread, BH off.
 * Return: packets started.
 */
int espudp_rx_poll(struct napi_struct *napi, int budget)
{
	struct espudp_queue *q = container_of(napi, struct espudp_queue, napi);
	struct espudp_sa *last = NULL;
	struct rx_run run = {};
	struct espudp_job *job;
	struct sk_buff *skb;
	int done = 0;

	rcu_read_lock();
	while (done < budget && (skb = skb_dequeue(&q->in))) {
		last = rx_start(q, skb, last);
		done++;
	}
	while ((job = espudp_job_next_done(q))) {
		struct espudp_sa *sa = job->sa;
		bool held = job->held;

		if (sa != run.sa) {
			run_account(&run);
			run.sa = sa;
		}
		/* The job is part of the packet, which is gone afterwards. */
		rx_finish(container_of(job, struct rx_pkt, job), &run);
		if (unlikely(held)) {
			run_account(&run);
			run.sa = NULL;
			espudp_sa_put(sa);
		}
	}
	run_account(&run);
	espudp_queue_keep(q);
	rcu_read_unlock();

	if (done < budget)
		napi_complete_done(napi, done);
	return done;
}

/**
 * espudp_rx_drop() - drop a packet because the device is down
 * @job: its job, off the list
 */
void espudp_rx_drop(struct espudp_job *job)
{
	struct rx_pkt *pkt = container_of(job, struct rx_pkt, job);

	rcu_read_lock();
	espudp_stats_drop(job->q->edev, NULL, NULL, ESPUDP_DROP_RX_DEV_DOWN);
	rcu_read_unlock();
	espudp_job_finish(job);
	espudp_mem_put(pkt);
}
