// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

#include "fib.h"

/* The metric that the kernel gives to an IPv6 route that asks for none. */
#define IP6_METRIC 1024

static uint8_t type_of(uint32_t ifindex)
{
	switch (ifindex) {
	case FIB_GUARD:
		return RTN_UNREACHABLE;
	case FIB_HOLE:
		return RTN_BLACKHOLE;
	default:
		return RTN_UNICAST;
	}
}

static struct rtmsg *request(struct nl *rt, uint16_t type, uint16_t flags)
{
	rt->overflow = false;
	rt->req = mnl_nlmsg_put_header(rt->req);
	rt->req->nlmsg_type = type;
	rt->req->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
	return mnl_nlmsg_put_extra_header(rt->req, sizeof(struct rtmsg));
}

static int change(struct nl *rt, uint16_t type, uint16_t flags,
		  const struct prefix *p, uint32_t ifindex,
		  const struct addr *src)
{
	bool device = type_of(ifindex) == RTN_UNICAST;
	bool ip6 = p->addr.family == AF_INET6;
	struct rtmsg *rtm = request(rt, type, flags);

	rtm->rtm_family = p->addr.family;
	rtm->rtm_dst_len = p->len;
	rtm->rtm_table = RT_TABLE_MAIN;
	rtm->rtm_protocol = RTPROT_STATIC;
	rtm->rtm_scope = RT_SCOPE_UNIVERSE;
	rtm->rtm_type = type_of(ifindex);
	if (device) {
		if (!ip6)
			rtm->rtm_scope = RT_SCOPE_LINK;
		nl_put_u32(rt, RTA_OIF, ifindex);
	}
	nl_put(rt, RTA_DST, p->addr.b, addr_len(&p->addr));
	if (src)
		nl_put(rt, RTA_PREFSRC, src->b, addr_len(src));
	if (!device)
		nl_put_u32(rt, RTA_PRIORITY, FIB_GUARD_METRIC);
	else if (ip6)
		nl_put_u32(rt, RTA_PRIORITY, IP6_METRIC);
	return nl_talk(rt, NULL, NULL);
}

int fib_add(struct nl *rt, const struct prefix *p, uint32_t ifindex,
	    const struct addr *src)
{
	return change(rt, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, p, ifindex,
		      src);
}

int fib_del(struct nl *rt, const struct prefix *p, uint32_t ifindex)
{
	int err = change(rt, RTM_DELROUTE, 0, p, ifindex, NULL);

	/* ENODEV: the device went, and its routes with it. */
	return err == ESRCH || err == ENODEV ? 0 : err;
}

struct dump {
	uint32_t ifindex;
	struct list *routes;
	size_t start;
};

static void get_addr(const struct nlattr *attr, uint8_t family, struct addr *a)
{
	size_t len = mnl_attr_get_payload_len(attr);

	a->family = family;
	if (len <= sizeof(a->b))
		memcpy(a->b, mnl_attr_get_payload(attr), len);
}

static void on_route(const struct nlmsghdr *nlh, void *arg)
{
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
	uint32_t table = rtm->rtm_table;
	const struct nlattr *attr;
	struct fib_route r = { .type = rtm->rtm_type,
			       .protocol = rtm->rtm_protocol };
	struct dump *d = arg;

	r.prefix.addr.family = rtm->rtm_family;
	r.prefix.len = rtm->rtm_dst_len;
	mnl_attr_for_each(attr, nlh, sizeof(*rtm))
	{
		switch (mnl_attr_get_type(attr)) {
		case RTA_DST:
			get_addr(attr, rtm->rtm_family, &r.prefix.addr);
			break;
		case RTA_PREFSRC:
			get_addr(attr, rtm->rtm_family, &r.src);
			break;
		case RTA_OIF:
			r.ifindex = mnl_attr_get_u32(attr);
			break;
		case RTA_PRIORITY:
			r.metric = mnl_attr_get_u32(attr);
			break;
		case RTA_TABLE:
			table = mnl_attr_get_u32(attr);
			break;
		}
	}
	if (table != RT_TABLE_MAIN || rtm->rtm_flags & RTM_F_CLONED)
		return;
	if (r.type != type_of(d->ifindex) ||
	    (r.type == RTN_UNICAST ? r.ifindex != d->ifindex :
				     r.metric != FIB_GUARD_METRIC))
		return;
	*(struct fib_route *)list_add(d->routes, sizeof(r)) = r;
}

static void reset(void *arg)
{
	struct dump *d = arg;

	d->routes->n = d->start;
}

static int dump_family(struct nl *rt, uint8_t family, uint32_t ifindex,
		       struct list *routes)
{
	struct dump d = { ifindex, routes, routes->n };
	struct rtmsg *rtm = request(rt, RTM_GETROUTE, 0);
	int err;

	/* The kernel filters, or a router's whole table would come. */
	rtm->rtm_family = family;
	rtm->rtm_type = type_of(ifindex);
	if (rtm->rtm_type == RTN_UNICAST)
		nl_put_u32(rt, RTA_OIF, ifindex);
	nl_put_u32(rt, RTA_TABLE, RT_TABLE_MAIN);
	err = nl_dump(rt, on_route, reset, &d);
	/* No such table yet; no IPv6; read in motion. */
	if (err == ENOENT || err == EAFNOSUPPORT || err == EOPNOTSUPP ||
	    err == EINTR)
		err = 0;
	return err;
}

int fib_dump(struct nl *rt, uint32_t ifindex, struct list *routes)
{
	int err = dump_family(rt, AF_INET, ifindex, routes);

	if (!err)
		err = dump_family(rt, AF_INET6, ifindex, routes);
	if (routes->n)
		qsort(routes->v, routes->n, sizeof(struct fib_route),
		      prefix_cmp);
	return err;
}

const struct fib_route *fib_find(const struct list *routes,
				 const struct prefix *p)
{
	if (!routes->n)
		return NULL;
	return bsearch(p, routes->v, routes->n, sizeof(struct fib_route),
		       prefix_cmp);
}

static void on_source(const struct nlmsghdr *nlh, void *arg)
{
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attr;

	mnl_attr_for_each(attr, nlh,
			  sizeof(*rtm)) if (mnl_attr_get_type(attr) ==
					    RTA_PREFSRC)
		get_addr(attr, rtm->rtm_family, arg);
}

int fib_source(struct nl *rt, const struct addr *to, uint32_t mark,
	       uint32_t bound_ifindex, struct addr *src)
{
	struct rtmsg *rtm = request(rt, RTM_GETROUTE, 0);
	int err;

	rtm->rtm_family = to->family;
	rtm->rtm_dst_len = addr_len(to) * 8;
	nl_put(rt, RTA_DST, to->b, addr_len(to));
	if (mark)
		nl_put_u32(rt, RTA_MARK, mark);
	if (bound_ifindex)
		nl_put_u32(rt, RTA_OIF, bound_ifindex);
	memset(src, 0, sizeof(*src));
	err = nl_talk(rt, on_source, src);
	return !err && !src->family ? ENETUNREACH : err;
}
