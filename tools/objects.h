/* SPDX-License-Identifier: GPL-2.0 */
#ifndef OBJECTS_H
#define OBJECTS_H

#include <linux/espudp.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "names.h"
#include "list.h"

#define IFNAME_LEN 16
#define ALG_NAME_LEN 64

struct addr {
	uint8_t family; /* AF_INET, AF_INET6, or 0 for none */
	union {
		uint8_t b[16];
		struct in_addr v4;
		struct in6_addr v6;
	};
};

/* An attribute of a newer module: shown, and never rewritten. */
struct unknown {
	const char *where;
	uint16_t type;
	uint16_t len;
};

/* Every object begins with which attributes it has, by number. */
struct object {
	uint64_t has;
	struct list unknown;
};

#define HAS(p, attr) ((p)->o.has >> (attr)&1)
#define SET(p, attr) ((p)->o.has |= 1ULL << (attr))
#define CLEAR(p, attr) ((p)->o.has &= ~(1ULL << (attr)))

struct drop {
	struct object o;
	uint32_t reason;
	uint64_t count;
};

struct stats {
	struct object o;
	uint64_t rx_packets, rx_bytes, tx_packets, tx_bytes;
	uint64_t rx_ike, rx_keepalive, tx_keepalive;
	struct list drop;
};

struct sock {
	struct object o;
	uint32_t fd;
	uint16_t port;
	uint8_t marker, kind, ipv4, ipv6;
};

struct unknown_spi {
	struct object o;
	uint32_t spi;
	struct addr remote;
	uint16_t remote_port;
	uint64_t count, age;
};

struct pool {
	struct object o;
	struct addr addr;
	uint8_t len; /* 0: none */
	uint32_t used;
};

struct dev {
	struct object o;
	uint32_t ifindex;
	char ifname[IFNAME_LEN];
	uint16_t port;
	uint32_t fwmark, bound_ifindex;
	uint8_t outer_csum, df, frag, dscp, ttl;
	uint8_t pmtu_discovery, on_socket_loss, foreign_netns, nat_scope;
	uint32_t replay_window, peers, sas;
	struct list pool, socket, unknown_spi;
	struct stats stats;
	bool bound_named; /* bound_ifindex is of a name, looked up here */
};

struct selector {
	struct object o;
	struct addr local_from, local_to, remote_from, remote_to;
	uint8_t protocol;
	uint16_t local_port_from, local_port_to;
	uint16_t remote_port_from, remote_port_to;
	uint32_t priority;
};

struct peer {
	struct object o;
	uint32_t id;
	char name[ESPUDP_NAME_LEN], ike[ESPUDP_NAME_LEN];
	uint64_t cookie;
	uint8_t mode, roaming, role, nat_local, nat_remote, no_selectors;
	struct addr local, remote;
	struct addr virtual; /* of no family: none */
	uint32_t take_over;
	uint16_t local_port, remote_port, keepalive, tfc;
	struct list selector;
	uint32_t mtu, pmtu, spi_in, spi_out;
	uint64_t last_rx, last_tx;
	struct stats stats;
};

struct sa {
	struct object o;
	uint32_t spi, peer;
	uint8_t dir, esn, state;
	char enc[ALG_NAME_LEN], auth[ALG_NAME_LEN], driver[128];
	const struct key *enc_key, *auth_key;
	uint16_t icv_bits;
	uint32_t replay_window;
	uint64_t seq;
	struct addr remote;
	uint16_t remote_port;
	struct addr oa_local, oa_remote;
	uint32_t standby;
	uint64_t soft_seconds, hard_seconds;
	uint64_t soft_packets, hard_packets;
	uint64_t soft_bytes, hard_bytes;
	uint64_t age, packets, bytes, last_used;
	struct stats stats;
	size_t place; /* in a dump */
};

struct reserve {
	struct object o;
	uint32_t peer, min, max, timeout, spi;
};

struct event {
	struct object o;
	uint32_t ifindex;
	char ifname[IFNAME_LEN];
	uint8_t type, dir, cause;
	uint32_t peer, spi, lost;
	char name[ESPUDP_NAME_LEN];
	uint64_t cookie, count;
	struct addr old_remote, remote, local;
	uint16_t old_remote_port, remote_port, local_port;
	uint64_t initiator_spi, responder_spi;
	uint8_t version, exchange, ike_flags;
	uint32_t message_id, length;
};

enum field_type {
	F_U8,
	F_U16,
	F_U32,
	F_U64,
	F_ENUM, /* u8 with names */
	F_ENUM32, /* u32 with names */
	F_BOOL, /* u8, 0 or 1 */
	F_FLAG, /* present or absent */
	F_STRING,
	F_ADDR,
	F_KEY,
	F_NEST,
	F_LIST, /* repeated nest */
};

enum field_flags {
	F_RW = 1 << 0, /* a setting; else told by the module only */
	F_HEX = 1 << 1, /* people read it as hexadecimal */
	F_OFF = 1 << 2, /* "off" or "none" means 0 */
	F_PORT = 1
		 << 3, /* an address that may carry the port, the next field */
	F_LINK = 1 << 4, /* index of a network device */
	F_CHECK = 1 << 5, /* sent, but not a setting that words name */
	F_ZERO = 1 << 6, /* 0 says as much as leaving it out */
	F_AUTO = 1 << 7, /* "auto" means leaving it out, "none" no address */
	F_NUMBER = 1 << 8, /* names that go by number, too */
	F_TEXT = 1 << 9, /* any text, also an empty one */
};

struct set;

struct field {
	uint8_t attr;
	uint8_t type;
	uint16_t flags;
	uint16_t offset;
	uint16_t size;
	const struct names *names; /* of F_ENUM */
	const struct set *set; /* of F_NEST and F_LIST */
	const char *word; /* on the command line; NULL: as attribute */
	const char *conf; /* in configuration files */
	uint64_t min, max; /* of numbers; max 0: what the type holds */
};

/* An attribute set of the UAPI and the structure that holds its values. */
struct set {
	const char *name;
	const struct names *attrs;
	size_t size;
	const struct field *fields;
	size_t n;
};

extern const struct set set_dev, set_pool, set_socket, set_peer, set_selector,
	set_sa;
extern const struct set set_reserve, set_stats, set_drop, set_unknown_spi;
extern const struct set set_event;

const struct field *field_find(const struct set *set, uint8_t attr);
const char *field_word(const struct set *set, const struct field *f);
#define FIELD(obj, f, type) (*(type *)((char *)(obj) + (f)->offset))
#define CFIELD(obj, f, type) \
	(*(type const *)((const char *)(obj) + (f)->offset))

/* Any of F_U8 to F_BOOL, F_FLAG. */
uint64_t field_number(const void *obj, const struct field *f);
void field_set_number(void *obj, const struct field *f, uint64_t n);
bool field_equal(const void *a, const void *b, const struct field *f);

bool addr_equal(const struct addr *a, const struct addr *b);
unsigned int addr_len(const struct addr *a);
/* Their order, of any kind. */
int selector_cmp(const struct selector *a, const struct selector *b);
bool selector_equal(const struct selector *a, const struct selector *b);
bool selectors_equal(const struct list *a, const struct list *b);

void object_free(const struct set *set, void *obj);
/* Frees all elements and the list. */
void objects_free(const struct set *set, struct list *l);
/* Whether there are attributes, nested ones included, or values of settings
 * in @obj that this program does not know; describes the first in @text.
 */
bool object_is_foreign(const struct set *set, const void *obj, char *text,
		       size_t size);

#endif
