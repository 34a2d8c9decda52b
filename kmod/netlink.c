// SPDX-License-Identifier: GPL-2.0
/* The generic netlink family, and what its commands have in common. */
#include <linux/netdevice.h>
#include <net/sock.h>
#include "dev.h"
#include "netlink.h"
#include "netlink-gen.h"

/**
 * espudp_netlink_wipe_keys() - wipe the keys in a request
 * @nlh: request
 *
 * An error reply echoes the request, and its memory is freed as it is. Walks
 * the message itself: what does not parse has keys, too.
 */
void espudp_netlink_wipe_keys(const struct nlmsghdr *nlh)
{
	struct nlattr *attr, *key;
	int rem, rem_key;

	nlmsg_for_each_attr(attr, nlh, GENL_HDRLEN, rem) {
		if (nla_type(attr) != ESPUDP_A_SA)
			continue;
		nla_for_each_nested(key, attr, rem_key)
			if (nla_type(key) == ESPUDP_A_SA_ENC_KEY ||
			    nla_type(key) == ESPUDP_A_SA_AUTH_KEY)
				memzero_explicit(nla_data(key), nla_len(key));
	}
}

/**
 * espudp_netlink_parse() - parse a nest and refuse what the command does not take
 * @tb: set, @n->max + 1 pointers
 * @nest: nest, or NULL for an empty one
 * @n: what is taken
 * @extack: told why not
 *
 * Return: 0 or -EINVAL or the like.
 */
int espudp_netlink_parse(struct nlattr **tb, const struct nlattr *nest,
			 const struct espudp_netlink_nest *n,
			 struct netlink_ext_ack *extack)
{
	int err, i;

	if (!nest) {
		memset(tb, 0, (n->max + 1) * sizeof(*tb));
		return 0;
	}
	err = nla_parse_nested(tb, n->max, nest, n->policy, extack);
	if (err)
		return err;
	for (i = 1; i <= n->max; i++) {
		if (!tb[i] || n->takes & BIT_ULL(i))
			continue;
		if (n->readonly & BIT_ULL(i))
			return espudp_netlink_refuse(extack, tb[i], -EINVAL,
						     "this attribute is read-only");
		return espudp_netlink_refuse(extack, tb[i], -EINVAL,
					     "this attribute has no meaning in this command");
	}
	return 0;
}

/**
 * espudp_netlink_check_top() - refuse top-level attributes that a command does not take
 * @attrs: of the request
 * @takes: those that it takes besides the device, a bit for each
 * @extack: told why not
 *
 * Return: 0 or -EINVAL.
 */
int espudp_netlink_check_top(struct nlattr **attrs, u32 takes, struct netlink_ext_ack *extack)
{
	int i;

	for (i = ESPUDP_A_DEV; i < ARRAY_SIZE(espudp_nl_policy); i++)
		if (attrs[i] && !(takes & BIT(i)))
			return espudp_netlink_refuse(extack, attrs[i], -EINVAL,
						     "this attribute has no meaning in this command");
	return 0;
}

static struct espudp_dev *dev_lock(struct net_device *dev)
{
	struct espudp_dev *edev = netdev_priv(dev);

	mutex_lock(&edev->lock);
	if (!edev->dead)
		return edev;
	mutex_unlock(&edev->lock);
	return NULL;
}

static void dev_unlock(struct espudp_dev *edev)
{
	mutex_unlock(&edev->lock);
	dev_put(edev->dev);
}

/* The device of a request, held and locked. */
static struct espudp_dev *dev_find(struct net *net, const struct nlattr *index,
				   const struct nlattr *name, int ifindex,
				   struct netlink_ext_ack *extack)
{
	const struct nlattr *attr = index ?: name;
	struct espudp_dev *edev;
	struct net_device *dev;

	if (!attr)
		return ERR_PTR(espudp_netlink_missing(extack, NULL, ESPUDP_A_IFINDEX,
						      "device: ifindex or ifname is missing"));
	if (!ifindex && index)
		ifindex = nla_get_u32(index);
	dev = ifindex || index ? dev_get_by_index(net, ifindex) :
				 dev_get_by_name(net, nla_data(name));
	if (!dev)
		goto gone;
	if (!espudp_dev_from(dev)) {
		dev_put(dev);
		return ERR_PTR(espudp_netlink_refuse(extack, attr, -EOPNOTSUPP,
						     "device is not of kind espudp"));
	}
	edev = dev_lock(dev);
	if (edev)
		return edev;
	dev_put(dev);
gone:
	return ERR_PTR(espudp_netlink_refuse(extack, attr, -ENODEV, "no such device"));
}

/**
 * espudp_netlink_begin() - begin a command
 * @info: request
 * @takes: top-level attributes that the command takes besides the device, a bit
 *	for each
 *
 * Return: the device, held and locked, for espudp_netlink_end(); or an error.
 */
struct espudp_dev *espudp_netlink_begin(struct genl_info *info, u32 takes)
{
	int err;

	if (info->genlhdr->cmd != ESPUDP_CMD_SA_NEW)
		espudp_netlink_wipe_keys(info->nlhdr);
	err = espudp_netlink_check_top(info->attrs, takes, info->extack);
	if (err)
		return ERR_PTR(err);
	return dev_find(genl_info_net(info), info->attrs[ESPUDP_A_IFINDEX],
			info->attrs[ESPUDP_A_IFNAME], 0, info->extack);
}

/**
 * espudp_netlink_end() - end a command
 * @info: request
 * @edev: device; unlocked and released
 * @err: the command's result
 *
 * Return: @err.
 */
int espudp_netlink_end(struct genl_info *info, struct espudp_dev *edev, int err)
{
	dev_unlock(edev);
	espudp_netlink_explain(info->extack, err);
	return err;
}

/**
 * espudp_netlink_begin_dump() - begin a part of a dump of one device's objects
 * @cb: dump
 * @takes: as for espudp_netlink_begin()
 * @ifindex: kept with the dump, at first 0: a name may be another device's later
 *
 * Return: the device, held and locked; or an error.
 */
struct espudp_dev *espudp_netlink_begin_dump(struct netlink_callback *cb, u32 takes,
					     int *ifindex)
{
	struct nlattr **attrs = espudp_genl_dump_attrs(cb);
	struct espudp_dev *edev;
	int err;

	espudp_netlink_wipe_keys(cb->nlh);
	err = espudp_netlink_check_top(attrs, takes, cb->extack);
	if (err)
		return ERR_PTR(err);
	edev = dev_find(sock_net(cb->skb->sk), attrs[ESPUDP_A_IFINDEX],
			attrs[ESPUDP_A_IFNAME], *ifindex, cb->extack);
	if (IS_ERR(edev))
		return edev;
	*ifindex = edev->dev->ifindex;
	/* Never 0, which would mean that changes are not looked for. */
	cb->seq = edev->generation << 1 | 1;
	return edev;
}

/**
 * espudp_netlink_end_dump() - end a part of a dump
 * @edev: device; unlocked and released
 */
void espudp_netlink_end_dump(struct espudp_dev *edev)
{
	dev_unlock(edev);
}

/**
 * espudp_netlink_is_creator() - has the caller rights where the device was created?
 * @edev: device, locked
 * @req: request
 *
 * Return: whether it has CAP_NET_ADMIN there.
 */
bool espudp_netlink_is_creator(const struct espudp_dev *edev, struct sk_buff *req)
{
	return edev->net && netlink_ns_capable(req, edev->net->user_ns, CAP_NET_ADMIN);
}

/**
 * espudp_netlink_sees_all() - may settings of the creation namespace be shown?
 * @edev: device, locked
 * @req: request; it came from the namespace that the device is in
 *
 * Return: false for who has rights only where the device was moved to.
 */
bool espudp_netlink_sees_all(const struct espudp_dev *edev, struct sk_buff *req)
{
	return net_eq(sock_net(req->sk), edev->net) || espudp_netlink_is_creator(edev, req);
}

/**
 * espudp_netlink_put_header() - start a message
 * @msg: netlink message
 * @portid: receiver
 * @seq: of the request
 * @cb: dump it is a part of, or NULL
 * @cmd: command
 *
 * Return: header for genlmsg_end(), or NULL if there is no room.
 */
void *espudp_netlink_put_header(struct sk_buff *msg, u32 portid, u32 seq,
				struct netlink_callback *cb, u8 cmd)
{
	void *hdr = genlmsg_put(msg, portid, seq, &espudp_genl_family, cb ? NLM_F_MULTI : 0,
				cmd);

	if (hdr && cb)
		genl_dump_check_consistent(cb, hdr);
	return hdr;
}

/**
 * espudp_netlink_put_dev() - put a device's index and name
 * @msg: netlink message
 * @dev: device; may be renamed meanwhile
 *
 * Return: 0 or -EMSGSIZE.
 */
int espudp_netlink_put_dev(struct sk_buff *msg, const struct net_device *dev)
{
	char name[IFNAMSIZ];

	strscpy(name, dev->name, sizeof(name));
	if (nla_put_u32(msg, ESPUDP_A_IFINDEX, dev->ifindex))
		return -EMSGSIZE;
	return nla_put_string(msg, ESPUDP_A_IFNAME, name);
}

/**
 * espudp_netlink_make_room() - let an empty dump message hold something large
 * @msg: netlink message of a dump, nothing in it
 * @size: octets
 *
 * Return: 0 or -ENOMEM.
 */
int espudp_netlink_make_room(struct sk_buff *msg, unsigned int size)
{
	if (skb_tailroom(msg) >= size)
		return 0;
	return pskb_expand_head(msg, 0, size - skb_tailroom(msg), GFP_KERNEL);
}

static const struct genl_multicast_group mcgrps[] = {
	[ESPUDP_NLGRP_EVENTS] = {
		.name = ESPUDP_MCGRP_EVENTS,
		.flags = GENL_MCAST_CAP_NET_ADMIN,
	},
	[ESPUDP_NLGRP_IKE] = {
		.name = ESPUDP_MCGRP_IKE,
		.flags = GENL_MCAST_CAP_NET_ADMIN,
	},
};

static struct nla_policy policy[ARRAY_SIZE(espudp_nl_policy)] __ro_after_init;

struct genl_family espudp_genl_family __ro_after_init = {
	.name = ESPUDP_GENL_NAME,
	.version = ESPUDP_GENL_VERSION,
	.module = THIS_MODULE,
	.netnsok = true,
	.parallel_ops = true,
	.policy = policy,
	.maxattr = ARRAY_SIZE(policy) - 1,
	.small_ops = espudp_nl_ops,
	.n_small_ops = ARRAY_SIZE(espudp_nl_ops),
	.mcgrps = mcgrps,
	.n_mcgrps = ARRAY_SIZE(mcgrps),
};

/**
 * espudp_netlink_init() - register the family
 *
 * Return: 0 or an error.
 */
int __init espudp_netlink_init(void)
{
	memcpy(policy, espudp_nl_policy, sizeof(policy));
	/* Handlers look into it themselves, by the generated policy: what the
	 * core refused would be echoed with its keys.
	 */
	policy[ESPUDP_A_SA].nested_policy = NULL;
	policy[ESPUDP_A_SA].len = 0;
	return genl_register_family(&espudp_genl_family);
}

/**
 * espudp_netlink_exit() - unregister the family
 */
void espudp_netlink_exit(void)
{
	genl_unregister_family(&espudp_genl_family);
}
