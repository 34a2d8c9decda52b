/* SPDX-License-Identifier: GPL-2.0 */
#ifndef PROTECT_H
#define PROTECT_H

#include "fib.h"
#include "nl.h"
#include "objects.h"
#include "prefix.h"

/* Routes for the remote selectors of peers: to the device, and guards. Guards
 * come first and, unless asked for in words, never go.
 */
struct protect {
	struct nl rt;
	uint32_t ifindex;
	const char *ifname;
	struct list changes; /* to undo */
	struct list routes, guards, holes; /* that were there, once asked for */
	bool asked;
	bool down;
	bool later; /* what to do is to be said */
};

enum protect_kind { PROTECT_DEVICE, PROTECT_GUARD, PROTECT_HOLE };

/* All return a status and print errors. */
int protect_begin(struct protect *p, const char *ifname);
/* Adds guards for all prefixes; the device need not be there. */
int protect_guard(struct protect *p, const struct list *prefixes);
/* Adds guards for all prefixes, then routes to the device. */
int protect_add(struct protect *p, const struct list *prefixes);
/* Adds a route to the device with a preferred source; one with another source
 * gives way.
 */
int protect_route(struct protect *p, const struct prefix *prefix,
		  const struct addr *src);
/* Adds the guard of a pool. */
int protect_hole(struct protect *p, const struct prefix *prefix);
/* The route to the device that was there when first asked, or NULL. */
const struct fib_route *protect_find(struct protect *p,
				     const struct prefix *prefix);
/* Removes a route to the device. */
int protect_give_up(struct protect *p, const struct fib_route *route);
/* Takes back what was added, and removed by protect_give_up(). */
void protect_undo(struct protect *p);
/* Removes routes to the device, or guards, that no peer of the list needs. */
int protect_release(struct protect *p, const struct list *prefixes,
		    const struct list *peers, bool guards);
int protect_remove(struct protect *p, const struct list *prefixes,
		   enum protect_kind kind);
/* Says so once if routes could not be made because the device is down. */
void protect_end(struct protect *p, bool quiet);

/* Adds the prefixes that the remote ends of a peer's selectors are made of;
 * none in transport mode, where they are the outer addresses.
 */
void protect_prefixes(const struct peer *peer, struct list *prefixes);

#endif
