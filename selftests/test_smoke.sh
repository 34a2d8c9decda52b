#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The module loads after its own tests, devices come and go, the module unloads.
#
# KERNELS: 6.1 6.12 debug
# TIMEOUT: 60
# DEBUG-TIER: short

. "$(dirname "$0")/lib.sh"

load_module selftest=1
ok "the module is loaded, after its own tests"
check "of replay window, selectors and ESP" \
	is "$(dmesg | sed -nE 's/.*espudp: selftest: (\w+): [0-9]+ checks passed/\1/p' | xargs)" \
	"replay select esp"
check "a device is created" ip link add dev espudp0 type espudp
check "it comes up" ip link set dev espudp0 up
check "it is of our kind" sh -c 'ip -d link show dev espudp0 | grep -qw espudp'
check "the tool shows it" sh -c 'espudp show | grep -q espudp0'
check "it is deleted" ip link del dev espudp0
ns_add a
check "a device in a namespace is created" ip -n a link add dev espudp0 type espudp
ns_del a
check "the module is unloaded" wait_for 5 rmmod espudp
check "it loads again" insmod "$ESPUDP_KO"
ktap_end
