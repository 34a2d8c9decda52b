/* SPDX-License-Identifier: GPL-2.0 */
#ifndef LOOKUP_H
#define LOOKUP_H

#include "nl.h"
#include "objects.h"

/* All print their errors and return a status. */

/* One device; or all of the namespace where @ifname is NULL. */
int lookup_devs(struct nl *nl, const char *ifname, struct list *devs);
/* An index that a name has here means another link to a device that was moved:
 * refuses it. @devs has the device as it is.
 */
int lookup_bound(const struct dev *want, const struct list *devs);
/* Its peers, by id. */
int lookup_peers(struct nl *nl, const char *ifname, struct list *peers);
/* The one with that id in such a list, or NULL. */
struct peer *lookup_id(const struct list *peers, uint32_t id);
/* The SAs of a device, or of the peer with id @peer if it is not 0; by peer, and
 * oldest first, so that the last outbound one is in use.
 */
int lookup_sas(struct nl *nl, const char *ifname, uint32_t peer,
	       struct list *sas);
/* Those of one peer, 0 for none, in such a list: a part of it. */
struct list lookup_slice(const struct list *sas, uint32_t peer);
/* The peer that @token, an id, a name, a virtual address or the outer ADDR[:PORT],
 * stands for.
 */
int lookup_peer(struct nl *nl, const char *ifname, const char *token,
		struct peer *peer);
/* Likewise; of an outer address all peers that are there. */
int lookup_some(struct nl *nl, const char *ifname, const char *token,
		struct list *peers);
/* Whether the device is up, as far as can be told. */
bool lookup_link_up(const char *ifname);

#endif
