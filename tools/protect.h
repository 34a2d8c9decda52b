/* SPDX-License-Identifier: GPL-2.0 */
#ifndef PROTECT_H
#define PROTECT_H

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
	struct list added; /* to undo */
	struct list routes, guards; /* that were there, once asked for */
	bool asked;
	bool down;
};

/* All return a status and print errors. */
int protect_begin(struct protect *p, const char *ifname);
/* Adds guards for all prefixes, then routes to the device. */
int protect_add(struct protect *p, const struct list *prefixes);
/* Takes back what protect_add() added. */
void protect_undo(struct protect *p);
/* Removes routes to the device, or guards, that no peer of the list needs. */
int protect_release(struct protect *p, const struct list *prefixes,
		    const struct list *peers, bool guards);
int protect_remove(struct protect *p, const struct list *prefixes, bool guards);
/* Says so once if routes could not be made because the device is down. */
void protect_end(struct protect *p, bool quiet);

/* Appends the prefixes that the remote ends of selectors are made of. */
void protect_prefixes(const struct list *selectors, struct list *prefixes);

#endif
