// SPDX-License-Identifier: GPL-2.0
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "fib.h"
#include "format.h"
#include "json.h"
#include "lookup.h"
#include "nft.h"
#include "shield.h"
#include "virtual.h"

#define TABLE "inet espudp_shield"
#define L2TP_PORT 1701

/* What is protected is known by the kind of the device: it may have any name,
 * and need not be there yet. A packet out of a VRF is seen twice, with the VRF
 * and with the device in it.
 */
static const char chains[] =
	"	chain output {\n"
	"		type filter hook output priority filter; policy accept;\n"
	"		udp dport @ports jump leaving\n"
	"		udp sport @ports jump leaving\n"
	"	}\n"
	"	chain leaving {\n"
	"		oifname \"lo\" accept\n"
	"		meta oifkind { \"espudp\", \"xfrm\" } accept\n"
	"		meta oifkind \"vrf\" accept\n"
	"		oifname @others accept\n"
	"		rt ipsec exists accept\n"
	"		counter name \"clear_out\" drop\n"
	"	}\n"
	"	chain input {\n"
	"		type filter hook input priority filter; policy accept;\n"
	"		udp dport @ports jump arriving\n"
	"	}\n"
	"	chain arriving {\n"
	"		iifname \"lo\" accept\n"
	"		meta iifkind { \"espudp\", \"xfrm\" } accept\n"
	"		iifname @others accept\n"
	"		meta sdifname @others accept\n"
	"		meta ipsec exists accept\n"
	"		counter name \"clear_in\" drop\n"
	"	}\n"
	"	chain prerouting {\n"
	"		type filter hook prerouting priority raw; policy accept;\n"
	"		ip saddr @pools4 jump pretending\n"
	"		ip6 saddr @pools6 jump pretending\n"
	"	}\n"
	"	chain pretending {\n"
	"		iifname \"lo\" accept\n"
	"		meta iifkind { \"espudp\", \"vrf\" } accept\n"
	"		iifname @others accept\n"
	"		counter name \"virtual_in\" drop\n"
	"	}\n";

enum { CLEAR_OUT, CLEAR_IN, VIRTUAL_IN, COUNTERS };

static const struct {
	const char *nft, *json;
} counters[COUNTERS] = { { "clear_out", "clear-out" },
			 { "clear_in", "clear-in" },
			 { "virtual_in", "virtual-in" } };

struct shield {
	bool on;
	struct list ports, devices, pools; /* of texts */
	uint64_t packets[COUNTERS], bytes[COUNTERS];
};

static void add_text(struct list *l, const char *text)
{
	for_each(char *, s, l)
		if (!strcmp(*s, text))
			return;
	*(char **)list_add(l, sizeof(char *)) = xstrdup(text);
}

static void free_texts(struct list *l)
{
	for_each(char *, s, l)
		free(*s);
	free(l->v);
}

static void shield_free(struct shield *s)
{
	free_texts(&s->ports);
	free_texts(&s->devices);
	free_texts(&s->pools);
}

/* Those of devices, and those whose guards are there still. */
static int find_pools(struct list *texts)
{
	struct list devs = { 0 }, holes = { 0 };
	struct nl nl = { 0 }, rt = { 0 };
	int ret = nl_open_route(&rt);

	if (!ret && fib_dump(&rt, FIB_HOLE, &holes))
		ret = error("routes: cannot be read");
	for_each(struct fib_route, r, &holes)
		add_text(texts, format_prefix(&r->prefix));
	error_silence(true); /* the module need not be there */
	if (!ret && !nl_open(&nl) && !lookup_devs(&nl, NULL, &devs))
		for_each(struct dev, dev, &devs)
			for_each(struct pool, p, &dev->pool)
				add_text(texts, format_pool(p));
	error_silence(false);
	objects_free(&set_dev, &devs);
	free(holes.v);
	nl_close(&nl);
	nl_close(&rt);
	return ret;
}

/* An element of a set as nft prints it: 1, "x", {"prefix":{"addr":"x","len":1}} or
 * {"range":["x","y"]}.
 */
static const char *element(struct json_object *e)
{
	struct json_object *o, *a, *b;

	if (!json_object_is_type(e, json_type_object))
		return json_object_get_string(e);
	if (json_object_object_get_ex(e, "prefix", &o) &&
	    json_object_object_get_ex(o, "addr", &a) &&
	    json_object_object_get_ex(o, "len", &b))
		return format("%s/%d", json_object_get_string(a),
			      json_object_get_int(b));
	if (json_object_object_get_ex(e, "range", &o) &&
	    json_object_array_length(o) == 2)
		return format(
			"%s-%s",
			json_object_get_string(json_object_array_get_idx(o, 0)),
			json_object_get_string(
				json_object_array_get_idx(o, 1)));
	return "?";
}

static void read_set(struct shield *s, const char *name, struct json_object *o)
{
	struct list *l = !strcmp(name, "ports")	 ? &s->ports :
			 !strcmp(name, "others") ? &s->devices :
						   &s->pools;
	struct json_object *elems;

	if (!json_object_object_get_ex(o, "elem", &elems))
		return;
	for (size_t i = 0; i < json_object_array_length(elems); i++)
		add_text(l, element(json_object_array_get_idx(elems, i)));
}

static void read_counter(struct shield *s, const char *name,
			 struct json_object *o)
{
	struct json_object *n;

	for (int i = 0; i < COUNTERS; i++) {
		if (strcmp(counters[i].nft, name))
			continue;
		if (json_object_object_get_ex(o, "packets", &n))
			s->packets[i] = json_object_get_uint64(n);
		if (json_object_object_get_ex(o, "bytes", &n))
			s->bytes[i] = json_object_get_uint64(n);
	}
}

static void read_table(struct shield *s, struct json_object *table)
{
	struct json_object *o, *name, *e;

	for (size_t i = 0; i < json_object_array_length(table); i++) {
		e = json_object_array_get_idx(table, i);
		if (json_object_object_get_ex(e, "set", &o) &&
		    json_object_object_get_ex(o, "name", &name))
			read_set(s, json_object_get_string(name), o);
		if (json_object_object_get_ex(e, "counter", &o) &&
		    json_object_object_get_ex(o, "name", &name))
			read_counter(s, json_object_get_string(name), o);
	}
}

static int no_nft(void)
{
	return error("shield: there is no `nft': install nftables");
}

static int refused(const char *output)
{
	return error("shield: nft: %.*s", (int)strcspn(output, "\n"), output);
}

/* Its absence is not an error. */
static int shield_read(struct shield *s)
{
	static const char *const words[] = { "-j", "list table " TABLE, NULL };
	struct json_object *o, *table;
	char *output;
	int ret = nft("", &output, words);

	memset(s, 0, sizeof(*s));
	if (ret < 0) {
		ret = no_nft();
	} else if (ret) {
		ret = strstr(output, "No such file or directory") ?
			      OK :
			      refused(output);
	} else {
		o = json_tokener_parse(output);
		s->on = true;
		if (json_object_object_get_ex(o, "nftables", &table))
			read_table(s, table);
		json_object_put(o);
	}
	free(output);
	return ret;
}

static int apply(const char *ruleset)
{
	static const char *const words[] = { "-f", "-", NULL };
	char *output;
	int ret = nft(ruleset, &output, words);

	if (ret < 0)
		ret = no_nft();
	else if (ret)
		ret = refused(output);
	free(output);
	return ret;
}

static void write_elements(FILE *f, const struct list *texts, const char *quote,
			   int family)
{
	const char *sep = "";

	for_each(char *, s, texts) {
		if (family && !strchr(*s, ':') != (family == AF_INET))
			continue;
		fprintf(f, "%s%s%s%s%s", *sep ? "" : "elements = { ", sep,
			quote, *s, quote);
		sep = ", ";
	}
	if (*sep)
		fputs(" }; ", f);
}

static char *make_ruleset(const struct shield *s)
{
	size_t size;
	char *text;
	FILE *f = open_memstream(&text, &size);

	/* The first line lets the second one succeed. */
	fputs("table " TABLE "\ndelete table " TABLE "\ntable " TABLE " {\n",
	      f);
	fputs("	set ports { type inet_service; ", f);
	write_elements(f, &s->ports, "", 0);
	fputs("}\n	set others { type ifname; ", f);
	write_elements(f, &s->devices, "\"", 0);
	fputs("}\n	set pools4 { type ipv4_addr; flags interval; auto-merge; ",
	      f);
	write_elements(f, &s->pools, "", AF_INET);
	fputs("}\n	set pools6 { type ipv6_addr; flags interval; auto-merge; ",
	      f);
	write_elements(f, &s->pools, "", AF_INET6);
	fputs("}\n", f);
	for (int i = 0; i < COUNTERS; i++)
		fprintf(f,
			"	counter %s { packets %" PRIu64 " bytes %" PRIu64
			" }\n",
			counters[i].nft, s->packets[i], s->bytes[i]);
	fprintf(f, "%s}\n", chains);
	fclose(f);
	return text;
}

static void renew_set(FILE *f, const struct list *pools, int family)
{
	const char *name = family == AF_INET ? "pools4" : "pools6", *sep = "";

	fprintf(f, "flush set " TABLE " %s\n", name);
	for_each(char *, s, pools) {
		if (!strchr(*s, ':') != (family == AF_INET))
			continue;
		fprintf(f, "%s%s",
			*sep ? sep :
			       format("add element " TABLE " %s { ", name),
			*s);
		sep = ", ";
	}
	if (*sep)
		fputs(" }\n", f);
}

int shield_renew(void)
{
	static const char *const words[] = { "list table " TABLE, NULL };
	struct list pools = { 0 };
	char *text, *output;
	size_t size;
	FILE *f;
	int ret;

	ret = nft("", &output, words);
	free(output);
	if (ret)
		return OK; /* there is none */
	ret = find_pools(&pools);
	f = open_memstream(&text, &size);
	renew_set(f, &pools, AF_INET);
	renew_set(f, &pools, AF_INET6);
	fclose(f);
	if (!ret)
		ret = apply(text);
	free(text);
	free_texts(&pools);
	return ret;
}

static int parse_words(struct words *w, struct shield *s)
{
	const char *word, *value;
	struct words one;
	uint64_t port;
	int ret = OK;

	while (!ret && (word = words_next(w))) {
		if (strcmp(word, "port") && strcmp(word, "device"))
			return usage("unknown word `%s' for `shield on', see "
				     "`espudp help shield'",
				     word);
		ret = words_value(w, word, &value);
		if (!ret && *word == 'p') {
			ret = parse_number(word, value, 1, UINT16_MAX, &port);
			if (!ret)
				add_text(&s->ports,
					 format("%u", (unsigned int)port));
		} else if (!ret) {
			one = (struct words){ (char **)&value, 1 };
			ret = take_dev(&one, &value);
			if (!ret && strpbrk(value, "\"\\*"))
				ret = error("bad device `%s'", value);
			if (!ret)
				add_text(&s->devices, value);
		}
	}
	if (!s->ports.n)
		add_text(&s->ports, format("%d", L2TP_PORT));
	return ret;
}

/* What was counted stays. */
static int on(struct words *w)
{
	struct shield s = { 0 }, old = { 0 };
	char *text;
	int ret = parse_words(w, &s);

	if (!ret)
		ret = find_pools(&s.pools);
	if (!ret)
		ret = shield_read(&old);
	if (!ret) {
		memcpy(s.packets, old.packets, sizeof(s.packets));
		memcpy(s.bytes, old.bytes, sizeof(s.bytes));
		text = make_ruleset(&s);
		ret = apply(text);
		free(text);
	}
	shield_free(&s);
	shield_free(&old);
	return ret;
}

static int off(struct words *w)
{
	int ret = words_end(w);

	return ret ? ret : apply("table " TABLE "\ndelete table " TABLE "\n");
}

static void print_list(const char *name, const struct list *texts)
{
	const char *sep = name;

	for_each(char *, s, texts) {
		printf("%s%s", sep, *s);
		sep = ", ";
	}
	if (texts->n)
		putchar('\n');
}

static void print_counter(const struct shield *s, int i, const char *what)
{
	printf("  %s: %" PRIu64 " packets\n", what, s->packets[i]);
}

static void print(const struct shield *s)
{
	printf("%sshield%s: %s%s%s\n", colour(C_GREEN), colour(C_RESET),
	       s->on ? "" : colour(C_RED), s->on ? "on" : "off",
	       colour(C_RESET));
	if (!s->on)
		return;
	print_list("  UDP ports: ", &s->ports);
	print_list("  other devices that protect: ", &s->devices);
	print_list("  virtual addresses: ", &s->pools);
	print_counter(s, CLEAR_OUT, "dropped, clear text out");
	print_counter(s, CLEAR_IN, "dropped, clear text in");
	print_counter(s, VIRTUAL_IN, "dropped, virtual source from elsewhere");
}

static struct json_object *json_texts(const struct list *texts, bool numbers)
{
	struct json_object *a = json_object_new_array();

	for_each(char *, s, texts)
		json_object_array_add(a, numbers ?
						 json_object_new_int(atoi(*s)) :
						 json_object_new_string(*s));
	return a;
}

static void print_json(const struct shield *s)
{
	struct json_object *o = json_object_new_object(), *c;

	json_object_object_add(o, "on", json_object_new_boolean(s->on));
	if (s->on) {
		json_object_object_add(o, "port", json_texts(&s->ports, true));
		json_object_object_add(o, "device",
				       json_texts(&s->devices, false));
		json_object_object_add(o, "pool", json_texts(&s->pools, false));
	}
	for (int i = 0; s->on && i < COUNTERS; i++) {
		c = json_object_new_object();
		json_add_number(c, "packets", s->packets[i]);
		json_add_number(c, "bytes", s->bytes[i]);
		json_object_object_add(o, counters[i].json, c);
	}
	json_print(o, false);
}

static int show(struct words *w)
{
	struct shield s = { 0 };
	int ret = words_end(w);

	if (!ret)
		ret = shield_read(&s);
	if (!ret && json)
		print_json(&s);
	else if (!ret)
		print(&s);
	shield_free(&s);
	return ret;
}

int cmd_shield(struct words *w)
{
	const char *word = words_next(w);

	if (word && !strcmp(word, "on"))
		return on(w);
	if (word && !strcmp(word, "off"))
		return off(w);
	if (word && !strcmp(word, "show"))
		return show(w);
	return usage("shield: `on', `off' or `show' is expected, see `espudp "
		     "help shield'");
}
