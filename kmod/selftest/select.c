// SPDX-License-Identifier: GPL-2.0
/* Tests of select.c and flow.c: packets, ranges, the order of entries, refusals,
 * and a long random run beside a model that walks all selectors of all peers.
 */
#include <linux/icmp.h>
#include "check.h"

#define N_PEERS	24
#define N_SELS	4
#define N_ORDER	12
#define MANY	(IS_ENABLED(CONFIG_KASAN) ? 100 : 1000)
#define ROUNDS	(IS_ENABLED(CONFIG_KASAN) ? 150 : 700)
#define u128	unsigned __int128	/* the model's addresses, IPv4 in the low 32 bits */

struct test {
	struct espudp_dev *edev;
	struct espudp_select *t;
	struct rnd_state rnd;
	struct espudp_peer *peers[N_PEERS];
	struct espudp_sel sel[N_ORDER];
};

static struct in6_addr addr4(u32 a)
{
	return (struct in6_addr) { .s6_addr32 = { htonl(a) } };
}

static struct espudp_sel sel4(u32 l0, u32 l1, u32 r0, u32 r1, u8 proto, u32 prio)
{
	return (struct espudp_sel) {
		.local = { addr4(l0), addr4(l1) },
		.remote = { addr4(r0), addr4(r1) },
		.lport = { 0, U16_MAX },
		.rport = { 0, U16_MAX },
		.family = AF_INET,
		.proto = proto,
		.prio = prio,
	};
}

static struct espudp_flow flow4(u32 local, u32 remote, u8 proto, int lport, int rport)
{
	return (struct espudp_flow) {
		.family = AF_INET,
		.local = addr4(local),
		.remote = addr4(remote),
		.proto = proto,
		.ports = lport >= 0,
		.local_port = htons(max(lport, 0)),
		.remote_port = htons(max(rport, 0)),
	};
}

static int set_msg(struct test *x, struct espudp_peer *peer, const struct espudp_sel *sel,
		   unsigned int n, const char **msg)
{
	struct netlink_ext_ack extack = {};
	struct espudp_sels *sels = NULL;
	int err;

	if (n) {
		sels = kvzalloc(struct_size(sels, sel, n), GFP_KERNEL);
		if (!sels)
			return -ENOMEM;
		sels->n = n;
		memcpy(sels->sel, sel, n * sizeof(*sel));
	}
	mutex_lock(&x->edev->lock);
	err = espudp_select_set(x->t, peer, sels, NULL, &extack);
	mutex_unlock(&x->edev->lock);
	if (err)
		kvfree(sels);
	*msg = extack._msg;
	return err;
}

static int set(struct test *x, struct espudp_peer *peer, const struct espudp_sel *sel,
	       unsigned int n)
{
	const char *msg;

	return set_msg(x, peer, sel, n, &msg);
}

static struct espudp_peer *find(struct test *x, const struct espudp_flow *flow)
{
	struct espudp_peer *peer;

	rcu_read_lock();
	peer = espudp_select_lookup(x->t, flow);
	rcu_read_unlock();
	return peer;
}

static int match(const struct espudp_peer *peer, const struct espudp_flow *flow)
{
	int ret;

	rcu_read_lock();
	ret = espudp_select_match(peer, flow);
	rcu_read_unlock();
	return ret;
}

static bool clear(struct test *x)
{
	bool good = true;
	int i;

	for (i = 0; i < N_PEERS; i++)
		good &= check(!set(x, x->peers[i], NULL, 0), "clear");
	good &= check(!atomic_read(&x->t->hash.nelems), "%d nodes are left",
		      atomic_read(&x->t->hash.nelems));
	good &= check(!memchr_inv(x->t->used, 0, sizeof(x->t->used)) &&
		      !memchr_inv(x->t->plens, 0, sizeof(x->t->plens)),
		      "prefix lengths are left");
	return good;
}

/* IPv4 from 10.0.0.1 port 0x1234 to 10.0.0.2 port 0x5678 */
#define IP4(id_frag, proto, len) \
	"4500" len id_frag "40" proto "00000a0000010a000002"
/* IPv6 from fd00::1 to fd00::2 */
#define IP6(next, len) "60000000" len next \
	"40fd000000000000000000000000000001fd000000000000000000000000000002"
#define UDP "1234567800080000"
#define OPT "3c00010400000000"

static const struct {
	const char *name;
	const char *packet;
	bool valid;
	u8 proto;
	bool frag;
	bool ports;
} packets[] = {
	{ "UDP", IP4("00000000", "11", "001c") UDP, true, 17, false, true },
	{ "don't fragment", IP4("00004000", "11", "001c") UDP, true, 17, false, true },
	{ "reserved flag", IP4("00008000", "11", "001c") UDP, true, 17, false, true },
	{ "with trailing octets", IP4("00000000", "11", "001c") UDP "0000", true, 17, false, true },
	{ "TCP, only its ports", IP4("00000000", "06", "0018") "12345678", true, 6, false, true },
	{ "SCTP", IP4("00000000", "84", "001c") UDP, true, 132, false, true },
	{ "DCCP", IP4("00000000", "21", "001c") UDP, true, 33, false, true },
	{ "UDP-Lite", IP4("00000000", "88", "001c") UDP, true, 136, false, true },
	{ "ICMP", IP4("00000000", "01", "001c") UDP, true, 1, false, false },
	{ "ESP", IP4("00000000", "32", "001c") UDP, true, 50, false, false },
	{ "options", "4600002000000000401100000a0000010a00000201010101" UDP,
	  true, 17, false, true },
	{ "first fragment", IP4("00002000", "11", "001c") UDP, true, 17, true, false },
	{ "later fragment", IP4("00002001", "11", "001c") UDP, true, 17, true, false },
	{ "last fragment", IP4("00000001", "11", "0015") "12", true, 17, true, false },
	{ "ports cut", IP4("00000000", "11", "0017") "123456", false },
	{ "ports behind the end", IP4("00000000", "11", "0017") UDP, false },
	{ "no payload, UDP", IP4("00000000", "11", "0014"), false },
	{ "no payload, ICMP", IP4("00000000", "01", "0014"), true, 1, false, false },
	{ "longer than it is", IP4("00000000", "11", "001d") UDP, false },
	{ "shorter than its header", IP4("00000000", "11", "0013") UDP, false },
	{ "length zero", IP4("00000000", "11", "0000") UDP, false },
	{ "header too short", "4400001c00000000401100000a0000010a000002" UDP, false },
	{ "options behind the end", "4f00001c00000000401100000a0000010a000002" UDP, false },
	{ "cut header", "4500001c00000000401100000a0000010a0000", false },
	{ "version 5", "5500001c00000000401100000a0000010a000002" UDP, false },
	{ "empty", "", false },

	{ "IPv6 UDP", IP6("11", "0008") UDP, true, 17, false, true },
	{ "IPv6 with trailing octets", IP6("11", "0008") UDP "0000", true, 17, false, true },
	{ "IPv6 ICMP", IP6("3a", "0008") UDP, true, 58, false, false },
	{ "IPv6 no next header", IP6("3b", "0000"), true, 59, false, false },
	{ "IPv6 no payload, UDP", IP6("11", "0000"), false },
	{ "IPv6 longer than it is", IP6("11", "0009") UDP, false },
	{ "IPv6 ports cut", IP6("11", "0003") UDP, false },
	{ "IPv6 header cut", "6000000000081140fd00", false },
	{ "hop-by-hop", IP6("00", "0010") "1100010400000000" UDP, true, 17, false, true },
	{ "destination options, 16 octets",
	  IP6("3c", "0018") "11010104000000000000000000000000" UDP, true, 17, false, true },
	{ "hop-by-hop, routing, destination options",
	  IP6("00", "0020") "2b000104000000003c000000000000001100010400000000" UDP,
	  true, 17, false, true },
	{ "AH", IP6("33", "0010") "1100010400000000" UDP, true, 51, false, false },
	{ "atomic fragment", IP6("2c", "0010") "1100000000000001" UDP, true, 17, false, true },
	{ "atomic fragment, reserved bits",
	  IP6("2c", "0010") "1100000600000001" UDP, true, 17, false, true },
	{ "IPv6 first fragment", IP6("2c", "0010") "1100000100000001" UDP, true, 17, true, false },
	{ "IPv6 first fragment, options behind",
	  IP6("2c", "0018") "3c000001000000011100010400000000" UDP, true, 17, true, false },
	{ "IPv6 later fragment", IP6("2c", "0010") "1100000900000001" UDP, true, 17, true, false },
	{ "IPv6 last fragment, options behind",
	  IP6("2c", "0010") "3c00000800000001" UDP, true, 60, true, false },
	{ "jumbogram", IP6("00", "0000") "1100c20400010000" UDP, false },
	{ "extension header behind the end", IP6("00", "0004") "1100010400000000" UDP, false },
	{ "extension header too long", IP6("00", "0010") "1102010400000000" UDP, false },
	{ "extension header cut", IP6("00", "0004") "11000104", false },
	{ "15 extension headers", IP6("3c", "0080")
	  OPT OPT OPT OPT OPT OPT OPT OPT OPT OPT OPT OPT OPT OPT "1100010400000000" UDP,
	  true, 17, false, true },
	{ "16 extension headers", IP6("3c", "0088")
	  OPT OPT OPT OPT OPT OPT OPT OPT OPT OPT OPT OPT OPT OPT OPT "1100010400000000" UDP,
	  false },
};

/* @paged leaves only half of the packet in the linear part. */
static bool test_packet(size_t i, bool out, bool paged)
{
	const char *hex = packets[i].packet;
	unsigned int len = strlen(hex) / 2, head = paged ? len / 2 : len;
	struct in6_addr near = addr4(0x0a000001), far = addr4(0x0a000002);
	__be16 lport = htons(0x1234), rport = htons(0x5678);
	struct espudp_flow flow;
	struct sk_buff *skb;
	bool good, valid;
	u8 *page;

	skb = alloc_skb(256, GFP_KERNEL);
	page = (u8 *)get_zeroed_page(GFP_KERNEL);
	if (!skb || !page || hex2bin(page, hex, len)) {
		kfree_skb(skb);
		free_page((unsigned long)page);
		return check(false, "no memory");
	}
	memcpy(skb_put(skb, head), page, head);
	if (len > head)
		skb_add_rx_frag(skb, 0, virt_to_page(page), head, len - head, PAGE_SIZE);
	else
		free_page((unsigned long)page);
	skb_reset_network_header(skb);

	valid = espudp_select_parse(skb, out, &flow);
	good = check(valid == packets[i].valid, "%s: %d", packets[i].name, valid);
	if (valid && good) {
		if (flow.family == AF_INET6) {
			near = (struct in6_addr) { .s6_addr = { 0xfd, [15] = 1 } };
			far = (struct in6_addr) { .s6_addr = { 0xfd, [15] = 2 } };
		}
		if (!out) {
			swap(near, far);
			swap(lport, rport);
		}
		good = check(ipv6_addr_equal(&flow.local, &near) &&
			     ipv6_addr_equal(&flow.remote, &far), "%s: ends", packets[i].name);
		good &= check(flow.proto == packets[i].proto && flow.frag == packets[i].frag &&
			      flow.ports == packets[i].ports, "%s: %u %d %d",
			      packets[i].name, flow.proto, flow.frag, flow.ports);
		if (flow.ports)
			good &= check(flow.local_port == lport && flow.remote_port == rport,
				      "%s: ports", packets[i].name);
	}
	kfree_skb(skb);
	return good;
}

static bool test_parse(void)
{
	bool good = true;
	size_t i;
	int how;

	for (i = 0; i < ARRAY_SIZE(packets); i++)
		for (how = 0; how < 4; how++)
			good &= test_packet(i, how & 1, how & 2);
	return good;
}

static bool test_ranges(void)
{
	const struct in6_addr all = {}, last6 = { .s6_addr32 = { [0 ... 3] = htonl(~0) } };
	struct in6_addr r[2] = { addr4(1), addr4(0xfffffffe) };
	bool good;

	good = check(espudp_flow_range_count(AF_INET, r) == 62, "widest IPv4 range");
	r[0] = addr4(0);
	r[1] = addr4(U32_MAX);
	good &= check(espudp_flow_range_count(AF_INET, r) == 1, "all of IPv4");
	r[0] = addr4(U32_MAX);
	good &= check(espudp_flow_range_count(AF_INET, r) == 1, "last IPv4 address");
	r[0] = all;
	r[1] = last6;
	good &= check(espudp_flow_range_count(AF_INET6, r) == 1, "all of IPv6");
	r[0].s6_addr[15] = 1;
	r[1].s6_addr[15] = 0xfe;
	good &= check(espudp_flow_range_count(AF_INET6, r) == 254, "widest IPv6 range");
	return good;
}

/* Each peer's entry is more specific than those of the peers before it. */
static bool test_order(struct test *x)
{
	struct espudp_flow flow = flow4(0x0a000001, 0xc0a80001, 17, 1701, 1701), frag = flow;
	struct espudp_sel *s = x->sel;
	const int last = N_ORDER - 1;
	bool good = true;
	int i, j;

	s[0] = sel4(0, U32_MAX, 0, U32_MAX, 0, 0);
	s[1] = sel4(0x0a000001, 0x0a000001, 0, U32_MAX, 17, 0);
	s[2] = sel4(0, U32_MAX, 0xc0a80000, 0xc0a8ffff, 0, 9);
	s[3] = sel4(0x0a000000, 0x0affffff, 0xc0a80000, 0xc0a8ffff, 0, 0);
	s[4] = sel4(0x0a000000, 0x0a0000ff, 0xc0a80000, 0xc0a8ffff, 0, 9);
	s[5] = sel4(0x0a000000, 0x0a0000ff, 0xc0a80000, 0xc0a8ffff, 0, 8);
	s[6] = sel4(0x0a000000, 0x0a0000ff, 0xc0a80000, 0xc0a8ffff, 17, 7);
	s[7] = sel4(0x0a000000, 0x0a0000ff, 0xc0a80000, 0xc0a8ffff, 17, 6);
	s[8] = sel4(0x0a000000, 0x0a0000ff, 0xc0a80000, 0xc0a8ffff, 17, 9);
	s[9] = sel4(0x0a000000, 0x0a0000ff, 0xc0a80000, 0xc0a8ffff, 17, 5);
	s[10] = sel4(0x0a000000, 0x0a0000ff, 0xc0a80000, 0xc0a8ffff, 17, 5);
	s[11] = sel4(0, U32_MAX, 0xc0a80001, 0xc0a80001, 0, 9);
	/* ports, a lower number, narrower ports */
	s[8].rport[1] = 2000;
	s[9].rport[1] = 2000;
	s[10].rport[1] = 1999;
	frag.ports = false;
	frag.frag = true;

	/* in one order and in the other */
	for (j = 0; j < 2; j++) {
		for (i = 0; i <= last; i++)
			good &= check(!set(x, x->peers[j ? last - i : i], &s[j ? last - i : i], 1),
				      "order: set %d", i);
		for (i = last; i >= 0; i--) {
			good &= check(find(x, &flow) == x->peers[i], "order: %d", i);
			good &= check(find(x, &frag) == (i >= 8 && i < last ? ERR_PTR(-EAGAIN) :
							 x->peers[i]),
				      "order: fragment, %d", i);
			good &= check(!set(x, x->peers[i], NULL, 0), "order: unset");
		}
		good &= check(!find(x, &flow), "order: none");
	}
	return good;
}

static bool refused(struct test *x, const char *what, const struct espudp_sel *sel, unsigned int n)
{
	const char *msg;
	int err = set_msg(x, x->peers[0], sel, n, &msg);

	return check(err == -EINVAL && msg, "%s: %d, %s", what, err, msg);
}

static bool test_refusals(struct test *x)
{
	const struct espudp_sel sane = sel4(0, U32_MAX, 0x0a000000, 0x0affffff, 17, 5);
	struct espudp_flow flow = flow4(1, 0x0a000001, 17, 1, 1), inside, outside;
	const int nodes = 2;	/* bucket and group of @sane */
	struct espudp_sel s[3], *many;
	const char *msg;
	bool good;
	int i, err;

	good = check(!set(x, x->peers[0], &sane, 1), "sane");
	for (i = 0; i < 3; i++)
		s[i] = sane;
	s[1].family = AF_UNIX;
	good &= refused(x, "family", s, 2);
	s[1] = sane;
	s[1].remote[1].s6_addr32[3] = htonl(1);
	good &= refused(x, "mixed families", s, 2);
	s[1] = sane;
	swap(s[1].remote[0], s[1].remote[1]);
	good &= refused(x, "remote range", s, 2);
	s[1] = sane;
	swap(s[1].local[0], s[1].local[1]);
	good &= refused(x, "local range", s, 2);
	s[1] = sane;
	s[1].lport[0] = 2;
	s[1].lport[1] = 1;
	good &= refused(x, "local ports", s, 2);
	s[1] = sane;
	s[1].rport[0] = 2;
	s[1].rport[1] = 1;
	good &= refused(x, "remote ports", s, 2);
	s[1] = sane;
	s[1].rport[0] = 1;
	s[1].proto = IPPROTO_ICMP;
	good &= refused(x, "ports of ICMP", s, 2);
	s[1].proto = 0;
	good &= refused(x, "ports of any", s, 2);
	s[1] = sel4(1, U32_MAX - 1, 1, U32_MAX - 1, 0, 0);
	s[2] = sel4(1, U32_MAX - 1, 1, U32_MAX - 1, 6, 0);
	good &= refused(x, "too many pairs", s, 3);
	many = kvcalloc(ESPUDP_SELECTORS_MAX + 1, sizeof(*many), GFP_KERNEL);
	if (!many)
		return check(false, "no memory");
	for (i = 0; i <= ESPUDP_SELECTORS_MAX; i++)
		many[i] = sel4(0, U32_MAX, i, i, 0, 0);
	good &= refused(x, "too many", many, ESPUDP_SELECTORS_MAX + 1);
	kvfree(many);

	/* of another peer, in the second place: the first leaves nothing behind */
	s[0] = sel4(0, U32_MAX, 0x0b000000, 0x0b0000ff, 0, 0);
	s[1] = sane;
	err = set_msg(x, x->peers[1], s, 2, &msg);
	good &= check(err == -EEXIST && msg && strstr(msg, "RFC 3948 section 5.1"),
		      "equal entries: %d, %s", err, msg);
	good &= check(atomic_read(&x->t->hash.nelems) == nodes && !x->peers[1]->sels &&
		      find(x, &flow) == x->peers[0], "a refusal changed something");

	s[1].prio = 4;
	good &= check(!set(x, x->peers[1], s, 2) && find(x, &flow) == x->peers[1],
		      "lower number");
	s[1].prio = 6;
	good &= check(!set(x, x->peers[1], s, 2) && find(x, &flow) == x->peers[0],
		      "higher number");
	s[1].prio = 5;
	good &= check(set(x, x->peers[1], s, 2) == -EEXIST && find(x, &flow) == x->peers[0],
		      "back to the same");
	good &= check(!set(x, x->peers[0], NULL, 0) && find(x, &flow) == x->peers[1] &&
		      !x->peers[0]->sels, "takes over");
	good &= clear(x);

	/* duplicates of one peer, the lower number wins against others */
	s[0] = sane;
	s[1] = sane;
	s[1].prio = 3;
	s[2] = sane;
	good &= check(!set(x, x->peers[0], s, 3) &&
		      rcu_dereference_raw(x->peers[0]->sels)->entries->n == 1,
		      "duplicates");
	good &= check(!set(x, x->peers[1], &sane, 1) && find(x, &flow) == x->peers[0],
		      "duplicates: the best number");
	good &= check(!set(x, x->peers[0], s, 3) && find(x, &flow) == x->peers[0], "same again");

	/* direction: local is not remote */
	inside = flow4(0x0a000001, 1, 17, 1, 1);
	outside = flow4(1, 0x0b000001, 17, 1, 1);
	good &= check(!find(x, &inside) && !match(x->peers[0], &inside), "ends swapped");
	good &= check(!find(x, &outside) && !match(x->peers[0], &outside), "outside");
	good &= check(match(x->peers[0], &flow) == 1 && !match(x->peers[2], &flow), "match");
	return good & clear(x);
}

/* Many peers, first with a remote prefix each, then with one for all of them. */
static bool test_many(struct test *x)
{
	struct espudp_peer **many = kvcalloc(MANY, sizeof(*many), GFP_KERNEL);
	bool good = many, one;
	struct espudp_flow flow;
	struct espudp_sel s;
	int i, j;

	for (i = 0; good && i < MANY; i++) {
		many[i] = kzalloc(sizeof(*many[i]), GFP_KERNEL);
		if (many[i])
			many[i]->edev = x->edev;
		else
			good = false;
	}
	good = check(good, "no memory");
	for (j = 0; good && j < 4; j++) {
		one = j % 2;
		for (i = 0; i < MANY; i++) {
			s = one ? sel4(i, i, 0, U32_MAX, 0, 0) : sel4(0, U32_MAX, i, i, 0, 0);
			good &= check(!set(x, many[i], &s, 1), "many: set");
		}
		for (i = 0; i <= MANY; i++) {
			flow = one ? flow4(i, 7, 1, -1, -1) : flow4(7, i, 1, -1, -1);
			good &= check(find(x, &flow) == (i < MANY ? many[i] : NULL), "many: %d", i);
		}
	}
	for (i = 0; many && i < MANY && many[i]; i++) {
		good &= check(!set(x, many[i], NULL, 0), "many: unset");
		kfree(many[i]);
	}
	kvfree(many);
	return good & clear(x);
}

static u128 to_num(u8 family, const struct in6_addr *a)
{
	u128 n = 0;
	int i;

	for (i = 0; i < (family == AF_INET ? 4 : 16); i++)
		n = n << 8 | a->s6_addr[i];
	return n;
}

static struct in6_addr from_num(u8 family, u128 n)
{
	struct in6_addr a = {};
	int i;

	for (i = (family == AF_INET ? 4 : 16) - 1; i >= 0; i--, n >>= 8)
		a.s6_addr[i] = n;
	return a;
}

/* Length of the widest block around @x inside a range; -1 if @x is outside. */
static int model_block(u8 family, const struct in6_addr *range, u128 x, u128 *last)
{
	u128 from = to_num(family, &range[0]), to = to_num(family, &range[1]), host;
	int plen, bits = family == AF_INET ? 32 : 128;

	if (x < from || x > to)
		return -1;
	for (plen = 0; plen <= bits; plen++) {
		host = plen ? ((u128)1 << (bits - plen)) - 1 : ~(u128)0 >> (128 - bits);
		*last = x | host;
		if ((x & ~host) >= from && *last <= to)
			return plen;
	}
	return -1;
}

static bool model_equal(const struct espudp_sel *a, const struct espudp_sel *b)
{
	return a->family == b->family && a->proto == b->proto &&
	       !memcmp(a->lport, b->lport, sizeof(a->lport)) &&
	       !memcmp(a->rport, b->rport, sizeof(a->rport));
}

/* Priority of what selectors make of @like and a pair of blocks; the best. */
static s64 model_best(const struct espudp_sel *sel, unsigned int n, const struct espudp_sel *like,
		      u128 remote, int rplen, u128 local, int lplen)
{
	s64 best = S64_MAX;
	unsigned int i;
	u128 last;

	for (i = 0; i < n; i++)
		if (sel[i].prio < best && model_equal(&sel[i], like) &&
		    model_block(like->family, sel[i].remote, remote, &last) == rplen &&
		    model_block(like->family, sel[i].local, local, &last) == lplen)
			best = sel[i].prio;
	return best;
}

/* Walks the pairs of blocks of one of the @n selectors. */
static bool model_conflict(const struct espudp_sel *sel, unsigned int n,
			   const struct espudp_sel *one, const struct espudp_sels *other)
{
	u8 family = one->family;
	u128 r, rlast, l, llast;
	int rplen, lplen;

	r = to_num(family, &one->remote[0]);
	do {
		rplen = model_block(family, one->remote, r, &rlast);
		l = to_num(family, &one->local[0]);
		do {
			lplen = model_block(family, one->local, l, &llast);
			if (model_best(sel, n, one, r, rplen, l, lplen) ==
			    model_best(other->sel, other->n, one, r, rplen, l, lplen))
				return true;
			l = llast + 1;
		} while (llast != to_num(family, &one->local[1]));
		r = rlast + 1;
	} while (rlast != to_num(family, &one->remote[1]));
	return false;
}

static int model_count(u8 family, const struct in6_addr *range)
{
	u128 x = to_num(family, &range[0]), to = to_num(family, &range[1]), last;
	int n;

	for (n = 1; ; n++) {
		model_block(family, range, x, &last);
		if (last == to)
			return n;
		x = last + 1;
	}
}

static bool model_limited(const struct espudp_sel *s)
{
	return s->lport[0] > 0 || s->lport[1] < 65535 || s->rport[0] > 0 || s->rport[1] < 65535;
}

static int model_match(const struct espudp_sel *s, const struct espudp_flow *f, int *rplen,
		       int *lplen)
{
	u16 l = ntohs(f->local_port), r = ntohs(f->remote_port);
	bool hidden = f->frag && f->family == AF_INET6 && f->proto == IPPROTO_DSTOPTS;
	u128 ignore;

	if (s->family != f->family)
		return 0;
	*rplen = model_block(f->family, s->remote, to_num(f->family, &f->remote), &ignore);
	if (*rplen < 0)
		return 0;
	*lplen = model_block(f->family, s->local, to_num(f->family, &f->local), &ignore);
	if (*lplen < 0)
		return 0;
	if (s->proto != 0 && s->proto != f->proto)
		return hidden ? -EAGAIN : 0;
	if (!model_limited(s))
		return 1;
	if (f->frag)
		return -EAGAIN;
	return f->ports && s->lport[0] <= l && l <= s->lport[1] &&
	       s->rport[0] <= r && r <= s->rport[1];
}

/* What decides, the most important first; the lower wins. */
static u64 model_rank(const struct espudp_sel *s, int rplen, int lplen)
{
	u64 rank = 128 - rplen;

	rank = rank << 8 | (128 - lplen);
	rank = rank << 1 | (s->proto == 0);
	rank = rank << 1 | (model_limited(s) ? 0 : 1);
	rank = rank << 8 | s->prio;
	rank = rank << 18 | (s->lport[1] - s->lport[0] + s->rport[1] - s->rport[0]);
	return rank << 8 | s->proto;
}

static void *model_lookup(struct test *x, const struct espudp_flow *flow)
{
	const struct espudp_sel *best_sel = NULL;
	u64 best_rank = U64_MAX, rank;
	void *best = NULL;
	unsigned int i, j;
	int m, rplen, lplen;

	for (i = 0; i < N_PEERS; i++) {
		const struct espudp_sels *sels = rcu_dereference_raw(x->peers[i]->sels);

		for (j = 0; sels && j < sels->n; j++) {
			const struct espudp_sel *s = &sels->sel[j];

			m = model_match(s, flow, &rplen, &lplen);
			if (!m)
				continue;
			rank = model_rank(s, rplen, lplen);
			if (rank > best_rank ||
			    (rank == best_rank &&
			     (memcmp(s->lport, best_sel->lport, sizeof(s->lport)) ?:
			      memcmp(s->rport, best_sel->rport, sizeof(s->rport))) > 0))
				continue;
			best_rank = rank;
			best_sel = s;
			best = m > 0 ? x->peers[i] : ERR_PTR(m);
		}
	}
	return best;
}

static u32 rnd(struct test *x, u32 below)
{
	return prandom_u32_state(&x->rnd) % below;
}

/* Few addresses, so that ranges meet; in IPv6 around bits 32, 64 and 128. */
static u128 random_addr(struct test *x, u8 family)
{
	u128 a = rnd(x, 24);

	if (family == AF_INET)
		return 0x0a000000 + a;
	return (u128)0xfd << 120 | (u128)rnd(x, 2) << 96 | (u128)(63 + rnd(x, 3)) << 60 | a;
}

static void random_range(struct test *x, u8 family, struct in6_addr *range)
{
	u128 a = random_addr(x, family), b = random_addr(x, family), host;

	switch (rnd(x, 5)) {
	case 0:
		b = a;
		break;
	case 1:
		a = 0;
		b = ~(u128)0 >> (family == AF_INET ? 96 : 0);
		break;
	case 2:
		host = ((u128)1 << rnd(x, family == AF_INET ? 10 : 70)) - 1;
		b = a | host;
		a &= ~host;
		break;
	case 3:
		/* near each other */
		b = (a & ~(u128)31) | (b & 31);
		break;
	default:
		/* far apart, but of few prefixes */
		host = family == AF_INET ? 3 : ((u128)1 << 60) - 1;
		b = max(a, b) | host;
		a = min(a, b) & ~host;
	}
	range[0] = from_num(family, min(a, b));
	range[1] = from_num(family, max(a, b));
}

static void random_sel(struct test *x, struct espudp_sel *s)
{
	static const u8 protos[] = { 0, 0, 1, 6, 17, 17 };
	const struct espudp_sels *sels;

	sels = rcu_dereference_raw(x->peers[rnd(x, N_PEERS)]->sels);
	if (sels && sels->n && rnd(x, 2)) {
		*s = sels->sel[rnd(x, sels->n)];
		s->prio = rnd(x, 4);
		return;
	}

	memset(s, 0, sizeof(*s));
	s->family = rnd(x, 2) ? AF_INET : AF_INET6;
	random_range(x, s->family, s->local);
	random_range(x, s->family, s->remote);
	s->proto = protos[rnd(x, ARRAY_SIZE(protos))];
	s->prio = rnd(x, 4);
	s->lport[1] = U16_MAX;
	s->rport[1] = U16_MAX;
	if (s->proto > 1 && rnd(x, 2)) {
		s->lport[0] = rnd(x, 3);
		s->lport[1] = s->lport[0] + rnd(x, 3);
	}
	if (s->proto > 1 && rnd(x, 2)) {
		s->rport[0] = rnd(x, 3);
		s->rport[1] = s->rport[0] + rnd(x, 3);
	}
}

static void random_flow(struct test *x, struct espudp_flow *f)
{
	static const u8 protos[] = { 1, 6, 17, 17, 50, 60 };

	memset(f, 0, sizeof(*f));
	f->family = rnd(x, 2) ? AF_INET : AF_INET6;
	f->local = from_num(f->family, random_addr(x, f->family));
	f->remote = from_num(f->family, random_addr(x, f->family));
	f->proto = protos[rnd(x, ARRAY_SIZE(protos))];
	f->frag = !rnd(x, 4);
	f->ports = !f->frag && (f->proto == 6 || f->proto == 17);
	if (f->ports) {
		f->local_port = htons(rnd(x, 5));
		f->remote_port = htons(rnd(x, 5));
	}
}

static bool test_round(struct test *x)
{
	struct espudp_peer *peer = x->peers[rnd(x, N_PEERS)];
	const struct espudp_sels *sels;
	struct espudp_sel sel[N_SELS];
	unsigned int i, j, n = rnd(x, N_SELS + 1);
	struct espudp_flow flow;
	int rplen, lplen, pairs, want = 0, got;
	bool good;

	for (i = 0, pairs = 0; i < n; i++) {
		random_sel(x, &sel[i]);
		pairs += model_count(sel[i].family, sel[i].remote) *
			 model_count(sel[i].family, sel[i].local);
	}
	for (i = 0; i < N_PEERS; i++) {
		sels = rcu_dereference_raw(x->peers[i]->sels);
		if (!sels || x->peers[i] == peer)
			continue;
		for (j = 0; j < n && !want; j++)
			if (model_conflict(sel, n, &sel[j], sels))
				want = -EEXIST;
	}
	if (pairs > 4096)
		want = -EINVAL;
	got = set(x, peer, sel, n);
	good = check(got == want, "random: set: %d, not %d", got, want);

	for (i = 0; i < 12; i++) {
		struct espudp_peer *p = x->peers[rnd(x, N_PEERS)];

		random_flow(x, &flow);
		good &= check(find(x, &flow) == model_lookup(x, &flow),
			      "random: find %pI6c proto %u frag %d from %pI6c", &flow.remote,
			      flow.proto, flow.frag, &flow.local);

		sels = rcu_dereference_raw(p->sels);
		for (j = 0, want = 0; sels && j < sels->n && want <= 0; j++)
			want = model_match(&sels->sel[j], &flow, &rplen, &lplen) ?: want;
		got = match(p, &flow);
		good &= check(got == want, "random: match: %d, not %d", got, want);
	}
	return good;
}

static bool test_random(struct test *x)
{
	bool good = true;
	int i;

	for (i = 0; good && i < ROUNDS; i++)
		good = test_round(x);
	return good & clear(x);
}

bool espudp_select_selftest(void)
{
	struct test *x;
	bool good;
	int i;

	check_begin("select");
	x = kzalloc(sizeof(*x), GFP_KERNEL);
	if (!x)
		return check(false, "no memory");
	prandom_seed_state(&x->rnd, 4301);
	x->edev = kvzalloc(sizeof(*x->edev), GFP_KERNEL);
	good = x->edev;
	for (i = 0; i < N_PEERS; i++) {
		x->peers[i] = kzalloc(sizeof(*x->peers[i]), GFP_KERNEL);
		if (x->peers[i])
			x->peers[i]->edev = x->edev;
		else
			good = false;
	}
	if (good) {
		mutex_init(&x->edev->lock);
		x->t = &x->edev->select;
		good = !espudp_select_init(x->t);
	}
	if (check(good, "no memory")) {
		good = test_parse() && test_ranges() && test_order(x) && clear(x) &&
		       test_refusals(x) && test_many(x) && test_random(x);
		if (!good)
			clear(x);
		espudp_select_destroy(x->t);
		mutex_destroy(&x->edev->lock);
	}
	for (i = 0; i < N_PEERS; i++)
		kfree(x->peers[i]);
	kvfree(x->edev);
	kfree(x);
	return check_end(good);
}
