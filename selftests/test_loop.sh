#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Routes that lead back, devices in devices, several devices, other namespaces.
#
#   a: espudp0 198.51.100.1 --- 198.51.100.2 b: espudp0
#      10.1.0.1                                 10.2.0.1
#      fd10:1::1                                fd10:2::1
#
# KERNELS: 6.1 6.12 debug
# SAMPLE: 6.12 debug
# TIMEOUT: 240
# shellcheck disable=SC2317	# functions are called by check and wait_for

. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/tunnel.sh"
need gojq

topo_direct
load_module ''

reaches()
{
	n "$1" ping -q -c 1 -W 2 "$2"
}

##
# A peer's outer address inside its own selectors
##
# loop_peers FAMILY: everything goes to the peer, but for IPv6 multicast, which
# the stack itself sends
loop_peers()
{
	local left=198.51.100.1 right=198.51.100.2

	[ "$1" = 4 ] || { left=2001:db8:2::1; right=2001:db8:2::2; }
	n a espudp peer add espudp0 id 1 name right remote $right routes none \
		selector local 0.0.0.0/0 remote 0.0.0.0/0 selector local ::/0 remote ::/1 \
		selector local ::/0 remote fd00::/8 >/dev/null
	n b espudp peer add espudp0 id 1 name left remote $left routes none \
		selector local 0.0.0.0/0 remote 0.0.0.0/0 selector local ::/0 remote ::/1 \
		selector local ::/0 remote fd00::/8 >/dev/null
	tun_pair 0x1001 0x2001
}

tun_dev a left
tun_dev b right
for family in 4 6; do
	outer=198.51.100.2/32 ip="ip -n a"
	[ $family = 4 ] || { outer=2001:db8:2::2/128; ip="ip -n a -6"; }
	loop_peers $family
	ip -n a route add $R4 dev espudp0
	ip -n b route add $L4 dev espudp0
	ip -n b -6 route add $L6 dev espudp0
	check "IPv$family outside: control: a peer that has everything is reached" reaches a $R4

	$ip route add $outer dev espudp0
	loops=$(counter a tx-loop)
	check "IPv$family outside: with its outer address routed to the device it is not" \
		not reaches a $R4
	check "IPv$family outside: that is counted as a loop, once" \
		is "$(counter a tx-loop)" $((loops + 1))
	check "IPv$family outside: the machine is none the worse" reaches a 127.0.0.1
	check "IPv$family outside: what is for the outer address itself is counted likewise" \
		not reaches a ${outer%/*}
	check "IPv$family outside: once" is "$(counter a tx-loop)" $((loops + 2))

	n a espudp set espudp0 fwmark 0x51
	$ip rule add fwmark 0x51 lookup 51
	$ip route add ${outer%/*} dev a0 table 51
	check "IPv$family outside: with a fwmark and a rule it is reached" reaches a $R4
	sent=$(counter a tx-packets)
	check "IPv$family outside: its outer address is, through the tunnel" \
		reaches a ${outer%/*}
	check "IPv$family outside: and by the device" is "$(counter a tx-packets)" $((sent + 1))
	check "IPv$family outside: no more loops" is "$(counter a tx-loop)" $((loops + 2))
	$ip rule del fwmark 0x51
	n a espudp set espudp0 fwmark off
	$ip route flush table 51
	$ip route del $outer dev espudp0
	n a espudp flush espudp0 peers
	n b espudp flush espudp0 peers
	ip -n a route del $R4
	ip -n b route del $L4
	ip -n b -6 route del $L6
done

##
# Devices in devices
##
# Two devices that route into each other: the outer packets of one are for the
# other's peer.
ip -n a link del espudp0
ip -n b link del espudp0
for i in 0 1; do
	ip -n a link add espudp$i type espudp
	ip -n a link set espudp$i up
	n a espudp socket open espudp$i port $((4500 + i))
	n a espudp peer add espudp$i id 1 remote 192.0.2.$((i + 1)) routes none \
		selector local 0.0.0.0/0 remote 0.0.0.0/0 >/dev/null
	# shellcheck disable=SC2086
	n a espudp sa add espudp$i 1 out spi 0x1001 $TUN_ALG
done
ip -n a route add 192.0.2.1 dev espudp1
ip -n a route add 192.0.2.2 dev espudp0
ip -n a route add 10.9.0.1 dev espudp0

# recursions of both devices
recursions()
{
	echo $(($(counter a tx-recursion espudp0) + $(counter a tx-recursion espudp1)))
}

recursion_counted()
{
	[ "$(recursions)" -ge "$1" ]
}

nested()
{
	echo $(($(counter a tx-packets espudp0) + $(counter a tx-packets espudp1)))
}

check "a packet into two devices that route into each other goes nowhere" \
	not reaches a 10.9.0.1
check "it is dropped and counted as recursion" wait_for 5 recursion_counted 1
check "after a bounded number of devices" [ "$(nested)" -le 8 ]
n a ping -q -f -c 200 -W 1 10.9.0.1 >/dev/null 2>&1
check "each such packet is" wait_for 10 recursion_counted 201
rest=$(nested)
sleep 1
check "none of them goes on for ever" is "$(nested)" "$rest"
check "large ones do not either" not n a ping -q -c 1 -W 1 -s 20000 10.9.0.1
check "the machine is none the worse" reaches a 198.51.100.2
ip -n a link del espudp0
ip -n a link del espudp1

# A tunnel inside a tunnel, which is legal.
tun_direct 4
for side in "a 1 2 $L4 $R4" "b 2 1 $R4 $L4"; do
	read -r ns own other from to <<<"$side"
	ip -n "$ns" link add espudp1 type espudp
	addr "$ns" espudp1 "10.3.0.$own/24"
	ip -n "$ns" link set espudp1 up
	n "$ns" espudp socket open espudp1 port 4600
	n "$ns" espudp peer add espudp1 id 1 local "$from" remote "$to:4600" routes none \
		selector local "10.3.0.$own/32" remote "10.3.0.$other/32" >/dev/null
	# shellcheck disable=SC2086
	{
		n "$ns" espudp sa add espudp1 1 in spi "0x300$own" $TUN_ALG
		n "$ns" espudp sa add espudp1 1 out spi "0x300$other" $TUN_ALG
	}
done
classes()
{
	local dev

	for dev in espudp0 espudp1; do
		n a tc qdisc add dev "$dev" clsact &&
		n a tc filter add dev "$dev" egress matchall classid 1:10 || return 1
	done
}

check "tc gives packets a class" classes
check "a class that tc gives is not taken for devices gone through" reaches a $R4
n a tc qdisc del dev espudp0 clsact
n a tc qdisc del dev espudp1 clsact
inside=$(counter a tx-packets)
check "a tunnel inside a tunnel works" reaches a 10.3.0.2
check "it went by both devices" [ "$(counter a tx-packets espudp1)" -ge 1 -a \
	"$(counter a tx-packets)" -gt "$inside" ]
check "with large packets, too" n a ping -q -c 1 -W 5 -s 8000 10.3.0.2
ip -n a link del espudp1
ip -n b link del espudp1

##
# Bound device, VRF
##
ip -n a link add dummy0 type dummy
ip -n a link set dummy0 up
check "control: the tunnel works" reaches a $R4
n a espudp set espudp0 bound-dev dummy0
check "bound to another device than the one that leads to the peer it does not" \
	not reaches a $R4
check "for outer packets go by that one" [ "$(ip -n a -j -s link show dummy0 |
	jq '.[0].stats64.tx.packets')" -gt 0 ]
n a espudp set espudp0 bound-dev a0
check "bound to the device that leads to the peer it works" reaches a $R4
n a espudp set espudp0 bound-dev none
if ip -n a link add vrf0 type vrf table 77 2>/dev/null; then
	ip -n a link set vrf0 up
	ip -n a link set a0 master vrf0
	n a sysctl -qw net.ipv4.udp_l3mdev_accept=1
	check "the outside in a VRF: without being bound to it nothing is sent" not reaches a $R4
	n a espudp set espudp0 bound-dev vrf0
	check "the outside in a VRF: bound to it the tunnel works" reaches a $R4
	check "the outside in a VRF: from the other side, too" reaches b $L4
	n a espudp peer set espudp0 1 local 198.51.100.1
	check "the outside in a VRF: from an address of its own, too" reaches a $R4
	n a espudp set espudp0 bound-dev none
	ip -n a link set a0 nomaster
	ip -n a link del vrf0
	addr a a0 2001:db8:2::1/64
else
	skip "the outside in a VRF" "this kernel has none"
fi
ip -n a link del espudp0
ip -n b link del espudp0

##
# Several devices and namespaces
##
ns_add c
veth c c0 b b1
addr c c0 203.0.113.1/24
addr b b1 203.0.113.2/24
tun_direct 4
check "two devices of one namespace cannot have one port" \
	not sh -c "ip -n a link add espudp1 type espudp && ip netns exec a espudp socket open espudp1"
ip -n a link del espudp1 2>/dev/null
tun_dev c left
n c espudp peer add espudp0 id 1 remote 203.0.113.2:4501 routes auto \
	selector local $L4/32 remote 10.2.0.2/32 >/dev/null
ip -n b link add espudp1 type espudp
addr b espudp1 10.2.0.2/32
ip -n b link set espudp1 up
n b espudp socket open espudp1 port 4501
n b espudp peer add espudp1 id 1 remote 203.0.113.1 routes none \
	selector local 10.2.0.2/32 remote $L4/32 >/dev/null
for ns in b c; do
	dev=espudp1 in=0x1001 out=0x2001
	[ $ns = b ] || { dev=espudp0; in=0x2001; out=0x1001; }
	# shellcheck disable=SC2086
	{
		n $ns espudp sa add $dev 1 in spi $in $TUN_ALG
		n $ns espudp sa add $dev 1 out spi $out $TUN_ALG
	}
done
ip -n b rule add from 10.2.0.2 lookup 52
ip -n b route add $L4 dev espudp1 table 52
check "devices with equal SPIs and ports in several namespaces work, the first" reaches a $R4
check "devices with equal SPIs and ports in several namespaces work, the second" reaches c 10.2.0.2
check "they do not meet" is "$(counter b rx-packets) $(counter b rx-packets espudp1)" "1 1"

##
# A device that moves
##
ns_add moved
ip -n a link set espudp0 netns moved
addr moved espudp0 $L4/32 $L6/128
ip -n moved link set espudp0 up
ip -n moved route add $R4 dev espudp0
ip -n moved -6 route add $R6 dev espudp0
check "a device that moved to another namespace goes on to work" reaches moved $R4
check "and is reached" reaches b $L4
check "IPv6 inside, too" reaches moved $R6
check "its socket is where it was made" sh -c "ip netns exec a ss -Hlun sport = :4500 | grep -q ."
check "and not where it is" not sh -c "ip netns exec moved ss -Hlun sport = :4500 | grep -q ."
check "it is shown as such" is "$(dev_get moved '.["foreign-netns"]')" true
check "it is not to be seen in the namespace it came from" not n a espudp show espudp0

# A user namespace that owns only the namespace the device was moved to.
unshare -Urn sleep 1000 &
owner=$!
wait_for 10 sh -c "! [ /proc/$owner/ns/net -ef /proc/self/ns/net ] && [ -s /proc/$owner/uid_map ]"
ip -n moved link set espudp0 netns $owner
owned()
{
	nsenter -U -n -t $owner --preserve-credentials -- "$@"
}
owned ip addr add $L4/32 dev espudp0
owned ip link set espudp0 up
owned ip route add $R4 dev espudp0
check "moved to a namespace of another user it goes on to work" \
	owned ping -q -c 1 -W 2 $R4
check "its administrator may look at it" owned espudp show espudp0
check "and delete SAs" owned espudp sa del espudp0 in spi 0x2001
check "but may not have its socket" not owned espudp socket close espudp0
check "nor change the port" not owned espudp set espudp0 port 4999
check "nor the fwmark" not owned espudp set espudp0 fwmark 7
check "nor the bound device" not owned espudp set espudp0 bound-dev lo
owned espudp set espudp0 fwmark 7 2>"$T/refused"
check "and is told why" grep -qiE 'permi|privileg|CAP_NET_ADMIN' "$T/refused"
kill $owner
wait $owner 2>/dev/null

# The namespace of the sockets goes, the device stays, without, and without routes of it.
tun_dev c left espudp2 2>/dev/null
n c espudp peer add espudp0 id 66 remote 2001:db8:c::1 routes none keepalive off \
	selector local 0.0.0.0/0 remote 10.66.0.0/16
head -c 20 /dev/urandom | od -An -tx1 | n c espudp sa add espudp0 66 out spi 0x6666 enc aes-gcm \
	key-file -
ip -n c addr add 2001:db8:c::2/64 dev lo nodad
ip -n c route add 10.66.0.1 dev espudp0
n c ping -q -c 1 -W 1 10.66.0.1 >/dev/null
check "IPv6 outside, too" is "$(n c espudp show espudp0 --json |
	jq '.[0].peer[] | select(.id == 66).stats."tx-packets"')" 1
ns_add later
ip -n c link set espudp0 netns later
check "the namespace of a moved device's socket is deleted" ip netns del c
addr later espudp0 $L4/32
ip -n later link set espudp0 up
check "the device is still there" n later espudp show espudp0
check "without a socket" wait_for 10 is "$(dev_get later '.socket | length')" 0
ip -n later route add 10.2.0.2 dev espudp0
check "it sends nothing" not reaches later 10.2.0.2
check "and says why" [ "$(counter later tx-no-socket)" -ge 1 ]
sleep 2		# what is left of the namespace is freed
check "its peers are deleted" n later espudp flush espudp0 peers
ktap_end
