#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A client behind a NAT that changes its mapping.
#
#   client: xfrm                nat                      gateway: espudp0
#   10.1.0.1   192.168.1.2 --- 192.168.1.1
#   fd10:1::1                  203.0.113.1 --- 203.0.113.2   10.2.0.1
#                                                            fd10:2::1
#
# First the client is the kernel's own xfrm, and traffic flows while the NAT
# forgets. Then packets made by hand in the NAT's namespace play clients that
# are elsewhere. Last, espudp is the client and has to keep the NAT awake.
#
# KERNELS: 6.1 6.12 debug
# SAMPLE: 6.12 debug
# TIMEOUT: 400

# shellcheck disable=SC2317	# functions are called by check and wait_for

. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/tunnel.sh"
need conntrack nft gojq

GW=203.0.113.2 NAT=203.0.113.1

##
# Traffic over changes of the mapping
##

nat_client_up()
{
	local own=192.168.1.2 gw=$GW

	[ "$1" = 4 ] || { own=fd01::2; gw=2001:db8:1::2; }
	addr client lo $L4/32 $L6/128
	xfrm_pair client left $own $gw 0x1001 0x2001
	if [ "$1" = 4 ]; then
		ip -n client route add $R4 via 192.168.1.1 src $L4
	else
		ip -n client route add $R4 via inet6 fd01::1 dev c0 src $L4
	fi
	ip -n client route add $R6 via fd01::1 src $L6
	natt_socket_start client
}

gateway_up()
{
	tun_dev gateway right
	tun_peer gateway right id 1 name client nat-remote yes >/dev/null
	tun_sa gateway 1 in 0x1001
	tun_sa gateway 1 out 0x2001
}

# change_mapping N: writes when it began, and when the client's next packet came
# to the gateway from the new port, in nanoseconds
change_mapping()
{
	nat_ports=$((nat_ports + 1000))
	nat_masquerade		# for new mappings; the old one goes on
	date +%s%N >"$T/change$1"
	nat_forget
	echo "$nat_ports" >"$T/ports$1"
	wait_for 10 mapped_within "$nat_ports"
}

mapped_within()
{
	local port

	port=$(peer_get gateway 1 '.["remote-port"]')
	[ "$port" -ge "$1" ] && [ "$port" -lt $(($1 + 1000)) ]
}

# first_from PORTS: time of the first packet from these ports in the capture
first_from()
{
	tcpdump -n -tt -r "$T/wire.pcap" "udp src portrange $1-$(($1 + 999)) and dst port 4500" \
		2>/dev/null | awk '{ sub(/\./, "", $1); print $1 "000"; exit }'
}

# Longest round trip through the tunnel, in nanoseconds.
round_trip()
{
	n client ping -q -i 0.1 -c 20 -I $L4 $R4 |
		awk -F / '/^rtt/ { printf "%d\n", $6 * 1000000 + 1 }'
}

# within_windows FLOW RTT: was all that was lost sent between a change and the
# client's next packet plus a round trip? Prints what was not.
within_windows()
{
	local i windows=()

	for i in 1 2 3; do
		windows+=("$(cat "$T/change$i")" "$(first_from "$(cat "$T/ports$i")")")
	done
	awk -v w="${windows[*]}" -v rtt="$2" -v lost="$(pump_lost "$1" | wc -l)" '
		BEGIN {
			split(w, t)
			printf "%d lost; from change to next packet", lost
			for (i = 1; i < 6; i += 2)
				printf " %d ms,", (t[i + 1] - t[i]) / 1000000
			printf " round trip %.1f ms\n", rtt / 1000000
		}' >"$T/windows"
	pump_lost "$1" | awk -v w="${windows[*]}" -v rtt="$2" '
		BEGIN { split(w, t) }
		{
			for (i = 1; i < 6; i += 2)
				if ($2 >= t[i] && t[i + 1] && $2 <= t[i + 1] + rtt)
					next
			print
		}' | grep . && return 1
	return 0
}

# traffic_over_changes FAMILY
traffic_over_changes()
{
	local seconds=12 rtt i old

	[ -z "${FULL-}" ] || seconds=60
	check "IPv$1: a client behind the NAT gets an answer, its endpoint is learnt" \
		wait_for 20 n client ping -c 1 -W 1 -I $L4 $R4
	check "IPv$1: the endpoint is the NAT's" mapped_within "$nat_ports"
	rtt=$(round_trip)
	events_start gateway
	capture_start gateway g0 "$T/wire.pcap" udp
	pump_start up client $L4 gateway $R4 5001
	pump_start down gateway $R4 client $L4 5002
	for i in 1 2 3; do
		sleep $((seconds / 4))
		old=$(endpoint gateway 1)
		check "IPv$1: the tunnel follows the NAT to its new mapping, change $i" \
			change_mapping $i
		check "IPv$1: a mapping event tells of it, from where to where" wait_for 5 event_is \
			".type == \"mapping\" and .peer == 1 and .name == \"client\" and
			 \"\(.[\"old-remote\"]) \(.[\"old-remote-port\"])\" == \"$old\" and
			 \"\(.remote) \(.[\"remote-port\"])\" == \"$(endpoint gateway 1)\"" 1
	done
	sleep $((seconds / 4))
	pump_stop up down
	capture_stop "$T/wire.pcap"
	events_stop
	check "IPv$1: $seconds s at 100 a second were sent both ways" \
		[ "$(pump_lines up.sent)" -ge $((seconds * 90)) -a \
		  "$(pump_lines down.sent)" -ge $((seconds * 90)) ]
	check "IPv$1: uplink nothing is lost" lossless up
	check "IPv$1: downlink nothing is lost but what was sent between a change and the client's next packet plus one round trip" \
		within_windows down "$rtt"
	diag "IPv$1: $(cat "$T/windows")"
	check "IPv$1: nothing arrives twice" is "$(pump_twice up)$(pump_twice down)" ""
	check "IPv$1: there were no more mapping events than changes" event_is '.type == "mapping"' 3
}

topo_nat
load_module
gateway_up
nat_client_up 4
traffic_over_changes 4
if [ -n "${FULL-}" ]; then
	n gateway espudp peer del espudp0 1 unprotect
	ns_del gateway client nat
	topo_nat
	gateway_up
	nat_client_up 6
	traffic_over_changes 6
fi

##
# Who may move a peer
##
inject_start
addr nat n1 203.0.113.3/24
n nat nft delete table inet nat

# roamer ROAMING [SPI]: peer 2, at the NAT's port 1000
roamer()
{
	n gateway espudp peer del espudp0 2 2>/dev/null
	n gateway espudp peer add espudp0 id 2 name roamer roaming "$1" remote $NAT:1000 \
		routes none selector local $R4/32 remote $L4/32 prio 1 >/dev/null
	# shellcheck disable=SC2086
	n gateway espudp sa add espudp0 2 in spi 0x3001 $INJECT_ALG
}

# peer_packets PEER: packets that were delivered or dropped
peer_packets()
{
	peer_get gateway "$1" '.stats | .["rx-packets"] + ([.drop[]] | add // 0)'
}

# arrives SRC SPORT SPI SEQ [HOW [COUNT]]: sends to the gateway and waits until
# it is dealt with
arrives()
{
	local before

	before=$(peer_packets 2)
	inject nat "$1" "$2" $GW "$3" "$4" "${5--}" "${6-1}"
	wait_for 10 dealt_with $((before + ${6-1}))
}

dealt_with()
{
	[ "$(peer_packets 2)" -ge "$1" ]
}

# at ADDRESS PORT [PEER]: is the peer there?
at()
{
	is "$(endpoint gateway "${3-2}")" "$1 $2"
}

dropped()
{
	is "$(peer_get gateway 2 ".stats.drop[\"$1\"] // 0")" "$2"
}

delivered()
{
	is "$(peer_get gateway 2 '.stats["rx-packets"]')" "$1"
}

roamer off
arrives $NAT 1001 0x3001 1
check "roaming off: a valid packet from another port is delivered" delivered 1
check "roaming off: but moves nothing" at $NAT 1000

roamer port
arrives $NAT 1001 0x3001 1
check "roaming port: a valid packet from another port moves the peer there" at $NAT 1001
arrives 203.0.113.3 1001 0x3001 2
check "roaming port: one from another address is delivered" delivered 2
check "roaming port: but does not" at $NAT 1001

roamer address
arrives 203.0.113.3 1002 0x3001 10
check "roaming address: a valid packet moves the peer to another address and port" \
	at 203.0.113.3 1002
arrives $NAT 1003 0x3001 10
check "a replayed packet is dropped" dropped rx-replay-seen 1
check "a replayed packet from elsewhere moves nothing" at 203.0.113.3 1002
arrives $NAT 1003 0x3001 9
check "an older packet, late, is delivered" delivered 2
check "an older packet from elsewhere moves nothing" at 203.0.113.3 1002
arrives $NAT 1003 0x3001 500 bad
check "a forged packet is dropped" dropped rx-auth 1
check "a forged packet from elsewhere moves nothing" at 203.0.113.3 1002
arrives 203.0.113.3 1002 0x3001 11
check "a forged packet does not move the replay window either" delivered 3
inject nat $NAT 1004 $GW 0x3001 0 keepalive
wait_for 5 counter_over gateway rx-keepalive 0
check "a keepalive from elsewhere moves nothing" at 203.0.113.3 1002
inject nat 2001:db8:1::1 1005 2001:db8:1::2 0x3001 12
check "a peer moves from IPv4 to IPv6" wait_for 5 at 2001:db8:1::1 1005

# Events, one a second at most for a peer.
roamer address
arrives $NAT 1000 0x3001 1
sleep 1.1
events_start gateway
for i in {2..9}; do
	inject nat $NAT "$((1100 + i))" $GW 0x3001 "$i"
done
check "eight changes of mapping in a row are followed" wait_for 5 at $NAT 1109
sleep 1.1
arrives $NAT 1200 0x3001 10
check "the next change after a second makes an event" wait_for 5 \
	event_is '.type == "mapping" and .["remote-port"] == 1200' 1
events_stop
check "mapping events are rate limited" [ "$(event_count '.type == "mapping"')" -lt 9 ]
check "and tell how many were suppressed" is \
	"$(events 'map(select(.type == "mapping")) | length + (map(.lost // 0) | add)')" 9

# A peer that comes back from elsewhere with new SAs, while its old ones are
# still there and in use.
roamer address
arrives $NAT 1000 0x3001 1
# shellcheck disable=SC2086
n gateway espudp sa add espudp0 2 in spi 0x3002 $INJECT_ALG remote 203.0.113.3:2000
check "a new SA with an endpoint takes the endpoint over" at 203.0.113.3 2000
arrives $NAT 1000 0x3001 2
check "the old SA's packets are still accepted" delivered 2
check "but do not flip the endpoint back" at 203.0.113.3 2000
arrives 203.0.113.3 2001 0x3002 1
check "the new SA's move it" at 203.0.113.3 2001
n gateway espudp sa del espudp0 in spi 0x3001
check "the old SA's deletion does no harm" at 203.0.113.3 2001
# shellcheck disable=SC2086
n gateway espudp sa add espudp0 2 in spi 0x3003 $INJECT_ALG
arrives $NAT 3000 0x3003 1
check "the first packet of a still newer SA takes the endpoint as well" at $NAT 3000
arrives 203.0.113.3 2001 0x3002 2
check "and from then on the older SA's do not" at $NAT 3000
# shellcheck disable=SC2086
n gateway espudp sa add espudp0 2 out spi 0x4001 $INJECT_ALG remote 203.0.113.3:2002
check "a new outbound SA brings an endpoint as well" at 203.0.113.3 2002

##
# Keepalives
##
n gateway espudp peer del espudp0 2
n gateway espudp peer del espudp0 1
ns_del client
ns_add client
nat_masquerade
veth client c0 nat n0
addr client c0 192.168.1.2/24 fd01::2/64
addr nat n0 192.168.1.1/24 fd01::1/64
ip -n client route add default via 192.168.1.1
nat_timeout 2
tun_dev client left
tun_peer client left id 1 name gateway remote $GW nat-local yes >/dev/null
tun_peer gateway right id 1 name client nat-remote yes >/dev/null
tun_sa gateway 1 in 0x1001
tun_sa gateway 1 out 0x2001
tun_sa client 1 in 0x2001
tun_sa client 1 out 0x1001
check "a peer whose local end is behind a NAT gets a keepalive every 20 s by default" \
	is "$(peer_get client 1 .keepalive)" 20
n client espudp peer set espudp0 1 keepalive off

idle_then_down()
{
	n client ping -q -c 1 -W 2 "$R4" || return 1
	sleep 5
	n gateway ping -q -c 1 -W 1 "$L4"
}

check "control: espudp as the client is reached from the gateway at once" \
	sh -c "ip netns exec client ping -q -c 1 -W 2 $R4 &&
	       ip netns exec gateway ping -q -c 1 -W 2 $L4"
check "control: without keepalives the NAT forgets an idle mapping" not idle_then_down
n client ping -q -c 1 -W 2 $R4 >/dev/null
n client espudp peer set espudp0 1 keepalive 1
check "with keepalives an idle mapping survives the NAT's timeout" idle_then_down

seen=$(counter gateway rx-keepalive)
n client ping -q -c 1 -W 2 $R4 >/dev/null
check "keepalives arrive" wait_for 10 counter_over gateway rx-keepalive $((seen + 2))
check "a keepalive is no sign of life" [ "$(peer_get gateway 1 '.["last-rx"]')" -gt 1500 ]

n client espudp peer set espudp0 1 keepalive 2
capture_start client c0 "$T/keepalive.pcap" 'udp[4:2] = 9 and udp[8] = 0xff'
nbg client ping -q -i 0.2 $R4 >/dev/null
ping=$!
sleep 1
sent=$(counter client tx-keepalive)
sleep 6
after=$(counter client tx-keepalive)
kill $ping
check "no keepalive is sent while there is traffic" is "$after" "$sent"
wait $ping 2>/dev/null
check "they begin again when it ends" wait_for 10 counter_over client tx-keepalive "$sent"
n client espudp peer set espudp0 1 keepalive off
capture_stop "$T/keepalive.pcap"
check "a keepalive is one octet 0xff on the wire" \
	[ "$(capture_count "$T/keepalive.pcap")" -ge "$(($(counter client tx-keepalive) - sent))" ]
ktap_end
