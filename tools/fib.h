/* SPDX-License-Identifier: GPL-2.0 */
#ifndef FIB_H
#define FIB_H

#include "nl.h"
#include "prefix.h"

/* A guard is an unreachable route of the worst metric: what is left when the
 * route to the device is gone, so that nothing leaves in the clear. That of a
 * pool of virtual addresses is a blackhole.
 */
#define FIB_GUARD 0 /* in place of an ifindex */
#define FIB_HOLE UINT32_MAX
#define FIB_GUARD_METRIC UINT32_MAX

struct fib_route {
	struct prefix prefix;
	uint8_t type;
	uint8_t protocol;
	uint32_t ifindex;
	uint32_t metric;
	struct addr src; /* preferred source */
};

/* Adds a route to a device, or a guard, to the main table; @src is the preferred
 * source, or NULL. Returns a positive errno; EEXIST means that this route, or
 * another in its place, exists.
 */
int fib_add(struct nl *rt, const struct prefix *p, uint32_t ifindex,
	    const struct addr *src);
/* Removes such a route; its absence is no error. */
int fib_del(struct nl *rt, const struct prefix *p, uint32_t ifindex);
/* Adds the routes to a device, or all guards, of the main table, in order of
 * their prefixes. Returns a positive errno.
 */
int fib_dump(struct nl *rt, uint32_t ifindex, struct list *routes);
/* In such a list. */
const struct fib_route *fib_find(const struct list *routes,
				 const struct prefix *p);
/* The source that datagrams to @to have which are marked and bound so. Returns a
 * positive errno.
 */
int fib_source(struct nl *rt, const struct addr *to, uint32_t mark,
	       uint32_t bound_ifindex, struct addr *src);

#endif
