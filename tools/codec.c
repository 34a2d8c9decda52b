// SPDX-License-Identifier: GPL-2.0
#include <stdio.h>
#include <string.h>
#include <linux/genetlink.h>

#include "codec.h"
#include "key.h"
#include "nl.h"

void codec_unknown(struct object *o, const char *where,
		   const struct nlattr *attr)
{
	struct unknown *u = list_add(&o->unknown, sizeof(*u));

	u->where = where;
	u->type = mnl_attr_get_type(attr);
	u->len = mnl_attr_get_payload_len(attr);
}

static bool decode_number(const struct field *f, const struct nlattr *attr,
			  void *obj)
{
	const void *p = mnl_attr_get_payload(attr);
	uint64_t n64;
	uint32_t n32;
	uint16_t n16;

	if (mnl_attr_get_payload_len(attr) != f->size)
		return false;
	switch (f->size) {
	case 1:
		field_set_number(obj, f, *(const uint8_t *)p);
		break;
	case 2:
		memcpy(&n16, p, sizeof(n16));
		field_set_number(obj, f, n16);
		break;
	case 4:
		memcpy(&n32, p, sizeof(n32));
		field_set_number(obj, f, n32);
		break;
	default:
		memcpy(&n64, p, sizeof(n64));
		field_set_number(obj, f, n64);
	}
	return true;
}

static bool decode_addr(const struct nlattr *attr, struct addr *a)
{
	size_t len = mnl_attr_get_payload_len(attr);

	if (len != 4 && len != 16)
		return false;
	memset(a, 0, sizeof(*a));
	a->family = len == 4 ? AF_INET : AF_INET6;
	memcpy(a->b, mnl_attr_get_payload(attr), len);
	return true;
}

static bool decode_field(const struct field *f, const struct nlattr *attr,
			 void *obj)
{
	size_t len = mnl_attr_get_payload_len(attr);

	switch (f->type) {
	case F_FLAG:
		field_set_number(obj, f, 1);
		return true;
	case F_STRING:
		len = strnlen(mnl_attr_get_payload(attr), len);
		if (len >= f->size)
			len = f->size - 1;
		memcpy(&FIELD(obj, f, char), mnl_attr_get_payload(attr), len);
		(&FIELD(obj, f, char))[len] = 0;
		return true;
	case F_ADDR:
		return decode_addr(attr, &FIELD(obj, f, struct addr));
	case F_KEY:
		return true; /* never returned */
	case F_NEST:
		codec_decode(f->set, attr, &FIELD(obj, f, char));
		return true;
	case F_LIST:
		codec_decode(f->set, attr,
			     list_add(&FIELD(obj, f, struct list),
				      f->set->size));
		return true;
	default:
		return decode_number(f, attr, obj);
	}
}

void codec_decode(const struct set *set, const struct nlattr *nest, void *obj)
{
	const struct nlattr *attr;
	struct object *o = obj;

	mnl_attr_for_each_nested(attr, nest)
	{
		uint16_t type = mnl_attr_get_type(attr);
		const struct field *f = NULL;

		if (type < set->attrs->n) {
			f = field_find(set, type);
			if (!strcmp(set->attrs->v[type], "pad"))
				continue;
		}
		if (f && decode_field(f, attr, obj))
			o->has |= 1ULL << type;
		else
			codec_unknown(o, set->name, attr);
	}
}

static void encode_field(struct nl *nl, const struct field *f, const void *obj)
{
	const struct list *l = &CFIELD(obj, f, struct list);
	const struct addr *a = &CFIELD(obj, f, struct addr);
	const char *s = &CFIELD(obj, f, char);
	const struct key *key;

	switch (f->type) {
	case F_FLAG:
		if (field_number(obj, f))
			nl_put(nl, f->attr, NULL, 0);
		break;
	case F_STRING:
		nl_put(nl, f->attr, s, strlen(s) + 1);
		break;
	case F_ADDR:
		nl_put(nl, f->attr, a->b, addr_len(a));
		break;
	case F_KEY:
		key = CFIELD(obj, f, const struct key *);
		nl_put(nl, f->attr, key->data, key->len);
		break;
	case F_NEST:
		codec_encode(nl, f->attr, f->set, s);
		break;
	case F_LIST:
		for (size_t i = 0; i < l->n; i++)
			codec_encode(nl, f->attr, f->set,
				     (char *)l->v + i * f->set->size);
		break;
	default:
		nl_put(nl, f->attr, s, f->size);
	}
}

void codec_encode(struct nl *nl, uint16_t attr, const struct set *set,
		  const void *obj)
{
	const struct object *o = obj;
	struct nlattr *nest = nl_nest(nl, attr);

	for (size_t i = 0; i < set->n; i++) {
		const struct field *f = &set->fields[i];

		if (f->flags & F_RW && o->has >> f->attr & 1)
			encode_field(nl, f, obj);
	}
	nl_nest_end(nl, nest);
}

static const struct set *top_set(uint16_t attr)
{
	switch (attr) {
	case ESPUDP_A_DEV:
		return &set_dev;
	case ESPUDP_A_SOCKET:
		return &set_socket;
	case ESPUDP_A_PEER:
		return &set_peer;
	case ESPUDP_A_SA:
		return &set_sa;
	case ESPUDP_A_RESERVE:
		return &set_reserve;
	default:
		return NULL;
	}
}

static const char *attr_name(const struct names *names, unsigned int type)
{
	return type < names->n ? names->v[type] : "?";
}

/* Descends along the nests that hold @offset. */
bool codec_path(const struct nlmsghdr *request, size_t offset, int missing,
		char *text, size_t size)
{
	const char *base = (const char *)request;
	const struct names *names = &attrs_espudp;
	const struct set *set = NULL;
	const struct nlattr *attr;
	size_t len = 0, start = NLMSG_HDRLEN + GENL_HDRLEN;
	size_t end = request->nlmsg_len;
	bool found = offset == 0;

	text[0] = 0;
	while (offset && !found && start + NLA_HDRLEN <= end) {
		size_t next;

		attr = (const struct nlattr *)(base + start);
		next = start + MNL_ALIGN(attr->nla_len);
		if (attr->nla_len < NLA_HDRLEN || next > MNL_ALIGN(end))
			return false;
		if (offset >= next) {
			start = next;
			continue;
		}
		len += snprintf(text + len, size > len ? size - len : 0, "%s%s",
				len ? "." : "",
				attr_name(names, mnl_attr_get_type(attr)));
		found = offset == start;
		if (!set) {
			set = top_set(mnl_attr_get_type(attr));
		} else {
			const struct field *f =
				field_find(set, mnl_attr_get_type(attr));

			set = f ? f->set : NULL;
		}
		if (!set && (!found || missing >= 0))
			return found && missing < 0;
		if (set)
			names = set->attrs;
		end = start + attr->nla_len;
		start += NLA_HDRLEN;
	}
	if (found && missing >= 0)
		snprintf(text + len, size > len ? size - len : 0, "%s%s",
			 len ? "." : "", attr_name(names, missing));
	return found && (len || missing >= 0);
}
