// SPDX-License-Identifier: GPL-2.0
/* Traffic selectors: which peer protects an outbound packet.
 *
 * At configuration time a selector becomes entries, one for each pair of a remote
 * and a local prefix that its ranges split into; those of equal prefixes form a
 * group. One hash table has the bucket of a remote prefix, which knows the lengths
 * of the local prefixes below it, and the group of both. A look-up takes a probe
 * for each remote length in use and few more, however many peers there are.
 */
#include <linux/jhash.h>
#include <linux/netlink.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <net/ipv6.h>
#include "dev.h"
#include "flow.h"
#include "limits.h"
#include "peer.h"
#include "select.h"

#define ENTRIES_MAX	4096	/* of one peer; any pair of IPv4 ranges fits */
#define NO_LOCAL	255	/* instead of a local prefix length, for a bucket */

struct select_key {
	struct in6_addr remote;
	struct in6_addr local;
	u8 family;
	u8 rplen;
	u8 lplen;
	u8 zero;
};

/* What buckets and groups begin with. */
struct select_node {
	struct rhash_head node;
	struct select_key key;
	u32 users;		/* groups, or entries, those being prepared too */
};

struct select_bucket {
	struct select_node n;
	DECLARE_BITMAP(used, 129);
	struct rcu_head rcu;
	u32 plens[];		/* local prefix lengths, as in struct espudp_select */
};

struct select_group {
	struct select_node n;
	struct list_head entries;
	struct select_bucket *bucket;
	struct rcu_head rcu;
};

struct select_ports {
	u16 local[2];
	u16 remote[2];
};

struct select_entry {
	struct list_head list;
	struct espudp_peer *peer;
	struct select_ports ports;
	u32 prio;
	u8 proto;
	struct select_group *group;
	struct select_key key;
};

struct espudp_select_entries {
	struct rcu_head rcu;
	unsigned int n;
	struct select_entry e[];
};

static u32 key_hash(const void *data, u32 len, u32 seed)
{
	const struct select_key *key = data;

	if (key->family != AF_INET)
		return jhash2(data, len / sizeof(u32), seed);
	return jhash_3words((__force u32)key->remote.s6_addr32[0],
			    (__force u32)key->local.s6_addr32[0],
			    key->rplen << 8 | key->lplen, seed);
}

/* Per packet, and cheaper than a call of memcmp(). */
static int key_cmp(struct rhashtable_compare_arg *arg, const void *obj)
{
	const struct select_key *a = arg->key, *b = &((const struct select_node *)obj)->key;

	return !ipv6_addr_equal(&a->remote, &b->remote) ||
	       !ipv6_addr_equal(&a->local, &b->local) || a->family != b->family ||
	       a->rplen != b->rplen || a->lplen != b->lplen;
}

static const struct rhashtable_params node_params = {
	.key_len = sizeof(struct select_key),
	.key_offset = offsetof(struct select_node, key),
	.head_offset = offsetof(struct select_node, node),
	.hashfn = key_hash,
	.obj_cmpfn = key_cmp,
	.automatic_shrinking = true,
};

static struct espudp_peer *lookup_bucket(struct espudp_select *t, struct select_bucket *b,
					 const struct espudp_flow *flow)
{
	unsigned int i, bits = espudp_flow_bits(flow->family);
	struct select_key key = b->n.key;

	for_each_set_bit(i, b->used, bits + 1) {
		struct select_group *g;
		struct select_entry *e;

		key.lplen = bits - i;
		espudp_flow_prefix(&key.local, &flow->local, key.lplen);
		g = rhashtable_lookup(&t->hash, &key, node_params);
		if (!g)
			continue;
		list_for_each_entry_rcu(e, &g->entries, list) {
			int m = espudp_flow_upper(flow, e->proto, e->ports.local,
						  e->ports.remote);

			if (m)
				return m > 0 ? e->peer : ERR_PTR(m);
		}
	}
	return NULL;
}

static struct espudp_peer *lookup(struct espudp_select *t, const struct espudp_flow *flow)
{
	unsigned int i, bits = espudp_flow_bits(flow->family);
	unsigned long *used = t->used[flow->family == AF_INET6];
	struct select_key key = { .family = flow->family, .lplen = NO_LOCAL };

	for_each_set_bit(i, used, bits + 1) {
		struct select_bucket *b;
		struct espudp_peer *peer;

		key.rplen = bits - i;
		espudp_flow_prefix(&key.remote, &flow->remote, key.rplen);
		b = rhashtable_lookup(&t->hash, &key, node_params);
		peer = b ? lookup_bucket(t, b, flow) : NULL;
		if (peer)
			return peer;
	}
	return NULL;
}

/**
 * espudp_select_lookup() - find the peer that protects an outbound packet
 * @t: table
 * @flow: the packet
 *
 * The most specific entry wins: longest remote prefix, longest local prefix,
 * protocol before any, ports before any; then the lowest priority number.
 *
 * Context: RCU read side.
 * Return: peer, or NULL, or ERR_PTR(-EAGAIN) for a fragment that only its
 * reassembled datagram can decide.
 */
struct espudp_peer *espudp_select_lookup(struct espudp_select *t,
					 const struct espudp_flow *flow)
{
	struct espudp_peer *peer;
	unsigned int seq;

	/* While one peer's selectors are replaced, a packet of its must not
	 * take a less specific entry of another.
	 */
	do {
		seq = read_seqbegin(&t->commit);
		peer = lookup(t, flow);
	} while (unlikely(read_seqretry(&t->commit, seq)));
	return peer;
}

/* Brings equal entries together, the best of them first. */
static int entry_sort(const void *x, const void *y)
{
	const struct select_entry *a = x, *b = y;

	return memcmp(&a->key, &b->key, sizeof(a->key)) ?:
	       a->proto - b->proto ?:
	       memcmp(&a->ports, &b->ports, sizeof(a->ports)) ?:
	       (a->prio > b->prio) - (a->prio < b->prio);
}

static bool entry_equal(const struct select_entry *a, const struct select_entry *b)
{
	return a->proto == b->proto && !memcmp(&a->ports, &b->ports, sizeof(a->ports));
}

static u32 ports_width(const struct select_ports *p)
{
	return p->local[1] - p->local[0] + p->remote[1] - p->remote[0];
}

/* Order in a group; total, so that it does not depend on who came first. */
static bool entry_before(const struct select_entry *a, const struct select_entry *b)
{
	bool any_a = espudp_flow_any_ports(a->ports.local, a->ports.remote);
	bool any_b = espudp_flow_any_ports(b->ports.local, b->ports.remote);

	if (!a->proto != !b->proto)
		return a->proto;
	if (any_a != any_b)
		return any_b;
	if (a->prio != b->prio)
		return a->prio < b->prio;
	if (ports_width(&a->ports) != ports_width(&b->ports))
		return ports_width(&a->ports) < ports_width(&b->ports);
	return entry_sort(a, b) < 0;
}

/**
 * espudp_select_check() - could these be a peer's selectors?
 * @sels: selectors
 * @extack: told why not
 *
 * Looks at nothing but them: other peers may have equal ones.
 *
 * Context: any.
 * Return: number of table entries that they become at most, or -EINVAL.
 */
int espudp_select_check(const struct espudp_sels *sels, struct netlink_ext_ack *extack)
{
	unsigned int i, n = 0;

	if (sels->n > ESPUDP_SELECTORS_MAX) {
		NL_SET_ERR_MSG(extack, "too many selectors");
		return -EINVAL;
	}
	for (i = 0; i < sels->n; i++) {
		const struct espudp_sel *sel = &sels->sel[i];

		if (espudp_flow_check(sel, extack))
			return -EINVAL;
		n += espudp_flow_range_count(sel->family, sel->remote) *
		     espudp_flow_range_count(sel->family, sel->local);
		if (n > ENTRIES_MAX) {
			NL_SET_ERR_MSG(extack,
				       "selectors' address ranges split into too many pairs of prefixes");
			return -EINVAL;
		}
	}
	return n;
}

/* The ranges of a selector; in transport mode the two ends' addresses. A peer
 * with a virtual address is found by that.
 */
static bool sel_ranges(const struct espudp_peer *peer, const struct espudp_sel *sel,
		       const struct espudp_endpoint *ep, struct in6_addr *local,
		       struct in6_addr *remote)
{
	memcpy(local, sel->local, sizeof(sel->local));
	memcpy(remote, sel->remote, sizeof(sel->remote));
	if (peer->mode != ESPUDP_MODE_TRANSPORT)
		return true;
	if (peer->virt_family || !ep || !ep->has_remote || ep->family != sel->family)
		return false;
	remote[0] = ep->remote;
	remote[1] = ep->remote;
	if (ep->has_local) {
		local[0] = ep->local;
		local[1] = ep->local;
	} else {
		memset(&local[0], 0, sizeof(local[0]));
		memset(&local[1], 0, sizeof(local[1]));
		memset(&local[1], 0xff, espudp_flow_bits(sel->family) / 8);
	}
	return true;
}

static void split_one(struct espudp_select_entries *es, struct espudp_peer *peer,
		      const struct espudp_sel *sel, const struct espudp_endpoint *ep)
{
	struct in6_addr lrange[2], rrange[2];
	struct espudp_flow_range remote, local;

	if (!sel_ranges(peer, sel, ep, lrange, rrange))
		return;
	espudp_flow_range_start(&remote, sel->family, rrange);
	while (espudp_flow_range_next(&remote)) {
		espudp_flow_range_start(&local, sel->family, lrange);
		while (espudp_flow_range_next(&local)) {
			struct select_entry *e = &es->e[es->n++];

			e->peer = peer;
			memcpy(e->ports.local, sel->lport, sizeof(sel->lport));
			memcpy(e->ports.remote, sel->rport, sizeof(sel->rport));
			e->prio = sel->prio;
			e->proto = sel->proto;
			e->key.remote = remote.prefix;
			e->key.local = local.prefix;
			e->key.family = sel->family;
			e->key.rplen = remote.plen;
			e->key.lplen = local.plen;
		}
	}
}

static struct espudp_select_entries *split(struct espudp_peer *peer,
					   const struct espudp_sels *sels, unsigned int n,
					   const struct espudp_endpoint *ep)
{
	struct espudp_select_entries *es = kvzalloc(struct_size(es, e, n), GFP_KERNEL_ACCOUNT);
	unsigned int i;

	if (!es)
		return NULL;
	for (i = 0; i < sels->n; i++)
		split_one(es, peer, &sels->sel[i], ep);

	sort(es->e, es->n, sizeof(es->e[0]), entry_sort, NULL);
	for (i = 1, n = min(es->n, 1U); i < es->n; i++) {
		const struct select_entry *e = &es->e[i], *last = &es->e[n - 1];

		if (memcmp(&e->key, &last->key, sizeof(e->key)) || !entry_equal(e, last))
			es->e[n++] = *e;
	}
	es->n = n;
	return es;
}

static void plen_get(u32 *plens, unsigned long *used, u8 family, u8 plen)
{
	if (!plens[plen]++)
		set_bit(espudp_flow_bits(family) - plen, used);
}

static void plen_put(u32 *plens, unsigned long *used, u8 family, u8 plen)
{
	if (!--plens[plen])
		clear_bit(espudp_flow_bits(family) - plen, used);
}

static struct select_bucket *bucket_get(struct espudp_select *t, const struct select_key *of)
{
	struct select_key key = { of->remote, {}, of->family, of->rplen, NO_LOCAL };
	struct select_bucket *b = rhashtable_lookup_fast(&t->hash, &key, node_params);
	int err, v6 = key.family == AF_INET6;

	if (!b) {
		b = kzalloc(struct_size(b, plens, espudp_flow_bits(key.family) + 1),
			    GFP_KERNEL_ACCOUNT);
		if (!b)
			return ERR_PTR(-ENOMEM);
		b->n.key = key;
		err = rhashtable_insert_fast(&t->hash, &b->n.node, node_params);
		if (err) {
			kfree(b);
			return ERR_PTR(err);
		}
		plen_get(t->plens[v6], t->used[v6], key.family, key.rplen);
	}
	b->n.users++;
	return b;
}

static void bucket_put(struct espudp_select *t, struct select_bucket *b)
{
	const struct select_key *key = &b->n.key;
	int v6 = key->family == AF_INET6;

	if (--b->n.users)
		return;
	plen_put(t->plens[v6], t->used[v6], key->family, key->rplen);
	rhashtable_remove_fast(&t->hash, &b->n.node, node_params);
	kfree_rcu(b, rcu);
}

static struct select_group *group_get(struct espudp_select *t, const struct select_key *key)
{
	struct select_group *g = rhashtable_lookup_fast(&t->hash, key, node_params);
	struct select_bucket *b;
	int err;

	if (!g) {
		b = bucket_get(t, key);
		if (IS_ERR(b))
			return ERR_CAST(b);
		g = kzalloc(sizeof(*g), GFP_KERNEL_ACCOUNT);
		if (!g) {
			bucket_put(t, b);
			return ERR_PTR(-ENOMEM);
		}
		g->n.key = *key;
		g->bucket = b;
		INIT_LIST_HEAD(&g->entries);
		err = rhashtable_insert_fast(&t->hash, &g->n.node, node_params);
		if (err) {
			kfree(g);
			bucket_put(t, b);
			return ERR_PTR(err);
		}
		plen_get(b->plens, b->used, key->family, key->lplen);
	}
	g->n.users++;
	return g;
}

static void group_put(struct espudp_select *t, struct select_group *g)
{
	const struct select_key *key = &g->n.key;

	if (--g->n.users)
		return;
	plen_put(g->bucket->plens, g->bucket->used, key->family, key->lplen);
	rhashtable_remove_fast(&t->hash, &g->n.node, node_params);
	bucket_put(t, g->bucket);
	kfree_rcu(g, rcu);
}

/* Gives each entry its group and looks for equal entries of other peers. */
static int prepare(struct espudp_select *t, struct espudp_select_entries *es,
		   struct netlink_ext_ack *extack)
{
	const struct select_entry *other;
	unsigned int i;
	int err;

	for (i = 0; i < es->n; i++) {
		struct select_entry *e = &es->e[i];
		struct select_group *g = group_get(t, &e->key);

		err = PTR_ERR_OR_ZERO(g);
		if (err)
			goto undo;
		e->group = g;
		list_for_each_entry(other, &g->entries, list) {
			if (other->peer != e->peer && other->prio == e->prio &&
			    entry_equal(other, e)) {
				if (e->peer->mode == ESPUDP_MODE_TRANSPORT)
					NL_SET_ERR_MSG(extack,
						       "another peer has the same outer address and an equal selector (RFC 3948 section 5.2): give the device a pool of virtual addresses");
				else
					NL_SET_ERR_MSG(extack,
						       "another peer has an equal selector of equal priority (RFC 3948 section 5.1)");
				err = -EEXIST;
				i++;
				goto undo;
			}
		}
	}
	return 0;

undo:
	while (i--)
		group_put(t, es->e[i].group);
	return err;
}

static void entry_link(struct select_entry *e)
{
	struct list_head *at = &e->group->entries;
	struct select_entry *pos;

	list_for_each_entry(pos, &e->group->entries, list) {
		if (entry_before(e, pos)) {
			at = &pos->list;
			break;
		}
	}
	list_add_tail_rcu(&e->list, at);
}

/**
 * espudp_select_set() - replace a peer's selectors
 * @t: table
 * @peer: peer; when it goes, its selectors must go a grace period before
 * @sels: what it gets, of kvmalloc(), the caller's until success; NULL for none
 * @ep: its outer addresses, in transport mode
 * @extack: told why not
 *
 * All or nothing. A look-up sees the old selectors or the new ones.
 *
 * Context: process, device's lock held.
 * Return: 0; -EINVAL for what is not a selector; -EEXIST if another peer has an
 * equal entry of equal priority; -ENOMEM.
 */
int espudp_select_set(struct espudp_select *t, struct espudp_peer *peer,
		      struct espudp_sels *sels, const struct espudp_endpoint *ep,
		      struct netlink_ext_ack *extack)
{
	struct espudp_sels *old = rcu_dereference_protected(peer->sels,
			lockdep_is_held(&peer->edev->lock));
	struct espudp_select_entries *es = NULL, *gone = old ? old->entries : NULL;
	unsigned int i;
	int err;

	lockdep_assert_held(&peer->edev->lock);

	if (sels) {
		err = espudp_select_check(sels, extack);
		if (err < 0)
			return err;
		es = split(peer, sels, err, ep);
		if (!es)
			return -ENOMEM;
		err = prepare(t, es, extack);
		if (err) {
			kvfree(es);
			return err;
		}
		sels->entries = es;
		sels->ports = false;
		for (i = 0; i < sels->n; i++)
			sels->ports |= !espudp_flow_any_ports(sels->sel[i].lport,
							      sels->sel[i].rport);
	}

	write_seqlock_bh(&t->commit);
	for (i = 0; es && i < es->n; i++)
		entry_link(&es->e[i]);
	for (i = 0; gone && i < gone->n; i++)
		list_del_rcu(&gone->e[i].list);
	rcu_assign_pointer(peer->sels, sels);
	write_sequnlock_bh(&t->commit);

	for (i = 0; gone && i < gone->n; i++)
		group_put(t, gone->e[i].group);
	kvfree_rcu(gone, rcu);
	kvfree_rcu(old, rcu);
	return 0;
}

/**
 * espudp_select_init() - set up an empty table
 * @t: table, all zero
 *
 * Context: process.
 * Return: 0 or -ENOMEM.
 */
int espudp_select_init(struct espudp_select *t)
{
	seqlock_init(&t->commit);
	return rhashtable_init(&t->hash, &node_params);
}

/**
 * espudp_select_destroy() - free a table
 * @t: table whose peers are gone
 *
 * Context: process.
 */
void espudp_select_destroy(struct espudp_select *t)
{
	WARN_ON_ONCE(atomic_read(&t->hash.nelems));
	rhashtable_destroy(&t->hash);
}

#ifdef ESPUDP_DEBUG
#include "selftest/select.c"
#endif
