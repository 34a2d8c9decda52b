// SPDX-License-Identifier: GPL-2.0
/* Virtual addresses: one from a pool for each transport mode peer, so that
 * clients behind one NAT, which have its address and port in common once
 * decrypted, are different hosts to whom they talk to.
 */
#include <linux/inetdevice.h>
#include <linux/slab.h>
#include <net/addrconf.h>
#include <net/ip.h>
#include "dev.h"
#include "flow.h"
#include "peer.h"
#include "pool.h"

#define RELEASED_MAX	4096	/* addresses whose last owner is remembered */

/**
 * struct pool_addr - an address that a peer has, or had
 * @node: by address
 * @addr: IPv4 in the first word
 * @peer: owner, or NULL
 * @list: among the released ones
 * @since: of the release, jiffies
 * @named: by name, if there is one
 * @remote: outer address of the last owner, which is known by that and @name when
 *	it comes back
 * @name: of the owner, or the last one; the rest is zeros
 * @rcu: readers may be looking
 */
struct pool_addr {
	struct rhash_head node;
	struct rhlist_head named;
	struct in6_addr addr;
	struct espudp_peer __rcu *peer;
	struct list_head list;
	unsigned long since;
	struct in6_addr remote;
	struct rcu_head rcu;
	char name[ESPUDP_NAME_LEN];
};

static const struct rhashtable_params addr_params = {
	.key_len = sizeof(struct in6_addr),
	.key_offset = offsetof(struct pool_addr, addr),
	.head_offset = offsetof(struct pool_addr, node),
	.automatic_shrinking = true,
};

static const struct rhashtable_params name_params = {
	.key_len = ESPUDP_NAME_LEN,
	.key_offset = offsetof(struct pool_addr, name),
	.head_offset = offsetof(struct pool_addr, named),
	.automatic_shrinking = true,
};

static LIST_HEAD(all_pools);
static DEFINE_MUTEX(all_pools_lock);	/* inside a device's lock */

static struct espudp_pool *pool_of(struct espudp_dev *edev, u8 family)
{
	return &edev->pools.pool[family == AF_INET6];
}

/**
 * espudp_pool_init() - no pools yet
 * @edev: device being made
 *
 * Return: 0 or an error.
 */
int espudp_pool_init(struct espudp_dev *edev)
{
	int i, err;

	for (i = 0; i < 2; i++) {
		struct espudp_pool *pool = &edev->pools.pool[i];

		INIT_LIST_HEAD(&pool->list);
		pool->edev = edev;
		pool->family = i ? AF_INET6 : AF_INET;
	}
	INIT_LIST_HEAD(&edev->pools.released);
	err = rhashtable_init(&edev->pools.hash, &addr_params);
	if (err)
		return err;
	err = rhltable_init(&edev->pools.names, &name_params);
	if (err)
		rhashtable_destroy(&edev->pools.hash);
	return err;
}

static void addr_free(struct espudp_pools *pools, struct pool_addr *pa)
{
	list_del(&pa->list);
	pools->n_released--;
	rhashtable_remove_fast(&pools->hash, &pa->node, addr_params);
	if (*pa->name)
		rhltable_remove(&pools->names, &pa->named, name_params);
	kfree_rcu(pa, rcu);
}

static void forget_released(struct espudp_dev *edev, u8 family)
{
	struct pool_addr *pa, *tmp;

	list_for_each_entry_safe(pa, tmp, &edev->pools.released, list)
		if (espudp_pool_covers(edev, family, &pa->addr))
			addr_free(&edev->pools, pa);
}

/**
 * espudp_pool_destroy() - free the pools
 * @edev: device being freed, without peers
 */
void espudp_pool_destroy(struct espudp_dev *edev)
{
	struct pool_addr *pa, *tmp;
	int i;

	list_for_each_entry_safe(pa, tmp, &edev->pools.released, list)
		addr_free(&edev->pools, pa);
	mutex_lock(&all_pools_lock);
	for (i = 0; i < 2; i++)
		list_del(&edev->pools.pool[i].list);
	mutex_unlock(&all_pools_lock);
	rhltable_destroy(&edev->pools.names);
	rhashtable_destroy(&edev->pools.hash);
}

static bool same_prefix(const struct in6_addr *a, const struct in6_addr *b, u8 plen)
{
	struct in6_addr x, y;

	espudp_flow_prefix(&x, a, plen);
	espudp_flow_prefix(&y, b, plen);
	return ipv6_addr_equal(&x, &y);
}

/**
 * espudp_pool_covers() - is this an address of the device's pool?
 * @edev: device
 * @family: AF_INET or AF_INET6
 * @addr: IPv4 in the first word, the others zero
 *
 * Context: any.
 */
bool espudp_pool_covers(const struct espudp_dev *edev, u8 family,
			const struct in6_addr *addr)
{
	const struct espudp_pool *pool = &edev->pools.pool[family == AF_INET6];
	u8 plen = smp_load_acquire(&pool->plen);	/* before pool->addr */

	return plen && same_prefix(addr, &pool->addr, plen);
}

/* Does a host address of the namespace lie within? */
static bool covers_own(struct net *net, u8 family, const struct in6_addr *addr, u8 plen)
{
	struct net_device *dev;
	bool found = false;

	rcu_read_lock();
	for_each_netdev_rcu(net, dev) {
		if (family == AF_INET) {
			struct in_device *in = __in_dev_get_rcu(dev);
			const struct in_ifaddr *ifa;

			if (!in)
				continue;
			in_dev_for_each_ifa_rcu(ifa, in) {
				struct in6_addr own = { .s6_addr32 = { ifa->ifa_local } };

				found |= same_prefix(&own, addr, plen);
			}
		} else {
			struct inet6_dev *in6 = __in6_dev_get(dev);
			const struct inet6_ifaddr *ifa;

			if (!in6)
				continue;
			list_for_each_entry_rcu(ifa, &in6->addr_list, if_list)
				found |= same_prefix(&ifa->addr, addr, plen);
		}
	}
	rcu_read_unlock();
	return found;
}

static bool covers_peer(struct espudp_dev *edev, u8 family, const struct in6_addr *addr,
			u8 plen)
{
	struct espudp_peer *peer;
	unsigned long id;

	xa_for_each(&edev->peers, id, peer) {
		const struct espudp_endpoint *ep;
		bool hit;

		rcu_read_lock();
		ep = rcu_dereference(peer->ep);
		hit = ep && ep->has_remote && ep->family == family &&
		      same_prefix(&ep->remote, addr, plen);
		rcu_read_unlock();
		if (hit)
			return true;
	}
	return false;
}

static int overlap(struct espudp_pool *mine, const struct in6_addr *addr, u8 plen,
		   struct netlink_ext_ack *extack)
{
	const struct espudp_pool *pool;

	list_for_each_entry(pool, &all_pools, list) {
		if (pool == mine || pool->family != mine->family ||
		    READ_ONCE(pool->edev->net) != mine->edev->net ||
		    !same_prefix(&pool->addr, addr, min(pool->plen, plen)))
			continue;
		NL_SET_ERR_MSG(extack, "the pool overlaps that of another device");
		return -EEXIST;
	}
	return 0;
}

static int check(struct espudp_pool *pool, const struct in6_addr *addr, u8 plen,
		 struct netlink_ext_ack *extack)
{
	unsigned int bits = espudp_flow_bits(pool->family);
	struct espudp_dev *edev = pool->edev;
	struct in6_addr first;
	bool unicast;

	if (plen > bits) {
		NL_SET_ERR_MSG(extack, "a prefix is not longer than an address");
		return -EINVAL;
	}
	if (plen > bits - 2) {
		NL_SET_ERR_MSG(extack, "the pool is too small: it must hold at least two peers (/30 or /126)");
		return -EINVAL;
	}
	if (plen < 8) {
		NL_SET_ERR_MSG(extack, "the pool is too large: give a prefix of 8 bits or more");
		return -EINVAL;
	}
	espudp_flow_prefix(&first, addr, plen);
	if (!ipv6_addr_equal(&first, addr)) {
		NL_SET_ERR_MSG(extack, "the pool's address has bits set behind its prefix");
		return -EINVAL;
	}
	if (pool->family == AF_INET)
		unicast = !ipv4_is_multicast(first.s6_addr32[0]) &&
			  !ipv4_is_loopback(first.s6_addr32[0]) &&
			  !ipv4_is_zeronet(first.s6_addr32[0]);
	else
		unicast = !(ipv6_addr_type(&first) &
			    (IPV6_ADDR_MULTICAST | IPV6_ADDR_LINKLOCAL));
	if (!unicast) {
		NL_SET_ERR_MSG(extack, "the pool must be of unicast addresses");
		return -EINVAL;
	}
	if (covers_own(edev->net, pool->family, addr, plen) ||
	    covers_own(dev_net(edev->dev), pool->family, addr, plen)) {
		NL_SET_ERR_MSG(extack, "the pool covers an address of this host");
		return -EADDRINUSE;
	}
	if (covers_peer(edev, pool->family, addr, plen)) {
		NL_SET_ERR_MSG(extack, "the pool covers a peer's outer address");
		return -EADDRINUSE;
	}
	return 0;
}

/**
 * espudp_pool_set() - give a device a pool, or take it away
 * @edev: device, locked; its namespace of creation exists
 * @family: AF_INET or AF_INET6
 * @addr: first address of the prefix
 * @plen: its length, 0 for no pool
 * @extack: told why not
 *
 * Return: 0; -EINVAL, -EEXIST, -EADDRINUSE for a prefix that will not do;
 * -EBUSY while peers have addresses of the pool there is.
 */
int espudp_pool_set(struct espudp_dev *edev, u8 family, const struct in6_addr *addr,
		    u8 plen, struct netlink_ext_ack *extack)
{
	struct espudp_pool *pool = pool_of(edev, family);
	int err = 0;

	lockdep_assert_held(&edev->lock);
	if (plen == pool->plen && (!plen || ipv6_addr_equal(addr, &pool->addr)))
		return 0;
	if (pool->used) {
		NL_SET_ERR_MSG(extack, "peers have addresses of the pool; delete them first");
		return -EBUSY;
	}
	if (plen)
		err = check(pool, addr, plen, extack);
	if (err)
		return err;

	mutex_lock(&all_pools_lock);
	if (plen)
		err = overlap(pool, addr, plen, extack);
	if (!err) {
		forget_released(edev, family);
		WRITE_ONCE(pool->plen, 0);
		synchronize_net();
		list_del_init(&pool->list);
		if (plen) {
			pool->addr = *addr;
			pool->next = 0;
			/* Pairs with espudp_pool_covers(). */
			smp_store_release(&pool->plen, plen);
			list_add(&pool->list, &all_pools);
		}
	}
	mutex_unlock(&all_pools_lock);
	return err;
}

/**
 * espudp_pool_find() - the peer that has a virtual address
 * @edev: device
 * @family: AF_INET or AF_INET6
 * @addr: IPv4 in the first word, the others zero
 *
 * Context: RCU read side.
 * Return: peer or NULL.
 */
struct espudp_peer *espudp_pool_find(struct espudp_dev *edev, u8 family,
				     const struct in6_addr *addr)
{
	struct pool_addr *pa = rhashtable_lookup(&edev->pools.hash, addr, addr_params);

	return pa ? rcu_dereference(pa->peer) : NULL;
}

static struct pool_addr *find(struct espudp_dev *edev, const struct in6_addr *addr)
{
	return rhashtable_lookup_fast(&edev->pools.hash, addr, addr_params);
}

static struct espudp_peer *owner(const struct pool_addr *pa, struct espudp_dev *edev)
{
	return rcu_dereference_protected(pa->peer, lockdep_is_held(&edev->lock));
}

/* Number of addresses, without the first and the last; at most 2^31. */
static u32 pool_size(const struct espudp_pool *pool)
{
	unsigned int host = espudp_flow_bits(pool->family) - pool->plen;

	return (host < 32 ? 1U << host : 1U << 31) - 2;
}

static struct in6_addr pool_at(const struct espudp_pool *pool, u32 i)
{
	int word = pool->family == AF_INET ? 0 : 3;
	struct in6_addr addr = pool->addr;

	addr.s6_addr32[word] |= htonl(i + 1);
	return addr;
}

static bool silent(const struct espudp_peer *peer)
{
	unsigned long last = READ_ONCE(peer->last_rx) ?: peer->made;

	return time_after(jiffies, last + ESPUDP_SILENT * HZ);
}

static bool remote_equal(const struct espudp_peer *peer, u8 family,
			 const struct in6_addr *remote)
{
	const struct espudp_endpoint *ep;
	bool equal;

	rcu_read_lock();
	ep = rcu_dereference(peer->ep);
	equal = ep && ep->has_remote && ep->family == family &&
		espudp_addr_equal(family, &ep->remote, remote);
	rcu_read_unlock();
	return equal;
}

/* The address of a client that comes back: of its old peer, which has fallen
 * silent, or which is gone.
 */
static struct pool_addr *returning(struct espudp_dev *edev, u8 family, const char *name,
				   const struct in6_addr *remote)
{
	struct rhlist_head *list, *tmp;
	struct pool_addr *pa, *found = NULL;
	char key[ESPUDP_NAME_LEN];
	struct espudp_peer *peer;

	strscpy_pad(key, name, sizeof(key));
	rcu_read_lock();
	list = rhltable_lookup(&edev->pools.names, key, name_params);
	rhl_for_each_entry_rcu(pa, tmp, list, named) {
		if (!espudp_pool_covers(edev, family, &pa->addr))
			continue;
		peer = owner(pa, edev);
		if (!peer && ipv6_addr_equal(&pa->remote, remote)) {
			found = pa;
			break;
		}
		if (peer && remote_equal(peer, family, remote) && silent(peer))
			found = pa;
	}
	rcu_read_unlock();
	return found;
}

/* Whose an address is. Without memory for it he will not be known again. */
static void set_name(struct espudp_pools *pools, struct pool_addr *pa, const char *name)
{
	if (*pa->name)
		rhltable_remove(&pools->names, &pa->named, name_params);
	strscpy_pad(pa->name, name, sizeof(pa->name));
	if (*pa->name && rhltable_insert(&pools->names, &pa->named, name_params))
		memset(pa->name, 0, sizeof(pa->name));
}

/**
 * espudp_pool_rename() - a peer has another name
 * @peer: peer, its device locked
 */
void espudp_pool_rename(struct espudp_peer *peer)
{
	lockdep_assert_held(&peer->edev->lock);
	if (peer->virt_family && !peer->virt_lost)
		set_name(&peer->edev->pools, find(peer->edev, &peer->virt), peer->name);
}

/* An address that nobody has or had, else the one that was given back first. */
static struct pool_addr *fresh(struct espudp_pool *pool, struct in6_addr *addr,
			       struct netlink_ext_ack *extack)
{
	struct espudp_pools *pools = &pool->edev->pools;
	u32 size = pool_size(pool);
	u32 tries = min(size, pool->used + pools->n_released + 1);
	struct pool_addr *pa;

	while (tries--) {
		*addr = pool_at(pool, pool->next);
		pool->next = pool->next + 1 < size ? pool->next + 1 : 0;
		if (!find(pool->edev, addr))
			return NULL;
	}
	list_for_each_entry(pa, &pools->released, list) {
		if (!espudp_pool_covers(pool->edev, pool->family, &pa->addr))
			continue;
		if (time_before(jiffies, pa->since + ESPUDP_SILENT * HZ))
			break;
		return pa;
	}
	NL_SET_ERR_MSG(extack, "the pool is exhausted; addresses that were given back are handed out again after 120 seconds");
	return ERR_PTR(-ENOSPC);
}

static int check_wanted(struct espudp_pool *pool, const struct in6_addr *addr,
			struct netlink_ext_ack *extack)
{
	struct pool_addr *pa = find(pool->edev, addr);

	if (!espudp_pool_covers(pool->edev, pool->family, addr)) {
		NL_SET_ERR_MSG(extack, "the virtual address is not of the device's pool");
		return -EINVAL;
	}
	if (pa && owner(pa, pool->edev)) {
		NL_SET_ERR_MSG(extack, "another peer has this virtual address; name it to take it over");
		return -EADDRINUSE;
	}
	return 0;
}

/**
 * espudp_pool_get() - give a new peer a virtual address
 * @peer: peer, its device locked, that nobody can use yet
 * @family: of its outer address
 * @wanted: address that the caller chose, or NULL
 * @from: peer that shall lose its address to the new one, or NULL; set to the one
 *	that did
 * @name: of the peer, or an empty string
 * @remote: its outer address
 * @extack: told why not
 *
 * Without a choice, a client that comes back (name and outer address are those
 * of a peer that is gone or has been silent for ESPUDP_SILENT seconds) has its
 * address again.
 *
 * Return: 0; -EINVAL, -EADDRINUSE, -ENOSPC, -ENOMEM.
 */
int espudp_pool_get(struct espudp_peer *peer, u8 family, const struct in6_addr *wanted,
		    struct espudp_peer **from, const char *name,
		    const struct in6_addr *remote, struct netlink_ext_ack *extack)
{
	struct espudp_dev *edev = peer->edev;
	struct espudp_pool *pool = pool_of(edev, family);
	struct pool_addr *pa = NULL;
	struct in6_addr addr;
	int err;

	lockdep_assert_held(&edev->lock);
	if (*from) {
		pa = find(edev, &(*from)->virt);
	} else if (wanted) {
		err = check_wanted(pool, wanted, extack);
		if (err)
			return err;
		addr = *wanted;
		pa = find(edev, wanted);
	} else if (*name) {
		pa = returning(edev, family, name, remote);
	}
	if (!pa && !wanted) {
		pa = fresh(pool, &addr, extack);
		if (IS_ERR(pa))
			return PTR_ERR(pa);
	}
	if (!pa) {
		pa = kzalloc(sizeof(*pa), GFP_KERNEL_ACCOUNT);
		if (!pa)
			return -ENOMEM;
		pa->addr = addr;
		INIT_LIST_HEAD(&pa->list);
		err = rhashtable_insert_fast(&edev->pools.hash, &pa->node, addr_params);
		if (err) {
			kfree(pa);
			return err;
		}
	}
	*from = owner(pa, edev);
	if (*from) {
		WRITE_ONCE((*from)->virt_lost, true);
		pool->used--;
	} else if (!list_empty(&pa->list)) {
		list_del_init(&pa->list);
		edev->pools.n_released--;
	}
	set_name(&edev->pools, pa, name);
	pa->remote = *remote;
	peer->virt = pa->addr;
	peer->virt_family = family;
	rcu_assign_pointer(pa->peer, peer);
	pool->used++;
	return 0;
}

/**
 * espudp_pool_undo() - give an address back to the peer that lost it
 * @peer: peer that could not be made after all, its device locked
 * @from: as set by espudp_pool_get()
 */
void espudp_pool_undo(struct espudp_peer *peer, struct espudp_peer *from)
{
	struct pool_addr *pa = find(peer->edev, &from->virt);

	lockdep_assert_held(&peer->edev->lock);
	rcu_assign_pointer(pa->peer, from);
	set_name(&peer->edev->pools, pa, from->name);
	WRITE_ONCE(peer->virt_lost, true);
	WRITE_ONCE(from->virt_lost, false);
}

/**
 * espudp_pool_put() - give a peer's virtual address back
 * @peer: peer being deleted, its device locked
 */
void espudp_pool_put(struct espudp_peer *peer)
{
	struct espudp_dev *edev = peer->edev;
	struct espudp_pools *pools = &edev->pools;
	const struct espudp_endpoint *ep;
	struct pool_addr *pa;

	lockdep_assert_held(&edev->lock);
	if (!peer->virt_family || peer->virt_lost)
		return;
	pa = find(edev, &peer->virt);
	if (WARN_ON_ONCE(!pa))
		return;
	RCU_INIT_POINTER(pa->peer, NULL);
	rcu_read_lock();
	ep = rcu_dereference(peer->ep);
	if (ep && ep->has_remote)	/* else it was never more than a request */
		pa->remote = ep->remote;
	rcu_read_unlock();
	pa->since = jiffies;
	list_add_tail(&pa->list, &pools->released);
	pool_of(edev, peer->virt_family)->used--;
	if (++pools->n_released > RELEASED_MAX)
		addr_free(pools, list_first_entry(&pools->released, struct pool_addr, list));
}
