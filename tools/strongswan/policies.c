// SPDX-License-Identifier: GPL-2.0
#include "backend.h"

/* Selectors of traps give way to those of peers with SAs. */
#define TRAP_PRIORITY 1000000

/* Selectors are those of SAs. What is left for policies is routes, and traps. */
static policy_t *policy_find(remote_t *remote, traffic_selector_t *local,
			     traffic_selector_t *ts)
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

static bool policy_get(espudp_t *this, remote_t *remote,
		       kernel_ipsec_policy_id_t *id, host_t *local,
		       host_t *host)
{
	policy_t *policy = policy_find(remote, id->src_ts, id->dst_ts);

	if (policy) {
		policy->refs++;
		return TRUE;
	}
	policy = policy_create(id->src_ts, id->dst_ts);
	/* in transport mode it is virtual addresses that routes lead to */
	if (this->install_routes && !remote_is_transport(remote)) {
		policy->route = routes_add(this->routes, id->src_ts, id->dst_ts,
					   local, host);
		if (!policy->route) {
			policy_destroy(policy);
			return FALSE;
		}
	}
	remote->policies->insert_last(remote->policies, policy);
	return TRUE;
}

static void policy_put(espudp_t *this, remote_t *remote,
		       kernel_ipsec_policy_id_t *id)
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
		good = selector_add(&selectors, policy->local, policy->remote,
				    TRAP_PRIORITY);
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

static remote_t *trap_create(espudp_t *this, char *key,
			     kernel_ipsec_manage_policy_t *data)
{
	remote_t *trap = remote_create(key);

	snprintf(trap->spec.name, sizeof(trap->spec.name), "trap{%u}",
		 data->sa->reqid);
	SET(&trap->spec, ESPUDP_A_PEER_NAME);
	if (data->sa->mode == MODE_TRANSPORT) {
		trap->spec.mode = ESPUDP_MODE_TRANSPORT;
		trap->spec.virtual.family = data->dst->get_family(data->dst);
		SET(&trap->spec, ESPUDP_A_PEER_VIRTUAL);
	}
	remote_set_reqid(trap, data->sa->reqid);
	remote_set_ends(trap, data->src, data->dst);
	this->by_key->put(this->by_key, trap->key, trap);
	return trap;
}

static status_t trap_add(espudp_t *this, kernel_ipsec_policy_id_t *id,
			 kernel_ipsec_manage_policy_t *data)
{
	remote_t *trap;
	char *key;

	/* a route to the peer would lead IKE to the device, too */
	if (data->sa->mode == MODE_TRANSPORT && this->install_routes) {
		DBG1(DBG_KNL,
		     "espudp: no trap %R === %R in transport mode: use `start_action = start', "
		     "or `charon.install_routes = no' and the rule in espudp(8), Without a pool",
		     id->src_ts, id->dst_ts);
		return NOT_SUPPORTED;
	}
	key = key_trap(data->sa->reqid);
	trap = this->by_key->get(this->by_key, key);
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

status_t policies_add(espudp_t *this, kernel_ipsec_policy_id_t *id,
		      kernel_ipsec_manage_policy_t *data)
{
	status_t status = SUCCESS;
	sa_t *sa;

	if (data->type != POLICY_IPSEC) {
		if (id->dir == POLICY_OUT)
			DBG1(DBG_KNL,
			     "espudp: no %s policy %R === %R: routes decide what is protected; "
			     "use %s",
			     data->type == POLICY_PASS ? "PASS" : "DROP",
			     id->src_ts, id->dst_ts,
			     data->type == POLICY_PASS ?
				     "a more specific route" :
				     "an unreachable route");
		return NOT_SUPPORTED;
	}
	if (id->dir != POLICY_OUT)
		return SUCCESS;
	if (!data->sa->esp.spi) {
		status = trap_add(this, id, data);
	} else {
		sa = sas_find(this, data->sa->esp.spi, data->dst);
		if (!sa || !sa->peer ||
		    !policy_get(this, sa->peer, id, data->src, data->dst))
			status = FAILED;
	}
	return status;
}

void policies_delete(espudp_t *this, kernel_ipsec_policy_id_t *id,
		     kernel_ipsec_manage_policy_t *data)
{
	sa_t *sa;

	if (data->type != POLICY_IPSEC || id->dir != POLICY_OUT)
		return;
	if (!data->sa->esp.spi) {
		trap_del(this, id, data);
		return;
	}
	sa = sas_find(this, data->sa->esp.spi, data->dst);
	if (sa && sa->peer)
		policy_put(this, sa->peer, id);
}

void policies_drop(espudp_t *this, remote_t *remote)
{
	policy_t *policy;

	while (remote->policies->remove_first(remote->policies,
					      (void **)&policy) == SUCCESS) {
		if (policy->route)
			routes_remove(this->routes, policy->route);
		policy_destroy(policy);
	}
}

void policies_move(espudp_t *this, remote_t *remote)
{
	enumerator_t *enumerator;
	policy_t *policy;

	enumerator = remote->policies->create_enumerator(remote->policies);
	while (enumerator->enumerate(enumerator, &policy))
		if (policy->route)
			routes_move(this->routes, policy->route, remote->local,
				    remote->remote);
	enumerator->destroy(enumerator);
}
