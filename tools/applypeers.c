// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "apply.h"
#include "codec.h"
#include "explain.h"
#include "format.h"
#include "lookup.h"
#include "virtual.h"

#define DEFAULT_PORT 4500
#define DEFAULT_KEEPALIVE 20

/* A request that sets a peer's selectors, and nothing else. */
static struct undo set_selectors(const struct peer *peer,
				 const struct list *selectors)
{
	struct undo u = { .cmd = ESPUDP_CMD_PEER_SET };

	u.peer.id = peer->id;
	SET(&u.peer, ESPUDP_A_PEER_ID);
	u.peer.selector = *selectors;
	u.peer.no_selectors = !selectors->n;
	SET(&u.peer,
	    selectors->n ? ESPUDP_A_PEER_SELECTOR : ESPUDP_A_PEER_NO_SELECTORS);
	return u;
}

static struct list common_selectors(const struct list *one,
				    const struct list *other)
{
	struct list common = { 0 };

	for_each(struct selector, s, one)
		for_each(struct selector, t, other)
			if (selector_equal(s, t)) {
				*(struct selector *)list_add(&common,
							     sizeof(*s)) = *s;
				break;
			}
	return common;
}

/* Peers let go of selectors before others may take them; likewise on the way
 * back.
 */
static int release_selectors(struct apply *a, const struct peer *old)
{
	static const struct list none;
	struct plan *p = plan_of(a, old);
	const struct list *keep = p ? &p->keep : &none;
	struct undo u;
	int ret;

	if (p)
		p->keep = common_selectors(&old->selector,
					   &p->conf->peer.selector);
	if (keep->n == old->selector.n)
		return OK;
	u = set_selectors(old, keep);
	ret = apply_run(a, &u, 0, NULL, NULL);
	if (!ret)
		*apply_log(a, 0) = set_selectors(old, &old->selector);
	return ret;
}

/* A peer that was heard is where it was heard from, whatever the file says. */
static bool keeps_remote(const struct apply *a, const struct peer *old)
{
	return a->sync && old->roaming != ESPUDP_ROAMING_OFF &&
	       HAS(old, ESPUDP_A_PEER_LAST_RX);
}

static void diff_remote(const struct apply *a, const struct peer *want,
			const struct peer *old, struct peer *to,
			struct peer *back)
{
	uint16_t port = HAS(want, ESPUDP_A_PEER_REMOTE_PORT) ?
				want->remote_port :
				DEFAULT_PORT;

	CLEAR(to, ESPUDP_A_PEER_REMOTE);
	CLEAR(back, ESPUDP_A_PEER_REMOTE);
	if (!HAS(want, ESPUDP_A_PEER_REMOTE) || keeps_remote(a, old) ||
	    (addr_equal(&want->remote, &old->remote) &&
	     port == old->remote_port))
		return;
	to->remote = want->remote;
	to->remote_port = port;
	SET(to, ESPUDP_A_PEER_REMOTE);
	SET(to, ESPUDP_A_PEER_REMOTE_PORT);
	back->remote = old->remote;
	if (!back->remote.family) /* the unspecified one: not known */
		back->remote.family = want->remote.family;
	back->remote_port = old->remote_port;
	SET(back, ESPUDP_A_PEER_REMOTE);
	SET(back, ESPUDP_A_PEER_REMOTE_PORT);
}

/* The unspecified address: the route's choice. */
static void diff_local(const struct peer *want, const struct peer *old,
		       struct peer *to, struct peer *back)
{
	CLEAR(to, ESPUDP_A_PEER_LOCAL);
	CLEAR(back, ESPUDP_A_PEER_LOCAL);
	if (addr_equal(&want->local, &old->local))
		return;
	to->local = want->local;
	back->local = old->local;
	if (!to->local.family)
		to->local.family = old->local.family;
	if (!back->local.family)
		back->local.family = want->local.family;
	SET(to, ESPUDP_A_PEER_LOCAL);
	SET(back, ESPUDP_A_PEER_LOCAL);
}

/* What the file leaves out: the default, but the remote end and the name stay.
 */
static struct peer peer_defaults(const struct peer *want,
				 const struct peer *old)
{
	struct peer d = { .roaming = ESPUDP_ROAMING_ADDRESS };

	d.id = old->id;
	memcpy(d.name, old->name, sizeof(d.name));
	d.remote = old->remote;
	if (want->nat_local == ESPUDP_NAT_YES)
		d.keepalive = DEFAULT_KEEPALIVE;
	return d;
}

static int change_peer(struct apply *a, const struct plan *p)
{
	const struct peer *want = &p->conf->peer, *old = p->old;
	struct undo u = set_selectors(old, &want->selector);
	struct undo back = set_selectors(old, &p->keep);
	struct peer defaults = peer_defaults(want, old);
	int ret;

	if (selectors_equal(&want->selector, &old->selector)) {
		CLEAR(&u.peer, ESPUDP_A_PEER_SELECTOR);
		CLEAR(&u.peer, ESPUDP_A_PEER_NO_SELECTORS);
		CLEAR(&back.peer, ESPUDP_A_PEER_SELECTOR);
		CLEAR(&back.peer, ESPUDP_A_PEER_NO_SELECTORS);
	}
	apply_diff(&set_peer, want, &defaults, old, &u.peer, &back.peer);
	diff_local(want, old, &u.peer, &back.peer);
	/* It stays what it is: see plan_make(). */
	CLEAR(&u.peer, ESPUDP_A_PEER_VIRTUAL);
	CLEAR(&back.peer, ESPUDP_A_PEER_VIRTUAL);
	diff_remote(a, want, old, &u.peer, &back.peer);
	if (u.peer.o.has == 1ULL << ESPUDP_A_PEER_ID)
		return OK;
	ret = apply_run(a, &u, p->conf->line, NULL, NULL);
	if (!ret)
		*apply_log(a, 0) = back;
	return ret;
}

static void on_id(const struct nlmsghdr *nlh, void *arg)
{
	const struct nlattr *attr = nl_find(nlh, ESPUDP_A_PEER);

	if (attr)
		codec_decode(&set_peer, attr, arg);
}

static int new_peer(struct apply *a, struct plan *p)
{
	struct undo u = { .cmd = ESPUDP_CMD_PEER_NEW }, *back;
	struct peer reply = { 0 };
	int ret;

	u.peer = p->conf->peer;
	ret = apply_run(a, &u, p->conf->line, on_id, &reply);
	if (ret)
		return ret;
	p->id = reply.id;
	back = apply_log(a, ESPUDP_CMD_PEER_DEL);
	back->peer.id = reply.id;
	SET(&back->peer, ESPUDP_A_PEER_ID);
	object_free(&set_peer, &reply);
	return OK;
}

int apply_peers(struct apply *a)
{
	int ret = OK;

	for_each(struct peer, old, &a->peers)
		ret = ret ? ret : release_selectors(a, old);
	for_each(struct plan, p, &a->plans)
		if (!ret)
			ret = p->old ? change_peer(a, p) : new_peer(a, p);
	return ret;
}

void apply_prefixes(const struct conf *conf, struct list *prefixes)
{
	for_each(struct conf_peer, p, &conf->peers)
		if (!p->no_routes)
			protect_prefixes(&p->peer, prefixes);
}

int apply_routes(struct apply *a)
{
	const struct dev *dev = LIST(struct dev, &a->devs);
	struct list peers = { 0 }, some = { 0 };
	struct dev now = *dev;
	int ret = lookup_peers(&a->nl, a->ifname, &peers);

	now.pool = a->conf.dev.pool;
	for_each(struct plan, p, &a->plans) {
		const struct peer *peer = lookup_id(&peers, p->id);

		if (peer && !p->conf->no_routes)
			*(struct peer *)list_add(&some, sizeof(*peer)) = *peer;
	}
	if (!ret)
		ret = virtual_add(&a->protect, &now, &some);
	free(some.v);
	objects_free(&set_peer, &peers);
	return ret;
}

static int new_sa(struct apply *a, const struct plan *p,
		  const struct conf_sa *s)
{
	struct undo u = { .cmd = ESPUDP_CMD_SA_NEW }, *back;
	int ret;

	u.sa = s->sa;
	u.sa.peer = p->id;
	SET(&u.sa, ESPUDP_A_SA_PEER);
	ret = apply_run(a, &u, s->line, NULL, NULL);
	if (ret)
		return ret;
	back = apply_log(a, ESPUDP_CMD_SA_DEL);
	back->sa.spi = s->sa.spi;
	back->sa.dir = s->sa.dir;
	back->sa.peer = p->id;
	SET(&back->sa, ESPUDP_A_SA_SPI);
	SET(&back->sa, ESPUDP_A_SA_DIR);
	SET(&back->sa, ESPUDP_A_SA_PEER);
	return OK;
}

static bool is_lifetime(const struct field *f)
{
	return f->attr >= ESPUDP_A_SA_SOFT_SECONDS &&
	       f->attr <= ESPUDP_A_SA_HARD_BYTES;
}

static int change_sa(struct apply *a, const struct conf_sa *s,
		     const struct sa *old)
{
	struct undo u = { .cmd = ESPUDP_CMD_SA_SET }, back = u;
	bool differs = false;
	int ret;

	u.sa.spi = back.sa.spi = old->spi;
	u.sa.dir = back.sa.dir = old->dir;
	u.sa.peer = back.sa.peer = old->peer;
	u.sa.o.has = back.sa.o.has = 1ULL << ESPUDP_A_SA_SPI |
				     1ULL << ESPUDP_A_SA_DIR |
				     1ULL << ESPUDP_A_SA_PEER;
	for (size_t i = 0; i < set_sa.n; i++) {
		const struct field *f = &set_sa.fields[i];

		if (!is_lifetime(f) || field_equal(&s->sa, old, f))
			continue;
		field_set_number(&u.sa, f, field_number(&s->sa, f));
		field_set_number(&back.sa, f, field_number(old, f));
		u.sa.o.has |= 1ULL << f->attr;
		back.sa.o.has |= 1ULL << f->attr;
		differs = true;
	}
	if (!differs)
		return OK;
	ret = apply_run(a, &u, s->line, NULL, NULL);
	if (!ret)
		*apply_log(a, 0) = back;
	return ret;
}

/* Inbound first: what the other end sends in reply can then be read. */
int apply_sas(struct apply *a)
{
	int ret = OK;

	for (uint8_t dir = ESPUDP_DIR_IN; dir <= ESPUDP_DIR_OUT; dir++)
		for_each(struct plan, p, &a->plans)
			for_each(struct conf_sa, s, &p->conf->sas) {
				const struct sa *old;

				if (ret || s->sa.dir != dir)
					continue;
				old = plan_find_sa(a, p, &s->sa);
				ret = old ? change_sa(a, s, old) :
					    new_sa(a, p, s);
			}
	return ret;
}

static int delete (struct apply *a, const struct undo *u)
{
	nl_request(&a->nl, u->cmd, a->ifname);
	if (u->cmd == ESPUDP_CMD_PEER_DEL)
		codec_encode(&a->nl, ESPUDP_A_PEER, &set_peer, &u->peer);
	else
		codec_encode(&a->nl, ESPUDP_A_SA, &set_sa, &u->sa);
	/* It may have expired meanwhile. */
	if (nl_talk(&a->nl, NULL, NULL) && a->nl.error.err != ENOENT)
		return explain(&a->nl, a->ifname, NULL);
	return OK;
}

int apply_deletions(struct apply *a)
{
	struct list prefixes = { 0 }, peers = { 0 };
	int ret = OK;

	for_each(struct sa, s, &a->sas) {
		struct undo u = { .cmd = ESPUDP_CMD_SA_DEL };

		if (plan_keeps_sa(a, s))
			continue;
		u.sa.spi = s->spi;
		u.sa.dir = s->dir;
		u.sa.peer = s->peer;
		u.sa.o.has = 1ULL << ESPUDP_A_SA_SPI | 1ULL << ESPUDP_A_SA_DIR |
			     1ULL << ESPUDP_A_SA_PEER;
		ret |= delete (a, &u);
	}
	for_each(struct peer, p, &a->peers) {
		struct undo u = { .cmd = ESPUDP_CMD_PEER_DEL };

		protect_prefixes(p, &prefixes);
		if (plan_of(a, p))
			continue;
		u.peer.id = p->id;
		SET(&u.peer, ESPUDP_A_PEER_ID);
		ret |= delete (a, &u);
	}
	if (!lookup_peers(&a->nl, a->ifname, &peers)) {
		ret |= virtual_release(&a->protect, &a->peers, &peers);
		ret |= protect_release(&a->protect, &prefixes, &peers, false);
	}
	ret |= apply_pools_gone(a);
	objects_free(&set_peer, &peers);
	free(prefixes.v);
	return ret ? FAILED : OK;
}
