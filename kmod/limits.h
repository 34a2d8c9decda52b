/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _ESPUDP_LIMITS_H
#define _ESPUDP_LIMITS_H

enum espudp_limits {
	ESPUDP_PORT_DEFAULT	= 4500,
	ESPUDP_SPI_MIN		= 256,		/* RFC 4303 section 2.1 */
	ESPUDP_WINDOW_DEFAULT	= 1024,		/* packets */
	ESPUDP_WINDOW_MAX	= 8192,
	ESPUDP_KEEPALIVE	= 20,		/* seconds, RFC 3948 section 4 */
	ESPUDP_RESERVE_TIMEOUT	= 30,		/* seconds */
	ESPUDP_SELECTORS_MAX	= 256,		/* per peer */
	ESPUDP_PEERS_MAX	= 1 << 20,	/* per device */
	ESPUDP_SAS_PER_PEER	= 2048,		/* IKEv1 may leave old ones until they expire */
	ESPUDP_RESERVED_MAX	= 1 << 16,	/* SPIs without a peer, per device */
	ESPUDP_IV_MAX		= 16,		/* octets */
	ESPUDP_ICV_MAX		= 32,
	ESPUDP_BLOCK_MAX	= 16,
	ESPUDP_SHORTEST		= 20,		/* octets of an ESP packet without content */
	ESPUDP_BATCH_SEGS	= 64,		/* ESP packets in one outer skb */
	ESPUDP_HELD		= 256,		/* datagrams that wait for their SA, per device */
	ESPUDP_HELD_BYTES	= 1 << 20,	/* likewise */
	ESPUDP_HOLD		= 5,		/* seconds that they do */
	ESPUDP_POLL_BYTES	= 1 << 20,	/* taken from a queue at a time */
	ESPUDP_FLOWS		= 4096,		/* told apart on transmit */
	ESPUDP_QUEUE_BYTES	= 16 << 20,	/* per CPU and direction */
	ESPUDP_PEER_BYTES	= 4 << 20,	/* queued per peer */
	ESPUDP_IN_FLIGHT	= 256,		/* packets in crypto, per CPU and direction */
	ESPUDP_HOPS_MAX		= 4,		/* devices nested in one packet */
	ESPUDP_UNKNOWN_SPIS	= 16,		/* remembered per CPU */
	ESPUDP_PMTU_MIN4	= 576,
	ESPUDP_PMTU_MIN6	= 1280,
	ESPUDP_PMTU_AGE		= 600,		/* seconds until a lowered PMTU is forgotten */
	ESPUDP_FAIL_THRESHOLD	= 100,		/* failures that make an event */
	ESPUDP_SOCKET_CHECK	= 2,		/* seconds between looks at adopted sockets */
	ESPUDP_ICMP_RATE	= 100,		/* errors looked at in a second */
	ESPUDP_IKE_RATE		= 100,		/* IKE datagrams told of in a second */
	ESPUDP_SILENT		= 120,		/* seconds until a peer may lose its address: */
						/* an idle L2TP session is heard every 60 */
	ESPUDP_SEQ_EARLY	= 1 << 20,	/* sequence numbers left at the first warning */
};

#endif
