/* SPDX-License-Identifier: ((GPL-2.0 WITH Linux-syscall-note) OR BSD-3-Clause) */
/* Do not edit directly, auto-generated from: */
/*	uapi/espudp.yaml */
/* YNL-GEN kernel header */

#ifndef _LINUX_ESPUDP_GEN_H
#define _LINUX_ESPUDP_GEN_H

#include <net/netlink.h>
#include <net/genetlink.h>

#include <uapi/linux/espudp.h>

/* Common nested types */
extern const struct nla_policy espudp_dev_nl_policy[ESPUDP_A_DEV_POOL + 1];
extern const struct nla_policy espudp_drop_count_nl_policy[ESPUDP_A_DROP_COUNT + 1];
extern const struct nla_policy espudp_peer_nl_policy[ESPUDP_A_PEER_IKE + 1];
extern const struct nla_policy espudp_pool_nl_policy[ESPUDP_A_POOL_USED + 1];
extern const struct nla_policy espudp_reserve_nl_policy[ESPUDP_A_RESERVE_SPI + 1];
extern const struct nla_policy espudp_sa_nl_policy[ESPUDP_A_SA_STANDBY + 1];
extern const struct nla_policy espudp_selector_nl_policy[ESPUDP_A_SELECTOR_PRIORITY + 1];
extern const struct nla_policy espudp_socket_nl_policy[ESPUDP_A_SOCKET_IPV6 + 1];
extern const struct nla_policy espudp_stats_nl_policy[ESPUDP_A_STATS_DROP + 1];
extern const struct nla_policy espudp_unknown_spi_nl_policy[ESPUDP_A_UNKNOWN_AGE + 1];

/* Global operation policy for espudp */
extern const struct nla_policy espudp_nl_policy[ESPUDP_A_FLUSH + 1];

/* Ops table for espudp */
extern const struct genl_small_ops espudp_nl_ops[14];

int espudp_nl_dev_get_doit(struct sk_buff *skb, struct genl_info *info);
int espudp_nl_dev_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb);
int espudp_nl_dev_set_doit(struct sk_buff *skb, struct genl_info *info);
int espudp_nl_socket_attach_doit(struct sk_buff *skb, struct genl_info *info);
int espudp_nl_socket_detach_doit(struct sk_buff *skb, struct genl_info *info);
int espudp_nl_spi_reserve_doit(struct sk_buff *skb, struct genl_info *info);
int espudp_nl_peer_new_doit(struct sk_buff *skb, struct genl_info *info);
int espudp_nl_peer_set_doit(struct sk_buff *skb, struct genl_info *info);
int espudp_nl_peer_del_doit(struct sk_buff *skb, struct genl_info *info);
int espudp_nl_peer_get_doit(struct sk_buff *skb, struct genl_info *info);
int espudp_nl_peer_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb);
int espudp_nl_sa_new_doit(struct sk_buff *skb, struct genl_info *info);
int espudp_nl_sa_set_doit(struct sk_buff *skb, struct genl_info *info);
int espudp_nl_sa_del_doit(struct sk_buff *skb, struct genl_info *info);
int espudp_nl_sa_get_doit(struct sk_buff *skb, struct genl_info *info);
int espudp_nl_sa_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb);
int espudp_nl_flush_doit(struct sk_buff *skb, struct genl_info *info);

enum {
	ESPUDP_NLGRP_EVENTS,
	ESPUDP_NLGRP_IKE,
};

#endif /* _LINUX_ESPUDP_GEN_H */
