// SPDX-License-Identifier: GPL-2.0
#include <collections/linked_list.h>

#include "peers.h"

void addr_of(host_t *host, struct addr *addr)
{
	chunk_t bytes = host->get_address(host);

	memset(addr, 0, sizeof(*addr));
	addr->family = host->get_family(host);
	memcpy(addr->b, bytes.ptr, min(bytes.len, sizeof(addr->b)));
}

host_t *host_of(const struct addr *addr, uint16_t port)
{
	return host_create_from_chunk(
		addr->family, chunk_create((u_char *)addr->b, addr_len(addr)),
		port);
}

remote_t *remote_create(char *key)
{
	remote_t *this;

	INIT(this, .key = key, .sas = linked_list_create(),
	     .lingering = linked_list_create(),
	     .policies = linked_list_create());
	return this;
}

void remote_destroy(remote_t *this)
{
	object_free(&set_peer, &this->spec);
	DESTROY_IF(this->local);
	DESTROY_IF(this->remote);
	this->sas->destroy(this->sas);
	this->lingering->destroy(this->lingering);
	this->policies->destroy(this->policies);
	free(this->key);
	free(this);
}

sa_t *remote_newest(remote_t *this, bool inbound)
{
	enumerator_t *enumerator;
	sa_t *sa, *found = NULL;

	enumerator = this->sas->create_enumerator(this->sas);
	while (!found && enumerator->enumerate(enumerator, &sa))
		if (sa->inbound == inbound)
			found = sa;
	enumerator->destroy(enumerator);
	return found;
}

sa_t *sa_create(uint32_t spi, host_t *src, host_t *dst, bool inbound)
{
	sa_t *this;

	INIT(this, .spi = spi, .src = src->clone(src), .dst = dst->clone(dst),
	     .inbound = inbound);
	return this;
}

void sa_destroy(sa_t *this)
{
	this->src->destroy(this->src);
	this->dst->destroy(this->dst);
	free(this);
}

policy_t *policy_create(traffic_selector_t *local, traffic_selector_t *remote)
{
	policy_t *this;

	INIT(this, .local = local->clone(local),
	     .remote = remote->clone(remote), .refs = 1);
	return this;
}

void policy_destroy(policy_t *this)
{
	this->local->destroy(this->local);
	this->remote->destroy(this->remote);
	free(this);
}

char *key_tunnel(identification_t *id, linked_list_t *local,
		 linked_list_t *remote)
{
	char *key;

	if (asprintf(&key, "tunnel %Y %#R === %#R", id, local, remote) < 0)
		return NULL;
	return key;
}

/* Protocol and ports of each; addresses mean the two ends. */
static void add_ports(char *key, size_t size, linked_list_t *list)
{
	enumerator_t *enumerator;
	traffic_selector_t *ts;
	size_t len;

	enumerator = list->create_enumerator(list);
	while (enumerator->enumerate(enumerator, &ts)) {
		len = strlen(key);
		snprintf(key + len, size - len, " %d/%d-%d",
			 ts->get_protocol(ts), ts->get_from_port(ts),
			 ts->get_to_port(ts));
	}
	enumerator->destroy(enumerator);
}

char *key_transport(identification_t *id, host_t *remote,
		    linked_list_t *local_ts, linked_list_t *remote_ts)
{
	char ports[256] = "", *key;

	add_ports(ports, sizeof(ports), local_ts);
	add_ports(ports, sizeof(ports), remote_ts);
	if (asprintf(&key, "transport%s %Y %#H", ports, id, remote) < 0)
		return NULL;
	return key;
}

char *key_moved(const char *key, host_t *remote)
{
	const char *last = strrchr(key, ' ');
	char *moved;

	if (asprintf(&moved, "%.*s %#H", (int)(last - key), key, remote) < 0)
		return NULL;
	return moved;
}

char *key_trap(uint32_t reqid)
{
	char *key;

	if (asprintf(&key, "trap %u", reqid) < 0)
		return NULL;
	return key;
}

static void set_addr(struct addr *addr, traffic_selector_t *ts, chunk_t bytes)
{
	memset(addr, 0, sizeof(*addr));
	addr->family = ts->get_type(ts) == TS_IPV4_ADDR_RANGE ? AF_INET :
								AF_INET6;
	memcpy(addr->b, bytes.ptr, min(bytes.len, sizeof(addr->b)));
}

static bool any_ports(traffic_selector_t *ts)
{
	return ts->get_from_port(ts) == 0 && ts->get_to_port(ts) == 0xffff;
}

static bool set_ports(struct selector *s, traffic_selector_t *local,
		      traffic_selector_t *remote)
{
	if (local->get_from_port(local) > local->get_to_port(local) ||
	    remote->get_from_port(remote) > remote->get_to_port(remote)) {
		DBG1(DBG_KNL,
		     "espudp: %R === %R: opaque ports are not supported", local,
		     remote);
		return FALSE;
	}
	if (any_ports(local) && any_ports(remote))
		return TRUE;
	switch (s->protocol) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE:
	case IPPROTO_SCTP:
	case IPPROTO_DCCP:
		break;
	default:
		DBG1(DBG_KNL,
		     "espudp: %R === %R: types and codes are not supported",
		     local, remote);
		return FALSE;
	}
	if (!any_ports(local)) {
		s->local_port_from = local->get_from_port(local);
		s->local_port_to = local->get_to_port(local);
		SET(s, ESPUDP_A_SELECTOR_LOCAL_PORT_FROM);
		SET(s, ESPUDP_A_SELECTOR_LOCAL_PORT_TO);
	}
	if (!any_ports(remote)) {
		s->remote_port_from = remote->get_from_port(remote);
		s->remote_port_to = remote->get_to_port(remote);
		SET(s, ESPUDP_A_SELECTOR_REMOTE_PORT_FROM);
		SET(s, ESPUDP_A_SELECTOR_REMOTE_PORT_TO);
	}
	return TRUE;
}

bool selector_add(struct list *selectors, traffic_selector_t *local,
		  traffic_selector_t *remote, uint32_t priority)
{
	struct selector s = { 0 };

	s.protocol =
		max(local->get_protocol(local), remote->get_protocol(remote));
	if (!set_ports(&s, local, remote))
		return FALSE;
	set_addr(&s.local_from, local, local->get_from_address(local));
	set_addr(&s.local_to, local, local->get_to_address(local));
	set_addr(&s.remote_from, remote, remote->get_from_address(remote));
	set_addr(&s.remote_to, remote, remote->get_to_address(remote));
	SET(&s, ESPUDP_A_SELECTOR_LOCAL_FROM);
	SET(&s, ESPUDP_A_SELECTOR_LOCAL_TO);
	SET(&s, ESPUDP_A_SELECTOR_REMOTE_FROM);
	SET(&s, ESPUDP_A_SELECTOR_REMOTE_TO);
	SET(&s, ESPUDP_A_SELECTOR_PROTOCOL);
	if (priority) {
		s.priority = priority;
		SET(&s, ESPUDP_A_SELECTOR_PRIORITY);
	}
	*(struct selector *)list_add(selectors, sizeof(s)) = s;
	return TRUE;
}

/* Do these two go together? As charon pairs them. */
static bool pair(traffic_selector_t *local, traffic_selector_t *remote)
{
	uint8_t a = local->get_protocol(local),
		b = remote->get_protocol(remote);

	return local->get_type(local) == remote->get_type(remote) &&
	       (a == b || !a || !b);
}

bool selectors_add(struct list *selectors, linked_list_t *local,
		   linked_list_t *remote)
{
	enumerator_t *outer, *inner;
	traffic_selector_t *a, *b;
	bool good = TRUE;

	outer = local->create_enumerator(local);
	while (good && outer->enumerate(outer, &a)) {
		inner = remote->create_enumerator(remote);
		while (good && inner->enumerate(inner, &b))
			if (pair(a, b))
				good = selector_add(selectors, a, b, 0);
		inner->destroy(inner);
	}
	outer->destroy(outer);
	return good;
}
