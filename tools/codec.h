/* SPDX-License-Identifier: GPL-2.0 */
#ifndef CODEC_H
#define CODEC_H

#include <libmnl/libmnl.h>

#include "objects.h"

struct nl;

/* Reads the attributes inside @nest into @obj. */
void codec_decode(const struct set *set, const struct nlattr *nest, void *obj);
/* Remembers an attribute that is not known. */
void codec_unknown(struct object *o, const char *where,
		   const struct nlattr *attr);
/* Puts all settings that @obj has, as a nest of type @attr. */
void codec_encode(struct nl *nl, uint16_t attr, const struct set *set,
		  const void *obj);
/* The path of the attribute at @offset of a request, as "peer.selector"; false
 * where there is none.
 */
bool codec_path(const struct nlmsghdr *request, size_t offset, int missing,
		char *text, size_t size);

#endif
