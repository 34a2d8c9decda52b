// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <linux/espudp.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "codec.h"
#include "nl.h"
#include "secret.h"
#include "util.h"

#ifndef SOL_NETLINK
#define SOL_NETLINK 270
#endif

/* A busy gateway may change during every dump. */
#define DUMP_TRIES 16

static int open_socket(struct nl *nl, int protocol)
{
	int on = 1;

	memset(nl, 0, sizeof(*nl));
	nl->sock = mnl_socket_open2(protocol, SOCK_CLOEXEC);
	if (!nl->sock || mnl_socket_bind(nl->sock, 0, MNL_SOCKET_AUTOPID))
		return error("netlink: %s", strerror(errno));
	mnl_socket_setsockopt(nl->sock, NETLINK_EXT_ACK, &on, sizeof(on));
	/* Errors must not carry the request, which may hold keys. */
	mnl_socket_setsockopt(nl->sock, NETLINK_CAP_ACK, &on, sizeof(on));
	nl->req = secret_alloc(NL_REQUEST_SIZE);
	nl->buf = xrealloc(NULL, NL_BUFFER_SIZE, 1);
	nl->seq = time(NULL);
	return OK;
}

int nl_open_route(struct nl *nl)
{
	int on = 1, ret = open_socket(nl, NETLINK_ROUTE);

	if (!ret) /* so that dumps are filtered */
		mnl_socket_setsockopt(nl->sock, NETLINK_GET_STRICT_CHK, &on,
				      sizeof(on));
	return ret;
}

void nl_family(const struct nlmsghdr *nlh, void *arg)
{
	const struct nlattr *attr, *grp, *a;
	struct nl *nl = arg;

	attr = nl_find(nlh, CTRL_ATTR_FAMILY_ID);
	if (attr)
		nl->family = mnl_attr_get_u16(attr);
	attr = nl_find(nlh, CTRL_ATTR_MCAST_GROUPS);
	if (!attr)
		return;
	mnl_attr_for_each_nested(grp, attr)
	{
		const char *name = "";
		uint32_t id = 0;

		mnl_attr_for_each_nested(a, grp)
		{
			if (mnl_attr_get_type(a) == CTRL_ATTR_MCAST_GRP_NAME)
				name = mnl_attr_get_str(a);
			if (mnl_attr_get_type(a) == CTRL_ATTR_MCAST_GRP_ID)
				id = mnl_attr_get_u32(a);
		}
		if (!strcmp(name, ESPUDP_MCGRP_EVENTS))
			nl->group = id;
		if (!strcmp(name, ESPUDP_MCGRP_IKE))
			nl->ike_group = id;
	}
}

int nl_open(struct nl *nl)
{
	int ret = open_socket(nl, NETLINK_GENERIC);

	if (ret)
		return ret;
	nl->family = GENL_ID_CTRL;
	nl_request(nl, CTRL_CMD_GETFAMILY, NULL);
	nl_put(nl, CTRL_ATTR_FAMILY_NAME, ESPUDP_GENL_NAME,
	       sizeof(ESPUDP_GENL_NAME));
	ret = nl_talk(nl, nl_family, nl);
	if (ret == ENOENT)
		return error("the kernel module is not loaded: try `modprobe "
			     "espudp'");
	if (ret)
		return error("netlink: %s", strerror(ret));
	return OK;
}

void nl_close(struct nl *nl)
{
	if (nl->sock)
		mnl_socket_close(nl->sock);
	secret_free(nl->req, NL_REQUEST_SIZE);
	free(nl->buf);
	memset(nl, 0, sizeof(*nl));
}

void nl_request(struct nl *nl, uint8_t cmd, const char *ifname)
{
	struct genlmsghdr *genl;

	nl->overflow = false;
	nl->req = mnl_nlmsg_put_header(nl->req);
	nl->req->nlmsg_type = nl->family;
	nl->req->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	genl = mnl_nlmsg_put_extra_header(nl->req, sizeof(*genl));
	genl->cmd = cmd;
	genl->version = ESPUDP_GENL_VERSION;
	if (ifname)
		nl_put(nl, ESPUDP_A_IFNAME, ifname, strlen(ifname) + 1);
}

void nl_put(struct nl *nl, uint16_t type, const void *data, size_t len)
{
	if (!mnl_attr_put_check(nl->req, NL_REQUEST_SIZE, type, len, data))
		nl->overflow = true;
}

void nl_put_u32(struct nl *nl, uint16_t type, uint32_t n)
{
	nl_put(nl, type, &n, sizeof(n));
}

struct nlattr *nl_nest(struct nl *nl, uint16_t type)
{
	struct nlattr *nest =
		mnl_attr_nest_start_check(nl->req, NL_REQUEST_SIZE, type);

	if (!nest)
		nl->overflow = true;
	return nest;
}

void nl_nest_end(struct nl *nl, struct nlattr *nest)
{
	const char *end = mnl_nlmsg_get_payload_tail(nl->req);

	if (!nest)
		return;
	if (end - (char *)nest > UINT16_MAX)
		nl->overflow = true;
	mnl_attr_nest_end(nl->req, nest);
}

/* The kernel's words, which are @offset behind the header. */
static void read_tlvs(struct nl *nl, const struct nlmsghdr *nlh, size_t offset)
{
	const struct nlattr *attr;
	size_t attr_offset = 0;
	int missing = -1;
	bool pointed = false;

	if (!(nlh->nlmsg_flags & NLM_F_ACK_TLVS))
		return;
	mnl_attr_for_each(attr, nlh, MNL_ALIGN(offset))
	{
		switch (mnl_attr_get_type(attr)) {
		case NLMSGERR_ATTR_MSG:
			snprintf(nl->error.text, sizeof(nl->error.text), "%.*s",
				 mnl_attr_get_payload_len(attr),
				 mnl_attr_get_str(attr));
			break;
		case NLMSGERR_ATTR_OFFS:
			attr_offset = mnl_attr_get_u32(attr);
			pointed = true;
			break;
		case NLMSGERR_ATTR_MISS_TYPE:
			missing = mnl_attr_get_u32(attr);
			pointed = true;
			break;
		case NLMSGERR_ATTR_MISS_NEST:
			attr_offset = mnl_attr_get_u32(attr);
			break;
		}
	}
	nl->error.missing = missing >= 0;
	if (pointed && nl->req->nlmsg_type != GENL_ID_CTRL &&
	    nl->family > GENL_ID_CTRL &&
	    !codec_path(nl->req, attr_offset, missing, nl->error.attr,
			sizeof(nl->error.attr)))
		nl->error.attr[0] = 0;
}

static void read_error(struct nl *nl, const struct nlmsghdr *nlh)
{
	const struct nlmsgerr *e = mnl_nlmsg_get_payload(nlh);
	size_t offset = sizeof(*e);

	nl->error.err = -e->error;
	if (!(nlh->nlmsg_flags & NLM_F_CAPPED))
		offset += e->msg.nlmsg_len - NLMSG_HDRLEN;
	read_tlvs(nl, nlh, offset);
}

/* The end of a dump, and whether it was refused. */
static void read_done(struct nl *nl, const struct nlmsghdr *nlh)
{
	int err = 0;

	if (mnl_nlmsg_get_payload_len(nlh) >= sizeof(err))
		err = *(int *)mnl_nlmsg_get_payload(nlh);
	if (err >= 0)
		return;
	nl->error.err = -err;
	read_tlvs(nl, nlh, sizeof(err));
}

/* Handles one message; returns whether it was the last. */
static bool receive(struct nl *nl, const struct nlmsghdr *nlh, nl_cb cb,
		    void *arg, bool *interrupted)
{
	if (nlh->nlmsg_seq != nl->seq)
		return false;
	*interrupted |= nlh->nlmsg_flags & NLM_F_DUMP_INTR;
	if (nlh->nlmsg_type == NLMSG_ERROR) {
		read_error(nl, nlh);
		return true;
	}
	if (nlh->nlmsg_type == NLMSG_DONE) {
		read_done(nl, nlh);
		return true;
	}
	if (cb && nlh->nlmsg_type >= NLMSG_MIN_TYPE)
		cb(nlh, arg);
	return false;
}

static int exchange(struct nl *nl, nl_cb cb, void *arg, bool *interrupted)
{
	const struct nlmsghdr *nlh;
	bool done = false;
	ssize_t n;
	int len;

	memset(&nl->error, 0, sizeof(nl->error));
	nl->req->nlmsg_seq = ++nl->seq;
	if (nl->overflow)
		return nl->error.err = EMSGSIZE;
	if (mnl_socket_sendto(nl->sock, nl->req, nl->req->nlmsg_len) < 0)
		return nl->error.err = errno;
	while (!done) {
		n = mnl_socket_recvfrom(nl->sock, nl->buf, NL_BUFFER_SIZE);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return nl->error.err = errno;
		len = n;
		nlh = (const struct nlmsghdr *)nl->buf;
		for (; !done && mnl_nlmsg_ok(nlh, len);
		     nlh = mnl_nlmsg_next(nlh, &len))
			done = receive(nl, nlh, cb, arg, interrupted);
	}
	return nl->error.err;
}

static void wipe_request(struct nl *nl)
{
	size_t len = nl->overflow ? NL_REQUEST_SIZE : nl->req->nlmsg_len;

	explicit_bzero(nl->req, len);
}

int nl_talk(struct nl *nl, nl_cb cb, void *arg)
{
	bool interrupted = false;
	int ret;

	ret = exchange(nl, cb, arg, &interrupted);
	wipe_request(nl);
	return ret;
}

int nl_dump(struct nl *nl, nl_cb cb, void (*reset)(void *arg), void *arg)
{
	int ret = 0;

	nl->req->nlmsg_flags |= NLM_F_DUMP;
	for (int i = 0; i < DUMP_TRIES; i++) {
		bool interrupted = false;

		if (i)
			reset(arg);
		ret = exchange(nl, cb, arg, &interrupted);
		if (!ret && interrupted)
			ret = EINTR;
		if (ret != EINTR)
			break;
	}
	wipe_request(nl);
	return ret;
}

const struct nlattr *nl_find(const struct nlmsghdr *nlh, uint16_t type)
{
	const struct nlattr *attr;

	mnl_attr_for_each(
		attr, nlh,
		sizeof(struct genlmsghdr)) if (mnl_attr_get_type(attr) ==
					       type) return attr;
	return NULL;
}
