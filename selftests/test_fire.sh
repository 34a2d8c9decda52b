#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Everything at once: traffic, rekeys, deletions, mapping changes, dumps, the
# link going down and up, on two processors; then devices, namespaces and the
# module made and removed under traffic.
#
#   a                                 b
#   espudp0 10.1.0.1   ==========     espudp0 10.2.0.1
#   a0 198.51.100.1, .11, .12  ---    b0 198.51.100.2
#
# KERNELS: 6.1 6.12 debug
# TIMEOUT: 180
# SMP: 2
# THREAD: multi
# DEBUG-TIER: short

. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/pair.sh"

seconds=15 loops=25
[ -z "${FULL-}" ] || seconds=60 loops=300
[ -z "${DEBUG_KERNEL-}" ] || seconds=25 loops=4

dmesg -C
load_module
topo_direct
addr a a0 198.51.100.11/24 198.51.100.12/24
pair_up
check "the tunnel works" pair_ping

# A loop of its own for each thing, until the file is gone.
touch "$T/fire"
rounds()
{
	local name=$1 count=0

	shift
	while [ -e "$T/fire" ]; do
		"$@" >/dev/null 2>>"$T/$name.err"
		count=$((count + 1))
		echo $count >"$T/$name.rounds"
	done
}

# New SPIs each time, so that in and out fit if nobody deletes them meanwhile.
spi=$((0x10000))
rekey()
{
	spi=$((spi + 2))
	pair_sas aes-gcm $spi $((spi + 1))
	# the old pair goes, as an IKE daemon lets it go
	n b espudp sa del espudp0 in spi $((spi - 4))
	n a espudp sa del espudp0 in spi $((spi - 3))
	n a espudp sa del espudp0 out 1 spi $((spi - 4))
	n b espudp sa del espudp0 out 1 spi $((spi - 3))
}

flush()
{
	sleep 0.7
	n b espudp flush espudp0 sas
	n a espudp flush espudp0 sas 1
}

mapping()
{
	local host

	for host in 11 12 1; do
		n a espudp peer set espudp0 1 local 198.51.100.$host
		sleep 0.1
	done
}

peers()
{
	n b espudp peer add espudp0 id 7 remote 198.51.100.77 routes none \
		selector local 10.2.0.0/16 remote 10.77.0.0/16
	pair_sa b espudp0 7 in 0x7777
	pair_sa b espudp0 7 out 0x7778
	n b ping -q -c 1 -W 1 10.77.0.1 &
	n b espudp peer set espudp0 7 no-selectors
	n b espudp peer set espudp0 7 selector local 10.2.0.0/16 remote 10.77.0.0/16 \
		selector local 10.2.0.0/16 remote 10.78.0.0/16 proto udp
	n b espudp peer del espudp0 7
	wait $!
}

dumps()
{
	n b espudp show --json
	n a espudp sa show espudp0 --json
	n b espudp stats espudp0 --json
}

sockets()
{
	sleep 1
	n b espudp socket close espudp0
	n b espudp socket open espudp0
}

updown()
{
	sleep 1.3
	ip -n b link set espudp0 down
	ip -n b link set espudp0 up
	ip -n b route replace 10.1.0.0/16 dev espudp0
	addr b espudp0 fd00:2::1/32 2>/dev/null
	ip -n b -6 route replace fd00:1::/32 dev espudp0
}

small()
{
	n a ping -q -f -c 300 -w 2 10.2.0.1
	n b ping -q -f -c 300 -w 2 10.1.0.1
}

large()
{
	n a ping -q -f -c 100 -w 2 -s 8000 10.2.0.1
}

bulk()
{
	n a iperf3 -c 10.2.0.1 -t 2 --connect-timeout 500
	sleep 0.2
}

settings()
{
	local csum

	for csum in zero full auto; do
		n a espudp set espudp0 outer-csum $csum
		n b espudp set espudp0 outer-csum $csum
	done
}

nbg b iperf3 -s >/dev/null 2>&1
server=$!
nbg b espudp monitor >"$T/events" 2>&1
monitor=$!
loops_of_fire=(rekey flush mapping peers dumps sockets updown small large bulk settings)
pids=()
for name in "${loops_of_fire[@]}"; do
	rounds "$name" "$name" &
	pids+=($!)
done
sleep $seconds
rm "$T/fire"
wait "${pids[@]}"
kill $server $monitor
for name in "${loops_of_fire[@]}"; do
	check "$name went round, $(cat "$T/$name.rounds" 2>/dev/null) times" \
		test -s "$T/$name.rounds"
done
diag "$(counter a espudp0 tx-packets) packets went, $(counter b espudp0 rx-packets) came," \
	"$(wc -l <"$T/events") events"
diag "at b: $(n b espudp stats espudp0 --json | jq -c .drop)"
check "packets were delivered meanwhile" counted b espudp0 rx-packets 200

n a espudp flush espudp0 sas
n b espudp flush espudp0 sas
n a espudp peer set espudp0 1 local 198.51.100.1 remote 198.51.100.2
n b espudp peer set espudp0 1 remote 198.51.100.1
pair_sas aes-gcm 0x900001 0x900002
check "afterwards the tunnel works" pair_ping
check "nothing of it is in the log" log_clean

# Devices, namespaces, the module: made, used, removed under traffic.
unload_module
check "all that was created is destroyed" wait_for 10 objects_gone
cycle()
{
	local i=$1

	[ -e /sys/module/espudp ] || load_module
	ns_add c d
	veth c c0 d d0
	addr c c0 198.51.100.1/24
	addr d d0 198.51.100.2/24
	pair_dev c espudp0 1 2 198.51.100.2
	pair_dev d espudp0 2 1 198.51.100.1
	pair_sa d espudp0 1 in 0x1001 && pair_sa c espudp0 1 in 0x1002 &&
	pair_sa c espudp0 1 out 0x1001 && pair_sa d espudp0 1 out 0x1002 || return 1
	n c ping -q -c 1 -W 5 10.2.0.1 >/dev/null || { echo "round $i: no answer"; return 1; }
	nbg c ping -q -f -w 3 10.2.0.1 >/dev/null 2>&1
	nbg d ping -q -f -s 3000 -w 3 10.1.0.1 >/dev/null 2>&1
	case $((i % 5)) in
	0)	;;
	1)	ip -n c link del espudp0 ;;
	2)	ip -n d link set espudp0 netns c name moved0 ;;
	3)	rmmod espudp || return 1 ;;
	4)	ip -n c link set espudp0 netns 1 name "moved$i" && ip link del "moved$i" ;;
	esac
	ns_del c d
	namespaces=(a b)
}
all_cycles()
{
	local i

	for ((i = 0; i < loops; i++)); do
		cycle $i || return 1
	done
}
check "$loops times devices are made, used, moved and removed with namespace or module" all_cycles
[ ! -e /sys/module/espudp ] ||
	check "the module unloads" rmmod espudp
check "all that was created is destroyed, namespaces too" wait_for 20 objects_gone
check "nothing of it is in the log, nothing waits to become free" log_clean
ktap_end
