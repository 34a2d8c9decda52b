// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <string.h>

#include "../codec.h"
#include "module.h"

int module_open(struct module *m, const char *device)
{
	if (nl_open(&m->nl)) {
		nl_close(&m->nl);
		return ENOENT;
	}
	strncpy(m->device, device, sizeof(m->device) - 1);
	return 0;
}

void module_close(struct module *m)
{
	nl_close(&m->nl);
}

const char *module_why(const struct module *m)
{
	return m->nl.error.text[0] ? m->nl.error.text :
				     strerror(m->nl.error.err);
}

/* Fails where there is nobody to ask: the module went, and is not back. */
static int request(struct module *m, uint8_t cmd, uint16_t attr,
		   const struct set *set, const void *obj)
{
	if (!m->nl.sock) {
		m->nl.error = (struct nl_error){
			.err = ENOTCONN,
			.text = "the kernel module is not there",
		};
		return m->nl.error.err;
	}
	nl_request(&m->nl, cmd, m->device);
	if (obj)
		codec_encode(&m->nl, attr, set, obj);
	return 0;
}

static int talk(struct module *m, uint8_t cmd, uint16_t attr,
		const struct set *set, const void *obj)
{
	return request(m, cmd, attr, set, obj) ?: nl_talk(&m->nl, NULL, NULL);
}

/* Where to read a reply's nest, or many, to. */
struct reply {
	uint16_t attr;
	const struct set *set;
	void *obj;
	struct list *list;
};

static void on_reply(const struct nlmsghdr *nlh, void *arg)
{
	const struct reply *r = arg;
	const struct nlattr *nest = nl_find(nlh, r->attr);

	if (nest)
		codec_decode(r->set, nest,
			     r->list ? list_add(r->list, r->set->size) :
				       r->obj);
}

static int ask(struct module *m, uint8_t cmd, uint16_t attr,
	       const struct set *set, const void *obj, void *reply)
{
	struct reply r = { .attr = attr, .set = set, .obj = reply };

	return request(m, cmd, attr, set, obj) ?: nl_talk(&m->nl, on_reply, &r);
}

static void forget(void *arg)
{
	const struct reply *r = arg;

	objects_free(r->set, r->list);
}

static int dump(struct module *m, uint8_t cmd, uint16_t attr,
		const struct set *set, struct list *list)
{
	struct reply r = { .attr = attr, .set = set, .list = list };

	return request(m, cmd, 0, NULL, NULL) ?:
		       nl_dump(&m->nl, on_reply, forget, &r);
}

int module_dev_get(struct module *m, struct dev *dev)
{
	return ask(m, ESPUDP_CMD_DEV_GET, ESPUDP_A_DEV, &set_dev, NULL, dev);
}

int module_dev_set(struct module *m, const struct dev *dev)
{
	return talk(m, ESPUDP_CMD_DEV_SET, ESPUDP_A_DEV, &set_dev, dev);
}

int module_attach(struct module *m, int fd)
{
	struct sock sock = { .fd = fd, .marker = ESPUDP_MARKER_KEEP };

	SET(&sock, ESPUDP_A_SOCKET_FD);
	SET(&sock, ESPUDP_A_SOCKET_MARKER);
	return talk(m, ESPUDP_CMD_SOCKET_ATTACH, ESPUDP_A_SOCKET, &set_socket,
		    &sock);
}

int module_reserve(struct module *m, struct reserve *reserve)
{
	return ask(m, ESPUDP_CMD_SPI_RESERVE, ESPUDP_A_RESERVE, &set_reserve,
		   reserve, reserve);
}

int module_peer_new(struct module *m, struct peer *peer)
{
	struct peer found = { 0 }, id = { 0 };
	int err;

	err = ask(m, ESPUDP_CMD_PEER_NEW, ESPUDP_A_PEER, &set_peer, peer,
		  &found);
	if (err)
		return err;
	peer->id = id.id = found.id;
	object_free(&set_peer, &found);
	if (peer->mode != ESPUDP_MODE_TRANSPORT)
		return 0;
	SET(&id, ESPUDP_A_PEER_ID);
	memset(&found, 0, sizeof(found));
	err = ask(m, ESPUDP_CMD_PEER_GET, ESPUDP_A_PEER, &set_peer, &id,
		  &found);
	if (!HAS(peer, ESPUDP_A_PEER_VIRTUAL))
		peer->virtual = found.virtual;
	object_free(&set_peer, &found);
	return err;
}

int module_peer_set(struct module *m, const struct peer *peer)
{
	return talk(m, ESPUDP_CMD_PEER_SET, ESPUDP_A_PEER, &set_peer, peer);
}

int module_peer_del(struct module *m, uint32_t id)
{
	struct peer peer = { .id = id };

	SET(&peer, ESPUDP_A_PEER_ID);
	return talk(m, ESPUDP_CMD_PEER_DEL, ESPUDP_A_PEER, &set_peer, &peer);
}

int module_peers(struct module *m, struct list *peers)
{
	return dump(m, ESPUDP_CMD_PEER_GET, ESPUDP_A_PEER, &set_peer, peers);
}

int module_sa_new(struct module *m, const struct sa *sa)
{
	return talk(m, ESPUDP_CMD_SA_NEW, ESPUDP_A_SA, &set_sa, sa);
}

int module_sa_get(struct module *m, struct sa *sa)
{
	return ask(m, ESPUDP_CMD_SA_GET, ESPUDP_A_SA, &set_sa, sa, sa);
}

int module_sa_set(struct module *m, const struct sa *sa)
{
	return talk(m, ESPUDP_CMD_SA_SET, ESPUDP_A_SA, &set_sa, sa);
}

int module_sa_del(struct module *m, const struct sa *sa)
{
	return talk(m, ESPUDP_CMD_SA_DEL, ESPUDP_A_SA, &set_sa, sa);
}

int module_sas(struct module *m, struct list *sas)
{
	return dump(m, ESPUDP_CMD_SA_GET, ESPUDP_A_SA, &set_sa, sas);
}
