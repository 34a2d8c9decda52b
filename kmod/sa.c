// SPDX-License-Identifier: GPL-2.0
/* Security associations: installation, look-up, lifetimes, deletion. */
#include <linux/slab.h>
#include "dev.h"
#include "event.h"
#include "hold.h"
#include "sa.h"

/* Per packet, and cheaper than a call of memcmp(). */
static int spi_differs(struct rhashtable_compare_arg *arg, const void *obj)
{
	const struct espudp_sa *sa = obj;

	return sa->spi != *(const __be32 *)arg->key;
}

/* In @told, whose other bits are about sequence numbers. */
#define SOFT_CAUSES (BIT(ESPUDP_EXPIRE_CAUSE_SECONDS) | BIT(ESPUDP_EXPIRE_CAUSE_PACKETS) | \
		     BIT(ESPUDP_EXPIRE_CAUSE_BYTES))

static const struct rhashtable_params spi_params = {
	.obj_cmpfn = spi_differs,
	.key_len = sizeof(__be32),
	.key_offset = offsetof(struct espudp_sa, spi),
	.head_offset = offsetof(struct espudp_sa, node),
	.automatic_shrinking = true,
};

/**
 * espudp_sa_table_init() - make a device's table of inbound SPIs
 * @edev: device being made
 *
 * Return: 0 or an error.
 */
int espudp_sa_table_init(struct espudp_dev *edev)
{
	INIT_LIST_HEAD(&edev->reserved);
	return rhashtable_init(&edev->spis, &spi_params);
}

/**
 * espudp_sa_table_destroy() - free the table, empty by now
 * @edev: device being freed
 */
void espudp_sa_table_destroy(struct espudp_dev *edev)
{
	rhashtable_destroy(&edev->spis);
}

/**
 * espudp_sa_find_in() - inbound SA or reserved SPI
 * @edev: device
 * @spi: network byte order
 *
 * Context: RCU read side, or the device's lock.
 * Return: SA or NULL.
 */
struct espudp_sa *espudp_sa_find_in(struct espudp_dev *edev, __be32 spi)
{
	return rhashtable_lookup_fast(&edev->spis, &spi, spi_params);
}

/**
 * espudp_sa_find_out() - outbound SA of a peer
 * @peer: owner
 * @spi: network byte order
 *
 * Context: device's lock.
 * Return: SA or NULL.
 */
struct espudp_sa *espudp_sa_find_out(struct espudp_peer *peer, __be32 spi)
{
	struct espudp_sa *sa;

	lockdep_assert_held(&peer->edev->lock);
	list_for_each_entry(sa, &peer->sas, list)
		if (sa->dir == ESPUDP_DIR_OUT && sa->spi == spi)
			return sa;
	return NULL;
}

static void sa_free(struct espudp_sa *sa)
{
	espudp_trace_object("destroyed", "sa", "%u", sa->serial);
	espudp_aead_free(&sa->aead);
	espudp_replay_free(&sa->replay);
	free_percpu(sa->stats);
	if (sa->peer)
		espudp_peer_put(sa->peer);
	kfree_sensitive(sa);
}

static void sa_free_work(struct work_struct *work)
{
	sa_free(container_of(to_rcu_work(work), struct espudp_sa, free_work));
}

static void sa_release(struct kref *ref)
{
	struct espudp_sa *sa = container_of(ref, struct espudp_sa, ref);

	/* The last request may have completed in softirq; ciphers are freed
	 * where sleeping is allowed.
	 */
	INIT_WORK(&sa->free_work.work, sa_free_work);
	queue_work(espudp_wq, &sa->free_work.work);
}

/**
 * espudp_sa_put() - drop a reference
 * @sa: SA
 *
 * Context: any.
 */
void espudp_sa_put(struct espudp_sa *sa)
{
	kref_put(&sa->ref, sa_release);
}

static void sa_unlinked_work(struct work_struct *work)
{
	espudp_sa_put(container_of(to_rcu_work(work), struct espudp_sa, free_work));
}

static void sa_expire(struct espudp_sa *sa, enum espudp_expire_cause cause)
{
	if (xchg(&sa->state, ESPUDP_SA_STATE_EXPIRED) == ESPUDP_SA_STATE_EXPIRED)
		return;
	espudp_event_sa(sa, ESPUDP_EVENT_TYPE_EXPIRE_HARD, cause, 0);
	queue_work(espudp_wq, &sa->edev->reap_work);
}

static void sa_soften(struct espudp_sa *sa, enum espudp_expire_cause cause)
{
	if (test_and_set_bit(cause, &sa->told))
		return;
	cmpxchg(&sa->state, ESPUDP_SA_STATE_VALID, ESPUDP_SA_STATE_SOFT);
	espudp_event_sa(sa, ESPUDP_EVENT_TYPE_EXPIRE_SOFT, cause, 0);
}

/* Seconds are counted from installation; a timer that fires early, because
 * its interval was cut short or lifetimes changed, looks and goes on.
 */
static void sa_timer(struct timer_list *t)
{
	struct espudp_sa *sa = timer_container_of(sa, t, timer);
	u64 age = ktime_get_boottime_seconds() - sa->installed;
	u64 soft = READ_ONCE(sa->life.soft_seconds);
	u64 hard = READ_ONCE(sa->life.hard_seconds);
	unsigned long now = jiffies, wait;
	u64 next = 3600;

	if (hard && age >= hard) {
		sa_expire(sa, sa->state == ESPUDP_SA_STATE_RESERVED ?
			  ESPUDP_EXPIRE_CAUSE_RESERVATION : ESPUDP_EXPIRE_CAUSE_SECONDS);
		return;
	}
	if (hard)
		next = min(next, hard - age);
	if (soft && age >= soft)
		sa_soften(sa, ESPUDP_EXPIRE_CAUSE_SECONDS);
	else if (soft)
		next = min(next, soft - age);
	wait = next * HZ;
	if (sa->life.standby && time_after_eq(now, sa->ready)) {
		WRITE_ONCE(sa->life.standby, 0);
		espudp_peer_pick_out(sa->peer);
	} else if (sa->life.standby) {
		wait = min(wait, sa->ready - now);
	}
	mod_timer(&sa->timer, now + wait);
}

static void sa_arm(struct espudp_sa *sa)
{
	if (sa->life.soft_seconds || sa->life.hard_seconds || sa->life.standby)
		mod_timer(&sa->timer, jiffies + 1);
}

static struct espudp_sa *sa_alloc(struct espudp_dev *edev, struct espudp_peer *peer, u8 dir)
{
	struct espudp_sa *sa = kzalloc(sizeof(*sa), GFP_KERNEL_ACCOUNT);

	if (!sa)
		return NULL;
	sa->stats = espudp_stats_alloc(GFP_KERNEL_ACCOUNT);
	if (!sa->stats) {
		kfree(sa);
		return NULL;
	}
	kref_init(&sa->ref);
	timer_setup(&sa->timer, sa_timer, 0);
	spin_lock_init(&sa->replay.lock);
	sa->edev = edev;
	sa->dir = dir;
	sa->installed = ktime_get_boottime_seconds();
	sa->gen = ++edev->next_gen;
	if (peer) {
		kref_get(&peer->ref);
		sa->peer = peer;
	}
	sa->serial = espudp_dev_serial();
	espudp_trace_object("created", "sa", "%u", sa->serial);
	return sa;
}

/* Into the lists, newest first. The table is the caller's. */
static void sa_link(struct espudp_sa *sa)
{
	struct espudp_dev *edev = sa->edev;

	if (sa->peer) {
		list_add_rcu(&sa->list, &sa->peer->sas);
		sa->peer->n_sas++;
	} else {
		list_add_rcu(&sa->list, &edev->reserved);
		edev->n_reserved++;
	}
	edev->n_sas++;
	edev->generation++;
}

static int sa_room(struct espudp_dev *edev, struct espudp_peer *peer,
		   struct netlink_ext_ack *extack)
{
	if (peer ? peer->n_sas >= ESPUDP_SAS_PER_PEER :
		   edev->n_reserved >= ESPUDP_RESERVED_MAX) {
		NL_SET_ERR_MSG(extack, "too many SAs or reserved SPIs");
		return -ENOSPC;
	}
	return 0;
}

/**
 * espudp_sa_reserve() - reserve an inbound SPI
 * @edev: device, locked
 * @peer: owner, or NULL if it is not known yet
 * @min: smallest SPI
 * @max: largest SPI
 * @timeout: seconds until the reservation expires
 * @extack: told why not
 *
 * Return: the reservation, or an error: -ENOSPC if no SPI is free.
 */
struct espudp_sa *espudp_sa_reserve(struct espudp_dev *edev, struct espudp_peer *peer,
				    u32 min, u32 max, u32 timeout,
				    struct netlink_ext_ack *extack)
{
	struct espudp_sa *sa;
	u32 span = max - min;
	u32 tries, at;
	int err;

	lockdep_assert_held(&edev->lock);
	err = sa_room(edev, peer, extack);
	if (err)
		return ERR_PTR(err);
	sa = sa_alloc(edev, peer, ESPUDP_DIR_IN);
	if (!sa)
		return ERR_PTR(-ENOMEM);
	sa->state = ESPUDP_SA_STATE_RESERVED;
	sa->life.hard_seconds = timeout;

	/* Small ranges are searched to the end, large ones are mostly empty. */
	at = get_random_u32();
	for (tries = 0; tries < 4096; tries++, at++) {
		sa->spi = cpu_to_be32(min + (span == U32_MAX ? at : at % (span + 1)));
		err = rhashtable_lookup_insert_fast(&edev->spis, &sa->node, spi_params);
		if (err != -EEXIST)
			break;
		if (tries == span)
			break;
		if (span > 4096)
			at = get_random_u32();
	}
	if (err) {
		sa_free(sa);
		if (err != -EEXIST)
			return ERR_PTR(err);
		NL_SET_ERR_MSG(extack, "no SPI of that range is free");
		return ERR_PTR(-ENOSPC);
	}
	sa_link(sa);
	sa_arm(sa);
	return sa;
}

/* Takes an SA out of lists and timers; the table is the caller's. */
static void sa_unlink(struct espudp_sa *sa)
{
	struct espudp_dev *edev = sa->edev;

	list_del_rcu(&sa->list);
	if (sa->peer)
		sa->peer->n_sas--;
	else
		edev->n_reserved--;
	edev->n_sas--;
	edev->generation++;
	timer_shutdown_sync(&sa->timer);
	INIT_RCU_WORK(&sa->free_work, sa_unlinked_work);
}

/* The peer expects checksums over the addresses that it was told by IKE: those
 * that are in force now.
 */
static void default_oa(struct espudp_peer *peer, struct espudp_oa *oa)
{
	struct in6_addr local, remote;

	if ((oa->has_local && oa->has_remote) || !espudp_peer_ends(peer, &local, &remote))
		return;
	if (!oa->has_local)
		oa->local = local;
	if (!oa->has_remote)
		oa->remote = remote;
	oa->has_local = true;
	oa->has_remote = true;
}

/**
 * espudp_sa_check_spi() - may an SA have this SPI?
 * @edev: device, locked
 * @peer: owner
 * @spi: host byte order
 * @dir: enum espudp_dir
 * @extack: told why not
 *
 * An inbound SA completes a reservation of its SPI, unless it belongs to
 * another peer.
 *
 * Return: 0 or -EEXIST.
 */
int espudp_sa_check_spi(struct espudp_dev *edev, struct espudp_peer *peer, u32 spi, u8 dir,
			struct netlink_ext_ack *extack)
{
	const struct espudp_sa *old;

	lockdep_assert_held(&edev->lock);
	if (dir == ESPUDP_DIR_OUT) {
		if (!espudp_sa_find_out(peer, cpu_to_be32(spi)))
			return 0;
		NL_SET_ERR_MSG(extack, "the peer has an outbound SA with this SPI already");
		return -EEXIST;
	}
	old = espudp_sa_find_in(edev, cpu_to_be32(spi));
	if (old && old->state != ESPUDP_SA_STATE_RESERVED) {
		NL_SET_ERR_MSG(extack, "an inbound SA has this SPI already");
		return -EEXIST;
	}
	if (old && old->peer && old->peer != peer) {
		NL_SET_ERR_MSG(extack, "this SPI is reserved for another peer");
		return -EEXIST;
	}
	return 0;
}

/**
 * espudp_sa_new() - install an SA
 * @edev: device, locked
 * @peer: owner
 * @spi: host byte order, 256 or more, that passed espudp_sa_check_spi()
 * @dir: enum espudp_dir
 * @params: algorithm and keys
 * @window: replay window, packets
 * @seq: last sequence number sent, or highest received
 * @life: lifetimes, and when it comes into use
 * @ep: outer addresses that come into force with the SA, or NULL
 * @oa: what is known of the addresses that checksums are over
 * @extack: told why not
 *
 * RFC 4301 section 4.4.2.1.
 *
 * Return: the SA, or an error, and then nothing changed: -EEXIST if another peer
 * is at @ep already.
 */
struct espudp_sa *espudp_sa_new(struct espudp_dev *edev, struct espudp_peer *peer,
				u32 spi, u8 dir, const struct espudp_aead_params *params,
				u32 window, u64 seq, const struct espudp_lifetime *life,
				const struct espudp_endpoint *ep, const struct espudp_oa *oa,
				struct netlink_ext_ack *extack)
{
	struct espudp_endpoint *new_ep = NULL;
	struct espudp_sa *sa, *old = NULL;
	int err;

	lockdep_assert_held(&edev->lock);
	if (dir == ESPUDP_DIR_IN)
		old = espudp_sa_find_in(edev, cpu_to_be32(spi));
	err = sa_room(edev, peer, extack);
	if (err)
		return ERR_PTR(err);

	sa = sa_alloc(edev, peer, dir);
	if (!sa)
		return ERR_PTR(-ENOMEM);
	sa->spi = cpu_to_be32(spi);
	sa->state = ESPUDP_SA_STATE_VALID;
	sa->life = *life;
	sa->ready = jiffies + msecs_to_jiffies(life->standby);
	atomic64_set(&sa->seq, seq);
	sa->seq_start = seq;
	sa->oa = *oa;
	get_random_bytes(&sa->iv_mask, sizeof(sa->iv_mask));
	err = espudp_aead_init(&sa->aead, params, extack);
	if (!err && dir == ESPUDP_DIR_IN)
		err = espudp_replay_init(&sa->replay, window, params->esn, seq);
	if (!err && ep) {
		new_ep = kmemdup(ep, sizeof(*ep), GFP_KERNEL);
		if (!new_ep)
			err = -ENOMEM;
	}
	if (!err && ep)
		err = espudp_peer_renew(peer, ep, extack);
	if (!err && dir == ESPUDP_DIR_IN) {
		if (old)
			err = rhashtable_replace_fast(&edev->spis, &old->node,
						      &sa->node, spi_params);
		else
			err = rhashtable_lookup_insert_fast(&edev->spis, &sa->node, spi_params);
	}
	if (err) {
		if (new_ep)	/* selectors may have moved on without it */
			espudp_peer_renew_later(peer);
		kfree(new_ep);
		sa_free(sa);
		return ERR_PTR(err);
	}
	if (new_ep)
		espudp_peer_set_endpoint(peer, new_ep);
	if (dir == ESPUDP_DIR_OUT && peer->mode == ESPUDP_MODE_TRANSPORT)
		default_oa(peer, &sa->oa);
	if (old) {
		sa_unlink(old);
		queue_rcu_work(espudp_wq, &old->free_work);
	}
	sa_link(sa);
	if (ep || dir == ESPUDP_DIR_IN)
		espudp_peer_own_endpoint(peer, sa, ep);
	espudp_peer_pick_out(peer);
	sa_arm(sa);
	if (old)
		espudp_hold_release(edev, sa->spi);
	return sa;
}

/* Soft limits that change are told of anew when they are reached. */
static void sa_harden(struct espudp_sa *sa, unsigned long changed)
{
	unsigned long cause;

	/* After the limits: an event may come twice then. One is lost only where a packet
	 * that has just seen the old limit exceeded tells of it after this.
	 */
	smp_mb();
	for_each_set_bit(cause, &changed, BITS_PER_LONG)
		clear_bit(cause, &sa->told);
	smp_mb__after_atomic();	/* what became soft meanwhile stays so */
	if (changed && !(READ_ONCE(sa->told) & SOFT_CAUSES))
		cmpxchg(&sa->state, ESPUDP_SA_STATE_SOFT, ESPUDP_SA_STATE_VALID);
}

/**
 * espudp_sa_set_lifetime() - change lifetimes
 * @sa: SA, its device locked
 * @life: all six limits, counted from installation
 *
 * A soft limit that changes may expire again; without another one that has, the
 * SA is valid until then.
 */
void espudp_sa_set_lifetime(struct espudp_sa *sa, const struct espudp_lifetime *life)
{
	unsigned long changed = 0;

	lockdep_assert_held(&sa->edev->lock);
	if (sa->life.soft_seconds != life->soft_seconds)
		changed |= BIT(ESPUDP_EXPIRE_CAUSE_SECONDS);
	if (sa->life.soft_packets != life->soft_packets)
		changed |= BIT(ESPUDP_EXPIRE_CAUSE_PACKETS);
	if (sa->life.soft_bytes != life->soft_bytes)
		changed |= BIT(ESPUDP_EXPIRE_CAUSE_BYTES);
	WRITE_ONCE(sa->life.soft_seconds, life->soft_seconds);
	WRITE_ONCE(sa->life.hard_seconds, life->hard_seconds);
	WRITE_ONCE(sa->life.soft_packets, life->soft_packets);
	WRITE_ONCE(sa->life.hard_packets, life->hard_packets);
	WRITE_ONCE(sa->life.soft_bytes, life->soft_bytes);
	WRITE_ONCE(sa->life.hard_bytes, life->hard_bytes);
	sa_harden(sa, changed);
	sa->edev->generation++;
	sa_arm(sa);
}

/**
 * espudp_sa_kill() - delete an SA or give up a reservation
 * @sa: linked SA, its device locked
 *
 * After this no new packet uses the SA. Those that RCU readers have in hand,
 * and crypto requests in flight, finish; then it is freed.
 */
void espudp_sa_kill(struct espudp_sa *sa)
{
	struct espudp_peer *peer = sa->peer;

	lockdep_assert_held(&sa->edev->lock);
	if (sa->dir == ESPUDP_DIR_IN)
		rhashtable_remove_fast(&sa->edev->spis, &sa->node, spi_params);
	sa_unlink(sa);
	if (peer && sa->dir == ESPUDP_DIR_OUT)
		espudp_peer_pick_out(peer);
	queue_rcu_work(espudp_wq, &sa->free_work);
}

static void reap_list(struct list_head *sas)
{
	struct espudp_sa *sa, *tmp;

	list_for_each_entry_safe(sa, tmp, sas, list)
		if (READ_ONCE(sa->state) == ESPUDP_SA_STATE_EXPIRED)
			espudp_sa_kill(sa);
}

/**
 * espudp_sa_reap() - delete expired SAs
 * @work: the device's reap_work
 */
void espudp_sa_reap(struct work_struct *work)
{
	struct espudp_dev *edev = container_of(work, struct espudp_dev, reap_work);
	struct espudp_peer *peer;
	unsigned long id;

	mutex_lock(&edev->lock);
	xa_for_each(&edev->peers, id, peer)
		reap_list(&peer->sas);
	reap_list(&edev->reserved);
	mutex_unlock(&edev->lock);
}

/**
 * espudp_sa_take_seq() - take sequence numbers for a batch
 * @sa: outbound SA
 * @n: packets in the batch
 * @first: set to the first number
 * @why: set to the reason where fewer than @n could be had
 *
 * Never wraps (RFC 4303 section 3.3.3); keeps a limit on packets exactly.
 *
 * Context: any, RCU read side.
 * Return: how many numbers were taken, from *@first on.
 */
unsigned int espudp_sa_take_seq(struct espudp_sa *sa, unsigned int n, u64 *first,
				enum espudp_drop *why)
{
	u64 end = sa->aead.esn ? U64_MAX : U32_MAX;
	u64 packets = READ_ONCE(sa->life.hard_packets);
	u64 limit = packets && packets < end - sa->seq_start ? sa->seq_start + packets : end;
	u64 old = atomic64_read(&sa->seq);
	u64 take;

	do {
		take = min_t(u64, n, limit > old ? limit - old : 0);
		if (!take)
			break;
	} while (!atomic64_try_cmpxchg(&sa->seq, (s64 *)&old, old + take));
	*first = old + 1;

	/* With its last packet, so that the next one finds another SA. */
	if (unlikely(limit != end && old + take >= limit))
		sa_expire(sa, ESPUDP_EXPIRE_CAUSE_PACKETS);
	if (unlikely(take < n)) {
		*why = limit == end ? ESPUDP_DROP_TX_SEQ_EXHAUSTED : ESPUDP_DROP_TX_EXPIRED;
		if (limit == end && !test_and_set_bit(6, &sa->told))
			espudp_event_sa(sa, ESPUDP_EVENT_TYPE_SEQ_EXHAUSTED,
					ESPUDP_EXPIRE_CAUSE_PACKETS, 0);
	} else if (unlikely(end - old < ESPUDP_SEQ_EARLY) &&
		   !test_and_set_bit(7, &sa->told)) {
		espudp_event_sa(sa, ESPUDP_EVENT_TYPE_SEQ_SOFT,
				ESPUDP_EXPIRE_CAUSE_PACKETS, 0);
	}
	return take;
}

/**
 * espudp_sa_count_in() - count an inbound packet against a limit
 * @sa: inbound SA with a limit on packets
 *
 * Context: softirq.
 * Return: false if the limit was reached before this packet.
 */
bool espudp_sa_count_in(struct espudp_sa *sa)
{
	u64 hard = READ_ONCE(sa->life.hard_packets);
	u64 n = atomic64_inc_return(&sa->packets);

	if (n < hard)
		return true;
	sa_expire(sa, ESPUDP_EXPIRE_CAUSE_PACKETS);
	return n == hard;
}

/**
 * espudp_sa_packets() - packets that count towards lifetimes
 * @sa: SA
 *
 * Return: packets since installation.
 */
u64 espudp_sa_packets(const struct espudp_sa *sa)
{
	return sa->dir == ESPUDP_DIR_OUT ? atomic64_read(&sa->seq) - sa->seq_start :
					   atomic64_read(&sa->packets);
}

/**
 * espudp_sa_used() - charge traffic to an SA, once a batch
 * @sa: SA
 * @packets: inner packets
 * @bytes: inner octets
 *
 * Context: softirq.
 */
void espudp_sa_used(struct espudp_sa *sa, unsigned int packets, unsigned int bytes)
{
	u64 total = atomic64_add_return(bytes, &sa->bytes);
	unsigned long now = jiffies;
	u64 limit;

	if (READ_ONCE(sa->last_used) != now)
		WRITE_ONCE(sa->last_used, now);
	if (sa->dir == ESPUDP_DIR_IN && !READ_ONCE(sa->life.hard_packets))
		atomic64_add(packets, &sa->packets);

	limit = READ_ONCE(sa->life.hard_bytes);
	if (unlikely(limit && total >= limit))
		sa_expire(sa, ESPUDP_EXPIRE_CAUSE_BYTES);
	limit = READ_ONCE(sa->life.soft_bytes);
	if (unlikely(limit && total >= limit))
		sa_soften(sa, ESPUDP_EXPIRE_CAUSE_BYTES);
	limit = READ_ONCE(sa->life.soft_packets);
	if (unlikely(limit && espudp_sa_packets(sa) >= limit))
		sa_soften(sa, ESPUDP_EXPIRE_CAUSE_PACKETS);
}

/**
 * espudp_sa_failed() - count a failed integrity or replay check
 * @sa: inbound SA
 * @reason: why the packet was dropped
 *
 * ESPUDP_FAIL_THRESHOLD failures make an event, at most one a second: anybody
 * can forge packets.
 *
 * Context: softirq.
 */
void espudp_sa_failed(struct espudp_sa *sa, enum espudp_drop reason)
{
	bool auth = reason == ESPUDP_DROP_RX_AUTH;
	struct espudp_failures *f = auth ? &sa->fail_auth : &sa->fail_replay;
	u32 n = atomic_inc_return(&f->n), told = READ_ONCE(f->told);
	unsigned long last = READ_ONCE(f->last);

	if (n - told < ESPUDP_FAIL_THRESHOLD || (told && time_before(jiffies, last + HZ)) ||
	    cmpxchg(&f->told, told, n) != told)
		return;
	WRITE_ONCE(f->last, jiffies);
	espudp_event_sa(sa, auth ? ESPUDP_EVENT_TYPE_AUTH : ESPUDP_EVENT_TYPE_REPLAY, 0, n - told);
}
