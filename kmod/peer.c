// SPDX-License-Identifier: GPL-2.0
/* Peers: table, outer addresses, roaming, path MTU, keepalives. */
#include <linux/slab.h>
#include <net/ip.h>
#include <net/ipv6.h>
#include "dev.h"
#include "encap.h"
#include "event.h"
#include "peer.h"
#include "pool.h"
#include "sa.h"

static void keepalive_timer(struct timer_list *t)
{
	struct espudp_peer *peer = timer_container_of(peer, t, keepalive_timer);
	unsigned long every = READ_ONCE(peer->keepalive) * HZ;
	unsigned long idle = jiffies - READ_ONCE(peer->last_tx);

	if (!every)
		return;
	if (idle >= every) {
		rcu_read_lock();
		espudp_encap_keepalive(peer);
		rcu_read_unlock();
		idle = 0;
	}
	mod_timer(&peer->keepalive_timer, jiffies + every - idle);
}

/* Changes that were not told at once: the last one is, if it made a difference. */
static void mapping_timer(struct timer_list *t)
{
	struct espudp_peer *peer = timer_container_of(peer, t, mapping_timer);
	const struct espudp_endpoint *ep;
	struct espudp_endpoint was, now;
	bool tell;
	u32 lost;

	spin_lock(&peer->lock);
	ep = rcu_dereference_protected(peer->ep, lockdep_is_held(&peer->lock));
	lost = peer->mapping_lost;
	tell = lost && ep && ep->has_remote &&
	       (ep->remote_port != peer->told.remote_port || ep->family != peer->told.family ||
		!espudp_addr_equal(ep->family, &ep->remote, &peer->told.remote));
	peer->mapping_lost = 0;
	if (tell) {
		was = peer->told;
		now = *ep;
		peer->last_mapping_event = jiffies;
	}
	spin_unlock(&peer->lock);
	if (tell)
		espudp_event_mapping(peer, &was, &now, lost - 1);
}

/**
 * espudp_peer_set_keepalive() - change the keepalive interval
 * @peer: peer, its device locked
 * @seconds: 0 for none (RFC 3948 section 4)
 */
void espudp_peer_set_keepalive(struct espudp_peer *peer, u16 seconds)
{
	WRITE_ONCE(peer->keepalive, seconds);
	if (seconds)
		mod_timer(&peer->keepalive_timer, jiffies + 1);
}

/**
 * espudp_peer_sent() - note that something was sent to a peer
 * @peer: peer
 */
void espudp_peer_sent(struct espudp_peer *peer)
{
	unsigned long now = jiffies;

	/* The line is shared; a batch seldom needs to write it. */
	if (READ_ONCE(peer->last_tx) != now)
		WRITE_ONCE(peer->last_tx, now);
}

/**
 * espudp_peer_by_id() - find a peer
 * @edev: device
 * @id: its id
 *
 * Context: device's lock, or RCU read side.
 * Return: peer or NULL.
 */
struct espudp_peer *espudp_peer_by_id(struct espudp_dev *edev, u32 id)
{
	return xa_load(&edev->peers, id);
}

/**
 * espudp_peer_new() - make a peer
 * @edev: device, locked
 * @id: id, or 0 to let the module choose
 * @extack: told why not
 *
 * The caller fills in the rest, or kills the peer.
 *
 * Return: the peer or an error.
 */
struct espudp_peer *espudp_peer_new(struct espudp_dev *edev, u32 id,
				    struct netlink_ext_ack *extack)
{
	struct espudp_peer *peer;
	int err;

	lockdep_assert_held(&edev->lock);
	if (edev->n_peers >= ESPUDP_PEERS_MAX) {
		NL_SET_ERR_MSG(extack, "too many peers");
		return ERR_PTR(-ENOSPC);
	}
	peer = kzalloc(sizeof(*peer), GFP_KERNEL_ACCOUNT);
	if (!peer)
		return ERR_PTR(-ENOMEM);
	peer->edev = edev;
	peer->roaming = ESPUDP_ROAMING_ADDRESS;
	spin_lock_init(&peer->lock);
	INIT_LIST_HEAD(&peer->sas);
	kref_init(&peer->ref);
	timer_setup(&peer->keepalive_timer, keepalive_timer, 0);
	timer_setup(&peer->mapping_timer, mapping_timer, 0);
	peer->made = jiffies;
	peer->last_tx = jiffies;
	/* Events are rate limited from the second one on. */
	peer->last_mapping_event = jiffies - HZ;
	peer->last_acquire_event = jiffies - HZ;

	err = -ENOMEM;
	peer->stats = espudp_stats_alloc(GFP_KERNEL_ACCOUNT);
	if (!peer->stats)
		goto free_peer;
	err = dst_cache_init(&peer->dst_cache, GFP_KERNEL_ACCOUNT);
	if (err)
		goto free_stats;

	if (id) {
		err = xa_insert(&edev->peers, id, peer, GFP_KERNEL);
		if (err == -EBUSY) {
			NL_SET_ERR_MSG(extack, "a peer has this id already");
			err = -EEXIST;
		}
		peer->id = id;
	} else {
		err = xa_alloc(&edev->peers, &peer->id, peer, xa_limit_32b, GFP_KERNEL);
	}
	if (err)
		goto free_dst;
	edev->n_peers++;
	edev->generation++;
	peer->serial = espudp_dev_serial();
	espudp_trace_object("created", "peer", "%u", peer->serial);
	return peer;

free_dst:
	dst_cache_destroy(&peer->dst_cache);
free_stats:
	free_percpu(peer->stats);
free_peer:
	kfree(peer);
	return ERR_PTR(err);
}

static void peer_release(struct kref *ref)
{
	struct espudp_peer *peer = container_of(ref, struct espudp_peer, ref);

	espudp_trace_object("destroyed", "peer", "%u", peer->serial);
	dst_cache_destroy(&peer->dst_cache);
	kfree(rcu_dereference_raw(peer->ep));
	free_percpu(peer->stats);
	kfree(peer);
}

/**
 * espudp_peer_put() - drop a reference
 * @peer: peer
 *
 * Context: process; the last reference is dropped by a work item.
 */
void espudp_peer_put(struct espudp_peer *peer)
{
	kref_put(&peer->ref, peer_release);
}

static void peer_unlinked_work(struct work_struct *work)
{
	espudp_peer_put(container_of(to_rcu_work(work), struct espudp_peer, free_work));
}

/* Whoever came where another was may have its selectors now. */
static void made_room(struct espudp_dev *edev)
{
	if (edev->stuck)
		queue_work(espudp_wq, &edev->renew_work);
}

/**
 * espudp_peer_kill() - delete a peer and its SAs
 * @peer: peer, its device locked
 *
 * RCU readers may go on for a grace period; SAs with crypto in flight hold
 * the peer until that is over.
 */
void espudp_peer_kill(struct espudp_peer *peer)
{
	struct espudp_dev *edev = peer->edev;
	struct espudp_sa *sa, *tmp;

	lockdep_assert_held(&edev->lock);
	espudp_select_set(&edev->select, peer, NULL, NULL, NULL);
	made_room(edev);
	espudp_pool_put(peer);
	xa_erase(&edev->peers, peer->id);
	list_for_each_entry_safe(sa, tmp, &peer->sas, list)
		espudp_sa_kill(sa);
	edev->n_peers--;
	edev->generation++;
	timer_shutdown_sync(&peer->keepalive_timer);
	timer_shutdown_sync(&peer->mapping_timer);
	spin_lock_bh(&peer->lock);
	peer->dead = true;
	spin_unlock_bh(&peer->lock);
	INIT_RCU_WORK(&peer->free_work, peer_unlinked_work);
	queue_rcu_work(espudp_wq, &peer->free_work);
}

static void ep_publish(struct espudp_peer *peer, struct espudp_endpoint *ep)
{
	struct espudp_endpoint *old;

	lockdep_assert_held(&peer->lock);
	old = rcu_replace_pointer(peer->ep, ep, lockdep_is_held(&peer->lock));
	dst_cache_reset(&peer->dst_cache);
	if (old)
		kfree_rcu(old, rcu);
}

/**
 * espudp_peer_set_endpoint() - set the outer addresses
 * @peer: peer, its device locked
 * @ep: from kmalloc(); the peer's from here on
 */
void espudp_peer_set_endpoint(struct espudp_peer *peer, struct espudp_endpoint *ep)
{
	ep->pmtu = 0;
	spin_lock_bh(&peer->lock);
	ep_publish(peer, ep);
	spin_unlock_bh(&peer->lock);
}

/**
 * espudp_peer_renew() - let selectors follow the outer addresses
 * @peer: peer, its device locked
 * @ep: addresses it has, or is about to have
 * @extack: told why not
 *
 * Where a transport mode peer has no virtual address, it is found by these.
 *
 * Return: 0; -ENOMEM; -EEXIST if another peer is there already.
 */
int espudp_peer_renew(struct espudp_peer *peer, const struct espudp_endpoint *ep,
		      struct netlink_ext_ack *extack)
{
	struct espudp_sels *old, *sels;
	int err;

	old = rcu_dereference_protected(peer->sels, lockdep_is_held(&peer->edev->lock));
	if (peer->mode != ESPUDP_MODE_TRANSPORT || peer->virt_family || !old)
		return 0;
	sels = kvzalloc(struct_size(sels, sel, old->n), GFP_KERNEL_ACCOUNT);
	if (!sels)
		return -ENOMEM;
	sels->n = old->n;
	memcpy(sels->sel, old->sel, flex_array_size(sels, sel, old->n));
	err = espudp_select_set(&peer->edev->select, peer, sels, ep, extack);
	if (err)
		kvfree(sels);
	else
		made_room(peer->edev);
	return err;
}

/**
 * espudp_peer_renew_later() - likewise, where sleeping is not allowed
 * @peer: peer, not dead
 */
void espudp_peer_renew_later(struct espudp_peer *peer)
{
	if (peer->mode != ESPUDP_MODE_TRANSPORT || peer->virt_family)
		return;
	WRITE_ONCE(peer->renew, true);
	queue_work(espudp_wq, &peer->edev->renew_work);
}

/**
 * espudp_peer_renew_work() - likewise for peers that roamed
 * @work: the device's renew_work
 *
 * A peer that comes where another is keeps its old entry: it is heard, and not
 * talked to until the other is gone.
 */
void espudp_peer_renew_work(struct work_struct *work)
{
	struct espudp_dev *edev = container_of(work, struct espudp_dev, renew_work);
	const struct espudp_endpoint *ep;
	struct espudp_endpoint now;
	struct espudp_peer *peer;
	unsigned long id;

	mutex_lock(&edev->lock);
	edev->stuck = false;
	xa_for_each(&edev->peers, id, peer) {
		if (!READ_ONCE(peer->renew))
			continue;
		WRITE_ONCE(peer->renew, false);
		rcu_read_lock();
		ep = rcu_dereference(peer->ep);
		now = ep ? *ep : (struct espudp_endpoint) {};
		rcu_read_unlock();
		if (espudp_peer_renew(peer, &now, NULL)) {
			WRITE_ONCE(peer->renew, true);
			edev->stuck = true;
		}
	}
	mutex_unlock(&edev->lock);
}

/**
 * espudp_peer_ends() - outer addresses in force now
 * @peer: peer
 * @local: set
 * @remote: set
 *
 * Context: process.
 * Return: false if there is no way to the peer.
 */
bool espudp_peer_ends(struct espudp_peer *peer, struct in6_addr *local,
		      struct in6_addr *remote)
{
	struct espudp_path path;
	bool found;

	local_bh_disable();
	rcu_read_lock();
	found = espudp_encap_path(peer, &path) == ESPUDP_DROP_NONE;
	if (found) {
		*local = path.saddr;
		*remote = path.daddr;
		dst_release(path.dst);
	}
	rcu_read_unlock();
	local_bh_enable();
	return found;
}

/**
 * espudp_peer_own_endpoint() - let a new SA own the endpoint
 * @peer: peer, its device locked
 * @sa: SA just linked
 * @owns: it came with outer addresses; else it owns them once it was used
 *
 * Packets of older SAs do not move the peer from then on, so what is left
 * over of a client that came back from elsewhere does no harm.
 */
void espudp_peer_own_endpoint(struct espudp_peer *peer, struct espudp_sa *sa, bool owns)
{
	struct espudp_sa *in;

	if (!owns)
		return;
	list_for_each_entry(in, &peer->sas, list) {
		if (in->dir == ESPUDP_DIR_IN && in->state != ESPUDP_SA_STATE_RESERVED) {
			WRITE_ONCE(peer->ep_gen, in->gen);
			break;
		}
	}
}

static bool may_roam(const struct espudp_peer *peer, const struct espudp_endpoint *ep,
		     const struct espudp_endpoint *seen)
{
	bool same;

	if (peer->virt_family && peer->virt_family != seen->family)
		return false;
	if (!ep || !ep->has_remote)
		return peer->roaming != ESPUDP_ROAMING_OFF;
	same = ep->family == seen->family &&
	       espudp_addr_equal(ep->family, &ep->remote, &seen->remote);
	if (peer->roaming == ESPUDP_ROAMING_ADDRESS)
		return true;
	return peer->roaming == ESPUDP_ROAMING_PORT && same;
}

/* Does a newer SA own the endpoint, one that is still there? */
static bool overruled(const struct espudp_peer *peer, const struct espudp_sa *sa)
{
	u32 gen = READ_ONCE(peer->ep_gen);
	const struct espudp_sa *in;

	if (likely(sa->gen >= gen))
		return false;
	list_for_each_entry_rcu(in, &peer->sas, list)
		if (in->dir == ESPUDP_DIR_IN && in->gen > sa->gen && in->gen <= gen &&
		    READ_ONCE(in->state) != ESPUDP_SA_STATE_RESERVED)
			return true;
	return false;
}

/**
 * espudp_peer_roam() - an authenticated packet came from elsewhere
 * @peer: peer
 * @sa: SA that the packet used; its number was the highest so far
 * @seen: addresses and port of the packet
 *
 * Context: softirq, RCU read side; after the replay window was moved.
 */
void espudp_peer_roam(struct espudp_peer *peer, struct espudp_sa *sa,
		      const struct espudp_endpoint *seen)
{
	struct espudp_endpoint *ep, *old, now, was = {};
	u32 lost = 0;
	bool tell;

	if (overruled(peer, sa))
		return;
	ep = kmemdup(seen, sizeof(*seen), GFP_ATOMIC | __GFP_NOWARN);
	if (!ep)
		return;
	ep->pmtu = 0;

	spin_lock(&peer->lock);
	old = rcu_dereference_protected(peer->ep, lockdep_is_held(&peer->lock));
	if (peer->dead || !may_roam(peer, old, seen)) {
		spin_unlock(&peer->lock);
		kfree(ep);
		return;
	}
	if (old)
		was = *old;
	ep->has_local = old && old->has_local;
	/* The same path but for the remote port keeps its MTU. */
	if (old && old->family == ep->family &&
	    espudp_addr_equal(ep->family, &old->remote, &ep->remote)) {
		ep->pmtu = old->pmtu;
		ep->pmtu_until = old->pmtu_until;
	}
	now = *ep;
	ep_publish(peer, ep);
	tell = time_after_eq(jiffies, peer->last_mapping_event + HZ);
	if (tell) {
		peer->last_mapping_event = jiffies;
		lost = peer->mapping_lost;
		peer->mapping_lost = 0;
		if (lost)
			was = peer->told;
	} else {
		if (!peer->mapping_lost++)
			peer->told = was;
		mod_timer(&peer->mapping_timer, peer->last_mapping_event + HZ);
	}
	espudp_peer_renew_later(peer);
	spin_unlock(&peer->lock);

	if (tell)
		espudp_event_mapping(peer, &was, &now, lost);
}

/**
 * espudp_peer_usable_out() - the newest outbound SA that is usable now
 * @peer: peer
 *
 * One that stands by only if there is no other, and then the one that has done so for
 * longest: its keys are the likeliest to be at the other end. For packets that find
 * @peer->out expired before it has been replaced.
 *
 * Context: RCU read side, or the device's lock.
 * Return: SA or NULL.
 */
struct espudp_sa *espudp_peer_usable_out(const struct espudp_peer *peer)
{
	struct espudp_sa *sa, *standby = NULL;

	list_for_each_entry_rcu(sa, &peer->sas, list, lockdep_is_held(&peer->edev->lock)) {
		if (sa->dir != ESPUDP_DIR_OUT || !espudp_sa_usable(sa))
			continue;
		if (!READ_ONCE(sa->life.standby))
			return sa;
		standby = sa;
	}
	return standby;
}

/**
 * espudp_peer_pick_out() - choose the outbound SA: the newest usable one
 * @peer: peer
 *
 * Called after each change of the list, so that what is chosen last has seen
 * them all.
 *
 * Context: process, the device locked; or softirq, an SA's timer.
 */
void espudp_peer_pick_out(struct espudp_peer *peer)
{
	spin_lock_bh(&peer->lock);
	rcu_read_lock();
	rcu_assign_pointer(peer->out, espudp_peer_usable_out(peer));
	rcu_read_unlock();
	spin_unlock_bh(&peer->lock);
}

/**
 * espudp_peer_acquire() - a peer has traffic and no usable SA
 * @peer: peer
 *
 * Context: softirq.
 */
void espudp_peer_acquire(struct espudp_peer *peer)
{
	u32 lost;

	spin_lock(&peer->lock);
	if (time_before(jiffies, peer->last_acquire_event + HZ)) {
		peer->acquire_lost++;
		spin_unlock(&peer->lock);
		return;
	}
	peer->last_acquire_event = jiffies;
	lost = peer->acquire_lost;
	peer->acquire_lost = 0;
	spin_unlock(&peer->lock);
	espudp_event_acquire(peer, lost);
}

static u32 pmtu_min(u8 family)
{
	return family == AF_INET6 ? ESPUDP_PMTU_MIN6 : ESPUDP_PMTU_MIN4;
}

/**
 * espudp_peer_learn_pmtu() - an ICMP error told a smaller path MTU
 * @peer: peer
 * @mtu: as told; anybody may have sent it (RFC 4301 section 8.2), so it is
 *	bounded and forgotten in time
 *
 * Context: softirq, RCU read side.
 */
void espudp_peer_learn_pmtu(struct espudp_peer *peer, u32 mtu)
{
	struct espudp_endpoint *ep = rcu_dereference(peer->ep);

	if (!ep)
		return;
	mtu = max(mtu, pmtu_min(ep->family));
	if (READ_ONCE(ep->pmtu) && time_before(jiffies, READ_ONCE(ep->pmtu_until)) &&
	    mtu >= READ_ONCE(ep->pmtu))
		return;
	WRITE_ONCE(ep->pmtu_until, jiffies + ESPUDP_PMTU_AGE * HZ);
	WRITE_ONCE(ep->pmtu, mtu);
}

/**
 * espudp_peer_pmtu() - path MTU of the outer path
 * @ep: the peer's addresses
 * @route: MTU of the route
 *
 * Context: RCU read side.
 * Return: octets of the largest outer packet.
 */
u32 espudp_peer_pmtu(const struct espudp_endpoint *ep, u32 route)
{
	u32 learned = READ_ONCE(ep->pmtu);

	if (likely(!learned) || time_after_eq(jiffies, READ_ONCE(ep->pmtu_until)))
		learned = route;
	return max(min(route, learned), pmtu_min(ep->family));
}

/**
 * espudp_peer_mtu() - largest inner packet that fits the path now
 * @peer: peer
 * @pmtu: set to the path MTU, 0 if not known
 *
 * Context: process.
 * Return: octets; 0 if not known, for want of an SA or a route.
 */
u32 espudp_peer_mtu(struct espudp_peer *peer, u32 *pmtu)
{
	struct espudp_path path;
	struct espudp_sa *sa;
	u32 mtu = 0;

	*pmtu = 0;
	local_bh_disable();
	rcu_read_lock();
	if (espudp_encap_path(peer, &path) == ESPUDP_DROP_NONE) {
		*pmtu = path.mtu;
		sa = rcu_dereference(peer->out);
		if (sa)
			mtu = espudp_encap_inner_max(&path, sa);
		dst_release(path.dst);
	}
	rcu_read_unlock();
	local_bh_enable();
	return mtu;
}
