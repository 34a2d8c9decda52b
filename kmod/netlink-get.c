// SPDX-License-Identifier: GPL-2.0
/* Generic netlink: reading peers and SAs. Keys never leave. */
#include "dev.h"
#include "netlink.h"
#include "netlink-gen.h"
#include "peer.h"
#include "sa.h"
#include "sock.h"

/* A selector in a message: a nest of four addresses and six numbers. */
#define SELECTOR_SIZE (nla_total_size(0) + 4 * nla_total_size(sizeof(struct in6_addr)) + \
		       6 * nla_total_size(sizeof(u32)))

static const struct espudp_netlink_nest dump_nest = {
	.policy = espudp_sa_nl_policy,
	.max = ARRAY_SIZE(espudp_sa_nl_policy) - 1,
	.takes = BIT_ULL(ESPUDP_A_SA_PEER),
};

static int put_selector(struct sk_buff *msg, const struct espudp_sel *sel)
{
	unsigned int len = espudp_addr_len(sel->family);
	struct nlattr *nest = nla_nest_start(msg, ESPUDP_A_PEER_SELECTOR);

	if (!nest ||
	    nla_put(msg, ESPUDP_A_SELECTOR_LOCAL_FROM, len, &sel->local[0]) ||
	    nla_put(msg, ESPUDP_A_SELECTOR_LOCAL_TO, len, &sel->local[1]) ||
	    nla_put(msg, ESPUDP_A_SELECTOR_REMOTE_FROM, len, &sel->remote[0]) ||
	    nla_put(msg, ESPUDP_A_SELECTOR_REMOTE_TO, len, &sel->remote[1]) ||
	    nla_put_u8(msg, ESPUDP_A_SELECTOR_PROTOCOL, sel->proto) ||
	    nla_put_u32(msg, ESPUDP_A_SELECTOR_PRIORITY, sel->prio))
		return -EMSGSIZE;
	if ((sel->lport[0] || sel->lport[1] != U16_MAX) &&
	    (nla_put_u16(msg, ESPUDP_A_SELECTOR_LOCAL_PORT_FROM, sel->lport[0]) ||
	     nla_put_u16(msg, ESPUDP_A_SELECTOR_LOCAL_PORT_TO, sel->lport[1])))
		return -EMSGSIZE;
	if ((sel->rport[0] || sel->rport[1] != U16_MAX) &&
	    (nla_put_u16(msg, ESPUDP_A_SELECTOR_REMOTE_PORT_FROM, sel->rport[0]) ||
	     nla_put_u16(msg, ESPUDP_A_SELECTOR_REMOTE_PORT_TO, sel->rport[1])))
		return -EMSGSIZE;
	nla_nest_end(msg, nest);
	return 0;
}

static int put_endpoint(struct sk_buff *msg, const struct espudp_peer *peer, bool all)
{
	const struct espudp_dev *edev = peer->edev;
	const struct espudp_sock *es;
	struct espudp_endpoint ep;
	int err = espudp_netlink_get_endpoint(peer, &ep, NULL, NULL, NULL, NULL);

	if (err)
		return err;
	es = ep.family == AF_INET ?
	     rcu_dereference_protected(edev->sock4, lockdep_is_held(&edev->lock)) :
	     rcu_dereference_protected(edev->sock6, lockdep_is_held(&edev->lock));
	if ((ep.has_local &&
	     nla_put(msg, ESPUDP_A_PEER_LOCAL, espudp_addr_len(ep.family), &ep.local)) ||
	    (all && es && nla_put_u16(msg, ESPUDP_A_PEER_LOCAL_PORT, es->port)) ||
	    (ep.has_remote &&
	     nla_put(msg, ESPUDP_A_PEER_REMOTE, espudp_addr_len(ep.family), &ep.remote)) ||
	    nla_put_u16(msg, ESPUDP_A_PEER_REMOTE_PORT, be16_to_cpu(ep.remote_port)))
		return -EMSGSIZE;
	return 0;
}

static int put_settings(struct sk_buff *msg, const struct espudp_peer *peer, bool all)
{
	if (nla_put_u32(msg, ESPUDP_A_PEER_ID, peer->id) ||
	    (peer->name[0] && nla_put_string(msg, ESPUDP_A_PEER_NAME, peer->name)) ||
	    nla_put_u64_64bit(msg, ESPUDP_A_PEER_COOKIE, peer->cookie, ESPUDP_A_PEER_PAD) ||
	    nla_put_u8(msg, ESPUDP_A_PEER_MODE, peer->mode) ||
	    nla_put_u16(msg, ESPUDP_A_PEER_KEEPALIVE, peer->keepalive) ||
	    nla_put_u8(msg, ESPUDP_A_PEER_ROAMING, peer->roaming) ||
	    nla_put_u8(msg, ESPUDP_A_PEER_NAT_LOCAL, peer->nat_local) ||
	    nla_put_u8(msg, ESPUDP_A_PEER_NAT_REMOTE, peer->nat_remote) ||
	    nla_put_u16(msg, ESPUDP_A_PEER_TFC, peer->tfc) ||
	    nla_put_u8(msg, ESPUDP_A_PEER_ROLE, peer->role) ||
	    (peer->ike[0] && nla_put_string(msg, ESPUDP_A_PEER_IKE, peer->ike)) ||
	    (peer->virt_family && !peer->virt_lost &&
	     nla_put(msg, ESPUDP_A_PEER_VIRTUAL, espudp_addr_len(peer->virt_family),
		     &peer->virt)))
		return -EMSGSIZE;
	return put_endpoint(msg, peer, all);
}

static int put_spis(struct sk_buff *msg, const struct espudp_peer *peer)
{
	const struct espudp_sa *sa;

	list_for_each_entry(sa, &peer->sas, list) {
		if (sa->dir != ESPUDP_DIR_IN || sa->state == ESPUDP_SA_STATE_RESERVED)
			continue;
		if (nla_put_u32(msg, ESPUDP_A_PEER_SPI_IN, be32_to_cpu(sa->spi)))
			return -EMSGSIZE;
		break;
	}
	sa = rcu_dereference_check(peer->out, lockdep_is_held(&peer->edev->lock));
	return sa ? nla_put_u32(msg, ESPUDP_A_PEER_SPI_OUT, be32_to_cpu(sa->spi)) : 0;
}

static int put_state(struct sk_buff *msg, struct espudp_peer *peer)
{
	unsigned long last_rx = READ_ONCE(peer->last_rx);
	u32 mtu, pmtu;

	mtu = espudp_peer_mtu(peer, &pmtu);
	if ((mtu && nla_put_u32(msg, ESPUDP_A_PEER_MTU, mtu)) ||
	    (pmtu && nla_put_u32(msg, ESPUDP_A_PEER_PMTU, pmtu)) ||
	    put_spis(msg, peer))
		return -EMSGSIZE;
	if (last_rx && nla_put_u64_64bit(msg, ESPUDP_A_PEER_LAST_RX,
					 espudp_stats_ms_since(last_rx), ESPUDP_A_PEER_PAD))
		return -EMSGSIZE;
	/* @last_tx starts the keepalive timer, too. */
	if (espudp_stats_sent(peer->stats) &&
	    nla_put_u64_64bit(msg, ESPUDP_A_PEER_LAST_TX,
			      espudp_stats_ms_since(READ_ONCE(peer->last_tx)),
			      ESPUDP_A_PEER_PAD))
		return -EMSGSIZE;
	return espudp_stats_put(msg, ESPUDP_A_PEER_STATS, peer->stats, &peer->drops);
}

static int put_peer(struct sk_buff *msg, u32 portid, u32 seq, struct netlink_callback *cb,
		    struct espudp_peer *peer, bool all)
{
	const struct espudp_sels *sels = espudp_netlink_sels(peer);
	unsigned int i, prev_seq = cb ? cb->prev_seq : 0;
	struct nlattr *nest;
	void *hdr;

	hdr = espudp_netlink_put_header(msg, portid, seq, cb, ESPUDP_CMD_PEER_GET);
	if (!hdr)
		return -EMSGSIZE;
	if (espudp_netlink_put_dev(msg, peer->edev->dev))
		goto cancel;
	nest = nla_nest_start(msg, ESPUDP_A_PEER);
	if (!nest || put_settings(msg, peer, all) || put_state(msg, peer))
		goto cancel;
	for (i = 0; sels && i < sels->n; i++)
		if (put_selector(msg, &sels->sel[i]))
			goto cancel;
	nla_nest_end(msg, nest);
	genlmsg_end(msg, hdr);
	return 0;

cancel:
	genlmsg_cancel(msg, hdr);
	if (cb)		/* the header may have said that things changed */
		cb->prev_seq = prev_seq;
	return -EMSGSIZE;
}

static unsigned int peer_size(const struct espudp_peer *peer)
{
	const struct espudp_sels *sels = espudp_netlink_sels(peer);

	return GENLMSG_DEFAULT_SIZE + (sels ? sels->n * SELECTOR_SIZE : 0);
}

int espudp_nl_peer_get_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct sk_buff *msg = NULL;
	struct espudp_peer *peer;
	struct espudp_dev *edev;
	int err;

	edev = espudp_netlink_begin(info, BIT(ESPUDP_A_PEER));
	if (IS_ERR(edev))
		return PTR_ERR(edev);
	peer = espudp_netlink_find_peer(edev, info);
	err = PTR_ERR_OR_ZERO(peer);
	if (!err) {
		msg = genlmsg_new(peer_size(peer), GFP_KERNEL);
		err = msg ? put_peer(msg, info->snd_portid, info->snd_seq, NULL, peer,
				     espudp_netlink_sees_all(edev, skb)) : -ENOMEM;
	}
	err = espudp_netlink_end(info, edev, err);
	if (!err)
		return genlmsg_reply(msg, info);
	nlmsg_free(msg);
	return err;
}

/* Where a dump goes on: by id, so that deletions do not matter. */
struct peer_dump {
	int ifindex;
	unsigned long id;
	bool done;
};

int espudp_nl_peer_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct peer_dump *at = (struct peer_dump *)cb->ctx;
	u32 portid = NETLINK_CB(cb->skb).portid, seq = cb->nlh->nlmsg_seq;
	struct espudp_peer *peer;
	struct espudp_dev *edev;
	bool all;
	int err = 0;

	BUILD_BUG_ON(sizeof(*at) > sizeof(cb->ctx));
	edev = espudp_netlink_begin_dump(cb, 0, &at->ifindex);
	if (IS_ERR(edev))
		return PTR_ERR(edev);
	all = espudp_netlink_sees_all(edev, cb->skb);
	while (!at->done) {
		peer = xa_find(&edev->peers, &at->id, ULONG_MAX, XA_PRESENT);
		if (!peer)
			break;
		err = put_peer(skb, portid, seq, cb, peer, all);
		if (err && !skb->len) {
			err = espudp_netlink_make_room(skb, peer_size(peer));
			if (!err)
				err = put_peer(skb, portid, seq, cb, peer, all);
		}
		if (err)
			break;
		at->done = ++at->id > U32_MAX || !at->id;
	}
	espudp_netlink_end_dump(edev);
	return skb->len ?: err;
}

static int put_u64(struct sk_buff *msg, int attr, u64 value)
{
	return nla_put_u64_64bit(msg, attr, value, ESPUDP_A_SA_PAD);
}

static int put_lifetimes(struct sk_buff *msg, const struct espudp_lifetime *life)
{
	if ((life->soft_seconds && put_u64(msg, ESPUDP_A_SA_SOFT_SECONDS, life->soft_seconds)) ||
	    (life->hard_seconds && put_u64(msg, ESPUDP_A_SA_HARD_SECONDS, life->hard_seconds)) ||
	    (life->soft_packets && put_u64(msg, ESPUDP_A_SA_SOFT_PACKETS, life->soft_packets)) ||
	    (life->hard_packets && put_u64(msg, ESPUDP_A_SA_HARD_PACKETS, life->hard_packets)) ||
	    (life->soft_bytes && put_u64(msg, ESPUDP_A_SA_SOFT_BYTES, life->soft_bytes)) ||
	    (life->hard_bytes && put_u64(msg, ESPUDP_A_SA_HARD_BYTES, life->hard_bytes)))
		return -EMSGSIZE;
	return 0;
}

/* Only what was asked for: the rest is as it was found at installation. */
static int put_oa(struct sk_buff *msg, const struct espudp_sa *sa)
{
	const struct espudp_oa *oa = &sa->oa;
	unsigned int len = espudp_addr_len(oa->given);

	if (!oa->given)
		return 0;
	if ((oa->has_local && nla_put(msg, ESPUDP_A_SA_OA_LOCAL, len, &oa->local)) ||
	    (oa->has_remote && nla_put(msg, ESPUDP_A_SA_OA_REMOTE, len, &oa->remote)))
		return -EMSGSIZE;
	return 0;
}

/* What a reserved SPI does not have yet. */
static int put_use(struct sk_buff *msg, const struct espudp_sa *sa)
{
	const struct espudp_aead *aead = &sa->aead;
	bool in = sa->dir == ESPUDP_DIR_IN;
	unsigned long last = READ_ONCE(sa->last_used), now = jiffies;
	u32 standby = READ_ONCE(sa->life.standby);

	if (standby)	/* what is left of it */
		standby = time_before(now, sa->ready) ? jiffies_to_msecs(sa->ready - now) : 0;
	if (nla_put_string(msg, ESPUDP_A_SA_ENC, aead->enc) ||
	    (aead->auth && nla_put_string(msg, ESPUDP_A_SA_AUTH, aead->auth)) ||
	    nla_put_string(msg, ESPUDP_A_SA_DRIVER, espudp_aead_driver(aead)) ||
	    nla_put_u16(msg, ESPUDP_A_SA_ICV_BITS, aead->icv * 8) ||
	    (aead->esn && nla_put_flag(msg, ESPUDP_A_SA_ESN)) ||
	    (in && nla_put_u32(msg, ESPUDP_A_SA_REPLAY_WINDOW, sa->replay.window)) ||
	    put_u64(msg, ESPUDP_A_SA_SEQ, in ? READ_ONCE(sa->replay.top) :
					       atomic64_read(&sa->seq)) ||
	    put_u64(msg, ESPUDP_A_SA_PACKETS, espudp_sa_packets(sa)) ||
	    put_u64(msg, ESPUDP_A_SA_BYTES, atomic64_read(&sa->bytes)) ||
	    put_oa(msg, sa) ||
	    (standby && nla_put_u32(msg, ESPUDP_A_SA_STANDBY, standby)) ||
	    (last && put_u64(msg, ESPUDP_A_SA_LAST_USED, espudp_stats_ms_since(last))))
		return -EMSGSIZE;
	return espudp_stats_put(msg, ESPUDP_A_SA_STATS, sa->stats, &sa->drops);
}

static int put_sa(struct sk_buff *msg, u32 portid, u32 seq, struct netlink_callback *cb,
		  const struct espudp_sa *sa)
{
	u32 state = READ_ONCE(sa->state);
	struct nlattr *nest;
	void *hdr;

	hdr = espudp_netlink_put_header(msg, portid, seq, cb, ESPUDP_CMD_SA_GET);
	if (!hdr)
		return -EMSGSIZE;
	if (espudp_netlink_put_dev(msg, sa->edev->dev))
		goto cancel;
	nest = nla_nest_start(msg, ESPUDP_A_SA);
	if (!nest || nla_put_u32(msg, ESPUDP_A_SA_SPI, be32_to_cpu(sa->spi)) ||
	    nla_put_u8(msg, ESPUDP_A_SA_DIR, sa->dir) ||
	    (sa->peer && nla_put_u32(msg, ESPUDP_A_SA_PEER, sa->peer->id)) ||
	    nla_put_u8(msg, ESPUDP_A_SA_STATE, state) ||
	    put_u64(msg, ESPUDP_A_SA_AGE, ktime_get_boottime_seconds() - sa->installed) ||
	    put_lifetimes(msg, &sa->life) ||
	    (sa->aead.enc && put_use(msg, sa)))
		goto cancel;
	nla_nest_end(msg, nest);
	genlmsg_end(msg, hdr);
	return 0;

cancel:
	genlmsg_cancel(msg, hdr);
	return -EMSGSIZE;
}

int espudp_nl_sa_get_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct sk_buff *msg = NULL;
	struct espudp_dev *edev;
	struct espudp_sa *sa;
	int err;

	edev = espudp_netlink_begin(info, BIT(ESPUDP_A_SA));
	if (IS_ERR(edev))
		return PTR_ERR(edev);
	sa = espudp_netlink_find_sa(edev, info);
	err = PTR_ERR_OR_ZERO(sa);
	if (!err) {
		msg = genlmsg_new(GENLMSG_DEFAULT_SIZE, GFP_KERNEL);
		err = msg ? put_sa(msg, info->snd_portid, info->snd_seq, NULL, sa) : -ENOMEM;
	}
	err = espudp_netlink_end(info, edev, err);
	if (!err)
		return genlmsg_reply(msg, info);
	nlmsg_free(msg);
	return err;
}

/* Where a dump goes on: reserved SPIs without a peer, then the SAs of each
 * peer. Lists have the newest SA first, so that those below @gen remain,
 * whatever was deleted meanwhile.
 */
struct sa_dump {
	int ifindex;
	u32 gen;		/* last one of the current list; 0 for none */
	bool peers;		/* past the reserved SPIs */
	bool done;
	unsigned long peer;
};

static int dump_list(struct sk_buff *skb, struct netlink_callback *cb,
		     const struct list_head *sas, struct sa_dump *at)
{
	const struct espudp_sa *sa;

	list_for_each_entry(sa, sas, list) {
		if (at->gen && sa->gen >= at->gen)
			continue;
		if (put_sa(skb, NETLINK_CB(cb->skb).portid, cb->nlh->nlmsg_seq, cb, sa))
			return -EMSGSIZE;
		at->gen = sa->gen;
	}
	at->gen = 0;
	return 0;
}

static int dump_all(struct sk_buff *skb, struct netlink_callback *cb, struct espudp_dev *edev,
		    struct sa_dump *at)
{
	struct espudp_peer *peer;
	int err = 0;

	if (!at->peers) {
		err = dump_list(skb, cb, &edev->reserved, at);
		if (err)
			return err;
		at->peers = true;
	}
	while (!at->done) {
		unsigned long id = at->peer;

		peer = xa_find(&edev->peers, &id, ULONG_MAX, XA_PRESENT);
		if (!peer)
			break;
		if (id != at->peer)
			at->gen = 0;
		at->peer = id;
		err = dump_list(skb, cb, &peer->sas, at);
		if (err)
			break;
		at->done = ++at->peer > U32_MAX || !at->peer;
	}
	return err;
}

static int dump_peer(struct sk_buff *skb, struct netlink_callback *cb, struct espudp_dev *edev,
		     const struct nlattr *id, struct sa_dump *at)
{
	struct espudp_peer *peer;
	int err;

	if (at->done)
		return 0;
	peer = espudp_netlink_peer(edev, id, cb->extack);
	if (IS_ERR(peer))
		return PTR_ERR(peer);
	err = dump_list(skb, cb, &peer->sas, at);
	at->done = !err;
	return err;
}

int espudp_nl_sa_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb)
{
	const struct nlattr *nest = espudp_genl_dump_attrs(cb)[ESPUDP_A_SA];
	struct nlattr *tb[ARRAY_SIZE(espudp_sa_nl_policy)];
	struct sa_dump *at = (struct sa_dump *)cb->ctx;
	struct espudp_dev *edev;
	int err;

	BUILD_BUG_ON(sizeof(*at) > sizeof(cb->ctx));
	edev = espudp_netlink_begin_dump(cb, BIT(ESPUDP_A_SA), &at->ifindex);
	if (IS_ERR(edev))
		return PTR_ERR(edev);
	err = espudp_netlink_parse(tb, nest, &dump_nest, cb->extack);
	if (!err)
		err = tb[ESPUDP_A_SA_PEER] ? dump_peer(skb, cb, edev, tb[ESPUDP_A_SA_PEER], at) :
					     dump_all(skb, cb, edev, at);
	espudp_netlink_end_dump(edev);
	return skb->len ?: err;
}
