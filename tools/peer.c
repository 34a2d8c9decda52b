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

struct peer_args {
	struct peer peer;
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

static void print_id(uint32_t id)
{
	struct json_object *o;

	if (!json) {
		printf("%u\n", id);
		return;
	}
	o = json_object_new_object();
	json_add_number(o, "id", id);
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

/* Routes come first: nothing may leave in the clear while the peer is made. */
static int add(struct nl *nl, const char *ifname, struct peer_args *args)
{
	struct list prefixes = { 0 };
	struct peer reply = { 0 };
	struct protect protect;
	int ret;

	ret = protect_begin(&protect, ifname);
	if (ret)
		return ret;
	if (!args->no_routes)
		protect_prefixes(&args->peer.selector, &prefixes);
	if (prefixes.n)
		ret = protect_add(&protect, &prefixes);
	if (!ret)
		ret = send_peer(nl, ESPUDP_CMD_PEER_NEW, ifname, &args->peer,
				&reply);
	if (ret)
		protect_undo(&protect);
	else
		print_id(reply.id);
	protect_end(&protect, ret != OK);
	free(prefixes.v);
	object_free(&set_peer, &reply);
	return ret;
}

static int release(struct nl *nl, const char *ifname, struct protect *protect,
		   const struct list *prefixes, bool guards)
{
	struct list peers = { 0 };
	int ret = lookup_peers(nl, ifname, &peers);

	if (!ret)
		ret = protect_release(protect, prefixes, &peers, false);
	if (!ret && guards)
		ret = protect_release(protect, prefixes, &peers, true);
	objects_free(&set_peer, &peers);
	return ret;
}

static int set(struct nl *nl, const char *ifname, const struct peer *old,
	       struct peer_args *args)
{
	struct list before = { 0 }, after = { 0 };
	struct protect protect;
	bool selectors = HAS(&args->peer, ESPUDP_A_PEER_SELECTOR) ||
			 HAS(&args->peer, ESPUDP_A_PEER_NO_SELECTORS);
	int ret;

	ret = protect_begin(&protect, ifname);
	if (ret)
		return ret;
	args->peer.id = old->id;
	SET(&args->peer, ESPUDP_A_PEER_ID);
	if (!args->no_routes && selectors) {
		protect_prefixes(&old->selector, &before);
		protect_prefixes(&args->peer.selector, &after);
	} else if (args->routes) {
		protect_prefixes(&old->selector, &after);
	}
	if (after.n)
		ret = protect_add(&protect, &after);
	if (!ret)
		ret = send_peer(nl, ESPUDP_CMD_PEER_SET, ifname, &args->peer,
				NULL);
	if (ret)
		protect_undo(&protect);
	else if (before.n)
		ret = release(nl, ifname, &protect, &before, false);
	protect_end(&protect, ret != OK);
	free(before.v);
	free(after.v);
	return ret;
}

static int del(struct nl *nl, const char *ifname, const struct peer *old,
	       bool unprotect)
{
	struct peer peer = { .id = old->id };
	struct list prefixes = { 0 };
	struct protect protect;
	int ret;

	ret = protect_begin(&protect, ifname);
	if (ret)
		return ret;
	protect_prefixes(&old->selector, &prefixes);
	SET(&peer, ESPUDP_A_PEER_ID);
	ret = send_peer(nl, ESPUDP_CMD_PEER_DEL, ifname, &peer, NULL);
	if (!ret)
		ret = release(nl, ifname, &protect, &prefixes, unprotect);
	protect_end(&protect, true);
	free(prefixes.v);
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
		ret = words_value(w, ifname, &token);
	if (!ret && delete) {
		unprotect = words_take(w, "unprotect");
		ret = words_end(w);
	} else if (!ret) {
		ret = parse_words(w, &args);
		if (!ret && HAS(&args.peer, ESPUDP_A_PEER_ID))
			ret = usage("the id of a peer cannot be changed");
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
