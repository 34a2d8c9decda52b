// SPDX-License-Identifier: GPL-2.0
#include <arpa/inet.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../fib.h"
#include "../util.h"
#include "device.h"

static int link_request(const char *name, uint16_t flags, bool make)
{
	struct nlattr *nest;
	struct ifinfomsg *ifi;
	struct nl rt;
	int err;

	if (nl_open_route(&rt)) {
		nl_close(&rt);
		return EIO;
	}
	rt.req = mnl_nlmsg_put_header(rt.req);
	rt.req->nlmsg_type = RTM_NEWLINK;
	rt.req->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
	ifi = mnl_nlmsg_put_extra_header(rt.req, sizeof(*ifi));
	ifi->ifi_flags = ifi->ifi_change = IFF_UP;
	nl_put(&rt, IFLA_IFNAME, name, strlen(name) + 1);
	if (make) {
		nest = nl_nest(&rt, IFLA_LINKINFO);
		nl_put(&rt, IFLA_INFO_KIND, ESPUDP_GENL_NAME,
		       sizeof(ESPUDP_GENL_NAME));
		nl_nest_end(&rt, nest);
	}
	err = nl_talk(&rt, NULL, NULL);
	if (err)
		error("device %s: %s", name,
		      rt.error.text[0] ? rt.error.text : strerror(err));
	nl_close(&rt);
	return err;
}

int device_make(const struct device_config *config)
{
	if (if_nametoindex(config->name))
		return 0;
	if (config->create)
		return link_request(config->name, NLM_F_CREATE | NLM_F_EXCL,
				    true);
	error("there is no device %s: `ip link add %s type espudp', or let the "
	      "setting create be yes",
	      config->name, config->name);
	return ENODEV;
}

static bool parse_pool(const char *text, uint8_t family, struct pool *pool)
{
	size_t len = strcspn(text, "/");
	char addr[INET6_ADDRSTRLEN], *end;
	unsigned long bits;

	if (len >= sizeof(addr) || !text[len])
		return false;
	memcpy(addr, text, len);
	addr[len] = 0;
	bits = strtoul(text + len + 1, &end, 10);
	pool->addr.family = family;
	pool->len = bits;
	SET(pool, ESPUDP_A_POOL_ADDRESS);
	SET(pool, ESPUDP_A_POOL_PREFIX_LEN);
	return inet_pton(family, addr, pool->addr.b) == 1 && bits && !*end &&
	       bits <= addr_len(&pool->addr) * 8;
}

static const struct pool *pool_of(const struct dev *dev, uint8_t family)
{
	for_each(struct pool, p, &dev->pool)
		if (p->addr.family == family && p->len)
			return p;
	return NULL;
}

/* Settings that the device has not; none where there is nothing to set. */
static int wanted(const struct device_config *config, const struct dev *now,
		  struct dev *set)
{
	const struct pool *had;
	struct pool pool;
	uint8_t family;

	if (config->fwmark && config->fwmark != now->fwmark) {
		set->fwmark = config->fwmark;
		SET(set, ESPUDP_A_DEV_FWMARK);
	}
	for (int i = 0; i < 2; i++) {
		family = i ? AF_INET6 : AF_INET;
		if (!config->pool[i])
			continue;
		memset(&pool, 0, sizeof(pool));
		if (!parse_pool(config->pool[i], family, &pool)) {
			error("pool%s = %s: not a prefix, as %s", i ? "6" : "",
			      config->pool[i],
			      i ? "fd00:1::/112" : "10.254.0.0/16");
			return EINVAL;
		}
		had = pool_of(now, family);
		if (!had) {
			*(struct pool *)list_add(&set->pool, sizeof(pool)) =
				pool;
			SET(set, ESPUDP_A_DEV_POOL);
		} else if (had->len != pool.len ||
			   !addr_equal(&had->addr, &pool.addr)) {
			note("device %s has another pool than the setting %s, "
			     "and keeps it",
			     config->name, config->pool[i]);
		}
	}
	return 0;
}

/* Should the device go, what was for its peers must not leave by another way. */
static void guard(const struct dev *dev)
{
	struct prefix prefix;
	struct nl rt;
	int err;

	if (nl_open_route(&rt)) {
		nl_close(&rt);
		return;
	}
	for_each(struct pool, p, &dev->pool) {
		prefix.addr = p->addr;
		prefix.len = p->len;
		err = fib_add(&rt, &prefix, FIB_HOLE, NULL);
		if (err && err != EEXIST)
			error("blackhole route of a pool: %s", strerror(err));
	}
	nl_close(&rt);
}

static int send_dev(struct module *m, const struct device_config *config,
		    const struct dev *dev)
{
	const struct pool *pool = dev->pool.v;
	bool six = pool && pool->addr.family == AF_INET6;
	int err = module_dev_set(m, dev);

	if (err && pool)
		error("device %s, pool%s = %s: %s", config->name,
		      six ? "6" : "", config->pool[six], module_why(m));
	else if (err)
		error("device %s: %s", config->name, module_why(m));
	return err;
}

/* The module takes one pool in a request. */
static int change(struct module *m, const struct device_config *config,
		  const struct dev *set)
{
	struct dev first = *set, second = { 0 };
	int err;

	if (set->pool.n < 2)
		return send_dev(m, config, set);
	first.pool.n = 1;
	second.pool = (struct list){ LIST(struct pool, &set->pool) + 1, 1 };
	SET(&second, ESPUDP_A_DEV_POOL);
	err = send_dev(m, config, &first);
	return err ? err : send_dev(m, config, &second);
}

static int get(struct module *m, const struct device_config *config,
	       struct dev *dev)
{
	int err = module_dev_get(m, dev);

	if (err)
		error("device %s: %s", config->name, module_why(m));
	return err;
}

int device_setup(struct module *m, const struct device_config *config,
		 struct dev *dev)
{
	struct dev set = { 0 };
	int err;

	err = get(m, config, dev);
	if (!err)
		err = wanted(config, dev, &set);
	if (!err && set.o.has) {
		err = change(m, config, &set);
		object_free(&set_dev, dev);
		if (!err)
			err = get(m, config, dev);
	}
	object_free(&set_dev, &set);
	if (err)
		return err;
	guard(dev);
	return link_request(config->name, 0, false);
}
