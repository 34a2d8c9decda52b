/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _ESPUDP_NATOA_H
#define _ESPUDP_NATOA_H

#include <linux/in6.h>
#include <linux/skbuff.h>

/**
 * struct espudp_oa - addresses that an SA's transport checksums are over
 * @local: our address, IPv4 in the first word; any if not known
 * @remote: the peer's
 * @has_local: @local is known
 * @has_remote: @remote is known
 * @given: family, if the caller said any of it; else 0
 *
 * RFC 3948 section 3.1.2. Constant for the life of the SA.
 */
struct espudp_oa {
	struct in6_addr local;
	struct in6_addr remote;
	bool has_local;
	bool has_remote;
	u8 given;
};

/**
 * struct espudp_natoa - addresses of a packet, before and after
 * @family: AF_INET or AF_INET6
 * @src: source that the packet has, and that it gets
 * @dst: likewise
 */
struct espudp_natoa {
	u8 family;
	struct in6_addr src[2];
	struct in6_addr dst[2];
};

__wsum espudp_natoa_diff(const struct espudp_natoa *n);
bool espudp_natoa_fix(u8 *l4, unsigned int len, u8 proto, __wsum diff);
bool espudp_natoa_icmp_error(u8 *l4, unsigned int len, u8 proto, const struct espudp_natoa *n,
			     const struct in6_addr *quoted_src,
			     const struct in6_addr *quoted_dst);
bool espudp_natoa_make(struct sk_buff *skb, unsigned int off, u8 proto, u8 family);

#endif
