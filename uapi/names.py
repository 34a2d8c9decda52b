#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Prints C tables of the names of espudp.yaml's enum values and attributes."""
import sys
import yaml


def ident(name):
    return name.replace("-", "_")


with open(sys.argv[1], encoding="utf-8") as f:
    spec = yaml.safe_load(f)

print("/* SPDX-License-Identifier: GPL-2.0 */")
print("/* Do not edit directly, made from uapi/espudp.yaml by uapi/regen */")
for d in spec["definitions"]:
    if d["type"] != "enum":
        continue
    print(f"\nstatic const char *const {ident(d['name'])}_names[] = {{")
    for e in d["entries"]:
        print(f'\t"{e if isinstance(e, str) else e["name"]}",')
    print("};")
for s in spec["attribute-sets"]:
    print(f"\nstatic const char *const {ident(s['name'])}_attr_names[] = {{")
    for a in s["attributes"]:
        print(f'\t"{a["name"]}",')
    print("};")
