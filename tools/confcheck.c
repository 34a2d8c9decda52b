// SPDX-License-Identifier: GPL-2.0
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "algs.h"
#include "conf.h"
#include "format.h"

#define SPI_RESERVED 255

static int check_sa(struct conf *conf, const struct conf_sa *s)
{
	conf_where(conf, s->line);
	if (!HAS(&s->sa, ESPUDP_A_SA_DIR))
		return error("this [SA] needs a Direction, in or out");
	if (!HAS(&s->sa, ESPUDP_A_SA_SPI))
		return error("this [SA] needs an SPI");
	if (s->sa.spi <= SPI_RESERVED)
		return error("bad SPI `%u': 0 to 255 are reserved (RFC 4303)",
			     s->sa.spi);
	if (!HAS(&s->sa, ESPUDP_A_SA_ENC))
		return error("this [SA] needs an Encryption");
	if (s->sa.dir == ESPUDP_DIR_OUT &&
	    HAS(&s->sa, ESPUDP_A_SA_REPLAY_WINDOW))
		return error("ReplayWindow is for inbound SAs");
	if (s->sa.esn && HAS(&s->sa, ESPUDP_A_SA_REPLAY_WINDOW) &&
	    !s->sa.replay_window)
		return error("ESN needs a ReplayWindow above 0");
	return algs_check(&s->sa);
}

/* What must not be there twice, as search trees. */
struct seen {
	void *spis, *ids, *names, *selectors;
};

struct seen_sa {
	const struct conf_peer *peer; /* NULL: of any */
	const struct conf_sa *sa;
};

struct seen_selector {
	const struct conf_peer *peer;
	const struct selector *selector;
};

static int by_spi(const void *a, const void *b)
{
	const struct seen_sa *x = a, *y = b;

	if (x->sa->sa.spi != y->sa->sa.spi)
		return x->sa->sa.spi < y->sa->sa.spi ? -1 : 1;
	if (x->sa->sa.dir != y->sa->sa.dir)
		return x->sa->sa.dir < y->sa->sa.dir ? -1 : 1;
	return x->peer < y->peer ? -1 : x->peer > y->peer;
}

static int by_id(const void *a, const void *b)
{
	const struct conf_peer *x = a, *y = b;

	return x->peer.id < y->peer.id ? -1 : x->peer.id > y->peer.id;
}

static int by_name(const void *a, const void *b)
{
	const struct conf_peer *x = a, *y = b;

	return strcmp(x->peer.name, y->peer.name);
}

static int by_selector(const void *a, const void *b)
{
	const struct seen_selector *x = a, *y = b;

	return selector_cmp(x->selector, y->selector);
}

/* The first that is like @item, @item itself if there was none. */
static const void *first(const void *item, void **tree,
			 int (*cmp)(const void *a, const void *b))
{
	const void **found = tsearch(item, tree, cmp);

	if (!found)
		exit(error("out of memory"));
	return *found;
}

/* Inbound SPIs are the device's, outbound ones the peer's. */
static int check_spi(struct conf *conf, struct seen *seen,
		     const struct conf_peer *p, const struct conf_sa *s)
{
	struct seen_sa *item = xrealloc(NULL, 1, sizeof(*item));
	const struct seen_sa *old;
	int ret = OK;

	*item = (struct seen_sa){ NULL, s };
	if (s->sa.dir == ESPUDP_DIR_OUT)
		item->peer = p;
	old = first(item, &seen->spis, by_spi);
	if (old == item)
		return OK;
	conf_where(conf, s->line);
	ret = error("SPI 0x%08x is that of line %u", s->sa.spi, old->sa->line);
	free(item);
	return ret;
}

/* In transport mode their addresses mean the ends, whatever those are. */
static int check_selectors(struct seen *seen, const struct conf_peer *p)
{
	if (p->peer.mode == ESPUDP_MODE_TRANSPORT)
		return OK;
	for_each(struct selector, s, &p->peer.selector) {
		struct seen_selector *item = xrealloc(NULL, 1, sizeof(*item));
		const struct seen_selector *old;

		*item = (struct seen_selector){ p, s };
		old = first(item, &seen->selectors, by_selector);
		if (old == item)
			continue;
		free(item);
		if (old->peer != p)
			return error("selector `%s' is also that of "
				     "the peer in line %u: its prio "
				     "must differ",
				     format_selector(s), old->peer->line);
	}
	return OK;
}

/* A peer must be found again by id, or by a name of its own. */
static int check_peer(struct conf *conf, struct seen *seen,
		      const struct conf_peer *p)
{
	bool id = HAS(&p->peer, ESPUDP_A_PEER_ID);
	const struct conf_peer *old;

	conf_where(conf, p->line);
	if (!id && !HAS(&p->peer, ESPUDP_A_PEER_NAME))
		return error("this [Peer] needs a Name or an Id");
	if (id && !p->peer.id)
		return error("bad Id `0': a number from 1 to 4294967295 is "
			     "expected");
	if (id) {
		old = first(p, &seen->ids, by_id);
		if (old != p)
			return error("Id %u is that of line %u", p->peer.id,
				     old->line);
	}
	old = first(p, &seen->names, by_name);
	if (old != p && !(id && HAS(&old->peer, ESPUDP_A_PEER_ID)))
		return error("Name `%s' is that of line %u: both need an Id",
			     format_name(p->peer.name, false), old->line);
	return check_selectors(seen, p);
}

static void keep(void *item)
{
	(void)item;
}

int conf_check(struct conf *conf)
{
	struct seen seen = { 0 };
	int ret = OK;

	for_each(struct conf_peer, p, &conf->peers) {
		ret = ret ? ret : check_peer(conf, &seen, p);
		for_each(struct conf_sa, s, &p->sas) {
			ret = ret ? ret : check_sa(conf, s);
			ret = ret ? ret : check_spi(conf, &seen, p, s);
		}
	}
	tdestroy(seen.spis, free);
	tdestroy(seen.selectors, free);
	tdestroy(seen.ids, keep);
	tdestroy(seen.names, keep);
	conf_where(conf, 0);
	return ret;
}
