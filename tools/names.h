/* SPDX-License-Identifier: GPL-2.0 */
#ifndef NAMES_H
#define NAMES_H

#include <stddef.h>

struct names {
	const char *const *v;
	size_t n;
};

/* Names of the UAPI's enum values and attributes, from names-gen.h. */
/* clang-format off */
#define NAMES_OF_ENUMS(X)						\
	X(mode) X(dir) X(outer_csum) X(df) X(frag) X(dscp)		\
	X(socket_loss) X(marker) X(socket_kind) X(roaming) X(nat)	\
	X(role) X(nat_scope) X(sa_state) X(event_type) X(expire_cause)	\
	X(flush_what) X(drop)
#define NAMES_OF_ATTRS(X)						\
	X(espudp) X(dev) X(pool) X(socket) X(peer) X(selector) X(sa)	\
	X(reserve) X(stats) X(drop_count) X(unknown_spi) X(event)
/* clang-format on */

#define NAMES_DECLARE_ENUM(name) extern const struct names names_##name;
#define NAMES_DECLARE_ATTR(name) extern const struct names attrs_##name;
NAMES_OF_ENUMS(NAMES_DECLARE_ENUM)
NAMES_OF_ATTRS(NAMES_DECLARE_ATTR)

/* The name of @value, or unknown(N). */
const char *names_get(const struct names *names, unsigned int value);
/* The value of a name, or -1. */
int names_find(const struct names *names, const char *name);
/* "a, b or c" of the names from @first on. */
const char *names_list(const struct names *names, size_t first);

#endif
