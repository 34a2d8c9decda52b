/* SPDX-License-Identifier: GPL-2.0 */
#ifndef ROUTES_H
#define ROUTES_H

#include <daemon.h>

typedef struct routes_t routes_t;
typedef struct route_t route_t;

/* Routes to the device, in charon's routing table. Several peers may need the
 * same one. Where a route covers the outer address of a peer that uses it, that
 * address is excluded, unless outer packets have a mark. Not synchronised.
 */
routes_t *routes_create(const char *device, bool marked);
void routes_destroy(routes_t *this);

/* A route to @ts from an address in @local_ts, for a peer that is at @remote.
 * NULL, and a line in the log, where that cannot be.
 */
route_t *routes_add(routes_t *this, traffic_selector_t *local_ts,
		    traffic_selector_t *ts, host_t *local, host_t *remote);
/* A route to one virtual address, from @local. */
route_t *routes_add_host(routes_t *this, host_t *host, host_t *local);
/* The peer that uses the route has moved. */
void routes_move(routes_t *this, route_t *route, host_t *local, host_t *remote);
void routes_remove(routes_t *this, route_t *route);

#endif
