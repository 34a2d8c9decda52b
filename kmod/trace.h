/* SPDX-License-Identifier: GPL-2.0 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM espudp

#if !defined(_ESPUDP_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _ESPUDP_TRACE_H

#include <linux/netdevice.h>
#include <linux/tracepoint.h>
#include <uapi/linux/espudp.h>
#include "sa.h"

#define espudp_drop_name(reason) __print_symbolic(reason,		\
	{ ESPUDP_DROP_NONE,		"none" },			\
	{ ESPUDP_DROP_RX_SHORT,		"rx-short" },			\
	{ ESPUDP_DROP_RX_SPI_RESERVED,	"rx-spi-reserved" },		\
	{ ESPUDP_DROP_RX_SPI_UNKNOWN,	"rx-spi-unknown" },		\
	{ ESPUDP_DROP_RX_SPI_LARVAL,	"rx-spi-larval" },		\
	{ ESPUDP_DROP_RX_EXPIRED,	"rx-expired" },			\
	{ ESPUDP_DROP_RX_DEV_DOWN,	"rx-dev-down" },		\
	{ ESPUDP_DROP_RX_QUEUE_FULL,	"rx-queue-full" },		\
	{ ESPUDP_DROP_RX_NOMEM,		"rx-nomem" },			\
	{ ESPUDP_DROP_RX_ALIGN,		"rx-align" },			\
	{ ESPUDP_DROP_RX_REPLAY_OLD,	"rx-replay-old" },		\
	{ ESPUDP_DROP_RX_REPLAY_SEEN,	"rx-replay-seen" },		\
	{ ESPUDP_DROP_RX_AUTH,		"rx-auth" },			\
	{ ESPUDP_DROP_RX_CRYPTO,	"rx-crypto" },			\
	{ ESPUDP_DROP_RX_PAD,		"rx-pad" },			\
	{ ESPUDP_DROP_RX_NEXT_HEADER,	"rx-next-header" },		\
	{ ESPUDP_DROP_RX_INNER,		"rx-inner" },			\
	{ ESPUDP_DROP_RX_SELECTOR,	"rx-selector" },		\
	{ ESPUDP_DROP_RX_ECN,		"rx-ecn" },			\
	{ ESPUDP_DROP_RX_CSUM,		"rx-csum" },			\
	{ ESPUDP_DROP_RX_DUMMY,		"rx-dummy" },			\
	{ ESPUDP_DROP_RX_IKE_UNOWNED,	"rx-ike-unowned" },		\
	{ ESPUDP_DROP_RX_KEEPALIVE,	"rx-keepalive" },		\
	{ ESPUDP_DROP_RX_DEFRAG,	"rx-defrag" },			\
	{ ESPUDP_DROP_TX_NO_SELECTOR,	"tx-no-selector" },		\
	{ ESPUDP_DROP_TX_NO_SA,		"tx-no-sa" },			\
	{ ESPUDP_DROP_TX_NO_ENDPOINT,	"tx-no-endpoint" },		\
	{ ESPUDP_DROP_TX_NO_SOCKET,	"tx-no-socket" },		\
	{ ESPUDP_DROP_TX_NO_ROUTE,	"tx-no-route" },		\
	{ ESPUDP_DROP_TX_LOOP,		"tx-loop" },			\
	{ ESPUDP_DROP_TX_RECURSION,	"tx-recursion" },		\
	{ ESPUDP_DROP_TX_TOO_BIG,	"tx-too-big" },			\
	{ ESPUDP_DROP_TX_MALFORMED,	"tx-malformed" },		\
	{ ESPUDP_DROP_TX_QUEUE_FULL,	"tx-queue-full" },		\
	{ ESPUDP_DROP_TX_NOMEM,		"tx-nomem" },			\
	{ ESPUDP_DROP_TX_CRYPTO,	"tx-crypto" },			\
	{ ESPUDP_DROP_TX_SEQ_EXHAUSTED,	"tx-seq-exhausted" },		\
	{ ESPUDP_DROP_TX_EXPIRED,	"tx-expired" },			\
	{ ESPUDP_DROP_TX_DEFRAG,	"tx-defrag" },			\
	{ ESPUDP_DROP_TX_DEV_DOWN,	"tx-dev-down" },		\
	{ ESPUDP_DROP_RX_VIRTUAL,	"rx-virtual" },			\
	{ ESPUDP_DROP_TX_VIRTUAL,	"tx-virtual" },			\
	{ ESPUDP_DROP_TX_SOURCE,	"tx-source" })

TRACE_EVENT(espudp_drop,
	    TP_PROTO(const struct net_device *dev, const struct espudp_peer *peer,
		     const struct espudp_sa *sa, enum espudp_drop reason),
	    TP_ARGS(dev, peer, sa, reason),
	    TP_STRUCT__entry(__array(char, dev, IFNAMSIZ)
			     __field(u32, peer)
			     __field(u32, spi)
			     __field(u32, reason)
	    ),
	    TP_fast_assign(strscpy(__entry->dev, dev->name, IFNAMSIZ);
			   __entry->peer = peer ? peer->id : 0;
			   __entry->spi = sa ? be32_to_cpu(sa->spi) : 0;
			   __entry->reason = reason;
	    ),
	    TP_printk("dev=%s peer=%u spi=0x%08x reason=%s", __entry->dev, __entry->peer,
		      __entry->spi, espudp_drop_name(__entry->reason))
);

/* Inner packets of one SA, a batch at a time; seq is the highest so far. */
DECLARE_EVENT_CLASS(espudp_batch,
		    TP_PROTO(const struct espudp_sa *sa, unsigned int packets,
			     unsigned int len),
		    TP_ARGS(sa, packets, len),
		    TP_STRUCT__entry(__array(char, dev, IFNAMSIZ)
				     __field(u32, peer)
				     __field(u32, spi)
				     __field(u64, seq)
				     __field(u32, packets)
				     __field(u32, len)
		    ),
		    TP_fast_assign(strscpy(__entry->dev, sa->edev->dev->name, IFNAMSIZ);
				   __entry->peer = sa->peer->id;
				   __entry->spi = be32_to_cpu(sa->spi);
				   __entry->seq = sa->dir == ESPUDP_DIR_IN ?
						  READ_ONCE(sa->replay.top) :
						  atomic64_read(&sa->seq);
				   __entry->packets = packets;
				   __entry->len = len;
		    ),
		    TP_printk("dev=%s peer=%u spi=0x%08x seq=%llu packets=%u len=%u",
			      __entry->dev, __entry->peer, __entry->spi, __entry->seq,
			      __entry->packets, __entry->len)
);

DEFINE_EVENT(espudp_batch, espudp_rx,
	     TP_PROTO(const struct espudp_sa *sa, unsigned int packets, unsigned int len),
	     TP_ARGS(sa, packets, len)
);

DEFINE_EVENT(espudp_batch, espudp_tx,
	     TP_PROTO(const struct espudp_sa *sa, unsigned int packets, unsigned int len),
	     TP_ARGS(sa, packets, len)
);

#endif

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
