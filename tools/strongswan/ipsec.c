// SPDX-License-Identifier: GPL-2.0
/* kernel_ipsec_t, charon's interface to what protects packets, on the espudp
 * module. The module is asked while the mutex is held; charon's other parts may
 * be called then, they do not call back.
 */
#include <errno.h>
#include <collections/hashtable.h>
#include <collections/linked_list.h>
#include <threading/mutex.h>

#include "../key.h"
#include "algs.h"
#include "device.h"
#include "events.h"
#include "ipsec.h"
#include "peers.h"

/* Peers of ours, also of a charon of before, have this in their cookies, beside
 * the reqid.
 */
#define COOKIE_TAG (0x494b45ULL << 32) /* "IKE" */

/* Until charon completes a reserved SPI or gives it up, as long as with xfrm. */
#define RESERVE_SECONDS 165

#define KEEPALIVE_SECONDS 20 /* RFC 3948 section 4 */
#define REPLAY_WINDOW_MAX 8192

/* Selectors of traps give way to those of peers with SAs. */
#define TRAP_PRIORITY 1000000

#define SETTING(type, name, otherwise) \
	lib->settings->get_##type(lib->settings, "%s.plugins.kernel-espudp." name, otherwise, \
				  lib->ns)

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

	hashtable_t *sas; /* sa_t, by SPI and destination */
	hashtable_t *by_key, *by_id; /* remote_t */
	linked_list_t *sockets; /* descriptors of charon's NAT-T sockets */
	routes_t *routes;
	events_t *events;
	listener_t listener;
} espudp_t;

static u_int sa_hash(const void *key)
{
	const sa_t *sa = key;

	return sa->spi;
}

static bool sa_equals(const void *a, const void *b)
{
	const sa_t *one = a, *other = b;

	if (one->spi != other->spi)
		return FALSE;
	/* where a peer is may be charon's any port; where we are is one address */
	return one->inbound || other->inbound ? one->dst->ip_equals(one->dst, other->dst) :
						one->dst->equals(one->dst, other->dst);
}

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

static sa_t *sa_find(espudp_t *this, uint32_t spi, host_t *dst)
{
	sa_t key = { .spi = spi, .dst = dst };

	return this->sas->get(this->sas, &key);
}

/* -------------------------------------------------------------------- peers */

/* Whom this thread's IKE_SA is with. */
static void set_names(espudp_t *this, remote_t *remote, ike_sa_t *ike_sa)
{
	struct peer *spec = &remote->spec;
	identification_t *id = ike_sa->get_other_eap_id(ike_sa);

	remote->ike = ike_sa->get_unique_id(ike_sa);
	snprintf(spec->name, sizeof(spec->name), "%Y", id);
	spec->nat_local = ike_sa->has_condition(ike_sa, COND_NAT_HERE) ? ESPUDP_NAT_YES :
									 ESPUDP_NAT_NO;
	spec->nat_remote = ike_sa->has_condition(ike_sa, COND_NAT_THERE) ? ESPUDP_NAT_YES :
									   ESPUDP_NAT_NO;
	spec->role = ike_sa->has_condition(ike_sa, COND_ORIGINAL_INITIATOR) ?
			     ESPUDP_ROLE_INITIATOR : ESPUDP_ROLE_RESPONDER;
	spec->keepalive = this->keepalive && spec->nat_local == ESPUDP_NAT_YES ?
				  KEEPALIVE_SECONDS : 0;
	SET(spec, ESPUDP_A_PEER_NAME);
	SET(spec, ESPUDP_A_PEER_NAT_LOCAL);
	SET(spec, ESPUDP_A_PEER_NAT_REMOTE);
	SET(spec, ESPUDP_A_PEER_ROLE);
	SET(spec, ESPUDP_A_PEER_KEEPALIVE);
}

static void set_ends(remote_t *remote, host_t *local, host_t *host)
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

static void set_reqid(remote_t *remote, uint32_t reqid)
{
	remote->spec.cookie = COOKIE_TAG | reqid;
	SET(&remote->spec, ESPUDP_A_PEER_COOKIE);
}

static bool is_transport(const remote_t *remote)
{
	return remote->spec.mode == ESPUDP_MODE_TRANSPORT;
}

/* Makes the peer in the module, with all that is known of it. */
static bool remote_install(espudp_t *this, remote_t *remote)
{
	struct peer *spec = &remote->spec;
	host_t *host;

	CLEAR(spec, ESPUDP_A_PEER_ID);
	SET(spec, ESPUDP_A_PEER_MODE);
	if (module_peer_new(&this->module, spec)) {
		DBG1(DBG_KNL, "espudp: peer %s at %#H: %s", spec->name, remote->remote,
		     module_why(&this->module));
		spec->id = 0;
		return FALSE;
	}
	SET(spec, ESPUDP_A_PEER_ID);
	this->by_id->put(this->by_id, (void *)(uintptr_t)spec->id, remote);
	if (!is_transport(remote))
		return TRUE;
	if (!spec->virtual.family) {
		DBG2(DBG_KNL, "espudp: peer %s has no virtual address", spec->name);
		return TRUE;
	}
	SET(spec, ESPUDP_A_PEER_VIRTUAL); /* to be asked for again after a loss */
	if (remote->host)
		return TRUE;
	host = host_of(&spec->virtual, 0);
	DBG2(DBG_KNL, "espudp: peer %s at %#H has the virtual address %H", spec->name,
	     remote->remote, host);
	remote->host = this->install_routes ?
			       routes_add_host(this->routes, host, remote->local) : NULL;
	host->destroy(host);
	return TRUE;
}

static void policies_drop(espudp_t *this, remote_t *remote)
{
	policy_t *policy;

	while (remote->policies->remove_first(remote->policies, (void **)&policy) == SUCCESS) {
		if (policy->route)
			routes_remove(this->routes, policy->route);
		policy_destroy(policy);
	}
}

/* Once nothing needs it: neither SAs, nor, of a trap, policies. */
static void remote_release(espudp_t *this, remote_t *remote, bool trap)
{
	if (trap ? remote->policies->get_count(remote->policies) :
		   remote->sas->get_count(remote->sas))
		return;
	policies_drop(this, remote);
	if (remote->host)
		routes_remove(this->routes, remote->host);
	if (remote->spec.id) {
		this->by_id->remove(this->by_id, (void *)(uintptr_t)remote->spec.id);
		if (!this->gone && module_peer_del(&this->module, remote->spec.id))
			DBG1(DBG_KNL, "espudp: deleting peer %s: %s", remote->spec.name,
			     module_why(&this->module));
	}
	this->by_key->remove(this->by_key, remote->key);
	remote_destroy(remote);
}

/* A peer that is there: told about anew, since it may have come back from elsewhere. */
static void remote_renew(espudp_t *this, remote_t *remote, ike_sa_t *ike_sa, host_t *local,
			 kernel_ipsec_add_sa_t *data)
{
	struct peer set;

	set_names(this, remote, ike_sa);
	set_reqid(remote, data->reqid);
	set = remote->spec;
	CLEAR(&set, ESPUDP_A_PEER_SELECTOR);
	CLEAR(&set, ESPUDP_A_PEER_MODE);
	CLEAR(&set, ESPUDP_A_PEER_VIRTUAL);
	CLEAR(&set, ESPUDP_A_PEER_REMOTE);
	CLEAR(&set, ESPUDP_A_PEER_REMOTE_PORT);
	CLEAR(&set, ESPUDP_A_PEER_LOCAL);
	if (!local->ip_equals(local, remote->local)) {
		DESTROY_IF(remote->local);
		remote->local = local->clone(local);
		addr_of(local, &remote->spec.local);
		set.local = remote->spec.local;
		SET(&set, ESPUDP_A_PEER_LOCAL);
	}
	if (data->tfc && !is_transport(remote)) {
		remote->spec.tfc = set.tfc = data->tfc;
		SET(&remote->spec, ESPUDP_A_PEER_TFC);
		SET(&set, ESPUDP_A_PEER_TFC);
	}
	if (module_peer_set(&this->module, &set))
		DBG1(DBG_KNL, "espudp: peer %s: %s", remote->spec.name, module_why(&this->module));
}

/* The peer of an SA to be added: one that is there, or a new one. */
static remote_t *remote_get(espudp_t *this, kernel_ipsec_sa_id_t *id, kernel_ipsec_add_sa_t *data)
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
		remote_renew(this, remote, ike_sa, local, data);
		return remote;
	}
	if (remote) {
		free(key);
	} else {
		remote = remote_create(key);
		remote->spec.mode = transport ? ESPUDP_MODE_TRANSPORT : ESPUDP_MODE_TUNNEL;
		if (!selectors_add(&remote->spec.selector, local_ts, remote_ts)) {
			remote_destroy(remote);
			return NULL;
		}
		SET(&remote->spec, ESPUDP_A_PEER_SELECTOR);
		this->by_key->put(this->by_key, remote->key, remote);
	}
	set_names(this, remote, ike_sa);
	set_reqid(remote, data->reqid);
	set_ends(remote, local, host);
	if (remote_install(this, remote))
		return remote;
	remote_release(this, remote, FALSE);
	return NULL;
}

static void routes_follow(espudp_t *this, remote_t *remote)
{
	enumerator_t *enumerator;
	policy_t *policy;

	enumerator = remote->policies->create_enumerator(remote->policies);
	while (enumerator->enumerate(enumerator, &policy))
		if (policy->route)
			routes_move(this->routes, policy->route, remote->local, remote->remote);
	enumerator->destroy(enumerator);
}

/* The peer is at @host, as the module knows already. */
static void remote_moved(espudp_t *this, remote_t *remote, host_t *local, host_t *host)
{
	remote_t *other;
	char *key;

	set_ends(remote, local, host);
	if (is_transport(remote)) {
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
	routes_follow(this, remote);
}

/* ---------------------------------------------------------------------- SAs */

METHOD(kernel_ipsec_t, get_features, kernel_feature_t, espudp_t *this)
{
	kernel_feature_t features = KERNEL_ESP_V3_TFC | KERNEL_NO_POLICY_UPDATES;

#ifdef HAVE_KERNEL_SA_USE_TIME
	features |= KERNEL_SA_USE_TIME;
#endif
	if (this->require_encap)
		features |= KERNEL_REQUIRE_UDP_ENCAPSULATION;
	return features;
}

METHOD(kernel_ipsec_t, get_spi, status_t, espudp_t *this, host_t *src, host_t *dst,
       uint8_t protocol, uint32_t *spi)
{
	struct reserve reserve = {
		.min = lib->settings->get_int(lib->settings, "%s.spi_min", KERNEL_SPI_MIN, lib->ns),
		.max = lib->settings->get_int(lib->settings, "%s.spi_max", KERNEL_SPI_MAX, lib->ns),
		.timeout = RESERVE_SECONDS,
	};
	status_t status = FAILED;
	sa_t *sa;

	if (protocol != IPPROTO_ESP) {
		DBG1(DBG_KNL, "espudp: %s not supported, only ESP",
		     protocol == IPPROTO_AH ? "AH" : "protocol");
		return NOT_SUPPORTED;
	}
	SET(&reserve, ESPUDP_A_RESERVE_SPI_MIN);
	SET(&reserve, ESPUDP_A_RESERVE_SPI_MAX);
	SET(&reserve, ESPUDP_A_RESERVE_TIMEOUT);
	this->mutex->lock(this->mutex);
	if (module_reserve(&this->module, &reserve)) {
		DBG1(DBG_KNL, "espudp: no SPI: %s", module_why(&this->module));
	} else {
		*spi = htonl(reserve.spi);
		sa = sa_create(*spi, src, dst, TRUE);
		this->sas->put(this->sas, sa, sa);
		status = SUCCESS;
	}
	this->mutex->unlock(this->mutex);
	object_free(&set_reserve, &reserve);
	return status;
}

METHOD(kernel_ipsec_t, get_cpi, status_t, espudp_t *this, host_t *src, host_t *dst, uint16_t *cpi)
{
	DBG1(DBG_KNL, "espudp: IPComp not supported");
	return NOT_SUPPORTED;
}

/* Says in the log what of an SA the module has not. */
static bool supported(kernel_ipsec_sa_id_t *id, kernel_ipsec_add_sa_t *data)
{
	ike_sa_t *ike_sa = charon->bus->get_sa(charon->bus);

	if (id->proto != IPPROTO_ESP)
		DBG1(DBG_KNL, "espudp: %s not supported, only ESP",
		     id->proto == IPPROTO_AH ? "AH" : "protocol");
	else if (data->ipcomp != IPCOMP_NONE)
		DBG1(DBG_KNL, "espudp: IPComp not supported");
	else if (data->mode != MODE_TUNNEL && data->mode != MODE_TRANSPORT)
		DBG1(DBG_KNL, "espudp: %N mode not supported", ipsec_mode_names, data->mode);
	else if (!data->encap)
		DBG1(DBG_KNL, "espudp: an SA with %H without UDP encapsulation: set `encap = yes' in "
			      "connection %s", data->inbound ? id->src : id->dst,
		     ike_sa ? ike_sa->get_name(ike_sa) : "(none)");
	else if (id->mark.value || id->if_id || data->mark.value)
		DBG1(DBG_KNL, "espudp: marks and interface ids not supported; peers are told apart "
			      "without");
	else
		return TRUE;
	return FALSE;
}

static void set_limit(struct sa *sa, uint64_t *field, uint8_t attr, uint64_t limit)
{
	if (!limit)
		return;
	*field = limit;
	SET(sa, attr);
}

static void set_lifetime(struct sa *sa, lifetime_cfg_t *life)
{
	set_limit(sa, &sa->soft_seconds, ESPUDP_A_SA_SOFT_SECONDS, life->time.rekey);
	set_limit(sa, &sa->hard_seconds, ESPUDP_A_SA_HARD_SECONDS, life->time.life);
	set_limit(sa, &sa->soft_packets, ESPUDP_A_SA_SOFT_PACKETS, life->packets.rekey);
	set_limit(sa, &sa->hard_packets, ESPUDP_A_SA_HARD_PACKETS, life->packets.life);
	set_limit(sa, &sa->soft_bytes, ESPUDP_A_SA_SOFT_BYTES, life->bytes.rekey);
	set_limit(sa, &sa->hard_bytes, ESPUDP_A_SA_HARD_BYTES, life->bytes.life);
}

/* What names an SA to the module. */
static struct sa sa_name(const sa_t *entry)
{
	struct sa sa = {
		.spi = ntohl(entry->spi),
		.dir = entry->inbound ? ESPUDP_DIR_IN : ESPUDP_DIR_OUT,
	};

	SET(&sa, ESPUDP_A_SA_SPI);
	SET(&sa, ESPUDP_A_SA_DIR);
	if (entry->peer) {
		sa.peer = entry->peer->spec.id;
		SET(&sa, ESPUDP_A_SA_PEER);
	}
	return sa;
}

/* All of @sa but what names it; the keys are the caller's. */
static bool fill_sa(espudp_t *this, struct sa *sa, kernel_ipsec_add_sa_t *data, struct key *enc,
		   struct key *auth)
{
	if (!algs_set(sa, data->enc_alg, data->int_alg))
		return FALSE;
	if (data->enc_key.len > KEY_MAX || data->int_key.len > KEY_MAX) {
		DBG1(DBG_KNL, "espudp: key too long");
		return FALSE;
	}
	if (data->enc_key.len) {
		enc->len = data->enc_key.len;
		memcpy(enc->data, data->enc_key.ptr, enc->len);
		sa->enc_key = enc;
		SET(sa, ESPUDP_A_SA_ENC_KEY);
	}
	if (HAS(sa, ESPUDP_A_SA_AUTH)) {
		auth->len = data->int_key.len;
		memcpy(auth->data, data->int_key.ptr, auth->len);
		sa->auth_key = auth;
		SET(sa, ESPUDP_A_SA_AUTH_KEY);
	}
	if (data->esn) {
		sa->esn = 1;
		SET(sa, ESPUDP_A_SA_ESN);
	}
	if (data->inbound) {
		sa->replay_window = min(max(data->replay_window, this->replay_window),
					REPLAY_WINDOW_MAX);
		SET(sa, ESPUDP_A_SA_REPLAY_WINDOW);
	}
	set_lifetime(sa, data->lifetime);
	return TRUE;
}

/* Where charon's peer is elsewhere than it was, the outbound SA takes the peer
 * there; the module may know better where a peer is that stayed.
 */
static bool takes_along(const sa_t *entry, struct sa *sa)
{
	remote_t *remote = entry->peer;

	if (entry->inbound || entry->dst->equals(entry->dst, remote->remote))
		return FALSE;
	addr_of(entry->dst, &sa->remote);
	sa->remote_port = entry->dst->get_port(entry->dst);
	SET(sa, ESPUDP_A_SA_REMOTE);
	SET(sa, ESPUDP_A_SA_REMOTE_PORT);
	return TRUE;
}

static status_t sa_install(espudp_t *this, sa_t *entry, kernel_ipsec_add_sa_t *data)
{
	struct key *enc = key_alloc(), *auth = key_alloc();
	struct sa sa = sa_name(entry);
	status_t status = FAILED;
	bool moves;

	if (fill_sa(this, &sa, data, enc, auth)) {
		moves = takes_along(entry, &sa);
		if (module_sa_new(&this->module, &sa)) {
			DBG1(DBG_KNL, "espudp: SA 0x%08x of peer %s: %s", ntohl(entry->spi),
			     entry->peer->spec.name, module_why(&this->module));
		} else {
			if (moves)
				remote_moved(this, entry->peer, entry->src, entry->dst);
			status = SUCCESS;
		}
	}
	key_free(enc);
	key_free(auth);
	return status;
}

METHOD(kernel_ipsec_t, add_sa, status_t, espudp_t *this, kernel_ipsec_sa_id_t *id,
       kernel_ipsec_add_sa_t *data)
{
	remote_t *remote = NULL;
	status_t status = FAILED;
	sa_t *sa, *old;

	if (!supported(id, data))
		return NOT_SUPPORTED;
	this->mutex->lock(this->mutex);
	if (this->gone)
		DBG1(DBG_KNL, "espudp: no SA without the device %s", this->config.name);
	else
		remote = remote_get(this, id, data);
	if (remote) {
		sa = sa_create(id->spi, id->src, id->dst, data->inbound);
		sa->peer = remote;
		status = sa_install(this, sa, data);
		if (status == SUCCESS) {
			old = this->sas->put(this->sas, sa, sa);
			if (old)
				sa_destroy(old); /* the reserved SPI */
			remote->sas->insert_first(remote->sas, sa);
		} else {
			sa_destroy(sa);
			remote_release(this, remote, FALSE);
		}
	}
	this->mutex->unlock(this->mutex);
	return status;
}

METHOD(kernel_ipsec_t, update_sa, status_t, espudp_t *this, kernel_ipsec_sa_id_t *id,
       kernel_ipsec_update_sa_t *data)
{
	status_t status = NOT_FOUND;
	struct peer set = { 0 };
	host_t *local, *host;
	remote_t *remote;
	sa_t *sa;

	if (!data->new_encap) {
		DBG1(DBG_KNL, "espudp: SA 0x%08x would lose its UDP encapsulation: set `encap = yes'",
		     ntohl(id->spi));
		return NOT_SUPPORTED;
	}
	this->mutex->lock(this->mutex);
	sa = sa_find(this, id->spi, id->dst);
	if (sa) {
		this->sas->remove(this->sas, sa);
		sa->src->destroy(sa->src);
		sa->dst->destroy(sa->dst);
		sa->src = data->new_src->clone(data->new_src);
		sa->dst = data->new_dst->clone(data->new_dst);
		this->sas->put(this->sas, sa, sa);
		status = SUCCESS;
		remote = sa->peer;
		local = sa->inbound ? sa->dst : sa->src;
		host = sa->inbound ? sa->src : sa->dst;
		/* what is left over of a client that came back moves nothing */
		if (remote && remote->spec.id && sa == remote_newest(remote, sa->inbound) &&
		    !(local->ip_equals(local, remote->local) &&
		      host->equals(host, remote->remote))) {
			remote_moved(this, remote, local, host);
			set.id = remote->spec.id;
			set.local = remote->spec.local;
			set.remote = remote->spec.remote;
			set.remote_port = remote->spec.remote_port;
			SET(&set, ESPUDP_A_PEER_ID);
			SET(&set, ESPUDP_A_PEER_LOCAL);
			SET(&set, ESPUDP_A_PEER_REMOTE);
			SET(&set, ESPUDP_A_PEER_REMOTE_PORT);
			if (module_peer_set(&this->module, &set)) {
				DBG1(DBG_KNL, "espudp: moving peer %s to %#H: %s",
				     remote->spec.name, host, module_why(&this->module));
				status = FAILED;
			}
		}
	}
	this->mutex->unlock(this->mutex);
	return status;
}

METHOD(kernel_ipsec_t, query_sa, status_t, espudp_t *this, kernel_ipsec_sa_id_t *id,
       kernel_ipsec_query_sa_t *data, uint64_t *bytes, uint64_t *packets, time_t *time)
{
	status_t status = NOT_FOUND;
	struct sa sa;
	sa_t *entry;

	this->mutex->lock(this->mutex);
	entry = sa_find(this, id->spi, id->dst);
	if (entry && entry->peer && !entry->lost) {
		sa = sa_name(entry);
		status = module_sa_get(&this->module, &sa) ? FAILED : SUCCESS;
		if (status == SUCCESS) {
			if (bytes)
				*bytes = sa.bytes;
			if (packets)
				*packets = sa.packets;
			if (time)
				*time = HAS(&sa, ESPUDP_A_SA_LAST_USED) ?
						time_monotonic(NULL) - sa.last_used / 1000 : 0;
		}
		object_free(&set_sa, &sa);
	}
	this->mutex->unlock(this->mutex);
	return status;
}

static void sa_remove(espudp_t *this, sa_t *entry)
{
	struct sa sa = sa_name(entry);
	remote_t *remote = entry->peer;

	/* a reservation may have expired */
	if (!this->gone && !entry->lost && module_sa_del(&this->module, &sa) && remote)
		DBG1(DBG_KNL, "espudp: deleting SA 0x%08x: %s", ntohl(entry->spi),
		     module_why(&this->module));
	this->sas->remove(this->sas, entry);
	if (remote)
		remote->sas->remove(remote->sas, entry, NULL);
	sa_destroy(entry);
	if (remote)
		remote_release(this, remote, FALSE);
}

METHOD(kernel_ipsec_t, del_sa, status_t, espudp_t *this, kernel_ipsec_sa_id_t *id,
       kernel_ipsec_del_sa_t *data)
{
	sa_t *sa;

	this->mutex->lock(this->mutex);
	sa = sa_find(this, id->spi, id->dst);
	if (sa)
		sa_remove(this, sa);
	this->mutex->unlock(this->mutex);
	return sa ? SUCCESS : NOT_FOUND;
}

static void flush(espudp_t *this)
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

	if (this->gone || module_peers(&this->module, &peers))
		return;
	for_each(struct peer, peer, &peers)
		if ((peer->cookie & ~0xffffffffULL) == COOKIE_TAG)
			module_peer_del(&this->module, peer->id);
	if (peers.n)
		objects_free(&set_peer, &peers);
}

METHOD(kernel_ipsec_t, flush_sas, status_t, espudp_t *this)
{
	this->mutex->lock(this->mutex);
	flush(this);
	this->mutex->unlock(this->mutex);
	return SUCCESS;
}

/* ----------------------------------------------------------------- policies */

/* Selectors are those of SAs. What is left for policies is routes, and traps. */
static policy_t *policy_find(remote_t *remote, traffic_selector_t *local, traffic_selector_t *ts)
{
	enumerator_t *enumerator;
	policy_t *policy, *found = NULL;

	enumerator = remote->policies->create_enumerator(remote->policies);
	while (!found && enumerator->enumerate(enumerator, &policy))
		if (policy->local->equals(policy->local, local) &&
		    policy->remote->equals(policy->remote, ts))
			found = policy;
	enumerator->destroy(enumerator);
	return found;
}

static bool policy_get(espudp_t *this, remote_t *remote, kernel_ipsec_policy_id_t *id,
		       host_t *local, host_t *host)
{
	policy_t *policy = policy_find(remote, id->src_ts, id->dst_ts);

	if (policy) {
		policy->refs++;
		return TRUE;
	}
	policy = policy_create(id->src_ts, id->dst_ts);
	/* in transport mode it is virtual addresses that routes lead to */
	if (this->install_routes && !is_transport(remote)) {
		policy->route = routes_add(this->routes, id->src_ts, id->dst_ts, local, host);
		if (!policy->route) {
			policy_destroy(policy);
			return FALSE;
		}
	}
	remote->policies->insert_last(remote->policies, policy);
	return TRUE;
}

static void policy_put(espudp_t *this, remote_t *remote, kernel_ipsec_policy_id_t *id)
{
	policy_t *policy = policy_find(remote, id->src_ts, id->dst_ts);

	if (!policy || --policy->refs)
		return;
	remote->policies->remove(remote->policies, policy, NULL);
	if (policy->route)
		routes_remove(this->routes, policy->route);
	policy_destroy(policy);
}

/* The module's peer of a trap has the selectors of all its policies. */
static bool trap_sync(espudp_t *this, remote_t *trap)
{
	struct list selectors = { 0 };
	enumerator_t *enumerator;
	policy_t *policy;
	struct peer set = { 0 };
	bool good = TRUE;

	enumerator = trap->policies->create_enumerator(trap->policies);
	while (good && enumerator->enumerate(enumerator, &policy))
		good = selector_add(&selectors, policy->local, policy->remote, TRAP_PRIORITY);
	enumerator->destroy(enumerator);
	objects_free(&set_selector, &trap->spec.selector);
	trap->spec.selector = selectors;
	SET(&trap->spec, ESPUDP_A_PEER_SELECTOR);
	if (!good)
		return FALSE;
	if (!trap->spec.id)
		return remote_install(this, trap);
	set.id = trap->spec.id;
	set.selector = selectors;
	SET(&set, ESPUDP_A_PEER_ID);
	SET(&set, ESPUDP_A_PEER_SELECTOR);
	if (!module_peer_set(&this->module, &set))
		return TRUE;
	DBG1(DBG_KNL, "espudp: trap {%u}: %s", (uint32_t)trap->spec.cookie,
	     module_why(&this->module));
	return FALSE;
}

static remote_t *trap_create(espudp_t *this, char *key, kernel_ipsec_manage_policy_t *data)
{
	remote_t *trap = remote_create(key);

	snprintf(trap->spec.name, sizeof(trap->spec.name), "trap{%u}", data->sa->reqid);
	SET(&trap->spec, ESPUDP_A_PEER_NAME);
	if (data->sa->mode == MODE_TRANSPORT) {
		trap->spec.mode = ESPUDP_MODE_TRANSPORT;
		trap->spec.virtual.family = data->dst->get_family(data->dst);
		SET(&trap->spec, ESPUDP_A_PEER_VIRTUAL);
	}
	set_reqid(trap, data->sa->reqid);
	set_ends(trap, data->src, data->dst);
	this->by_key->put(this->by_key, trap->key, trap);
	return trap;
}

static status_t trap_add(espudp_t *this, kernel_ipsec_policy_id_t *id,
			 kernel_ipsec_manage_policy_t *data)
{
	char *key = key_trap(data->sa->reqid);
	remote_t *trap = this->by_key->get(this->by_key, key);

	if (trap)
		free(key);
	else
		trap = trap_create(this, key, data);
	if (!policy_get(this, trap, id, data->src, data->dst)) {
		remote_release(this, trap, TRUE);
		return FAILED;
	}
	if (trap_sync(this, trap))
		return SUCCESS;
	policy_put(this, trap, id);
	remote_release(this, trap, TRUE);
	return FAILED;
}

static void trap_del(espudp_t *this, kernel_ipsec_policy_id_t *id,
		     kernel_ipsec_manage_policy_t *data)
{
	char *key = key_trap(data->sa->reqid);
	remote_t *trap = this->by_key->get(this->by_key, key);

	free(key);
	if (!trap)
		return;
	policy_put(this, trap, id);
	if (trap->policies->get_count(trap->policies) && !this->gone)
		trap_sync(this, trap);
	remote_release(this, trap, TRUE);
}

METHOD(kernel_ipsec_t, add_policy, status_t, espudp_t *this, kernel_ipsec_policy_id_t *id,
       kernel_ipsec_manage_policy_t *data)
{
	status_t status = SUCCESS;
	sa_t *sa;

	if (data->type != POLICY_IPSEC) {
		if (id->dir == POLICY_OUT)
			DBG1(DBG_KNL, "espudp: no %s policy %R === %R: routes decide what is protected; "
				      "use %s", data->type == POLICY_PASS ? "PASS" : "DROP",
			     id->src_ts, id->dst_ts, data->type == POLICY_PASS ?
			     "a more specific route" : "an unreachable route");
		return NOT_SUPPORTED;
	}
	if (id->dir != POLICY_OUT)
		return SUCCESS;
	this->mutex->lock(this->mutex);
	if (!data->sa->esp.spi) {
		status = trap_add(this, id, data);
	} else {
		sa = sa_find(this, data->sa->esp.spi, data->dst);
		if (!sa || !sa->peer || !policy_get(this, sa->peer, id, data->src, data->dst))
			status = FAILED;
	}
	this->mutex->unlock(this->mutex);
	return status;
}

METHOD(kernel_ipsec_t, query_policy, status_t, espudp_t *this, kernel_ipsec_policy_id_t *id,
       kernel_ipsec_query_policy_t *data, time_t *use_time)
{
	return NOT_SUPPORTED;
}

METHOD(kernel_ipsec_t, del_policy, status_t, espudp_t *this, kernel_ipsec_policy_id_t *id,
       kernel_ipsec_manage_policy_t *data)
{
	sa_t *sa;

	if (data->type != POLICY_IPSEC || id->dir != POLICY_OUT)
		return SUCCESS;
	this->mutex->lock(this->mutex);
	if (!data->sa->esp.spi) {
		trap_del(this, id, data);
	} else {
		sa = sa_find(this, data->sa->esp.spi, data->dst);
		if (sa && sa->peer)
			policy_put(this, sa->peer, id);
	}
	this->mutex->unlock(this->mutex);
	return SUCCESS;
}

/* ------------------------------------------------------------------- events */

static sa_t *sa_of_event(remote_t *remote, uint32_t spi, bool inbound)
{
	enumerator_t *enumerator;
	sa_t *sa, *found = NULL;

	enumerator = remote->sas->create_enumerator(remote->sas);
	while (!found && enumerator->enumerate(enumerator, &sa))
		if (sa->spi == htonl(spi) && sa->inbound == inbound)
			found = sa;
	enumerator->destroy(enumerator);
	return found;
}

static void tell_expiry(sa_t *sa, bool hard)
{
	charon->kernel->expire(charon->kernel, IPPROTO_ESP, sa->spi, sa->dst, hard);
}

/* The module says that a peer is elsewhere. */
static void tell_mapping(espudp_t *this, remote_t *remote, const struct addr *addr, uint16_t port)
{
	host_t *host = host_of(addr, port);
	sa_t *sa = remote_newest(remote, TRUE);

	if (sa && !host->equals(host, remote->remote)) {
		remote_moved(this, remote, NULL, host);
		charon->kernel->mapping(charon->kernel, IPPROTO_ESP, sa->spi, sa->dst, host);
	}
	host->destroy(host);
}

static void on_event(void *data, const struct event *e)
{
	kernel_acquire_data_t acquire = { 0 };
	espudp_t *this = data;
	remote_t *remote;
	sa_t *sa = NULL;

	this->mutex->lock(this->mutex);
	remote = e->peer ? this->by_id->get(this->by_id, (void *)(uintptr_t)e->peer) : NULL;
	if (remote && HAS(e, ESPUDP_A_EVENT_SPI))
		sa = sa_of_event(remote, e->spi, e->dir == ESPUDP_DIR_IN);
	switch (e->type) {
	case ESPUDP_EVENT_TYPE_EXPIRE_SOFT:
	case ESPUDP_EVENT_TYPE_SEQ_SOFT:
		if (sa)
			tell_expiry(sa, FALSE);
		break;
	case ESPUDP_EVENT_TYPE_EXPIRE_HARD:
	case ESPUDP_EVENT_TYPE_SEQ_EXHAUSTED:
		if (sa)
			tell_expiry(sa, TRUE);
		break;
	case ESPUDP_EVENT_TYPE_MAPPING:
		if (remote && e->remote.family)
			tell_mapping(this, remote, &e->remote, e->remote_port);
		break;
	case ESPUDP_EVENT_TYPE_ACQUIRE:
		if (!remote)
			break;
#ifdef CPU_ID_MAX
		acquire.cpu = CPU_ID_MAX;
#endif
		charon->kernel->acquire(charon->kernel, (uint32_t)e->cookie, &acquire);
		break;
	case ESPUDP_EVENT_TYPE_SOCKET_LOST:
		DBG1(DBG_KNL, "espudp: device %s has lost a socket", this->config.name);
		break;
	}
	this->mutex->unlock(this->mutex);
}

/* What lost events told is in how things are now. */
static void on_overrun(void *data)
{
	struct list peers = { 0 }, sas = { 0 };
	espudp_t *this = data;
	remote_t *remote;
	sa_t *sa;

	DBG1(DBG_KNL, "espudp: events were lost, reading all SAs and peers");
	this->mutex->lock(this->mutex);
	if (this->gone || module_peers(&this->module, &peers) || module_sas(&this->module, &sas))
		DBG1(DBG_KNL, "espudp: reading them: %s", module_why(&this->module));
	for_each(struct peer, peer, &peers) {
		remote = this->by_id->get(this->by_id, (void *)(uintptr_t)peer->id);
		if (remote && peer->remote.family)
			tell_mapping(this, remote, &peer->remote, peer->remote_port);
	}
	for_each(struct sa, found, &sas) {
		remote = this->by_id->get(this->by_id, (void *)(uintptr_t)found->peer);
		sa = remote ? sa_of_event(remote, found->spi, found->dir == ESPUDP_DIR_IN) : NULL;
		if (sa && found->state == ESPUDP_SA_STATE_SOFT)
			tell_expiry(sa, FALSE);
		else if (sa && found->state == ESPUDP_SA_STATE_EXPIRED)
			tell_expiry(sa, TRUE);
	}
	this->mutex->unlock(this->mutex);
	objects_free(&set_peer, &peers);
	objects_free(&set_sa, &sas);
}

static void on_gone(void *data)
{
	espudp_t *this = data;
	enumerator_t *enumerator;
	remote_t *remote;
	sa_t *sa;

	this->mutex->lock(this->mutex);
	if (!this->gone) {
		this->gone = TRUE;
		DBG1(DBG_KNL, "espudp: device %s is gone, and %u SAs with it; they are negotiated "
			      "anew when it is back", this->config.name,
		     this->sas->get_count(this->sas));
		enumerator = this->sas->create_enumerator(this->sas);
		while (enumerator->enumerate(enumerator, NULL, &sa))
			sa->lost = TRUE;
		enumerator->destroy(enumerator);
		enumerator = this->by_key->create_enumerator(this->by_key);
		while (enumerator->enumerate(enumerator, NULL, &remote))
			remote->spec.id = 0;
		enumerator->destroy(enumerator);
		forget_all(this->by_id, NULL);
	}
	this->mutex->unlock(this->mutex);
}

static bool setup(espudp_t *this)
{
	struct dev dev = { 0 };
	int err = device_setup(&this->module, &this->config, &dev);

	this->replay_window = dev.replay_window;
	this->config.fwmark = dev.fwmark;
	object_free(&set_dev, &dev);
	return !err;
}

static bool attach(espudp_t *this, int fd)
{
	if (!module_attach(&this->module, fd))
		return TRUE;
	DBG1(DBG_KNL, "espudp: handing charon's socket to device %s: %s", this->config.name,
	     module_why(&this->module));
	return FALSE;
}

static void on_back(void *data, bool module)
{
	espudp_t *this = data;
	enumerator_t *enumerator;
	remote_t *remote;
	void *fd;
	sa_t *sa;

	this->mutex->lock(this->mutex);
	if (!this->gone)
		goto out;
	if (module) {
		module_close(&this->module);
		if (module_open(&this->module, this->config.name) || device_make(&this->config))
			goto out;
	}
	if (!setup(this))
		goto out;
	this->gone = FALSE;
	enumerator = this->sockets->create_enumerator(this->sockets);
	while (enumerator->enumerate(enumerator, &fd))
		attach(this, (int)(uintptr_t)fd);
	enumerator->destroy(enumerator);
	enumerator = this->by_key->create_enumerator(this->by_key);
	while (enumerator->enumerate(enumerator, NULL, &remote)) {
		if (remote->policies->get_count(remote->policies) &&
		    !remote->sas->get_count(remote->sas))
			remote_install(this, remote); /* a trap */
		sa = remote_newest(remote, TRUE);
		if (sa)
			tell_expiry(sa, FALSE);
	}
	enumerator->destroy(enumerator);
	DBG1(DBG_KNL, "espudp: device %s is back", this->config.name);
out:
	this->mutex->unlock(this->mutex);
}

/* --------------------------------------------------------- charon's sockets */

METHOD(kernel_ipsec_t, bypass_socket, bool, espudp_t *this, int fd, int family)
{
	return TRUE; /* routes decide */
}

METHOD(kernel_ipsec_t, enable_udp_decap, bool, espudp_t *this, int fd, int family, uint16_t port)
{
	bool good;

	this->mutex->lock(this->mutex);
	good = attach(this, fd);
	if (good)
		this->sockets->insert_last(this->sockets, (void *)(uintptr_t)fd);
	this->mutex->unlock(this->mutex);
	return good;
}

/* ------------------------------------------------------------------- set up */

METHOD(kernel_ipsec_t, destroy, void, espudp_t *this)
{
	events_destroy(this->events);
	flush(this);
	if (this->routes)
		routes_destroy(this->routes);
	module_close(&this->module);
	this->sockets->destroy(this->sockets);
	this->sas->destroy(this->sas);
	this->by_key->destroy(this->by_key);
	this->by_id->destroy(this->by_id);
	this->mutex->destroy(this->mutex);
	free(this);
}

static uint32_t fwmark(void)
{
	char *text = SETTING(str, "fwmark", NULL);

	return text ? strtoul(text, NULL, 0) : 0;
}

static bool module_keepalives(void)
{
	return streq(SETTING(str, "keepalive", "charon"), "module");
}

static void configure(espudp_t *this)
{
	this->config = (struct device_config){
		.name = SETTING(str, "device", "espudp0"),
		.create = SETTING(bool, "create", TRUE),
		.pool = { SETTING(str, "pool", NULL), SETTING(str, "pool6", NULL) },
		.fwmark = fwmark(),
	};
	this->require_encap = SETTING(bool, "require_encap", FALSE);
	this->keepalive = module_keepalives();
	this->install_routes = lib->settings->get_bool(lib->settings, "%s.install_routes", TRUE,
						       lib->ns);
	/* one sender is enough */
	if (this->keepalive)
		lib->settings->set_time(lib->settings, "%s.keep_alive", 0, lib->ns);
	/* where virtual addresses that IKE assigns to us belong */
	if (!lib->settings->get_str(lib->settings, "%s.install_virtual_ip_on", NULL, lib->ns))
		lib->settings->set_str(lib->settings, "%s.install_virtual_ip_on",
				       (char *)this->config.name, lib->ns);
}

kernel_ipsec_t *kernel_espudp_ipsec_create(void)
{
	espudp_t *this;

	INIT(this,
		.public = {
			.get_features = _get_features,
			.get_spi = _get_spi,
			.get_cpi = _get_cpi,
			.add_sa = _add_sa,
			.update_sa = _update_sa,
			.query_sa = _query_sa,
			.del_sa = _del_sa,
			.flush_sas = _flush_sas,
			.add_policy = _add_policy,
			.query_policy = _query_policy,
			.del_policy = _del_policy,
			.flush_policies = _flush_sas,
			.bypass_socket = _bypass_socket,
			.enable_udp_decap = _enable_udp_decap,
			.destroy = _destroy,
		},
		.mutex = mutex_create(MUTEX_TYPE_RECURSIVE),
		.sas = hashtable_create(sa_hash, sa_equals, 64),
		.by_key = hashtable_create(hashtable_hash_str, hashtable_equals_str, 64),
		.by_id = hashtable_create(hashtable_hash_ptr, hashtable_equals_ptr, 64),
		.sockets = linked_list_create(),
		.gone = TRUE,
	);
	events_handler_t handler = {
		.event = on_event,
		.overrun = on_overrun,
		.gone = on_gone,
		.back = on_back,
		.data = this,
	};

	configure(this);
	if (module_open(&this->module, this->config.name) || device_make(&this->config) ||
	    !setup(this)) {
		destroy(this);
		return NULL;
	}
	this->gone = FALSE;
	flush(this);
	this->routes = routes_create(this->config.name, this->config.fwmark != 0);
	this->events = events_create(this->config.name, &handler);
	if (!this->events) {
		destroy(this);
		return NULL;
	}
	return &this->public;
}
