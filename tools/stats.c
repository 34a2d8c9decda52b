// SPDX-License-Identifier: GPL-2.0
#include "commands.h"
#include "json.h"
#include "lookup.h"
#include "nl.h"
#include "print.h"

/* Every reason that has a name is there, also those never counted. */
static void add_zeros(struct json_object *stats)
{
	struct json_object *drops, *all = json_object_new_object();

	json_object_object_get_ex(stats, "drop", &drops);
	for (size_t i = 1; i < names_drop.n; i++)
		json_add_number(all, names_drop.v[i], 0);
	json_object_object_foreach(drops, key, value)
		json_object_object_add(all, key, json_object_get(value));
	json_object_object_add(stats, "drop", all);
}

static void print_json(const struct dev *dev)
{
	struct json_object *o = json_object_of(&set_stats, &dev->stats);
	struct json_object *a = json_object_new_array();

	add_zeros(o);
	for_each(struct unknown_spi, u, &dev->unknown_spi)
		json_object_array_add(a, json_object_of(&set_unknown_spi, u));
	json_object_object_add(o, "unknown-spi", a);
	json_add_ifname(o, dev->ifname);
	json_print(o, false);
}

int cmd_stats(struct words *w)
{
	struct list devs = { 0 };
	struct nl nl = { 0 };
	const char *ifname;
	int ret;

	ret = take_dev(w, &ifname);
	if (!ret)
		ret = words_end(w);
	if (!ret)
		ret = nl_open(&nl);
	if (!ret)
		ret = lookup_devs(&nl, ifname, &devs);
	for_each(struct dev, dev, &devs) {
		if (ret)
			break;
		if (json)
			print_json(dev);
		else
			print_stats(dev);
	}
	objects_free(&set_dev, &devs);
	nl_close(&nl);
	return ret;
}
