// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <linux/genetlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include <processing/watcher.h>

#include "../codec.h"
#include "../nl.h"
#include "events.h"

/* The controller's own group, by which families come and go. */
#define CTRL_GROUP GENL_ID_CTRL

/* An error without a message is POLLERR alone: before 5.9.12 an event of its own,
 * on which watcher_t spins where nobody asked for it.
 */
#ifdef HAVE_WATCHER_EXCEPT
#define WATCHED (WATCHER_READ | WATCHER_EXCEPT)
#else
#define WATCHED WATCHER_READ
#endif

struct events_t {
	char *device;
	struct nl genl, link;
	events_handler_t handler;
};

static void unloaded(events_t *this)
{
	if (!this->genl.family)
		return;
	this->genl.family = 0;
	DBG1(DBG_KNL,
	     "espudp: the kernel module was unloaded; nothing is sent or "
	     "received until it is back");
	this->handler.gone(this->handler.data);
}

/* A family that is another than before says that that one went. */
static void loaded(events_t *this, const struct nl *now)
{
	if (now->family == this->genl.family)
		return;
	unloaded(this);
	this->genl.family = now->family;
	this->genl.group = now->group;
	mnl_socket_setsockopt(this->genl.sock, NETLINK_ADD_MEMBERSHIP,
			      &this->genl.group, sizeof(this->genl.group));
	DBG1(DBG_KNL, "espudp: the kernel module was loaded again");
	this->handler.back(this->handler.data);
}

static void on_controller(events_t *this, const struct nlmsghdr *nlh)
{
	const struct genlmsghdr *genl = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *name = nl_find(nlh, CTRL_ATTR_FAMILY_NAME);
	struct nl now = { 0 };

	if (!name || !streq(mnl_attr_get_str(name), ESPUDP_GENL_NAME))
		return;
	nl_family(nlh, &now);
	if (genl->cmd == CTRL_CMD_NEWFAMILY)
		loaded(this, &now);
	else if (genl->cmd == CTRL_CMD_DELFAMILY &&
		 now.family == this->genl.family)
		unloaded(this);
}

/* What the controller said may be lost as well. */
static void look_up(events_t *this)
{
	struct nl now;

	if (!nl_open(&now))
		loaded(this, &now);
	else if (now.error.err == ENOENT)
		unloaded(this);
	nl_close(&now);
}

static void on_genl(events_t *this, const struct nlmsghdr *nlh)
{
	const struct genlmsghdr *genl = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *name, *nest;
	struct event event = { 0 };

	if (nlh->nlmsg_type == GENL_ID_CTRL) {
		on_controller(this, nlh);
		return;
	}
	if (nlh->nlmsg_type != this->genl.family ||
	    genl->cmd != ESPUDP_CMD_EVENT)
		return;
	name = nl_find(nlh, ESPUDP_A_IFNAME);
	nest = nl_find(nlh, ESPUDP_A_EVENT);
	if (!name || !nest || !streq(mnl_attr_get_str(name), this->device))
		return;
	codec_decode(&set_event, nest, &event);
	this->handler.event(this->handler.data, &event);
	object_free(&set_event, &event);
}

static void on_link(events_t *this, const struct nlmsghdr *nlh)
{
	const struct nlattr *attr;

	if (nlh->nlmsg_type != RTM_NEWLINK && nlh->nlmsg_type != RTM_DELLINK)
		return;
	mnl_attr_for_each(attr, nlh, sizeof(struct ifinfomsg))
	{
		if (mnl_attr_get_type(attr) == IFLA_IFNAME &&
		    streq(mnl_attr_get_str(attr), this->device))
			this->handler.link(this->handler.data);
	}
}

/* Reads all there is, also an error; the descriptor does not block. Whether
 * something was lost.
 */
static bool receive(events_t *this, struct nl *nl,
		    void (*on)(events_t *, const struct nlmsghdr *))
{
	const struct nlmsghdr *nlh;
	bool overrun = FALSE;
	ssize_t n;
	int len;

	for (;;) {
		n = mnl_socket_recvfrom(nl->sock, nl->buf, NL_BUFFER_SIZE);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == ENOBUFS) {
			overrun = TRUE;
			continue;
		}
		if (n < 0)
			break;
		len = n;
		nlh = (const struct nlmsghdr *)nl->buf;
		for (; mnl_nlmsg_ok(nlh, len); nlh = mnl_nlmsg_next(nlh, &len))
			on(this, nlh);
	}
	return overrun;
}

static bool readable(void *data, int fd, watcher_event_t event)
{
	events_t *this = data;

	if (receive(this, &this->genl, on_genl)) {
		look_up(this);
		this->handler.overrun(this->handler.data);
	}
	return TRUE;
}

static bool link_readable(void *data, int fd, watcher_event_t event)
{
	events_t *this = data;

	if (receive(this, &this->link, on_link))
		this->handler.link(this->handler.data);
	return TRUE;
}

static bool join(struct nl *nl, uint32_t group)
{
	int fd = mnl_socket_get_fd(nl->sock);

	return group &&
	       !mnl_socket_setsockopt(nl->sock, NETLINK_ADD_MEMBERSHIP, &group,
				      sizeof(group)) &&
	       !fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

events_t *events_create(const char *device, const events_handler_t *handler)
{
	events_t *this;

	INIT(this, .device = strdup(device), .handler = *handler);
	if (nl_open(&this->genl) || nl_open_route(&this->link) ||
	    !join(&this->genl, this->genl.group) ||
	    !join(&this->genl, CTRL_GROUP) ||
	    !join(&this->link, RTNLGRP_LINK)) {
		DBG1(DBG_KNL, "espudp: events: %s", strerror(errno));
		nl_close(&this->genl);
		nl_close(&this->link);
		free(this->device);
		free(this);
		return NULL;
	}
	lib->watcher->add(lib->watcher, mnl_socket_get_fd(this->genl.sock),
			  WATCHED, readable, this);
	lib->watcher->add(lib->watcher, mnl_socket_get_fd(this->link.sock),
			  WATCHED, link_readable, this);
	return this;
}

void events_destroy(events_t *this)
{
	if (!this)
		return;
	lib->watcher->remove(lib->watcher, mnl_socket_get_fd(this->genl.sock));
	lib->watcher->remove(lib->watcher, mnl_socket_get_fd(this->link.sock));
	nl_close(&this->genl);
	nl_close(&this->link);
	free(this->device);
	free(this);
}
