// SPDX-License-Identifier: GPL-2.0
#include <collections/linked_list.h>
#include <errno.h>

#include "../fib.h"
#include "peers.h"
#include "routes.h"

/* What is in the table, once for all who use it. */
typedef struct {
	host_t *net;
	uint8_t mask;
	host_t *src;
	host_t *gateway; /* of an exclude route; NULL of one to the device */
	char *name; /* of the interface; that of src may be another by now */
	bool guarded; /* by a guard that is ours */
	unsigned int refs;
} entry_t;

struct route_t {
	entry_t *entry;
	entry_t *exclude;
	traffic_selector_t *ts; /* NULL: leads to no outer address */
};

struct routes_t {
	char *device;
	bool marked;
	linked_list_t *entries;
};

static void entry_destroy(entry_t *entry)
{
	entry->net->destroy(entry->net);
	entry->src->destroy(entry->src);
	DESTROY_IF(entry->gateway);
	free(entry->name);
	free(entry);
}

static status_t entry_add(routes_t *this, entry_t *entry)
{
	kernel_interface_t *kernel = charon->kernel;

	if (!entry->gateway)
		entry->name = strdup(this->device);
	else if (!kernel->get_interface(kernel, entry->src, &entry->name))
		return FAILED;
	return kernel->add_route(kernel, entry->net->get_address(entry->net),
				 entry->mask, entry->gateway, entry->src,
				 entry->name, entry->gateway != NULL);
}

static void entry_del(entry_t *entry)
{
	charon->kernel->del_route(charon->kernel,
				  entry->net->get_address(entry->net),
				  entry->mask, entry->gateway, entry->src,
				  entry->name, entry->gateway != NULL);
}

/* What is left when the device goes, and its routes with it. One that the operator
 * put there stays the operator's.
 */
static void guard(entry_t *entry, bool add)
{
	struct prefix prefix = { .len = entry->mask };
	struct nl rt;
	int err;

	if (entry->gateway || !entry->mask || (!add && !entry->guarded))
		return;
	addr_of(entry->net, &prefix.addr);
	if (nl_open_route(&rt)) {
		nl_close(&rt);
		return;
	}
	err = add ? fib_add(&rt, &prefix, FIB_GUARD, NULL) :
		    fib_del(&rt, &prefix, FIB_GUARD);
	if (err && err != EEXIST)
		DBG1(DBG_KNL, "espudp: unreachable route to %H/%d: %s",
		     entry->net, entry->mask, strerror(err));
	entry->guarded = add && !err;
	nl_close(&rt);
}

/* An entry that leads where @like does; from @src, unless that is NULL. */
static entry_t *entry_find(routes_t *this, const entry_t *like, host_t *src)
{
	enumerator_t *enumerator;
	entry_t *entry, *found = NULL;

	enumerator = this->entries->create_enumerator(this->entries);
	while (!found && enumerator->enumerate(enumerator, &entry))
		if (entry->mask == like->mask &&
		    !entry->gateway == !like->gateway &&
		    entry->net->ip_equals(entry->net, like->net) &&
		    (!src || entry->src->ip_equals(entry->src, src)))
			found = entry;
	enumerator->destroy(enumerator);
	return found;
}

/* Takes over net, src and gateway. */
static entry_t *entry_get(routes_t *this, host_t *net, uint8_t mask,
			  host_t *src, host_t *gateway)
{
	entry_t *entry, *found;
	status_t status;

	INIT(entry, .net = net, .mask = mask, .src = src, .gateway = gateway,
	     .refs = 1);
	found = entry_find(this, entry, gateway ? NULL : src);
	if (found) {
		entry_destroy(entry);
		found->refs++;
		return found;
	}
	status = entry_add(this, entry);
	if (status != SUCCESS && status != ALREADY_DONE) {
		DBG1(DBG_KNL, "espudp: route to %H/%d failed", net, mask);
		entry_destroy(entry);
		return NULL;
	}
	guard(entry, TRUE);
	this->entries->insert_last(this->entries, entry);
	return entry;
}

static void entry_put(routes_t *this, entry_t *entry)
{
	entry_t *other;

	if (!entry || --entry->refs)
		return;
	this->entries->remove(this->entries, entry, NULL);
	other = entry_find(this, entry, NULL);
	if (other) /* needs the guard as well */
		other->guarded |= entry->guarded;
	else
		guard(entry, FALSE);
	entry_del(entry);
	entry_destroy(entry);
}

static void exclude(routes_t *this, route_t *route, host_t *local,
		    host_t *remote)
{
	kernel_interface_t *kernel = charon->kernel;
	entry_t *old = route->exclude;
	host_t *gateway = NULL;

	route->exclude = NULL;
	if (!this->marked && route->ts && !remote->is_anyaddr(remote) &&
	    route->ts->includes(route->ts, remote)) {
		gateway = kernel->get_nexthop(kernel, remote, -1, NULL, NULL);
		if (gateway)
			route->exclude = entry_get(
				this, remote->clone(remote),
				remote->get_family(remote) == AF_INET ? 32 :
									128,
				local->clone(local), gateway);
		else
			DBG1(DBG_KNL,
			     "espudp: there is no way to %H to exclude",
			     remote);
	}
	entry_put(this, old);
}

routes_t *routes_create(const char *device, bool marked)
{
	routes_t *this;

	INIT(this, .device = strdup(device), .marked = marked,
	     .entries = linked_list_create());
	return this;
}

void routes_destroy(routes_t *this)
{
	this->entries->destroy_function(this->entries, (void *)entry_destroy);
	free(this->device);
	free(this);
}

route_t *routes_add(routes_t *this, traffic_selector_t *local_ts,
		    traffic_selector_t *ts, host_t *local, host_t *remote)
{
	host_t *net, *src = NULL;
	route_t *route;
	uint8_t mask;

	if (!this->marked && ts->is_host(ts, remote)) {
		DBG1(DBG_KNL,
		     "espudp: no route to %R, which is where IKE goes, too: set fwmark, or "
		     "see espudp(8), A PEER INSIDE ITS OWN SELECTORS",
		     ts);
		return NULL;
	}
	/* a gateway may have no address of its own in there */
	if (charon->kernel->get_address_by_ts(charon->kernel, local_ts, &src,
					      NULL) != SUCCESS)
		src = host_create_any(remote->get_family(remote));
	ts->to_subnet(ts, &net, &mask);
	if (src->get_family(src) != net->get_family(net)) {
		src->destroy(src);
		src = host_create_any(net->get_family(net));
	}
	INIT(route, .ts = ts->clone(ts));
	exclude(this, route, local, remote);
	route->entry = entry_get(this, net, mask, src, NULL);
	if (!route->entry) {
		routes_remove(this, route);
		return NULL;
	}
	return route;
}

route_t *routes_add_host(routes_t *this, host_t *host, host_t *local)
{
	route_t *route;

	INIT(route,
	     .entry = entry_get(this, host->clone(host),
				host->get_family(host) == AF_INET ? 32 : 128,
				local->clone(local), NULL));
	if (!route->entry) {
		free(route);
		return NULL;
	}
	return route;
}

void routes_move(routes_t *this, route_t *route, host_t *local, host_t *remote)
{
	exclude(this, route, local, remote);
}

void routes_remove(routes_t *this, route_t *route)
{
	entry_put(this, route->entry);
	entry_put(this, route->exclude);
	DESTROY_IF(route->ts);
	free(route);
}
