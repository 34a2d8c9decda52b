/* SPDX-License-Identifier: GPL-2.0 */
#ifndef BACKEND_H
#define BACKEND_H

#include <collections/hashtable.h>
#include <collections/linked_list.h>
#include <threading/mutex.h>

#include "device.h"
#include "events.h"
#include "peers.h"

/* Peers of ours, also of a charon of before, have this in their cookies, beside
 * the reqid.
 */
#define COOKIE_TAG (0x494b45ULL << 32) /* "IKE" */

/* A key of by_id. */
#define ID(id) ((void *)(uintptr_t)(id))

/* The backend. Everything below is called with the mutex held, and asks the module
 * meanwhile. Charon's other parts may be called then: they do not call back.
 */
typedef struct {
	kernel_ipsec_t public;
	mutex_t *mutex;
	struct module module;
	struct device_config config;
	uint32_t replay_window;
	bool require_encap;
	bool keepalive; /* the module's, not charon's */
	bool install_routes;
	bool gone; /* the device, or the module */
	unsigned int ifindex; /* of the device that was set up */

	hashtable_t *sas; /* sa_t, by SPI and destination */
	hashtable_t *by_key, *by_id; /* remote_t */
	linked_list_t *sockets; /* descriptors of charon's NAT-T sockets */
	routes_t *routes;
	events_t *events;
	listener_t *listener;
} espudp_t;

/* remote.c: peers in the module */
remote_t *remote_get(espudp_t *this, kernel_ipsec_sa_id_t *id,
		     kernel_ipsec_add_sa_t *data);
bool remote_install(espudp_t *this, remote_t *remote);
/* Has the module take it elsewhere; where that fails, it stays, to be moved again. */
bool remote_move(espudp_t *this, remote_t *remote, host_t *local, host_t *host);
/* It is elsewhere, as the module knows already. */
void remote_moved(espudp_t *this, remote_t *remote, host_t *local,
		  host_t *host);
/* Its SAs are by now those of the IKE_SA with that name and unique id. */
void remote_rename(espudp_t *this, remote_t *remote, const char *name,
		   uint32_t ike);
/* Deletes it once nothing needs it: neither SAs, nor, of a trap, policies. */
void remote_release(espudp_t *this, remote_t *remote, bool trap);
/* Forgets all peers and SAs, and deletes those in the module that are ours. */
void remote_flush(espudp_t *this);
void remote_set_ends(remote_t *remote, host_t *local, host_t *host);
void remote_set_reqid(remote_t *remote, uint32_t reqid);
bool remote_is_transport(const remote_t *remote);

/* sas.c */
hashtable_t *sas_create(void);
sa_t *sas_find(espudp_t *this, uint32_t spi, host_t *dst);
status_t sas_reserve(espudp_t *this, host_t *src, host_t *dst, uint32_t *spi);
status_t sas_add(espudp_t *this, kernel_ipsec_sa_id_t *id,
		 kernel_ipsec_add_sa_t *data);
status_t sas_update(espudp_t *this, kernel_ipsec_sa_id_t *id,
		    kernel_ipsec_update_sa_t *data);
status_t sas_query(espudp_t *this, kernel_ipsec_sa_id_t *id, uint64_t *bytes,
		   uint64_t *packets, time_t *time);
status_t sas_delete(espudp_t *this, kernel_ipsec_sa_id_t *id);

/* policies.c: routes, and traps */
status_t policies_add(espudp_t *this, kernel_ipsec_policy_id_t *id,
		      kernel_ipsec_manage_policy_t *data);
void policies_delete(espudp_t *this, kernel_ipsec_policy_id_t *id,
		     kernel_ipsec_manage_policy_t *data);
void policies_drop(espudp_t *this, remote_t *remote);
void policies_move(espudp_t *this, remote_t *remote);

/* follow.c: what the module and the device do by themselves; these take the
 * mutex.
 */
extern const events_handler_t follow;
bool follow_setup(espudp_t *this);
bool follow_attach(espudp_t *this, int fd);
/* To be added to the bus; to be freed. */
listener_t *follow_ike(espudp_t *this);

#endif
