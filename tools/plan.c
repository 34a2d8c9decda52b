// SPDX-License-Identifier: GPL-2.0
#include <stdlib.h>
#include <string.h>

#include "algs.h"
#include "apply.h"
#include "format.h"
#include "lookup.h"
#include "virtual.h"

/* Pointers to the peers as they are, by name. */
struct by_name {
	const struct peer **v;
	size_t n;
};

static int name_cmp(const void *a, const void *b)
{
	const struct peer *const *x = a, *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

static struct by_name sort_names(const struct list *peers)
{
	struct by_name names = { xrealloc(NULL, peers->n + 1, sizeof(*names.v)),
				 0 };

	for_each(struct peer, p, peers)
		names.v[names.n++] = p;
	qsort(names.v, names.n, sizeof(*names.v), name_cmp);
	return names;
}

/* The installed peer that one of the file is meant to be, or NULL. */
static int find_old(const struct apply *a, const struct by_name *names,
		    const struct peer *want, const struct peer **old)
{
	const struct peer **found, **end = names->v + names->n;
	unsigned int n = 0;

	*old = NULL;
	if (HAS(want, ESPUDP_A_PEER_ID)) {
		*old = lookup_id(&a->peers, want->id);
		return OK;
	}
	found = bsearch(&want, names->v, names->n, sizeof(*names->v), name_cmp);
	if (!found)
		return OK;
	while (found > names->v && !name_cmp(found - 1, &want))
		found--;
	*old = *found;
	for (; found < end && !name_cmp(found, &want); found++)
		n++;
	if (n < 2)
		return OK;
	return error("%s has %u peers named `%s': an Id is needed", a->ifname,
		     n, format_name(want->name, false));
}

const struct sa *plan_find_sa(const struct apply *a, const struct plan *p,
			      const struct sa *sa)
{
	struct list sas = { 0 };

	if (p->old)
		sas = lookup_slice(&a->sas, p->old->id);
	for_each(struct sa, s, &sas)
		if (s->spi == sa->spi && s->dir == sa->dir &&
		    s->state != ESPUDP_SA_STATE_RESERVED)
			return s;
	return NULL;
}

struct plan *plan_of(const struct apply *a, const struct peer *old)
{
	size_t i = a->plan_of[old - LIST(struct peer, &a->peers)];

	return i ? &LIST(struct plan, &a->plans)[i - 1] : NULL;
}

bool plan_keeps_sa(const struct apply *a, const struct sa *sa)
{
	const struct peer *old = lookup_id(&a->peers, sa->peer);
	const struct plan *p = old ? plan_of(a, old) : NULL;

	if (p)
		for_each(struct conf_sa, s, &p->conf->sas)
			if (s->sa.spi == sa->spi && s->sa.dir == sa->dir)
				return true;
	/* Of an IKE daemon that is about to complete it. */
	return sa->state == ESPUDP_SA_STATE_RESERVED;
}

/* Keys cannot be read back, so an SA cannot be put back either: it is never
 * replaced.
 */
static int check_old_sa(struct apply *a, const struct conf_sa *s,
			const struct sa *old)
{
	unsigned int icv = HAS(&s->sa, ESPUDP_A_SA_ICV_BITS) ?
				   s->sa.icv_bits :
				   algs_icv_default(&s->sa);
	const char *what = NULL;

	if (strcmp(s->sa.enc, old->enc) || strcmp(s->sa.auth, old->auth))
		what = "algorithms";
	else if (HAS(old, ESPUDP_A_SA_ICV_BITS) && old->icv_bits != icv)
		what = "ICV";
	else if (!!s->sa.esn != !!old->esn)
		what = "ESN";
	else if (HAS(&s->sa, ESPUDP_A_SA_REPLAY_WINDOW) &&
		 old->dir == ESPUDP_DIR_IN &&
		 s->sa.replay_window != old->replay_window)
		what = "ReplayWindow";
	if (what)
		return error("SA %s 0x%08x is installed already and differs "
			     "(%s): a changed SA needs a new SPI",
			     names_get(&names_dir, old->dir), old->spi, what);
	if (s->key || s->auth_key)
		a->kept_keys++;
	return OK;
}

/* The module takes a virtual address when a peer is made, and for good. */
static int check_virtual(const struct apply *a, const struct plan *p)
{
	const struct peer *want = &p->conf->peer, *old = p->old;

	if (!old)
		return OK;
	if (HAS(want, ESPUDP_A_PEER_VIRTUAL) &&
	    !addr_equal(&want->virtual, &old->virtual))
		return error(
			"peer %s is installed already and keeps its virtual "
			"address (%s): delete it first",
			format_peer(old->name, old->id),
			format_addr(&old->virtual));
	if (old->virtual.family &&
	    !virtual_pool(&a->conf.dev, old->virtual.family))
		return error(
			"peer %s stays and has the virtual address %s: the "
			"file needs the Pool, or delete the peer first",
			format_peer(old->name, old->id),
			format_addr(&old->virtual));
	return OK;
}

static int plan_sa(struct apply *a, const struct plan *p,
		   const struct conf_sa *s)
{
	const struct sa *old = plan_find_sa(a, p, &s->sa);

	conf_where(&a->conf, s->line);
	if (old)
		return check_old_sa(a, s, old);
	if (algs_enc_expected(s->sa.enc) && !s->key)
		return error("this [SA] needs a KeyFile: %s",
			     algs_enc_expected(s->sa.enc));
	if (algs_auth_expected(s->sa.auth) && !s->auth_key)
		return error("this [SA] needs an AuthKeyFile: %s",
			     algs_auth_expected(s->sa.auth));
	return OK;
}

static int check_foreign(const struct apply *a)
{
	char text[128];

	for_each(struct dev, d, &a->devs)
		if (object_is_foreign(&set_dev, d, text, sizeof(text)))
			goto refuse;
	for_each(struct peer, p, &a->peers)
		if (object_is_foreign(&set_peer, p, text, sizeof(text)))
			goto refuse;
	for_each(struct sa, s, &a->sas)
		if (object_is_foreign(&set_sa, s, text, sizeof(text)))
			goto refuse;
	return OK;
refuse:
	return error("%s: not changed, because this program does not know all "
		     "of it and might lose settings: %s",
		     a->ifname, text);
}

static int check_listen(const struct apply *a)
{
	bool adopted = false;

	for_each(struct dev, d, &a->devs)
		for_each(struct sock, s, &d->socket)
			adopted |= s->kind == ESPUDP_SOCKET_KIND_ADOPTED;
	if (adopted && a->conf.listen == LISTEN_OWN)
		return error("%s: it has an adopted socket; `Listen = own' "
			     "does not go with it",
			     a->ifname);
	/* All are closed at once, and who adopted one would have to do it again. */
	if (adopted && apply_closes(a))
		return error("%s: it has an adopted socket, too; `espudp "
			     "socket close %s' first",
			     a->ifname, a->ifname);
	return OK;
}

/* A peer is what one [Peer] says: else an SA of another would be deleted. */
static int claim(struct apply *a, const struct plan *p)
{
	size_t *plan = &a->plan_of[p->old - LIST(struct peer, &a->peers)];

	if (*plan)
		return error(
			"this is the installed peer %s, which line %u "
			"is, too",
			format_peer(p->old->name, p->old->id),
			LIST(struct plan, &a->plans)[*plan - 1].conf->line);
	*plan = a->plans.n;
	return OK;
}

int plan_make(struct apply *a)
{
	struct by_name names = sort_names(&a->peers);
	int ret = check_foreign(a);

	if (!ret)
		ret = check_listen(a);
	if (!ret)
		ret = lookup_bound(&a->conf.dev, &a->devs);
	a->plan_of = xrealloc(NULL, a->peers.n + 1, sizeof(*a->plan_of));
	memset(a->plan_of, 0, (a->peers.n + 1) * sizeof(*a->plan_of));
	for_each(struct conf_peer, c, &a->conf.peers) {
		struct plan *p;

		if (ret)
			break;
		conf_where(&a->conf, c->line);
		p = list_add(&a->plans, sizeof(*p));
		p->conf = c;
		ret = find_old(a, &names, &c->peer, &p->old);
		p->id = p->old ? p->old->id : 0;
		if (!ret && p->old)
			ret = claim(a, p);
		if (!ret)
			ret = check_virtual(a, p);
		for_each(struct conf_sa, s, &c->sas)
			ret = ret ? ret : plan_sa(a, p, s);
	}
	conf_where(&a->conf, 0);
	free(names.v);
	return ret;
}
