// SPDX-License-Identifier: GPL-2.0
/* Generic netlink commands about peers. */
#include <linux/inet.h>
#include <linux/slab.h>
#include <net/ipv6.h>
#include "dev.h"
#include "netlink.h"
#include "netlink-gen.h"
#include "peer.h"

#define PEER_READONLY (BIT_ULL(ESPUDP_A_PEER_LOCAL_PORT) | BIT_ULL(ESPUDP_A_PEER_MTU) |	\
		       BIT_ULL(ESPUDP_A_PEER_PMTU) | BIT_ULL(ESPUDP_A_PEER_SPI_IN) |	\
		       BIT_ULL(ESPUDP_A_PEER_SPI_OUT) | BIT_ULL(ESPUDP_A_PEER_LAST_RX) | \
		       BIT_ULL(ESPUDP_A_PEER_LAST_TX) | BIT_ULL(ESPUDP_A_PEER_STATS))

static const struct espudp_netlink_nest set_nest = {
	.policy = espudp_peer_nl_policy,
	.max = ARRAY_SIZE(espudp_peer_nl_policy) - 1,
	.readonly = PEER_READONLY,
	.takes = ~PEER_READONLY,
};

static const struct espudp_netlink_nest id_nest = {
	.policy = espudp_peer_nl_policy,
	.max = ARRAY_SIZE(espudp_peer_nl_policy) - 1,
	.readonly = PEER_READONLY,
	.takes = BIT_ULL(ESPUDP_A_PEER_ID),
};

static const struct espudp_netlink_nest selector_nest = {
	.policy = espudp_selector_nl_policy,
	.max = ARRAY_SIZE(espudp_selector_nl_policy) - 1,
	.takes = ~0ULL,
};

/**
 * struct peer_change - what a request asks for, checked
 * @sels: new selectors, ours until they are in force
 * @set_sels: selectors change, to none if @sels is NULL
 * @ep: outer addresses, the new ones where they change
 * @set_ep: they change
 * @virt: virtual address that the caller chose
 * @virt_family: its family, 0 if there is no choice
 * @no_virt: the caller wants none
 */
struct peer_change {
	struct espudp_sels *sels;
	struct espudp_endpoint ep;
	struct in6_addr virt;
	u8 virt_family;
	bool no_virt;
	bool set_sels;
	bool set_ep;
};

/**
 * espudp_netlink_peer() - find the peer that an attribute names
 * @edev: device, locked
 * @id: attribute with its id
 * @extack: told if there is none
 *
 * Return: peer or -ENOENT.
 */
struct espudp_peer *espudp_netlink_peer(struct espudp_dev *edev, const struct nlattr *id,
					struct netlink_ext_ack *extack)
{
	struct espudp_peer *peer = espudp_peer_by_id(edev, nla_get_u32(id));

	if (!peer)
		return ERR_PTR(espudp_netlink_refuse(extack, id, -ENOENT, "no such peer"));
	return peer;
}

/**
 * espudp_netlink_get_addr() - read an address
 * @attr: attribute
 * @addr: set; IPv4 in the first word
 * @family: set
 * @extack: told why not
 *
 * Return: 0 or -EINVAL.
 */
int espudp_netlink_get_addr(const struct nlattr *attr, struct in6_addr *addr, u8 *family,
			    struct netlink_ext_ack *extack)
{
	if (nla_len(attr) != sizeof(struct in_addr) && nla_len(attr) != sizeof(*addr))
		return espudp_netlink_refuse(extack, attr, -EINVAL,
					     "an address has 4 octets (IPv4) or 16 (IPv6)");
	*family = nla_len(attr) == sizeof(*addr) ? AF_INET6 : AF_INET;
	memset(addr, 0, sizeof(*addr));
	memcpy(addr, nla_data(attr), nla_len(attr));
	return 0;
}

static bool any_addr(u8 family, const struct in6_addr *addr)
{
	return family == AF_INET ? !addr->s6_addr32[0] : ipv6_addr_any(addr);
}

static int get_host(const struct nlattr *attr, struct in6_addr *addr, u8 *family,
		    struct netlink_ext_ack *extack)
{
	int err = espudp_netlink_get_addr(attr, addr, family, extack);
	bool bad;

	if (err)
		return err;
	if (*family == AF_INET)
		bad = ipv4_is_multicast(addr->s6_addr32[0]) || ipv4_is_lbcast(addr->s6_addr32[0]);
	else
		bad = ipv6_addr_is_multicast(addr);
	if (bad)
		return espudp_netlink_refuse(extack, attr, -EINVAL,
					     "multicast and broadcast addresses are no peer's");
	if (*family == AF_INET6 && ipv6_addr_v4mapped(addr))
		return espudp_netlink_refuse(extack, attr, -EINVAL,
					     "give an IPv4 address in 4 octets, not mapped into IPv6");
	return 0;
}

/**
 * espudp_netlink_get_endpoint() - outer addresses as a request would leave them
 * @peer: peer, its device locked; or NULL for one to be made
 * @ep: set
 * @local: attribute, or NULL; the unspecified address stands for the route's choice
 * @remote: attribute, or NULL; the unspecified address makes that of a peer that
 *	exists unknown again
 * @port: attribute with the remote port, or NULL
 * @extack: told why not
 *
 * Return: 0 or -EINVAL.
 */
int espudp_netlink_get_endpoint(const struct espudp_peer *peer, struct espudp_endpoint *ep,
				const struct nlattr *local, const struct nlattr *remote,
				const struct nlattr *port, struct netlink_ext_ack *extack)
{
	const struct espudp_endpoint *old;
	u8 family_local, family;
	int err;

	memset(ep, 0, sizeof(*ep));
	ep->family = AF_INET;
	ep->remote_port = htons(ESPUDP_PORT_DEFAULT);
	rcu_read_lock();
	old = peer ? rcu_dereference(peer->ep) : NULL;
	if (old)
		*ep = *old;
	rcu_read_unlock();

	family = ep->family;
	if (remote) {
		err = get_host(remote, &ep->remote, &family, extack);
		if (err)
			return err;
		if (!peer && any_addr(family, &ep->remote))
			return espudp_netlink_refuse(extack, remote, -EINVAL,
						     "the unspecified address is no peer's");
		if (!local && ep->has_local && family != ep->family)
			return espudp_netlink_refuse(extack, remote, -EINVAL,
						     "local and remote address are of different families");
		if (!ep->has_local)
			ep->local = in6addr_any;
	}
	if (local) {
		err = get_host(local, &ep->local, &family_local, extack);
		if (err)
			return err;
		if ((remote || ep->has_remote) && family_local != family)
			return espudp_netlink_refuse(extack, local, -EINVAL,
						     "local and remote address are of different families");
		family = family_local;
		ep->has_local = !any_addr(family, &ep->local);
	}
	if (port) {
		if (!nla_get_u16(port))
			return espudp_netlink_refuse(extack, port, -EINVAL,
						     "port 0 is not a port");
		ep->remote_port = htons(nla_get_u16(port));
	}
	if (remote)
		ep->has_remote = !any_addr(family, &ep->remote);
	ep->family = family;
	return 0;
}

/**
 * espudp_netlink_check_remote() - may a peer be there?
 * @edev: device, locked
 * @peer: peer, or NULL for one to be made
 * @ep: outer addresses
 * @attr: the remote one's
 * @extack: told why not
 *
 * Return: 0, -EADDRINUSE or -EINVAL.
 */
int espudp_netlink_check_remote(const struct espudp_dev *edev, const struct espudp_peer *peer,
				const struct espudp_endpoint *ep, const struct nlattr *attr,
				struct netlink_ext_ack *extack)
{
	if (peer && peer->virt_family && ep->has_remote && peer->virt_family != ep->family)
		return espudp_netlink_refuse(extack, attr, -EINVAL,
					     "virtual and outer address are of different families");
	if (ep->has_remote && espudp_pool_covers(edev, ep->family, &ep->remote))
		return espudp_netlink_refuse(extack, attr, -EADDRINUSE,
					     "the outer address is one of the device's virtual addresses");
	return 0;
}

static int get_range(struct nlattr **tb, int from, const struct nlattr *nest,
		     struct in6_addr *range, u8 *family, struct netlink_ext_ack *extack)
{
	int i, err;
	u8 f;

	for (i = 0; i < 2; i++) {
		if (!tb[from + i])
			return espudp_netlink_missing(extack, nest, from + i,
						      "a selector needs both ends of the local and of the remote range");
		err = espudp_netlink_get_addr(tb[from + i], &range[i], &f, extack);
		if (err)
			return err;
		if (*family && f != *family)
			return espudp_netlink_refuse(extack, tb[from + i], -EINVAL,
						     "selector mixes IPv4 and IPv6 addresses");
		*family = f;
	}
	if (memcmp(&range[0], &range[1], sizeof(*range)) > 0)
		return espudp_netlink_refuse(extack, tb[from], -EINVAL,
					     "selector's address range ends before it begins");
	return 0;
}

static int get_ports(struct nlattr **tb, int from, const struct nlattr *nest, u16 *ports,
		     struct netlink_ext_ack *extack)
{
	ports[0] = 0;
	ports[1] = U16_MAX;
	if (!tb[from] && !tb[from + 1])
		return 0;
	if (!tb[from] || !tb[from + 1])
		return espudp_netlink_missing(extack, nest, tb[from] ? from + 1 : from,
					      "a range of ports needs both ends");
	ports[0] = nla_get_u16(tb[from]);
	ports[1] = nla_get_u16(tb[from + 1]);
	if (ports[0] > ports[1])
		return espudp_netlink_refuse(extack, tb[from], -EINVAL,
					     "selector's port range ends before it begins");
	return 0;
}

static int get_selector(const struct nlattr *nest, struct espudp_sel *sel,
			struct netlink_ext_ack *extack)
{
	struct nlattr *tb[ARRAY_SIZE(espudp_selector_nl_policy)];
	int err;

	err = espudp_netlink_parse(tb, nest, &selector_nest, extack);
	if (!err)
		err = get_range(tb, ESPUDP_A_SELECTOR_LOCAL_FROM, nest, sel->local,
				&sel->family, extack);
	if (!err)
		err = get_range(tb, ESPUDP_A_SELECTOR_REMOTE_FROM, nest, sel->remote,
				&sel->family, extack);
	if (!err)
		err = get_ports(tb, ESPUDP_A_SELECTOR_LOCAL_PORT_FROM, nest, sel->lport, extack);
	if (!err)
		err = get_ports(tb, ESPUDP_A_SELECTOR_REMOTE_PORT_FROM, nest, sel->rport,
				extack);
	if (err)
		return err;
	if (tb[ESPUDP_A_SELECTOR_PROTOCOL])
		sel->proto = nla_get_u8(tb[ESPUDP_A_SELECTOR_PROTOCOL]);
	if (tb[ESPUDP_A_SELECTOR_PRIORITY])
		sel->prio = nla_get_u32(tb[ESPUDP_A_SELECTOR_PRIORITY]);
	return 0;
}

static int get_selectors(const struct nlattr *nest, struct espudp_sels **out,
			 struct netlink_ext_ack *extack)
{
	struct espudp_sels *sels;
	struct nlattr *attr;
	unsigned int n = 0;
	int rem, err;

	nla_for_each_nested(attr, nest, rem) {
		if (nla_type(attr) != ESPUDP_A_PEER_SELECTOR)
			continue;
		if (++n > ESPUDP_SELECTORS_MAX)
			return espudp_netlink_refuse(extack, attr, -E2BIG,
						     "too many selectors: a peer may have 256");
	}
	sels = kvzalloc(struct_size(sels, sel, n), GFP_KERNEL_ACCOUNT);
	if (!sels)
		return -ENOMEM;
	nla_for_each_nested(attr, nest, rem) {
		if (nla_type(attr) != ESPUDP_A_PEER_SELECTOR)
			continue;
		err = get_selector(attr, &sels->sel[sels->n++], extack);
		if (err) {
			kvfree(sels);
			return err;
		}
	}
	*out = sels;
	return 0;
}

static u8 get_u8(const struct nlattr *attr, u8 otherwise)
{
	return attr ? nla_get_u8(attr) : otherwise;
}

/* The counterpart of AssumeUDPEncapsulationContextOnSendRule. What is not known
 * counts as no NAT.
 */
static int check_nat_scope(const struct espudp_dev *edev, const struct espudp_peer *peer,
			   struct nlattr **tb, struct netlink_ext_ack *extack)
{
	u8 role = get_u8(tb[ESPUDP_A_PEER_ROLE], peer ? peer->role : 0);
	bool here = get_u8(tb[ESPUDP_A_PEER_NAT_LOCAL], peer ? peer->nat_local : 0) ==
		    ESPUDP_NAT_YES;
	bool there = get_u8(tb[ESPUDP_A_PEER_NAT_REMOTE], peer ? peer->nat_remote : 0) ==
		     ESPUDP_NAT_YES;
	const struct nlattr *attr = tb[ESPUDP_A_PEER_NAT_LOCAL] ?: tb[ESPUDP_A_PEER_NAT_REMOTE] ?:
				    tb[ESPUDP_A_PEER_ROLE];

	if (!attr)
		return 0;
	if (edev->nat_scope == ESPUDP_NAT_SCOPE_NO_RESPONDER &&
	    ((role != ESPUDP_ROLE_INITIATOR && role != ESPUDP_ROLE_UNKNOWN && here) ||
	     (role == ESPUDP_ROLE_INITIATOR && there) || (here && there)))
		return espudp_netlink_refuse(extack, attr, -EACCES,
					     "nat-scope no-responder (0): the responder is behind a NAT");
	if (edev->nat_scope != ESPUDP_NAT_SCOPE_BOTH && here && there)
		return espudp_netlink_refuse(extack, attr, -EACCES,
					     "nat-scope responder (1): both ends are behind NATs");
	return 0;
}

/* What a peer's mode, which is for good, allows. */
static int check_mode(const struct espudp_peer *peer, struct nlattr **tb, const struct nlattr *nest,
		      struct peer_change *c, struct netlink_ext_ack *extack)
{
	const struct nlattr *virt = tb[ESPUDP_A_PEER_VIRTUAL], *from = tb[ESPUDP_A_PEER_TAKE_OVER];
	u8 mode = get_u8(tb[ESPUDP_A_PEER_MODE], peer ? peer->mode : ESPUDP_MODE_TUNNEL);
	int err;

	if (peer && mode != peer->mode)
		return espudp_netlink_refuse(extack, tb[ESPUDP_A_PEER_MODE], -EBUSY,
					     "a peer keeps its mode; make another");
	if (mode == ESPUDP_MODE_TRANSPORT && tb[ESPUDP_A_PEER_TFC] &&
	    nla_get_u16(tb[ESPUDP_A_PEER_TFC]))
		return espudp_netlink_refuse(extack, tb[ESPUDP_A_PEER_TFC], -EINVAL,
					     "traffic flow confidentiality padding needs tunnel mode (RFC 4303 section 2.7)");
	if (mode == ESPUDP_MODE_TRANSPORT && !peer && !c->ep.has_remote)
		return espudp_netlink_missing(extack, nest, ESPUDP_A_PEER_REMOTE,
					      "transport mode needs the peer's outer address");
	if (!virt && !from)
		return 0;
	if (mode != ESPUDP_MODE_TRANSPORT)
		return espudp_netlink_refuse(extack, virt ?: from, -EINVAL,
					     "virtual addresses are for transport mode");
	if (peer)
		return espudp_netlink_refuse(extack, virt ?: from, -EBUSY,
					     "a peer keeps its virtual address; make another");
	if (from && virt)
		return espudp_netlink_refuse(extack, virt, -EINVAL,
					     "a virtual address is chosen or taken over, not both");
	if (from)
		return 0;
	err = get_host(virt, &c->virt, &c->virt_family, extack);
	if (err)
		return err;
	c->no_virt = any_addr(c->virt_family, &c->virt);
	if (c->virt_family != c->ep.family && !c->no_virt)
		return espudp_netlink_refuse(extack, virt, -EINVAL,
					     "virtual and outer address are of different families");
	return 0;
}

/* Checks all that can be checked without changing anything. */
static int check(struct espudp_dev *edev, struct espudp_peer *peer, struct nlattr **tb,
		 const struct nlattr *nest, struct peer_change *c,
		 struct netlink_ext_ack *extack)
{
	int err;

	c->set_ep = !peer || tb[ESPUDP_A_PEER_LOCAL] || tb[ESPUDP_A_PEER_REMOTE] ||
		    tb[ESPUDP_A_PEER_REMOTE_PORT];
	err = espudp_netlink_get_endpoint(peer, &c->ep, tb[ESPUDP_A_PEER_LOCAL],
					  tb[ESPUDP_A_PEER_REMOTE],
					  tb[ESPUDP_A_PEER_REMOTE_PORT], extack);
	if (!err && tb[ESPUDP_A_PEER_REMOTE])
		err = espudp_netlink_check_remote(edev, peer, &c->ep, tb[ESPUDP_A_PEER_REMOTE],
						  extack);
	if (!err)
		err = check_mode(peer, tb, nest, c, extack);
	if (!err)
		err = check_nat_scope(edev, peer, tb, extack);
	if (err)
		return err;
	if (tb[ESPUDP_A_PEER_SELECTOR] && tb[ESPUDP_A_PEER_NO_SELECTORS])
		return espudp_netlink_refuse(extack, tb[ESPUDP_A_PEER_NO_SELECTORS], -EINVAL,
					     "selectors are given and taken away at once");
	c->set_sels = tb[ESPUDP_A_PEER_SELECTOR] || tb[ESPUDP_A_PEER_NO_SELECTORS];
	if (!tb[ESPUDP_A_PEER_SELECTOR])
		return 0;
	err = get_selectors(nest, &c->sels, extack);
	if (!err && espudp_select_check(c->sels, extack) < 0) {
		NL_SET_BAD_ATTR(extack, tb[ESPUDP_A_PEER_SELECTOR]);
		err = -EINVAL;
	}
	return err;
}

/**
 * espudp_netlink_sels() - a peer's selectors
 * @peer: peer, its device locked
 *
 * Return: selectors or NULL.
 */
struct espudp_sels *espudp_netlink_sels(const struct espudp_peer *peer)
{
	return rcu_dereference_protected(peer->sels, lockdep_is_held(&peer->edev->lock));
}

static void set_u8(u8 *field, const struct nlattr *attr)
{
	if (attr)
		WRITE_ONCE(*field, nla_get_u8(attr));
}

static int change(struct espudp_peer *peer, struct peer_change *c, struct nlattr **tb,
		  struct netlink_ext_ack *extack)
{
	const struct nlattr *keepalive = tb[ESPUDP_A_PEER_KEEPALIVE];
	struct espudp_endpoint *ep = NULL;
	int err;

	/* All that may fail comes first. */
	if (c->set_ep) {
		ep = kmemdup(&c->ep, sizeof(c->ep), GFP_KERNEL);
		if (!ep)
			return -ENOMEM;
	}
	if (c->set_sels) {
		err = espudp_select_set(&peer->edev->select, peer, c->sels, &c->ep, extack);
		if (err) {
			if (err != -ENOMEM)
				NL_SET_BAD_ATTR(extack, tb[ESPUDP_A_PEER_SELECTOR]);
			kfree(ep);
			return err;
		}
		c->sels = NULL;
	} else if (ep) {
		err = espudp_peer_renew(peer, ep, extack);
		if (err) {
			kfree(ep);
			return err;
		}
	}
	if (ep)
		espudp_peer_set_endpoint(peer, ep);
	if (tb[ESPUDP_A_PEER_NAME]) {
		nla_strscpy(peer->name, tb[ESPUDP_A_PEER_NAME], sizeof(peer->name));
		espudp_pool_rename(peer);
	}
	if (tb[ESPUDP_A_PEER_IKE])
		nla_strscpy(peer->ike, tb[ESPUDP_A_PEER_IKE], sizeof(peer->ike));
	if (tb[ESPUDP_A_PEER_COOKIE])
		WRITE_ONCE(peer->cookie, nla_get_u64(tb[ESPUDP_A_PEER_COOKIE]));
	set_u8(&peer->roaming, tb[ESPUDP_A_PEER_ROAMING]);
	set_u8(&peer->role, tb[ESPUDP_A_PEER_ROLE]);
	set_u8(&peer->nat_local, tb[ESPUDP_A_PEER_NAT_LOCAL]);
	set_u8(&peer->nat_remote, tb[ESPUDP_A_PEER_NAT_REMOTE]);
	if (tb[ESPUDP_A_PEER_TFC])
		WRITE_ONCE(peer->tfc, nla_get_u16(tb[ESPUDP_A_PEER_TFC]));
	if (keepalive) {
		peer->keepalive_set = true;
		espudp_peer_set_keepalive(peer, nla_get_u16(keepalive));
	} else if (tb[ESPUDP_A_PEER_NAT_LOCAL] && !peer->keepalive_set) {
		espudp_peer_set_keepalive(peer, peer->nat_local == ESPUDP_NAT_YES ?
					  ESPUDP_KEEPALIVE : 0);
	}
	peer->edev->generation++;
	return 0;
}

static int reply_id(struct sk_buff *msg, struct genl_info *info, const struct espudp_peer *peer)
{
	struct nlattr *nest;
	void *hdr;

	hdr = espudp_netlink_put_header(msg, info->snd_portid, info->snd_seq, NULL,
					ESPUDP_CMD_PEER_NEW);
	if (!hdr || espudp_netlink_put_dev(msg, peer->edev->dev))
		goto full;
	nest = nla_nest_start(msg, ESPUDP_A_PEER);
	if (!nest || nla_put_u32(msg, ESPUDP_A_PEER_ID, peer->id))
		goto full;
	nla_nest_end(msg, nest);
	genlmsg_end(msg, hdr);
	return genlmsg_reply(msg, info);

full:
	nlmsg_free(msg);
	return -EMSGSIZE;
}

/* A new peer's mode and virtual address. */
static int set_mode(struct espudp_peer *peer, struct peer_change *c, struct nlattr **tb,
		    struct espudp_peer **loser, struct netlink_ext_ack *extack)
{
	const struct nlattr *virt = tb[ESPUDP_A_PEER_VIRTUAL], *from = tb[ESPUDP_A_PEER_TAKE_OVER];
	struct espudp_dev *edev = peer->edev;
	struct espudp_peer *old;
	char name[ESPUDP_NAME_LEN] = "";
	int err;

	peer->mode = get_u8(tb[ESPUDP_A_PEER_MODE], ESPUDP_MODE_TUNNEL);
	if (peer->mode != ESPUDP_MODE_TRANSPORT || c->no_virt)
		return 0;
	if (!edev->pools.pool[c->ep.family == AF_INET6].plen)
		return virt || from ? espudp_netlink_refuse(extack, virt ?: from, -EINVAL,
				"the device has no pool of this family") : 0;
	if (from) {
		old = espudp_netlink_peer(edev, from, extack);
		if (IS_ERR(old))
			return PTR_ERR(old);
		if (old->virt_family != c->ep.family || old->virt_lost)
			return espudp_netlink_refuse(extack, from, -EINVAL,
						     "that peer has no virtual address to take over");
		*loser = old;
	}
	if (tb[ESPUDP_A_PEER_NAME])
		nla_strscpy(name, tb[ESPUDP_A_PEER_NAME], sizeof(name));
	err = espudp_pool_get(peer, c->ep.family, virt ? &c->virt : NULL, loser, name,
			      &c->ep.remote, extack);
	if (err && virt)
		NL_SET_BAD_ATTR(extack, virt);
	return err;
}

static int peer_new(struct espudp_dev *edev, struct genl_info *info)
{
	struct nlattr *tb[ARRAY_SIZE(espudp_peer_nl_policy)];
	const struct nlattr *nest = info->attrs[ESPUDP_A_PEER];
	struct netlink_ext_ack *extack = info->extack;
	struct peer_change c = {};
	struct espudp_peer *peer, *loser = NULL;
	struct sk_buff *msg;
	u32 id = 0;
	int err;

	err = espudp_netlink_parse(tb, nest, &set_nest, extack);
	if (err)
		return err;
	if (tb[ESPUDP_A_PEER_ID]) {
		id = nla_get_u32(tb[ESPUDP_A_PEER_ID]);
		if (!id)
			return espudp_netlink_refuse(extack, tb[ESPUDP_A_PEER_ID], -EINVAL,
						     "0 is no peer's id");
	}
	msg = genlmsg_new(GENLMSG_DEFAULT_SIZE, GFP_KERNEL);
	if (!msg)
		return -ENOMEM;
	err = check(edev, NULL, tb, nest, &c, extack);
	if (err)
		goto free;
	peer = espudp_peer_new(edev, id, extack);
	if (IS_ERR(peer)) {
		err = PTR_ERR(peer);
		if (err == -EEXIST)
			NL_SET_BAD_ATTR(extack, tb[ESPUDP_A_PEER_ID]);
		goto free;
	}
	err = set_mode(peer, &c, tb, &loser, extack);
	if (err) {
		espudp_peer_kill(peer);
		goto free;
	}
	err = change(peer, &c, tb, extack);
	if (!err) {
		/* Who cannot be told the id must not be left with the peer. */
		err = reply_id(msg, info, peer);
		msg = NULL;
	}
	if (!err)
		return 0;
	if (loser)
		espudp_pool_undo(peer, loser);
	espudp_peer_kill(peer);

free:
	kvfree(c.sels);
	nlmsg_free(msg);
	return err;
}

int espudp_nl_peer_new_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct espudp_dev *edev = espudp_netlink_begin(info, BIT(ESPUDP_A_PEER));

	if (IS_ERR(edev))
		return PTR_ERR(edev);
	return espudp_netlink_end(info, edev, peer_new(edev, info));
}

/* The peer that a request names. */
static struct espudp_peer *find(struct espudp_dev *edev, struct genl_info *info,
				struct nlattr **tb, const struct espudp_netlink_nest *n)
{
	const struct nlattr *nest = info->attrs[ESPUDP_A_PEER];
	int err;

	if (!nest)
		return ERR_PTR(espudp_netlink_missing(info->extack, NULL, ESPUDP_A_PEER,
						      "the peer is missing"));
	err = espudp_netlink_parse(tb, nest, n, info->extack);
	if (err)
		return ERR_PTR(err);
	if (!tb[ESPUDP_A_PEER_ID])
		return ERR_PTR(espudp_netlink_missing(info->extack, nest, ESPUDP_A_PEER_ID,
						      "the peer's id is missing"));
	return espudp_netlink_peer(edev, tb[ESPUDP_A_PEER_ID], info->extack);
}

/**
 * espudp_netlink_find_peer() - the peer of a request that takes only its id
 * @edev: device, locked
 * @info: request
 *
 * Return: peer or an error.
 */
struct espudp_peer *espudp_netlink_find_peer(struct espudp_dev *edev, struct genl_info *info)
{
	struct nlattr *tb[ARRAY_SIZE(espudp_peer_nl_policy)];

	return find(edev, info, tb, &id_nest);
}

int espudp_nl_peer_set_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct nlattr *tb[ARRAY_SIZE(espudp_peer_nl_policy)];
	struct peer_change c = {};
	struct espudp_peer *peer;
	struct espudp_dev *edev;
	int err;

	edev = espudp_netlink_begin(info, BIT(ESPUDP_A_PEER));
	if (IS_ERR(edev))
		return PTR_ERR(edev);
	peer = find(edev, info, tb, &set_nest);
	err = PTR_ERR_OR_ZERO(peer);
	if (!err)
		err = check(edev, peer, tb, info->attrs[ESPUDP_A_PEER], &c, info->extack);
	if (!err)
		err = change(peer, &c, tb, info->extack);
	kvfree(c.sels);
	return espudp_netlink_end(info, edev, err);
}

int espudp_nl_peer_del_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct espudp_peer *peer;
	struct espudp_dev *edev;

	edev = espudp_netlink_begin(info, BIT(ESPUDP_A_PEER));
	if (IS_ERR(edev))
		return PTR_ERR(edev);
	peer = espudp_netlink_find_peer(edev, info);
	if (!IS_ERR(peer))
		espudp_peer_kill(peer);
	return espudp_netlink_end(info, edev, PTR_ERR_OR_ZERO(peer));
}
