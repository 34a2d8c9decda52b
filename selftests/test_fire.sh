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
# FULL-ONLY: not yet run to its end
# SMP: 2
# THREAD: multi
# shellcheck disable=SC2317	# functions are called by rounds and check

. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/tunnel.sh"
need iperf3 jq

seconds=15 loops=12
[ -z "${FULL-}" ] || seconds=60 loops=300
[ -z "${DEBUG_KERNEL-}" ] || seconds=20 loops=4

works()
{
	n a ping -q -c 2 -i 0.1 -W 5 "$R4" && n b ping -q -c 2 -i 0.1 -W 5 "$L6"
}

# Nothing in the kernel's log that should not be there; the runner looks for
# more.
log_clean()
{
	local found

	found=$(dmesg | grep -E "BUG:|WARNING:|Oops|INFO: task|waiting for .* to become free|\
possible recursive locking|circular locking|suspicious RCU|KASAN|UBSAN|refcount_t")
	[ -z "$found" ] || { echo "$found" | head -n 20; return 1; }
}

# What the module made it has destroyed; it is to be unloaded.
objects_gone()
{
	local left

	left=$(dmesg | sed -n 's/.*espudp: \(created\|destroyed\) /\1 /p' | awk '
		$1 == "created" { made[$2 " " $3]++ }
		$1 == "destroyed" { made[$2 " " $3]-- }
		END { for (i in made) if (made[i]) print i, made[i] }')
	[ -z "$left" ] || { echo "left: $left" | head -n 20; return 1; }
}

load_module ''
topo_direct
addr a a0 198.51.100.11/24 198.51.100.12/24
tun_direct 4
check "the tunnel works" works

# A loop of its own for each thing, until the file is gone.
touch "$T/fire"
rounds()
{
	local name=$1 count=0

	while [ -e "$T/fire" ]; do
		"$name" >/dev/null 2>>"$T/$name.err"
		count=$((count + 1))
		echo $count >"$T/$name.rounds"
	done
}

# New SPIs each time; the pair before the last goes, as IKE daemons let it go.
spi=$((0x10000))
rekey()
{
	spi=$((spi + 2))
	tun_pair "$spi" $((spi + 1))
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
		n a espudp peer set espudp0 1 local "198.51.100.$host"
		sleep 0.1
	done
}

peers()
{
	n b espudp peer add espudp0 id 7 remote 198.51.100.77 \
		selector local "$R4/32" remote 10.77.0.0/16
	tun_sa b 7 in 0x7777
	tun_sa b 7 out 0x7778
	n b ping -q -c 1 -W 1 10.77.0.1 &
	n b espudp peer set espudp0 7 no-selectors
	n b espudp peer set espudp0 7 selector local "$R4/32" remote 10.77.0.0/16 \
		selector local "$R4/32" remote 10.78.0.0/16 proto udp
	n b espudp peer del espudp0 7 unprotect
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

up_again()
{
	ip -n b link set espudp0 up
	addr b espudp0 "$R6/128" 2>/dev/null
	n b espudp route add espudp0
}

updown()
{
	sleep 1.3
	ip -n b link set espudp0 down
	up_again
}

small()
{
	n a ping -q -f -c 300 -w 2 "$R4"
	n b ping -q -f -c 300 -w 2 "$L4"
}

large()
{
	n a ping -q -f -c 100 -w 2 -s 8000 "$R4"
}

bulk()
{
	n a iperf3 -c "$R4" -t 2 --connect-timeout 500
	sleep 0.2
}

settings()
{
	local csum

	for csum in zero full auto; do
		n a espudp set espudp0 outer-csum "$csum"
		n b espudp set espudp0 outer-csum "$csum"
	done
}

nbg b iperf3 -s >/dev/null 2>&1
server=$!
nbg b espudp monitor >"$T/events" 2>&1
monitor=$!
fire=(rekey flush mapping peers dumps sockets updown small large bulk settings)
pids=()
for name in "${fire[@]}"; do
	rounds "$name" &
	pids+=($!)
done
sleep $seconds
rm "$T/fire"
wait "${pids[@]}"
kill $server $monitor
for name in "${fire[@]}"; do
	check "all at once: $name, $(cat "$T/$name.rounds" 2>/dev/null) times" \
		test -s "$T/$name.rounds"
done
diag "$(counter a tx-packets) packets went, $(counter b rx-packets) came," \
	"$(wc -l <"$T/events") events"
diag "dropped at b: $(n b espudp stats espudp0 --json | jq -c '.drop | with_entries(select(.value > 0))')"
check "packets were delivered meanwhile" counter_over b rx-packets 200

n a espudp flush espudp0 sas
n b espudp flush espudp0 sas
n a espudp peer set espudp0 1 local 198.51.100.1 remote 198.51.100.2:4500
n b espudp peer set espudp0 1 remote 198.51.100.1:4500
n b espudp socket open espudp0 2>/dev/null
up_again
tun_pair 0x900001 0x900002
check "afterwards the tunnel works" works
check "nothing of it is in the log" log_clean
unload_module
check "all that was created is destroyed" wait_for 10 objects_gone
ns_del a b
namespaces=()

# Devices, namespaces, the module: made, used, removed under traffic.
cycle()
{
	[ -e /sys/module/espudp ] || load_module ''
	topo_direct
	tun_direct 4
	works >/dev/null || { echo "round $1: no answer"; return 1; }
	nbg a ping -q -f -w 20 "$R4" >/dev/null 2>&1
	nbg b ping -q -f -s 3000 -w 20 "$L4" >/dev/null 2>&1
	case $(($1 % 4)) in
	0)	ip -n b link set espudp0 netns a name moved0 ;;
	1)	rmmod espudp || return 1 ;;
	2)	ip -n a link set espudp0 netns 1 name "moved$1"
		ip link del "moved$1" ;;
	3)	;;
	esac
	ns_del a b
	namespaces=()
}

all_cycles()
{
	local i

	for ((i = 0; i < loops; i++)); do
		cycle "$i" || return 1
	done
}

check "$loops times devices are made, used, moved, removed with namespace or module" all_cycles
[ ! -e /sys/module/espudp ] || check "the module unloads" rmmod espudp
check "all that was created is destroyed, with the namespaces too" wait_for 20 objects_gone
check "nothing of it is in the log, nothing waits to become free" log_clean
ktap_end
