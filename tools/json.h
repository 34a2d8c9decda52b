/* SPDX-License-Identifier: GPL-2.0 */
#ifndef JSON_H
#define JSON_H

#include <json-c/json.h>

#include "objects.h"
#include "util.h"

/* --json was given. */
extern bool json;

/* All that an object has, under the names of uapi/espudp.yaml. */
struct json_object *json_object_of(const struct set *set, const void *obj);
/* The same with the members above it: device, and nested lists. */
struct json_object *json_dev(const struct dev *dev);
struct json_object *json_selector(const struct selector *s);
/* A network device's name, which may be any octets. */
void json_add_ifname(struct json_object *o, const char *ifname);
void json_add_string(struct json_object *o, const char *key, const char *s);
void json_add_number(struct json_object *o, const char *key, uint64_t n);
/* Prints on a line, or indented, and frees. */
void json_print(struct json_object *o, bool one_line);

#endif
