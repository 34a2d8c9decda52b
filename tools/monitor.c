// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <inttypes.h>
#include <linux/genetlink.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "codec.h"
#include "commands.h"
#include "format.h"
#include "json.h"
#include "lookup.h"
#include "nl.h"
#include "print.h"

struct monitor {
	struct nl nl; /* for dumps */
	struct nl events; /* where events come */
	const char *ifname;
	bool ike; /* IKE datagrams, else all other events */
	bool gone; /* the module */
};

static const char *timestamp(void)
{
	struct timespec ts;
	struct tm tm;
	char text[32];

	clock_gettime(CLOCK_REALTIME, &ts);
	localtime_r(&ts.tv_sec, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	return format("%s.%03ld", text, ts.tv_nsec / 1000000);
}

static const char *sa_words(const struct event *e)
{
	if (!HAS(e, ESPUDP_A_EVENT_SPI))
		return "";
	return format(" SA %s 0x%08x",
		      HAS(e, ESPUDP_A_EVENT_DIR) ?
			      names_get(&names_dir, e->dir) :
			      "in",
		      e->spi);
}

static const char *count_words(const struct event *e)
{
	return HAS(e, ESPUDP_A_EVENT_COUNT) ?
		       format(" %" PRIu64 " times", e->count) :
		       "";
}

static void print_ike(const struct event *e)
{
	printf(" from %s to %s", format_endpoint(&e->remote, e->remote_port),
	       format_endpoint(&e->local, e->local_port));
	if (HAS(e, ESPUDP_A_EVENT_EXCHANGE))
		printf(" %s i=0x%016" PRIx64 " r=0x%016" PRIx64 " id 0x%08x",
		       format_ike(e->version, e->exchange, e->ike_flags),
		       e->initiator_spi, e->responder_spi, e->message_id);
	else
		fputs(" too short for IKE", stdout);
	printf(" length %u", e->length);
	if (!e->ifindex)
		fputs(", of a moved device", stdout);
}

static void print_words(const struct event *e)
{
	if (HAS(e, ESPUDP_A_EVENT_PEER) && e->peer)
		printf(" peer %s", format_peer(e->name, e->peer));
	fputs(sa_words(e), stdout);
	if (HAS(e, ESPUDP_A_EVENT_CAUSE))
		printf(" (%s)", names_get(&names_expire_cause, e->cause));
	if (HAS(e, ESPUDP_A_EVENT_OLD_REMOTE))
		printf(" from %s",
		       format_endpoint(&e->old_remote, e->old_remote_port));
	if (HAS(e, ESPUDP_A_EVENT_REMOTE))
		printf(" %s %s",
		       HAS(e, ESPUDP_A_EVENT_OLD_REMOTE) ? "to" : "at",
		       format_endpoint(&e->remote, e->remote_port));
	fputs(count_words(e), stdout);
}

static void print_event(const struct event *e)
{
	printf("%s %s %s%s%s", timestamp(), format_name(e->ifname, false),
	       colour(C_BOLD), names_get(&names_event_type, e->type),
	       colour(C_RESET));
	if (e->type == ESPUDP_EVENT_TYPE_IKE)
		print_ike(e);
	else
		print_words(e);
	if (e->lost)
		printf(", %u more not told", e->lost);
	for_each(struct unknown, u, &e->o.unknown)
		printf(", unknown attribute %u: %u octets", u->type, u->len);
	putchar('\n');
}

static struct json_object *json_event(const struct event *e)
{
	struct json_object *o = json_object_of(&set_event, e);

	json_add_string(o, "time", timestamp());
	json_add_ifname(o, e->ifname);
	if (e->ifindex)
		json_add_number(o, "ifindex", e->ifindex);
	return o;
}

/* The module is gone, and with it our membership: nothing would ever come. */
static bool is_farewell(const struct nlmsghdr *nlh, const struct monitor *m)
{
	const struct genlmsghdr *genl = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attr;

	if (nlh->nlmsg_type != GENL_ID_CTRL || genl->cmd != CTRL_CMD_DELFAMILY)
		return false;
	attr = nl_find(nlh, CTRL_ATTR_FAMILY_ID);
	return attr && mnl_attr_get_payload_len(attr) == sizeof(uint16_t) &&
	       mnl_attr_get_u16(attr) == m->events.family;
}

static void on_event(const struct nlmsghdr *nlh, struct monitor *m)
{
	const struct genlmsghdr *genl = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attr;
	struct event e = { 0 };

	if (nlh->nlmsg_type != m->nl.family || genl->cmd != ESPUDP_CMD_EVENT)
		return;
	attr = nl_find(nlh, ESPUDP_A_IFINDEX);
	if (attr && mnl_attr_get_payload_len(attr) == sizeof(uint32_t))
		e.ifindex = mnl_attr_get_u32(attr);
	attr = nl_find(nlh, ESPUDP_A_IFNAME);
	if (attr)
		strncpy(e.ifname, mnl_attr_get_str(attr), IFNAME_LEN - 1);
	/* A device that was moved may be called as one that is here. */
	if (m->ifname && (!e.ifindex || strcmp(e.ifname, m->ifname)))
		return;
	attr = nl_find(nlh, ESPUDP_A_EVENT);
	if (attr)
		codec_decode(&set_event, attr, &e);
	if (json)
		json_print(json_event(&e), true);
	else
		print_event(&e);
	object_free(&set_event, &e);
}

static void resync_dev(struct monitor *m, const struct dev *dev)
{
	struct list peers = { 0 }, sas = { 0 };
	struct json_object *o, *r, *a, *b;

	if (lookup_peers(&m->nl, dev->ifname, &peers) ||
	    lookup_sas(&m->nl, dev->ifname, 0, &sas))
		goto out;
	if (!json) {
		const char *name = format_name(dev->ifname, false);

		printf("%s %s %sresync%s %zu peers, %zu SAs, see `espudp show "
		       "%s'\n",
		       timestamp(), name, colour(C_BOLD), colour(C_RESET),
		       peers.n, sas.n, name);
		goto out;
	}
	o = json_object_new_object();
	r = json_dev(dev);
	a = json_object_new_array();
	b = json_object_new_array();
	for_each(struct peer, p, &peers)
		json_object_array_add(a, json_object_of(&set_peer, p));
	for_each(struct sa, sa, &sas)
		json_object_array_add(b, json_object_of(&set_sa, sa));
	json_object_object_add(r, "peer", a);
	json_object_object_add(r, "sa", b);
	json_object_object_add(o, "resync", r);
	json_print(o, true);
out:
	objects_free(&set_peer, &peers);
	objects_free(&set_sa, &sas);
}

/* Events were lost: what they told is in the state as it is now, but for IKE's.
 */
static int overrun(struct monitor *m)
{
	struct list devs = { 0 };

	int ret;

	if (json)
		puts("{\"overrun\":true}");
	else
		printf("%s overrun: events were lost\n", timestamp());
	/* The farewell may be among them. */
	ret = lookup_devs(&m->nl, NULL, &devs);
	for_each(struct dev, dev, &devs)
		if (!m->ike && (!m->ifname || !strcmp(m->ifname, dev->ifname)))
			resync_dev(m, dev);
	objects_free(&set_dev, &devs);
	return ret;
}

static int receive(struct monitor *m)
{
	const struct nlmsghdr *nlh;
	int len, ret = OK;
	ssize_t n;

	n = mnl_socket_recvfrom(m->events.sock, m->events.buf, NL_BUFFER_SIZE);
	if (n < 0 && errno == ENOBUFS)
		ret = overrun(m);
	else if (n < 0 && errno != EINTR && errno != EAGAIN)
		return error("events: %s", strerror(errno));
	len = n;
	nlh = (const struct nlmsghdr *)m->events.buf;
	for (; mnl_nlmsg_ok(nlh, len); nlh = mnl_nlmsg_next(nlh, &len))
		if (is_farewell(nlh, m))
			m->gone = true;
		else
			on_event(nlh, m);
	fflush(stdout);
	if (m->gone)
		return error("the module is gone");
	return ferror(stdout) ? FAILED : ret;
}

/* Also where output is stuck. */
static void stop(int sig)
{
	(void)sig;
	_exit(OK);
}

static int loop(struct monitor *m)
{
	struct pollfd fd = { mnl_socket_get_fd(m->events.sock), POLLIN, 0 };
	int ret = OK;

	signal(SIGINT, stop);
	signal(SIGTERM, stop);
	while (!ret) {
		if (poll(&fd, 1, -1) > 0)
			ret = receive(m);
		else if (errno != EINTR)
			ret = error("poll: %s", strerror(errno));
	}
	return ret;
}

static int listen_to(struct nl *nl, uint32_t group)
{
	if (group && !mnl_socket_setsockopt(nl->sock, NETLINK_ADD_MEMBERSHIP,
					    &group, sizeof(group)))
		return OK;
	if (!group)
		return error("events: the module is too old to tell these");
	return error("events: %s; CAP_NET_ADMIN is needed", strerror(errno));
}

int cmd_monitor(struct words *w)
{
	struct monitor m = { .ike = words_take(w, "ike") };
	struct list devs = { 0 };
	int ret = OK;

	if (w->n > 1) /* so that a device may be called ike */
		words_take(w, "dev");
	if (w->n)
		ret = take_dev(w, &m.ifname);
	if (!ret)
		ret = words_end(w);
	if (!ret)
		ret = nl_open(&m.nl);
	if (!ret)
		ret = nl_open(&m.events);
	if (!ret && m.ifname)
		ret = lookup_devs(&m.nl, m.ifname, &devs);
	if (!ret)
		ret = listen_to(&m.events,
				m.ike ? m.events.ike_group : m.events.group);
	if (!ret)
		ret = listen_to(&m.events, GENL_ID_CTRL);
	if (!ret)
		ret = loop(&m);
	objects_free(&set_dev, &devs);
	nl_close(&m.nl);
	nl_close(&m.events);
	return ret;
}
