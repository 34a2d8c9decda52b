// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <string.h>

#include "explain.h"
#include "format.h"
#include "lookup.h"
#include "objects.h"
#include "virtual.h"

static const char *hint_errno(const char *ifname, const struct nl_error *e)
{
	/* The kernel's own words are enough, but for what to type. */
	if (e->text[0] && e->err != ENODEV)
		return "";
	switch (e->err) {
	case EPERM:
		return "CAP_NET_ADMIN is needed in the network namespace of "
		       "the device and, for port, sockets, fwmark, bound device "
		       "and pools, in the one it was created in";
	case ENODEV:
		if (ifname && !if_nametoindex(ifname))
			return format("try `ip link add %s type espudp'",
				      ifname);
		return "";
	case EMSGSIZE:
		return "too many selectors for one request";
	case EOPNOTSUPP:
		return "the module does not know this request: is it older "
		       "than this program?";
	default:
		return "";
	}
}

static const char *peer_name(struct nl *nl, const char *ifname, uint32_t id)
{
	struct list peers = { 0 };
	const char *text = format("%u", id);

	if (!lookup_peers(nl, ifname, &peers))
		for_each(struct peer, p, &peers)
			if (p->id == id)
				text = format_peer(p->name, id);
	objects_free(&set_peer, &peers);
	return text;
}

/* Who has the inbound SPI. */
static const char *hint_spi(struct nl *nl, const char *ifname,
			    const struct sa *sa)
{
	struct list sas = { 0 };
	const char *text = "";

	if (!lookup_sas(nl, ifname, 0, &sas)) {
		for_each(struct sa, s, &sas) {
			if (s->spi != sa->spi || s->dir != sa->dir ||
			    (s->dir == ESPUDP_DIR_OUT && s->peer != sa->peer))
				continue;
			text = format("SPI 0x%08x %s belongs to %s%s", s->spi,
				      names_get(&names_dir, s->dir),
				      s->peer ? "peer " : "a reservation",
				      s->peer ? peer_name(nl, ifname, s->peer) :
						"");
			break;
		}
	}
	objects_free(&set_sa, &sas);
	return text;
}

static bool overlap(const struct addr *a_from, const struct addr *a_to,
		    const struct addr *b_from, const struct addr *b_to)
{
	return a_from->family == b_from->family &&
	       addr_cmp(a_from, b_to) <= 0 && addr_cmp(b_from, a_to) <= 0;
}

/* Ranges are kept as prefixes, so that a part may be what is equal. */
static bool selectors_clash(const struct selector *a, const struct selector *b)
{
	struct selector x = *a;

	if (!overlap(&a->local_from, &a->local_to, &b->local_from,
		     &b->local_to) ||
	    !overlap(&a->remote_from, &a->remote_to, &b->remote_from,
		     &b->remote_to))
		return false;
	x.local_from = b->local_from;
	x.local_to = b->local_to;
	x.remote_from = b->remote_from;
	x.remote_to = b->remote_to;
	return selector_equal(&x, b);
}

/* Who has the id, or such a selector. */
static const char *hint_peer(struct nl *nl, const char *ifname, uint8_t cmd,
			     const struct peer *peer)
{
	struct list peers = { 0 };
	const char *text = "";

	if (lookup_peers(nl, ifname, &peers))
		goto out;
	for_each(struct peer, p, &peers) {
		if (HAS(peer, ESPUDP_A_PEER_ID) && p->id == peer->id) {
			if (cmd == ESPUDP_CMD_PEER_NEW)
				text = format("id %u is peer %s", p->id,
					      format_peer(p->name, p->id));
			continue;
		}
		if (!p->virtual.family && p->mode == ESPUDP_MODE_TRANSPORT &&
		    addr_equal(&p->remote, &peer->remote)) {
			text = format(
				"peer %s is at %s", format_peer(p->name, p->id),
				format_endpoint(&p->remote, p->remote_port));
			continue;
		}
		if (p->mode == ESPUDP_MODE_TRANSPORT)
			continue;
		for_each(struct selector, a, &p->selector)
			for_each(struct selector, b, &peer->selector)
				if (selectors_clash(a, b))
					text = format("peer %s has `%s'",
						      format_peer(p->name,
								  p->id),
						      format_selector(a));
	}
out:
	objects_free(&set_peer, &peers);
	return text;
}

/* Which address of this host is in the way. */
static const char *hint_own(const struct pool *pool)
{
	struct ifaddrs *all = NULL;
	const char *text = "";
	struct addr a;

	if (getifaddrs(&all))
		return text;
	for (struct ifaddrs *i = all; i && !*text; i = i->ifa_next) {
		if (!i->ifa_addr)
			continue;
		memset(&a, 0, sizeof(a));
		a.family = i->ifa_addr->sa_family;
		if (a.family == AF_INET)
			a.v4 = ((struct sockaddr_in *)i->ifa_addr)->sin_addr;
		else if (a.family == AF_INET6)
			a.v6 = ((struct sockaddr_in6 *)i->ifa_addr)->sin6_addr;
		if (pool_has(pool, &a))
			text = format("%s of %s is in %s", format_addr(&a),
				      format_name(i->ifa_name, false),
				      format_pool(pool));
	}
	freeifaddrs(all);
	return text;
}

/* Which peer has an address that a pool covers: outer, or virtual. */
static const char *hint_inside(struct nl *nl, const char *ifname,
			       const struct pool *pool, bool virtual)
{
	struct list peers = { 0 };
	const char *text = "";

	lookup_peers(nl, ifname, &peers);
	for_each(struct peer, p, &peers) {
		const struct addr *a = virtual ? &p->virtual : &p->remote;

		if (!*text && pool_has(pool, a))
			text = format("peer %s has %s",
				      format_peer(p->name, p->id),
				      format_addr(a));
	}
	objects_free(&set_peer, &peers);
	return text;
}

static const char *hint_overlap(struct nl *nl, const char *ifname,
				const struct pool *pool)
{
	struct list devs = { 0 };
	const char *text = "";

	lookup_devs(nl, NULL, &devs);
	for_each(struct dev, dev, &devs)
		for_each(struct pool, p, &dev->pool)
			if (strcmp(dev->ifname, ifname) &&
			    (pool_has(pool, &p->addr) ||
			     pool_has(p, &pool->addr)))
				text = format("%s has %s",
					      format_name(dev->ifname, false),
					      format_pool(p));
	objects_free(&set_dev, &devs);
	return text;
}

/* What is in the way of a pool. */
static const char *hint_pool(struct nl *nl, const char *ifname, int err,
			     const struct pool *pool)
{
	const struct pool *old;
	struct list devs = { 0 };
	const char *text = "";

	if (err == EEXIST)
		return hint_overlap(nl, ifname, pool);
	if (err == EADDRINUSE) {
		text = hint_own(pool);
		return *text ? text : hint_inside(nl, ifname, pool, false);
	}
	if (err != EBUSY || lookup_devs(nl, ifname, &devs))
		return text;
	for_each(struct dev, dev, &devs) {
		old = virtual_pool(dev, pool->addr.family);
		if (old)
			text = hint_inside(nl, ifname, old, true);
	}
	objects_free(&set_dev, &devs);
	return text;
}

/* Why a peer gets no virtual address. */
static const char *hint_virtual(struct nl *nl, const char *ifname, int err,
				const struct peer *peer)
{
	struct addr a = HAS(peer, ESPUDP_A_PEER_VIRTUAL) ? peer->virtual :
							   peer->remote;
	const struct pool *pool = NULL;
	struct list devs = { 0 }, peers = { 0 };
	const char *text = "";

	if (!lookup_devs(nl, ifname, &devs) && devs.n)
		pool = virtual_pool(devs.v, a.family);
	if (!pool)
		text = format("see `pool%s' in `espudp help set'",
			      a.family == AF_INET6 ? "6" : "");
	else if (err == ENOSPC || !pool_has(pool, &a))
		text = format("the pool is %s, %u in use", format_pool(pool),
			      pool->used);
	else if (err == EADDRINUSE && !lookup_peers(nl, ifname, &peers))
		for_each(struct peer, p, &peers)
			if (addr_equal(&p->virtual, &a))
				text = format("peer %s has it: `take-over %u'",
					      format_peer(p->name, p->id),
					      p->id);
	objects_free(&set_dev, &devs);
	objects_free(&set_peer, &peers);
	return text;
}

static bool is_peer_change(const struct request *r)
{
	return r && r->peer &&
	       (r->cmd == ESPUDP_CMD_PEER_NEW || r->cmd == ESPUDP_CMD_PEER_SET);
}

static const char *hint(struct nl *nl, const char *ifname,
			const struct nl_error *e, const struct request *r)
{
	const char *text;
	int err = e->err;

	if (r && r->dev && r->dev->pool.n && !strcmp(e->attr, "dev.pool"))
		return hint_pool(nl, ifname, err, r->dev->pool.v);
	if (is_peer_change(r) && err == EACCES)
		return format("or `espudp set %s nat-scope both'", ifname);
	if (is_peer_change(r) &&
	    (err == ENOSPC || !strcmp(e->attr, "peer.virtual")))
		return hint_virtual(nl, ifname, err, r->peer);

	if (r && r->cmd == ESPUDP_CMD_SOCKET_ATTACH && err == EADDRINUSE)
		return format("for port %u see `espudp socket adopt'", r->port);
	if (r && r->cmd == ESPUDP_CMD_SA_NEW && err == EEXIST && r->sa) {
		text = hint_spi(nl, ifname, r->sa);
		return *text ? text : hint_errno(ifname, e);
	}
	if (is_peer_change(r) && err == EEXIST) {
		text = hint_peer(nl, ifname, r->cmd, r->peer);
		return *text ? text : hint_errno(ifname, e);
	}
	return hint_errno(ifname, e);
}

int explain(struct nl *nl, const char *ifname, const struct request *r)
{
	struct nl_error e = nl->error; /* asking for hints overwrites it */
	const char *more;

	if (!strcmp(e.attr, "ifname"))
		e.attr[0] = 0; /* named already */
	error_silence(true);
	more = hint(nl, ifname, &e, r);
	error_silence(false);
	return error("%s%s%s%s%s%s%s%s%s%s%s", ifname ? ifname : "",
		     ifname ? ": " : "", r && r->what ? r->what : "",
		     r && r->what ? ": " : "",
		     e.text[0] ? e.text : strerror(e.err),
		     e.attr[0] ? " (" : "",
		     e.attr[0] && e.missing ? "missing " : "",
		     e.attr[0] ? e.attr : "", e.attr[0] ? ")" : "",
		     *more ? "; " : "", more);
}
