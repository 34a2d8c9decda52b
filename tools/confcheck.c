// SPDX-License-Identifier: GPL-2.0
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

/* Inbound SPIs are the device's, outbound ones the peer's. */
static int check_spis(struct conf *conf, const struct conf_peer *p,
		      const struct conf_sa *s)
{
	for_each(struct conf_peer, q, &conf->peers)
		for_each(struct conf_sa, t, &q->sas) {
			if (q == p && t == s)
				return OK;
			if (t->sa.spi != s->sa.spi || t->sa.dir != s->sa.dir ||
			    (s->sa.dir == ESPUDP_DIR_OUT && p != q))
				continue;
			conf_where(conf, s->line);
			return error("SPI 0x%08x is that of line %u", s->sa.spi,
				     t->line);
		}
	return OK;
}

/* In transport mode their addresses mean the ends, whatever those are. */
static int check_selectors(const struct conf_peer *p, const struct conf_peer *q)
{
	if (p->peer.mode == ESPUDP_MODE_TRANSPORT ||
	    q->peer.mode == ESPUDP_MODE_TRANSPORT)
		return OK;
	for_each(struct selector, a, &p->peer.selector)
		for_each(struct selector, b, &q->peer.selector)
			if (selector_equal(a, b))
				return error("selector `%s' is also that of "
					     "the peer in line %u: its prio "
					     "must differ",
					     format_selector(a), q->line);
	return OK;
}

/* A peer must be found again by id, or by a name of its own. */
static int check_peer(struct conf *conf, const struct conf_peer *p)
{
	int ret = OK;

	conf_where(conf, p->line);
	if (!HAS(&p->peer, ESPUDP_A_PEER_ID) &&
	    !HAS(&p->peer, ESPUDP_A_PEER_NAME))
		return error("this [Peer] needs a Name or an Id");
	if (HAS(&p->peer, ESPUDP_A_PEER_ID) && !p->peer.id)
		return error("bad Id `0': a number from 1 to 4294967295 is "
			     "expected");
	for_each(struct conf_peer, q, &conf->peers) {
		if (q == p)
			break;
		if (HAS(&p->peer, ESPUDP_A_PEER_ID) &&
		    HAS(&q->peer, ESPUDP_A_PEER_ID)) {
			if (p->peer.id == q->peer.id)
				return error("Id %u is that of line %u",
					     p->peer.id, q->line);
		} else if (!strcmp(p->peer.name, q->peer.name)) {
			return error("Name `%s' is that of line %u: both need "
				     "an Id",
				     format_name(p->peer.name, false), q->line);
		}
		ret = ret ? ret : check_selectors(p, q);
	}
	return ret;
}

int conf_check(struct conf *conf)
{
	int ret = OK;

	for_each(struct conf_peer, p, &conf->peers) {
		ret = ret ? ret : check_peer(conf, p);
		for_each(struct conf_sa, s, &p->sas) {
			ret = ret ? ret : check_sa(conf, s);
			ret = ret ? ret : check_spis(conf, p, s);
		}
	}
	conf_where(conf, 0);
	return ret;
}
