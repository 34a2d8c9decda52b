/* SPDX-License-Identifier: GPL-2.0 */
#ifndef VIRTUAL_H
#define VIRTUAL_H

#include "protect.h"

/* Virtual addresses are reached by routes with a preferred source, since the
 * peer knows us by the outer address only: VIRT/32 where the peer has a local
 * address, else one for the whole pool with the source that the kernel would
 * choose. The pool has a guard.
 */

/* "100.100.0.0/16" */
const char *format_pool(const struct pool *pool);
bool pool_has(const struct pool *pool, const struct addr *a);
/* The device's pool of a family, or NULL. */
const struct pool *virtual_pool(const struct dev *dev, uint8_t family);
struct prefix virtual_prefix(const struct pool *pool);
struct prefix virtual_host(const struct addr *a);

/* Adds guards for all pools of a list, but those that say none. */
int virtual_guard(struct protect *p, const struct list *pools);
/* Adds the routes of the peers of a list that have virtual addresses. What the
 * host is not ready for is told, and no error.
 */
int virtual_add(struct protect *p, const struct dev *dev,
		const struct list *peers);
/* Removes the host routes of peers whose addresses nobody has now. */
int virtual_release(struct protect *p, const struct list *before,
		    const struct list *now);
/* Removes the routes into a pool to the device, not its guard. */
int virtual_forget(struct protect *p, const struct pool *pool);

#endif
