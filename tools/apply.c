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
#define DEFAULT_WINDOW 1024

static const struct dev dev_defaults = {
	.port = DEFAULT_PORT,
	.pmtu_discovery = 1,
	.replay_window = DEFAULT_WINDOW,
	.nat_scope = ESPUDP_NAT_SCOPE_BOTH,
};

struct undo *apply_log(struct apply *a, uint8_t cmd)
{
	struct undo *u = list_add(&a->undo, sizeof(*u));

	u->cmd = cmd;
	return u;
}

static void put_request(struct apply *a, const struct undo *u)
{
	nl_request(&a->nl, u->cmd, a->ifname);
	switch (u->cmd) {
	case ESPUDP_CMD_DEV_SET:
		codec_encode(&a->nl, ESPUDP_A_DEV, &set_dev, &u->dev);
		break;
	case ESPUDP_CMD_SOCKET_ATTACH:
		codec_encode(&a->nl, ESPUDP_A_SOCKET, &set_socket, &u->sock);
		break;
	case ESPUDP_CMD_PEER_NEW:
	case ESPUDP_CMD_PEER_SET:
	case ESPUDP_CMD_PEER_DEL:
		codec_encode(&a->nl, ESPUDP_A_PEER, &set_peer, &u->peer);
		break;
	case ESPUDP_CMD_SA_NEW:
	case ESPUDP_CMD_SA_SET:
	case ESPUDP_CMD_SA_DEL:
		codec_encode(&a->nl, ESPUDP_A_SA, &set_sa, &u->sa);
		break;
	}
}

int apply_run(struct apply *a, const struct undo *u, unsigned int line,
	      nl_cb cb, void *arg)
{
	struct request r = { .cmd = u->cmd, .port = u->sock.port };
	int ret = OK;

	if (u->cmd == ESPUDP_CMD_PEER_NEW || u->cmd == ESPUDP_CMD_PEER_SET)
		r.peer = &u->peer;
	if (u->cmd == ESPUDP_CMD_DEV_SET)
		r.dev = &u->dev;
	if (u->cmd == ESPUDP_CMD_SA_NEW)
		r.sa = &u->sa;
	put_request(a, u);
	if (nl_talk(&a->nl, cb, arg)) {
		conf_where(&a->conf, line);
		ret = explain(&a->nl, a->ifname, &r);
		conf_where(&a->conf, 0);
	}
	return ret;
}

void apply_diff(const struct set *set, const void *want, const void *defaults,
		const void *old, void *to, void *back)
{
	for (size_t i = 0; i < set->n; i++) {
		const struct field *f = &set->fields[i];
		const void *from = defaults;

		if (!f->conf || !(f->flags & F_RW))
			continue;
		if (((const struct object *)want)->has >> f->attr & 1)
			from = want;
		else if (!(((const struct object *)old)->has >> f->attr & 1))
			continue; /* not shown to us, or unset */
		if (field_equal(from, old, f))
			continue;
		memcpy(&FIELD(to, f, char), &CFIELD(from, f, char), f->size);
		memcpy(&FIELD(back, f, char), &CFIELD(old, f, char), f->size);
		((struct object *)to)->has |= 1ULL << f->attr;
		((struct object *)back)->has |= 1ULL << f->attr;
	}
}

static bool has_own_socket(const struct dev *dev)
{
	for_each(struct sock, s, &dev->socket)
		if (s->kind == ESPUDP_SOCKET_KIND_OWN)
			return true;
	return false;
}

/* Closes the device's own sockets; undone by opening them again. */
static int close_own(struct apply *a, const struct dev *old)
{
	struct undo u = { .cmd = ESPUDP_CMD_SOCKET_DETACH }, *back;
	int ret = apply_run(a, &u, 0, NULL, NULL);

	if (ret)
		return ret;
	for_each(struct sock, s, &old->socket) {
		back = apply_log(a, ESPUDP_CMD_SOCKET_ATTACH);
		back->sock.port = old->port;
		back->sock.ipv4 = s->ipv4;
		back->sock.ipv6 = s->ipv6;
		SET(&back->sock, ESPUDP_A_SOCKET_PORT);
		SET(&back->sock, ESPUDP_A_SOCKET_IPV4);
		SET(&back->sock, ESPUDP_A_SOCKET_IPV6);
	}
	return OK;
}

/* Opens own sockets of the families that there were, or of both. */
static int open_own(struct apply *a, const struct dev *old, uint16_t port)
{
	struct undo u = { .cmd = ESPUDP_CMD_SOCKET_ATTACH };
	bool families = false;
	int ret;

	for_each(struct sock, s, &old->socket) {
		u.sock.ipv4 |= s->ipv4;
		u.sock.ipv6 |= s->ipv6;
		families = true;
	}
	u.sock.port = port;
	SET(&u.sock, ESPUDP_A_SOCKET_PORT);
	if (families) {
		SET(&u.sock, ESPUDP_A_SOCKET_IPV4);
		SET(&u.sock, ESPUDP_A_SOCKET_IPV6);
	}
	ret = apply_run(a, &u, 0, NULL, NULL);
	if (!ret)
		apply_log(a, ESPUDP_CMD_SOCKET_DETACH);
	return ret;
}

/* Sockets that the file does not speak of keep their port. */
static uint16_t wanted_port(const struct apply *a, const struct dev *old)
{
	if (HAS(&a->conf.dev, ESPUDP_A_DEV_PORT))
		return a->conf.dev.port;
	if (a->conf.listen == LISTEN_UNSET && old->socket.n)
		return old->port;
	return DEFAULT_PORT;
}

bool apply_closes(const struct apply *a)
{
	const struct dev *old = LIST(struct dev, &a->devs);

	return has_own_socket(old) && (a->conf.listen == LISTEN_NO ||
				       wanted_port(a, old) != old->port);
}

/* The port of an own socket comes with it, and cannot change below it. */
int apply_device(struct apply *a)
{
	const struct dev *old = LIST(struct dev, &a->devs);
	struct undo u = { .cmd = ESPUDP_CMD_DEV_SET };
	struct undo back = { .cmd = ESPUDP_CMD_DEV_SET };
	bool own = has_own_socket(old), shut = apply_closes(a), open;
	uint16_t port = wanted_port(a, old);
	int ret = OK;

	open = a->conf.listen == LISTEN_OWN ?
		       shut || !own :
		       shut && a->conf.listen != LISTEN_NO;
	if (shut)
		ret = close_own(a, old);
	apply_diff(&set_dev, &a->conf.dev, &dev_defaults, old, &u.dev,
		   &back.dev);
	CLEAR(&u.dev, ESPUDP_A_DEV_PORT);
	CLEAR(&back.dev, ESPUDP_A_DEV_PORT);
	if (HAS(old, ESPUDP_A_DEV_PORT) && port != old->port) {
		u.dev.port = port;
		if (!open)
			SET(&u.dev, ESPUDP_A_DEV_PORT);
		back.dev.port = old->port;
		SET(&back.dev, ESPUDP_A_DEV_PORT);
	}
	if (!ret && u.dev.o.has)
		ret = apply_run(a, &u, 0, NULL, NULL);
	if (!ret && back.dev.o.has)
		*apply_log(a, 0) = back;
	return !ret && open ? open_own(a, old, port) : ret;
}

static struct undo set_pool_of(const struct dev *dev, uint8_t family,
			       struct pool *pool)
{
	const struct pool *wanted = virtual_pool(dev, family);
	struct undo u = { .cmd = ESPUDP_CMD_DEV_SET };

	*pool = (struct pool){ .addr.family = family };
	if (wanted)
		*pool = *wanted;
	SET(pool, ESPUDP_A_POOL_ADDRESS);
	u.dev.pool = (struct list){ pool, 1 };
	SET(&u.dev, ESPUDP_A_DEV_POOL);
	return u;
}

static int set_pool_like(struct apply *a, const struct dev *want,
			 const struct dev *old, uint8_t family)
{
	const struct pool *x = virtual_pool(want, family);
	const struct pool *y = virtual_pool(old, family);
	struct pool to, *from;
	struct undo u, *back;
	int ret;

	if ((!x && !y) ||
	    (x && y && x->len == y->len && addr_equal(&x->addr, &y->addr)))
		return OK;
	u = set_pool_of(want, family, &to);
	ret = apply_run(a, &u, 0, NULL, NULL);
	if (ret)
		return ret;
	from = &a->old_pools[family == AF_INET6];
	back = apply_log(a, 0);
	*back = set_pool_of(old, family, from);
	return y ? virtual_forget(&a->protect, y) : OK;
}

/* Before there are peers in them. */
int apply_pools(struct apply *a)
{
	const struct dev *want = &a->conf.dev;
	const struct dev *old = LIST(struct dev, &a->devs);
	int ret = OK;

	if (virtual_pool(want, AF_INET))
		ret = set_pool_like(a, want, old, AF_INET);
	if (!ret && virtual_pool(want, AF_INET6))
		ret = set_pool_like(a, want, old, AF_INET6);
	return ret;
}

/* When nobody is in them. */
int apply_pools_gone(struct apply *a)
{
	const struct dev *want = &a->conf.dev;
	const struct dev *old = LIST(struct dev, &a->devs);
	int ret = OK;

	if (!virtual_pool(want, AF_INET))
		ret = set_pool_like(a, want, old, AF_INET);
	if (!ret && !virtual_pool(want, AF_INET6))
		ret = set_pool_like(a, want, old, AF_INET6);
	return ret;
}

static int apply_back(struct apply *a, const struct undo *u)
{
	put_request(a, u);
	return nl_talk(&a->nl, NULL, NULL);
}

/* What cannot be put back is said, because then something did change. */
void apply_undo(struct apply *a)
{
	struct undo *v = a->undo.v;
	int err;

	for (size_t i = a->undo.n; i-- > 0;) {
		err = apply_back(a, &v[i]);
		if (err && err != ENOENT)
			note("%s: cannot go back to what was: %s", a->ifname,
			     a->nl.error.text[0] ? a->nl.error.text :
						   strerror(err));
	}
	a->undo.n = 0;
	protect_undo(&a->protect);
}
