// SPDX-License-Identifier: GPL-2.0
/* The transmit path, from the inner packet to the outer datagrams.
 *
 *	espudp_tx_xmit		ndo_start_xmit: onto this CPU's queue
 *	espudp_tx_poll		NAPI: tx_packet for each, then batch_send for
 *				those whose crypto is done, in order
 *	tx_packet		selectors, SA, MTU; cuts into segments
 *	add_segment		copies one into the open batch (segment.c)
 *	batch_close		sequence numbers and IVs at once, encrypt
 *	batch_send		one UDP-GSO packet, or one datagram
 *
 * A batch is what can be sent as one UDP-GSO packet: ESP packets of one SA of
 * equal size, the last may be shorter. It is closed by a packet that does not
 * fit or by the end of the poll. Senders hand over packets one at a time; the
 * softirq that the first one raised finds what came after it.
 */
#include <linux/icmpv6.h>
#include <net/icmp.h>
#include <net/ip.h>
#include <net/ip_tunnels.h>
#include <net/ipv6.h>
#include <net/ipv6_frag.h>
#include <net/netfilter/ipv6/nf_defrag_ipv6.h>
#include "dev.h"
#include "encap.h"
#include "esp.h"
#include "mem.h"
#include "segment.h"
#include "tx.h"

#define DEFRAG_USER 0x6573706f	/* "espo" */

/* For link layer, IPv6 and UDP headers, and for another tunnel's. */
#define TX_HEADROOM ALIGN(LL_MAX_HEADER + 128, 64)

/**
 * struct tx_batch - ESP packets that leave as one
 * @path: where they go
 * @out: outer packet; the first is in its head, the others are its frags
 * @src: packets that are wholly in this batch or before it, freed when it was
 *	handed down so that their senders feel the queue
 * @gso_size: octets of the first ESP packet
 * @total: octets of all
 * @inner_bytes: octets of the inner packets
 * @tos: outer type of service or traffic class
 * @hops: devices gone through
 * @df: outer don't-fragment bit
 * @closed: a shorter one came; no more fit
 * @iv: random IVs, drawn at once
 * @job: their encryption
 */
struct tx_batch {
	struct espudp_path path;
	struct sk_buff *out;
	struct sk_buff_head src;
	unsigned int gso_size;
	unsigned int total;
	unsigned int inner_bytes;
	u8 tos;
	u8 hops;
	bool df;
	bool closed;
	u8 iv[ESPUDP_BATCH_SEGS * ESPUDP_IV_MAX];
	struct espudp_job job;
};

/* What a poll works on. */
struct tx_ctx {
	struct espudp_queue *q;
	struct tx_batch *open;
};

/* Where and how a packet is to be sent. */
struct tx_how {
	struct espudp_peer *peer;
	struct espudp_sa *sa;
	const struct espudp_flow *flow;
	u8 tos;
	u8 hops;
	bool df;
	bool transport;
	bool whole;		/* was reassembled here */
	u8 next_header;
};

static DEFINE_PER_CPU(struct espudp_spares, spare_batches);

static void batch_free(struct tx_batch *b)
{
	struct sk_buff *skb;

	while ((skb = __skb_dequeue(&b->src)))
		napi_consume_skb(skb, 1);
	espudp_spare_put(&spare_batches, b);
}

static void count_drops(struct espudp_dev *edev, struct espudp_sa *sa, unsigned int n,
			enum espudp_drop why)
{
	while (n--)
		espudp_stats_drop(edev, sa->peer, sa, why);
}

/* Numbers, IVs, encryption; from here on the batch is the queue's. */
static void batch_close(struct tx_ctx *ctx)
{
	struct tx_batch *b = ctx->open;
	enum espudp_drop why = ESPUDP_DROP_NONE;
	struct espudp_job *job = &b->job;
	struct espudp_sa *sa = job->sa;
	unsigned int iv = sa->aead.iv;
	unsigned int i, n;
	u64 seq;

	ctx->open = NULL;
	n = job->n ? espudp_sa_take_seq(sa, job->n, &seq, &why) : 0;
	if (unlikely(n < job->n)) {
		count_drops(ctx->q->edev, sa, job->n - n, why);
		for (i = n, b->total = 0; i--;)
			b->total += job->pkt[i].len;
		if (pskb_trim(b->out, b->total))
			n = 0;
		job->n = n;
	}
	if (unlikely(!n)) {
		dst_release(b->path.dst);
		kfree_skb(b->out);
		batch_free(b);
		return;
	}
	if (!sa->aead.counter && iv)
		get_random_bytes(b->iv, n * iv);
	atomic_add(b->total, &sa->peer->tx_queued);

	for (i = 0; i < n; i++, seq++) {
		__be32 *esp = job->pkt[i].esp;

		job->pkt[i].seq = seq;
		esp[0] = sa->spi;
		esp[1] = htonl((u32)seq);
		if (sa->aead.counter)
			put_unaligned_be64(sa->iv_mask ^ seq, esp + 2);
		else
			memcpy(esp + 2, b->iv + i * iv, iv);
	}
	espudp_job_submit(job, ctx->q, true);
}

static enum espudp_drop batch_open(struct tx_ctx *ctx, const struct tx_how *how)
{
	enum espudp_drop why;
	struct tx_batch *b;

	if (unlikely(atomic_read(&how->peer->tx_queued) > ESPUDP_PEER_BYTES))
		return ESPUDP_DROP_TX_QUEUE_FULL;
	b = espudp_spare_get(&spare_batches, sizeof(*b));
	if (unlikely(!b))
		return ESPUDP_DROP_TX_NOMEM;
	__skb_queue_head_init(&b->src);
	why = espudp_encap_path(how->peer, &b->path);
	if (unlikely(why)) {
		batch_free(b);
		return why;
	}
	b->out = NULL;
	b->job.sa = how->sa;
	b->job.n = 0;
	b->total = 0;
	b->inner_bytes = 0;
	b->tos = how->tos;
	b->df = how->df;
	b->hops = how->hops;
	b->closed = false;
	ctx->open = b;
	return ESPUDP_DROP_NONE;
}

/* The open batch if it is of the same kind, else a new one. */
static enum espudp_drop batch_for(struct tx_ctx *ctx, const struct tx_how *how)
{
	struct tx_batch *b = ctx->open;

	if (b && b->job.sa == how->sa && b->tos == how->tos && b->df == how->df &&
	    b->hops == how->hops)
		return ESPUDP_DROP_NONE;
	if (b)
		batch_close(ctx);
	return batch_open(ctx, how);
}

/* Does another ESP packet of @len octets fit the open batch? */
static bool batch_fits(const struct tx_batch *b, unsigned int len)
{
	if (!b->job.n)
		return true;
	return b->path.csum && !b->closed && len <= b->gso_size &&
	       b->job.n < ESPUDP_BATCH_SEGS && skb_shinfo(b->out)->nr_frags < MAX_SKB_FRAGS &&
	       espudp_encap_hlen(b->path.family) + b->total + len <= IP_MAX_MTU;
}

/* Makes the outer packet, and room for the first ESP packet in it. */
static void *batch_head(struct tx_batch *b, unsigned int len)
{
	unsigned int size = SKB_DATA_ALIGN(TX_HEADROOM + len) +
			    SKB_DATA_ALIGN(sizeof(struct skb_shared_info));
	void *head = espudp_mem_get(ESPUDP_MEM_TX, size, 64);

	if (unlikely(!head))
		return NULL;
	b->out = napi_build_skb(head, size);
	if (unlikely(!b->out)) {
		espudp_mem_put(head);
		return NULL;
	}
	skb_reserve(b->out, TX_HEADROOM);
	return skb_put(b->out, len);
}

/* Adds an ESP packet's memory to the outer packet. */
static void batch_frag(struct sk_buff *out, void *esp, unsigned int len)
{
	struct page *page = virt_to_head_page(esp);
	unsigned int off = esp - page_address(page);
	int n = skb_shinfo(out)->nr_frags;

	if (skb_can_coalesce(out, n, page, off)) {
		skb_frag_size_add(&skb_shinfo(out)->frags[n - 1], len);
		put_page(page);
	} else {
		skb_fill_page_desc(out, n, page, off, len);
	}
	out->len += len;
	out->data_len += len;
	out->truesize += len;
}

/* Copies a segment into the batch that @how asks for. */
static enum espudp_drop add_segment(struct tx_ctx *ctx, const struct tx_how *how,
				    const struct espudp_segment *seg, u32 mtu)
{
	const struct espudp_aead *aead = &how->sa->aead;
	unsigned int payload = seg->len - seg->skip;
	unsigned int padded = max(payload, min_t(unsigned int, how->peer->tfc, mtu));
	unsigned int len = espudp_aead_esp_len(aead, padded);
	enum espudp_drop why;
	struct tx_batch *b;
	void *esp;
	u8 *inner;

	why = batch_for(ctx, how);
	if (unlikely(why))
		return why;
	if (!batch_fits(ctx->open, len)) {
		batch_close(ctx);
		why = batch_open(ctx, how);
		if (unlikely(why))
			return why;
	}
	b = ctx->open;
	if (unlikely(espudp_encap_hlen(b->path.family) + len > IP_MAX_MTU))
		return ESPUDP_DROP_TX_TOO_BIG;
	esp = b->job.n ? espudp_mem_get(ESPUDP_MEM_TX, len, 4) : batch_head(b, len);
	if (unlikely(!esp))
		return ESPUDP_DROP_TX_NOMEM;

	inner = esp + 8 + aead->iv;
	if (unlikely(!espudp_segment_copy(seg, inner))) {
		if (b->job.n) {
			espudp_mem_put(esp);
		} else {
			kfree_skb(b->out);
			b->out = NULL;
		}
		return ESPUDP_DROP_TX_MALFORMED;
	}
	memset(inner + payload, 0, padded - payload);
	espudp_esp_trailer(inner + padded, len - 8 - aead->iv - aead->icv - padded - 2,
			   how->next_header);
	if (b->job.n)
		batch_frag(b->out, esp, len);

	if (!b->job.n)
		b->gso_size = len;
	else if (len < b->gso_size)
		b->closed = true;
	b->job.pkt[b->job.n].esp = esp;
	b->job.pkt[b->job.n].src = NULL;
	b->job.pkt[b->job.n].len = len;
	b->job.n++;
	b->total += len;
	b->inner_bytes += seg->len;
	return ESPUDP_DROP_NONE;
}

static void tell_unreachable(struct sk_buff *skb)
{
	if (skb->protocol == htons(ETH_P_IP))
		icmp_ndo_send(skb, ICMP_DEST_UNREACH, ICMP_HOST_UNREACH, 0);
	else
		icmpv6_ndo_send(skb, ICMPV6_DEST_UNREACH, ICMPV6_ADDR_UNREACH, 0);
}

static void tell_too_big(struct sk_buff *skb, u32 mtu)
{
	skb_dst_update_pmtu_no_confirm(skb, mtu);
	if (skb->protocol == htons(ETH_P_IP))
		icmp_ndo_send(skb, ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED, htonl(mtu));
	else
		icmpv6_ndo_send(skb, ICMPV6_PKT_TOOBIG, 0, mtu);
}

/* Collects a fragment. True if @skb is now the whole datagram; else it was
 * taken, and *@why is set if it was dropped.
 */
static bool tx_defrag(struct espudp_dev *edev, struct sk_buff *skb, enum espudp_drop *why)
{
	struct net *net = dev_net(edev->dev);
	int err;

	skb_orphan(skb);
	memset(skb->cb, 0, sizeof(skb->cb));
	if (skb->protocol == htons(ETH_P_IP)) {
		err = ip_defrag(net, skb, DEFRAG_USER);
	} else {
		err = nf_ct_frag6_gather(net, skb, DEFRAG_USER);
		if (err && err != -EINPROGRESS)
			kfree_skb(skb);
	}
	if (err && err != -EINPROGRESS)
		*why = ESPUDP_DROP_TX_DEFRAG;
	return !err;
}

/* The outer header's type of service (RFC 6040 normal mode) and DF. */
static void set_how(struct espudp_dev *edev, const struct sk_buff *skb, struct tx_how *how)
{
	u8 dscp = READ_ONCE(edev->dscp) == ESPUDP_DSCP_COPY ? 0xfc : 0;
	u8 df = READ_ONCE(edev->df);
	u8 tos;

	if (skb->protocol == htons(ETH_P_IP)) {
		tos = ip_hdr(skb)->tos;
		how->df = ip_hdr(skb)->frag_off & htons(IP_DF) && !how->whole;
		how->next_header = IPPROTO_IPIP;
	} else {
		tos = ipv6_get_dsfield(ipv6_hdr(skb));
		how->df = true;
		how->next_header = IPPROTO_IPV6;
	}
	how->hops = espudp_skb_hops(skb) + 1;
	if (how->transport) {	/* the outer header is the packet's own */
		how->tos = tos;
		how->next_header = skb->protocol == htons(ETH_P_IP) ? ip_hdr(skb)->protocol :
								      ipv6_hdr(skb)->nexthdr;
		return;
	}
	how->tos = tos & (dscp | INET_ECN_MASK);
	if (df != ESPUDP_DF_COPY)
		how->df = df == ESPUDP_DF_SET;
}

/* Transport mode: the packet has the address of the open batch's path; its
 * checksum is to be over those that the SA was negotiated with.
 */
static enum espudp_drop set_oa(const struct tx_ctx *ctx, const struct tx_how *how,
			       struct espudp_segment *seg, struct espudp_natoa *n)
{
	const struct espudp_path *path = &ctx->open->path;
	const struct espudp_flow *flow = how->flow;
	const struct espudp_oa *oa = &how->sa->oa;

	if (flow->family != path->family ||
	    !espudp_addr_equal(flow->family, &flow->local, &path->saddr))
		return ESPUDP_DROP_TX_SOURCE;
	/* It has roamed, its selectors have not yet: somebody else may be there. */
	if (!how->peer->virt_family &&
	    !espudp_addr_equal(flow->family, &flow->remote, &path->daddr))
		return ESPUDP_DROP_TX_NO_SELECTOR;
	n->family = flow->family;
	n->src[0] = flow->local;
	n->dst[0] = flow->remote;
	n->src[1] = oa->has_local ? oa->local : path->saddr;
	n->dst[1] = oa->has_remote ? oa->remote : path->daddr;
	espudp_segment_transport(seg, flow->upper, flow->proto, n);
	return ESPUDP_DROP_NONE;
}

/* Cuts a packet into segments and adds them all. */
static enum espudp_drop tx_segments(struct tx_ctx *ctx, struct tx_how *how,
				    struct sk_buff *skb, unsigned int len)
{
	struct espudp_dev *edev = ctx->q->edev;
	bool v4 = skb->protocol == htons(ETH_P_IP);
	struct espudp_segment seg;
	struct espudp_natoa oa;
	enum espudp_drop why;
	bool oversize = false;
	u32 mtu;

	why = batch_for(ctx, how);
	if (unlikely(why))
		return why;
	mtu = espudp_encap_inner_max(&ctx->open->path, how->sa);

	if (!espudp_segment_init(&seg, skb, len))
		return ESPUDP_DROP_TX_MALFORMED;
	if (how->transport) {
		why = set_oa(ctx, how, &seg, &oa);
		if (unlikely(why))
			return why;
	}
	if (unlikely(espudp_segment_max(&seg) > mtu)) {
		if (!how->whole && (v4 ? !!(ip_hdr(skb)->frag_off & htons(IP_DF)) :
				    espudp_segment_max(&seg) > max_t(u32, mtu, IPV6_MIN_MTU))) {
			tell_too_big(skb, v4 ? mtu : max_t(u32, mtu, IPV6_MIN_MTU));
			return ESPUDP_DROP_TX_TOO_BIG;
		}
		if (v4 && !seg.gso && !how->transport &&
		    READ_ONCE(edev->frag) == ESPUDP_FRAG_INSIDE)
			oversize = !espudp_segment_fragment(&seg, mtu);
		else
			oversize = true;
		if (oversize)	/* to be fragmented outside */
			how->df = false;
	}
	do {
		why = add_segment(ctx, how, &seg, mtu);
		if (unlikely(why))
			return why;
	} while (espudp_segment_next(&seg));
	return ESPUDP_DROP_NONE;
}

/* Finds the peer for a packet: by its virtual address, else by selectors.
 * ERR_PTR(-EAGAIN) for a fragment that only its datagram can decide, or that
 * transport mode must not protect (RFC 4303 section 3.3.4).
 */
static struct espudp_peer *tx_peer(struct espudp_dev *edev, const struct espudp_flow *flow,
				   enum espudp_drop *why)
{
	struct espudp_peer *peer;
	int match;

	*why = ESPUDP_DROP_TX_NO_SELECTOR;
	if (likely(!espudp_pool_covers(edev, flow->family, &flow->remote))) {
		peer = espudp_select_lookup(&edev->select, flow);
	} else {
		peer = espudp_pool_find(edev, flow->family, &flow->remote);
		match = peer ? espudp_select_match(peer, flow) : 1;
		if (match != 1)
			return ERR_PTR(match ?: -ENOENT);
		*why = ESPUDP_DROP_TX_VIRTUAL;
	}
	if (!IS_ERR_OR_NULL(peer) && peer->mode == ESPUDP_MODE_TRANSPORT && flow->frag)
		return ERR_PTR(-EAGAIN);
	return peer;
}

/* Finds the peer and SA for a packet and sends it; consumes @skb. */
static void tx_packet(struct tx_ctx *ctx, struct sk_buff *skb)
{
	struct espudp_dev *edev = ctx->q->edev;
	enum espudp_drop why = ESPUDP_DROP_NONE;
	struct tx_how how = {};
	struct espudp_flow flow;
	unsigned int len;

again:
	skb_reset_network_header(skb);
	if (unlikely(!espudp_select_parse(skb, true, &flow))) {
		why = ESPUDP_DROP_TX_MALFORMED;
		goto drop;
	}
	skb->protocol = espudp_flow_protocol(&flow);
	how.peer = tx_peer(edev, &flow, &why);
	if (unlikely(how.peer == ERR_PTR(-EAGAIN) && !how.whole)) {
		how.peer = NULL;
		why = ESPUDP_DROP_NONE;
		if (tx_defrag(edev, skb, &why)) {
			skb->dev = edev->dev;
			how.whole = true;
			goto again;
		}
		if (why)
			espudp_stats_drop(edev, NULL, NULL, why);
		return;
	}
	if (IS_ERR_OR_NULL(how.peer)) {
		how.peer = NULL;
		tell_unreachable(skb);
		goto drop;
	}
	why = ESPUDP_DROP_NONE;
	how.flow = &flow;
	how.transport = how.peer->mode == ESPUDP_MODE_TRANSPORT;
	how.sa = rcu_dereference(how.peer->out);
	if (unlikely(how.sa && !espudp_sa_usable(how.sa))) {
		why = ESPUDP_DROP_TX_EXPIRED;
		how.sa = espudp_peer_usable_out(how.peer);
	}
	if (unlikely(!how.sa)) {
		why = why ?: ESPUDP_DROP_TX_NO_SA;
		espudp_peer_acquire(how.peer);
		tell_unreachable(skb);
		goto drop;
	}
	len = flow.family == AF_INET ? ntohs(ip_hdr(skb)->tot_len) :
	      sizeof(struct ipv6hdr) + ntohs(ipv6_hdr(skb)->payload_len);
	set_how(edev, skb, &how);
	why = tx_segments(ctx, &how, skb, len);
	if (unlikely(why)) {
		if (why == ESPUDP_DROP_TX_NO_ROUTE || why == ESPUDP_DROP_TX_NO_SOCKET ||
		    why == ESPUDP_DROP_TX_LOOP)
			tell_unreachable(skb);
		goto drop;
	}
	__skb_queue_tail(&ctx->open->src, skb);
	return;
drop:
	espudp_drop(edev, how.peer, how.sa, skb, why);
}

/* A batch whose encryption is over. */
static void batch_send(struct tx_batch *b)
{
	struct espudp_dev *edev = b->job.q->edev;
	struct espudp_sa *sa = b->job.sa;
	int err = espudp_job_err(&b->job);
	unsigned int n = b->job.n;
	enum espudp_drop why;

	atomic_sub(b->total, &sa->peer->tx_queued);
	if (unlikely(err)) {
		why = err == -ENOMEM ? ESPUDP_DROP_TX_NOMEM : ESPUDP_DROP_TX_CRYPTO;
		dst_release(b->path.dst);
		goto drop;
	}
	if (n > 1) {
		skb_shinfo(b->out)->gso_size = b->gso_size;
		skb_shinfo(b->out)->gso_segs = n;
		skb_shinfo(b->out)->gso_type = SKB_GSO_UDP_L4;
	}
	why = espudp_encap_xmit(edev, &b->path, b->out, b->tos, b->df, b->hops);
	if (unlikely(why))
		goto drop;
	espudp_peer_sent(sa->peer);
	espudp_stats_tx(sa, n, b->inner_bytes);
	espudp_sa_used(sa, n, b->inner_bytes);
	batch_free(b);
	return;
drop:
	count_drops(edev, sa, n, why);
	kfree_skb(b->out);
	batch_free(b);
}

/**
 * espudp_tx_poll() - transmit what is queued
 * @napi: a CPU's transmit queue
 * @budget: packets
 *
 * Context: softirq or NAPI thread, BH off.
 * Return: packets taken.
 */
int espudp_tx_poll(struct napi_struct *napi, int budget)
{
	struct espudp_queue *q = container_of(napi, struct espudp_queue, napi);
	struct tx_ctx ctx = { .q = q };
	struct espudp_job *job;
	struct sk_buff_head in;
	struct sk_buff *skb;
	int done;

	done = espudp_queue_take(q, &in, budget);

	rcu_read_lock();
	while ((skb = __skb_dequeue(&in)))
		tx_packet(&ctx, skb);
	if (ctx.open)
		batch_close(&ctx);
	while ((job = espudp_job_next_done(q))) {
		struct espudp_sa *sa = job->sa;
		bool held = job->held;

		batch_send(container_of(job, struct tx_batch, job));
		if (unlikely(held))
			espudp_sa_put(sa);
	}
	espudp_queue_keep(q);
	rcu_read_unlock();
	return espudp_queue_end(q, done, budget);
}

/**
 * espudp_tx_xmit() - ndo_start_xmit
 * @skb: inner packet, or one with gso_size set
 * @dev: our device
 *
 * Context: BH off.
 * Return: NETDEV_TX_OK.
 */
netdev_tx_t espudp_tx_xmit(struct sk_buff *skb, struct net_device *dev)
{
	struct espudp_dev *edev = netdev_priv(dev);
	struct espudp_queue *q;
	u64 *slot;

	skb = skb_share_check(skb, GFP_ATOMIC);
	if (unlikely(!skb)) {
		espudp_stats_drop(edev, NULL, NULL, ESPUDP_DROP_TX_NOMEM);
		return NETDEV_TX_OK;
	}
	if (unlikely(espudp_skb_hops(skb) >= ESPUDP_HOPS_MAX)) {
		espudp_drop(edev, NULL, NULL, skb, ESPUDP_DROP_TX_RECURSION);
		return NETDEV_TX_OK;
	}
	slot = &edev->flows[skb_get_hash(skb) % ESPUDP_FLOWS];
	q = espudp_queue_for(edev->txq, slot);
	if (unlikely(!espudp_queue_put(q, skb, slot)))
		espudp_drop(edev, NULL, NULL, skb, ESPUDP_DROP_TX_QUEUE_FULL);
	return NETDEV_TX_OK;
}

/**
 * espudp_tx_drop() - drop a batch because the device is down
 * @job: its job, off the list
 */
void espudp_tx_drop(struct espudp_job *job)
{
	struct tx_batch *b = container_of(job, struct tx_batch, job);
	struct espudp_sa *sa = job->sa;
	bool held = job->held;

	atomic_sub(b->total, &sa->peer->tx_queued);
	rcu_read_lock();
	count_drops(job->q->edev, sa, job->n, ESPUDP_DROP_TX_DEV_DOWN);
	rcu_read_unlock();
	dst_release(b->path.dst);
	kfree_skb(b->out);
	batch_free(b);
	if (held)
		espudp_sa_put(sa);
}

/**
 * espudp_tx_exit() - free the spare batches
 */
void espudp_tx_exit(void)
{
	espudp_spares_free(&spare_batches);
}
