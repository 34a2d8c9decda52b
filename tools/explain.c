// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <net/if.h>
#include <string.h>

#include "explain.h"
#include "format.h"
#include "lookup.h"
#include "objects.h"
#include "prefix.h"

static const char *hint_errno(const char *ifname, const struct nl_error *e)
{
	/* The kernel's own words are enough, but for what to type. */
	if (e->text[0] && e->err != ENODEV)
		return "";
	switch (e->err) {
	case EPERM:
		return "CAP_NET_ADMIN is needed in the network namespace of "
		       "the device and, for port, sockets, fwmark and bound "
		       "device, in the one it was created in";
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

static const char *hint(struct nl *nl, const char *ifname,
			const struct nl_error *e, const struct request *r)
{
	const char *text;
	int err = e->err;

	if (r && r->cmd == ESPUDP_CMD_SOCKET_ATTACH && err == EADDRINUSE)
		return format("for port %u see `espudp socket adopt'", r->port);
	if (r && r->cmd == ESPUDP_CMD_SA_NEW && err == EEXIST && r->sa) {
		text = hint_spi(nl, ifname, r->sa);
		return *text ? text : hint_errno(ifname, e);
	}
	if (r && r->peer && err == EEXIST &&
	    (r->cmd == ESPUDP_CMD_PEER_NEW || r->cmd == ESPUDP_CMD_PEER_SET)) {
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
