// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include "format.h"
#include "protect.h"

/* A route that was made, and what it was made in place of, or one that went. */
struct change {
	struct prefix prefix;
	uint32_t ifindex;
	bool made, had;
	struct addr src; /* what it had */
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
	free(p->changes.v);
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

static void put_back(struct protect *p, const struct change *c)
{
	fib_add(&p->rt, &c->prefix, c->ifindex, c->src.family ? &c->src : NULL);
}

static int add(struct protect *p, const struct prefix *prefix, uint32_t ifindex,
	       const struct addr *src)
{
	struct change c = { .prefix = *prefix, .ifindex = ifindex };
	const struct fib_route *old;
	int err;

	err = fib_add(&p->rt, prefix, ifindex, src);
	old = err == EEXIST ? find(p, prefix, ifindex) : NULL;
	if (old && (!src || addr_equal(src, &old->src)))
		return OK;
	if (old) {
		c.src = old->src;
		c.had = !fib_del(&p->rt, prefix, ifindex);
		err = fib_add(&p->rt, prefix, ifindex, src);
		if (err && c.had)
			put_back(p, &c);
	}
	if (err == ENETDOWN && ifindex == p->ifindex) {
		p->down = true;
		return OK;
	}
	if (lacks_source(p, src, err))
		return OK;
	if (err)
		return fail(p, "add", prefix, ifindex, err);
	c.made = true;
	*(struct change *)list_add(&p->changes, sizeof(c)) = c;
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

int protect_guard(struct protect *p, const struct list *prefixes)
{
	int ret = OK;

	for_each(struct prefix, x, prefixes)
		ret = ret ? ret : add(p, x, FIB_GUARD, NULL);
	return ret;
}

int protect_add(struct protect *p, const struct list *prefixes)
{
	int ret;

	if (!p->ifindex)
		return error("%s: no such device; try `ip link add %s type "
			     "espudp'",
			     p->ifname, p->ifname);
	ret = protect_guard(p, prefixes);
	for_each(struct prefix, x, prefixes)
		ret = ret ? ret : add(p, x, p->ifindex, NULL);
	return ret;
}

/* Routes to the device go before the guards below them. */
void protect_undo(struct protect *p)
{
	struct change *v = p->changes.v;

	for (size_t i = p->changes.n; i-- > 0;) {
		if (v[i].made)
			fib_del(&p->rt, &v[i].prefix, v[i].ifindex);
		if (v[i].had)
			put_back(p, &v[i]);
	}
	p->changes.n = 0;
}

int protect_give_up(struct protect *p, const struct fib_route *route)
{
	struct change c = { route->prefix, p->ifindex, false, true,
			    route->src };
	int err = fib_del(&p->rt, &route->prefix, p->ifindex);

	if (err)
		return fail(p, "remove", &route->prefix, p->ifindex, err);
	*(struct change *)list_add(&p->changes, sizeof(c)) = c;
	return OK;
}

/* Remote ends of selectors, by their first address; @to is the last address of this
 * one and those before it.
 */
struct range {
	struct addr from, to;
};

static int range_cmp(const void *a, const void *b)
{
	const struct range *x = a, *y = b;
	int order = x->from.family - y->from.family;

	return order ? order : addr_cmp(&x->from, &y->from);
}

static struct list selected(const struct list *peers)
{
	struct list ranges = { 0 };

	for_each(struct peer, peer, peers) {
		if (peer->mode == ESPUDP_MODE_TRANSPORT)
			continue;
		for_each(struct selector, s, &peer->selector) {
			struct range *r = list_add(&ranges, sizeof(*r));

			*r = (struct range){ s->remote_from, s->remote_to };
		}
	}
	if (ranges.n)
		qsort(ranges.v, ranges.n, sizeof(struct range), range_cmp);
	for_each(struct range, r, &ranges)
		if (r > LIST(struct range, &ranges) &&
		    r[-1].from.family == r->from.family &&
		    addr_cmp(&r[-1].to, &r->to) > 0)
			r->to = r[-1].to;
	return ranges;
}

/* Whether one of the selectors has all of a prefix. */
static bool covered(const struct list *ranges, const struct prefix *x)
{
	const struct range *v = ranges->v;
	size_t low = 0, high = ranges->n;
	struct range all;

	prefix_range(&x->addr, x->len, &all.from, &all.to);
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (range_cmp(&v[middle], &all) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low && v[low - 1].from.family == all.from.family &&
	       addr_cmp(&all.to, &v[low - 1].to) <= 0;
}

/* A route to the device is needed as long as a peer has all of it: without it
 * the guard that stays would hide a wider route of that peer. A guard is needed
 * only as long as a peer would have made it.
 */
int protect_release(struct protect *p, const struct list *prefixes,
		    const struct list *peers, bool guards)
{
	struct list rest = { 0 }, own = { 0 };
	struct list ranges = selected(peers);
	int ret;

	if (guards)
		for_each(struct peer, peer, peers)
			protect_prefixes(peer, &own);
	for_each(struct prefix, x, prefixes)
		if (guards ? !prefix_has(&own, x) : !covered(&ranges, x))
			prefix_add(&rest, x);
	ret = protect_remove(p, &rest, guards ? PROTECT_GUARD : PROTECT_DEVICE);
	free(rest.v);
	free(own.v);
	free(ranges.v);
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
