// SPDX-License-Identifier: GPL-2.0
#include <inttypes.h>
#include <net/if.h>
#include <stdlib.h>

#include "algs.h"
#include "commands.h"
#include "fib.h"
#include "format.h"
#include "lookup.h"
#include "virtual.h"

static void print_unknown(const struct object *o)
{
	for_each(struct unknown, u, &o->unknown)
		printf("# unknown attribute %u: %u octets\n", u->type, u->len);
}

static const char *value(const struct field *f, const void *obj)
{
	uint64_t n;

	switch (f->type) {
	case F_ENUM:
		return names_get(f->names, field_number(obj, f));
	case F_BOOL:
	case F_FLAG:
		return field_number(obj, f) ? "yes" : "no";
	case F_STRING:
		return format_name(&CFIELD(obj, f, char), true);
	case F_ADDR:
		if (f->flags & F_PORT)
			return format_endpoint(&CFIELD(obj, f, struct addr),
					       field_number(obj, f + 1));
		return format_addr(&CFIELD(obj, f, struct addr));
	default:
		n = field_number(obj, f);
		if (f->flags & F_LINK)
			return format_bound(obj);
		return format(f->flags & F_HEX ? "0x%" PRIx64 : "%" PRIu64, n);
	}
}

/* Every setting that is there, has a name in files, and says something. */
static void print_fields(const struct set *set, const void *obj)
{
	for (size_t i = 0; i < set->n; i++) {
		const struct field *f = &set->fields[i];

		if (!f->conf ||
		    !(((const struct object *)obj)->has >> f->attr & 1))
			continue;
		if (f->type == F_STRING && !CFIELD(obj, f, char))
			continue;
		if (f->flags & F_ZERO && !field_number(obj, f))
			continue;
		printf("%s = %s\n", f->conf, value(f, obj));
	}
}

static void print_device(const struct dev *dev)
{
	bool own = false, adopted = false;

	for_each(struct sock, s, &dev->socket) {
		own |= s->kind == ESPUDP_SOCKET_KIND_OWN;
		adopted |= s->kind == ESPUDP_SOCKET_KIND_ADOPTED;
	}
	puts("[Device]");
	print_fields(&set_dev, dev);
	for_each(struct pool, p, &dev->pool) {
		printf("Pool%s = %s\n", p->addr.family == AF_INET6 ? "6" : "",
		       format_pool(p));
		print_unknown(&p->o);
	}
	if (own)
		puts("Listen = own");
	else if (adopted)
		puts("# Listen: the socket is adopted");
	else
		puts("Listen = no");
	print_unknown(&dev->o);
}

static void print_sa(const struct sa *sa)
{
	struct sa s = *sa;

	if (s.dir == ESPUDP_DIR_OUT)
		CLEAR(&s, ESPUDP_A_SA_REPLAY_WINDOW);
	puts("\n[SA]");
	print_fields(&set_sa, &s);
	if (algs_enc_expected(s.enc))
		puts("# KeyFile: keys are not readable");
	if (algs_auth_expected(s.auth))
		puts("# AuthKeyFile: keys are not readable");
	print_unknown(&s.o);
}

struct routes {
	struct list guards, device;
};

/* A peer that has selectors and no guards was added without routes; one that has
 * a virtual address, if it has none to the device.
 */
static bool has_routes(const struct dev *dev, const struct peer *p,
		       const struct routes *routes)
{
	const struct pool *pool = virtual_pool(dev, p->virtual.family);
	struct list prefixes = { 0 };
	struct prefix host, all;
	bool any = false;

	if (pool) {
		host = virtual_host(&p->virtual);
		all = virtual_prefix(pool);
		return !lookup_link_up(dev->ifname) ||
		       fib_find(&routes->device, &host) ||
		       fib_find(&routes->device, &all);
	}
	protect_prefixes(p, &prefixes);
	for_each(struct prefix, x, &prefixes)
		any |= !!fib_find(&routes->guards, x);
	any |= !prefixes.n;
	free(prefixes.v);
	return any;
}

static void print_peer(const struct dev *dev, const struct peer *p,
		       const struct list *sas, const struct routes *routes)
{
	puts("\n[Peer]");
	print_fields(&set_peer, p);
	if (p->mode == ESPUDP_MODE_TRANSPORT && !p->virtual.family &&
	    virtual_pool(dev, p->remote.family))
		puts("Virtual = none");
	for_each(struct selector, s, &p->selector) {
		printf("Selector = %s\n", format_selector(s));
		print_unknown(&s->o);
	}
	if (!has_routes(dev, p, routes))
		puts("Routes = none");
	print_unknown(&p->o);
	for_each(struct sa, sa, sas)
		if (sa->state != ESPUDP_SA_STATE_RESERVED)
			print_sa(sa);
}

int cmd_showconf(struct words *w)
{
	struct list devs = { 0 }, peers = { 0 }, sas = { 0 };
	struct routes routes = { 0 };
	struct nl nl = { 0 }, rt = { 0 };
	const char *ifname;
	int ret;

	ret = take_dev(w, &ifname);
	if (!ret)
		ret = words_end(w);
	if (!ret)
		ret = nl_open(&nl);
	if (!ret)
		ret = lookup_devs(&nl, ifname, &devs);
	if (!ret)
		ret = lookup_peers(&nl, ifname, &peers);
	if (!ret)
		ret = lookup_sas(&nl, ifname, 0, &sas);
	if (!ret)
		ret = nl_open_route(&rt);
	if (!ret && (fib_dump(&rt, FIB_GUARD, &routes.guards) ||
		     fib_dump(&rt, if_nametoindex(ifname), &routes.device)))
		ret = error("routes: cannot be read");
	for_each(struct dev, dev, &devs) {
		if (ret)
			break;
		print_device(dev);
		for_each(struct peer, p, &peers) {
			struct list some = lookup_slice(&sas, p->id);

			print_peer(dev, p, &some, &routes);
		}
	}
	free(routes.guards.v);
	free(routes.device.v);
	objects_free(&set_dev, &devs);
	objects_free(&set_peer, &peers);
	objects_free(&set_sa, &sas);
	nl_close(&nl);
	nl_close(&rt);
	return ret;
}
