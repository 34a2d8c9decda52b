/* SPDX-License-Identifier: GPL-2.0 */
#ifndef NL_H
#define NL_H

#include <libmnl/libmnl.h>
#include <stdbool.h>
#include <stdint.h>

#include "list.h"

struct nl_error {
	int err; /* positive errno, 0 for none */
	char text[256]; /* the kernel's words */
	char attr[128]; /* path of the attribute it points at */
	bool missing; /* that attribute should have been there */
};

/* A netlink socket and the request being made. */
struct nl {
	struct mnl_socket *sock;
	uint16_t family;
	uint32_t group; /* of events */
	uint32_t ike_group; /* 0: the module is too old */
	uint32_t seq;
	struct nlmsghdr *req;
	char *buf;
	bool overflow;
	struct nl_error error;
};

typedef void (*nl_cb)(const struct nlmsghdr *nlh, void *arg);

/* Opens the espudp family; prints why it cannot. */
int nl_open(struct nl *nl);
int nl_open_route(struct nl *nl);
void nl_close(struct nl *nl);

/* Takes family and group from a message about the family; @arg is the struct nl. */
void nl_family(const struct nlmsghdr *nlh, void *arg);

/* Begins a request about device @ifname, which may be NULL. */
void nl_request(struct nl *nl, uint8_t cmd, const char *ifname);
void nl_put(struct nl *nl, uint16_t type, const void *data, size_t len);
void nl_put_u32(struct nl *nl, uint16_t type, uint32_t n);
struct nlattr *nl_nest(struct nl *nl, uint16_t type);
void nl_nest_end(struct nl *nl, struct nlattr *nest);

/* Sends the request, hands replies to @cb, which may be NULL, and waits for
 * the end; the request is wiped. Returns a positive errno, explained in
 * nl->error.
 */
int nl_talk(struct nl *nl, nl_cb cb, void *arg);
/* The same for a dump. When the kernel says that it changed meanwhile, @reset
 * undoes what @cb did, and it is done again.
 */
int nl_dump(struct nl *nl, nl_cb cb, void (*reset)(void *arg), void *arg);

/* The payload of a reply: attribute @type, or NULL. */
const struct nlattr *nl_find(const struct nlmsghdr *nlh, uint16_t type);

#define NL_REQUEST_SIZE (80 * 1024)
#define NL_BUFFER_SIZE (256 * 1024)

#endif
