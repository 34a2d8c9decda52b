// SPDX-License-Identifier: GPL-2.0
#include <stdlib.h>
#include <string.h>

#include "../format.h"
#include "../parse.h"
#include "../virtual.h"
#include "unit.h"

static void test_numbers(void)
{
	uint64_t n;

	check(!parse_number("n", "0", 0, 10, &n) && n == 0);
	check(!parse_number("n", "10", 0, 10, &n) && n == 10);
	check(parse_number("n", "11", 0, 10, &n));
	check(parse_number("n", "4", 5, 10, &n));
	check(!parse_number("n", "0x1fF", 0, 1000, &n) && n == 0x1ff);
	check(!parse_number("n", "010", 0, 1000, &n) && n == 10);
	check(!parse_number("n", "18446744073709551615", 0, UINT64_MAX, &n) &&
	      n == UINT64_MAX);
	check(parse_number("n", "18446744073709551616", 0, UINT64_MAX, &n));
	check(!parse_number("n", "0xffffffffffffffff", 0, UINT64_MAX, &n) &&
	      n == UINT64_MAX);
	check(parse_number("n", "0x10000000000000000", 0, UINT64_MAX, &n));
	check(parse_number("n", "", 0, 10, &n));
	check(parse_number("n", "0x", 0, 10, &n));
	check(parse_number("n", "-1", 0, 10, &n));
	check(parse_number("n", "+1", 0, 10, &n));
	check(parse_number("n", " 1", 0, 10, &n));
	check(parse_number("n", "1 ", 0, 10, &n));
	check(parse_number("n", "1a", 0, 1000, &n));
	check(parse_number("n", "0xg", 0, 1000, &n));
	check(parse_number("n", "0x@", 0, 1000, &n));
	check(parse_number("n", "a", 0, 1000, &n));
	for (char c = ':'; c < 'A'; c++)
		check(parse_number("n", format("0x1%c", c), 0, 1000, &n));
}

static void test_words(void)
{
	char *v[] = { "a", "b" };
	struct words w = { v, 1 };
	const char *value;

	check(!words_need(&w, "a file", &value) && !strcmp(value, "a"));
	check(words_need(&w, "a file", &value) == USAGE && !value);
	w = (struct words){ v + 1, 1 };
	check(!words_value(&w, "a", &value) && !strcmp(value, "b"));
	check(words_value(&w, "a", &value) == USAGE);
}

static void test_addresses(void)
{
	struct addr a;
	uint16_t port;

	check(!parse_endpoint("e", "192.0.2.1", &a, &port) && !port &&
	      a.family == AF_INET);
	check(!parse_endpoint("e", "192.0.2.1:4500", &a, &port) &&
	      port == 4500);
	check(!parse_endpoint("e", "2001:db8::1", &a, &port) && !port &&
	      a.family == AF_INET6);
	check(!parse_endpoint("e", "[2001:db8::1]", &a, &port) && !port);
	check(!parse_endpoint("e", "[2001:db8::1]:65535", &a, &port) &&
	      port == 65535);
	check(!strcmp(format_endpoint(&a, port), "[2001:db8::1]:65535"));
	check(parse_endpoint("e", "192.0.2.1:0", &a, &port));
	check(parse_endpoint("e", "192.0.2.1:65536", &a, &port));
	check(parse_endpoint("e", "192.0.2.1:", &a, &port));
	check(parse_endpoint("e", "192.0.2.256:1", &a, &port));
	check(parse_endpoint("e", "[192.0.2.1]:1", &a, &port));
	check(parse_endpoint("e", "[2001:db8::1", &a, &port));
	check(parse_endpoint("e", "[2001:db8::1]x", &a, &port));
	check(parse_endpoint("e", "[2001:db8::1]:", &a, &port));
	check(parse_endpoint("e", "", &a, &port));
	check(parse_endpoint("e", "[]", &a, &port));
	check(parse_endpoint("e", ":1", &a, &port));
	check(parse_endpoint("e", "host.example:1", &a, &port));
	check(parse_addr("a", "fe80::1%eth0", &a));
}

static void test_ranges(void)
{
	struct addr from, to;

	check(!parse_range("r", "10.0.0.0/8", &from, &to));
	check(!strcmp(format_range(&from, &to), "10.0.0.0/8"));
	check(!parse_range("r", "10.0.0.1", &from, &to));
	check(!strcmp(format_range(&from, &to), "10.0.0.1/32"));
	check(!parse_range("r", "0.0.0.0/0", &from, &to));
	check(!strcmp(format_range(&from, &to), "0.0.0.0/0"));
	check(!parse_range("r", "::/0", &from, &to));
	check(!strcmp(format_range(&from, &to), "::/0"));
	check(!parse_range("r", "10.0.0.3-10.0.0.9", &from, &to));
	check(!strcmp(format_range(&from, &to), "10.0.0.3-10.0.0.9"));
	check(!parse_range("r", "2001:db8::-2001:db8::ffff", &from, &to));
	check(!strcmp(format_range(&from, &to), "2001:db8::/112"));
	check(parse_range("r", "10.0.0.1/8", &from, &to));
	check(parse_range("r", "10.0.0.0/33", &from, &to));
	check(parse_range("r", "2001:db8::/129", &from, &to));
	check(parse_range("r", "10.0.0.0/", &from, &to));
	check(parse_range("r", "/8", &from, &to));
	check(parse_range("r", "10.0.0.9-10.0.0.3", &from, &to));
	check(parse_range("r", "10.0.0.1-::1", &from, &to));
	check(parse_range("r", "10.0.0.1-", &from, &to));
	check(parse_range("r", "10.0.0.0/8/8", &from, &to));
	check(parse_range("r", "", &from, &to));
}

static int selector(const char *text, struct selector *s, int *left)
{
	char copy[256], *v[32], *save = NULL;
	struct words w = { v, 0 };
	int ret;

	strcpy(copy, text);
	for (char *p = strtok_r(copy, " ", &save); p;
	     p = strtok_r(NULL, " ", &save))
		v[w.n++] = p;
	memset(s, 0, sizeof(*s));
	ret = parse_selector(&w, s);
	*left = w.n;
	return ret;
}

static void test_selectors(void)
{
	static const char *const good[] = {
		"local 10.0.0.0/24 remote 10.1.0.0/16",
		"local 10.0.0.1/32 remote 10.1.0.3-10.1.0.5 proto udp",
		"local ::/0 remote ::/0 proto tcp local-port 0",
		"local ::/0 remote ::/0 proto sctp local-port 1-65535 "
		"remote-port 80 prio 4294967295",
		"local ::/0 remote ::/0 proto 200 prio 1",
	};
	static const char *const bad[] = {
		"",
		"local",
		"local 10.0.0.0/24",
		"remote 10.0.0.0/24",
		"local 10.0.0.0/24 remote",
		"local 10.0.0.0/24 remote ::/0",
		"local 10.0.0.0/24 local 10.0.0.0/24",
		"local ::/0 remote ::/0 proto",
		"local ::/0 remote ::/0 proto 256",
		"local ::/0 remote ::/0 local-port 1",
		"local ::/0 remote ::/0 proto icmp local-port 1",
		"local ::/0 remote ::/0 proto tcp local-port 2-1",
		"local ::/0 remote ::/0 proto tcp local-port 65536",
		"local ::/0 remote ::/0 proto tcp local-port -",
		"local ::/0 remote ::/0 prio -1",
	};
	struct selector s, t;
	int left;

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		check(!selector(good[i], &s, &left) && !left);
		check(!strcmp(format_selector(&s), good[i]));
		check(!selector(format_selector(&s), &t, &left));
		check(selector_equal(&s, &t));
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		check(selector(bad[i], &s, &left));
	check(!selector("remote ::/0 local ::/0 local 192.0.2.1", &s, &left));
	check(left == 2);
	/* Port 0 is not any port. */
	selector("local ::/0 remote ::/0 proto tcp", &s, &left);
	selector("local ::/0 remote ::/0 proto tcp local-port 0", &t, &left);
	check(!selector_equal(&s, &t));
}

static int word(const struct set *set, void *obj, const char *name,
		const char *value)
{
	const struct field *f = parse_word(set, name);

	return f ? parse_field(f, obj, name, value) : -1;
}

static void test_fields(void)
{
	struct dev dev = { 0 };
	struct peer peer = { 0 };
	struct sa sa = { 0 };
	char name[80];

	check(!word(&set_dev, &dev, "port", "65535") && dev.port == 65535);
	check(word(&set_dev, &dev, "port", "65536") == FAILED);
	check(!word(&set_dev, &dev, "fwmark", "0xffffffff") &&
	      dev.fwmark == UINT32_MAX);
	check(!word(&set_dev, &dev, "fwmark", "off") && !dev.fwmark);
	check(word(&set_dev, &dev, "ttl", "256") == FAILED);
	check(!word(&set_dev, &dev, "replay-window", "8192"));
	check(word(&set_dev, &dev, "replay-window", "8193") == FAILED);
	check(!word(&set_dev, &dev, "outer-csum", "full") &&
	      dev.outer_csum == ESPUDP_OUTER_CSUM_FULL);
	check(word(&set_dev, &dev, "outer-csum", "Full") == FAILED);
	check(!word(&set_dev, &dev, "bound-dev", "lo") && dev.bound_ifindex);
	check(word(&set_dev, &dev, "bound-dev", "no-such-dev") == FAILED);
	check(!word(&set_dev, &dev, "pmtu-discovery", "on") &&
	      dev.pmtu_discovery);
	check(word(&set_dev, &dev, "peers", "1") == -1);
	check(word(&set_dev, &dev, "stats", "1") == -1);
	check(HAS(&dev, ESPUDP_A_DEV_TTL));
	check(!HAS(&dev, ESPUDP_A_DEV_DF));

	check(!word(&set_peer, &peer, "remote", "[::1]:7") &&
	      peer.remote_port == 7 && HAS(&peer, ESPUDP_A_PEER_REMOTE_PORT));
	check(!word(&set_peer, &peer, "keepalive", "off"));
	check(word(&set_peer, &peer, "keepalive", "65536") == FAILED);
	check(word(&set_peer, &peer, "name", "12") == FAILED);
	check(word(&set_peer, &peer, "name", "") == FAILED);
	memset(name, 'a', sizeof(name));
	name[64] = 0;
	check(word(&set_peer, &peer, "name", name) == FAILED);
	check(word(&set_peer, &peer, "ike", name) == FAILED);
	name[63] = 0;
	check(!word(&set_peer, &peer, "name", name));
	check(!word(&set_peer, &peer, "ike", name) && !strcmp(peer.ike, name));
	check(!word(&set_peer, &peer, "ike", "12"));
	check(!word(&set_peer, &peer, "ike", "") && !peer.ike[0]);
	check(word(&set_peer, &peer, "remote-port", "1") == -1);
	check(!word(&set_sa, &sa, "icv", "96") && sa.icv_bits == 96);
	check(word(&set_sa, &sa, "icv-bits", "96") == -1);
	check(word(&set_sa, &sa, "enc-key", "00") == -1);
}

static void test_transport(void)
{
	struct list pools = { 0 };
	struct peer peer = { 0 };
	struct dev dev = { 0 };
	struct addr a;

	check(!parse_pool("pool", "100.100.0.0/16", AF_INET, &pools));
	check(!parse_pool("pool6", "none", AF_INET6, &pools));
	check(pools.n == 2);
	check(!strcmp(format_pool(LIST(struct pool, &pools)),
		      "100.100.0.0/16"));
	check(HAS(LIST(struct pool, &pools), ESPUDP_A_POOL_PREFIX_LEN));
	check(!HAS(LIST(struct pool, &pools) + 1, ESPUDP_A_POOL_PREFIX_LEN));
	check(LIST(struct pool, &pools)[1].addr.family == AF_INET6);
	check(parse_pool("pool", "none", AF_INET, &pools) == USAGE);
	parse_addr("a", "100.100.255.255", &a);
	check(pool_has(pools.v, &a));
	parse_addr("a", "100.101.0.0", &a);
	check(!pool_has(pools.v, &a));
	parse_addr("a", "fd64::1", &a);
	check(!pool_has(pools.v, &a));
	pools.n = 0;
	check(parse_pool("pool", "fd64::/64", AF_INET, &pools) == FAILED);
	check(parse_pool("pool6", "10.0.0.0/8", AF_INET6, &pools) == FAILED);
	check(parse_pool("pool", "10.0.0.0-10.0.0.2", AF_INET, &pools));
	check(parse_pool("pool", "10.0.0.1/24", AF_INET, &pools));
	check(parse_pool("pool", "0.0.0.0/0", AF_INET, &pools));
	check(!pools.n);
	free(pools.v);

	check(!word(&set_dev, &dev, "nat-scope", "1") &&
	      dev.nat_scope == ESPUDP_NAT_SCOPE_RESPONDER);
	check(!word(&set_dev, &dev, "nat-scope", "both") &&
	      dev.nat_scope == ESPUDP_NAT_SCOPE_BOTH);
	check(word(&set_dev, &dev, "nat-scope", "3") == FAILED);
	check(word(&set_dev, &dev, "nat-scope", "") == FAILED);
	check(word(&set_dev, &dev, "df", "1") == FAILED);
	check(!word(&set_peer, &peer, "virtual", "auto") &&
	      !HAS(&peer, ESPUDP_A_PEER_VIRTUAL));
	check(!word(&set_peer, &peer, "virtual", "fd64::1") &&
	      peer.virtual.family == AF_INET6);
	check(!word(&set_peer, &peer, "virtual", "none") &&
	      HAS(&peer, ESPUDP_A_PEER_VIRTUAL) && !peer.virtual.family);
	check(!word(&set_peer, &peer, "virtual", "::") && !peer.virtual.family);
	check(word(&set_peer, &peer, "virtual", "some") == FAILED);
	check(word(&set_peer, &peer, "local", "none") == FAILED);
	check(!word(&set_peer, &peer, "role", "initiator") &&
	      peer.role == ESPUDP_ROLE_INITIATOR);
}

void test_parse(void)
{
	test_words();
	test_numbers();
	test_addresses();
	test_ranges();
	test_selectors();
	test_fields();
	test_transport();
}
