// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include "fib.h"
#include "protect.h"

struct added {
	struct prefix prefix;
	uint32_t ifindex;
};

void protect_prefixes(const struct list *selectors, struct list *prefixes)
{
	for_each(struct selector, s, selectors)
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
	free(p->added.v);
	free(p->routes.v);
	free(p->guards.v);
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
		     ifindex == FIB_GUARD ? "unreachable" : p->ifname, text);
}

/* Whether the route that is in the way is the one that is wanted. */
static bool exists(struct protect *p, const struct prefix *prefix,
		   uint32_t ifindex)
{
	if (!p->asked) {
		p->asked = true;
		fib_dump(&p->rt, p->ifindex, &p->routes);
		fib_dump(&p->rt, FIB_GUARD, &p->guards);
	}
	return fib_find(ifindex == FIB_GUARD ? &p->guards : &p->routes, prefix);
}

static int add(struct protect *p, const struct prefix *prefix, uint32_t ifindex)
{
	int err = fib_add(&p->rt, prefix, ifindex);
	struct added *a;

	if (err == EEXIST && exists(p, prefix, ifindex))
		return OK;
	if (err == ENETDOWN && ifindex != FIB_GUARD) {
		p->down = true;
		return OK;
	}
	if (err)
		return fail(p, "add", prefix, ifindex, err);
	a = list_add(&p->added, sizeof(*a));
	*a = (struct added){ *prefix, ifindex };
	return OK;
}

int protect_add(struct protect *p, const struct list *prefixes)
{
	int ret = OK;

	if (!p->ifindex)
		return error("%s: no such device; try `ip link add %s type "
			     "espudp'",
			     p->ifname, p->ifname);
	for_each(struct prefix, x, prefixes)
		ret = ret ? ret : add(p, x, FIB_GUARD);
	for_each(struct prefix, x, prefixes)
		ret = ret ? ret : add(p, x, p->ifindex);
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

		for_each(struct selector, s, &peer->selector)
			found |= !guard && covers(s, &from, &to);
		if (guard)
			protect_prefixes(&peer->selector, &own);
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
	ret = protect_remove(p, &rest, guards);
	free(rest.v);
	return ret;
}

int protect_remove(struct protect *p, const struct list *prefixes, bool guards)
{
	uint32_t ifindex = guards ? FIB_GUARD : p->ifindex;
	int err, ret = OK;

	if (!guards && !p->ifindex)
		return OK; /* they went with the device */
	for_each(struct prefix, x, prefixes) {
		err = fib_del(&p->rt, x, ifindex);
		if (err)
			ret = fail(p, "remove", x, ifindex, err);
	}
	return ret;
}
