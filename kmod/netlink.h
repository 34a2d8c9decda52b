/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _ESPUDP_NETLINK_H
#define _ESPUDP_NETLINK_H

#include <net/genetlink.h>

struct espudp_dev;
struct espudp_endpoint;
struct espudp_peer;
struct espudp_sa;
struct espudp_sels;

/* A refusal: words, and the attribute that they are about. */
#define espudp_netlink_refuse(extack, attr, err, msg) ({		\
	NL_SET_ERR_MSG_ATTR(extack, attr, msg);				\
	err;								\
})

/* Words about an attribute that should be in @nest; NULL for the top level. */
#define espudp_netlink_missing(extack, nest, type, msg) ({		\
	struct netlink_ext_ack *_extack = (extack);			\
	NL_SET_ERR_MSG(_extack, msg);					\
	NL_SET_ERR_ATTR_MISS(_extack, nest, type);			\
	-EINVAL;							\
})

/**
 * struct espudp_netlink_nest - what a command takes in a nest
 * @policy: generated
 * @max: highest attribute
 * @readonly: attributes that no command takes
 * @takes: attributes that this one takes
 */
struct espudp_netlink_nest {
	const struct nla_policy *policy;
	int max;
	u64 readonly;
	u64 takes;
};

extern struct genl_family espudp_genl_family;

int espudp_netlink_init(void);
void espudp_netlink_exit(void);

struct espudp_dev *espudp_netlink_begin(struct genl_info *info, u32 takes);
int espudp_netlink_end(struct genl_info *info, struct espudp_dev *edev, int err);
struct espudp_dev *espudp_netlink_begin_dump(struct netlink_callback *cb, u32 takes,
					     int *ifindex);
void espudp_netlink_end_dump(struct espudp_dev *edev);
int espudp_netlink_check_top(struct nlattr **attrs, u32 takes, struct netlink_ext_ack *extack);
bool espudp_netlink_is_creator(const struct espudp_dev *edev, struct sk_buff *req);
bool espudp_netlink_sees_all(const struct espudp_dev *edev, struct sk_buff *req);
int espudp_netlink_parse(struct nlattr **tb, const struct nlattr *nest,
			 const struct espudp_netlink_nest *n,
			 struct netlink_ext_ack *extack);
void espudp_netlink_wipe_keys(const struct nlmsghdr *nlh);
void *espudp_netlink_put_header(struct sk_buff *msg, u32 portid, u32 seq,
				struct netlink_callback *cb, u8 cmd);
int espudp_netlink_put_dev(struct sk_buff *msg, const struct net_device *dev);
int espudp_netlink_make_room(struct sk_buff *msg, unsigned int size);

struct espudp_peer *espudp_netlink_peer(struct espudp_dev *edev, const struct nlattr *id,
					struct netlink_ext_ack *extack);
struct espudp_peer *espudp_netlink_find_peer(struct espudp_dev *edev, struct genl_info *info);
struct espudp_sa *espudp_netlink_find_sa(struct espudp_dev *edev, struct genl_info *info);
struct espudp_sels *espudp_netlink_sels(const struct espudp_peer *peer);
int espudp_netlink_get_addr(const struct nlattr *attr, struct in6_addr *addr, u8 *family,
			    struct netlink_ext_ack *extack);
int espudp_netlink_get_endpoint(const struct espudp_peer *peer, struct espudp_endpoint *ep,
				const struct nlattr *local, const struct nlattr *remote,
				const struct nlattr *port, struct netlink_ext_ack *extack);

int espudp_netlink_check_remote(const struct espudp_dev *edev, const struct espudp_peer *peer,
				const struct espudp_endpoint *ep, const struct nlattr *attr,
				struct netlink_ext_ack *extack);

/* The text for a refusal whose reason needs no other. */
static inline void espudp_netlink_explain(struct netlink_ext_ack *extack, int err)
{
	if (err == -ENOMEM && extack && !extack->_msg)
		NL_SET_ERR_MSG(extack, "out of memory");
}

static inline unsigned int espudp_addr_len(u8 family)
{
	return family == AF_INET ? sizeof(struct in_addr) : sizeof(struct in6_addr);
}

#endif
