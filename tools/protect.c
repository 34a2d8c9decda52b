// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include "format.h"
#include "protect.h"

struct added {
	struct prefix prefix;
	uint32_t ifindex;
};

void protect_prefixes(const struct peer *peer, struct list *prefixes)
{
	if (peer->mode == ESPUDP_MODE_TRANSPORT)
		return;
	for_each(struct selector, s, &peer->selector)
		prefixes_of_range(&s->remote_from, &s->remote_to, prefixes);
}

int protect_begin(struct protect *p, const char *ifname)
{
	memset(p, 0, sizeof(*p));
	p->ifname = ifname;
	p->ifindex = if_nametoindex(ifname);
	return nl_open_route(&p->rt);
}

void protect_end(struct protect *p, bool quiet)
{
	if (p->down && !quiet)
		note("%s is down: unreachable routes are in place, routes to "
		     "it are not; `ip link set %s up', then `espudp route add "
		     "%s'",
		     p->ifname, p->ifname, p->ifname);
	else if (p->later && !quiet)
		note("%s: later, `espudp route add %s' adds them", p->ifname,
		     p->ifname);
	free(p->added.v);
	free(p->routes.v);
	free(p->guards.v);
	free(p->holes.v);
	nl_close(&p->rt);
}

static int fail(const struct protect *p, const char *verb,
		const struct prefix *prefix, uint32_t ifindex, int err)
{
	const char *text = p->rt.error.text;

	if (err == EEXIST)
		text = "another route of that prefix and metric exists";
	else if (!text[0])
		text = strerror(err);
	return error("%s route %s %s: %s", verb, format_prefix(prefix),
		     ifindex == FIB_GUARD ? "unreachable" :
		     ifindex == FIB_HOLE  ? "blackhole" :
					    p->ifname,
		     text);
}

static const struct fib_route *
find(struct protect *p, const struct prefix *prefix, uint32_t ifindex)
{
	if (!p->asked) {
		p->asked = true;
		fib_dump(&p->rt, p->ifindex, &p->routes);
		fib_dump(&p->rt, FIB_GUARD, &p->guards);
		fib_dump(&p->rt, FIB_HOLE, &p->holes);
	}
	return fib_find(ifindex == FIB_GUARD ? &p->guards :
			ifindex == FIB_HOLE  ? &p->holes :
					       &p->routes,
			prefix);
}

/* Whether a route's source is not there, as long as networks are not. */
static bool lacks_source(struct protect *p, const struct addr *src, int err)
{
	if (err != EINVAL || !src)
		return false;
	note("%s: no route from %s, which is no address of this host",
	     p->ifname, format_addr(src));
	return p->later = true;
}

static int add(struct protect *p, const struct prefix *prefix, uint32_t ifindex,
	       const struct addr *src)
{
	const struct fib_route *old;
	struct added *a;
	int err;

	err = fib_add(&p->rt, prefix, ifindex, src);
	old = err == EEXIST ? find(p, prefix, ifindex) : NULL;
	if (old && (!src || addr_equal(src, &old->src)))
		return OK;
	if (old) {
		fib_del(&p->rt, prefix, ifindex);
		err = fib_add(&p->rt, prefix, ifindex, src);
	}
	if (err == ENETDOWN && ifindex == p->ifindex) {
		p->down = true;
		return OK;
	}
	if (lacks_source(p, src, err))
		return OK;
	if (err)
		return fail(p, "add", prefix, ifindex, err);
	a = list_add(&p->added, sizeof(*a));
	*a = (struct added){ *prefix, ifindex };
	return OK;
}

int protect_route(struct protect *p, const struct prefix *prefix,
		  const struct addr *src)
{
	return add(p, prefix, p->ifindex, src);
}

const struct fib_route *protect_find(struct protect *p,
				     const struct prefix *prefix)
{
	return find(p, prefix, p->ifindex);
}

int protect_hole(struct protect *p, const struct prefix *prefix)
{
	return add(p, prefix, FIB_HOLE, NULL);
}

int protect_add(struct protect *p, const struct list *prefixes)
{
	int ret = OK;

	if (!p->ifindex)
		return error("%s: no such device; try `ip link add %s type "
			     "espudp'",
			     p->ifname, p->ifname);
	for_each(struct prefix, x, prefixes)
		ret = ret ? ret : add(p, x, FIB_GUARD, NULL);
	for_each(struct prefix, x, prefixes)
		ret = ret ? ret : add(p, x, p->ifindex, NULL);
	return ret;
}

/* Routes to the device go before the guards below them. */
void protect_undo(struct protect *p)
{
	struct added *v = p->added.v;

	for (size_t i = p->added.n; i-- > 0;)
		fib_del(&p->rt, &v[i].prefix, v[i].ifindex);
	p->added.n = 0;
}

static bool covers(const struct selector *s, const struct addr *from,
		   const struct addr *to)
{
	return s->remote_from.family == from->family &&
	       addr_cmp(&s->remote_from, from) <= 0 &&
	       addr_cmp(to, &s->remote_to) <= 0;
}

/* A route to the device is needed as long as a peer has all of it: without it
 * the guard that stays would hide a wider route of that peer. A guard is needed
 * only as long as a peer would have made it.
 */
static bool needed(const struct prefix *x, const struct list *peers, bool guard)
{
	struct addr from, to;
	bool found = false;

	prefix_range(&x->addr, x->len, &from, &to);
	for_each(struct peer, peer, peers) {
		struct list own = { 0 };

		if (peer->mode == ESPUDP_MODE_TRANSPORT)
			continue;
		for_each(struct selector, s, &peer->selector)
			found |= !guard && covers(s, &from, &to);
		if (guard)
			protect_prefixes(peer, &own);
		for_each(struct prefix, y, &own)
			found |= prefix_equal(x, y);
		free(own.v);
	}
	return found;
}

int protect_release(struct protect *p, const struct list *prefixes,
		    const struct list *peers, bool guards)
{
	struct list rest = { 0 };
	int ret;

	for_each(struct prefix, x, prefixes)
		if (!needed(x, peers, guards))
			prefix_add(&rest, x);
	ret = protect_remove(p, &rest, guards ? PROTECT_GUARD : PROTECT_DEVICE);
	free(rest.v);
	return ret;
}

int protect_remove(struct protect *p, const struct list *prefixes,
		   enum protect_kind kind)
{
	uint32_t which = kind == PROTECT_GUARD ? FIB_GUARD :
			 kind == PROTECT_HOLE  ? FIB_HOLE :
						 p->ifindex;
	int err, ret = OK;

	if (kind == PROTECT_DEVICE && !p->ifindex)
		return OK; /* they went with the device */
	for_each(struct prefix, x, prefixes) {
		err = fib_del(&p->rt, x, which);
		if (err)
			ret = fail(p, "remove", x, which, err);
	}
	return ret;
}
