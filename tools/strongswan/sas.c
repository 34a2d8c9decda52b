// SPDX-License-Identifier: GPL-2.0
#include "../key.h"
#include "algs.h"
#include "backend.h"

/* Until charon completes a reserved SPI or gives it up, as long as with xfrm. */
#define RESERVE_SECONDS 165

#define REPLAY_WINDOW_MAX 8192

/* Milliseconds until IKEv1's responder surely has the last message. If that is lost
 * it comes again when the responder sends its own again, after some 4 s.
 */
#define STANDBY 10000

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
	return one->inbound || other->inbound ?
		       one->dst->ip_equals(one->dst, other->dst) :
		       one->dst->equals(one->dst, other->dst);
}

hashtable_t *sas_create(void)
{
	return hashtable_create(sa_hash, sa_equals, 64);
}

sa_t *sas_find(espudp_t *this, uint32_t spi, host_t *dst)
{
	sa_t key = { .spi = spi, .dst = dst };

	return this->sas->get(this->sas, &key);
}

/* Is that place in the table an SA's other than @sa? */
static bool taken(espudp_t *this, uint32_t spi, host_t *dst, bool inbound,
		  const sa_t *sa)
{
	sa_t key = { .spi = spi, .dst = dst, .inbound = inbound };
	sa_t *found = this->sas->get(this->sas, &key);

	if (!found || !found->peer || found == sa)
		return FALSE;
	DBG1(DBG_KNL, "espudp: peer %s has an SA 0x%08x to %#H already",
	     found->peer->spec.name, ntohl(spi), dst);
	return TRUE;
}

/* Into the table, in place of a reserved SPI. */
static void enter(espudp_t *this, sa_t *sa)
{
	sa_t *reserved = this->sas->put(this->sas, sa, sa);

	if (reserved)
		sa_destroy(reserved);
}

status_t sas_reserve(espudp_t *this, host_t *src, host_t *dst, uint32_t *spi)
{
	struct reserve reserve = {
		.min = lib->settings->get_int(lib->settings, "%s.spi_min",
					      KERNEL_SPI_MIN, lib->ns),
		.max = lib->settings->get_int(lib->settings, "%s.spi_max",
					      KERNEL_SPI_MAX, lib->ns),
		.timeout = RESERVE_SECONDS,
	};
	status_t status = FAILED;

	if (this->gone) {
		DBG1(DBG_KNL, "espudp: no SPI without the device %s",
		     this->config.name);
		return FAILED;
	}
	SET(&reserve, ESPUDP_A_RESERVE_SPI_MIN);
	SET(&reserve, ESPUDP_A_RESERVE_SPI_MAX);
	SET(&reserve, ESPUDP_A_RESERVE_TIMEOUT);
	if (module_reserve(&this->module, &reserve)) {
		DBG1(DBG_KNL, "espudp: no SPI: %s", module_why(&this->module));
	} else if (!taken(this, htonl(reserve.spi), dst, TRUE, NULL)) {
		*spi = htonl(reserve.spi);
		enter(this, sa_create(*spi, src, dst, TRUE));
		status = SUCCESS;
	}
	object_free(&set_reserve, &reserve);
	return status;
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
		DBG1(DBG_KNL, "espudp: %N mode not supported", ipsec_mode_names,
		     data->mode);
	else if (!data->encap)
		DBG1(DBG_KNL,
		     "espudp: an SA with %H without UDP encapsulation: set `encap = yes' in "
		     "connection %s",
		     data->inbound ? id->src : id->dst,
		     ike_sa ? ike_sa->get_name(ike_sa) : "(none)");
	else if (id->mark.value || id->if_id || data->mark.value)
		DBG1(DBG_KNL,
		     "espudp: marks and interface ids not supported; peers are told apart "
		     "without");
	else
		return TRUE;
	return FALSE;
}

static void set_limit(struct sa *sa, uint64_t *field, uint8_t attr,
		      uint64_t limit)
{
	if (!limit)
		return;
	*field = limit;
	SET(sa, attr);
}

static void set_lifetime(struct sa *sa, lifetime_cfg_t *life)
{
	set_limit(sa, &sa->soft_seconds, ESPUDP_A_SA_SOFT_SECONDS,
		  life->time.rekey);
	set_limit(sa, &sa->hard_seconds, ESPUDP_A_SA_HARD_SECONDS,
		  life->time.life);
	set_limit(sa, &sa->soft_packets, ESPUDP_A_SA_SOFT_PACKETS,
		  life->packets.rekey);
	set_limit(sa, &sa->hard_packets, ESPUDP_A_SA_HARD_PACKETS,
		  life->packets.life);
	set_limit(sa, &sa->soft_bytes, ESPUDP_A_SA_SOFT_BYTES,
		  life->bytes.rekey);
	set_limit(sa, &sa->hard_bytes, ESPUDP_A_SA_HARD_BYTES,
		  life->bytes.life);
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

static bool ikev1(void)
{
	ike_sa_t *ike_sa = charon->bus->get_sa(charon->bus);

	return ike_sa && ike_sa->get_version(ike_sa) == IKEV1;
}

/* All of @sa but what names it; the keys are the caller's. */
static bool fill_sa(espudp_t *this, struct sa *sa, kernel_ipsec_add_sa_t *data,
		    struct key *enc, struct key *auth)
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
		sa->replay_window =
			min(max(data->replay_window, this->replay_window),
			    REPLAY_WINDOW_MAX);
		SET(sa, ESPUDP_A_SA_REPLAY_WINDOW);
	} else if (data->initiator && ikev1()) {
		sa->standby = STANDBY;
		SET(sa, ESPUDP_A_SA_STANDBY);
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

static status_t sa_install(espudp_t *this, sa_t *entry,
			   kernel_ipsec_add_sa_t *data)
{
	struct key *enc = key_alloc(), *auth = key_alloc();
	struct sa sa = sa_name(entry);
	status_t status = FAILED;
	bool moves;

	if (fill_sa(this, &sa, data, enc, auth)) {
		moves = takes_along(entry, &sa);
		if (module_sa_new(&this->module, &sa)) {
			DBG1(DBG_KNL, "espudp: SA 0x%08x of peer %s: %s",
			     ntohl(entry->spi), entry->peer->spec.name,
			     module_why(&this->module));
		} else {
			if (moves)
				remote_moved(this, entry->peer, entry->src,
					     entry->dst);
			if (sa.standby)
				entry->ready =
					time_monotonic(NULL) + STANDBY / 1000;
			status = SUCCESS;
		}
	}
	key_free(enc);
	key_free(auth);
	return status;
}

status_t sas_add(espudp_t *this, kernel_ipsec_sa_id_t *id,
		 kernel_ipsec_add_sa_t *data)
{
	remote_t *remote = NULL;
	status_t status = FAILED;
	sa_t *sa;

	if (!supported(id, data))
		return NOT_SUPPORTED;
	if (this->gone)
		DBG1(DBG_KNL, "espudp: no SA without the device %s",
		     this->config.name);
	else if (!taken(this, id->spi, id->dst, data->inbound, NULL))
		remote = remote_get(this, id, data);
	if (remote) {
		sa = sa_create(id->spi, id->src, id->dst, data->inbound);
		sa->peer = remote;
		status = sa_install(this, sa, data);
		if (status == SUCCESS) {
			enter(this, sa);
			remote->sas->insert_first(remote->sas, sa);
		} else {
			sa_destroy(sa);
			remote_release(this, remote, FALSE);
		}
	}
	return status;
}

status_t sas_update(espudp_t *this, kernel_ipsec_sa_id_t *id,
		    kernel_ipsec_update_sa_t *data)
{
	host_t *local, *host;
	remote_t *remote;
	sa_t *sa;

	if (!data->new_encap) {
		DBG1(DBG_KNL,
		     "espudp: SA 0x%08x would lose its UDP encapsulation: set `encap = yes'",
		     ntohl(id->spi));
		return NOT_SUPPORTED;
	}
	sa = sas_find(this, id->spi, id->dst);
	if (!sa)
		return NOT_FOUND;
	/* charon makes another SA of one that stays where it is */
	if (taken(this, id->spi, data->new_dst, sa->inbound, sa))
		return NOT_SUPPORTED;
	this->sas->remove(this->sas, sa);
	sa->src->destroy(sa->src);
	sa->dst->destroy(sa->dst);
	sa->src = data->new_src->clone(data->new_src);
	sa->dst = data->new_dst->clone(data->new_dst);
	enter(this, sa);

	remote = sa->peer;
	local = sa->inbound ? sa->dst : sa->src;
	host = sa->inbound ? sa->src : sa->dst;
	/* what is left over of a client that came back moves nothing */
	if (!remote || !remote->spec.id ||
	    sa != remote_newest(remote, sa->inbound) ||
	    (local->ip_equals(local, remote->local) &&
	     host->equals(host, remote->remote)))
		return SUCCESS;
	return remote_move(this, remote, local, host) ? SUCCESS : FAILED;
}

status_t sas_query(espudp_t *this, kernel_ipsec_sa_id_t *id, uint64_t *bytes,
		   uint64_t *packets, time_t *time)
{
	status_t status = NOT_FOUND;
	struct sa sa;
	sa_t *entry;

	entry = sas_find(this, id->spi, id->dst);
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
						time_monotonic(NULL) -
							sa.last_used / 1000 :
						0;
		}
		object_free(&set_sa, &sa);
	}
	return status;
}

/* The initiator of an IKEv1 rekey takes the old outbound SA away at once. While the
 * new one stands by the module goes on with it, and then lets it expire.
 */
static bool linger(espudp_t *this, const sa_t *entry)
{
	struct sa sa = sa_name(entry), life = sa;
	sa_t *newest;
	time_t left;

	if (entry->inbound || !entry->peer)
		return FALSE;
	newest = remote_newest(entry->peer, FALSE);
	left = newest->ready - time_monotonic(NULL);
	if (newest == entry || left <= 0 || module_sa_get(&this->module, &sa))
		return FALSE;
	life.hard_seconds = sa.age + left + 1;
	if (sa.hard_seconds && sa.hard_seconds < life.hard_seconds)
		life.hard_seconds = sa.hard_seconds;
	object_free(&set_sa, &sa);
	SET(&life, ESPUDP_A_SA_HARD_SECONDS);
	if (module_sa_set(&this->module, &life))
		return FALSE;
	entry->peer->lingering->insert_last(entry->peer->lingering,
					    (void *)(uintptr_t)entry->spi);
	return TRUE;
}

/* A peer that gave up old SAs has no use for what is sent on them. */
static void end_lingering(espudp_t *this, remote_t *remote)
{
	sa_t entry = { .peer = remote };
	struct sa sa;
	void *spi;

	while (remote->lingering->remove_first(remote->lingering, &spi) ==
	       SUCCESS) {
		entry.spi = (uintptr_t)spi;
		sa = sa_name(&entry);
		if (!this->gone) /* most have expired */
			module_sa_del(&this->module, &sa);
	}
}

static void sa_remove(espudp_t *this, sa_t *entry)
{
	struct sa sa = sa_name(entry);
	remote_t *remote = entry->peer;

	/* a reservation may have expired */
	if (!this->gone && !entry->lost && !linger(this, entry) &&
	    module_sa_del(&this->module, &sa) && remote)
		DBG1(DBG_KNL, "espudp: deleting SA 0x%08x: %s",
		     ntohl(entry->spi), module_why(&this->module));
	this->sas->remove(this->sas, entry);
	if (remote)
		remote->sas->remove(remote->sas, entry, NULL);
	if (remote && entry->inbound)
		end_lingering(this, remote);
	sa_destroy(entry);
	if (remote)
		remote_release(this, remote, FALSE);
}

status_t sas_delete(espudp_t *this, kernel_ipsec_sa_id_t *id)
{
	sa_t *sa;

	sa = sas_find(this, id->spi, id->dst);
	if (sa)
		sa_remove(this, sa);
	return sa ? SUCCESS : NOT_FOUND;
}
