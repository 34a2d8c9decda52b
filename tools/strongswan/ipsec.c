// SPDX-License-Identifier: GPL-2.0
/* kernel_ipsec_t, charon's interface to what protects packets, on the espudp
 * module.
 */
#include "backend.h"
#include "ipsec.h"

#define SETTING(type, name, otherwise)                                         \
	lib->settings->get_##type(lib->settings,                               \
				  "%s.plugins.kernel-espudp." name, otherwise, \
				  lib->ns)

METHOD(kernel_ipsec_t, get_features, kernel_feature_t, espudp_t *this)
{
	kernel_feature_t features = KERNEL_ESP_V3_TFC |
				    KERNEL_NO_POLICY_UPDATES;

#ifdef HAVE_KERNEL_SA_USE_TIME
	features |= KERNEL_SA_USE_TIME;
#endif
	if (this->require_encap)
		features |= KERNEL_REQUIRE_UDP_ENCAPSULATION;
	return features;
}

METHOD(kernel_ipsec_t, get_spi, status_t, espudp_t *this, host_t *src,
       host_t *dst, uint8_t protocol, uint32_t *spi)
{
	status_t status;

	if (protocol != IPPROTO_ESP) {
		DBG1(DBG_KNL, "espudp: %s not supported, only ESP",
		     protocol == IPPROTO_AH ? "AH" : "protocol");
		return NOT_SUPPORTED;
	}
	this->mutex->lock(this->mutex);
	status = sas_reserve(this, src, dst, spi);
	this->mutex->unlock(this->mutex);
	return status;
}

METHOD(kernel_ipsec_t, get_cpi, status_t, espudp_t *this, host_t *src,
       host_t *dst, uint16_t *cpi)
{
	DBG1(DBG_KNL, "espudp: IPComp not supported");
	return NOT_SUPPORTED;
}

METHOD(kernel_ipsec_t, add_sa, status_t, espudp_t *this,
       kernel_ipsec_sa_id_t *id, kernel_ipsec_add_sa_t *data)
{
	status_t status;

	this->mutex->lock(this->mutex);
	status = sas_add(this, id, data);
	this->mutex->unlock(this->mutex);
	return status;
}

METHOD(kernel_ipsec_t, update_sa, status_t, espudp_t *this,
       kernel_ipsec_sa_id_t *id, kernel_ipsec_update_sa_t *data)
{
	status_t status;

	this->mutex->lock(this->mutex);
	status = sas_update(this, id, data);
	this->mutex->unlock(this->mutex);
	return status;
}

METHOD(kernel_ipsec_t, query_sa, status_t, espudp_t *this,
       kernel_ipsec_sa_id_t *id, kernel_ipsec_query_sa_t *data, uint64_t *bytes,
       uint64_t *packets, time_t *time)
{
	status_t status;

	this->mutex->lock(this->mutex);
	status = sas_query(this, id, bytes, packets, time);
	this->mutex->unlock(this->mutex);
	return status;
}

METHOD(kernel_ipsec_t, del_sa, status_t, espudp_t *this,
       kernel_ipsec_sa_id_t *id, kernel_ipsec_del_sa_t *data)
{
	status_t status;

	this->mutex->lock(this->mutex);
	status = sas_delete(this, id);
	this->mutex->unlock(this->mutex);
	return status;
}

METHOD(kernel_ipsec_t, flush, status_t, espudp_t *this)
{
	this->mutex->lock(this->mutex);
	remote_flush(this);
	this->mutex->unlock(this->mutex);
	return SUCCESS;
}

METHOD(kernel_ipsec_t, add_policy, status_t, espudp_t *this,
       kernel_ipsec_policy_id_t *id, kernel_ipsec_manage_policy_t *data)
{
	status_t status;

	this->mutex->lock(this->mutex);
	status = policies_add(this, id, data);
	this->mutex->unlock(this->mutex);
	return status;
}

METHOD(kernel_ipsec_t, query_policy, status_t, espudp_t *this,
       kernel_ipsec_policy_id_t *id, kernel_ipsec_query_policy_t *data,
       time_t *use_time)
{
	return NOT_SUPPORTED; /* query_sa tells the time */
}

METHOD(kernel_ipsec_t, del_policy, status_t, espudp_t *this,
       kernel_ipsec_policy_id_t *id, kernel_ipsec_manage_policy_t *data)
{
	this->mutex->lock(this->mutex);
	policies_delete(this, id, data);
	this->mutex->unlock(this->mutex);
	return SUCCESS;
}

METHOD(kernel_ipsec_t, bypass_socket, bool, espudp_t *this, int fd, int family)
{
	return TRUE; /* routes decide */
}

METHOD(kernel_ipsec_t, enable_udp_decap, bool, espudp_t *this, int fd,
       int family, uint16_t port)
{
	bool good;

	this->mutex->lock(this->mutex);
	good = follow_attach(this, fd);
	if (good)
		this->sockets->insert_last(this->sockets,
					   (void *)(uintptr_t)fd);
	this->mutex->unlock(this->mutex);
	return good;
}

METHOD(kernel_ipsec_t, destroy, void, espudp_t *this)
{
	if (this->listener) {
		charon->bus->remove_listener(charon->bus, this->listener);
		free(this->listener);
	}
	events_destroy(this->events);
	remote_flush(this);
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

static void configure(espudp_t *this)
{
	this->config = (struct device_config){
		.name = SETTING(str, "device", "espudp0"),
		.create = SETTING(bool, "create", TRUE),
		.pool = { SETTING(str, "pool", NULL),
			  SETTING(str, "pool6", NULL) },
		.fwmark = fwmark(),
	};
	this->require_encap = SETTING(bool, "require_encap", FALSE);
	this->keepalive = streq(SETTING(str, "keepalive", "charon"), "module");
	this->install_routes = lib->settings->get_bool(
		lib->settings, "%s.install_routes", TRUE, lib->ns);
}

/* What the rest of charon does otherwise with this backend than with others. */
static void adapt(espudp_t *this)
{
	/* one sender is enough */
	if (this->keepalive)
		lib->settings->set_time(lib->settings, "%s.keep_alive", 0,
					lib->ns);
	/* where virtual addresses that IKE assigns to us belong */
	if (!lib->settings->get_str(lib->settings, "%s.install_virtual_ip_on",
				    NULL, lib->ns))
		lib->settings->set_str(lib->settings,
				       "%s.install_virtual_ip_on",
				       (char *)this->config.name, lib->ns);
}

static bool start(espudp_t *this)
{
	events_handler_t handler = follow;

	if (module_open(&this->module, this->config.name) ||
	    device_make(&this->config) || !follow_setup(this))
		return FALSE;
	this->gone = FALSE;
	remote_flush(this);
	this->routes =
		routes_create(this->config.name, this->config.fwmark != 0);
	handler.data = this;
	this->events = events_create(this->config.name, &handler);
	if (!this->events)
		return FALSE;
	this->listener = follow_ike(this);
	charon->bus->add_listener(charon->bus, this->listener);
	adapt(this);
	return TRUE;
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
			.flush_sas = _flush,
			.add_policy = _add_policy,
			.query_policy = _query_policy,
			.del_policy = _del_policy,
			.flush_policies = _flush,
			.bypass_socket = _bypass_socket,
			.enable_udp_decap = _enable_udp_decap,
			.destroy = _destroy,
		},
		.mutex = mutex_create(MUTEX_TYPE_DEFAULT),
		.sas = sas_create(),
		.by_key = hashtable_create(hashtable_hash_str,
					   hashtable_equals_str, 64),
		.by_id = hashtable_create(hashtable_hash_ptr,
					  hashtable_equals_ptr, 64),
		.sockets = linked_list_create(),
		.gone = TRUE,
	);
	configure(this);
	if (start(this))
		return &this->public;
	destroy(this);
	DBG1(DBG_KNL,
	     "espudp: NOT IN USE, see the lines above; charon goes on with its "
	     "next backend, usually the kernel's xfrm");
	return NULL;
}
