// SPDX-License-Identifier: GPL-2.0
#include <arpa/inet.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "format.h"
#include "prefix.h"
#include "parse.h"

const char *format(const char *fmt, ...)
{
	static char buffers[32][512];
	static unsigned int next;
	char *text = buffers[next++ % ARRAY_SIZE(buffers)];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(buffers[0]), fmt, ap);
	va_end(ap);
	return text;
}

const char *format_addr(const struct addr *a)
{
	char text[INET6_ADDRSTRLEN];

	if (!a->family || !inet_ntop(a->family, a->b, text, sizeof(text)))
		return "none";
	return format("%s", text);
}

const char *format_endpoint(const struct addr *a, uint16_t port)
{
	return format(a->family == AF_INET6 ? "[%s]:%u" : "%s:%u",
		      format_addr(a), port);
}

const char *format_range(const struct addr *from, const struct addr *to)
{
	int len = prefix_of_range(from, to);

	if (len >= 0)
		return format("%s/%d", format_addr(from), len);
	return format("%s-%s", format_addr(from), format_addr(to));
}

const char *format_protocol(uint8_t protocol)
{
	const char *name = parse_protocol_name(protocol);

	return name ? name : format("%u", protocol);
}

static const char *format_ports(const char *which, uint16_t from, uint16_t to)
{
	if (from == to)
		return format(" %s %u", which, from);
	return format(" %s %u-%u", which, from, to);
}

const char *format_selector(const struct selector *s)
{
	return format("local %s remote %s%s%s%s%s%s",
		      format_range(&s->local_from, &s->local_to),
		      format_range(&s->remote_from, &s->remote_to),
		      s->protocol ? " proto " : "",
		      s->protocol ? format_protocol(s->protocol) : "",
		      HAS(s, ESPUDP_A_SELECTOR_LOCAL_PORT_FROM) ?
			      format_ports("local-port", s->local_port_from,
					   s->local_port_to) :
			      "",
		      HAS(s, ESPUDP_A_SELECTOR_REMOTE_PORT_FROM) ?
			      format_ports("remote-port", s->remote_port_from,
					   s->remote_port_to) :
			      "",
		      s->priority ? format(" prio %u", s->priority) : "");
}

const char *format_bytes(uint64_t n)
{
	static const char *const units[] = { "KiB", "MiB", "GiB", "TiB" };
	double v = n / 1024.0;
	size_t i = 0;

	if (n < 1024)
		return format("%u B", (unsigned int)n);
	while (v >= 1024 && i + 1 < ARRAY_SIZE(units)) {
		v /= 1024;
		i++;
	}
	return format("%.2f %s", v, units[i]);
}

const char *format_seconds(uint64_t s)
{
	static const struct {
		const char *name;
		uint64_t seconds;
	} units[] = { { "day", 86400 },
		      { "hour", 3600 },
		      { "minute", 60 },
		      { "second", 1 } };
	char text[128] = "";
	int len = 0, parts = 0;

	for (size_t i = 0; i < ARRAY_SIZE(units) && parts < 2; i++) {
		uint64_t n = s / units[i].seconds;

		s %= units[i].seconds;
		if (!n)
			continue;
		len += snprintf(text + len, sizeof(text) - len, "%s%llu %s%s",
				parts++ ? ", " : "", (unsigned long long)n,
				units[i].name, n == 1 ? "" : "s");
	}
	return parts ? format("%s", text) : "0 seconds";
}

const char *format_ago(uint64_t ms)
{
	return ms < 1000 ? "now" : format("%s ago", format_seconds(ms / 1000));
}

const char *format_bound(const struct dev *dev)
{
	char name[IF_NAMESIZE];

	if (!dev->bound_ifindex)
		return "none";
	/* The index is of where the device was created; a name that files and
	 * terminals do not take is no better.
	 */
	if (dev->foreign_netns || !if_indextoname(dev->bound_ifindex, name) ||
	    strcmp(format_name(name, true), name))
		return format("%u", dev->bound_ifindex);
	return format("%s", name);
}

static const char *exchange_name(uint8_t major, uint8_t exchange)
{
	static const struct {
		uint8_t major;
		uint8_t exchange;
		const char *name;
	} exchanges[] = {
		{ 1, 1, "base" },
		{ 1, 2, "main-mode" },
		{ 1, 3, "auth-only" },
		{ 1, 4, "aggressive" },
		{ 1, 5, "informational" },
		{ 1, 6, "transaction" },
		{ 1, 32, "quick-mode" },
		{ 1, 33, "new-group" },
		{ 2, 34, "IKE_SA_INIT" },
		{ 2, 35, "IKE_AUTH" },
		{ 2, 36, "CREATE_CHILD_SA" },
		{ 2, 37, "INFORMATIONAL" },
		{ 2, 38, "IKE_SESSION_RESUME" },
		{ 2, 43, "IKE_INTERMEDIATE" },
		{ 2, 44, "IKE_FOLLOWUP_KE" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(exchanges); i++)
		if (exchanges[i].major == major &&
		    exchanges[i].exchange == exchange)
			return exchanges[i].name;
	return format("exchange %u", exchange);
}

const char *format_ike(uint8_t version, uint8_t exchange, uint8_t flags)
{
	uint8_t major = version >> 4, minor = version & 15;

	return format("v%u%s %s%s", major, minor ? format(".%u", minor) : "",
		      exchange_name(major, exchange),
		      major != 2   ? "" :
		      flags & 0x20 ? " response" :
				     " request");
}

/* Length of the UTF-8 character at @s, 0 if it is none. */
static size_t utf8_len(const unsigned char *s)
{
	uint32_t c;
	size_t n;

	if (s[0] < 0x80)
		return 1;
	if (s[0] >= 0xc2 && s[0] < 0xe0)
		n = 2;
	else if (s[0] >= 0xe0 && s[0] < 0xf0)
		n = 3;
	else if (s[0] >= 0xf0 && s[0] < 0xf5)
		n = 4;
	else
		return 0;
	c = s[0] & (0xff >> (n + 1));
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	/* Overlong, surrogates, beyond Unicode, and C1 controls. */
	if ((n == 3 && c < 0x800) || (n == 4 && c < 0x10000) ||
	    (c >= 0xd800 && c < 0xe000) || c > 0x10ffff || c < 0xa0)
		return 0;
	return n;
}

const char *format_name(const char *name, bool conf)
{
	const unsigned char *s = (const unsigned char *)name;
	char text[ESPUDP_NAME_LEN * 4 + 1];
	size_t len = 0;

	for (size_t i = 0; s[i] && len + 4 < sizeof(text);) {
		size_t n = utf8_len(s + i);
		bool edge = !i || !s[i + 1];

		if (!n || s[i] < ' ' || s[i] == 127 || s[i] == '\\' ||
		    (conf && (s[i] == '#' || (s[i] == ' ' && edge)))) {
			len += sprintf(text + len, "\\x%02x", s[i++]);
			continue;
		}
		memcpy(text + len, s + i, n);
		len += n;
		i += n;
	}
	text[len] = 0;
	return format("%s", text);
}

const char *format_peer(const char *name, uint32_t id)
{
	if (!name[0])
		return format("%u", id);
	return format("%s (%u)", format_name(name, false), id);
}

const char *colour(enum colour c)
{
	static const char *const codes[] = {
		[C_RESET] = "\033[0m",	[C_BOLD] = "\033[1m",
		[C_GREEN] = "\033[32m", [C_YELLOW] = "\033[33m",
		[C_CYAN] = "\033[36m",	[C_RED] = "\033[31m",
	};
	static int on = -1;

	if (on < 0) {
		const char *no = getenv("NO_COLOR");

		on = isatty(STDOUT_FILENO) && !(no && *no);
	}
	return on ? codes[c] : "";
}
