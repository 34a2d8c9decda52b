#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Fail closed: whatever dies, no packet of a protected flow leaves in the clear.
#
#   x 172.16.0.2 --- a: espudp0 198.51.100.1 --- 198.51.100.2 b: espudp0
#     fd16::2           10.1.0.1                                 10.2.0.1
#                       fd10:1::1                                fd10:2::1
#
# Datagrams for b's inner addresses are sent all the time, by a itself and by a
# host x that a forwards for, IPv4 and IPv6. a has a default route to b, which
# is where they go if nothing stops them.
#
# KERNELS: 6.1 6.12 debug
# SAMPLE: 6.12 debug
# TIMEOUT: 300
# shellcheck disable=SC2317	# functions are called by check and wait_for

. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/tunnel.sh"
need gojq

topo_direct
ns_add x
veth x x0 a a1
addr x x0 172.16.0.2/24 fd16::2/64
addr a a1 172.16.0.1/24 fd16::1/64
n a sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
ip -n a route add default via 198.51.100.2
ip -n a route add default via 2001:db8:2::2
ip -n x route add default via 172.16.0.1
ip -n x route add default via fd16::1
# a itself has its inner addresses without the device, too
addr a lo $L4/32 $L6/128
load_module ''
tun_dev b right
ip -n b route add 172.16.0.0/24 dev espudp0
ip -n b route add fd16::/64 dev espudp0

left_up()
{
	[ -e /sys/module/espudp ] || load_module ''
	ip -n a link add espudp0 type espudp
	ip -n a link set espudp0 up
	n a espudp socket open espudp0
	left_peer
}

left_peer()
{
	n a espudp peer add espudp0 id 1 name right remote 198.51.100.2 routes auto \
		selector local 0.0.0.0/0 remote 10.2.0.0/24 \
		selector local ::/0 remote fd10:2::/64 >/dev/null
	left_sas
}

right_up()
{
	n b espudp peer del espudp0 1 2>/dev/null
	n b espudp peer add espudp0 id 1 name left remote 198.51.100.1 \
		selector local 10.2.0.0/24 remote 0.0.0.0/0 \
		selector local fd10:2::/64 remote ::/0 routes none >/dev/null
	tun_sa b 1 in 0x1001
	tun_sa b 1 out 0x2001
}

left_sas()
{
	tun_sa a 1 in 0x2001
	tun_sa a 1 out 0x1001
}

##
# Traffic, all the time
##
flows=(a4 a6 x4 x6)
rate=40	# packets a second, of each
[ -z "${DEBUG_KERNEL-}" ] || rate=10

traffic_start()
{
	nbg a pump send -r $rate -s $L4 $R4 5000 >"$T/a4.sent"
	pumps[a4.sent]=$!
	nbg a pump send -r $rate -s $L6 $R6 5000 >"$T/a6.sent"
	pumps[a6.sent]=$!
	nbg x pump send -r $rate $R4 5000 >"$T/x4.sent"
	pumps[x4.sent]=$!
	nbg x pump send -r $rate $R6 5000 >"$T/x6.sent"
	pumps[x6.sent]=$!
}

traffic_stop()
{
	local flow

	for flow in "${flows[@]}"; do
		kill "${pumps[$flow.sent]}"
		wait "${pumps[$flow.sent]}"
	done
}

# a's outside, where only ESP-in-UDP may be seen
CLEAR='net 10.1.0.0/24 or net 10.2.0.0/24 or net 172.16.0.0/24 or
	net fd10:1::/64 or net fd10:2::/64 or net fd16::/64'

clear_packets()
{
	capture_count "$T/outside.pcap" "$CLEAR"
}

# capture_cut FILE: capture_stop waits until nothing comes any more
capture_cut()
{
	kill "${captures[$1]}"
	wait "${captures[$1]}"
	unset "captures[$1]"
}

esp_packets()
{
	capture_count "$T/outside.pcap" 'src 198.51.100.1 and udp port 4500'
}

# flowing NS: does traffic come out of b's device?
flowing()
{
	local before

	before=$(counter b rx-packets)
	wait_for 5 counter_over b rx-packets $((before + 40))
}

# step NAME COMMAND...: under traffic
step()
{
	local name=$1 sent

	shift
	check "before $name: traffic flows" flowing
	capture_start b b0 "$T/outside.pcap" 'not icmp6 and not arp'
	wait_for 5 esp_seen
	check "$name" "$@"
	sent=$(cat "$T"/*.sent | wc -l)
	wait_for 10 sent_over $((sent + 200))
	capture_cut "$T/outside.pcap"
	check "after $name: no clear packet left" is "$(clear_packets)" 0
	check "after $name: the capture had protected ones" [ "$(esp_packets)" -gt 0 ]
}

esp_seen()
{
	[ "$(esp_packets)" -gt 10 ]
}

sent_over()
{
	[ "$(cat "$T"/*.sent | wc -l)" -gt "$1" ]
}

told()
{
	n a ping -c 1 -W 1 "$1" 2>&1 | grep -qiE 'unreachable|no route'
}

guard()
{
	n a ip route show 10.2.0.0/24 type unreachable | grep -q . &&
	n a ip -6 route show fd10:2::/64 type unreachable | grep -q .
}

device_route()
{
	n a ip route show 10.2.0.0/24 dev espudp0 | grep -q . &&
	n a ip -6 route show fd10:2::/64 dev espudp0 | grep -q .
}

worst_metric()
{
	n a ip route show 10.2.0.0/24 type unreachable | grep -q 'metric 4294967295' &&
	n a ip -6 route show fd10:2::/64 type unreachable | grep -q 'metric 4294967295'
}

# Without the tunnel, and without its routes: this is what must not be.
capture_start b b0 "$T/outside.pcap" 'not icmp6 and not arp'
traffic_start
wait_for 60 sent_over 100
capture_cut "$T/outside.pcap"
check "control: without a tunnel everything leaves in the clear" [ "$(clear_packets)" -gt 20 ]
traffic_stop

left_up
right_up
traffic_start
check "the tool installed routes to the device, IPv4 and IPv6" device_route
check "the tool installed unreachable routes, IPv4 and IPv6" guard
check "their metric is the worst" worst_metric

link_down()
{
	ip -n a link set espudp0 down
}

step "link down" link_down
check "the unreachable routes stay" guard
ip -n a link set espudp0 up
n a espudp route add espudp0

outbound_expires()
{
	n a espudp sa set espudp0 out 1 spi 0x1001 hard-seconds 1
	wait_for 10 is_without_sa
}

is_without_sa()
{
	is "$(peer_get a 1 '.["spi-out"] // 0')" 0
}

step "hard expiry" outbound_expires
n a espudp flush espudp0 sas
right_up
left_sas

step "deletion of the SAs" n a espudp flush espudp0 sas
right_up
left_sas

step "close of the socket" n a espudp socket close espudp0
n a espudp socket open espudp0

step "deletion of the peer" n a espudp peer del espudp0 1
check "the unreachable routes stay" guard
check "the routes to the device do not" not device_route
right_up
left_peer

step "deletion of the device" ip -n a link del espudp0
check "the unreachable routes stay" guard
check "the sender is told, IPv4" told $R4
check "the sender is told, IPv6" told $R6
right_up
left_up

module_gone()
{
	ip -n b link del espudp0
	wait_for 10 rmmod espudp
}

step "removal of the module" module_gone
check "the unreachable routes outlive it" guard

load_module ''
tun_dev b right
ip -n b route add 172.16.0.0/24 dev espudp0
ip -n b route add fd16::/64 dev espudp0
right_up
left_up
step "removal of the peer's selectors" n a espudp peer set espudp0 1 no-selectors
n a espudp peer del espudp0 1
traffic_stop
n a espudp route del espudp0 10.2.0.0/24 fd10:2::/64
check "only when asked to, the tool removes the unreachable routes" not guard
ktap_end
