// SPDX-License-Identifier: GPL-2.0
/* Generic netlink commands about devices and sockets; flush. */
#include <linux/netdevice.h>
#include <net/sock.h>
#include "dev.h"
#include "netlink.h"
#include "netlink-gen.h"
#include "peer.h"
#include "sa.h"
#include "sock.h"

#define DEV_READONLY (BIT_ULL(ESPUDP_A_DEV_PEERS) | BIT_ULL(ESPUDP_A_DEV_SAS) |	\
		      BIT_ULL(ESPUDP_A_DEV_SOCKET) | BIT_ULL(ESPUDP_A_DEV_STATS) | \
		      BIT_ULL(ESPUDP_A_DEV_UNKNOWN_SPI) |			\
		      BIT_ULL(ESPUDP_A_DEV_FOREIGN_NETNS))

static const struct espudp_netlink_nest dev_set_nest = {
	.policy = espudp_dev_nl_policy,
	.max = ARRAY_SIZE(espudp_dev_nl_policy) - 1,
	.readonly = DEV_READONLY,
	.takes = BIT_ULL(ESPUDP_A_DEV_POOL + 1) - 1 - DEV_READONLY,
};

static const struct espudp_netlink_nest pool_nest = {
	.policy = espudp_pool_nl_policy,
	.max = ARRAY_SIZE(espudp_pool_nl_policy) - 1,
	.readonly = BIT_ULL(ESPUDP_A_POOL_USED),
	.takes = BIT_ULL(ESPUDP_A_POOL_ADDRESS) | BIT_ULL(ESPUDP_A_POOL_PREFIX_LEN),
};

static const struct espudp_netlink_nest attach_nest = {
	.policy = espudp_socket_nl_policy,
	.max = ARRAY_SIZE(espudp_socket_nl_policy) - 1,
	.readonly = BIT_ULL(ESPUDP_A_SOCKET_KIND),
	.takes = BIT_ULL(ESPUDP_A_SOCKET_FD) | BIT_ULL(ESPUDP_A_SOCKET_PORT) |
		 BIT_ULL(ESPUDP_A_SOCKET_MARKER) | BIT_ULL(ESPUDP_A_SOCKET_IPV4) |
		 BIT_ULL(ESPUDP_A_SOCKET_IPV6),
};

static const struct espudp_netlink_nest flush_nest = {
	.policy = espudp_peer_nl_policy,
	.max = ARRAY_SIZE(espudp_peer_nl_policy) - 1,
	.takes = BIT_ULL(ESPUDP_A_PEER_ID),
};

static int put_socket(struct sk_buff *msg, const struct espudp_sock *es)
{
	struct nlattr *nest = nla_nest_start(msg, ESPUDP_A_DEV_SOCKET);

	if (!nest)
		return -EMSGSIZE;
	if (nla_put_u16(msg, ESPUDP_A_SOCKET_PORT, es->port) ||
	    nla_put_u8(msg, ESPUDP_A_SOCKET_KIND, es->adopted) ||
	    (es->adopted && nla_put_u8(msg, ESPUDP_A_SOCKET_MARKER, es->keep_marker)) ||
	    (es->v4 && nla_put_flag(msg, ESPUDP_A_SOCKET_IPV4)) ||
	    (es->v6 && nla_put_flag(msg, ESPUDP_A_SOCKET_IPV6)))
		return -EMSGSIZE;
	nla_nest_end(msg, nest);
	return 0;
}

static int put_sockets(struct sk_buff *msg, const struct espudp_dev *edev)
{
	struct espudp_sock *es4, *es6;

	es4 = rcu_dereference_protected(edev->sock4, lockdep_is_held(&edev->lock));
	es6 = rcu_dereference_protected(edev->sock6, lockdep_is_held(&edev->lock));
	if (es4 && put_socket(msg, es4))
		return -EMSGSIZE;
	return es6 && es6 != es4 ? put_socket(msg, es6) : 0;
}

static int put_pools(struct sk_buff *msg, const struct espudp_dev *edev)
{
	struct nlattr *nest;
	int i;

	for (i = 0; i < 2; i++) {
		const struct espudp_pool *pool = &edev->pools.pool[i];

		if (!pool->plen)
			continue;
		nest = nla_nest_start(msg, ESPUDP_A_DEV_POOL);
		if (!nest ||
		    nla_put(msg, ESPUDP_A_POOL_ADDRESS, espudp_addr_len(pool->family),
			    &pool->addr) ||
		    nla_put_u8(msg, ESPUDP_A_POOL_PREFIX_LEN, pool->plen) ||
		    nla_put_u32(msg, ESPUDP_A_POOL_USED, pool->used))
			return -EMSGSIZE;
		nla_nest_end(msg, nest);
	}
	return 0;
}

static int put_settings(struct sk_buff *msg, const struct espudp_dev *edev, bool all)
{
	if (all && (nla_put_u16(msg, ESPUDP_A_DEV_PORT, edev->port) ||
		    nla_put_u32(msg, ESPUDP_A_DEV_FWMARK, edev->fwmark) ||
		    nla_put_u32(msg, ESPUDP_A_DEV_BOUND_IFINDEX, edev->bound_ifindex) ||
		    put_sockets(msg, edev)))
		return -EMSGSIZE;
	if (nla_put_u8(msg, ESPUDP_A_DEV_OUTER_CSUM, edev->outer_csum) ||
	    nla_put_u8(msg, ESPUDP_A_DEV_DF, edev->df) ||
	    nla_put_u8(msg, ESPUDP_A_DEV_FRAG, edev->frag) ||
	    nla_put_u8(msg, ESPUDP_A_DEV_DSCP, edev->dscp) ||
	    nla_put_u8(msg, ESPUDP_A_DEV_TTL, edev->ttl) ||
	    nla_put_u8(msg, ESPUDP_A_DEV_PMTU_DISCOVERY, edev->pmtu_discovery) ||
	    nla_put_u8(msg, ESPUDP_A_DEV_ON_SOCKET_LOSS, edev->on_socket_loss) ||
	    nla_put_u32(msg, ESPUDP_A_DEV_REPLAY_WINDOW, edev->replay_window) ||
	    nla_put_u8(msg, ESPUDP_A_DEV_NAT_SCOPE, edev->nat_scope))
		return -EMSGSIZE;
	return all ? put_pools(msg, edev) : 0;
}

static int put_dev(struct sk_buff *msg, u32 portid, u32 seq, struct netlink_callback *cb,
		   struct espudp_dev *edev, bool all)
{
	struct nlattr *nest;
	void *hdr;
	int err = -EMSGSIZE;

	hdr = espudp_netlink_put_header(msg, portid, seq, cb, ESPUDP_CMD_DEV_GET);
	if (!hdr)
		return err;
	if (espudp_netlink_put_dev(msg, edev->dev))
		goto cancel;
	nest = nla_nest_start(msg, ESPUDP_A_DEV);
	if (!nest || put_settings(msg, edev, all) ||
	    nla_put_u32(msg, ESPUDP_A_DEV_PEERS, edev->n_peers) ||
	    nla_put_u32(msg, ESPUDP_A_DEV_SAS, edev->n_sas) ||
	    (!net_eq(dev_net(edev->dev), edev->net) &&
	     nla_put_flag(msg, ESPUDP_A_DEV_FOREIGN_NETNS)) ||
	    espudp_stats_put_dev(msg, ESPUDP_A_DEV_STATS, edev))
		goto cancel;
	err = espudp_stats_put_unknown(msg, ESPUDP_A_DEV_UNKNOWN_SPI, edev);
	if (err)
		goto cancel;
	nla_nest_end(msg, nest);
	genlmsg_end(msg, hdr);
	return 0;

cancel:
	genlmsg_cancel(msg, hdr);
	return err;
}

int espudp_nl_dev_get_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct espudp_dev *edev = espudp_netlink_begin(info, 0);
	struct sk_buff *msg;
	int err = -ENOMEM;

	if (IS_ERR(edev))
		return PTR_ERR(edev);
	msg = genlmsg_new(GENLMSG_DEFAULT_SIZE, GFP_KERNEL);
	if (msg)
		err = put_dev(msg, info->snd_portid, info->snd_seq, NULL, edev,
			      espudp_netlink_sees_all(edev, skb));
	err = espudp_netlink_end(info, edev, err);
	if (!err)
		return genlmsg_reply(msg, info);
	nlmsg_free(msg);
	return err;
}

/* Our device with the smallest index above @after, held. */
static struct net_device *next_dev(struct net *net, int after)
{
	struct net_device *dev, *next = NULL;

	rcu_read_lock();
	for_each_netdev_rcu(net, dev)
		if (dev->ifindex > after && espudp_dev_from(dev) &&
		    (!next || dev->ifindex < next->ifindex))
			next = dev;
	if (next)
		dev_hold(next);
	rcu_read_unlock();
	return next;
}

int espudp_nl_dev_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct nlattr **attrs = espudp_genl_dump_attrs(cb);
	struct net *net = sock_net(cb->skb->sk);
	int *last = (int *)cb->ctx;
	struct espudp_dev *edev;
	struct net_device *dev;
	int err;

	espudp_netlink_wipe_keys(cb->nlh);
	err = espudp_netlink_check_top(attrs, 0, cb->extack);
	if (err)
		return err;
	if (attrs[ESPUDP_A_IFINDEX] || attrs[ESPUDP_A_IFNAME])
		return espudp_netlink_refuse(cb->extack,
					     attrs[ESPUDP_A_IFINDEX] ?: attrs[ESPUDP_A_IFNAME],
					     -EINVAL, "a dump of devices is of all of them");
	cb->seq = READ_ONCE(net->dev_base_seq);
	while ((dev = next_dev(net, *last))) {
		edev = netdev_priv(dev);
		mutex_lock(&edev->lock);
		if (!edev->dead)
			err = put_dev(skb, NETLINK_CB(cb->skb).portid, cb->nlh->nlmsg_seq, cb,
				      edev, espudp_netlink_sees_all(edev, cb->skb));
		mutex_unlock(&edev->lock);
		if (!err)
			*last = dev->ifindex;
		dev_put(dev);
		if (err)
			return skb->len ?: err;
	}
	return skb->len;
}

/* Port, mark, bound device and sockets are the creation namespace's. */
static int check_creator(const struct espudp_dev *edev, struct sk_buff *req,
			 const struct nlattr *attr, struct netlink_ext_ack *extack)
{
	if (!edev->net)
		return espudp_netlink_refuse(extack, attr, -ENETDOWN,
					     "the namespace in which the device was created is gone");
	if (!espudp_netlink_is_creator(edev, req))
		return espudp_netlink_refuse(extack, attr, -EPERM,
					     "needs CAP_NET_ADMIN in the namespace in which the device was created");
	return 0;
}

static int check_bound(struct espudp_dev *edev, const struct nlattr *attr,
		       struct netlink_ext_ack *extack)
{
	u32 ifindex = nla_get_u32(attr);
	struct net_device *dev;
	int err = 0;

	if (!ifindex)
		return 0;
	rcu_read_lock();
	dev = dev_get_by_index_rcu(edev->net, ifindex);
	if (!dev)
		err = espudp_netlink_refuse(extack, attr, -ENODEV,
					    "no such device in the namespace in which this one was created");
	else if (dev == edev->dev)
		err = espudp_netlink_refuse(extack, attr, -ELOOP,
					    "outer packets cannot be bound to the device itself");
	rcu_read_unlock();
	return err;
}

static int dev_check(struct espudp_dev *edev, struct sk_buff *req, struct nlattr **tb,
		     struct netlink_ext_ack *extack)
{
	static const int creator[] = {
		ESPUDP_A_DEV_PORT, ESPUDP_A_DEV_FWMARK, ESPUDP_A_DEV_BOUND_IFINDEX,
		ESPUDP_A_DEV_POOL
	};
	const struct nlattr *port = tb[ESPUDP_A_DEV_PORT];
	int i, err;

	for (i = 0; i < ARRAY_SIZE(creator); i++) {
		if (!tb[creator[i]])
			continue;
		err = check_creator(edev, req, tb[creator[i]], extack);
		if (err)
			return err;
	}
	if (port) {
		if (!nla_get_u16(port))
			return espudp_netlink_refuse(extack, port, -EINVAL,
						     "port 0 is not a port");
		if (nla_get_u16(port) != edev->port &&
		    (rcu_access_pointer(edev->sock4) || rcu_access_pointer(edev->sock6)))
			return espudp_netlink_refuse(extack, port, -EBUSY,
						     "the port cannot change while a socket is attached");
	}
	if (tb[ESPUDP_A_DEV_BOUND_IFINDEX])
		return check_bound(edev, tb[ESPUDP_A_DEV_BOUND_IFINDEX], extack);
	return 0;
}

static void set_u8(u8 *field, const struct nlattr *attr)
{
	if (attr)
		WRITE_ONCE(*field, nla_get_u8(attr));
}

static void set_u32(u32 *field, const struct nlattr *attr)
{
	if (attr)
		WRITE_ONCE(*field, nla_get_u32(attr));
}

static int set_pool(struct espudp_dev *edev, const struct nlattr *nest,
		    struct netlink_ext_ack *extack)
{
	struct nlattr *tb[ARRAY_SIZE(espudp_pool_nl_policy)];
	struct in6_addr addr;
	u8 family, plen = 0;
	int err;

	err = espudp_netlink_parse(tb, nest, &pool_nest, extack);
	if (err)
		return err;
	if (!tb[ESPUDP_A_POOL_ADDRESS])
		return espudp_netlink_missing(extack, nest, ESPUDP_A_POOL_ADDRESS,
					      "the pool's address is missing");
	err = espudp_netlink_get_addr(tb[ESPUDP_A_POOL_ADDRESS], &addr, &family, extack);
	if (err)
		return err;
	if (tb[ESPUDP_A_POOL_PREFIX_LEN])
		plen = nla_get_u8(tb[ESPUDP_A_POOL_PREFIX_LEN]);
	err = espudp_pool_set(edev, family, &addr, plen, extack);
	if (err)
		NL_SET_BAD_ATTR(extack, nest);
	return err;
}

/* The only settings that may be refused by what there is. */
static int set_pools(struct espudp_dev *edev, const struct nlattr *dev,
		     struct netlink_ext_ack *extack)
{
	const struct nlattr *attr;
	int rem, err, n = 0;

	nla_for_each_nested(attr, dev, rem)
		n += nla_type(attr) == ESPUDP_A_DEV_POOL;
	if (n > 1)
		return espudp_netlink_refuse(extack, dev, -EINVAL,
					     "one pool in a request, so that it is all or nothing");
	nla_for_each_nested(attr, dev, rem) {
		if (nla_type(attr) != ESPUDP_A_DEV_POOL)
			continue;
		err = set_pool(edev, attr, extack);
		if (err)
			return err;
	}
	return 0;
}

int espudp_nl_dev_set_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct nlattr *tb[ARRAY_SIZE(espudp_dev_nl_policy)];
	struct espudp_dev *edev;
	int err;

	edev = espudp_netlink_begin(info, BIT(ESPUDP_A_DEV));
	if (IS_ERR(edev))
		return PTR_ERR(edev);
	err = espudp_netlink_parse(tb, info->attrs[ESPUDP_A_DEV], &dev_set_nest, info->extack);
	if (!err && !info->attrs[ESPUDP_A_DEV])
		err = espudp_netlink_missing(info->extack, NULL, ESPUDP_A_DEV,
					     "settings are missing");
	if (!err)
		err = dev_check(edev, skb, tb, info->extack);
	if (!err)
		err = set_pools(edev, info->attrs[ESPUDP_A_DEV], info->extack);
	if (err)
		return espudp_netlink_end(info, edev, err);

	if (tb[ESPUDP_A_DEV_PORT])
		edev->port = nla_get_u16(tb[ESPUDP_A_DEV_PORT]);
	set_u32(&edev->fwmark, tb[ESPUDP_A_DEV_FWMARK]);
	set_u32(&edev->bound_ifindex, tb[ESPUDP_A_DEV_BOUND_IFINDEX]);
	set_u32(&edev->replay_window, tb[ESPUDP_A_DEV_REPLAY_WINDOW]);
	set_u8(&edev->outer_csum, tb[ESPUDP_A_DEV_OUTER_CSUM]);
	set_u8(&edev->df, tb[ESPUDP_A_DEV_DF]);
	set_u8(&edev->frag, tb[ESPUDP_A_DEV_FRAG]);
	set_u8(&edev->dscp, tb[ESPUDP_A_DEV_DSCP]);
	set_u8(&edev->ttl, tb[ESPUDP_A_DEV_TTL]);
	set_u8(&edev->pmtu_discovery, tb[ESPUDP_A_DEV_PMTU_DISCOVERY]);
	set_u8(&edev->on_socket_loss, tb[ESPUDP_A_DEV_ON_SOCKET_LOSS]);
	set_u8(&edev->nat_scope, tb[ESPUDP_A_DEV_NAT_SCOPE]);
	edev->generation++;
	espudp_dev_reset_routes(edev);
	return espudp_netlink_end(info, edev, 0);
}

static int adopt(struct espudp_dev *edev, struct nlattr **tb, struct netlink_ext_ack *extack)
{
	static const int own[] = {
		ESPUDP_A_SOCKET_PORT, ESPUDP_A_SOCKET_IPV4, ESPUDP_A_SOCKET_IPV6
	};
	const struct nlattr *fd = tb[ESPUDP_A_SOCKET_FD], *marker = tb[ESPUDP_A_SOCKET_MARKER];
	int i, err;

	for (i = 0; i < ARRAY_SIZE(own); i++)
		if (tb[own[i]])
			return espudp_netlink_refuse(extack, tb[own[i]], -EINVAL,
						     "an adopted socket has its own port and family");
	err = espudp_sock_adopt(edev, nla_get_u32(fd),
				marker && nla_get_u8(marker) == ESPUDP_MARKER_KEEP, extack);
	if (err)
		NL_SET_BAD_ATTR(extack, fd);
	return err;
}

static int open_own(struct espudp_dev *edev, struct nlattr **tb, struct netlink_ext_ack *extack)
{
	const struct nlattr *attr = tb[ESPUDP_A_SOCKET_PORT];
	bool v4 = tb[ESPUDP_A_SOCKET_IPV4], v6 = tb[ESPUDP_A_SOCKET_IPV6];
	u16 port = attr ? nla_get_u16(attr) : edev->port;
	int err;

	if (tb[ESPUDP_A_SOCKET_MARKER])
		return espudp_netlink_refuse(extack, tb[ESPUDP_A_SOCKET_MARKER], -EINVAL,
					     "only an adopted socket has somebody who reads IKE from it");
	if (!port)
		return espudp_netlink_refuse(extack, attr, -EINVAL, "port 0 is not a port");
	if (port != edev->port &&
	    (rcu_access_pointer(edev->sock4) || rcu_access_pointer(edev->sock6)))
		return espudp_netlink_refuse(extack, attr, -EBUSY,
					     "the port cannot change while a socket is attached");
	err = espudp_sock_open(edev, v4 || !v6, v6 || !v4, port, extack);
	if (!err)
		edev->port = port;
	else if (attr)
		NL_SET_BAD_ATTR(extack, attr);
	return err;
}

int espudp_nl_socket_attach_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct nlattr *tb[ARRAY_SIZE(espudp_socket_nl_policy)];
	struct netlink_ext_ack *extack = info->extack;
	struct espudp_dev *edev;
	int err;

	edev = espudp_netlink_begin(info, BIT(ESPUDP_A_SOCKET));
	if (IS_ERR(edev))
		return PTR_ERR(edev);
	err = espudp_netlink_parse(tb, info->attrs[ESPUDP_A_SOCKET], &attach_nest, extack);
	if (!err)
		err = check_creator(edev, skb, NULL, extack);
	if (!err)
		err = tb[ESPUDP_A_SOCKET_FD] ? adopt(edev, tb, extack) :
					       open_own(edev, tb, extack);
	return espudp_netlink_end(info, edev, err);
}

int espudp_nl_socket_detach_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct espudp_dev *edev = espudp_netlink_begin(info, 0);
	int err;

	if (IS_ERR(edev))
		return PTR_ERR(edev);
	err = check_creator(edev, skb, NULL, info->extack);
	if (!err)
		espudp_sock_detach_all(edev);
	return espudp_netlink_end(info, edev, err);
}

static int flush_objects(struct espudp_dev *edev, struct genl_info *info)
{
	const struct nlattr *what = info->attrs[ESPUDP_A_FLUSH];
	const struct nlattr *nest = info->attrs[ESPUDP_A_PEER];
	struct nlattr *tb[ARRAY_SIZE(espudp_peer_nl_policy)];
	struct espudp_peer *peer;
	struct espudp_sa *sa, *tmp;
	int err;

	if (!what)
		return espudp_netlink_missing(info->extack, NULL, ESPUDP_A_FLUSH,
					      "what to flush is missing: SAs or peers");
	err = espudp_netlink_parse(tb, nest, &flush_nest, info->extack);
	if (err)
		return err;
	if (!nest) {
		espudp_dev_flush(edev, nla_get_u8(what) == ESPUDP_FLUSH_WHAT_PEERS);
		return 0;
	}
	if (nla_get_u8(what) == ESPUDP_FLUSH_WHAT_PEERS)
		return espudp_netlink_refuse(info->extack, nest, -EINVAL,
					     "a flush of peers is of all of them");
	if (!tb[ESPUDP_A_PEER_ID])
		return espudp_netlink_missing(info->extack, nest, ESPUDP_A_PEER_ID,
					      "the peer's id is missing");
	peer = espudp_netlink_peer(edev, tb[ESPUDP_A_PEER_ID], info->extack);
	if (IS_ERR(peer))
		return PTR_ERR(peer);
	list_for_each_entry_safe(sa, tmp, &peer->sas, list)
		espudp_sa_kill(sa);
	return 0;
}

int espudp_nl_flush_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct espudp_dev *edev;

	edev = espudp_netlink_begin(info, BIT(ESPUDP_A_FLUSH) | BIT(ESPUDP_A_PEER));
	if (IS_ERR(edev))
		return PTR_ERR(edev);
	return espudp_netlink_end(info, edev, flush_objects(edev, info));
}
