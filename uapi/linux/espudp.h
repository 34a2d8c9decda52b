/* SPDX-License-Identifier: ((GPL-2.0 WITH Linux-syscall-note) OR BSD-3-Clause) */
/* Do not edit directly, auto-generated from: */
/*	uapi/espudp.yaml */
/* YNL-GEN uapi header */

#ifndef _UAPI_LINUX_ESPUDP_H
#define _UAPI_LINUX_ESPUDP_H

#define ESPUDP_GENL_NAME	"espudp"
#define ESPUDP_GENL_VERSION	1

#define ESPUDP_NAME_LEN	64

/**
 * enum espudp_mode - How a peer's SAs enclose packets (RFC 4301 section 4.1).
 */
enum espudp_mode {
	ESPUDP_MODE_TUNNEL,
	ESPUDP_MODE_TRANSPORT,
};

/**
 * enum espudp_dir - Direction of an SA, seen from this host.
 */
enum espudp_dir {
	ESPUDP_DIR_IN,
	ESPUDP_DIR_OUT,
};

/**
 * enum espudp_outer_csum - Checksum of outer UDP datagrams over IPv4. auto -
 *   full where the route's device can segment and checksum, else zero. zero -
 *   RFC 3948's SHOULD. full - always. IPv6 is always full.
 */
enum espudp_outer_csum {
	ESPUDP_OUTER_CSUM_AUTO,
	ESPUDP_OUTER_CSUM_ZERO,
	ESPUDP_OUTER_CSUM_FULL,
};

/**
 * enum espudp_df - The don't-fragment bit of outer IPv4 headers in tunnel
 *   mode.
 */
enum espudp_df {
	ESPUDP_DF_COPY,
	ESPUDP_DF_SET,
	ESPUDP_DF_CLEAR,
};

/**
 * enum espudp_frag - Where a packet that exceeds the peer's MTU and may be
 *   fragmented is fragmented in tunnel mode. inside - before ESP. outside -
 *   after it.
 */
enum espudp_frag {
	ESPUDP_FRAG_INSIDE,
	ESPUDP_FRAG_OUTSIDE,
};

/**
 * enum espudp_dscp - The DSCP of outer headers. copy - the inner one. zero -
 *   none.
 */
enum espudp_dscp {
	ESPUDP_DSCP_COPY,
	ESPUDP_DSCP_ZERO,
};

/**
 * enum espudp_socket_loss - What happens to peers and SAs when the socket is
 *   lost.
 */
enum espudp_socket_loss {
	ESPUDP_SOCKET_LOSS_KEEP,
	ESPUDP_SOCKET_LOSS_FLUSH,
};

/**
 * enum espudp_marker - Whether the owner of an adopted socket reads IKE
 *   datagrams with the non-ESP marker (RFC 3948 section 2.2) stripped or kept.
 */
enum espudp_marker {
	ESPUDP_MARKER_STRIP,
	ESPUDP_MARKER_KEEP,
};

/**
 * enum espudp_socket_kind - The module's own socket, or one adopted by file
 *   descriptor.
 */
enum espudp_socket_kind {
	ESPUDP_SOCKET_KIND_OWN,
	ESPUDP_SOCKET_KIND_ADOPTED,
};

/**
 * enum espudp_roaming - What an authenticated packet from elsewhere may
 *   change.
 */
enum espudp_roaming {
	ESPUDP_ROAMING_OFF,
	ESPUDP_ROAMING_PORT,
	ESPUDP_ROAMING_ADDRESS,
};

/**
 * enum espudp_nat - Whether an end is behind a NAT, as told by the caller.
 */
enum espudp_nat {
	ESPUDP_NAT_UNKNOWN,
	ESPUDP_NAT_NO,
	ESPUDP_NAT_YES,
};

/**
 * enum espudp_role - Who began the IKE exchange, this host or the peer, as
 *   told by the caller.
 */
enum espudp_role {
	ESPUDP_ROLE_UNKNOWN,
	ESPUDP_ROLE_INITIATOR,
	ESPUDP_ROLE_RESPONDER,
};

/**
 * enum espudp_nat_scope - Which peers are taken, as
 *   AssumeUDPEncapsulationContextOnSendRule says for Windows. no-responder -
 *   not where the responder is behind a NAT. responder - there, too, but not
 *   where both ends are. both - all.
 */
enum espudp_nat_scope {
	ESPUDP_NAT_SCOPE_NO_RESPONDER,
	ESPUDP_NAT_SCOPE_RESPONDER,
	ESPUDP_NAT_SCOPE_BOTH,
};

/**
 * enum espudp_sa_state - reserved - an SPI without keys. valid - usable. soft
 *   - past a soft lifetime, usable. expired - past a hard lifetime or out of
 *   sequence numbers, unusable.
 */
enum espudp_sa_state {
	ESPUDP_SA_STATE_RESERVED,
	ESPUDP_SA_STATE_VALID,
	ESPUDP_SA_STATE_SOFT,
	ESPUDP_SA_STATE_EXPIRED,
};

/**
 * enum espudp_event_type - What an event tells. expire-soft, expire-hard - an
 *   SA's lifetime. mapping - a peer's address or port changed. acquire - a
 *   peer has traffic and no usable SA. replay, auth - failures over a
 *   threshold. seq-soft, seq-exhausted - an SA is about to run, or has run,
 *   out of sequence numbers. socket-lost - an adopted socket is gone. ike - an
 *   IKE datagram came.
 */
enum espudp_event_type {
	ESPUDP_EVENT_TYPE_EXPIRE_SOFT,
	ESPUDP_EVENT_TYPE_EXPIRE_HARD,
	ESPUDP_EVENT_TYPE_MAPPING,
	ESPUDP_EVENT_TYPE_ACQUIRE,
	ESPUDP_EVENT_TYPE_REPLAY,
	ESPUDP_EVENT_TYPE_AUTH,
	ESPUDP_EVENT_TYPE_SEQ_SOFT,
	ESPUDP_EVENT_TYPE_SEQ_EXHAUSTED,
	ESPUDP_EVENT_TYPE_SOCKET_LOST,
	ESPUDP_EVENT_TYPE_IKE,
};

/**
 * enum espudp_expire_cause - Which lifetime an expire event is about.
 */
enum espudp_expire_cause {
	ESPUDP_EXPIRE_CAUSE_SECONDS,
	ESPUDP_EXPIRE_CAUSE_PACKETS,
	ESPUDP_EXPIRE_CAUSE_BYTES,
	ESPUDP_EXPIRE_CAUSE_RESERVATION,
};

/**
 * enum espudp_flush_what - sas - the SAs, of one peer or of all. peers - all
 *   peers and SAs.
 */
enum espudp_flush_what {
	ESPUDP_FLUSH_WHAT_SAS,
	ESPUDP_FLUSH_WHAT_PEERS,
};

/**
 * enum espudp_drop - Why a packet was dropped.
 * @ESPUDP_DROP_NONE: Not dropped.
 * @ESPUDP_DROP_RX_SHORT: Datagram too short for ESP.
 * @ESPUDP_DROP_RX_SPI_RESERVED: SPI 1 to 255 (RFC 4303 section 2.1).
 * @ESPUDP_DROP_RX_SPI_UNKNOWN: No inbound SA has this SPI.
 * @ESPUDP_DROP_RX_SPI_LARVAL: The SPI is reserved; its keys did not come
 *   within five seconds.
 * @ESPUDP_DROP_RX_EXPIRED: The SA's hard lifetime is over.
 * @ESPUDP_DROP_RX_DEV_DOWN: The device is down.
 * @ESPUDP_DROP_RX_QUEUE_FULL: More datagrams queued than are processed.
 * @ESPUDP_DROP_RX_NOMEM: No memory for a received packet.
 * @ESPUDP_DROP_RX_ALIGN: Ciphertext is no multiple of the cipher's block.
 * @ESPUDP_DROP_RX_REPLAY_OLD: Sequence number left of the replay window.
 * @ESPUDP_DROP_RX_REPLAY_SEEN: Sequence number was received before, or is
 *   zero.
 * @ESPUDP_DROP_RX_AUTH: Integrity check failed.
 * @ESPUDP_DROP_RX_CRYPTO: Crypto API error other than a failed integrity
 *   check.
 * @ESPUDP_DROP_RX_PAD: Pad length beyond the payload, or wrong padding octets.
 * @ESPUDP_DROP_RX_NEXT_HEADER: Next header does not fit the peer's mode.
 * @ESPUDP_DROP_RX_INNER: Inner packet is malformed.
 * @ESPUDP_DROP_RX_SELECTOR: Inner packet matches no selector of its peer (RFC
 *   4301 section 5.2).
 * @ESPUDP_DROP_RX_ECN: Outer CE on an inner packet that is not ECN capable
 *   (RFC 6040).
 * @ESPUDP_DROP_RX_CSUM: Wrong inner TCP checksum in tunnel mode (RFC 3948
 *   section 3.1.2).
 * @ESPUDP_DROP_RX_DUMMY: Dummy packet, next header 59; not an error.
 * @ESPUDP_DROP_RX_IKE_UNOWNED: IKE datagram on the module's own socket.
 * @ESPUDP_DROP_RX_KEEPALIVE: NAT-keepalive; not an error.
 * @ESPUDP_DROP_RX_DEFRAG: Inner fragments that could not be reassembled.
 * @ESPUDP_DROP_RX_VIRTUAL: The virtual address of the packet's peer is another
 *   peer's by now.
 * @ESPUDP_DROP_TX_NO_SELECTOR: No peer's selectors cover the packet.
 * @ESPUDP_DROP_TX_NO_SA: The peer has no usable outbound SA.
 * @ESPUDP_DROP_TX_NO_ENDPOINT: The peer's outer address or port is not known.
 * @ESPUDP_DROP_TX_NO_SOCKET: No socket of the outer family is attached.
 * @ESPUDP_DROP_TX_NO_ROUTE: No route to the peer's outer address.
 * @ESPUDP_DROP_TX_LOOP: The route of the outer packet leads back to the
 *   device.
 * @ESPUDP_DROP_TX_RECURSION: Too many devices nested.
 * @ESPUDP_DROP_TX_TOO_BIG: Larger than the peer's MTU and must not be
 *   fragmented.
 * @ESPUDP_DROP_TX_MALFORMED: Not an IP packet, or a malformed one.
 * @ESPUDP_DROP_TX_QUEUE_FULL: The peer's or the device's transmit queue is
 *   full.
 * @ESPUDP_DROP_TX_NOMEM: No memory for a packet to send.
 * @ESPUDP_DROP_TX_CRYPTO: Crypto API error.
 * @ESPUDP_DROP_TX_SEQ_EXHAUSTED: The SA has run out of sequence numbers.
 * @ESPUDP_DROP_TX_EXPIRED: The SA's hard lifetime is over.
 * @ESPUDP_DROP_TX_DEFRAG: Fragments that could not be reassembled for a port
 *   selector.
 * @ESPUDP_DROP_TX_DEV_DOWN: The device went down with packets queued.
 * @ESPUDP_DROP_TX_VIRTUAL: No peer has this virtual address.
 * @ESPUDP_DROP_TX_SOURCE: Transport mode, and the source is not the peer's
 *   local outer address.
 */
enum espudp_drop {
	ESPUDP_DROP_NONE,
	ESPUDP_DROP_RX_SHORT,
	ESPUDP_DROP_RX_SPI_RESERVED,
	ESPUDP_DROP_RX_SPI_UNKNOWN,
	ESPUDP_DROP_RX_SPI_LARVAL,
	ESPUDP_DROP_RX_EXPIRED,
	ESPUDP_DROP_RX_DEV_DOWN,
	ESPUDP_DROP_RX_QUEUE_FULL,
	ESPUDP_DROP_RX_NOMEM,
	ESPUDP_DROP_RX_ALIGN,
	ESPUDP_DROP_RX_REPLAY_OLD,
	ESPUDP_DROP_RX_REPLAY_SEEN,
	ESPUDP_DROP_RX_AUTH,
	ESPUDP_DROP_RX_CRYPTO,
	ESPUDP_DROP_RX_PAD,
	ESPUDP_DROP_RX_NEXT_HEADER,
	ESPUDP_DROP_RX_INNER,
	ESPUDP_DROP_RX_SELECTOR,
	ESPUDP_DROP_RX_ECN,
	ESPUDP_DROP_RX_CSUM,
	ESPUDP_DROP_RX_DUMMY,
	ESPUDP_DROP_RX_IKE_UNOWNED,
	ESPUDP_DROP_RX_KEEPALIVE,
	ESPUDP_DROP_RX_DEFRAG,
	ESPUDP_DROP_RX_VIRTUAL,
	ESPUDP_DROP_TX_NO_SELECTOR,
	ESPUDP_DROP_TX_NO_SA,
	ESPUDP_DROP_TX_NO_ENDPOINT,
	ESPUDP_DROP_TX_NO_SOCKET,
	ESPUDP_DROP_TX_NO_ROUTE,
	ESPUDP_DROP_TX_LOOP,
	ESPUDP_DROP_TX_RECURSION,
	ESPUDP_DROP_TX_TOO_BIG,
	ESPUDP_DROP_TX_MALFORMED,
	ESPUDP_DROP_TX_QUEUE_FULL,
	ESPUDP_DROP_TX_NOMEM,
	ESPUDP_DROP_TX_CRYPTO,
	ESPUDP_DROP_TX_SEQ_EXHAUSTED,
	ESPUDP_DROP_TX_EXPIRED,
	ESPUDP_DROP_TX_DEFRAG,
	ESPUDP_DROP_TX_DEV_DOWN,
	ESPUDP_DROP_TX_VIRTUAL,
	ESPUDP_DROP_TX_SOURCE,
};

enum {
	ESPUDP_A_UNSPEC,
	ESPUDP_A_IFINDEX,
	ESPUDP_A_IFNAME,
	ESPUDP_A_DEV,
	ESPUDP_A_SOCKET,
	ESPUDP_A_PEER,
	ESPUDP_A_SA,
	ESPUDP_A_RESERVE,
	ESPUDP_A_FLUSH,
	ESPUDP_A_EVENT,

	__ESPUDP_A_MAX
};
#define ESPUDP_A_MAX (__ESPUDP_A_MAX - 1)

enum {
	ESPUDP_A_DEV_UNSPEC,
	ESPUDP_A_DEV_PAD,
	ESPUDP_A_DEV_PORT,
	ESPUDP_A_DEV_FWMARK,
	ESPUDP_A_DEV_BOUND_IFINDEX,
	ESPUDP_A_DEV_OUTER_CSUM,
	ESPUDP_A_DEV_DF,
	ESPUDP_A_DEV_FRAG,
	ESPUDP_A_DEV_DSCP,
	ESPUDP_A_DEV_TTL,
	ESPUDP_A_DEV_PMTU_DISCOVERY,
	ESPUDP_A_DEV_ON_SOCKET_LOSS,
	ESPUDP_A_DEV_REPLAY_WINDOW,
	ESPUDP_A_DEV_PEERS,
	ESPUDP_A_DEV_SAS,
	ESPUDP_A_DEV_SOCKET,
	ESPUDP_A_DEV_STATS,
	ESPUDP_A_DEV_UNKNOWN_SPI,
	ESPUDP_A_DEV_FOREIGN_NETNS,
	ESPUDP_A_DEV_NAT_SCOPE,
	ESPUDP_A_DEV_POOL,

	__ESPUDP_A_DEV_MAX
};
#define ESPUDP_A_DEV_MAX (__ESPUDP_A_DEV_MAX - 1)

enum {
	ESPUDP_A_POOL_UNSPEC,
	ESPUDP_A_POOL_ADDRESS,
	ESPUDP_A_POOL_PREFIX_LEN,
	ESPUDP_A_POOL_USED,

	__ESPUDP_A_POOL_MAX
};
#define ESPUDP_A_POOL_MAX (__ESPUDP_A_POOL_MAX - 1)

enum {
	ESPUDP_A_SOCKET_UNSPEC,
	ESPUDP_A_SOCKET_FD,
	ESPUDP_A_SOCKET_PORT,
	ESPUDP_A_SOCKET_MARKER,
	ESPUDP_A_SOCKET_KIND,
	ESPUDP_A_SOCKET_IPV4,
	ESPUDP_A_SOCKET_IPV6,

	__ESPUDP_A_SOCKET_MAX
};
#define ESPUDP_A_SOCKET_MAX (__ESPUDP_A_SOCKET_MAX - 1)

enum {
	ESPUDP_A_PEER_UNSPEC,
	ESPUDP_A_PEER_PAD,
	ESPUDP_A_PEER_ID,
	ESPUDP_A_PEER_NAME,
	ESPUDP_A_PEER_COOKIE,
	ESPUDP_A_PEER_MODE,
	ESPUDP_A_PEER_LOCAL,
	ESPUDP_A_PEER_LOCAL_PORT,
	ESPUDP_A_PEER_REMOTE,
	ESPUDP_A_PEER_REMOTE_PORT,
	ESPUDP_A_PEER_KEEPALIVE,
	ESPUDP_A_PEER_ROAMING,
	ESPUDP_A_PEER_NAT_LOCAL,
	ESPUDP_A_PEER_NAT_REMOTE,
	ESPUDP_A_PEER_TFC,
	ESPUDP_A_PEER_SELECTOR,
	ESPUDP_A_PEER_NO_SELECTORS,
	ESPUDP_A_PEER_MTU,
	ESPUDP_A_PEER_PMTU,
	ESPUDP_A_PEER_SPI_IN,
	ESPUDP_A_PEER_SPI_OUT,
	ESPUDP_A_PEER_LAST_RX,
	ESPUDP_A_PEER_LAST_TX,
	ESPUDP_A_PEER_STATS,
	ESPUDP_A_PEER_ROLE,
	ESPUDP_A_PEER_VIRTUAL,
	ESPUDP_A_PEER_TAKE_OVER,
	ESPUDP_A_PEER_IKE,

	__ESPUDP_A_PEER_MAX
};
#define ESPUDP_A_PEER_MAX (__ESPUDP_A_PEER_MAX - 1)

enum {
	ESPUDP_A_SELECTOR_UNSPEC,
	ESPUDP_A_SELECTOR_LOCAL_FROM,
	ESPUDP_A_SELECTOR_LOCAL_TO,
	ESPUDP_A_SELECTOR_REMOTE_FROM,
	ESPUDP_A_SELECTOR_REMOTE_TO,
	ESPUDP_A_SELECTOR_PROTOCOL,
	ESPUDP_A_SELECTOR_LOCAL_PORT_FROM,
	ESPUDP_A_SELECTOR_LOCAL_PORT_TO,
	ESPUDP_A_SELECTOR_REMOTE_PORT_FROM,
	ESPUDP_A_SELECTOR_REMOTE_PORT_TO,
	ESPUDP_A_SELECTOR_PRIORITY,

	__ESPUDP_A_SELECTOR_MAX
};
#define ESPUDP_A_SELECTOR_MAX (__ESPUDP_A_SELECTOR_MAX - 1)

enum {
	ESPUDP_A_SA_UNSPEC,
	ESPUDP_A_SA_PAD,
	ESPUDP_A_SA_SPI,
	ESPUDP_A_SA_DIR,
	ESPUDP_A_SA_PEER,
	ESPUDP_A_SA_ENC,
	ESPUDP_A_SA_ENC_KEY,
	ESPUDP_A_SA_AUTH,
	ESPUDP_A_SA_AUTH_KEY,
	ESPUDP_A_SA_ICV_BITS,
	ESPUDP_A_SA_ESN,
	ESPUDP_A_SA_REPLAY_WINDOW,
	ESPUDP_A_SA_SEQ,
	ESPUDP_A_SA_REMOTE,
	ESPUDP_A_SA_REMOTE_PORT,
	ESPUDP_A_SA_SOFT_SECONDS,
	ESPUDP_A_SA_HARD_SECONDS,
	ESPUDP_A_SA_SOFT_PACKETS,
	ESPUDP_A_SA_HARD_PACKETS,
	ESPUDP_A_SA_SOFT_BYTES,
	ESPUDP_A_SA_HARD_BYTES,
	ESPUDP_A_SA_STATE,
	ESPUDP_A_SA_AGE,
	ESPUDP_A_SA_PACKETS,
	ESPUDP_A_SA_BYTES,
	ESPUDP_A_SA_LAST_USED,
	ESPUDP_A_SA_STATS,
	ESPUDP_A_SA_DRIVER,
	ESPUDP_A_SA_OA_LOCAL,
	ESPUDP_A_SA_OA_REMOTE,
	ESPUDP_A_SA_STANDBY,

	__ESPUDP_A_SA_MAX
};
#define ESPUDP_A_SA_MAX (__ESPUDP_A_SA_MAX - 1)

enum {
	ESPUDP_A_RESERVE_UNSPEC,
	ESPUDP_A_RESERVE_PEER,
	ESPUDP_A_RESERVE_SPI_MIN,
	ESPUDP_A_RESERVE_SPI_MAX,
	ESPUDP_A_RESERVE_TIMEOUT,
	ESPUDP_A_RESERVE_SPI,

	__ESPUDP_A_RESERVE_MAX
};
#define ESPUDP_A_RESERVE_MAX (__ESPUDP_A_RESERVE_MAX - 1)

enum {
	ESPUDP_A_STATS_UNSPEC,
	ESPUDP_A_STATS_PAD,
	ESPUDP_A_STATS_RX_PACKETS,
	ESPUDP_A_STATS_RX_BYTES,
	ESPUDP_A_STATS_TX_PACKETS,
	ESPUDP_A_STATS_TX_BYTES,
	ESPUDP_A_STATS_RX_IKE,
	ESPUDP_A_STATS_RX_KEEPALIVE,
	ESPUDP_A_STATS_TX_KEEPALIVE,
	ESPUDP_A_STATS_DROP,

	__ESPUDP_A_STATS_MAX
};
#define ESPUDP_A_STATS_MAX (__ESPUDP_A_STATS_MAX - 1)

enum {
	ESPUDP_A_DROP_UNSPEC,
	ESPUDP_A_DROP_PAD,
	ESPUDP_A_DROP_REASON,
	ESPUDP_A_DROP_COUNT,

	__ESPUDP_A_DROP_MAX
};
#define ESPUDP_A_DROP_MAX (__ESPUDP_A_DROP_MAX - 1)

enum {
	ESPUDP_A_UNKNOWN_UNSPEC,
	ESPUDP_A_UNKNOWN_PAD,
	ESPUDP_A_UNKNOWN_SPI,
	ESPUDP_A_UNKNOWN_REMOTE,
	ESPUDP_A_UNKNOWN_REMOTE_PORT,
	ESPUDP_A_UNKNOWN_COUNT,
	ESPUDP_A_UNKNOWN_AGE,

	__ESPUDP_A_UNKNOWN_MAX
};
#define ESPUDP_A_UNKNOWN_MAX (__ESPUDP_A_UNKNOWN_MAX - 1)

enum {
	ESPUDP_A_EVENT_UNSPEC,
	ESPUDP_A_EVENT_PAD,
	ESPUDP_A_EVENT_TYPE,
	ESPUDP_A_EVENT_PEER,
	ESPUDP_A_EVENT_NAME,
	ESPUDP_A_EVENT_COOKIE,
	ESPUDP_A_EVENT_SPI,
	ESPUDP_A_EVENT_DIR,
	ESPUDP_A_EVENT_CAUSE,
	ESPUDP_A_EVENT_OLD_REMOTE,
	ESPUDP_A_EVENT_OLD_REMOTE_PORT,
	ESPUDP_A_EVENT_REMOTE,
	ESPUDP_A_EVENT_REMOTE_PORT,
	ESPUDP_A_EVENT_COUNT,
	ESPUDP_A_EVENT_LOST,
	ESPUDP_A_EVENT_LOCAL,
	ESPUDP_A_EVENT_LOCAL_PORT,
	ESPUDP_A_EVENT_INITIATOR_SPI,
	ESPUDP_A_EVENT_RESPONDER_SPI,
	ESPUDP_A_EVENT_VERSION,
	ESPUDP_A_EVENT_EXCHANGE,
	ESPUDP_A_EVENT_IKE_FLAGS,
	ESPUDP_A_EVENT_MESSAGE_ID,
	ESPUDP_A_EVENT_LENGTH,

	__ESPUDP_A_EVENT_MAX
};
#define ESPUDP_A_EVENT_MAX (__ESPUDP_A_EVENT_MAX - 1)

enum {
	ESPUDP_CMD_UNSPEC,
	ESPUDP_CMD_DEV_GET,
	ESPUDP_CMD_DEV_SET,
	ESPUDP_CMD_SOCKET_ATTACH,
	ESPUDP_CMD_SOCKET_DETACH,
	ESPUDP_CMD_SPI_RESERVE,
	ESPUDP_CMD_PEER_NEW,
	ESPUDP_CMD_PEER_SET,
	ESPUDP_CMD_PEER_DEL,
	ESPUDP_CMD_PEER_GET,
	ESPUDP_CMD_SA_NEW,
	ESPUDP_CMD_SA_SET,
	ESPUDP_CMD_SA_DEL,
	ESPUDP_CMD_SA_GET,
	ESPUDP_CMD_FLUSH,
	ESPUDP_CMD_EVENT,

	__ESPUDP_CMD_MAX
};
#define ESPUDP_CMD_MAX (__ESPUDP_CMD_MAX - 1)

#define ESPUDP_MCGRP_EVENTS	"events"
#define ESPUDP_MCGRP_IKE	"ike"

#endif /* _UAPI_LINUX_ESPUDP_H */
