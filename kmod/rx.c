// SPDX-License-Identifier: GPL-2.0
/* The receive path, from a datagram to the inner packet's delivery.
 *
 *	espudp_rx_queue		UDP: SPI known? onto this CPU's queue, or where
 *				its last ones still are
 *	espudp_rx_poll		NAPI: rx_datagrams for each, then batch_finish for
 *				those whose crypto is done, in order
 *	rx_datagrams		one, or a super-packet's: rx_add for each
 *	rx_add			lengths, replay pre-check, copy into the open batch
 *	batch_close		decrypt
 *	batch_finish		rx_finish for each packet
 *	rx_finish		ICV, replay commit, roaming, trailer
 *	rx_inner		selectors, ECN, checksum, GRO
 *	rx_transport		likewise transport mode: selectors, virtual address,
 *				checksum, GRO
 *
 * A batch is of one SA and one outer source: a super-packet, or what came singly.
 * TCP segments in it are put together without the stack (merge.c).
 *
 * A packet is decrypted into memory of our own: what a datagram is made of may be
 * pages that somebody else reads. If somebody may go on writing them it is copied
 * first, for a cipher reads what it decrypts more than once.
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
#include "merge.h"
#include "rx.h"

/* Fragments of different peers never make one datagram. Others who use the stack's
 * fragment queues are below.
 */
#define DEFRAG_USER(peer) (BIT(31) | (peer)->serial)

/**
 * struct rx_outer - what the outer headers of a batch say
 * @seen: addresses and ports, to be compared with the peer's
 * @tos: type of service or traffic class
 * @ttl: time to live or hop limit
 * @df: IPv4 don't fragment bit
 */
struct rx_outer {
	struct espudp_endpoint seen;
	u8 tos;
	u8 ttl;
	__be16 df;
};

/**
 * struct rx_batch - packets being received
 * @outer: of all of them
 * @id: IPv4 identifications
 * @src: datagrams that this batch, or one before it, reads from
 * @job: their decryption
 */
struct rx_batch {
	struct rx_outer outer;
	struct sk_buff_head src;
	__be16 id[ESPUDP_BATCH_SEGS];
	struct espudp_job job;
};

/**
 * struct rx_src - where a datagram, or a super-packet, is read from
 * @skb: the datagram
 * @part: it, or the one in its list of fragments that was last looked at
 * @end: offset of the first octet behind @part
 * @frag: the last that was looked at
 * @begin: offset of its first octet
 * @batch: the last that one of its packets went into
 * @used: a batch reads from it
 */
struct rx_src {
	struct sk_buff *skb;
	const struct sk_buff *part;
	unsigned int end;
	unsigned int frag;
	unsigned int begin;
	struct rx_batch *batch;
	bool used;
};

/* What a poll works on. A packet that is @alone has nothing to be put together with. */
struct rx_ctx {
	struct espudp_queue *q;
	struct rx_batch *open;
	struct espudp_merge merge;
	bool alone;
};

/* Of a batch, accounted at its end. */
struct rx_run {
	unsigned int packets;
	unsigned int bytes;
};

/* A transport mode packet gets an IP header for the ESP header that goes. */
#define RX_HEADROOM	ALIGN(NET_SKB_PAD + sizeof(struct ipv6hdr), 64)

static DEFINE_PER_CPU(struct espudp_spares, spare_batches);

/* Octets of memory of a packet, an skb's tail included. */
static unsigned int piece_size(unsigned int len)
{
	return SKB_DATA_ALIGN(RX_HEADROOM + len) +
	       SKB_DATA_ALIGN(sizeof(struct skb_shared_info));
}

static void piece_put(const struct espudp_job_pkt *pkt)
{
	espudp_mem_put(pkt->esp - RX_HEADROOM);
}

/**
 * espudp_rx_queue() - take an ESP packet
 * @edev: device
 * @skb: datagram, data at the UDP header, or a super-packet whose datagrams are
 *	all of @spi; consumed
 * @spi: not zero
 *
 * Context: softirq, RCU read side.
 */
void espudp_rx_queue(struct espudp_dev *edev, struct sk_buff *skb, __be32 spi)
{
	enum espudp_drop why = ESPUDP_DROP_NONE;
	struct espudp_queue *q;
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
	} else {
		skb_dst_drop(skb);
		skb_orphan(skb);
		nf_reset_ct(skb);
		q = espudp_queue_for(edev->rxq, &sa->queued);
		if (likely(espudp_queue_put(q, skb, &sa->queued)))
			return;
		why = ESPUDP_DROP_RX_QUEUE_FULL;
	}
	espudp_drop_all(edev, sa, skb, why);
}

static __be16 read_outer(const struct sk_buff *skb, struct rx_outer *outer)
{
	const struct udphdr *uh = udp_hdr(skb);
	const struct iphdr *ip = ip_hdr(skb);
	__be16 id = 0;

	memset(outer, 0, sizeof(*outer));
	if (ip->version == 4) {
		outer->seen.family = AF_INET;
		outer->seen.local.s6_addr32[0] = ip->daddr;
		outer->seen.remote.s6_addr32[0] = ip->saddr;
		outer->tos = ip->tos;
		outer->ttl = ip->ttl;
		outer->df = ip->frag_off & htons(IP_DF);
		id = ip->id;
	} else {
		const struct ipv6hdr *ip6 = ipv6_hdr(skb);

		outer->seen.family = AF_INET6;
		outer->seen.local = ip6->daddr;
		outer->seen.remote = ip6->saddr;
		outer->tos = ipv6_get_dsfield(ip6);
		outer->ttl = ip6->hop_limit;
	}
	outer->seen.has_local = true;
	outer->seen.has_remote = true;
	outer->seen.remote_port = uh->source;
	return id;
}

static void batch_close(struct rx_ctx *ctx)
{
	struct rx_batch *b = ctx->open;

	ctx->open = NULL;
	espudp_job_submit(&b->job, ctx->q, false);
}

/* The open batch if the packet may join it, else a new one, or NULL. */
static struct rx_batch *batch_for(struct rx_ctx *ctx, struct rx_src *src, struct espudp_sa *sa,
				  const struct rx_outer *outer)
{
	struct rx_batch *b = ctx->open;

	if (b && b->job.sa == sa && b->job.n < ESPUDP_BATCH_SEGS &&
	    (b == src->batch || !memcmp(&b->outer, outer, sizeof(*outer))))
		goto found;
	b = espudp_spare_get(&spare_batches, sizeof(*b));
	if (unlikely(!b))
		return NULL;
	if (ctx->open)
		batch_close(ctx);
	b->outer = *outer;
	__skb_queue_head_init(&b->src);
	b->job.sa = sa;
	b->job.n = 0;
	ctx->open = b;
found:
	src->batch = b;
	return b;
}

static void batch_free(struct rx_batch *b)
{
	struct sk_buff *skb;

	while ((skb = __skb_dequeue(&b->src)))
		napi_consume_skb(skb, 1);
	espudp_spare_put(&spare_batches, b);
}

/* A part of a datagram in place, if it is in one piece and nobody can write to it:
 * an skb's head, a page that a driver's pool gave it for this packet, or memory of
 * our own. Else NULL. To be asked for parts in order.
 */
static const void *in_place(struct rx_src *src, unsigned int off, unsigned int len)
{
	const struct sk_buff *skb = src->part;
	unsigned int start;

	while (off >= src->end) {
		skb = skb == src->skb ? skb_shinfo(skb)->frag_list : skb->next;
		if (!skb || skb_has_frag_list(skb))
			return NULL;
		src->part = skb;
		src->frag = 0;
		src->begin = src->end + skb_headlen(skb);
		src->end += skb->len;
	}
	start = skb == src->skb ? 0 : src->end - skb->len;
	if (off + len <= start + skb_headlen(skb))
		return skb->data + off - start;
	if (skb_has_shared_frag(skb))
		return NULL;
	while (src->frag < skb_shinfo(skb)->nr_frags) {
		const skb_frag_t *frag = &skb_shinfo(skb)->frags[src->frag];
		unsigned int end = src->begin + skb_frag_size(frag);
		struct page *page = skb_frag_page(frag);

		if (off >= end) {
			src->begin = end;
			src->frag++;
			continue;
		}
		if (off < src->begin || off + len > end || !page ||
		    !(skb->pp_recycle || espudp_mem_is_ours(page)))
			return NULL;
		return skb_frag_address(frag) + off - src->begin;
	}
	return NULL;
}

/* Checks what can be checked of a packet without keys, and adds it to a batch. */
static enum espudp_drop rx_add(struct rx_ctx *ctx, struct rx_src *src, unsigned int off,
			       unsigned int len, const struct rx_outer *outer, __be16 id,
			       struct espudp_sa **psa)
{
	struct espudp_sa *sa = ctx->open ? ctx->open->job.sa : NULL;
	const void *at = in_place(src, off, len);
	struct espudp_job_pkt *pkt;
	enum espudp_drop why;
	struct rx_batch *b;
	__be32 hdr[2];
	void *piece;
	u64 seq;

	*psa = NULL;
	if (unlikely(len < sizeof(hdr)))
		return ESPUDP_DROP_RX_SHORT;
	if (at)
		memcpy(hdr, at, sizeof(hdr));
	else if (unlikely(skb_copy_bits(src->skb, off, hdr, sizeof(hdr))))
		return ESPUDP_DROP_RX_SHORT;
	if (!sa || sa->spi != hdr[0])
		sa = espudp_sa_find_in(ctx->q->edev, hdr[0]);
	if (unlikely(!sa))
		return ESPUDP_DROP_RX_SPI_UNKNOWN;
	*psa = sa;
	if (unlikely(!espudp_sa_usable(sa)))
		return ESPUDP_DROP_RX_EXPIRED;
	if (unlikely(len < espudp_aead_esp_len(&sa->aead, 0)))
		return ESPUDP_DROP_RX_SHORT;
	if (unlikely((len - 8 - sa->aead.iv - sa->aead.icv) & (sa->aead.block - 1)))
		return ESPUDP_DROP_RX_ALIGN;
	why = espudp_replay_check(&sa->replay, ntohl(hdr[1]), &seq);
	if (unlikely(why)) {
		espudp_sa_failed(sa, why);
		return why;
	}

	b = batch_for(ctx, src, sa, outer);
	if (unlikely(!b))
		return ESPUDP_DROP_RX_NOMEM;
	piece = espudp_mem_get(ESPUDP_MEM_RX, piece_size(len), 64);
	if (unlikely(!piece))
		return ESPUDP_DROP_RX_NOMEM;
	pkt = &b->job.pkt[b->job.n];
	pkt->esp = piece + RX_HEADROOM;
	pkt->len = len;
	pkt->seq = seq;
	pkt->src = NULL;
	if (at && !sa->aead.in_place) {
		memcpy(pkt->esp, at, 8 + sa->aead.iv);
		pkt->src = at + 8 + sa->aead.iv;
		src->used = true;
	} else if (unlikely(skb_copy_bits(src->skb, off, pkt->esp, len))) {
		espudp_mem_put(piece);
		return ESPUDP_DROP_RX_NOMEM;
	}
	/* The copy is what is authenticated; the header may have changed
	 * under our eyes since it was looked at.
	 */
	if (unlikely(((__be32 *)pkt->esp)[0] != hdr[0] || ((__be32 *)pkt->esp)[1] != hdr[1])) {
		espudp_mem_put(piece);
		return ESPUDP_DROP_RX_AUTH;
	}
	b->id[b->job.n++] = id;
	return ESPUDP_DROP_NONE;
}

/* Adds a datagram, or those of a super-packet, to batches. */
static void rx_datagrams(struct rx_ctx *ctx, struct sk_buff *skb)
{
	struct rx_src src = {
		.skb = skb, .part = skb, .end = skb_pagelen(skb), .begin = skb_headlen(skb),
	};
	unsigned int off = sizeof(struct udphdr);
	bool super = skb_is_gso(skb);
	unsigned int part = super ? skb_shinfo(skb)->gso_size : skb->len - off;
	enum espudp_drop why;
	struct rx_outer outer;
	struct espudp_sa *sa;
	__be16 id;

	id = read_outer(skb, &outer);
	do {
		unsigned int len = min(part, skb->len - off);

		why = rx_add(ctx, &src, off, len, &outer, id, &sa);
		if (unlikely(why)) {
			if (!super) {
				espudp_drop(ctx->q->edev, NULL, sa, skb, why);
				return;
			}
			espudp_stats_drop(ctx->q->edev, NULL, sa, why);
		}
		be16_add_cpu(&id, 1);
		off += part;
	} while (off < skb->len);
	/* The batch that is open now is finished after those that read from it. */
	if (src.used)
		__skb_queue_tail(&ctx->open->src, skb);
	else
		napi_consume_skb(skb, 1);
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

static void deliver(struct rx_ctx *ctx, struct sk_buff *skb)
{
	if (ctx->alone)
		netif_receive_skb(skb);
	else
		napi_gro_receive(&ctx->q->napi, skb);
}

/* Gives the stack what was put together. */
static void merge_flush(struct rx_ctx *ctx)
{
	struct sk_buff *skb = espudp_merge_end(&ctx->merge);

	if (skb)
		espudp_gro_receive_super(&ctx->q->napi, skb);
}

/* The inner packet, alone in an skb of ours, checked and delivered. */
static void rx_inner(struct rx_ctx *ctx, struct espudp_sa *sa, struct sk_buff *skb, u8 tos,
		     struct rx_run *run)
{
	struct espudp_peer *peer = sa->peer;
	struct espudp_dev *edev = ctx->q->edev;
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
	else if (ctx->alone || flow.proto != IPPROTO_TCP || flow.frag ||
		 netif_elide_gro(edev->dev) ||
		 !espudp_merge_begin(&ctx->merge, skb, flow.upper))
		deliver(ctx, skb);
	return;
drop:
	espudp_drop(edev, peer, sa, skb, why);
}

/* Puts the outer IP header in front of a transport mode payload. */
static void push_header(struct sk_buff *skb, const struct rx_outer *outer, __be16 id,
			u8 next_header)
{
	if (outer->seen.family == AF_INET) {
		struct iphdr *ip = skb_push(skb, sizeof(*ip));

		*ip = (struct iphdr) {
			.version = 4, .ihl = 5, .tos = outer->tos, .ttl = outer->ttl,
			.id = id, .frag_off = outer->df, .protocol = next_header,
			.tot_len = htons(skb->len),
			.saddr = outer->seen.remote.s6_addr32[0],
			.daddr = outer->seen.local.s6_addr32[0],
		};
		skb->protocol = htons(ETH_P_IP);
	} else {
		struct ipv6hdr *ip6 = skb_push(skb, sizeof(*ip6));

		ip6_flow_hdr(ip6, outer->tos, 0);
		ip6->payload_len = htons(skb->len - sizeof(*ip6));
		ip6->nexthdr = next_header;
		ip6->hop_limit = outer->ttl;
		ip6->saddr = outer->seen.remote;
		ip6->daddr = outer->seen.local;
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
static void rx_transport(struct rx_ctx *ctx, struct espudp_sa *sa, struct sk_buff *skb,
			 struct rx_run *run)
{
	struct espudp_dev *edev = ctx->q->edev;
	struct espudp_peer *peer = sa->peer;
	enum espudp_drop why;
	struct espudp_flow flow;

	skb->dev = edev->dev;
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
	deliver(ctx, skb);
	return;
drop:
	espudp_drop(edev, peer, sa, skb, why);
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
static void rx_finish(struct rx_ctx *ctx, const struct rx_batch *b, unsigned int i,
		      struct rx_run *run)
{
	const struct espudp_job_pkt *pkt = &b->job.pkt[i];
	struct espudp_sa *sa = b->job.sa;
	struct espudp_peer *peer = sa->peer;
	unsigned int hlen = 8 + sa->aead.iv;
	enum espudp_drop why;
	unsigned int payload;
	struct sk_buff *skb;
	__be16 protocol;
	u8 next_header;
	bool newest;

	if (unlikely(pkt->err)) {
		why = ESPUDP_DROP_RX_CRYPTO;
		if (pkt->err == -EBADMSG) {
			why = ESPUDP_DROP_RX_AUTH;
			espudp_sa_failed(sa, why);
		} else if (pkt->err == -ENOMEM) {
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
	if (newest && unlikely(seen_elsewhere(peer, &b->outer.seen)))
		espudp_peer_roam(peer, sa, &b->outer.seen);

	why = espudp_esp_open(pkt->esp + hlen, pkt->len - hlen - sa->aead.icv,
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

	protocol = next_header == IPPROTO_IPIP ? htons(ETH_P_IP) : htons(ETH_P_IPV6);
	if (peer->mode == ESPUDP_MODE_TUNNEL &&
	    espudp_merge_add(&ctx->merge, protocol, pkt->esp + hlen, payload,
			     pkt->esp - RX_HEADROOM, piece_size(pkt->len))) {
		run->packets++;
		run->bytes += payload;
		return;
	}
	merge_flush(ctx);

	why = ESPUDP_DROP_RX_NOMEM;
	skb = napi_build_skb(pkt->esp - RX_HEADROOM, piece_size(pkt->len));
	if (unlikely(!skb))
		goto drop;
	skb_reserve(skb, RX_HEADROOM + hlen);
	skb_put(skb, payload);
	if (peer->mode == ESPUDP_MODE_TRANSPORT) {
		push_header(skb, &b->outer, b->id[i], next_header);
		rx_transport(ctx, sa, skb, run);
		return;
	}
	skb->protocol = protocol;
	rx_inner(ctx, sa, skb, b->outer.tos, run);
	return;
drop:
	espudp_stats_drop(sa->edev, peer, sa, why);
	piece_put(pkt);
}

/* Where authentic packets come to; told to GRO, which may read it half written. */
static void note_local(struct espudp_sa *sa, const struct espudp_endpoint *seen)
{
	if (likely(sa->seen_family == seen->family &&
		   espudp_addr_equal(seen->family, &sa->seen_local, &seen->local)))
		return;
	WRITE_ONCE(sa->seen_family, 0);
	sa->seen_local = seen->local;
	WRITE_ONCE(sa->seen_family, seen->family);
}

/* A batch whose decryption is over. */
static void batch_finish(struct rx_ctx *ctx, struct rx_batch *b)
{
	struct rx_run run = {};
	unsigned int i;

	ctx->alone = b->job.n == 1 && !espudp_gro_keeps(&ctx->q->napi);
	for (i = 0; i < b->job.n; i++)
		rx_finish(ctx, b, i, &run);
	merge_flush(ctx);
	if (run.packets) {
		note_local(b->job.sa, &b->outer.seen);
		espudp_stats_rx(b->job.sa, run.packets, run.bytes);
		espudp_sa_used(b->job.sa, run.packets, run.bytes);
	}
	espudp_job_finish(&b->job);
	batch_free(b);
}

/**
 * espudp_rx_poll() - receive what is queued
 * @napi: a CPU's receive queue
 * @budget: datagrams, or super-packets
 *
 * Context: softirq or NAPI thread, BH off.
 * Return: datagrams taken.
 */
int espudp_rx_poll(struct napi_struct *napi, int budget)
{
	struct espudp_queue *q = container_of(napi, struct espudp_queue, napi);
	struct rx_ctx ctx = { .q = q };
	struct espudp_job *job;
	struct sk_buff_head in;
	struct sk_buff *skb;
	int done;

	done = espudp_queue_take(q, &in, budget);

	rcu_read_lock();
	while ((skb = __skb_dequeue(&in)))
		rx_datagrams(&ctx, skb);
	if (ctx.open)
		batch_close(&ctx);
	while ((job = espudp_job_next_done(q)))
		batch_finish(&ctx, container_of(job, struct rx_batch, job));
	espudp_queue_keep(q);
	rcu_read_unlock();
	return espudp_queue_end(q, done, budget);
}

/**
 * espudp_rx_drop() - drop a batch because the device is down
 * @job: its job, off the list
 */
void espudp_rx_drop(struct espudp_job *job)
{
	struct rx_batch *b = container_of(job, struct rx_batch, job);
	unsigned int i;

	rcu_read_lock();
	for (i = 0; i < job->n; i++) {
		espudp_stats_drop(job->q->edev, NULL, NULL, ESPUDP_DROP_RX_DEV_DOWN);
		piece_put(&job->pkt[i]);
	}
	rcu_read_unlock();
	espudp_job_finish(job);
	batch_free(b);
}

/**
 * espudp_rx_exit() - free the spare batches
 */
void espudp_rx_exit(void)
{
	espudp_spares_free(&spare_batches);
}
