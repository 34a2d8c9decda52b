// SPDX-License-Identifier: GPL-2.0
#include <arpa/inet.h>
#include <net/if.h>
#include <string.h>

#include "format.h"
#include "parse.h"
#include "prefix.h"

const char *words_next(struct words *w)
{
	if (!w->n)
		return NULL;
	w->n--;
	return *w->v++;
}

const char *words_peek(const struct words *w)
{
	return w->n ? w->v[0] : NULL;
}

bool words_take(struct words *w, const char *word)
{
	if (!w->n || strcmp(w->v[0], word))
		return false;
	words_next(w);
	return true;
}

int words_value(struct words *w, const char *what, const char **value)
{
	*value = words_next(w);
	return *value ? OK : usage("value missing after `%s'", what);
}

int words_need(struct words *w, const char *what, const char **value)
{
	*value = words_next(w);
	return *value ? OK : usage("%s is expected", what);
}

int words_end(const struct words *w)
{
	return w->n ? usage("unexpected word `%s'", w->v[0]) : OK;
}

bool is_number(const char *s, uint64_t *n)
{
	unsigned int base = 10;

	if (s[0] == '0' && (s[1] | 0x20) == 'x') {
		base = 16;
		s += 2;
	}
	if (!*s)
		return false;
	for (*n = 0; *s; s++) {
		unsigned int d = (unsigned int)*s - '0';

		if (d > 9) {
			d = (unsigned int)(*s | 0x20) - 'a';
			if (d > 5)
				return false;
			d += 10;
		}
		if (d >= base || __builtin_mul_overflow(*n, base, n) ||
		    __builtin_add_overflow(*n, d, n))
			return false;
	}
	return true;
}

int parse_number(const char *what, const char *s, uint64_t min, uint64_t max,
		 uint64_t *n)
{
	if (is_number(s, n) && *n >= min && *n <= max)
		return OK;
	return error("bad %s `%s': a number from %llu to %llu is expected",
		     what, s, (unsigned long long)min, (unsigned long long)max);
}

int parse_enum(const char *what, const char *s, const struct names *names,
	       uint8_t *value)
{
	int i = names_find(names, s);

	if (i < 0)
		return error("bad %s `%s': %s is expected", what, s,
			     names_list(names, 0));
	*value = i;
	return OK;
}

int parse_bool(const char *what, const char *s, uint8_t *value)
{
	*value = !strcmp(s, "on") || !strcmp(s, "yes");
	if (*value || !strcmp(s, "off") || !strcmp(s, "no"))
		return OK;
	return error("bad %s `%s': on or off is expected", what, s);
}

static bool addr(const char *s, struct addr *a)
{
	memset(a, 0, sizeof(*a));
	if (inet_pton(AF_INET, s, a->b) == 1)
		a->family = AF_INET;
	else if (inet_pton(AF_INET6, s, a->b) == 1)
		a->family = AF_INET6;
	return a->family;
}

int parse_addr(const char *what, const char *s, struct addr *a)
{
	if (addr(s, a))
		return OK;
	return error("bad %s `%s': an IPv4 or IPv6 address is expected%s", what,
		     s, strchr(s, '%') ? ", without a scope" : "");
}

int parse_endpoint(const char *what, const char *s, struct addr *a,
		   uint16_t *port)
{
	const char *end, *colon = NULL;
	char text[INET6_ADDRSTRLEN];
	bool brackets = s[0] == '[';
	uint64_t n = 0;
	size_t len;

	*port = 0;
	if (brackets) {
		end = strchr(++s, ']');
		if (!end)
			return error("bad %s `[%s': `]' is missing", what, s);
		if (end[1] == ':')
			colon = end + 1;
		else if (end[1])
			return error("bad %s `[%s': [ADDRESS]:PORT is expected",
				     what, s);
	} else {
		colon = strchr(s, ':');
		if (colon && strchr(colon + 1, ':'))
			colon = NULL; /* IPv6 without a port */
		end = colon ? colon : s + strlen(s);
	}
	len = end - s;
	if (len >= sizeof(text))
		len = sizeof(text) - 1;
	memcpy(text, s, len);
	text[len] = 0;
	if (parse_addr(what, text, a))
		return FAILED;
	if (brackets != (a->family == AF_INET6) && (brackets || colon))
		return error("bad %s `%s': brackets are for IPv6 addresses",
			     what, s);
	if (!colon)
		return OK;
	if (!is_number(colon + 1, &n) || !n || n > UINT16_MAX)
		return error("bad port `%s' in %s: a number from 1 to 65535 is "
			     "expected",
			     colon + 1, what);
	*port = n;
	return OK;
}

int parse_range(const char *what, const char *s, struct addr *from,
		struct addr *to)
{
	char text[2 * INET6_ADDRSTRLEN], *second;
	struct addr first;
	uint64_t len;

	if (strlen(s) >= sizeof(text))
		goto bad;
	strcpy(text, s);
	second = strpbrk(text, "/-");
	if (!second) {
		if (!addr(s, from))
			goto bad;
		*to = *from;
		return OK;
	}
	*second++ = 0;
	if (!addr(text, from))
		goto bad;
	if (s[second - 1 - text] == '-') {
		if (!addr(second, to))
			goto bad;
		if (from->family != to->family)
			return error("bad %s `%s': the ends are of two address "
				     "families",
				     what, s);
		if (addr_cmp(from, to) > 0)
			return error("bad %s `%s': the first address is above "
				     "the last",
				     what, s);
		return OK;
	}
	if (!is_number(second, &len) || len > addr_len(from) * 8)
		return error("bad %s `%s': a prefix length from 0 to %u is "
			     "expected",
			     what, s, addr_len(from) * 8);
	prefix_range(from, len, &first, to);
	if (!addr_equal(from, &first))
		return error("bad %s `%s': bits beyond the prefix length are "
			     "set; %s/%u?",
			     what, s, format_addr(&first), (unsigned int)len);
	return OK;
bad:
	return error("bad %s `%s': ADDRESS, ADDRESS/LENGTH or "
		     "ADDRESS-ADDRESS is expected",
		     what, s);
}

static bool has_pool(const struct list *pools, uint8_t family)
{
	for_each(struct pool, p, pools)
		if (p->addr.family == family)
			return true;
	return false;
}

int parse_pool(const char *what, const char *s, uint8_t family,
	       struct list *pools)
{
	struct addr from = { .family = family }, to;
	struct pool *pool;
	int ret, len = 0;

	if (has_pool(pools, family))
		return usage("`%s' is given twice", what);
	if (strcmp(s, "none")) {
		ret = parse_range(what, s, &from, &to);
		if (ret)
			return ret;
		len = prefix_of_range(&from, &to);
		/* To the module, length 0 means none. */
		if (from.family != family || len <= 0)
			return error(
				"bad %s `%s': an IPv%c prefix or `none' is "
				"expected",
				what, s, family == AF_INET ? '4' : '6');
	}
	pool = list_add(pools, sizeof(*pool));
	pool->addr = from;
	pool->len = len;
	SET(pool, ESPUDP_A_POOL_ADDRESS);
	if (len)
		SET(pool, ESPUDP_A_POOL_PREFIX_LEN);
	return OK;
}

static const struct {
	const char *name;
	uint8_t number;
	bool ports;
} protocols[] = {
	{ "any", 0, false },	 { "icmp", 1, false },
	{ "ipip", 4, false },	 { "tcp", 6, true },
	{ "udp", 17, true },	 { "dccp", 33, true },
	{ "ipv6", 41, false },	 { "gre", 47, false },
	{ "esp", 50, false },	 { "ah", 51, false },
	{ "icmpv6", 58, false }, { "ipv6-icmp", 58, false },
	{ "ospf", 89, false },	 { "l2tp", 115, false },
	{ "sctp", 132, true },	 { "udplite", 136, true },
};

const char *parse_protocol_name(uint8_t protocol)
{
	for (size_t i = 0; i < ARRAY_SIZE(protocols); i++)
		if (protocols[i].number == protocol)
			return protocols[i].name;
	return NULL;
}

static bool protocol_has_ports(uint8_t protocol)
{
	for (size_t i = 0; i < ARRAY_SIZE(protocols); i++)
		if (protocols[i].number == protocol)
			return protocols[i].ports;
	return false;
}

int parse_protocol(const char *what, const char *s, uint8_t *protocol)
{
	uint64_t n;

	for (size_t i = 0; i < ARRAY_SIZE(protocols); i++) {
		if (!strcmp(protocols[i].name, s)) {
			*protocol = protocols[i].number;
			return OK;
		}
	}
	if (!is_number(s, &n) || n > UINT8_MAX)
		return error("bad %s `%s': a number from 0 to 255 or a name as "
			     "tcp, udp, sctp, icmp, icmpv6 is expected",
			     what, s);
	*protocol = n;
	return OK;
}

static int parse_ports(const char *what, const char *s, uint16_t *from,
		       uint16_t *to)
{
	char text[32], *second;
	uint64_t a, b;

	if (strlen(s) >= sizeof(text))
		goto bad;
	strcpy(text, s);
	second = strchr(text, '-');
	if (second)
		*second++ = 0;
	else
		second = text;
	if (!is_number(text, &a) || !is_number(second, &b) || a > b ||
	    b > UINT16_MAX)
		goto bad;
	*from = a;
	*to = b;
	return OK;
bad:
	return error("bad %s `%s': PORT or FIRST-LAST of 0 to 65535 is "
		     "expected",
		     what, s);
}

static int selector_word(struct words *w, struct selector *s, bool *end)
{
	const char *word = words_peek(w), *value;
	uint64_t n;
	int ret;

	*end = !word || (strcmp(word, "proto") && strcmp(word, "local-port") &&
			 strcmp(word, "remote-port") && strcmp(word, "prio"));
	if (*end)
		return OK;
	words_next(w);
	ret = words_value(w, word, &value);
	if (ret)
		return ret;
	if (!strcmp(word, "proto")) {
		ret = parse_protocol(word, value, &s->protocol);
		SET(s, ESPUDP_A_SELECTOR_PROTOCOL);
	} else if (!strcmp(word, "local-port")) {
		ret = parse_ports(word, value, &s->local_port_from,
				  &s->local_port_to);
		SET(s, ESPUDP_A_SELECTOR_LOCAL_PORT_FROM);
		SET(s, ESPUDP_A_SELECTOR_LOCAL_PORT_TO);
	} else if (!strcmp(word, "remote-port")) {
		ret = parse_ports(word, value, &s->remote_port_from,
				  &s->remote_port_to);
		SET(s, ESPUDP_A_SELECTOR_REMOTE_PORT_FROM);
		SET(s, ESPUDP_A_SELECTOR_REMOTE_PORT_TO);
	} else {
		ret = parse_number(word, value, 0, UINT32_MAX, &n);
		s->priority = n;
		SET(s, ESPUDP_A_SELECTOR_PRIORITY);
	}
	return ret;
}

int parse_selector(struct words *w, struct selector *s)
{
	bool end = false, local = false, remote = false;
	const char *value;
	int ret;

	for (int i = 0; i < 2; i++) {
		if (!local && words_take(w, "local")) {
			local = true;
			ret = words_value(w, "local", &value);
			if (!ret)
				ret = parse_range("local", value,
						  &s->local_from, &s->local_to);
		} else if (!remote && words_take(w, "remote")) {
			remote = true;
			ret = words_value(w, "remote", &value);
			if (!ret)
				ret = parse_range("remote", value,
						  &s->remote_from,
						  &s->remote_to);
		} else {
			ret = usage("selector: `local RANGE remote RANGE' is "
				    "expected%s%s%s",
				    words_peek(w) ? ", not `" : "",
				    words_peek(w) ? words_peek(w) : "",
				    words_peek(w) ? "'" : "");
		}
		if (ret)
			return ret;
	}
	SET(s, ESPUDP_A_SELECTOR_LOCAL_FROM);
	SET(s, ESPUDP_A_SELECTOR_LOCAL_TO);
	SET(s, ESPUDP_A_SELECTOR_REMOTE_FROM);
	SET(s, ESPUDP_A_SELECTOR_REMOTE_TO);
	if (s->local_from.family != s->remote_from.family)
		return error("bad selector: local %s and remote %s are of two "
			     "address families",
			     format_range(&s->local_from, &s->local_to),
			     format_range(&s->remote_from, &s->remote_to));
	while (!end) {
		ret = selector_word(w, s, &end);
		if (ret)
			return ret;
	}
	if ((HAS(s, ESPUDP_A_SELECTOR_LOCAL_PORT_FROM) ||
	     HAS(s, ESPUDP_A_SELECTOR_REMOTE_PORT_FROM)) &&
	    !protocol_has_ports(s->protocol))
		return error("bad selector: ports need `proto tcp', udp, sctp, "
			     "dccp or udplite, not `%s'",
			     format_protocol(s->protocol));
	return OK;
}

int parse_name(const char *what, const char *s, char *name)
{
	uint64_t n;

	if (!*s || strlen(s) >= ESPUDP_NAME_LEN)
		return error("bad %s `%s': 1 to %d octets are expected", what,
			     s, ESPUDP_NAME_LEN - 1);
	if (is_number(s, &n))
		return error("bad %s `%s': it would be taken for an id", what,
			     s);
	strcpy(name, s);
	return OK;
}

static int parse_text(const char *what, const char *s, char *text, size_t size)
{
	if (strlen(s) >= size)
		return error("bad %s `%s': at most %zu octets are expected",
			     what, s, size - 1);
	strcpy(text, s);
	return OK;
}

int take_dev(struct words *w, const char **ifname)
{
	const char *s;
	int ret = words_need(w, "the name of a device", ifname);

	if (ret)
		return ret;
	s = *ifname;
	if (*s && strlen(s) < IFNAME_LEN && !strpbrk(s, "/: \t\n"))
		return OK;
	return error("bad device `%s': a name of 1 to %d characters is "
		     "expected",
		     s, IFNAME_LEN - 1);
}

static int parse_link(const char *what, const char *s, struct dev *dev,
		      uint64_t *n)
{
	*n = if_nametoindex(s);
	dev->bound_named = *n;
	if (*n || (is_number(s, n) && *n && *n <= INT32_MAX))
		return OK;
	return error("bad %s `%s': no such network device", what, s);
}

static int parse_numbered(const struct field *f, const char *what,
			  const char *s, uint8_t *value)
{
	int i = names_find(f->names, s);
	uint64_t n;

	if (i >= 0)
		n = i;
	else if (!is_number(s, &n) || n >= f->names->n)
		return error("bad %s `%s': %s is expected, or a number from 0 "
			     "to %zu",
			     what, s, names_list(f->names, 0), f->names->n - 1);
	*value = n;
	return OK;
}

static uint64_t field_max(const struct field *f)
{
	if (f->max)
		return f->max;
	return f->size == 8 ? UINT64_MAX : (1ULL << f->size * 8) - 1;
}

static int parse_addr_field(const struct field *f, void *obj, const char *what,
			    const char *s)
{
	struct addr *a = &FIELD(obj, f, struct addr);
	static const struct addr unspecified;
	struct object *o = obj;
	uint16_t port = 0;
	int ret = OK;

	if (f->flags & F_PORT)
		ret = parse_endpoint(what, s, a, &port);
	else if (!(f->flags & F_AUTO) || strcmp(s, "none"))
		ret = parse_addr(what, s, a);
	else
		*a = unspecified;
	if (f->flags & F_AUTO && !memcmp(a->b, unspecified.b, sizeof(a->b)))
		a->family = 0;
	if (!ret && port) {
		field_set_number(obj, f + 1, port);
		o->has |= 1ULL << f[1].attr;
	}
	return ret;
}

int parse_field(const struct field *f, void *obj, const char *what,
		const char *s)
{
	struct object *o = obj;
	uint64_t n = 0;
	int ret;

	switch (f->type) {
	case F_ENUM:
		if (f->flags & F_NUMBER) {
			ret = parse_numbered(f, what, s,
					     &FIELD(obj, f, uint8_t));
			break;
		}
		ret = parse_enum(what, s, f->names, &FIELD(obj, f, uint8_t));
		break;
	case F_BOOL:
		ret = parse_bool(what, s, &FIELD(obj, f, uint8_t));
		break;
	case F_ADDR:
		if (f->flags & F_AUTO && !strcmp(s, "auto"))
			return OK;
		ret = parse_addr_field(f, obj, what, s);
		break;
	case F_STRING:
		ret = f->flags & F_TEXT ?
			      parse_text(what, s, &FIELD(obj, f, char),
					 f->size) :
			      parse_name(what, s, &FIELD(obj, f, char));
		break;
	default:
		if (f->flags & F_OFF &&
		    (!strcmp(s, "off") || !strcmp(s, "none")))
			ret = OK;
		else if (f->flags & F_LINK)
			ret = parse_link(what, s, obj, &n);
		else
			ret = parse_number(what, s, f->min, field_max(f), &n);
		field_set_number(obj, f, n);
	}
	o->has |= 1ULL << f->attr;
	return ret;
}

const struct field *parse_word(const struct set *set, const char *word)
{
	for (size_t i = 0; i < set->n; i++) {
		const struct field *f = &set->fields[i];

		if (f->flags & F_RW && !(f->flags & F_CHECK) &&
		    !strcmp(field_word(set, f), word))
			return f;
	}
	return NULL;
}
