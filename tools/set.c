// SPDX-License-Identifier: GPL-2.0
#include "codec.h"
#include "commands.h"
#include "explain.h"
#include "nl.h"

int cmd_set(struct words *w)
{
	const char *ifname, *word, *value;
	const struct field *f;
	struct dev dev = { 0 };
	struct nl nl = { 0 };
	int ret;

	ret = take_dev(w, &ifname);
	if (!ret && !w->n)
		ret = usage(
			"set: a setting is expected, see `espudp help set'");
	while (!ret && (word = words_next(w))) {
		f = parse_word(&set_dev, word);
		if (!f)
			return usage("unknown setting `%s', see `espudp help "
				     "set'",
				     word);
		if (dev.o.has >> f->attr & 1)
			return usage("`%s' is given twice", word);
		ret = words_value(w, word, &value);
		if (!ret)
			ret = parse_field(f, &dev, word, value);
	}
	if (!ret)
		ret = nl_open(&nl);
	if (!ret) {
		nl_request(&nl, ESPUDP_CMD_DEV_SET, ifname);
		codec_encode(&nl, ESPUDP_A_DEV, &set_dev, &dev);
		if (nl_talk(&nl, NULL, NULL))
			ret = explain(&nl, ifname, NULL);
	}
	nl_close(&nl);
	return ret;
}
