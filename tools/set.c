// SPDX-License-Identifier: GPL-2.0
#include <string.h>

#include "codec.h"
#include "commands.h"
#include "explain.h"
#include "lookup.h"
#include "nl.h"
#include "shield.h"
#include "virtual.h"

static int parse_words(struct words *w, struct dev *dev)
{
	const char *word, *value;
	const struct field *f;
	bool pool6;
	int ret = OK;

	if (!w->n)
		return usage(
			"set: a setting is expected, see `espudp help set'");
	while (!ret && (word = words_next(w))) {
		pool6 = !strcmp(word, "pool6");
		f = parse_word(&set_dev, word);
		if (!f && !pool6 && strcmp(word, "pool"))
			return usage("unknown setting `%s', see `espudp help "
				     "set'",
				     word);
		if (f && dev->o.has >> f->attr & 1)
			return usage("`%s' is given twice", word);
		ret = words_value(w, word, &value);
		if (!ret && f)
			ret = parse_field(f, dev, word, value);
		else if (!ret)
			ret = parse_pool(word, value,
					 pool6 ? AF_INET6 : AF_INET,
					 &dev->pool);
	}
	return ret;
}

static int send_dev(struct nl *nl, const char *ifname, struct dev *dev)
{
	struct request r = { .cmd = ESPUDP_CMD_DEV_SET, .dev = dev };

	if (dev->pool.n)
		SET(dev, ESPUDP_A_DEV_POOL);
	nl_request(nl, ESPUDP_CMD_DEV_SET, ifname);
	codec_encode(nl, ESPUDP_A_DEV, &set_dev, dev);
	return nl_talk(nl, NULL, NULL) ? explain(nl, ifname, &r) : OK;
}

/* The pool that stands for what there was. */
static struct pool old_pool(const struct dev *old, uint8_t family)
{
	const struct pool *pool = virtual_pool(old, family);
	struct pool none = { .addr.family = family };

	if (pool)
		return *pool;
	SET(&none, ESPUDP_A_POOL_ADDRESS);
	return none;
}

/* The module takes one pool in a request, which may be refused whole: the other
 * goes first, and back.
 */
static int change(struct nl *nl, const char *ifname, struct dev *dev,
		  const struct dev *old)
{
	struct pool *pools = dev->pool.v, back;
	struct dev first = { .pool = { pools, 1 } }, last = *dev;
	int ret;

	if (dev->pool.n < 2)
		return send_dev(nl, ifname, dev);
	last.pool = (struct list){ pools + 1, 1 };
	ret = send_dev(nl, ifname, &first);
	if (ret)
		return ret;
	ret = send_dev(nl, ifname, &last);
	if (ret) {
		back = old_pool(old, pools->addr.family);
		first.pool.v = &back;
		send_dev(nl, ifname, &first);
	}
	return ret;
}

/* The guard of a pool comes before it, and goes when somebody says `none'; what
 * a pool gives way to leaves it behind.
 */
static int change_pools(struct nl *nl, const char *ifname, struct dev *dev)
{
	struct list devs = { 0 };
	struct protect protect;
	const struct dev *old;
	int ret = lookup_devs(nl, ifname, &devs);

	if (ret)
		return ret;
	old = LIST(struct dev, &devs);
	ret = protect_begin(&protect, ifname);
	if (!ret)
		ret = virtual_guard(&protect, &dev->pool);
	if (!ret)
		ret = change(nl, ifname, dev, old);
	if (ret)
		protect_undo(&protect);
	for_each(struct pool, pool, &dev->pool) {
		const struct pool *was = virtual_pool(old, pool->addr.family);
		struct prefix prefix;

		if (ret || !was ||
		    (was->len == pool->len &&
		     addr_equal(&was->addr, &pool->addr)))
			continue;
		ret = virtual_forget(&protect, was);
		prefix = virtual_prefix(was);
		if (!ret && !pool->len)
			ret = protect_remove(&protect,
					     &(struct list){ &prefix, 1 },
					     PROTECT_HOLE);
	}
	protect_end(&protect, true);
	objects_free(&set_dev, &devs);
	return ret ? ret : shield_renew();
}

static int check_bound(struct nl *nl, const char *ifname, const struct dev *dev)
{
	struct list devs = { 0 };
	int ret = lookup_devs(nl, ifname, &devs);

	if (!ret)
		ret = lookup_bound(dev, &devs);
	objects_free(&set_dev, &devs);
	return ret;
}

int cmd_set(struct words *w)
{
	struct dev dev = { 0 };
	struct nl nl = { 0 };
	const char *ifname;
	int ret;

	ret = take_dev(w, &ifname);
	if (!ret)
		ret = parse_words(w, &dev);
	if (!ret)
		ret = nl_open(&nl);
	if (!ret && dev.bound_named)
		ret = check_bound(&nl, ifname, &dev);
	if (!ret && dev.pool.n)
		ret = change_pools(&nl, ifname, &dev);
	else if (!ret)
		ret = send_dev(&nl, ifname, &dev);
	object_free(&set_dev, &dev);
	nl_close(&nl);
	return ret;
}
