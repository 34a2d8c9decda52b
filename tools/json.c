// SPDX-License-Identifier: GPL-2.0
#include <string.h>

#include "format.h"
#include "json.h"

bool json;

void json_add_string(struct json_object *o, const char *key, const char *s)
{
	json_object_object_add(o, key, json_object_new_string(s));
}

void json_add_ifname(struct json_object *o, const char *ifname)
{
	json_add_string(o, "ifname", format_name(ifname, false));
}

void json_add_number(struct json_object *o, const char *key, uint64_t n)
{
	json_object_object_add(o, key, json_object_new_uint64(n));
}

static void add_ports(struct json_object *o, const char *key, uint16_t from,
		      uint16_t to)
{
	struct json_object *a = json_object_new_array();

	json_object_array_add(a, json_object_new_int(from));
	json_object_array_add(a, json_object_new_int(to));
	json_object_object_add(o, key, a);
}

static void add_unknown(struct json_object *o, const struct object *obj)
{
	struct json_object *a;

	if (!obj->unknown.n)
		return;
	a = json_object_new_array();
	for_each(struct unknown, u, &obj->unknown) {
		struct json_object *e = json_object_new_object();

		json_add_string(e, "set", u->where);
		json_add_number(e, "attribute", u->type);
		json_add_number(e, "octets", u->len);
		json_object_array_add(a, e);
	}
	json_object_object_add(o, "unknown-attributes", a);
}

struct json_object *json_selector(const struct selector *s)
{
	struct json_object *o = json_object_new_object();

	json_add_string(o, "local", format_range(&s->local_from, &s->local_to));
	json_add_string(o, "remote",
			format_range(&s->remote_from, &s->remote_to));
	json_add_number(o, "protocol", s->protocol);
	if (HAS(s, ESPUDP_A_SELECTOR_LOCAL_PORT_FROM))
		add_ports(o, "local-port", s->local_port_from,
			  s->local_port_to);
	if (HAS(s, ESPUDP_A_SELECTOR_REMOTE_PORT_FROM))
		add_ports(o, "remote-port", s->remote_port_from,
			  s->remote_port_to);
	json_add_number(o, "priority", s->priority);
	add_unknown(o, &s->o);
	return o;
}

/* {"rx-auth": 3, ...} */
static struct json_object *json_drops(const struct list *drops)
{
	struct json_object *o = json_object_new_object();

	for_each(struct drop, d, drops)
		json_add_number(o, names_get(&names_drop, d->reason), d->count);
	return o;
}

static struct json_object *json_list(const struct field *f,
				     const struct list *l)
{
	struct json_object *a;

	if (f->set == &set_drop)
		return json_drops(l);
	a = json_object_new_array();
	for (size_t i = 0; i < l->n; i++) {
		const void *e = (char *)l->v + i * f->set->size;

		json_object_array_add(a, f->set == &set_selector ?
						 json_selector(e) :
						 json_object_of(f->set, e));
	}
	return a;
}

static struct json_object *json_field(const struct field *f, const void *obj)
{
	switch (f->type) {
	case F_ENUM:
	case F_ENUM32:
		return json_object_new_string(
			names_get(f->names, field_number(obj, f)));
	case F_BOOL:
	case F_FLAG:
		return json_object_new_boolean(field_number(obj, f));
	case F_STRING:
		return json_object_new_string(
			format_name(&CFIELD(obj, f, char), false));
	case F_ADDR:
		return json_object_new_string(
			format_addr(&CFIELD(obj, f, struct addr)));
	case F_NEST:
		return json_object_of(f->set, &CFIELD(obj, f, char));
	case F_LIST:
		return json_list(f, &CFIELD(obj, f, struct list));
	default:
		return json_object_new_uint64(field_number(obj, f));
	}
}

struct json_object *json_object_of(const struct set *set, const void *obj)
{
	struct json_object *o = json_object_new_object();
	const struct object *head = obj;

	for (size_t i = 0; i < set->n; i++) {
		const struct field *f = &set->fields[i];

		/* Lists and flags are there when empty and false. */
		if (f->type == F_KEY ||
		    (!(head->has >> f->attr & 1) && f->type != F_LIST &&
		     (f->type != F_FLAG || f->flags & F_CHECK)))
			continue;
		json_object_object_add(o, set->attrs->v[f->attr],
				       json_field(f, obj));
	}
	add_unknown(o, head);
	return o;
}

struct json_object *json_dev(const struct dev *dev)
{
	struct json_object *o = json_object_of(&set_dev, dev);

	json_add_ifname(o, dev->ifname);
	json_add_number(o, "ifindex", dev->ifindex);
	return o;
}

void json_print(struct json_object *o, bool one_line)
{
	puts(json_object_to_json_string_ext(
		o, JSON_C_TO_STRING_NOSLASHESCAPE |
			   (one_line ? JSON_C_TO_STRING_PLAIN :
				       JSON_C_TO_STRING_PRETTY)));
	json_object_put(o);
}
