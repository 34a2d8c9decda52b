// SPDX-License-Identifier: GPL-2.0
/* Generic netlink commands about SAs and SPIs. */
#include "dev.h"
#include "netlink.h"
#include "netlink-gen.h"
#include "peer.h"
#include "sa.h"

#define SA_READONLY (BIT_ULL(ESPUDP_A_SA_STATE) | BIT_ULL(ESPUDP_A_SA_AGE) |		\
		     BIT_ULL(ESPUDP_A_SA_PACKETS) | BIT_ULL(ESPUDP_A_SA_BYTES) |	\
		     BIT_ULL(ESPUDP_A_SA_LAST_USED) | BIT_ULL(ESPUDP_A_SA_STATS) |	\
		     BIT_ULL(ESPUDP_A_SA_DRIVER))

#define SA_ID (BIT_ULL(ESPUDP_A_SA_SPI) | BIT_ULL(ESPUDP_A_SA_DIR) |			\
	       BIT_ULL(ESPUDP_A_SA_PEER))

#define SA_LIFETIMES (BIT_ULL(ESPUDP_A_SA_SOFT_SECONDS) |				\
		      BIT_ULL(ESPUDP_A_SA_HARD_SECONDS) |				\
		      BIT_ULL(ESPUDP_A_SA_SOFT_PACKETS) |				\
		      BIT_ULL(ESPUDP_A_SA_HARD_PACKETS) |				\
		      BIT_ULL(ESPUDP_A_SA_SOFT_BYTES) |					\
		      BIT_ULL(ESPUDP_A_SA_HARD_BYTES))

#define SA_NEST(what) {							\
	.policy = espudp_sa_nl_policy,					\
	.max = ARRAY_SIZE(espudp_sa_nl_policy) - 1,			\
	.readonly = SA_READONLY,					\
	.takes = (what),						\
}

static const struct espudp_netlink_nest new_nest =
	SA_NEST(BIT_ULL(ESPUDP_A_SA_STANDBY + 1) - 1 - SA_READONLY);
static const struct espudp_netlink_nest set_nest = SA_NEST(SA_ID | SA_LIFETIMES);
static const struct espudp_netlink_nest id_nest = SA_NEST(SA_ID);

static const struct espudp_netlink_nest reserve_nest = {
	.policy = espudp_reserve_nl_policy,
	.max = ARRAY_SIZE(espudp_reserve_nl_policy) - 1,
	.readonly = BIT_ULL(ESPUDP_A_RESERVE_SPI),
	.takes = BIT_ULL(ESPUDP_A_RESERVE_PEER) | BIT_ULL(ESPUDP_A_RESERVE_SPI_MIN) |
		 BIT_ULL(ESPUDP_A_RESERVE_SPI_MAX) | BIT_ULL(ESPUDP_A_RESERVE_TIMEOUT),
};

static int check_spi(const struct nlattr *attr, struct netlink_ext_ack *extack)
{
	if (nla_get_u32(attr) >= ESPUDP_SPI_MIN)
		return 0;
	return espudp_netlink_refuse(extack, attr, -EINVAL,
				     "SPI 0 to 255 is reserved (RFC 4303)");
}

static u32 get_u32(const struct nlattr *attr, u32 otherwise)
{
	return attr ? nla_get_u32(attr) : otherwise;
}

static int reply_spi(struct sk_buff *msg, struct genl_info *info, const struct espudp_sa *sa)
{
	struct nlattr *nest;
	void *hdr;

	hdr = espudp_netlink_put_header(msg, info->snd_portid, info->snd_seq, NULL,
					ESPUDP_CMD_SPI_RESERVE);
	if (!hdr || espudp_netlink_put_dev(msg, sa->edev->dev))
		goto full;
	nest = nla_nest_start(msg, ESPUDP_A_RESERVE);
	if (!nest || nla_put_u32(msg, ESPUDP_A_RESERVE_SPI, be32_to_cpu(sa->spi)) ||
	    (sa->peer && nla_put_u32(msg, ESPUDP_A_RESERVE_PEER, sa->peer->id)))
		goto full;
	nla_nest_end(msg, nest);
	genlmsg_end(msg, hdr);
	return genlmsg_reply(msg, info);

full:
	nlmsg_free(msg);
	return -EMSGSIZE;
}

static int spi_reserve(struct espudp_dev *edev, struct genl_info *info)
{
	struct nlattr *tb[ARRAY_SIZE(espudp_reserve_nl_policy)];
	struct netlink_ext_ack *extack = info->extack;
	struct espudp_peer *peer = NULL;
	struct espudp_sa *sa;
	struct sk_buff *msg;
	u32 min, max, timeout;
	int err;

	err = espudp_netlink_parse(tb, info->attrs[ESPUDP_A_RESERVE], &reserve_nest, extack);
	if (!err && tb[ESPUDP_A_RESERVE_SPI_MIN])
		err = check_spi(tb[ESPUDP_A_RESERVE_SPI_MIN], extack);
	if (!err && tb[ESPUDP_A_RESERVE_SPI_MAX])
		err = check_spi(tb[ESPUDP_A_RESERVE_SPI_MAX], extack);
	if (err)
		return err;
	min = get_u32(tb[ESPUDP_A_RESERVE_SPI_MIN], ESPUDP_SPI_MIN);
	max = get_u32(tb[ESPUDP_A_RESERVE_SPI_MAX], U32_MAX);
	timeout = get_u32(tb[ESPUDP_A_RESERVE_TIMEOUT], ESPUDP_RESERVE_TIMEOUT);
	if (min > max)
		return espudp_netlink_refuse(extack, tb[ESPUDP_A_RESERVE_SPI_MIN], -EINVAL,
					     "the smallest SPI is larger than the largest");
	if (!timeout)
		return espudp_netlink_refuse(extack, tb[ESPUDP_A_RESERVE_TIMEOUT], -EINVAL,
					     "a reservation must expire");
	if (tb[ESPUDP_A_RESERVE_PEER]) {
		peer = espudp_netlink_peer(edev, tb[ESPUDP_A_RESERVE_PEER], extack);
		if (IS_ERR(peer))
			return PTR_ERR(peer);
	}
	msg = genlmsg_new(GENLMSG_DEFAULT_SIZE, GFP_KERNEL);
	if (!msg)
		return -ENOMEM;
	sa = espudp_sa_reserve(edev, peer, min, max, timeout, extack);
	if (IS_ERR(sa)) {
		nlmsg_free(msg);
		return PTR_ERR(sa);
	}
	err = reply_spi(msg, info, sa);
	if (err)
		espudp_sa_kill(sa);
	return err;
}

int espudp_nl_spi_reserve_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct espudp_dev *edev = espudp_netlink_begin(info, BIT(ESPUDP_A_RESERVE));

	if (IS_ERR(edev))
		return PTR_ERR(edev);
	return espudp_netlink_end(info, edev, spi_reserve(edev, info));
}

static void get_lifetimes(struct nlattr **tb, struct espudp_lifetime *life)
{
	const struct {
		int attr;
		u64 *field;
	} fields[] = {
		{ ESPUDP_A_SA_SOFT_SECONDS, &life->soft_seconds },
		{ ESPUDP_A_SA_HARD_SECONDS, &life->hard_seconds },
		{ ESPUDP_A_SA_SOFT_PACKETS, &life->soft_packets },
		{ ESPUDP_A_SA_HARD_PACKETS, &life->hard_packets },
		{ ESPUDP_A_SA_SOFT_BYTES, &life->soft_bytes },
		{ ESPUDP_A_SA_HARD_BYTES, &life->hard_bytes },
	};
	int i;

	for (i = 0; i < ARRAY_SIZE(fields); i++)
		if (tb[fields[i].attr])
			*fields[i].field = nla_get_u64(tb[fields[i].attr]);
}

/* SPI and direction, which name an SA together with its peer. */
static int check_id(struct nlattr **tb, const struct nlattr *nest,
		    struct netlink_ext_ack *extack)
{
	if (!nest)
		return espudp_netlink_missing(extack, NULL, ESPUDP_A_SA, "the SA is missing");
	if (!tb[ESPUDP_A_SA_SPI])
		return espudp_netlink_missing(extack, nest, ESPUDP_A_SA_SPI,
					      "the SA's SPI is missing");
	if (!tb[ESPUDP_A_SA_DIR])
		return espudp_netlink_missing(extack, nest, ESPUDP_A_SA_DIR,
					      "the SA's direction is missing");
	return check_spi(tb[ESPUDP_A_SA_SPI], extack);
}

static int get_params(struct nlattr **tb, const struct nlattr *nest,
		      struct espudp_aead_params *p, struct netlink_ext_ack *extack)
{
	const struct nlattr *enc_key = tb[ESPUDP_A_SA_ENC_KEY];
	const struct nlattr *auth_key = tb[ESPUDP_A_SA_AUTH_KEY];

	if (!tb[ESPUDP_A_SA_ENC])
		return espudp_netlink_missing(extack, nest, ESPUDP_A_SA_ENC,
					      "the encryption algorithm is missing");
	if (auth_key && !tb[ESPUDP_A_SA_AUTH])
		return espudp_netlink_missing(extack, nest, ESPUDP_A_SA_AUTH,
					      "the authentication algorithm is missing");
	if (tb[ESPUDP_A_SA_AUTH] && !auth_key)
		return espudp_netlink_missing(extack, nest, ESPUDP_A_SA_AUTH_KEY,
					      "the authentication key is missing");
	p->enc = nla_data(tb[ESPUDP_A_SA_ENC]);
	if (enc_key) {
		p->enc_key = nla_data(enc_key);
		p->enc_key_len = nla_len(enc_key);
	}
	if (auth_key) {
		p->auth = nla_data(tb[ESPUDP_A_SA_AUTH]);
		p->auth_key = nla_data(auth_key);
		p->auth_key_len = nla_len(auth_key);
	}
	if (tb[ESPUDP_A_SA_ICV_BITS]) {
		p->icv_bits = nla_get_u16(tb[ESPUDP_A_SA_ICV_BITS]);
		if (!p->icv_bits)
			return espudp_netlink_refuse(extack, tb[ESPUDP_A_SA_ICV_BITS], -EINVAL,
						     "wrong ICV length for this algorithm");
	}
	p->esn = nla_get_flag(tb[ESPUDP_A_SA_ESN]);
	return 0;
}

static int check_replay(const struct espudp_dev *edev, struct nlattr **tb,
			struct netlink_ext_ack *extack)
{
	const struct nlattr *window = tb[ESPUDP_A_SA_REPLAY_WINDOW];
	const struct nlattr *esn = tb[ESPUDP_A_SA_ESN], *seq = tb[ESPUDP_A_SA_SEQ];

	if (seq && !esn && nla_get_u64(seq) > U32_MAX)
		return espudp_netlink_refuse(extack, seq, -EINVAL,
					     "sequence numbers have 32 bits without ESN");
	if (nla_get_u8(tb[ESPUDP_A_SA_DIR]) == ESPUDP_DIR_OUT) {
		if (window)
			return espudp_netlink_refuse(extack, window, -EINVAL,
						     "only an inbound SA has a replay window");
		return 0;
	}
	if (esn && !get_u32(window, edev->replay_window))
		return espudp_netlink_refuse(extack, window ?: esn, -EINVAL,
					     "ESN needs a replay window (RFC 4303)");
	return 0;
}

static int get_oa_addr(const struct nlattr *attr, struct in6_addr *addr, bool *has, u8 family,
		       struct netlink_ext_ack *extack)
{
	u8 f;
	int err;

	if (!attr)
		return 0;
	err = espudp_netlink_get_addr(attr, addr, &f, extack);
	if (err)
		return err;
	if (f != family)
		return espudp_netlink_refuse(extack, attr, -EINVAL,
					     "original addresses are of the outer addresses' family");
	*has = true;
	return 0;
}

/* Addresses that checksums are over, RFC 3948 section 3.1.2. */
static int get_oa(const struct espudp_peer *peer, struct nlattr **tb, struct espudp_oa *oa,
		  struct netlink_ext_ack *extack)
{
	const struct nlattr *local = tb[ESPUDP_A_SA_OA_LOCAL], *remote = tb[ESPUDP_A_SA_OA_REMOTE];
	struct espudp_endpoint ep;
	int err;

	if (!local && !remote)
		return 0;
	if (peer->mode != ESPUDP_MODE_TRANSPORT)
		return espudp_netlink_refuse(extack, local ?: remote, -EINVAL,
					     "original addresses are of use in transport mode only");
	err = espudp_netlink_get_endpoint(peer, &ep, NULL, NULL, NULL, extack);
	if (!err)
		err = get_oa_addr(local, &oa->local, &oa->has_local, ep.family, extack);
	if (!err)
		err = get_oa_addr(remote, &oa->remote, &oa->has_remote, ep.family, extack);
	if (!err && nla_get_u8(tb[ESPUDP_A_SA_DIR]) == ESPUDP_DIR_IN && (!local || !remote))
		return espudp_netlink_refuse(extack, local ?: remote, -EINVAL,
					     "an inbound SA needs both original addresses or none");
	oa->given = ep.family;
	return err;
}

static int get_standby(struct nlattr **tb, u32 *standby, struct netlink_ext_ack *extack)
{
	const struct nlattr *attr = tb[ESPUDP_A_SA_STANDBY];

	if (attr && nla_get_u8(tb[ESPUDP_A_SA_DIR]) == ESPUDP_DIR_IN)
		return espudp_netlink_refuse(extack, attr, -EINVAL,
					     "only an outbound SA can stand by");
	*standby = get_u32(attr, 0);
	return 0;
}

/* What the installation refused, as far as it can be told. */
static void blame(struct nlattr **tb, int err, struct netlink_ext_ack *extack)
{
	if (extack->bad_attr || err == -ENOMEM)
		return;
	if (err == -EEXIST)
		NL_SET_BAD_ATTR(extack, tb[ESPUDP_A_SA_REMOTE] ?: tb[ESPUDP_A_SA_REMOTE_PORT]);
	else if (err == -ENOSPC)
		NL_SET_BAD_ATTR(extack, tb[ESPUDP_A_SA_PEER]);
	else
		NL_SET_BAD_ATTR(extack, tb[ESPUDP_A_SA_ENC]);
}

static int sa_new(struct espudp_dev *edev, struct genl_info *info)
{
	const struct nlattr *nest = info->attrs[ESPUDP_A_SA];
	struct nlattr *tb[ARRAY_SIZE(espudp_sa_nl_policy)];
	struct netlink_ext_ack *extack = info->extack;
	struct espudp_aead_params params = {};
	struct espudp_lifetime life = {};
	struct espudp_oa oa = {};
	struct espudp_peer *peer;
	struct espudp_endpoint ep;
	struct espudp_sa *sa;
	bool moves;
	u32 spi;
	u8 dir;
	int err;

	err = espudp_netlink_parse(tb, nest, &new_nest, extack);
	if (!err)
		err = check_id(tb, nest, extack);
	if (err)
		return err;
	if (!tb[ESPUDP_A_SA_PEER])
		return espudp_netlink_missing(extack, nest, ESPUDP_A_SA_PEER,
					      "the SA's peer is missing");
	peer = espudp_netlink_peer(edev, tb[ESPUDP_A_SA_PEER], extack);
	if (IS_ERR(peer))
		return PTR_ERR(peer);
	err = get_params(tb, nest, &params, extack);
	if (!err)
		err = check_replay(edev, tb, extack);
	if (!err)
		err = get_oa(peer, tb, &oa, extack);
	if (!err)
		err = get_standby(tb, &life.standby, extack);
	moves = tb[ESPUDP_A_SA_REMOTE] || tb[ESPUDP_A_SA_REMOTE_PORT];
	if (!err && moves)
		err = espudp_netlink_get_endpoint(peer, &ep, NULL, tb[ESPUDP_A_SA_REMOTE],
						  tb[ESPUDP_A_SA_REMOTE_PORT], extack);
	if (!err && tb[ESPUDP_A_SA_REMOTE] && !ep.has_remote)
		err = espudp_netlink_refuse(extack, tb[ESPUDP_A_SA_REMOTE], -EINVAL,
					    "the unspecified address is no peer's");
	if (!err && tb[ESPUDP_A_SA_REMOTE])
		err = espudp_netlink_check_remote(edev, peer, &ep, tb[ESPUDP_A_SA_REMOTE], extack);
	if (err)
		return err;
	spi = nla_get_u32(tb[ESPUDP_A_SA_SPI]);
	dir = nla_get_u8(tb[ESPUDP_A_SA_DIR]);
	err = espudp_sa_check_spi(edev, peer, spi, dir, extack);
	if (err) {
		NL_SET_BAD_ATTR(extack, tb[ESPUDP_A_SA_SPI]);
		return err;
	}
	get_lifetimes(tb, &life);
	sa = espudp_sa_new(edev, peer, spi, dir, &params,
			   get_u32(tb[ESPUDP_A_SA_REPLAY_WINDOW], edev->replay_window),
			   tb[ESPUDP_A_SA_SEQ] ? nla_get_u64(tb[ESPUDP_A_SA_SEQ]) : 0,
			   &life, moves ? &ep : NULL, &oa, extack);
	if (IS_ERR(sa))
		blame(tb, PTR_ERR(sa), extack);
	return PTR_ERR_OR_ZERO(sa);
}

int espudp_nl_sa_new_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct espudp_dev *edev = espudp_netlink_begin(info, BIT(ESPUDP_A_SA));
	int err = PTR_ERR_OR_ZERO(edev);

	if (!err)
		err = espudp_netlink_end(info, edev, sa_new(edev, info));
	espudp_netlink_wipe_keys(info->nlhdr);
	return err;
}

/* The SA that a request names. */
static struct espudp_sa *find(struct espudp_dev *edev, struct genl_info *info,
			      struct nlattr **tb, const struct espudp_netlink_nest *n)
{
	const struct nlattr *nest = info->attrs[ESPUDP_A_SA];
	struct netlink_ext_ack *extack = info->extack;
	struct espudp_peer *peer = NULL;
	struct espudp_sa *sa;
	__be32 spi;
	int err;

	err = espudp_netlink_parse(tb, nest, n, extack);
	if (!err)
		err = check_id(tb, nest, extack);
	if (err)
		return ERR_PTR(err);
	spi = cpu_to_be32(nla_get_u32(tb[ESPUDP_A_SA_SPI]));
	if (tb[ESPUDP_A_SA_PEER]) {
		peer = espudp_netlink_peer(edev, tb[ESPUDP_A_SA_PEER], extack);
		if (IS_ERR(peer))
			return ERR_CAST(peer);
	}
	if (nla_get_u8(tb[ESPUDP_A_SA_DIR]) == ESPUDP_DIR_IN) {
		sa = espudp_sa_find_in(edev, spi);
		if (sa && peer && sa->peer != peer)
			sa = NULL;
	} else if (peer) {
		sa = espudp_sa_find_out(peer, spi);
	} else {
		return ERR_PTR(espudp_netlink_missing(extack, nest, ESPUDP_A_SA_PEER,
						      "an outbound SA's peer is missing"));
	}
	if (!sa)
		return ERR_PTR(espudp_netlink_refuse(extack, tb[ESPUDP_A_SA_SPI], -ENOENT,
						     "no such SA"));
	return sa;
}

/**
 * espudp_netlink_find_sa() - the SA of a request that takes only what names it
 * @edev: device, locked
 * @info: request
 *
 * Return: SA or an error.
 */
struct espudp_sa *espudp_netlink_find_sa(struct espudp_dev *edev, struct genl_info *info)
{
	struct nlattr *tb[ARRAY_SIZE(espudp_sa_nl_policy)];

	return find(edev, info, tb, &id_nest);
}

int espudp_nl_sa_set_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct nlattr *tb[ARRAY_SIZE(espudp_sa_nl_policy)];
	struct espudp_lifetime life;
	struct espudp_dev *edev;
	struct espudp_sa *sa;
	int err;

	edev = espudp_netlink_begin(info, BIT(ESPUDP_A_SA));
	if (IS_ERR(edev))
		return PTR_ERR(edev);
	sa = find(edev, info, tb, &set_nest);
	err = PTR_ERR_OR_ZERO(sa);
	if (!err && sa->state == ESPUDP_SA_STATE_RESERVED)
		err = espudp_netlink_refuse(info->extack, tb[ESPUDP_A_SA_SPI], -EINVAL,
					    "the SPI is reserved, it has no SA yet");
	if (!err) {
		life = sa->life;
		get_lifetimes(tb, &life);
		espudp_sa_set_lifetime(sa, &life);
	}
	return espudp_netlink_end(info, edev, err);
}

int espudp_nl_sa_del_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct espudp_dev *edev;
	struct espudp_sa *sa;

	edev = espudp_netlink_begin(info, BIT(ESPUDP_A_SA));
	if (IS_ERR(edev))
		return PTR_ERR(edev);
	sa = espudp_netlink_find_sa(edev, info);
	if (!IS_ERR(sa))
		espudp_sa_kill(sa);
	return espudp_netlink_end(info, edev, PTR_ERR_OR_ZERO(sa));
}
