// SPDX-License-Identifier: GPL-2.0
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "key.h"
#include "objects.h"

/* FIELD(attribute, type, member, flags, ...designated initializers) */
#define F(a, t, m, fl, ...)                                       \
	{                                                         \
		.attr = ESPUDP_A_##a, .type = F_##t, .flags = fl, \
		.offset = offsetof(struct S, m),                  \
		.size = sizeof(((struct S *)0)->m), __VA_ARGS__   \
	}
#define SET_DEFINE(nm, at)                                      \
	const struct set set_##nm = { .name = #nm,              \
				      .attrs = &attrs_##at,     \
				      .size = sizeof(struct S), \
				      .fields = nm##_fields,    \
				      .n = ARRAY_SIZE(nm##_fields) }

#define S drop
static const struct field drop_fields[] = {
	F(DROP_REASON, ENUM32, reason, 0, .names = &names_drop),
	F(DROP_COUNT, U64, count, 0),
};
SET_DEFINE(drop, drop_count);
#undef S

#define S stats
static const struct field stats_fields[] = {
	F(STATS_RX_PACKETS, U64, rx_packets, 0),
	F(STATS_RX_BYTES, U64, rx_bytes, 0),
	F(STATS_TX_PACKETS, U64, tx_packets, 0),
	F(STATS_TX_BYTES, U64, tx_bytes, 0),
	F(STATS_RX_IKE, U64, rx_ike, 0),
	F(STATS_RX_KEEPALIVE, U64, rx_keepalive, 0),
	F(STATS_TX_KEEPALIVE, U64, tx_keepalive, 0),
	F(STATS_DROP, LIST, drop, 0, .set = &set_drop),
};
SET_DEFINE(stats, stats);
#undef S

#define S sock
static const struct field socket_fields[] = {
	F(SOCKET_FD, U32, fd, F_RW, .word = "fd", .max = INT32_MAX),
	F(SOCKET_PORT, U16, port, F_RW, .min = 1),
	F(SOCKET_MARKER, ENUM, marker, F_RW, .names = &names_marker),
	F(SOCKET_KIND, ENUM, kind, 0, .names = &names_socket_kind),
	F(SOCKET_IPV4, FLAG, ipv4, F_RW),
	F(SOCKET_IPV6, FLAG, ipv6, F_RW),
};
SET_DEFINE(socket, socket);
#undef S

#define S unknown_spi
static const struct field unknown_spi_fields[] = {
	F(UNKNOWN_SPI, U32, spi, F_HEX),
	F(UNKNOWN_REMOTE, ADDR, remote, 0),
	F(UNKNOWN_REMOTE_PORT, U16, remote_port, 0),
	F(UNKNOWN_COUNT, U64, count, 0),
	F(UNKNOWN_AGE, U64, age, 0),
};
SET_DEFINE(unknown_spi, unknown_spi);
#undef S

#define S pool
static const struct field pool_fields[] = {
	F(POOL_ADDRESS, ADDR, addr, F_RW),
	F(POOL_PREFIX_LEN, U8, len, F_RW),
	F(POOL_USED, U32, used, 0),
};
SET_DEFINE(pool, pool);
#undef S

#define S dev
static const struct field dev_fields[] = {
	F(DEV_PORT, U16, port, F_RW, .conf = "Port", .min = 1),
	F(DEV_FWMARK, U32, fwmark, F_RW | F_HEX | F_OFF | F_ZERO,
	  .conf = "FwMark"),
	F(DEV_BOUND_IFINDEX, U32, bound_ifindex, F_RW | F_LINK | F_OFF | F_ZERO,
	  .word = "bound-dev", .conf = "BoundDevice"),
	F(DEV_OUTER_CSUM, ENUM, outer_csum, F_RW, .names = &names_outer_csum,
	  .conf = "OuterChecksum"),
	F(DEV_DF, ENUM, df, F_RW, .names = &names_df, .conf = "DF"),
	F(DEV_FRAG, ENUM, frag, F_RW, .names = &names_frag, .conf = "Fragment"),
	F(DEV_DSCP, ENUM, dscp, F_RW, .names = &names_dscp, .conf = "DSCP"),
	F(DEV_TTL, U8, ttl, F_RW | F_ZERO, .conf = "TTL"),
	F(DEV_PMTU_DISCOVERY, BOOL, pmtu_discovery, F_RW,
	  .conf = "PmtuDiscovery"),
	F(DEV_ON_SOCKET_LOSS, ENUM, on_socket_loss, F_RW,
	  .names = &names_socket_loss, .conf = "OnSocketLoss"),
	F(DEV_REPLAY_WINDOW, U32, replay_window, F_RW, .conf = "ReplayWindow",
	  .max = 8192),
	F(DEV_PEERS, U32, peers, 0),
	F(DEV_SAS, U32, sas, 0),
	F(DEV_SOCKET, LIST, socket, 0, .set = &set_socket),
	F(DEV_STATS, NEST, stats, 0, .set = &set_stats),
	F(DEV_UNKNOWN_SPI, LIST, unknown_spi, 0, .set = &set_unknown_spi),
	F(DEV_FOREIGN_NETNS, FLAG, foreign_netns, 0),
	F(DEV_NAT_SCOPE, ENUM, nat_scope, F_RW | F_NUMBER,
	  .names = &names_nat_scope, .conf = "NatScope"),
	F(DEV_POOL, LIST, pool, F_RW | F_CHECK, .set = &set_pool),
};
SET_DEFINE(dev, dev);
#undef S

#define S selector
static const struct field selector_fields[] = {
	F(SELECTOR_LOCAL_FROM, ADDR, local_from, F_RW),
	F(SELECTOR_LOCAL_TO, ADDR, local_to, F_RW),
	F(SELECTOR_REMOTE_FROM, ADDR, remote_from, F_RW),
	F(SELECTOR_REMOTE_TO, ADDR, remote_to, F_RW),
	F(SELECTOR_PROTOCOL, U8, protocol, F_RW),
	F(SELECTOR_LOCAL_PORT_FROM, U16, local_port_from, F_RW),
	F(SELECTOR_LOCAL_PORT_TO, U16, local_port_to, F_RW),
	F(SELECTOR_REMOTE_PORT_FROM, U16, remote_port_from, F_RW),
	F(SELECTOR_REMOTE_PORT_TO, U16, remote_port_to, F_RW),
	F(SELECTOR_PRIORITY, U32, priority, F_RW),
};
SET_DEFINE(selector, selector);
#undef S

#define S peer
static const struct field peer_fields[] = {
	F(PEER_ID, U32, id, F_RW, .conf = "Id"),
	F(PEER_NAME, STRING, name, F_RW, .conf = "Name"),
	F(PEER_COOKIE, U64, cookie, F_RW | F_ZERO, .conf = "Cookie"),
	F(PEER_MODE, ENUM, mode, F_RW, .names = &names_mode, .conf = "Mode"),
	F(PEER_LOCAL, ADDR, local, F_RW, .conf = "Local"),
	F(PEER_LOCAL_PORT, U16, local_port, 0),
	F(PEER_REMOTE, ADDR, remote, F_RW | F_PORT, .conf = "Remote"),
	F(PEER_REMOTE_PORT, U16, remote_port, F_RW | F_CHECK),
	F(PEER_KEEPALIVE, U16, keepalive, F_RW | F_OFF, .conf = "Keepalive"),
	F(PEER_ROAMING, ENUM, roaming, F_RW, .names = &names_roaming,
	  .conf = "Roaming"),
	F(PEER_NAT_LOCAL, ENUM, nat_local, F_RW, .names = &names_nat,
	  .conf = "NatLocal"),
	F(PEER_NAT_REMOTE, ENUM, nat_remote, F_RW, .names = &names_nat,
	  .conf = "NatRemote"),
	F(PEER_TFC, U16, tfc, F_RW | F_OFF | F_ZERO, .conf = "TFC"),
	F(PEER_SELECTOR, LIST, selector, F_RW | F_CHECK, .set = &set_selector),
	F(PEER_NO_SELECTORS, FLAG, no_selectors, F_RW),
	F(PEER_MTU, U32, mtu, 0),
	F(PEER_PMTU, U32, pmtu, 0),
	F(PEER_SPI_IN, U32, spi_in, F_HEX),
	F(PEER_SPI_OUT, U32, spi_out, F_HEX),
	F(PEER_LAST_RX, U64, last_rx, 0),
	F(PEER_LAST_TX, U64, last_tx, 0),
	F(PEER_STATS, NEST, stats, 0, .set = &set_stats),
	F(PEER_ROLE, ENUM, role, F_RW, .names = &names_role, .conf = "Role"),
	F(PEER_VIRTUAL, ADDR, virtual, F_RW | F_AUTO, .conf = "Virtual"),
	F(PEER_TAKE_OVER, U32, take_over, F_RW | F_CHECK),
	F(PEER_IKE, STRING, ike, F_RW | F_TEXT),
};
SET_DEFINE(peer, peer);
#undef S

#define S sa
static const struct field sa_fields[] = {
	F(SA_SPI, U32, spi, F_RW | F_HEX, .conf = "SPI"),
	F(SA_DIR, ENUM, dir, F_RW | F_CHECK, .names = &names_dir,
	  .conf = "Direction"),
	F(SA_PEER, U32, peer, F_RW | F_CHECK),
	F(SA_ENC, STRING, enc, F_RW, .conf = "Encryption"),
	F(SA_ENC_KEY, KEY, enc_key, F_RW | F_CHECK),
	F(SA_AUTH, STRING, auth, F_RW, .conf = "Authentication"),
	F(SA_AUTH_KEY, KEY, auth_key, F_RW | F_CHECK),
	F(SA_ICV_BITS, U16, icv_bits, F_RW, .word = "icv", .conf = "ICV"),
	F(SA_ESN, FLAG, esn, F_RW, .conf = "ESN"),
	F(SA_REPLAY_WINDOW, U32, replay_window, F_RW, .conf = "ReplayWindow",
	  .max = 8192),
	F(SA_SEQ, U64, seq, F_RW),
	F(SA_REMOTE, ADDR, remote, F_RW | F_PORT),
	F(SA_REMOTE_PORT, U16, remote_port, F_RW | F_CHECK),
	F(SA_SOFT_SECONDS, U64, soft_seconds, F_RW | F_OFF | F_ZERO,
	  .conf = "SoftSeconds"),
	F(SA_HARD_SECONDS, U64, hard_seconds, F_RW | F_OFF | F_ZERO,
	  .conf = "HardSeconds"),
	F(SA_SOFT_PACKETS, U64, soft_packets, F_RW | F_OFF | F_ZERO,
	  .conf = "SoftPackets"),
	F(SA_HARD_PACKETS, U64, hard_packets, F_RW | F_OFF | F_ZERO,
	  .conf = "HardPackets"),
	F(SA_SOFT_BYTES, U64, soft_bytes, F_RW | F_OFF | F_ZERO,
	  .conf = "SoftBytes"),
	F(SA_HARD_BYTES, U64, hard_bytes, F_RW | F_OFF | F_ZERO,
	  .conf = "HardBytes"),
	F(SA_STATE, ENUM, state, 0, .names = &names_sa_state),
	F(SA_AGE, U64, age, 0),
	F(SA_PACKETS, U64, packets, 0),
	F(SA_BYTES, U64, bytes, 0),
	F(SA_LAST_USED, U64, last_used, 0),
	F(SA_STATS, NEST, stats, 0, .set = &set_stats),
	F(SA_DRIVER, STRING, driver, 0),
	F(SA_OA_LOCAL, ADDR, oa_local, F_RW, .conf = "OaLocal"),
	F(SA_OA_REMOTE, ADDR, oa_remote, F_RW, .conf = "OaRemote"),
	F(SA_STANDBY, U32, standby, F_RW, .max = 30000),
};
SET_DEFINE(sa, sa);
#undef S

#define S reserve
static const struct field reserve_fields[] = {
	F(RESERVE_PEER, U32, peer, F_RW | F_CHECK),
	F(RESERVE_SPI_MIN, U32, min, F_RW, .word = "min"),
	F(RESERVE_SPI_MAX, U32, max, F_RW, .word = "max"),
	F(RESERVE_TIMEOUT, U32, timeout, F_RW),
	F(RESERVE_SPI, U32, spi, F_HEX),
};
SET_DEFINE(reserve, reserve);
#undef S

#define S event
static const struct field event_fields[] = {
	F(EVENT_TYPE, ENUM, type, 0, .names = &names_event_type),
	F(EVENT_PEER, U32, peer, 0),
	F(EVENT_NAME, STRING, name, 0),
	F(EVENT_COOKIE, U64, cookie, 0),
	F(EVENT_SPI, U32, spi, F_HEX),
	F(EVENT_DIR, ENUM, dir, 0, .names = &names_dir),
	F(EVENT_CAUSE, ENUM, cause, 0, .names = &names_expire_cause),
	F(EVENT_OLD_REMOTE, ADDR, old_remote, 0),
	F(EVENT_OLD_REMOTE_PORT, U16, old_remote_port, 0),
	F(EVENT_REMOTE, ADDR, remote, 0),
	F(EVENT_REMOTE_PORT, U16, remote_port, 0),
	F(EVENT_COUNT, U64, count, 0),
	F(EVENT_LOST, U32, lost, 0),
	F(EVENT_LOCAL, ADDR, local, 0),
	F(EVENT_LOCAL_PORT, U16, local_port, 0),
	F(EVENT_INITIATOR_SPI, U64, initiator_spi, F_HEX),
	F(EVENT_RESPONDER_SPI, U64, responder_spi, F_HEX),
	F(EVENT_VERSION, U8, version, F_HEX),
	F(EVENT_EXCHANGE, U8, exchange, 0),
	F(EVENT_IKE_FLAGS, U8, ike_flags, F_HEX),
	F(EVENT_MESSAGE_ID, U32, message_id, F_HEX),
	F(EVENT_LENGTH, U32, length, 0),
};
SET_DEFINE(event, event);
#undef S

const struct field *field_find(const struct set *set, uint8_t attr)
{
	for (size_t i = 0; i < set->n; i++)
		if (set->fields[i].attr == attr)
			return &set->fields[i];
	return NULL;
}

const char *field_word(const struct set *set, const struct field *f)
{
	return f->word ? f->word : set->attrs->v[f->attr];
}

uint64_t field_number(const void *obj, const struct field *f)
{
	switch (f->size) {
	case 1:
		return CFIELD(obj, f, uint8_t);
	case 2:
		return CFIELD(obj, f, uint16_t);
	case 4:
		return CFIELD(obj, f, uint32_t);
	default:
		return CFIELD(obj, f, uint64_t);
	}
}

void field_set_number(void *obj, const struct field *f, uint64_t n)
{
	switch (f->size) {
	case 1:
		FIELD(obj, f, uint8_t) = n;
		break;
	case 2:
		FIELD(obj, f, uint16_t) = n;
		break;
	case 4:
		FIELD(obj, f, uint32_t) = n;
		break;
	default:
		FIELD(obj, f, uint64_t) = n;
	}
}

bool field_equal(const void *a, const void *b, const struct field *f)
{
	switch (f->type) {
	case F_STRING:
		return !strcmp(&CFIELD(a, f, char), &CFIELD(b, f, char));
	case F_ADDR:
		return addr_equal(&CFIELD(a, f, struct addr),
				  &CFIELD(b, f, struct addr));
	default:
		return field_number(a, f) == field_number(b, f);
	}
}

unsigned int addr_len(const struct addr *a)
{
	return a->family == AF_INET6 ? 16 : 4;
}

bool addr_equal(const struct addr *a, const struct addr *b)
{
	return a->family == b->family &&
	       (!a->family || !memcmp(a->b, b->b, addr_len(a)));
}

static int field_cmp(const void *a, const void *b, const struct field *f)
{
	const struct addr *p = &CFIELD(a, f, struct addr);
	const struct addr *q = &CFIELD(b, f, struct addr);
	uint64_t x, y;

	if (f->type == F_ADDR && p->family == q->family)
		return p->family ? memcmp(p->b, q->b, addr_len(p)) : 0;
	x = f->type == F_ADDR ? p->family : field_number(a, f);
	y = f->type == F_ADDR ? q->family : field_number(b, f);
	return x < y ? -1 : x > y;
}

/* Absent attributes are zero, which is what they mean, except for ports. */
int selector_cmp(const struct selector *a, const struct selector *b)
{
	int order = 0;

	for (size_t i = 0; !order && i < set_selector.n; i++)
		order = field_cmp(a, b, &set_selector.fields[i]);
	if (!order)
		order = HAS(a, ESPUDP_A_SELECTOR_LOCAL_PORT_FROM) -
			HAS(b, ESPUDP_A_SELECTOR_LOCAL_PORT_FROM);
	if (!order)
		order = HAS(a, ESPUDP_A_SELECTOR_REMOTE_PORT_FROM) -
			HAS(b, ESPUDP_A_SELECTOR_REMOTE_PORT_FROM);
	return order;
}

bool selector_equal(const struct selector *a, const struct selector *b)
{
	return !selector_cmp(a, b);
}

bool selectors_equal(const struct list *a, const struct list *b)
{
	if (a->n != b->n)
		return false;
	for_each(struct selector, sa, a) {
		bool found = false;

		for_each(struct selector, sb, b)
			found |= selector_equal(sa, sb);
		if (!found)
			return false;
	}
	return true;
}

void object_free(const struct set *set, void *obj)
{
	struct object *o = obj;

	for (size_t i = 0; i < set->n; i++) {
		const struct field *f = &set->fields[i];

		if (f->type == F_NEST)
			object_free(f->set, &FIELD(obj, f, char));
		else if (f->type == F_LIST)
			objects_free(f->set, &FIELD(obj, f, struct list));
	}
	free(o->unknown.v);
	memset(obj, 0, set->size);
}

void objects_free(const struct set *set, struct list *l)
{
	for (size_t i = 0; i < l->n; i++)
		object_free(set, (char *)l->v + i * set->size);
	free(l->v);
	memset(l, 0, sizeof(*l));
}

bool object_is_foreign(const struct set *set, const void *obj, char *text,
		       size_t size)
{
	const struct object *o = obj;

	for_each(struct unknown, u, &o->unknown) {
		snprintf(text, size, "unknown %s attribute %u: %u octets",
			 u->where, u->type, u->len);
		return true;
	}
	for (size_t i = 0; i < set->n; i++) {
		const struct field *f = &set->fields[i];
		const struct list *l = &CFIELD(obj, f, struct list);

		if (!(o->has >> f->attr & 1))
			continue;
		if (f->type == F_ENUM && f->flags & F_RW &&
		    field_number(obj, f) >= f->names->n) {
			snprintf(text, size, "unknown %s %s %u", set->name,
				 set->attrs->v[f->attr],
				 (unsigned int)field_number(obj, f));
			return true;
		}
		if (f->type == F_NEST &&
		    object_is_foreign(f->set, &CFIELD(obj, f, char), text,
				      size))
			return true;
		for (size_t j = 0; f->type == F_LIST && j < l->n; j++)
			if (object_is_foreign(f->set,
					      (char *)l->v + j * f->set->size,
					      text, size))
				return true;
	}
	return false;
}
