#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Create, traffic, delete: many times, then the slab is where it was.
#
# Each cycle makes two namespaces, a device, a peer and SAs in each, sends
# through the tunnel both ways, IPv4 and IPv6, and deletes all of it, in an
# order that changes from cycle to cycle: the peers first, the devices, the
# namespaces with everything in them, or one namespace under traffic.
#
# KERNELS: 6.1 6.12 debug
# TIMEOUT: 1800
# DEBUG-TIER: short
# shellcheck disable=SC2317	# functions are called by check and wait_for

. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/tunnel.sh"

cycles=50
[ -z "${DEBUG_KERNEL-}" ] || cycles=20
[ -z "${FULL-}" ] || cycles=1000

cycle()
{
	local i=$1 status=0

	topo_direct
	tun_direct $((i % 2 ? 4 : 6))
	n a ping -q -c 2 -i 0.01 -W 5 $R4 >/dev/null || status=1
	n b ping -q -c 2 -i 0.01 -W 5 $L6 >/dev/null || status=1
	case $((i % 4)) in
	0)	n a espudp flush espudp0 peers
		n b espudp peer del espudp0 1 ;;
	1)	ip -n a link del espudp0
		ip -n b link del espudp0 ;;
	2)	nbg a ping -q -f -c 1000000 $R4 >/dev/null 2>&1 ;;
	esac
	ns_del a b
	namespaces=()
	[ $((i % 4)) != 2 ] || wait 2>/dev/null
	return $status
}

# Slab in KiB, of all and of what cannot be reclaimed, and the numbers of
# objects that the module makes kinds of, once what is freed by RCU and work
# items is freed.
slab()
{
	sync
	echo 3 >/proc/sys/vm/drop_caches
	sleep 2
	echo 3 >/proc/sys/vm/drop_caches
	awk '$1 == "Slab:" { slab = $2 } $1 == "SUnreclaim:" { print slab, $2 }' /proc/meminfo
}

# objects CACHE...: in use of each, from slabinfo
objects()
{
	awk -v caches="$*" 'BEGIN { n = split(caches, c); for (i = 1; i <= n; i++) want[c[i]] = 1 }
		$1 in want { print $1, $2 }' /proc/slabinfo
}

load_module ''
# what the first cycles make for good: caches of the kernel, per-CPU memory
for i in {0..7}; do
	cycle "$i" >/dev/null 2>&1
done
rmmod espudp
read -r slab_before unreclaim_before < <(slab)
objects UDP UDPv6 net_namespace kmalloc-512 kmalloc-1k kmalloc-2k kmalloc-4k kmalloc-8k \
	>"$T/objects"
load_module ''

for ((i = 0; i < cycles; i++)); do
	cycle "$i" >"$T/cycle" 2>&1 || {
		echo "cycle $i: $(cat "$T/cycle")" >>"$T/failed"
	}
	[ $((i % 100)) != 99 ] || diag "$((i + 1)) cycles, $(awk '$1 == "Slab:"' /proc/meminfo)"
done
check "$cycles cycles of creating, traffic and deleting all work" sh -c \
	"[ ! -e '$T/failed' ] || { head -n 5 '$T/failed'; exit 1; }"
check "no device is left waiting for references" \
	not sh -c "dmesg | grep 'waiting for .* to become free'"
check "the module unloads" wait_for 20 rmmod espudp

read -r slab_after unreclaim_after < <(slab)
diag "Slab $slab_before -> $slab_after KiB, SUnreclaim $unreclaim_before -> $unreclaim_after KiB"
# The machine's own noise, among it pages of partly used slabs, is a few hundred
# KiB and does not grow with the number of cycles; one object of 512 octets
# left in each cycle does.
check "Slab is back where it was, but for 1 MiB" [ $((slab_after - slab_before)) -lt 1024 ]
check "so is SUnreclaim" [ $((unreclaim_after - unreclaim_before)) -lt 1024 ]

# nothing of which one is left for each cycle
grown()
{
	objects UDP UDPv6 net_namespace kmalloc-512 kmalloc-1k kmalloc-2k kmalloc-4k kmalloc-8k |
		awk -v n="$cycles" 'NR == FNR { old[$1] = $2; next }
			$2 - old[$1] >= n { print $1 ": " old[$1] " -> " $2; bad = 1 }
			END { exit !bad }' "$T/objects" -
}

check "no slab cache has grown by an object a cycle" not grown
ktap_end
