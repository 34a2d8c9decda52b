// SPDX-License-Identifier: GPL-2.0
#include <linux/genetlink.h>
#include <stdlib.h>
#include <string.h>

#include "../codec.h"
#include "../json.h"
#include "../nl.h"
#include "unit.h"

#define REQUEST_SIZE NL_REQUEST_SIZE

static void begin(struct nl *nl)
{
	memset(nl, 0, sizeof(*nl));
	nl->req = calloc(1, NL_REQUEST_SIZE);
	nl->family = 20;
	nl_request(nl, ESPUDP_CMD_PEER_NEW, "espudp0");
}

static struct peer sample(void)
{
	struct peer p = { .id = 7,
			  .name = "alice",
			  .cookie = UINT64_MAX,
			  .keepalive = 20,
			  .nat_local = ESPUDP_NAT_YES };
	struct selector *s = list_add(&p.selector, sizeof(*s));

	SET(&p, ESPUDP_A_PEER_ID);
	SET(&p, ESPUDP_A_PEER_NAME);
	SET(&p, ESPUDP_A_PEER_COOKIE);
	SET(&p, ESPUDP_A_PEER_KEEPALIVE);
	SET(&p, ESPUDP_A_PEER_NAT_LOCAL);
	SET(&p, ESPUDP_A_PEER_SELECTOR);
	s->remote_from.family = AF_INET6;
	s->remote_from.b[15] = 9;
	s->priority = 5;
	SET(s, ESPUDP_A_SELECTOR_REMOTE_FROM);
	SET(s, ESPUDP_A_SELECTOR_PRIORITY);
	return p;
}

static void test_round_trip(void)
{
	struct peer p = sample(), q = { 0 };
	char text[128];
	struct nl nl;

	begin(&nl);
	codec_encode(&nl, ESPUDP_A_PEER, &set_peer, &p);
	check(!nl.overflow);
	codec_decode(&set_peer, nl_find(nl.req, ESPUDP_A_PEER), &q);
	check(q.o.has == p.o.has);
	check(q.id == 7 && q.cookie == UINT64_MAX && q.keepalive == 20);
	check(!strcmp(q.name, "alice"));
	check(selectors_equal(&p.selector, &q.selector));
	check(!object_is_foreign(&set_peer, &q, text, sizeof(text)));
	object_free(&set_peer, &p);
	object_free(&set_peer, &q);
	free(nl.req);
}

/* What a newer module might send. */
static void test_unknown(void)
{
	struct nlattr *nest, *inner;
	struct json_object *o;
	struct peer p = { 0 };
	uint64_t wide = 1;
	uint8_t mode = 9;
	char text[128];
	struct nl nl;

	begin(&nl);
	nest = nl_nest(&nl, ESPUDP_A_PEER);
	nl_put_u32(&nl, 57, 1);
	nl_put(&nl, ESPUDP_A_PEER_MODE, &mode, sizeof(mode));
	nl_put(&nl, ESPUDP_A_PEER_ID, &wide, sizeof(wide));
	nl_put(&nl, ESPUDP_A_PEER_LOCAL, "12345", 5);
	nl_put(&nl, ESPUDP_A_PEER_PAD, NULL, 0);
	inner = nl_nest(&nl, ESPUDP_A_PEER_SELECTOR);
	nl_put(&nl, 99, NULL, 0);
	nl_nest_end(&nl, inner);
	nl_nest_end(&nl, nest);
	codec_decode(&set_peer, nl_find(nl.req, ESPUDP_A_PEER), &p);
	check(p.o.unknown.n == 3);
	check(LIST(struct unknown, &p.o.unknown)[0].type == 57 &&
	      LIST(struct unknown, &p.o.unknown)[0].len == 4);
	check(!HAS(&p, ESPUDP_A_PEER_ID) && !HAS(&p, ESPUDP_A_PEER_LOCAL));
	check(object_is_foreign(&set_peer, &p, text, sizeof(text)));
	check(!strcmp(text, "unknown peer attribute 57: 4 octets"));
	p.o.unknown.n = 0;
	check(object_is_foreign(&set_peer, &p, text, sizeof(text)));
	check(!strcmp(text, "unknown peer mode 9"));
	p.mode = 0;
	check(object_is_foreign(&set_peer, &p, text, sizeof(text)));
	check(!strcmp(text, "unknown selector attribute 99: 0 octets"));
	p.mode = 9;
	p.o.unknown.n = 1;
	o = json_object_of(&set_peer, &p);
	check(strstr(json_object_to_json_string_ext(o, 0),
		     "\"mode\":\"unknown(9)\""));
	check(strstr(json_object_to_json_string_ext(o, 0),
		     "{\"set\":\"peer\",\"attribute\":57,\"octets\":4}"));
	json_object_put(o);
	object_free(&set_peer, &p);
	free(nl.req);
}

static void test_path(void)
{
	struct nlattr *nest, *inner;
	char text[64];
	size_t at;
	struct nl nl;

	begin(&nl);
	nest = nl_nest(&nl, ESPUDP_A_PEER);
	nl_put_u32(&nl, ESPUDP_A_PEER_ID, 1);
	inner = nl_nest(&nl, ESPUDP_A_PEER_SELECTOR);
	nl_put_u32(&nl, ESPUDP_A_SELECTOR_PRIORITY, 1);
	at = nl.req->nlmsg_len;
	nl_put_u32(&nl, ESPUDP_A_SELECTOR_REMOTE_TO, 1);
	nl_nest_end(&nl, inner);
	nl_nest_end(&nl, nest);
	check(codec_path(nl.req, at, -1, text, sizeof(text)));
	check(!strcmp(text, "peer.selector.remote-to"));
	check(codec_path(nl.req, (char *)nest - (char *)nl.req, -1, text,
			 sizeof(text)));
	check(!strcmp(text, "peer"));
	check(codec_path(nl.req, (char *)nest - (char *)nl.req,
			 ESPUDP_A_PEER_NAME, text, sizeof(text)));
	check(!strcmp(text, "peer.name"));
	check(codec_path(nl.req, 0, ESPUDP_A_SA, text, sizeof(text)));
	check(!strcmp(text, "sa"));
	for (size_t i = 0; i < nl.req->nlmsg_len + 64; i++)
		codec_path(nl.req, i, -1, text, sizeof(text));
	check(!codec_path(nl.req, nl.req->nlmsg_len, -1, text, sizeof(text)));
	check(!codec_path(nl.req, at + 2, -1, text, sizeof(text)));
	check(codec_path(nl.req, at, -1, text, 4));
	free(nl.req);
}

static void test_overflow(void)
{
	struct peer p = { .id = 1 };
	struct nl nl;

	for (int i = 0; i < 6000; i++) {
		struct selector *s = list_add(&p.selector, sizeof(*s));

		SET(s, ESPUDP_A_SELECTOR_PRIORITY);
	}
	SET(&p, ESPUDP_A_PEER_SELECTOR);
	begin(&nl);
	codec_encode(&nl, ESPUDP_A_PEER, &set_peer, &p);
	check(nl.overflow);
	check(nl.req->nlmsg_len <= REQUEST_SIZE);
	object_free(&set_peer, &p);
	free(nl.req);
}

void test_codec(void)
{
	test_round_trip();
	test_unknown();
	test_path();
	test_overflow();
}
