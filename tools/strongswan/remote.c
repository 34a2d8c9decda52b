// SPDX-License-Identifier: GPL-2.0
#include "backend.h"

#define KEEPALIVE_SECONDS 20 /* RFC 3948 section 4 */

static void forget_all(hashtable_t *table, void (*destroy)(void *))
{
	enumerator_t *enumerator;
	void *item;

	enumerator = table->create_enumerator(table);
	while (enumerator->enumerate(enumerator, NULL, &item)) {
		table->remove_at(table, enumerator);
		if (destroy)
			destroy(item);
	}
	enumerator->destroy(enumerator);
}

static void set_ike(remote_t *remote, const char *name, uint32_t ike)
{
	struct peer *spec = &remote->spec;

	remote->ike = ike;
	snprintf(spec->ike, sizeof(spec->ike), "%s[%u]", name, ike);
	SET(spec, ESPUDP_A_PEER_IKE);
}

/* Whom this thread's IKE_SA is with. */
static void set_names(espudp_t *this, remote_t *remote, ike_sa_t *ike_sa)
{
	struct peer *spec = &remote->spec;
	identification_t *id = ike_sa->get_other_eap_id(ike_sa);

	set_ike(remote, ike_sa->get_name(ike_sa),
		ike_sa->get_unique_id(ike_sa));
	snprintf(spec->name, sizeof(spec->name), "%Y", id);
	spec->nat_local = ike_sa->has_condition(ike_sa, COND_NAT_HERE) ?
				  ESPUDP_NAT_YES :
				  ESPUDP_NAT_NO;
	spec->nat_remote = ike_sa->has_condition(ike_sa, COND_NAT_THERE) ?
				   ESPUDP_NAT_YES :
				   ESPUDP_NAT_NO;
	spec->role = ike_sa->has_condition(ike_sa, COND_ORIGINAL_INITIATOR) ?
			     ESPUDP_ROLE_INITIATOR :
			     ESPUDP_ROLE_RESPONDER;
	spec->keepalive = this->keepalive && spec->nat_local == ESPUDP_NAT_YES ?
				  KEEPALIVE_SECONDS :
				  0;
	SET(spec, ESPUDP_A_PEER_NAME);
	SET(spec, ESPUDP_A_PEER_NAT_LOCAL);
	SET(spec, ESPUDP_A_PEER_NAT_REMOTE);
	SET(spec, ESPUDP_A_PEER_ROLE);
	SET(spec, ESPUDP_A_PEER_KEEPALIVE);
}

void remote_set_ends(remote_t *remote, host_t *local, host_t *host)
{
	struct peer *spec = &remote->spec;

	if (local) {
		DESTROY_IF(remote->local);
		remote->local = local->clone(local);
		if (!local->is_anyaddr(local)) {
			addr_of(local, &spec->local);
			SET(spec, ESPUDP_A_PEER_LOCAL);
		}
	}
	DESTROY_IF(remote->remote);
	remote->remote = host->clone(host);
	if (!host->is_anyaddr(host)) {
		addr_of(host, &spec->remote);
		spec->remote_port = host->get_port(host);
		SET(spec, ESPUDP_A_PEER_REMOTE);
		SET(spec, ESPUDP_A_PEER_REMOTE_PORT);
	}
}

void remote_set_reqid(remote_t *remote, uint32_t reqid)
{
	remote->spec.cookie = COOKIE_TAG | reqid;
	SET(&remote->spec, ESPUDP_A_PEER_COOKIE);
}

bool remote_is_transport(const remote_t *remote)
{
	return remote->spec.mode == ESPUDP_MODE_TRANSPORT;
}

/* The unspecified one is asked for where there shall be none. */
static bool has_virtual(const struct peer *spec)
{
	static const struct addr none;

	return memcmp(spec->virtual.b, none.b, sizeof(none.b)) != 0;
}

/* Makes the peer in the module, with all that is known of it. */
bool remote_install(espudp_t *this, remote_t *remote)
{
	struct peer *spec = &remote->spec;
	host_t *host;

	CLEAR(spec, ESPUDP_A_PEER_ID);
	SET(spec, ESPUDP_A_PEER_MODE);
	if (module_peer_new(&this->module, spec)) {
		DBG1(DBG_KNL, "espudp: peer %s at %#H: %s", spec->name,
		     remote->remote, module_why(&this->module));
		spec->id = 0;
		return FALSE;
	}
	SET(spec, ESPUDP_A_PEER_ID);
	this->by_id->put(this->by_id, ID(spec->id), remote);
	if (!remote_is_transport(remote))
		return TRUE;
	if (!has_virtual(spec)) {
		DBG2(DBG_KNL, "espudp: peer %s has no virtual address",
		     spec->name);
		return TRUE;
	}
	SET(spec,
	    ESPUDP_A_PEER_VIRTUAL); /* to be asked for again after a loss */
	if (remote->host)
		return TRUE;
	host = host_of(&spec->virtual, 0);
	DBG2(DBG_KNL, "espudp: peer %s at %#H has the virtual address %H",
	     spec->name, remote->remote, host);
	remote->host =
		this->install_routes ?
			routes_add_host(this->routes, host, remote->local) :
			NULL;
	host->destroy(host);
	return TRUE;
}

void remote_release(espudp_t *this, remote_t *remote, bool trap)
{
	if (trap ? remote->policies->get_count(remote->policies) :
		   remote->sas->get_count(remote->sas))
		return;
	policies_drop(this, remote);
	if (remote->host)
		routes_remove(this->routes, remote->host);
	if (remote->spec.id) {
		this->by_id->remove(this->by_id, ID(remote->spec.id));
		if (!this->gone &&
		    module_peer_del(&this->module, remote->spec.id))
			DBG1(DBG_KNL, "espudp: deleting peer %s: %s",
			     remote->spec.name, module_why(&this->module));
	}
	this->by_key->remove(this->by_key, remote->key);
	remote_destroy(remote);
}

/* What the module may be told anew of a peer that it has, wherever that is. */
static struct peer again(const remote_t *remote)
{
	struct peer set = remote->spec;

	CLEAR(&set, ESPUDP_A_PEER_SELECTOR);
	CLEAR(&set, ESPUDP_A_PEER_MODE);
	CLEAR(&set, ESPUDP_A_PEER_VIRTUAL);
	CLEAR(&set, ESPUDP_A_PEER_LOCAL);
	CLEAR(&set, ESPUDP_A_PEER_REMOTE);
	CLEAR(&set, ESPUDP_A_PEER_REMOTE_PORT);
	return set;
}

static void set_local(struct peer *set, host_t *local)
{
	addr_of(local, &set->local);
	SET(set, ESPUDP_A_PEER_LOCAL);
}

/* A peer that is there: told about anew, since it may have come back from elsewhere. */
static void remote_renew(espudp_t *this, remote_t *remote, ike_sa_t *ike_sa,
			 host_t *local, host_t *host,
			 kernel_ipsec_add_sa_t *data)
{
	bool moves = !local->ip_equals(local, remote->local);
	struct peer set;

	remote_set_reqid(remote, data->reqid);
	if (data->tfc && !remote_is_transport(remote)) {
		remote->spec.tfc = data->tfc;
		SET(&remote->spec, ESPUDP_A_PEER_TFC);
	}
	if (local->get_family(local) !=
	    remote->local->get_family(remote->local)) {
		remote_move(this, remote, local, host);
		return;
	}
	set_names(this, remote, ike_sa);
	set = again(remote);
	if (moves)
		set_local(&set, local);
	if (module_peer_set(&this->module, &set)) {
		DBG1(DBG_KNL, "espudp: peer %s: %s", remote->spec.name,
		     module_why(&this->module));
	} else if (moves) {
		remote->local->destroy(remote->local);
		remote->local = local->clone(local);
		remote->spec.local = set.local;
	}
}

void remote_rename(espudp_t *this, remote_t *remote, const char *name,
		   uint32_t ike)
{
	struct peer set = { 0 };

	set_ike(remote, name, ike);
	set.id = remote->spec.id;
	memcpy(set.ike, remote->spec.ike, sizeof(set.ike));
	SET(&set, ESPUDP_A_PEER_ID);
	SET(&set, ESPUDP_A_PEER_IKE);
	if (set.id)
		module_peer_set(&this->module, &set);
}

/* The peer of an SA to be added: one that is there, or a new one. */
remote_t *remote_get(espudp_t *this, kernel_ipsec_sa_id_t *id,
		     kernel_ipsec_add_sa_t *data)
{
	ike_sa_t *ike_sa = charon->bus->get_sa(charon->bus);
	linked_list_t *local_ts = data->inbound ? data->dst_ts : data->src_ts;
	linked_list_t *remote_ts = data->inbound ? data->src_ts : data->dst_ts;
	host_t *local = data->inbound ? id->dst : id->src;
	host_t *host = data->inbound ? id->src : id->dst;
	bool transport = data->mode == MODE_TRANSPORT;
	identification_t *other;
	remote_t *remote;
	char *key;

	if (!ike_sa) {
		DBG1(DBG_KNL, "espudp: an SA that no IKE_SA asks for");
		return NULL;
	}
	other = ike_sa->get_other_eap_id(ike_sa);
	key = transport ? key_transport(other, host, local_ts, remote_ts) :
			  key_tunnel(other, local_ts, remote_ts);
	remote = this->by_key->get(this->by_key, key);
	if (remote && remote->spec.id) {
		free(key);
		remote_renew(this, remote, ike_sa, local, host, data);
		return remote;
	}
	if (remote) {
		free(key);
	} else {
		remote = remote_create(key);
		remote->spec.mode = transport ? ESPUDP_MODE_TRANSPORT :
						ESPUDP_MODE_TUNNEL;
		if (!selectors_add(&remote->spec.selector, local_ts,
				   remote_ts)) {
			remote_destroy(remote);
			return NULL;
		}
		SET(&remote->spec, ESPUDP_A_PEER_SELECTOR);
		this->by_key->put(this->by_key, remote->key, remote);
	}
	set_names(this, remote, ike_sa);
	remote_set_reqid(remote, data->reqid);
	remote_set_ends(remote, local, host);
	if (remote_install(this, remote))
		return remote;
	remote_release(this, remote, FALSE);
	return NULL;
}

void remote_moved(espudp_t *this, remote_t *remote, host_t *local, host_t *host)
{
	remote_t *other;
	char *key;

	remote_set_ends(remote, local, host);
	if (remote_is_transport(remote)) {
		key = key_moved(remote->key, host);
		other = this->by_key->get(this->by_key, key);
		if (other) {
			free(key);
		} else {
			this->by_key->remove(this->by_key, remote->key);
			free(remote->key);
			remote->key = key;
			this->by_key->put(this->by_key, remote->key, remote);
		}
	}
	policies_move(this, remote);
}

bool remote_move(espudp_t *this, remote_t *remote, host_t *local, host_t *host)
{
	ike_sa_t *ike_sa = charon->bus->get_sa(charon->bus);
	struct peer set;

	if (ike_sa) /* NATs are others there */
		set_names(this, remote, ike_sa);
	set = again(remote);
	set_local(&set, local);
	addr_of(host, &set.remote);
	set.remote_port = host->get_port(host);
	SET(&set, ESPUDP_A_PEER_REMOTE);
	SET(&set, ESPUDP_A_PEER_REMOTE_PORT);
	if (module_peer_set(&this->module, &set)) {
		DBG1(DBG_KNL, "espudp: moving peer %s to %#H: %s",
		     remote->spec.name, host, module_why(&this->module));
		return FALSE;
	}
	remote_moved(this, remote, local, host);
	return TRUE;
}

void remote_flush(espudp_t *this)
{
	struct list peers = { 0 };
	enumerator_t *enumerator;
	remote_t *remote;

	forget_all(this->sas, (void *)sa_destroy);
	enumerator = this->by_key->create_enumerator(this->by_key);
	while (enumerator->enumerate(enumerator, NULL, &remote)) {
		policies_drop(this, remote);
		if (remote->host)
			routes_remove(this->routes, remote->host);
	}
	enumerator->destroy(enumerator);
	forget_all(this->by_key, (void *)remote_destroy);
	forget_all(this->by_id, NULL);

	if (this->gone)
		return;
	module_peers(&this->module, &peers); /* some, if they keep changing */
	for_each(struct peer, peer, &peers)
		if ((peer->cookie & ~0xffffffffULL) == COOKIE_TAG)
			module_peer_del(&this->module, peer->id);
	if (peers.n)
		objects_free(&set_peer, &peers);
}
