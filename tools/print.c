// SPDX-License-Identifier: GPL-2.0
#include <inttypes.h>

#include "algs.h"
#include "format.h"
#include "lookup.h"
#include "print.h"
#include "virtual.h"

void print_item(const char *indent, const char *name)
{
	printf("%s%s%s%s: ", indent, colour(C_BOLD), name, colour(C_RESET));
}

#define ITEM(indent, name, ...)           \
	do {                              \
		print_item(indent, name); \
		printf(__VA_ARGS__);      \
		putchar('\n');            \
	} while (0)

void print_unknown(const struct object *o, const char *indent)
{
	for_each(struct unknown, u, &o->unknown)
		printf("%s%sunknown attribute %u%s: %u octets\n", indent,
		       colour(C_RED), u->type, colour(C_RESET), u->len);
}

void print_drops(const struct stats *stats, const char *indent)
{
	const char *sep = "";
	bool any = false;

	for_each(struct drop, d, &stats->drop)
		any |= d->count;
	if (!any)
		return;
	print_item(indent, "dropped");
	for_each(struct drop, d, &stats->drop) {
		if (!d->count)
			continue;
		printf("%s%" PRIu64 " %s", sep, d->count,
		       names_get(&names_drop, d->reason));
		sep = ", ";
	}
	putchar('\n');
	for_each(struct drop, d, &stats->drop)
		print_unknown(&d->o, indent);
}

static const char *format_count(uint64_t n)
{
	return format("%" PRIu64 " packet%s", n, n == 1 ? "" : "s");
}

static void print_transfer(const struct stats *s, const char *indent)
{
	const char *sep = "";

	if (s->rx_packets || s->tx_packets)
		print_item(indent, "transfer");
	if (s->rx_packets) {
		printf("%s in %s received", format_bytes(s->rx_bytes),
		       format_count(s->rx_packets));
		sep = ", ";
	}
	if (s->tx_packets)
		printf("%s%s in %s sent", sep, format_bytes(s->tx_bytes),
		       format_count(s->tx_packets));
	if (s->rx_packets || s->tx_packets)
		putchar('\n');
	print_drops(s, indent);
	print_unknown(&s->o, indent);
}

static void print_socket(const struct dev *dev, const struct sock *s, bool ipv4,
			 bool ipv6)
{
	print_item("  ", "socket");
	printf("%s,%s%s%s", names_get(&names_socket_kind, s->kind),
	       ipv4 ? " IPv4" : "", ipv4 && ipv6 ? " and" : "",
	       ipv6 ? " IPv6" : "");
	if (HAS(s, ESPUDP_A_SOCKET_PORT) && s->port != dev->port)
		printf(", port %u", s->port);
	if (HAS(s, ESPUDP_A_SOCKET_MARKER))
		printf(", non-ESP marker: %s",
		       names_get(&names_marker, s->marker));
	putchar('\n');
	print_unknown(&s->o, "    ");
}

/* The module's own come in pairs, one for each family. */
static void print_sockets(const struct dev *dev)
{
	const struct sock *own = NULL;
	bool ipv4 = false, ipv6 = false;

	for_each(struct sock, s, &dev->socket) {
		if (s->kind != ESPUDP_SOCKET_KIND_OWN || s->o.unknown.n) {
			print_socket(dev, s, s->ipv4, s->ipv6);
			continue;
		}
		own = s;
		ipv4 |= s->ipv4;
		ipv6 |= s->ipv6;
	}
	if (own)
		print_socket(dev, own, ipv4, ipv6);
	if (!dev->socket.n)
		ITEM("  ", "socket", "none; see `espudp help socket'");
}

/* Settings that are not what a new device has. */
static void print_settings(const struct dev *dev)
{
	if (dev->fwmark)
		ITEM("  ", "fwmark", "0x%x", dev->fwmark);
	if (dev->bound_ifindex)
		ITEM("  ", "bound device", "%s", format_bound(dev));
	if (dev->outer_csum)
		ITEM("  ", "outer checksum", "%s",
		     names_get(&names_outer_csum, dev->outer_csum));
	if (dev->df)
		ITEM("  ", "df", "%s", names_get(&names_df, dev->df));
	if (dev->frag)
		ITEM("  ", "fragments", "%s",
		     names_get(&names_frag, dev->frag));
	if (dev->dscp)
		ITEM("  ", "dscp", "%s", names_get(&names_dscp, dev->dscp));
	if (dev->ttl)
		ITEM("  ", "ttl", "%u", dev->ttl);
	if (HAS(dev, ESPUDP_A_DEV_PMTU_DISCOVERY) && !dev->pmtu_discovery)
		ITEM("  ", "path MTU discovery", "off");
	if (dev->on_socket_loss)
		ITEM("  ", "on socket loss", "%s",
		     names_get(&names_socket_loss, dev->on_socket_loss));
	if (HAS(dev, ESPUDP_A_DEV_REPLAY_WINDOW) && dev->replay_window != 1024)
		ITEM("  ", "replay window", "%u", dev->replay_window);
	if (HAS(dev, ESPUDP_A_DEV_NAT_SCOPE) &&
	    dev->nat_scope != ESPUDP_NAT_SCOPE_BOTH)
		ITEM("  ", "nat scope", "%s",
		     names_get(&names_nat_scope, dev->nat_scope));
	for_each(struct pool, p, &dev->pool) {
		ITEM("  ", "virtual addresses", "%s, %u in use", format_pool(p),
		     p->used);
		print_unknown(&p->o, "    ");
	}
}

static void print_unknown_spis(const struct dev *dev)
{
	for_each(struct unknown_spi, u, &dev->unknown_spi) {
		ITEM("  ", "unknown SPI",
		     "0x%08x from %s, %" PRIu64 " datagram%s, %s", u->spi,
		     format_endpoint(&u->remote, u->remote_port), u->count,
		     u->count == 1 ? "" : "s", format_ago(u->age));
		print_unknown(&u->o, "    ");
	}
}

static void print_ifname(const struct dev *dev)
{
	printf("%sdevice%s: %s%s%s\n", colour(C_GREEN), colour(C_RESET),
	       colour(C_GREEN), format_name(dev->ifname, false),
	       colour(C_RESET));
}

void print_dev(const struct dev *dev, const struct list *sas)
{
	print_ifname(dev);
	if (!lookup_link_up(dev->ifname))
		ITEM("  ", "link", "%sdown%s", colour(C_RED), colour(C_RESET));
	if (HAS(dev, ESPUDP_A_DEV_PORT)) {
		ITEM("  ", "port", "%u", dev->port);
		print_sockets(dev);
	}
	if (dev->foreign_netns)
		ITEM("  ", "namespace",
		     "moved; the sockets stay where the "
		     "device was created");
	print_settings(dev);
	ITEM("  ", "peers", "%u (%u SA%s)", dev->peers, dev->sas,
	     dev->sas == 1 ? "" : "s");
	print_transfer(&dev->stats, "  ");
	for_each(struct sa, sa, sas)
		ITEM("  ", "reserved SPI", "0x%08x", sa->spi);
	print_unknown_spis(dev);
	print_unknown(&dev->o, "  ");
}

static const char *nat_words(uint8_t nat)
{
	switch (nat) {
	case ESPUDP_NAT_UNKNOWN:
		return "";
	case ESPUDP_NAT_NO:
		return ", not behind a NAT";
	case ESPUDP_NAT_YES:
		return ", behind a NAT";
	default:
		return format(", NAT %s", names_get(&names_nat, nat));
	}
}

static void print_endpoints(const struct peer *p)
{
	if (HAS(p, ESPUDP_A_PEER_REMOTE))
		ITEM("  ", "endpoint", "%s%s",
		     format_endpoint(&p->remote, p->remote_port),
		     nat_words(p->nat_remote));
	else
		ITEM("  ", "endpoint", "not known yet%s",
		     nat_words(p->nat_remote));
	if (HAS(p, ESPUDP_A_PEER_LOCAL))
		ITEM("  ", "local", "%s%s",
		     HAS(p, ESPUDP_A_PEER_LOCAL_PORT) ?
			     format_endpoint(&p->local, p->local_port) :
			     format_addr(&p->local),
		     nat_words(p->nat_local));
	else if (p->nat_local)
		ITEM("  ", "local", "the route's choice%s",
		     nat_words(p->nat_local));
	if (HAS(p, ESPUDP_A_PEER_ROAMING))
		ITEM("  ", "roaming", "%s",
		     names_get(&names_roaming, p->roaming));
}

static void print_selectors(const struct peer *p)
{
	if (!p->selector.n)
		ITEM("  ", "selector", "none: nothing passes");
	for_each(struct selector, s, &p->selector) {
		ITEM("  ", "selector", "%s", format_selector(s));
		print_unknown(&s->o, "    ");
	}
}

static const char *used(uint64_t now, uint64_t soft, uint64_t hard,
			const char *(*fmt)(uint64_t))
{
	if (!soft && !hard)
		return "";
	return format(", %s of %s%s%s", fmt(now), fmt(hard ? hard : soft),
		      hard && soft ? ", rekey at " :
		      hard	   ? "" :
				     " (rekey)",
		      hard && soft ? fmt(soft) : "");
}

static const char *left(const struct sa *sa)
{
	uint64_t end = sa->hard_seconds;

	if (!end)
		return "";
	if (sa->age >= end)
		return ", lifetime over";
	return format(", %s left", format_seconds(end - sa->age));
}

/* The one line that `show' gives to an SA. */
static void print_sa_line(const struct sa *sa, bool current)
{
	print_item("  ", sa->dir == ESPUDP_DIR_IN  ? "sa in" :
			 sa->dir == ESPUDP_DIR_OUT ? "sa out" :
						     "sa of unknown direction");
	printf("%s0x%08x%s", colour(C_CYAN), sa->spi, colour(C_RESET));
	if (sa->state == ESPUDP_SA_STATE_RESERVED) {
		printf(" reserved\n");
		return;
	}
	printf(" %s%s%s%s", sa->enc, sa->auth[0] ? " " : "", sa->auth,
	       sa->esn ? ", esn" : "");
	if (sa->dir == ESPUDP_DIR_IN)
		printf(", window %u", sa->replay_window);
	printf(", %s, %s old%s%s%s", format_count(sa->packets),
	       format_seconds(sa->age), left(sa),
	       used(sa->packets, sa->soft_packets, sa->hard_packets,
		    format_count),
	       used(sa->bytes, sa->soft_bytes, sa->hard_bytes, format_bytes));
	if (sa->state != ESPUDP_SA_STATE_VALID)
		printf(", %s%s%s", colour(C_YELLOW),
		       names_get(&names_sa_state, sa->state), colour(C_RESET));
	printf("%s\n", current ? "" : ", superseded");
	print_unknown(&sa->o, "    ");
}

void print_peer(const struct peer *p, const struct list *sas)
{
	printf("%speer%s: %s%s%s\n", colour(C_YELLOW), colour(C_RESET),
	       colour(C_YELLOW), format_peer(p->name, p->id), colour(C_RESET));
	ITEM("  ", "mode", "%s", names_get(&names_mode, p->mode));
	if (p->virtual.family)
		ITEM("  ", "virtual address", "%s%s%s", colour(C_BOLD),
		     format_addr(&p->virtual), colour(C_RESET));
	print_endpoints(p);
	if (p->role)
		ITEM("  ", "role", "%s", names_get(&names_role, p->role));
	if (p->ike[0])
		ITEM("  ", "ike", "%s", format_name(p->ike, false));
	print_selectors(p);
	if (p->cookie)
		ITEM("  ", "cookie", "0x%" PRIx64, p->cookie);
	if (p->keepalive)
		ITEM("  ", "keepalive", "every %s",
		     format_seconds(p->keepalive));
	if (p->tfc)
		ITEM("  ", "tfc padding", "to %u octets", p->tfc);
	if (p->mtu)
		ITEM("  ", "mtu", "%u (path %u)", p->mtu, p->pmtu);
	if (HAS(p, ESPUDP_A_PEER_LAST_RX))
		ITEM("  ", "latest authenticated packet", "%s",
		     format_ago(p->last_rx));
	else
		ITEM("  ", "latest authenticated packet", "none");
	print_transfer(&p->stats, "  ");
	for_each(struct sa, sa, sas)
		print_sa_line(sa, sa->dir != ESPUDP_DIR_OUT ||
					  sa->spi == p->spi_out);
	print_unknown(&p->o, "  ");
}

static void print_limit(const char *name, uint64_t soft, uint64_t hard,
			const char *(*fmt)(uint64_t))
{
	if (!soft && !hard)
		return;
	print_item("  ", name);
	printf("%s%s%s%s\n", soft ? "soft " : "", soft ? fmt(soft) : "",
	       soft && hard ? ", " : "",
	       hard ? format("hard %s", fmt(hard)) : "");
}

void print_sa(const struct sa *sa, const struct list *peers)
{
	const char *name = "";

	for_each(struct peer, p, peers)
		if (p->id == sa->peer)
			name = p->name;
	printf("%ssa %s%s: %s0x%08x%s\n", colour(C_CYAN),
	       names_get(&names_dir, sa->dir), colour(C_RESET), colour(C_CYAN),
	       sa->spi, colour(C_RESET));
	ITEM("  ", "peer", "%s",
	     sa->peer ? format_peer(name, sa->peer) : "none yet");
	ITEM("  ", "state", "%s", names_get(&names_sa_state, sa->state));
	if (sa->enc[0])
		ITEM("  ", "encryption", "%s", sa->enc);
	if (sa->auth[0])
		ITEM("  ", "authentication", "%s", sa->auth);
	if (sa->icv_bits)
		ITEM("  ", "icv", "%u bits", sa->icv_bits);
	if (sa->driver[0])
		ITEM("  ", "driver", "%s", sa->driver);
	if (sa->enc[0])
		ITEM("  ", "sequence number", "%" PRIu64 "%s", sa->seq,
		     sa->esn ? ", extended" : "");
	if (sa->oa_local.family)
		ITEM("  ", "original addresses", "local %s remote %s",
		     format_addr(&sa->oa_local), format_addr(&sa->oa_remote));
	if (HAS(sa, ESPUDP_A_SA_REPLAY_WINDOW) && sa->dir == ESPUDP_DIR_IN)
		ITEM("  ", "replay window", "%u", sa->replay_window);
	if (sa->standby)
		ITEM("  ", "standby", "%u ms more", sa->standby);
	ITEM("  ", "age", "%s", format_seconds(sa->age));
	print_limit("lifetime", sa->soft_seconds, sa->hard_seconds,
		    format_seconds);
	print_limit("packet lifetime", sa->soft_packets, sa->hard_packets,
		    format_count);
	print_limit("byte lifetime", sa->soft_bytes, sa->hard_bytes,
		    format_bytes);
	ITEM("  ", "counted", "%s, %s", format_count(sa->packets),
	     format_bytes(sa->bytes));
	if (HAS(sa, ESPUDP_A_SA_LAST_USED))
		ITEM("  ", "latest packet", "%s", format_ago(sa->last_used));
	print_transfer(&sa->stats, "  ");
	print_unknown(&sa->o, "  ");
}

void print_stats(const struct dev *dev)
{
	print_ifname(dev);
	for (size_t i = 0; i < set_stats.n; i++) {
		const struct field *f = &set_stats.fields[i];

		if (f->type == F_U64)
			printf("  %-22s %20" PRIu64 "\n",
			       set_stats.attrs->v[f->attr],
			       field_number(&dev->stats, f));
	}
	if (dev->stats.drop.n)
		printf("%sdropped%s\n", colour(C_BOLD), colour(C_RESET));
	for_each(struct drop, d, &dev->stats.drop) {
		printf("  %-22s %20" PRIu64 "\n",
		       names_get(&names_drop, d->reason), d->count);
		print_unknown(&d->o, "    ");
	}
	print_unknown(&dev->stats.o, "  ");
	if (dev->unknown_spi.n)
		printf("%sunknown SPIs%s\n", colour(C_BOLD), colour(C_RESET));
	print_unknown_spis(dev);
}
