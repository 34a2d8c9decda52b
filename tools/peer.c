// SPDX-License-Identifier: GPL-2.0
#include <stdlib.h>
#include <string.h>

#include "codec.h"
#include "commands.h"
#include "explain.h"
#include "format.h"
#include "json.h"
#include "lookup.h"
#include "nl.h"
#include "protect.h"
#include "virtual.h"

struct peer_args {
	struct peer peer;
	const char *take_over;
	bool no_routes;
	bool routes;
};

static int parse_routes(struct words *w, struct peer_args *args)
{
	const char *value;
	int ret = words_value(w, "routes", &value);

	if (ret)
		return ret;
	args->routes = !strcmp(value, "auto");
	args->no_routes = !strcmp(value, "none");
	if (args->routes || args->no_routes)
		return OK;
	return error("bad routes `%s': auto or none is expected", value);
}

static int parse_words(struct words *w, struct peer_args *args)
{
	const char *word, *value;
	const struct field *f;
	int ret = OK;

	while (!ret && (word = words_next(w))) {
		if (!strcmp(word, "selector")) {
			ret = parse_selector(w,
					     list_add(&args->peer.selector,
						      sizeof(struct selector)));
			SET(&args->peer, ESPUDP_A_PEER_SELECTOR);
			continue;
		}
		if (!strcmp(word, "routes")) {
			ret = parse_routes(w, args);
			continue;
		}
		if (!strcmp(word, "take-over")) {
			ret = words_value(w, word, &args->take_over);
			continue;
		}
		f = parse_word(&set_peer, word);
		if (!f)
			return usage("unknown word `%s' for a peer, see "
				     "`espudp help peer'",
				     word);
		if (args->peer.o.has >> f->attr & 1)
			return usage("`%s' is given twice", word);
		if (f->type == F_FLAG) {
			field_set_number(&args->peer, f, 1);
			args->peer.o.has |= 1ULL << f->attr;
			continue;
		}
		ret = words_value(w, word, &value);
		if (!ret)
			ret = parse_field(f, &args->peer, word, value);
	}
	return ret;
}

static void on_id(const struct nlmsghdr *nlh, void *arg)
{
	const struct nlattr *attr = nl_find(nlh, ESPUDP_A_PEER);

	if (attr)
		codec_decode(&set_peer, attr, arg);
}

static void print_id(uint32_t id, const struct addr *virtual)
{
	struct json_object *o;

	if (!json) {
		printf("%u\n", id);
		return;
	}
	o = json_object_new_object();
	json_add_number(o, "id", id);
	if (virtual->family)
		json_add_string(o, "virtual", format_addr(virtual));
	json_print(o, true);
}

static int send_peer(struct nl *nl, uint8_t cmd, const char *ifname,
		     const struct peer *peer, struct peer *reply)
{
	struct request r = { .cmd = cmd, .peer = peer };

	nl_request(nl, cmd, ifname);
	codec_encode(nl, ESPUDP_A_PEER, &set_peer, peer);
	if (nl_talk(nl, reply ? on_id : NULL, reply))
		return explain(nl, ifname, &r);
	return OK;
}

static int delete (struct nl *nl, const char *ifname, uint32_t id)
{
	struct peer peer = { .id = id };

	SET(&peer, ESPUDP_A_PEER_ID);
	return send_peer(nl, ESPUDP_CMD_PEER_DEL, ifname, &peer, NULL);
}

/* Routes to a virtual address, which the module may have chosen. */
static int reach(struct nl *nl, const char *ifname, uint32_t id,
		 struct protect *protect, bool no_routes, struct addr *virtual)
{
	struct list devs = { 0 };
	struct peer peer = { 0 };
	int ret = lookup_peer(nl, ifname, format("%u", id), &peer);

	*virtual = peer.virtual;
	if (!ret && virtual->family && !no_routes) {
		ret = lookup_devs(nl, ifname, &devs);
		for_each(struct dev, dev, &devs) {
			ret = ret ? ret : virtual_guard(protect, &dev->pool);
			ret = ret ? ret :
				    virtual_add(protect, dev,
						&(struct list){ &peer, 1 });
		}
	}
	objects_free(&set_dev, &devs);
	object_free(&set_peer, &peer);
	return ret;
}

/* Routes come first: nothing may leave in the clear while the peer is made. To
 * virtual addresses nothing can, because of the pool's guard.
 */
static int add(struct nl *nl, const char *ifname, struct peer_args *args)
{
	struct list prefixes = { 0 };
	struct addr virtual = { 0 };
	struct peer reply = { 0 };
	struct protect protect;
	int ret;

	ret = protect_begin(&protect, ifname);
	if (ret)
		return ret;
	if (!args->no_routes)
		protect_prefixes(&args->peer, &prefixes);
	if (prefixes.n)
		ret = protect_add(&protect, &prefixes);
	if (!ret)
		ret = send_peer(nl, ESPUDP_CMD_PEER_NEW, ifname, &args->peer,
				&reply);
	if (!ret && args->peer.mode == ESPUDP_MODE_TRANSPORT) {
		ret = reach(nl, ifname, reply.id, &protect, args->no_routes,
			    &virtual);
		if (ret)
			delete (nl, ifname, reply.id);
	}
	if (ret)
		protect_undo(&protect);
	else
		print_id(reply.id, &virtual);
	protect_end(&protect, ret != OK);
	free(prefixes.v);
	object_free(&set_peer, &reply);
	return ret;
}

static int release(struct nl *nl, const char *ifname, struct protect *protect,
		   const struct list *prefixes, struct peer *old, bool guards)
{
	struct list peers = { 0 };
	int ret = lookup_peers(nl, ifname, &peers);

	if (!ret)
		ret = virtual_release(protect, &(struct list){ old, 1 },
				      &peers);

	if (!ret)
		ret = protect_release(protect, prefixes, &peers, false);
	if (!ret && guards)
		ret = protect_release(protect, prefixes, &peers, true);
	objects_free(&set_peer, &peers);
	return ret;
}

static int set(struct nl *nl, const char *ifname, struct peer *old,
	       struct peer_args *args)
{
	struct list before = { 0 }, after = { 0 };
	struct addr virtual = { 0 };
	struct peer want = args->peer;
	struct protect protect;
	bool moves = args->routes || HAS(&args->peer, ESPUDP_A_PEER_LOCAL) ||
		     HAS(&args->peer, ESPUDP_A_PEER_REMOTE);
	bool selectors = HAS(&args->peer, ESPUDP_A_PEER_SELECTOR) ||
			 HAS(&args->peer, ESPUDP_A_PEER_NO_SELECTORS);
	int ret;

	ret = protect_begin(&protect, ifname);
	if (ret)
		return ret;
	args->peer.id = old->id;
	SET(&args->peer, ESPUDP_A_PEER_ID);
	if (!args->no_routes && selectors) {
		want.mode = old->mode;
		protect_prefixes(old, &before);
		protect_prefixes(&want, &after);
	} else if (args->routes) {
		protect_prefixes(old, &after);
	}
	if (after.n)
		ret = protect_add(&protect, &after);
	if (!ret)
		ret = send_peer(nl, ESPUDP_CMD_PEER_SET, ifname, &args->peer,
				NULL);
	if (ret)
		protect_undo(&protect);
	else if (before.n)
		ret = release(nl, ifname, &protect, &before, old, false);
	if (!ret && old->virtual.family && moves)
		ret = reach(nl, ifname, old->id, &protect, args->no_routes,
			    &virtual);
	protect_end(&protect, ret != OK);
	free(before.v);
	free(after.v);
	return ret;
}

static int del(struct nl *nl, const char *ifname, struct peer *old,
	       bool unprotect)
{
	struct list prefixes = { 0 };
	struct protect protect;
	int ret;

	ret = protect_begin(&protect, ifname);
	if (ret)
		return ret;
	protect_prefixes(old, &prefixes);
	ret = delete (nl, ifname, old->id);
	if (!ret)
		ret = release(nl, ifname, &protect, &prefixes, old, unprotect);
	protect_end(&protect, true);
	free(prefixes.v);
	return ret;
}

static int take_over(struct nl *nl, const char *ifname, struct peer_args *args)
{
	struct peer from = { 0 };
	int ret;

	if (!args->take_over)
		return OK;
	ret = lookup_peer(nl, ifname, args->take_over, &from);
	args->peer.take_over = from.id;
	SET(&args->peer, ESPUDP_A_PEER_TAKE_OVER);
	object_free(&set_peer, &from);
	return ret;
}

static int cmd_add(struct words *w, struct nl *nl)
{
	struct peer_args args = { 0 };
	const char *ifname;
	int ret;

	ret = take_dev(w, &ifname);
	if (!ret)
		ret = parse_words(w, &args);
	if (!ret && HAS(&args.peer, ESPUDP_A_PEER_NO_SELECTORS))
		ret = usage("`no-selectors' is for `espudp peer set'");
	if (!ret)
		ret = nl_open(nl);
	if (!ret)
		ret = take_over(nl, ifname, &args);
	if (!ret)
		ret = add(nl, ifname, &args);
	object_free(&set_peer, &args.peer);
	return ret;
}

static int cmd_change(struct words *w, struct nl *nl, bool delete)
{
	struct peer_args args = { 0 };
	const char *ifname, *token;
	struct peer old = { 0 };
	bool unprotect = false;
	int ret;

	ret = take_dev(w, &ifname);
	if (!ret)
		ret = words_need(w, A_PEER, &token);
	if (!ret && delete) {
		unprotect = words_take(w, "unprotect");
		ret = words_end(w);
	} else if (!ret) {
		ret = parse_words(w, &args);
		if (!ret && HAS(&args.peer, ESPUDP_A_PEER_ID))
			ret = usage("the id of a peer cannot be changed");
		if (!ret && args.take_over)
			ret = usage("`take-over' is for `espudp peer add'");
		if (!ret && HAS(&args.peer, ESPUDP_A_PEER_SELECTOR) &&
		    HAS(&args.peer, ESPUDP_A_PEER_NO_SELECTORS))
			ret = usage("`selector' and `no-selectors' exclude "
				    "each other");
	}
	if (!ret)
		ret = nl_open(nl);
	if (!ret)
		ret = lookup_peer(nl, ifname, token, &old);
	if (!ret && delete)
		ret = del(nl, ifname, &old, unprotect);
	else if (!ret)
		ret = set(nl, ifname, &old, &args);
	object_free(&set_peer, &args.peer);
	object_free(&set_peer, &old);
	return ret;
}

int cmd_peer(struct words *w)
{
	const char *word = words_next(w);
	struct nl nl = { 0 };
	int ret;

	if (word && !strcmp(word, "add"))
		ret = cmd_add(w, &nl);
	else if (word && !strcmp(word, "set"))
		ret = cmd_change(w, &nl, false);
	else if (word && !strcmp(word, "del"))
		ret = cmd_change(w, &nl, true);
	else
		ret = usage("peer: `add', `set' or `del' is expected, see "
			    "`espudp help peer'");
	nl_close(&nl);
	return ret;
}
