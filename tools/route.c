// SPDX-License-Identifier: GPL-2.0
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include "apply.h"
#include "commands.h"
#include "fib.h"
#include "format.h"
#include "json.h"
#include "lookup.h"
#include "virtual.h"

/* What a device and its peers are reached by. */
struct wanted {
	struct list devs, peers;
	struct list prefixes; /* of selectors */
	struct list pools, hosts; /* of virtual addresses */
};

static int add(const char *ifname, const struct wanted *w)
{
	struct protect protect;
	int ret = protect_begin(&protect, ifname);

	if (ret)
		return ret;
	ret = protect_add(&protect, &w->prefixes);
	for_each(struct dev, dev, &w->devs) {
		ret = ret ? ret : virtual_guard(&protect, &dev->pool);
		ret = ret ? ret : virtual_add(&protect, dev, &w->peers);
	}
	protect_end(&protect, ret != OK);
	return ret;
}

/* What a file's peers will need. Neither device nor module, nor keys, need be there:
 * should they not come, nothing leaves by another way.
 */
static int guard(const char *file)
{
	struct list prefixes = { 0 };
	struct protect protect;
	struct conf conf;
	int ret = conf_read(&conf, file, true);

	if (!ret) {
		apply_prefixes(&conf, &prefixes);
		ret = protect_begin(&protect, "");
		if (!ret)
			ret = protect_guard(&protect, &prefixes);
		if (!ret)
			ret = virtual_guard(&protect, &conf.dev.pool);
		protect_end(&protect, true);
	}
	free(prefixes.v);
	conf_free(&conf);
	return ret;
}

/* Of prefixes that somebody named, any kind may be there. */
static int del(const char *ifname, const struct wanted *w)
{
	const struct list *all[] = { &w->prefixes, &w->hosts, &w->pools };
	struct protect protect;
	int ret = protect_begin(&protect, ifname);

	for (size_t i = 0; i < ARRAY_SIZE(all) && !ret; i++) {
		ret = protect_remove(&protect, all[i], PROTECT_DEVICE);
		if (!ret)
			ret = protect_remove(&protect, all[i], PROTECT_GUARD);
		if (!ret)
			ret = protect_remove(&protect, all[i], PROTECT_HOLE);
	}
	for_each(struct dev, dev, &w->devs)
		for_each(struct pool, p, &dev->pool)
			ret = ret ? ret : virtual_forget(&protect, p);
	protect_end(&protect, true);
	return ret;
}

struct row {
	struct prefix prefix;
	struct addr src;
	bool device, guard, hole, peer, pool;
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
	bool host = r->src.family && !r->hole; /* its pool has the guard */

	printf("%s%s%s: ", colour(C_BOLD), format_prefix(&r->prefix),
	       colour(C_RESET));
	if (r->device)
		printf("dev %s%s%s, ", ifname, r->src.family ? " src " : "",
		       r->src.family ? format_addr(&r->src) : "");
	else if (!r->pool && !r->hole)
		printf("%sno route to the device%s, ", colour(C_YELLOW),
		       colour(C_RESET));
	puts(r->pool	     ? (r->hole ? "blackhole, pool" :
					  "no blackhole route, pool") :
	     r->hole	     ? "blackhole, no pool" :
	     host && r->peer ? "virtual address" :
	     host	     ? "no peer" :
	     r->guard ? (r->peer ? "unreachable" : "unreachable, no peer") :
	     r->peer  ? "no unreachable route" :
			"no unreachable route, no peer");
}

static struct json_object *json_row(const struct row *r)
{
	struct json_object *o = json_object_new_object();

	json_add_string(o, "prefix", format_prefix(&r->prefix));
	json_object_object_add(o, "device", json_object_new_boolean(r->device));
	json_object_object_add(o, "unreachable",
			       json_object_new_boolean(r->guard));
	json_object_object_add(o, "blackhole",
			       json_object_new_boolean(r->hole));
	json_object_object_add(o, "peer", json_object_new_boolean(r->peer));
	json_object_object_add(o, "pool", json_object_new_boolean(r->pool));
	if (r->src.family)
		json_add_string(o, "source", format_addr(&r->src));
	return o;
}

static int collect(const char *ifname, const struct wanted *w,
		   struct list *rows)
{
	struct list routes = { 0 }, guards = { 0 }, holes = { 0 };
	uint32_t ifindex = if_nametoindex(ifname);
	struct nl rt;
	int err, ret = nl_open_route(&rt);

	if (ret)
		return ret;
	err = fib_dump(&rt, ifindex, &routes);
	if (!err)
		err = fib_dump(&rt, FIB_GUARD, &guards);
	if (!err)
		err = fib_dump(&rt, FIB_HOLE, &holes);
	if (err)
		ret = error("routes: %s", strerror(err));
	for_each(struct prefix, p, &w->pools)
		row_of(rows, p)->pool = true;
	for_each(struct prefix, p, &w->prefixes)
		row_of(rows, p)->peer = true;
	for_each(struct fib_route, r, &routes) {
		if (r->protocol == RTPROT_KERNEL) /* fe80::/64 */
			continue;
		row_of(rows, &r->prefix)->device = true;
		row_of(rows, &r->prefix)->src = r->src;
	}
	/* A host route is not needed where that of the pool will do. */
	for_each(struct prefix, p, &w->hosts)
		if (fib_find(&routes, p))
			row_of(rows, p)->peer = true;
	for_each(struct fib_route, r, &holes)
		row_of(rows, &r->prefix)->hole = true;
	for_each(struct fib_route, r, &guards)
		row_of(rows, &r->prefix)->guard = true;
	free(routes.v);
	free(guards.v);
	free(holes.v);
	nl_close(&rt);
	return ret;
}

static int show(const char *ifname, const struct wanted *w)
{
	struct json_object *a = NULL;
	struct list rows = { 0 };
	int ret = collect(ifname, w, &rows);

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

static int look_up(const char *ifname, struct wanted *w)
{
	struct nl nl = { 0 };
	struct prefix prefix;
	int ret = nl_open(&nl);

	if (!ret)
		ret = lookup_devs(&nl, ifname, &w->devs);
	if (!ret)
		ret = lookup_peers(&nl, ifname, &w->peers);
	for_each(struct peer, p, &w->peers) {
		protect_prefixes(p, &w->prefixes);
		prefix = virtual_host(&p->virtual);
		if (p->virtual.family)
			prefix_add(&w->hosts, &prefix);
	}
	for_each(struct dev, dev, &w->devs)
		for_each(struct pool, p, &dev->pool) {
			prefix = virtual_prefix(p);
			prefix_add(&w->pools, &prefix);
		}
	nl_close(&nl);
	return ret;
}

int cmd_route(struct words *w)
{
	const char *word = words_next(w), *ifname, *range;
	struct wanted wanted = { 0 };
	bool delete = word && !strcmp(word, "del");
	int ret;

	if (word && !strcmp(word, "guard")) {
		ret = words_need(w, "the name of a configuration file", &range);
		ret = ret ? ret : words_end(w);
		return ret ? ret : guard(range);
	}
	if (!word || (strcmp(word, "add") && strcmp(word, "show") && !delete))
		return usage(
			"route: `add', `del', `show' or `guard' is expected, "
			"see `espudp help route'");
	ret = take_dev(w, &ifname);
	if (!ret && delete &&w->n) {
		/* The device and its peers need not be there any more. */
		while (!ret && (range = words_next(w))) {
			struct addr from, to;

			ret = parse_range("prefix", range, &from, &to);
			if (!ret)
				prefixes_of_range(&from, &to, &wanted.prefixes);
		}
	} else if (!ret) {
		ret = words_end(w);
		if (!ret)
			ret = look_up(ifname, &wanted);
	}
	if (!ret && !strcmp(word, "add"))
		ret = add(ifname, &wanted);
	else if (!ret && delete)
		ret = del(ifname, &wanted);
	else if (!ret)
		ret = show(ifname, &wanted);
	objects_free(&set_dev, &wanted.devs);
	objects_free(&set_peer, &wanted.peers);
	free(wanted.prefixes.v);
	free(wanted.pools.v);
	free(wanted.hosts.v);
	return ret;
}
