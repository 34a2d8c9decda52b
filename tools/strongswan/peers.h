/* SPDX-License-Identifier: GPL-2.0 */
#ifndef PEERS_H
#define PEERS_H

#include <daemon.h>

#include "module.h"
#include "routes.h"

typedef struct remote_t remote_t;

/* A peer of the module's, and what charon knows of it. It is none of charon's own
 * notions: clients behind one NAT have one reqid, and roaming changes it. In tunnel
 * mode it is an IKE identity with its traffic selectors, so that a client that
 * comes back takes its peer over, wherever it comes from; in transport mode an
 * identity and where its ESP comes from, with protocol and ports of the selectors,
 * whose addresses mean the two ends. A trap has neither SAs nor identity and is a
 * peer by its reqid.
 */
struct remote_t {
	char *key;
	struct peer
		spec; /* as the module was told; id 0 while it has no such peer */
	host_t *local, *remote;
	linked_list_t *sas; /* sa_t, newest first */
	linked_list_t *lingering; /* outbound SPIs that are charon's no more */
	linked_list_t *policies; /* policy_t, those that are outbound */
	route_t *host; /* to the virtual address */
	uint32_t ike; /* unique id of the IKE_SA that made it last */
};

/* An SA, or a reserved SPI, which has no peer yet. */
typedef struct {
	uint32_t spi; /* network byte order */
	host_t *src, *dst; /* as charon has them */
	bool inbound;
	bool lost; /* with the device */
	bool seen; /* in the module, while all are read */
	time_t ready; /* outbound: when it no longer stands by; 0 if it never did */
	remote_t *peer;
} sa_t;

typedef struct {
	traffic_selector_t *local, *remote;
	route_t *route;
	unsigned int refs;
} policy_t;

void addr_of(host_t *host, struct addr *addr);
host_t *host_of(const struct addr *addr, uint16_t port);

remote_t *remote_create(char *key);
void remote_destroy(remote_t *this);
sa_t *sa_create(uint32_t spi, host_t *src, host_t *dst, bool inbound);
void sa_destroy(sa_t *this);
policy_t *policy_create(traffic_selector_t *local, traffic_selector_t *remote);
void policy_destroy(policy_t *this);

/* The newest of a direction, or NULL. */
sa_t *remote_newest(remote_t *this, bool inbound);

/* Keys; to be freed. */
char *key_tunnel(identification_t *id, linked_list_t *local,
		 linked_list_t *remote);
char *key_transport(identification_t *id, host_t *remote,
		    linked_list_t *local_ts, linked_list_t *remote_ts);
/* The same in transport mode, for a peer that has moved. */
char *key_moved(const char *key, host_t *remote);
char *key_trap(uint32_t reqid);

/* Appends the selectors that two lists of traffic selectors stand for. FALSE, with
 * a line in the log, where the module has no such selectors.
 */
bool selectors_add(struct list *selectors, linked_list_t *local,
		   linked_list_t *remote);
bool selector_add(struct list *selectors, traffic_selector_t *local,
		  traffic_selector_t *remote, uint32_t priority);

#endif
