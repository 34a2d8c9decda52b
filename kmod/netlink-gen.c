// SPDX-License-Identifier: ((GPL-2.0 WITH Linux-syscall-note) OR BSD-3-Clause)
/* Do not edit directly, auto-generated from: */
/*	uapi/espudp.yaml */
/* YNL-GEN kernel source */

#include <net/netlink.h>
#include <net/genetlink.h>

#include "netlink-gen.h"

#include <uapi/linux/espudp.h>

/* Common nested types */
const struct nla_policy espudp_dev_nl_policy[ESPUDP_A_DEV_POOL + 1] = {
	[ESPUDP_A_DEV_PORT] = { .type = NLA_U16, },
	[ESPUDP_A_DEV_FWMARK] = { .type = NLA_U32, },
	[ESPUDP_A_DEV_BOUND_IFINDEX] = { .type = NLA_U32, },
	[ESPUDP_A_DEV_OUTER_CSUM] = NLA_POLICY_MAX(NLA_U8, 2),
	[ESPUDP_A_DEV_DF] = NLA_POLICY_MAX(NLA_U8, 2),
	[ESPUDP_A_DEV_FRAG] = NLA_POLICY_MAX(NLA_U8, 1),
	[ESPUDP_A_DEV_DSCP] = NLA_POLICY_MAX(NLA_U8, 1),
	[ESPUDP_A_DEV_TTL] = { .type = NLA_U8, },
	[ESPUDP_A_DEV_PMTU_DISCOVERY] = NLA_POLICY_MAX(NLA_U8, 1),
	[ESPUDP_A_DEV_ON_SOCKET_LOSS] = NLA_POLICY_MAX(NLA_U8, 1),
	[ESPUDP_A_DEV_REPLAY_WINDOW] = NLA_POLICY_MAX(NLA_U32, 8192),
	[ESPUDP_A_DEV_PEERS] = { .type = NLA_U32, },
	[ESPUDP_A_DEV_SAS] = { .type = NLA_U32, },
	[ESPUDP_A_DEV_SOCKET] = NLA_POLICY_NESTED(espudp_socket_nl_policy),
	[ESPUDP_A_DEV_STATS] = NLA_POLICY_NESTED(espudp_stats_nl_policy),
	[ESPUDP_A_DEV_UNKNOWN_SPI] = NLA_POLICY_NESTED(espudp_unknown_spi_nl_policy),
	[ESPUDP_A_DEV_FOREIGN_NETNS] = { .type = NLA_FLAG, },
	[ESPUDP_A_DEV_NAT_SCOPE] = NLA_POLICY_MAX(NLA_U8, 2),
	[ESPUDP_A_DEV_POOL] = NLA_POLICY_NESTED(espudp_pool_nl_policy),
};

const struct nla_policy espudp_drop_count_nl_policy[ESPUDP_A_DROP_COUNT + 1] = {
	[ESPUDP_A_DROP_REASON] = NLA_POLICY_MAX(NLA_U32, 42),
	[ESPUDP_A_DROP_COUNT] = { .type = NLA_U64, },
};

const struct nla_policy espudp_peer_nl_policy[ESPUDP_A_PEER_IKE + 1] = {
	[ESPUDP_A_PEER_ID] = { .type = NLA_U32, },
	[ESPUDP_A_PEER_NAME] = { .type = NLA_NUL_STRING, .len = 63, },
	[ESPUDP_A_PEER_COOKIE] = { .type = NLA_U64, },
	[ESPUDP_A_PEER_MODE] = NLA_POLICY_MAX(NLA_U8, 1),
	[ESPUDP_A_PEER_LOCAL] = { .type = NLA_BINARY, },
	[ESPUDP_A_PEER_LOCAL_PORT] = { .type = NLA_U16, },
	[ESPUDP_A_PEER_REMOTE] = { .type = NLA_BINARY, },
	[ESPUDP_A_PEER_REMOTE_PORT] = { .type = NLA_U16, },
	[ESPUDP_A_PEER_KEEPALIVE] = { .type = NLA_U16, },
	[ESPUDP_A_PEER_ROAMING] = NLA_POLICY_MAX(NLA_U8, 2),
	[ESPUDP_A_PEER_NAT_LOCAL] = NLA_POLICY_MAX(NLA_U8, 2),
	[ESPUDP_A_PEER_NAT_REMOTE] = NLA_POLICY_MAX(NLA_U8, 2),
	[ESPUDP_A_PEER_TFC] = { .type = NLA_U16, },
	[ESPUDP_A_PEER_SELECTOR] = NLA_POLICY_NESTED(espudp_selector_nl_policy),
	[ESPUDP_A_PEER_NO_SELECTORS] = { .type = NLA_FLAG, },
	[ESPUDP_A_PEER_MTU] = { .type = NLA_U32, },
	[ESPUDP_A_PEER_PMTU] = { .type = NLA_U32, },
	[ESPUDP_A_PEER_SPI_IN] = { .type = NLA_U32, },
	[ESPUDP_A_PEER_SPI_OUT] = { .type = NLA_U32, },
	[ESPUDP_A_PEER_LAST_RX] = { .type = NLA_U64, },
	[ESPUDP_A_PEER_LAST_TX] = { .type = NLA_U64, },
	[ESPUDP_A_PEER_STATS] = NLA_POLICY_NESTED(espudp_stats_nl_policy),
	[ESPUDP_A_PEER_ROLE] = NLA_POLICY_MAX(NLA_U8, 2),
	[ESPUDP_A_PEER_VIRTUAL] = { .type = NLA_BINARY, },
	[ESPUDP_A_PEER_TAKE_OVER] = { .type = NLA_U32, },
	[ESPUDP_A_PEER_IKE] = { .type = NLA_NUL_STRING, .len = 63, },
};

const struct nla_policy espudp_pool_nl_policy[ESPUDP_A_POOL_USED + 1] = {
	[ESPUDP_A_POOL_ADDRESS] = { .type = NLA_BINARY, },
	[ESPUDP_A_POOL_PREFIX_LEN] = { .type = NLA_U8, },
	[ESPUDP_A_POOL_USED] = { .type = NLA_U32, },
};

const struct nla_policy espudp_reserve_nl_policy[ESPUDP_A_RESERVE_SPI + 1] = {
	[ESPUDP_A_RESERVE_PEER] = { .type = NLA_U32, },
	[ESPUDP_A_RESERVE_SPI_MIN] = { .type = NLA_U32, },
	[ESPUDP_A_RESERVE_SPI_MAX] = { .type = NLA_U32, },
	[ESPUDP_A_RESERVE_TIMEOUT] = { .type = NLA_U32, },
	[ESPUDP_A_RESERVE_SPI] = { .type = NLA_U32, },
};

const struct nla_policy espudp_sa_nl_policy[ESPUDP_A_SA_STANDBY + 1] = {
	[ESPUDP_A_SA_SPI] = { .type = NLA_U32, },
	[ESPUDP_A_SA_DIR] = NLA_POLICY_MAX(NLA_U8, 1),
	[ESPUDP_A_SA_PEER] = { .type = NLA_U32, },
	[ESPUDP_A_SA_ENC] = { .type = NLA_NUL_STRING, .len = 63, },
	[ESPUDP_A_SA_ENC_KEY] = { .type = NLA_BINARY, },
	[ESPUDP_A_SA_AUTH] = { .type = NLA_NUL_STRING, .len = 63, },
	[ESPUDP_A_SA_AUTH_KEY] = { .type = NLA_BINARY, },
	[ESPUDP_A_SA_ICV_BITS] = { .type = NLA_U16, },
	[ESPUDP_A_SA_ESN] = { .type = NLA_FLAG, },
	[ESPUDP_A_SA_REPLAY_WINDOW] = NLA_POLICY_MAX(NLA_U32, 8192),
	[ESPUDP_A_SA_SEQ] = { .type = NLA_U64, },
	[ESPUDP_A_SA_REMOTE] = { .type = NLA_BINARY, },
	[ESPUDP_A_SA_REMOTE_PORT] = { .type = NLA_U16, },
	[ESPUDP_A_SA_SOFT_SECONDS] = { .type = NLA_U64, },
	[ESPUDP_A_SA_HARD_SECONDS] = { .type = NLA_U64, },
	[ESPUDP_A_SA_SOFT_PACKETS] = { .type = NLA_U64, },
	[ESPUDP_A_SA_HARD_PACKETS] = { .type = NLA_U64, },
	[ESPUDP_A_SA_SOFT_BYTES] = { .type = NLA_U64, },
	[ESPUDP_A_SA_HARD_BYTES] = { .type = NLA_U64, },
	[ESPUDP_A_SA_STATE] = NLA_POLICY_MAX(NLA_U8, 3),
	[ESPUDP_A_SA_AGE] = { .type = NLA_U64, },
	[ESPUDP_A_SA_PACKETS] = { .type = NLA_U64, },
	[ESPUDP_A_SA_BYTES] = { .type = NLA_U64, },
	[ESPUDP_A_SA_LAST_USED] = { .type = NLA_U64, },
	[ESPUDP_A_SA_STATS] = NLA_POLICY_NESTED(espudp_stats_nl_policy),
	[ESPUDP_A_SA_DRIVER] = { .type = NLA_NUL_STRING, },
	[ESPUDP_A_SA_OA_LOCAL] = { .type = NLA_BINARY, },
	[ESPUDP_A_SA_OA_REMOTE] = { .type = NLA_BINARY, },
	[ESPUDP_A_SA_STANDBY] = NLA_POLICY_MAX(NLA_U32, 30000),
};

const struct nla_policy espudp_selector_nl_policy[ESPUDP_A_SELECTOR_PRIORITY + 1] = {
	[ESPUDP_A_SELECTOR_LOCAL_FROM] = { .type = NLA_BINARY, },
	[ESPUDP_A_SELECTOR_LOCAL_TO] = { .type = NLA_BINARY, },
	[ESPUDP_A_SELECTOR_REMOTE_FROM] = { .type = NLA_BINARY, },
	[ESPUDP_A_SELECTOR_REMOTE_TO] = { .type = NLA_BINARY, },
	[ESPUDP_A_SELECTOR_PROTOCOL] = { .type = NLA_U8, },
	[ESPUDP_A_SELECTOR_LOCAL_PORT_FROM] = { .type = NLA_U16, },
	[ESPUDP_A_SELECTOR_LOCAL_PORT_TO] = { .type = NLA_U16, },
	[ESPUDP_A_SELECTOR_REMOTE_PORT_FROM] = { .type = NLA_U16, },
	[ESPUDP_A_SELECTOR_REMOTE_PORT_TO] = { .type = NLA_U16, },
	[ESPUDP_A_SELECTOR_PRIORITY] = { .type = NLA_U32, },
};

const struct nla_policy espudp_socket_nl_policy[ESPUDP_A_SOCKET_IPV6 + 1] = {
	[ESPUDP_A_SOCKET_FD] = { .type = NLA_U32, },
	[ESPUDP_A_SOCKET_PORT] = { .type = NLA_U16, },
	[ESPUDP_A_SOCKET_MARKER] = NLA_POLICY_MAX(NLA_U8, 1),
	[ESPUDP_A_SOCKET_KIND] = NLA_POLICY_MAX(NLA_U8, 1),
	[ESPUDP_A_SOCKET_IPV4] = { .type = NLA_FLAG, },
	[ESPUDP_A_SOCKET_IPV6] = { .type = NLA_FLAG, },
};

const struct nla_policy espudp_stats_nl_policy[ESPUDP_A_STATS_DROP + 1] = {
	[ESPUDP_A_STATS_RX_PACKETS] = { .type = NLA_U64, },
	[ESPUDP_A_STATS_RX_BYTES] = { .type = NLA_U64, },
	[ESPUDP_A_STATS_TX_PACKETS] = { .type = NLA_U64, },
	[ESPUDP_A_STATS_TX_BYTES] = { .type = NLA_U64, },
	[ESPUDP_A_STATS_RX_IKE] = { .type = NLA_U64, },
	[ESPUDP_A_STATS_RX_KEEPALIVE] = { .type = NLA_U64, },
	[ESPUDP_A_STATS_TX_KEEPALIVE] = { .type = NLA_U64, },
	[ESPUDP_A_STATS_DROP] = NLA_POLICY_NESTED(espudp_drop_count_nl_policy),
};

const struct nla_policy espudp_unknown_spi_nl_policy[ESPUDP_A_UNKNOWN_AGE + 1] = {
	[ESPUDP_A_UNKNOWN_SPI] = { .type = NLA_U32, },
	[ESPUDP_A_UNKNOWN_REMOTE] = { .type = NLA_BINARY, },
	[ESPUDP_A_UNKNOWN_REMOTE_PORT] = { .type = NLA_U16, },
	[ESPUDP_A_UNKNOWN_COUNT] = { .type = NLA_U64, },
	[ESPUDP_A_UNKNOWN_AGE] = { .type = NLA_U64, },
};

/* Global operation policy for espudp */
const struct nla_policy espudp_nl_policy[ESPUDP_A_FLUSH + 1] = {
	[ESPUDP_A_IFINDEX] = { .type = NLA_U32, },
	[ESPUDP_A_IFNAME] = { .type = NLA_NUL_STRING, .len = 15, },
	[ESPUDP_A_DEV] = NLA_POLICY_NESTED(espudp_dev_nl_policy),
	[ESPUDP_A_SOCKET] = NLA_POLICY_NESTED(espudp_socket_nl_policy),
	[ESPUDP_A_PEER] = NLA_POLICY_NESTED(espudp_peer_nl_policy),
	[ESPUDP_A_SA] = NLA_POLICY_NESTED(espudp_sa_nl_policy),
	[ESPUDP_A_RESERVE] = NLA_POLICY_NESTED(espudp_reserve_nl_policy),
	[ESPUDP_A_FLUSH] = NLA_POLICY_MAX(NLA_U8, 1),
};

/* Ops table for espudp */
const struct genl_small_ops espudp_nl_ops[14] = {
	{
		.cmd	= ESPUDP_CMD_DEV_GET,
		.doit	= espudp_nl_dev_get_doit,
		.dumpit	= espudp_nl_dev_get_dumpit,
		.flags	= GENL_UNS_ADMIN_PERM,
	},
	{
		.cmd	= ESPUDP_CMD_DEV_SET,
		.doit	= espudp_nl_dev_set_doit,
		.flags	= GENL_UNS_ADMIN_PERM,
	},
	{
		.cmd	= ESPUDP_CMD_SOCKET_ATTACH,
		.doit	= espudp_nl_socket_attach_doit,
		.flags	= GENL_UNS_ADMIN_PERM,
	},
	{
		.cmd	= ESPUDP_CMD_SOCKET_DETACH,
		.doit	= espudp_nl_socket_detach_doit,
		.flags	= GENL_UNS_ADMIN_PERM,
	},
	{
		.cmd	= ESPUDP_CMD_SPI_RESERVE,
		.doit	= espudp_nl_spi_reserve_doit,
		.flags	= GENL_UNS_ADMIN_PERM,
	},
	{
		.cmd	= ESPUDP_CMD_PEER_NEW,
		.doit	= espudp_nl_peer_new_doit,
		.flags	= GENL_UNS_ADMIN_PERM,
	},
	{
		.cmd	= ESPUDP_CMD_PEER_SET,
		.doit	= espudp_nl_peer_set_doit,
		.flags	= GENL_UNS_ADMIN_PERM,
	},
	{
		.cmd	= ESPUDP_CMD_PEER_DEL,
		.doit	= espudp_nl_peer_del_doit,
		.flags	= GENL_UNS_ADMIN_PERM,
	},
	{
		.cmd	= ESPUDP_CMD_PEER_GET,
		.doit	= espudp_nl_peer_get_doit,
		.dumpit	= espudp_nl_peer_get_dumpit,
		.flags	= GENL_UNS_ADMIN_PERM,
	},
	{
		.cmd	= ESPUDP_CMD_SA_NEW,
		.doit	= espudp_nl_sa_new_doit,
		.flags	= GENL_UNS_ADMIN_PERM,
	},
	{
		.cmd	= ESPUDP_CMD_SA_SET,
		.doit	= espudp_nl_sa_set_doit,
		.flags	= GENL_UNS_ADMIN_PERM,
	},
	{
		.cmd	= ESPUDP_CMD_SA_DEL,
		.doit	= espudp_nl_sa_del_doit,
		.flags	= GENL_UNS_ADMIN_PERM,
	},
	{
		.cmd	= ESPUDP_CMD_SA_GET,
		.doit	= espudp_nl_sa_get_doit,
		.dumpit	= espudp_nl_sa_get_dumpit,
		.flags	= GENL_UNS_ADMIN_PERM,
	},
	{
		.cmd	= ESPUDP_CMD_FLUSH,
		.doit	= espudp_nl_flush_doit,
		.flags	= GENL_UNS_ADMIN_PERM,
	},
};

static const struct genl_multicast_group espudp_nl_mcgrps[] = {
	[ESPUDP_NLGRP_EVENTS] = { "events", },
	[ESPUDP_NLGRP_IKE] = { "ike", },
};
