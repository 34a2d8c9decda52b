#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Routes that lead a tunnel into itself, and tunnels in tunnels.
#
#   a                                        b
#   espudp1 10.3.0.1   == in espudp0 ==      espudp1 10.4.0.1
#   espudp0 10.1.0.1   == ESP in UDP ==      espudp0 10.2.0.1
#   a0 198.51.100.1    -------------------   b0 198.51.100.2
#
# KERNELS: 6.1 6.12 debug
# TIMEOUT: 90

. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/pair.sh"

load_module
topo_direct
pair_up
check "the tunnel works" pair_ping

# the peer's address inside its own selectors
n a espudp peer set espudp0 1 selector local 0.0.0.0/0 remote 0.0.0.0/0
ip -n a route add 198.51.100.2/32 dev espudp0
before=$(counter a espudp0 tx-loop)
n a ping -q -c 3 -i 0.1 -W 1 10.2.0.1 >/dev/null
check "a peer's address routed into its own device is tx-loop, counted" \
	counted a espudp0 tx-loop $((before + 1))
check "and the packet does not come back a thousand times" \
	is "$(($(counter a espudp0 tx-loop) - before < 20))" 1
check "the sender is told" sh -c \
	"ip netns exec a ping -c 1 -W 1 10.2.0.1 | grep -Eqi 'unreachable|error'"
# fwmark: the outer packets take another table
n a espudp set espudp0 fwmark 77
ip -n a rule add fwmark 77 lookup 177
ip -n a route add default via 198.51.100.2 table 177
check "with fwmark and a rule the same works" n a ping -q -c 2 -i 0.1 -W 5 10.2.0.1
n a espudp set espudp0 fwmark 0
ip -n a rule del fwmark 77
ip -n a route del 198.51.100.2/32 dev espudp0

# device in device
pair_inner()
{
	local ns=$1 local=$2 remote=$3 outer=$4

	ip -n "$ns" link add espudp1 type espudp
	n "$ns" espudp socket open espudp1 port 4501
	n "$ns" espudp peer add espudp1 id 1 remote "$outer:4501" routes none \
		selector local "10.$local.0.0/16" remote "10.$remote.0.0/16" >/dev/null
	ip -n "$ns" link set espudp1 up
	addr "$ns" espudp1 "10.$local.0.1/16"
	ip -n "$ns" route add "10.$remote.0.0/16" dev espudp1
}
pair_inner a 3 4 10.2.0.1
pair_inner b 4 3 10.1.0.1
pair_sa b espudp1 1 in 0x2001 && pair_sa a espudp1 1 in 0x2002 &&
	pair_sa a espudp1 1 out 0x2001 && pair_sa b espudp1 1 out 0x2002
check "a tunnel through another tunnel carries small packets" \
	n a ping -q -c 2 -i 0.1 -W 5 10.4.0.1
check "and large ones" n a ping -q -c 2 -i 0.1 -W 5 -s 3000 10.4.0.1
check "and they went through both" counted a espudp0 tx-packets 4

# each of two devices sends through the other
n a espudp peer set espudp0 1 remote 10.4.0.9 selector local 0.0.0.0/0 remote 10.2.0.0/16
n a espudp peer set espudp1 1 remote 10.2.0.9:4501 selector local 0.0.0.0/0 remote 10.4.0.0/16
loops()
{
	local dev reason sum=0

	for dev in espudp0 espudp1; do
		for reason in tx-loop tx-recursion; do
			sum=$((sum + $(counter a $dev $reason)))
		done
	done
	echo $sum
}
before=$(loops)
sent=$(($(counter a espudp0 tx-packets) + $(counter a espudp1 tx-packets)))
n a ping -q -c 3 -i 0.1 -W 1 10.2.0.1 >/dev/null
n a ping -q -c 3 -i 0.1 -W 1 -s 1200 10.4.0.1 >/dev/null
check "two devices that send through each other: counted as a loop" \
	is "$(($(loops) - before >= 6))" 1
sent=$(($(counter a espudp0 tx-packets) + $(counter a espudp1 tx-packets) - sent))
check "after a bounded number of rounds ($sent packets for 6)" is "$((sent <= 6 * 4))" 1

# five tunnels, one in the other: more than any packet may go through
ip -n a link del espudp1
ip -n a link del espudp0
for i in 0 1 2 3 4 5; do
	ip -n a link add "espudp$i" type espudp
	n a espudp socket open "espudp$i" port $((4500 + i))
	# the next one carries what this one sends
	n a espudp peer add "espudp$i" id 1 remote "10.5$((i + 1)).0.9:4500" routes none \
		selector local 0.0.0.0/0 remote "10.5$i.0.0/16" >/dev/null
	ip -n a link set "espudp$i" mtu 1200 up
	addr a "espudp$i" "10.6$i.0.1/32"
	ip -n a route add "10.5$i.0.0/16" dev "espudp$i"
	pair_sa a "espudp$i" 1 out 0x300$i
done
n a ping -q -c 2 -i 0.1 -W 1 10.50.0.1 >/dev/null
check "tunnels nested too deeply are tx-recursion" sh -c "for i in 1 2 3 4 5; do
	ip netns exec a espudp stats espudp\$i --json | jq '.drop[\"tx-recursion\"] // 0'; done |
	awk '{ n += \$1 } END { exit !n }'"
check "the log is quiet" log_clean
ktap_end
