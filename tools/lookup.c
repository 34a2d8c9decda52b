// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <linux/genetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "codec.h"
#include "explain.h"
#include "format.h"
#include "lookup.h"
#include "parse.h"

struct dump {
	const struct set *set;
	uint16_t attr;
	struct list *list;
};

static void unknown_top(const struct nlmsghdr *nlh, struct object *o)
{
	const struct nlattr *attr;

	mnl_attr_for_each(
		attr, nlh,
		sizeof(struct genlmsghdr)) if (mnl_attr_get_type(attr) >
					       ESPUDP_A_MAX)
		codec_unknown(o, "message", attr);
}

static void on_object(const struct nlmsghdr *nlh, void *arg)
{
	const struct nlattr *attr, *name;
	struct dump *d = arg;
	void *obj = list_add(d->list, d->set->size);

	attr = nl_find(nlh, d->attr);
	if (attr)
		codec_decode(d->set, attr, obj);
	unknown_top(nlh, obj);
	if (d->set != &set_dev)
		return;
	attr = nl_find(nlh, ESPUDP_A_IFINDEX);
	if (attr && mnl_attr_get_payload_len(attr) == sizeof(uint32_t))
		((struct dev *)obj)->ifindex = mnl_attr_get_u32(attr);
	name = nl_find(nlh, ESPUDP_A_IFNAME);
	if (name)
		strncpy(((struct dev *)obj)->ifname, mnl_attr_get_str(name),
			IFNAME_LEN - 1);
}

static void reset(void *arg)
{
	struct dump *d = arg;

	objects_free(d->set, d->list);
}

static int finish(struct nl *nl, const char *ifname, int err)
{
	if (err == EINTR) {
		note("warning: the kernel's lists kept changing while they "
		     "were read");
		return OK;
	}
	return err ? explain(nl, ifname, NULL) : OK;
}

int lookup_devs(struct nl *nl, const char *ifname, struct list *devs)
{
	struct dump d = { &set_dev, ESPUDP_A_DEV, devs };
	int ret;

	nl_request(nl, ESPUDP_CMD_DEV_GET, ifname);
	if (ifname)
		ret = nl_talk(nl, on_object, &d);
	else
		ret = nl_dump(nl, on_object, reset, &d);
	return finish(nl, ifname, ret);
}

int lookup_bound(const struct dev *want, const struct list *devs)
{
	for_each(struct dev, dev, devs)
		if (want->bound_named && dev->foreign_netns)
			return error("%s was moved: give the bound device as "
				     "the index that it has where %s was "
				     "created",
				     dev->ifname, dev->ifname);
	return OK;
}

static int by_id(const void *a, const void *b)
{
	const struct peer *x = a, *y = b;

	return x->id < y->id ? -1 : x->id > y->id;
}

int lookup_peers(struct nl *nl, const char *ifname, struct list *peers)
{
	struct dump d = { &set_peer, ESPUDP_A_PEER, peers };

	int ret;

	nl_request(nl, ESPUDP_CMD_PEER_GET, ifname);
	ret = finish(nl, ifname, nl_dump(nl, on_object, reset, &d));
	if (peers->n)
		qsort(peers->v, peers->n, sizeof(struct peer), by_id);
	return ret;
}

struct peer *lookup_id(const struct list *peers, uint32_t id)
{
	struct peer key = { .id = id };

	if (!peers->n)
		return NULL;
	return bsearch(&key, peers->v, peers->n, sizeof(key), by_id);
}

/* The kernel tells those of a peer newest first. */
static int by_peer_and_age(const void *a, const void *b)
{
	const struct sa *x = a, *y = b;

	if (x->peer != y->peer)
		return x->peer < y->peer ? -1 : 1;
	return x->place > y->place ? -1 : x->place < y->place;
}

static void sort_sas(struct list *sas)
{
	size_t n = 0;

	for_each(struct sa, sa, sas)
		sa->place = n++;
	if (n)
		qsort(sas->v, n, sizeof(struct sa), by_peer_and_age);
}

struct list lookup_slice(const struct list *sas, uint32_t peer)
{
	struct sa *v = sas->v;
	size_t low = 0, high = sas->n, end;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (v[middle].peer < peer)
			low = middle + 1;
		else
			high = middle;
	}
	for (end = low; end < sas->n && v[end].peer == peer;)
		end++;
	return (struct list){ low < end ? v + low : NULL, end - low };
}

int lookup_sas(struct nl *nl, const char *ifname, uint32_t peer,
	       struct list *sas)
{
	struct dump d = { &set_sa, ESPUDP_A_SA, sas };
	int ret;

	nl_request(nl, ESPUDP_CMD_SA_GET, ifname);
	if (peer) {
		struct nlattr *nest = nl_nest(nl, ESPUDP_A_SA);

		nl_put_u32(nl, ESPUDP_A_SA_PEER, peer);
		nl_nest_end(nl, nest);
	}
	ret = finish(nl, ifname, nl_dump(nl, on_object, reset, &d));
	sort_sas(sas);
	return ret;
}

static int peer_by_id(struct nl *nl, const char *ifname, uint32_t id,
		      struct peer *peer)
{
	struct list peers = { 0 };
	struct dump d = { &set_peer, ESPUDP_A_PEER, &peers };
	struct nlattr *nest;
	int err;

	nl_request(nl, ESPUDP_CMD_PEER_GET, ifname);
	nest = nl_nest(nl, ESPUDP_A_PEER);
	nl_put_u32(nl, ESPUDP_A_PEER_ID, id);
	nl_nest_end(nl, nest);
	err = nl_talk(nl, on_object, &d);
	if (err == ENOENT)
		return error("%s: no peer with id %u", ifname, id);
	if (err)
		return explain(nl, ifname, NULL);
	if (peers.n)
		*peer = LIST(struct peer, &peers)[0];
	free(peers.v);
	return OK;
}

/* What a token that is no id may be. */
struct token {
	const char *text;
	struct addr addr;
	uint16_t port;
};

static bool is_named(const struct peer *p, const struct token *t)
{
	return !strcmp(p->name, t->text) || (!t->port && t->addr.family &&
					     addr_equal(&p->virtual, &t->addr));
}

static bool is_at(const struct peer *p, const struct token *t)
{
	return t->addr.family && addr_equal(&p->remote, &t->addr) &&
	       (!t->port || t->port == p->remote_port);
}

/* Moves the peers that match to @found. */
static void take(struct list *peers, const struct token *t,
		 bool (*match)(const struct peer *p, const struct token *t),
		 struct list *found)
{
	for_each(struct peer, p, peers) {
		if (!match(p, t))
			continue;
		*(struct peer *)list_add(found, sizeof(*p)) = *p;
		memset(p, 0, sizeof(*p));
	}
}

/* A name or a virtual address is meant rather than an outer one. */
static int by_token(struct nl *nl, const char *ifname, const char *token,
		    bool several, struct list *found)
{
	struct token t = { .text = token };
	struct list peers = { 0 };
	bool at;
	int ret = lookup_peers(nl, ifname, &peers);

	error_silence(true);
	if (parse_endpoint("peer", token, &t.addr, &t.port))
		t.addr.family = 0;
	error_silence(false);
	take(&peers, &t, is_named, found);
	at = !found->n;
	if (at)
		take(&peers, &t, is_at, found);
	objects_free(&set_peer, &peers);
	if (ret || found->n == 1 || (found->n && at && several))
		return ret;
	if (!found->n && t.addr.family)
		return error("%s: no peer has the address `%s'", ifname, token);
	if (!found->n)
		return error("%s: no peer is named `%s'", ifname, token);
	return error(
		"%s: several peers are %s `%s' (ids %u, %u%s): give the id",
		ifname, at ? "at" : "named", token,
		LIST(struct peer, found)[0].id, LIST(struct peer, found)[1].id,
		found->n > 2 ? ", ..." : "");
}

static int some(struct nl *nl, const char *ifname, const char *token,
		bool several, struct list *found)
{
	uint64_t id;
	int ret;

	if (!*token) /* not the one without a name */
		return usage("a peer is expected, not nothing");
	if (!is_number(token, &id))
		return by_token(nl, ifname, token, several, found);
	ret = parse_number("peer", token, 1, UINT32_MAX, &id);
	return ret ? ret :
		     peer_by_id(nl, ifname, id,
				list_add(found, sizeof(struct peer)));
}

int lookup_peer(struct nl *nl, const char *ifname, const char *token,
		struct peer *peer)
{
	struct list found = { 0 };
	int ret = some(nl, ifname, token, false, &found);

	if (!ret) {
		*peer = *LIST(struct peer, &found);
		memset(found.v, 0, sizeof(*peer));
	}
	objects_free(&set_peer, &found);
	return ret;
}

int lookup_some(struct nl *nl, const char *ifname, const char *token,
		struct list *peers)
{
	return some(nl, ifname, token, true, peers);
}

bool lookup_link_up(const char *ifname)
{
	struct ifreq ifr = { 0 };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool up = true;

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", ifname);
	if (fd >= 0 && !ioctl(fd, SIOCGIFFLAGS, &ifr))
		up = ifr.ifr_flags & IFF_UP;
	if (fd >= 0)
		close(fd);
	return up;
}
