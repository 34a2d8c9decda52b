// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "codec.h"
#include "commands.h"
#include "explain.h"
#include "lookup.h"
#include "nl.h"

static int attach(struct nl *nl, const char *ifname, const struct sock *s)
{
	struct request r = { .cmd = ESPUDP_CMD_SOCKET_ATTACH, .port = s->port };
	struct list devs = { 0 };
	int ret;

	nl_request(nl, ESPUDP_CMD_SOCKET_ATTACH, ifname);
	codec_encode(nl, ESPUDP_A_SOCKET, &set_socket, s);
	ret = nl_talk(nl, NULL, NULL);
	if (!ret)
		return OK;
	if (ret == EADDRINUSE && !r.port) {
		struct nl_error saved = nl->error;

		if (!lookup_devs(nl, ifname, &devs) && devs.n)
			r.port = LIST(struct dev, &devs)->port;
		objects_free(&set_dev, &devs);
		nl->error = saved;
	}
	return explain(nl, ifname, &r);
}

static int cmd_open(struct words *w, struct nl *nl)
{
	const char *ifname, *word, *value;
	struct sock s = { 0 };
	int ret;

	ret = take_dev(w, &ifname);
	while (!ret && (word = words_next(w))) {
		const struct field *f = parse_word(&set_socket, word);

		if (!f ||
		    (f->type != F_FLAG && f->attr != ESPUDP_A_SOCKET_PORT))
			return usage("unknown word `%s' for `socket open', see "
				     "`espudp help socket'",
				     word);
		if (f->type == F_FLAG) {
			field_set_number(&s, f, 1);
			s.o.has |= 1ULL << f->attr;
			continue;
		}
		ret = words_value(w, word, &value);
		if (!ret)
			ret = parse_field(f, &s, word, value);
	}
	if (!ret)
		ret = nl_open(nl);
	return ret ? ret : attach(nl, ifname, &s);
}

static int cmd_adopt(struct words *w, struct nl *nl)
{
	const char *ifname, *word, *value;
	struct sock s = { 0 };
	int ret;

	ret = take_dev(w, &ifname);
	while (!ret && (word = words_next(w))) {
		const struct field *f = parse_word(&set_socket, word);

		if (!f || (f->attr != ESPUDP_A_SOCKET_FD &&
			   f->attr != ESPUDP_A_SOCKET_MARKER))
			return usage("unknown word `%s' for `socket adopt', "
				     "see `espudp help socket'",
				     word);
		ret = words_value(w, word, &value);
		if (!ret)
			ret = parse_field(f, &s, word, value);
	}
	if (!ret && !HAS(&s, ESPUDP_A_SOCKET_FD))
		ret = usage("socket adopt: `fd N' is missing");
	if (!ret && fcntl(s.fd, F_GETFD) < 0)
		ret = error("bad fd `%u': no such descriptor is open in this "
			    "process",
			    s.fd);
	if (!ret)
		ret = nl_open(nl);
	return ret ? ret : attach(nl, ifname, &s);
}

static int cmd_close(struct words *w, struct nl *nl)
{
	const char *ifname;
	int ret;

	ret = take_dev(w, &ifname);
	if (!ret)
		ret = words_end(w);
	if (!ret)
		ret = nl_open(nl);
	if (ret)
		return ret;
	nl_request(nl, ESPUDP_CMD_SOCKET_DETACH, ifname);
	if (nl_talk(nl, NULL, NULL))
		return explain(nl, ifname, NULL);
	return OK;
}

int cmd_socket(struct words *w)
{
	const char *word = words_next(w);
	struct nl nl = { 0 };
	int ret;

	if (word && !strcmp(word, "open"))
		ret = cmd_open(w, &nl);
	else if (word && !strcmp(word, "adopt"))
		ret = cmd_adopt(w, &nl);
	else if (word && !strcmp(word, "close"))
		ret = cmd_close(w, &nl);
	else
		ret = usage("socket: `open', `adopt' or `close' is expected, "
			    "see `espudp help socket'");
	nl_close(&nl);
	return ret;
}
