// SPDX-License-Identifier: GPL-2.0
#include "commands.h"
#include "explain.h"
#include "lookup.h"
#include "nl.h"

/* Routes to the device and their guards stay: nothing leaves in the clear. */
int cmd_flush(struct words *w)
{
	const char *ifname, *word, *token = NULL;
	struct peer peer = { 0 };
	struct nl nl = { 0 };
	uint8_t what = 0;
	struct nlattr *nest;
	int ret;

	ret = take_dev(w, &ifname);
	if (!ret)
		ret = words_need(w, "`sas' or `peers'", &word);
	if (!ret)
		ret = parse_enum("flush", word, &names_flush_what, &what);
	if (!ret && what == ESPUDP_FLUSH_WHAT_SAS)
		token = words_next(w);
	if (!ret)
		ret = words_end(w);
	if (!ret)
		ret = nl_open(&nl);
	if (!ret && token)
		ret = lookup_peer(&nl, ifname, token, &peer);
	if (!ret) {
		nl_request(&nl, ESPUDP_CMD_FLUSH, ifname);
		nl_put(&nl, ESPUDP_A_FLUSH, &what, sizeof(what));
		if (token) {
			nest = nl_nest(&nl, ESPUDP_A_PEER);
			nl_put_u32(&nl, ESPUDP_A_PEER_ID, peer.id);
			nl_nest_end(&nl, nest);
		}
		if (nl_talk(&nl, NULL, NULL))
			ret = explain(&nl, ifname, NULL);
	}
	object_free(&set_peer, &peer);
	nl_close(&nl);
	return ret;
}
