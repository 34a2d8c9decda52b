// SPDX-License-Identifier: GPL-2.0
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "fib.h"
#include "format.h"
#include "json.h"
#include "lookup.h"
#include "protect.h"

static int add(const char *ifname, const struct list *prefixes)
{
	struct protect protect;
	int ret = protect_begin(&protect, ifname);

	if (ret)
		return ret;
	ret = protect_add(&protect, prefixes);
	protect_end(&protect, ret != OK);
	return ret;
}

static int del(const char *ifname, const struct list *prefixes)
{
	struct protect protect;
	int ret = protect_begin(&protect, ifname);

	if (ret)
		return ret;
	ret = protect_remove(&protect, prefixes, false);
	if (!ret)
		ret = protect_remove(&protect, prefixes, true);
	protect_end(&protect, true);
	return ret;
}

struct row {
	struct prefix prefix;
	bool device, guard, peer;
};

static struct row *row_of(struct list *rows, const struct prefix *p)
{
	struct row *new;

	for_each(struct row, r, rows)
		if (prefix_equal(&r->prefix, p))
			return r;
	new = list_add(rows, sizeof(*new));
	new->prefix = *p;
	return new;
}

static void print_row(const struct row *r, const char *ifname)
{
	printf("%s%s%s: %s%s%s, %s%s\n", colour(C_BOLD),
	       format_prefix(&r->prefix), colour(C_RESET),
	       r->device ? "dev " : colour(C_YELLOW),
	       r->device ? ifname : "no route to the device", colour(C_RESET),
	       r->guard ? "unreachable" : "no unreachable route",
	       r->peer ? "" : ", no peer");
}

static struct json_object *json_row(const struct row *r)
{
	struct json_object *o = json_object_new_object();

	json_add_string(o, "prefix", format_prefix(&r->prefix));
	json_object_object_add(o, "device", json_object_new_boolean(r->device));
	json_object_object_add(o, "unreachable",
			       json_object_new_boolean(r->guard));
	json_object_object_add(o, "peer", json_object_new_boolean(r->peer));
	return o;
}

static int collect(const char *ifname, const struct list *prefixes,
		   struct list *rows)
{
	struct list routes = { 0 }, guards = { 0 };
	uint32_t ifindex = if_nametoindex(ifname);
	struct nl rt;
	int err, ret = nl_open_route(&rt);

	if (ret)
		return ret;
	err = fib_dump(&rt, ifindex, &routes);
	if (!err)
		err = fib_dump(&rt, FIB_GUARD, &guards);
	if (err)
		ret = error("routes: %s", strerror(err));
	for_each(struct prefix, p, prefixes)
		row_of(rows, p)->peer = true;
	for_each(struct fib_route, r, &routes)
		if (r->protocol != RTPROT_KERNEL) /* fe80::/64 */
			row_of(rows, &r->prefix)->device = true;
	for_each(struct fib_route, r, &guards)
		row_of(rows, &r->prefix)->guard = true;
	free(routes.v);
	free(guards.v);
	nl_close(&rt);
	return ret;
}

static int show(const char *ifname, const struct list *prefixes)
{
	struct json_object *a = NULL;
	struct list rows = { 0 };
	int ret = collect(ifname, prefixes, &rows);

	if (json)
		a = json_object_new_array();
	for_each(struct row, r, &rows) {
		if (json)
			json_object_array_add(a, json_row(r));
		else
			print_row(r, ifname);
	}
	if (json && !ret)
		json_print(a, false);
	free(rows.v);
	return ret;
}

static int peers_prefixes(const char *ifname, struct list *prefixes)
{
	struct list peers = { 0 };
	struct nl nl = { 0 };
	int ret = nl_open(&nl);

	if (!ret)
		ret = lookup_peers(&nl, ifname, &peers);
	for_each(struct peer, p, &peers)
		protect_prefixes(&p->selector, prefixes);
	objects_free(&set_peer, &peers);
	nl_close(&nl);
	return ret;
}

int cmd_route(struct words *w)
{
	const char *word = words_next(w), *ifname, *range;
	struct list prefixes = { 0 };
	bool delete = word && !strcmp(word, "del");
	int ret;

	if (!word || (strcmp(word, "add") && strcmp(word, "show") && !delete))
		return usage("route: `add', `del' or `show' is expected, see "
			     "`espudp help route'");
	ret = take_dev(w, &ifname);
	if (!ret && delete &&w->n) {
		/* The device and its peers need not be there any more. */
		while (!ret && (range = words_next(w))) {
			struct addr from, to;

			ret = parse_range("prefix", range, &from, &to);
			if (!ret)
				prefixes_of_range(&from, &to, &prefixes);
		}
	} else if (!ret) {
		ret = words_end(w);
		if (!ret)
			ret = peers_prefixes(ifname, &prefixes);
	}
	if (!ret && !strcmp(word, "add"))
		ret = add(ifname, &prefixes);
	else if (!ret && delete)
		ret = del(ifname, &prefixes);
	else if (!ret)
		ret = show(ifname, &prefixes);
	free(prefixes.v);
	return ret;
}
