// SPDX-License-Identifier: GPL-2.0
#include <stdlib.h>
#include <string.h>

#include "format.h"
#include "virtual.h"

const struct pool *virtual_pool(const struct dev *dev, uint8_t family)
{
	for_each(struct pool, p, &dev->pool)
		if (p->addr.family == family && p->len)
			return p;
	return NULL;
}

const char *format_pool(const struct pool *pool)
{
	struct prefix prefix = virtual_prefix(pool);

	return format_prefix(&prefix);
}

bool pool_has(const struct pool *pool, const struct addr *a)
{
	struct addr from, to;

	if (!pool->len || pool->addr.family != a->family)
		return false;
	prefix_range(&pool->addr, pool->len, &from, &to);
	return addr_cmp(&from, a) <= 0 && addr_cmp(a, &to) <= 0;
}

struct prefix virtual_prefix(const struct pool *pool)
{
	return (struct prefix){ pool->addr, pool->len };
}

struct prefix virtual_host(const struct addr *a)
{
	return (struct prefix){ *a, addr_len(a) * 8 };
}

int virtual_guard(struct protect *p, const struct list *pools)
{
	int ret = OK;

	for_each(struct pool, pool, pools) {
		struct prefix prefix = virtual_prefix(pool);

		if (!ret && pool->len)
			ret = protect_hole(p, &prefix);
	}
	return ret;
}

/* What is known while routes are added. */
struct state {
	struct protect *protect;
	const struct dev *dev;
	struct addr src[2]; /* of the pools' routes made here, by family */
};

static const struct addr *pool_source(struct state *s,
				      const struct prefix *pool)
{
	const struct addr *own = &s->src[pool->addr.family == AF_INET6];
	const struct fib_route *r;

	if (own->family)
		return own;
	r = protect_find(s->protect, pool);
	return r ? &r->src : NULL;
}

/* The route of the pool will do, unless its source is another or a host route
 * is in the way.
 */
static int add_by_route(struct state *s, const struct peer *peer)
{
	const struct pool *pool = virtual_pool(s->dev, peer->virtual.family);
	struct prefix host = virtual_host(&peer->virtual), all;
	struct protect *p = s->protect;
	const struct addr *src;
	struct addr wanted;
	int ret;

	if (fib_source(&p->rt, &peer->remote, s->dev->fwmark,
		       s->dev->bound_ifindex, &wanted)) {
		if (!p->later)
			note("%s: no route to %s, so that the source of packets "
			     "to peer %s is not known",
			     p->ifname, format_addr(&peer->remote),
			     format_peer(peer->name, peer->id));
		p->later = true;
		return OK;
	}
	if (!pool)
		return protect_route(p, &host, &wanted);
	all = virtual_prefix(pool);
	src = pool_source(s, &all);
	if (src && (!addr_equal(src, &wanted) || protect_find(p, &host)))
		return protect_route(p, &host, &wanted);
	if (src)
		return OK;
	ret = protect_route(p, &all, &wanted);
	if (!ret)
		s->src[wanted.family == AF_INET6] = wanted;
	return ret;
}

static int add(struct state *s, const struct peer *peer)
{
	struct prefix host = virtual_host(&peer->virtual);

	if (HAS(peer, ESPUDP_A_PEER_LOCAL))
		return protect_route(s->protect, &host, &peer->local);
	return add_by_route(s, peer);
}

int virtual_add(struct protect *p, const struct dev *dev,
		const struct list *peers)
{
	struct state s = { .protect = p, .dev = dev };
	int ret = OK;

	for_each(struct peer, peer, peers) {
		if (ret || !peer->virtual.family)
			continue;
		if (dev->foreign_netns) {
			note("warning: %s: no routes to virtual addresses: the "
			     "device was moved, the local outer addresses are in "
			     "another namespace",
			     p->ifname);
			break;
		}
		ret = add(&s, peer);
	}
	return ret;
}

int virtual_release(struct protect *p, const struct list *before,
		    const struct list *now)
{
	struct list hosts = { 0 }, needed = { 0 };
	struct prefix host;
	int ret;

	for_each(struct peer, peer, now) {
		host = virtual_host(&peer->virtual);
		if (peer->virtual.family)
			prefix_add(&needed, &host);
	}
	for_each(struct peer, peer, before) {
		host = virtual_host(&peer->virtual);
		if (peer->virtual.family && !prefix_has(&needed, &host))
			prefix_add(&hosts, &host);
	}
	ret = protect_remove(p, &hosts, PROTECT_DEVICE);
	free(hosts.v);
	free(needed.v);
	return ret;
}

int virtual_forget(struct protect *p, const struct pool *pool)
{
	struct list routes = { 0 };
	int ret = OK;

	if (p->ifindex)
		fib_dump(&p->rt, p->ifindex, &routes);
	for_each(struct fib_route, r, &routes)
		if (!ret && pool_has(pool, &r->prefix.addr) &&
		    r->prefix.len >= pool->len)
			ret = protect_give_up(p, r);
	free(routes.v);
	return ret;
}
