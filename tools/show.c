// SPDX-License-Identifier: GPL-2.0
#include <stdlib.h>

#include "commands.h"
#include "format.h"
#include "json.h"
#include "lookup.h"
#include "nl.h"
#include "print.h"

static struct json_object *json_sas(const struct list *all, uint32_t peer)
{
	struct json_object *a = json_object_new_array();
	struct list sas = lookup_slice(all, peer);

	for_each(struct sa, sa, &sas)
		json_object_array_add(a, json_object_of(&set_sa, sa));
	return a;
}

static void add_json(struct json_object *array, const struct dev *dev,
		     const struct list *peers, const struct list *sas)
{
	struct json_object *o = json_dev(dev), *a = json_object_new_array();

	for_each(struct peer, p, peers) {
		struct json_object *po = json_object_of(&set_peer, p);

		json_object_object_add(po, "sa", json_sas(sas, p->id));
		json_object_array_add(a, po);
	}
	json_object_object_add(o, "peer", a);
	json_object_object_add(o, "sa", json_sas(sas, 0));
	json_object_array_add(array, o);
}

static int by_id(const void *a, const void *b)
{
	const struct peer *x = a, *y = b;

	return x->id < y->id ? -1 : x->id > y->id;
}

static int show_dev(struct nl *nl, const struct dev *dev, const char *token,
		    struct json_object *array)
{
	struct list peers = { 0 }, sas = { 0 };
	uint32_t id = 0;
	int ret;

	if (token)
		ret = lookup_some(nl, dev->ifname, token, &peers);
	else
		ret = lookup_peers(nl, dev->ifname, &peers);
	if (token && peers.n == 1)
		id = LIST(struct peer, &peers)->id;
	if (!ret)
		ret = lookup_sas(nl, dev->ifname, id, &sas);
	if (peers.n)
		qsort(peers.v, peers.n, sizeof(struct peer), by_id);
	if (!ret && json) {
		add_json(array, dev, &peers, &sas);
	} else if (!ret) {
		struct list some = lookup_slice(&sas, 0);

		if (!token)
			print_dev(dev, &some);
		for_each(struct peer, p, &peers) {
			some = lookup_slice(&sas, p->id);
			if (!token || p != LIST(struct peer, &peers))
				putchar('\n');
			print_peer(p, &some);
		}
	}
	objects_free(&set_peer, &peers);
	objects_free(&set_sa, &sas);
	return ret;
}

int cmd_show(struct words *w)
{
	const char *ifname = NULL, *token;
	struct json_object *array = NULL;
	struct list devs = { 0 };
	struct nl nl = { 0 };
	bool first = true;
	int ret = OK;

	if (w->n)
		ret = take_dev(w, &ifname);
	token = words_next(w);
	if (!ret)
		ret = words_end(w);
	if (!ret)
		ret = nl_open(&nl);
	if (!ret)
		ret = lookup_devs(&nl, ifname, &devs);
	if (json)
		array = json_object_new_array();
	for_each(struct dev, dev, &devs) {
		if (ret)
			break;
		if (!first && !json)
			putchar('\n');
		first = false;
		ret = show_dev(&nl, dev, token, array);
	}
	if (json && !ret)
		json_print(array, false);
	objects_free(&set_dev, &devs);
	nl_close(&nl);
	return ret;
}
