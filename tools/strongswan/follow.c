// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <net/if.h>

#include "backend.h"

/* Keeps up with the names of IKE_SAs. */
typedef struct {
	listener_t listener;
	espudp_t *backend;
} follower_t;

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
	charon->kernel->expire(charon->kernel, IPPROTO_ESP, sa->spi, sa->dst,
			       hard);
}

/* The module says that a peer is elsewhere. */
static void tell_mapping(espudp_t *this, remote_t *remote,
			 const struct addr *addr, uint16_t port)
{
	host_t *host = host_of(addr, port);
	sa_t *sa = remote_newest(remote, TRUE);

	if (sa && !host->equals(host, remote->remote)) {
		remote_moved(this, remote, NULL, host);
		charon->kernel->mapping(charon->kernel, IPPROTO_ESP, sa->spi,
					sa->dst, host);
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
	remote = e->peer ? this->by_id->get(this->by_id, ID(e->peer)) : NULL;
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
		charon->kernel->acquire(charon->kernel, (uint32_t)e->cookie,
					&acquire);
		break;
	case ESPUDP_EVENT_TYPE_SOCKET_LOST:
		DBG1(DBG_KNL, "espudp: device %s has lost a socket",
		     this->config.name);
		break;
	}
	this->mutex->unlock(this->mutex);
}

/* Expired SAs stay only until the module gets round to deleting them: one that is
 * not among @all has expired, since none is added meanwhile.
 */
static void tell_states(espudp_t *this, const struct list *all)
{
	enumerator_t *enumerator;
	remote_t *remote;
	sa_t *sa;

	for_each(struct sa, found, all) {
		remote = this->by_id->get(this->by_id, ID(found->peer));
		sa = remote ? sa_of_event(remote, found->spi,
					  found->dir == ESPUDP_DIR_IN) :
			      NULL;
		if (!sa)
			continue;
		sa->seen = found->state != ESPUDP_SA_STATE_EXPIRED;
		if (found->state == ESPUDP_SA_STATE_SOFT)
			tell_expiry(sa, FALSE);
	}
	enumerator = this->sas->create_enumerator(this->sas);
	while (enumerator->enumerate(enumerator, NULL, &sa)) {
		if (sa->peer && !sa->lost && !sa->seen)
			tell_expiry(sa, TRUE);
		sa->seen = FALSE;
	}
	enumerator->destroy(enumerator);
}

/* What lost events told is in how things are now. */
static void on_overrun(void *data)
{
	struct list peers = { 0 }, sas = { 0 };
	espudp_t *this = data;
	remote_t *remote;
	bool all;

	DBG1(DBG_KNL, "espudp: events were lost, reading all SAs and peers");
	this->mutex->lock(this->mutex);
	if (this->gone)
		goto out;
	all = !module_peers(&this->module, &peers) &&
	      !module_sas(&this->module, &sas);
	if (!all)
		DBG1(DBG_KNL, "espudp: reading them: %s",
		     module_why(&this->module));
	for_each(struct peer, peer, &peers) {
		remote = this->by_id->get(this->by_id, ID(peer->id));
		if (remote && peer->remote.family)
			tell_mapping(this, remote, &peer->remote,
				     peer->remote_port);
	}
	if (all)
		tell_states(this, &sas);
out:
	this->mutex->unlock(this->mutex);
	objects_free(&set_peer, &peers);
	objects_free(&set_sa, &sas);
}

static void lose(espudp_t *this)
{
	enumerator_t *enumerator;
	remote_t *remote;
	sa_t *sa;

	if (this->gone)
		return;
	this->gone = TRUE;
	DBG1(DBG_KNL,
	     "espudp: device %s is gone, and %u SAs with it; they are "
	     "negotiated anew when it is back",
	     this->config.name, this->sas->get_count(this->sas));
	enumerator = this->sas->create_enumerator(this->sas);
	while (enumerator->enumerate(enumerator, NULL, &sa))
		sa->lost = TRUE;
	enumerator->destroy(enumerator);
	enumerator = this->by_key->create_enumerator(this->by_key);
	while (enumerator->enumerate(enumerator, NULL, &remote)) {
		this->by_id->remove(this->by_id, ID(remote->spec.id));
		remote->spec.id = 0;
	}
	enumerator->destroy(enumerator);
}

static void on_gone(void *data)
{
	espudp_t *this = data;

	this->mutex->lock(this->mutex);
	lose(this);
	this->mutex->unlock(this->mutex);
}

bool follow_setup(espudp_t *this)
{
	struct dev dev = { 0 };
	int err;

	/* first, so that one that takes its place meanwhile differs */
	this->ifindex = if_nametoindex(this->config.name);
	err = device_setup(&this->module, &this->config, &dev);
	if (!err) {
		this->replay_window = dev.replay_window;
		this->config.fwmark = dev.fwmark;
	}
	object_free(&set_dev, &dev);
	return !err;
}

bool follow_attach(espudp_t *this, int fd)
{
	if (!module_attach(&this->module, fd))
		return TRUE;
	DBG1(DBG_KNL, "espudp: handing charon's socket to device %s: %s",
	     this->config.name, module_why(&this->module));
	return FALSE;
}

static void resume(espudp_t *this, bool make)
{
	enumerator_t *enumerator;
	remote_t *remote;
	void *fd;
	sa_t *sa;

	if (!this->gone)
		return;
	/* also where only the device is, lest it failed when the module was */
	module_close(&this->module);
	if (module_open(&this->module, this->config.name) ||
	    (make && device_make(&this->config)) || !follow_setup(this))
		return;
	this->gone = FALSE;
	enumerator = this->sockets->create_enumerator(this->sockets);
	while (enumerator->enumerate(enumerator, &fd))
		follow_attach(this, (int)(uintptr_t)fd);
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
}

static void on_back(void *data)
{
	espudp_t *this = data;

	this->mutex->lock(this->mutex);
	resume(this, TRUE);
	this->mutex->unlock(this->mutex);
}

/* Messages may be late or lost: what counts is which device there is now. */
static void on_link(void *data)
{
	espudp_t *this = data;
	unsigned int ifindex;

	this->mutex->lock(this->mutex);
	ifindex = if_nametoindex(this->config.name);
	if (!ifindex && errno != ENODEV) /* could not ask */
		ifindex = this->ifindex;
	if (ifindex != this->ifindex)
		lose(this);
	if (ifindex)
		resume(this, FALSE);
	this->mutex->unlock(this->mutex);
}

/* Peers whose SAs go from one IKE_SA to another. */
static void renamed(espudp_t *this, uint32_t was, const char *name,
		    uint32_t ike)
{
	enumerator_t *enumerator;
	remote_t *remote;

	this->mutex->lock(this->mutex);
	enumerator = this->by_key->create_enumerator(this->by_key);
	while (enumerator->enumerate(enumerator, NULL, &remote))
		if (remote->ike == was && remote->sas->get_count(remote->sas))
			remote_rename(this, remote, name, ike);
	enumerator->destroy(enumerator);
	this->mutex->unlock(this->mutex);
}

METHOD(listener_t, ike_rekey, bool, follower_t *follower, ike_sa_t *old,
       ike_sa_t *new)
{
	renamed(follower->backend, old->get_unique_id(old), new->get_name(new),
		new->get_unique_id(new));
	return TRUE;
}

/* Reauthentication in IKEv1. The new IKE_SA may not know its peer yet; its name is
 * that of the old one, since they have one configuration.
 */
METHOD(listener_t, children_migrate, bool, follower_t *follower,
       ike_sa_t *ike_sa, ike_sa_id_t *new, uint32_t unique)
{
	if (new) /* which is NULL when told of the new one */
		renamed(follower->backend, ike_sa->get_unique_id(ike_sa),
			ike_sa->get_name(ike_sa), unique);
	return TRUE;
}

const events_handler_t follow = {
	.event = on_event,
	.overrun = on_overrun,
	.gone = on_gone,
	.back = on_back,
	.link = on_link,
};

listener_t *follow_ike(espudp_t *this)
{
	follower_t *follower;

	INIT(follower,
	     .listener = { .ike_rekey = _ike_rekey,
			   .children_migrate = _children_migrate },
	     .backend = this);
	return &follower->listener;
}
