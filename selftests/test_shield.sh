#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# L2TP is protected or does not pass: `espudp shield', without the module, without
# the device, with it; a client that reaches its gateway by policy rules; others'
# traffic, which is not touched.
#
#   a (client)                         b (gateway)                 c
#   a0 198.51.100.1, .11  ------------ b0 198.51.100.2, .12
#                                      b1 10.9.0.1  -------------- c0 10.9.0.2
#
# KERNELS: 6.1 6.12 debug
# SAMPLE: 6.12 debug
# TIMEOUT: 200
# shellcheck disable=SC2317	# functions are called by check and wait_for

. "$(dirname "$0")/lib.sh"
need gojq python3 nft tcpdump

unload_module
topo_direct
ns_add c
veth b b1 c c0
addr a a0 198.51.100.11/24
addr b b0 198.51.100.12/24
addr b b1 10.9.0.1/24
addr c c0 10.9.0.2/24
ip -n c route add default via 10.9.0.1
ip -n a route add 10.9.0.0/24 via 198.51.100.2
for ns in a b; do
	n $ns sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=1 \
		net.ipv4.conf.default.rp_filter=1
done

# echo_start NS ADDRESS [PORT]: answers what it hears
echo_start()
{
	nbg "$1" python3 -c '
import socket, sys
s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind((sys.argv[1], int(sys.argv[2])))
while True:
    try:
        data, sender = s.recvfrom(2048)
        s.sendto(("%s %s" % (sender[0], data.decode())).encode(), sender)
    except OSError:
        pass' "$2" "${3:-1701}"
	wait_for 20 sh -c "ip netns exec $1 ss -Hlun 'sport = ${3:-1701}' | grep -qF '$2'"
}

# ask NS FROM TO [PORT]: what the echo says; status 9 without an answer
ask()
{
	n "$1" python3 -c '
import socket, sys
s = socket.socket(socket.AF_INET6 if ":" in sys.argv[2] else socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind((sys.argv[1], int(sys.argv[3])))
s.settimeout(2)
try:
    s.connect((sys.argv[2], int(sys.argv[3])))
    s.send(b"hello")
    print(s.recv(2048).decode())
except OSError:
    sys.exit(9)' "$2" "$3" "${4:-1701}"
}

silent()
{
	local status=0

	ask "$@" || status=$?
	[ "$status" = 9 ]
}

# shield_counts NS: out, in, from virtual addresses
shield_counts()
{
	n "$1" espudp shield show --json |
		jq -c '[."clear-out".packets, ."clear-in".packets, ."virtual-in".packets]'
}

echo_start b 198.51.100.2
echo_start b 198.51.100.2 1702
echo_start a 198.51.100.1
echo_start b 2001:db8:2::2
echo_start c 10.9.0.2
check "without a shield L2TP passes in clear text" ask a 198.51.100.11 198.51.100.2
check "and show says that it is off" is "$(n b espudp shield show --json | jq .on)" false
check "shield off is no error then" n b espudp shield off

n b nft add table inet other
check "shield on needs neither module nor device" n b espudp shield on
n a espudp shield on
check "it is said" sh -c "ip netns exec b espudp shield show | grep -q '^shield: on$'"
capture_start a a0 "$T/wire" 'udp port 1701'
n a espudp shield off
check "clear text does not come in" silent a 198.51.100.1 198.51.100.2
check "IPv6 neither" silent a 2001:db8:2::1 2001:db8:2::2
check "and is counted" is "$(shield_counts b)" '[0,2,0]'
check "it does not go out" silent b 198.51.100.12 198.51.100.1
check "nor from port 1701 to others" not n b python3 -c '
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("198.51.100.12", 1701))
s.sendto(b"x", ("198.51.100.1", 40000))'
check "and is counted, too" is "$(shield_counts b)" '[2,2,0]'
capture_stop "$T/wire"
check "nothing was seen on the wire but what came" is \
	"$(capture_count "$T/wire" 'src 198.51.100.2 or src 198.51.100.12 or src 2001:db8:2::2')" 0
check "other ports are not touched" is "$(ask a 198.51.100.1 198.51.100.2 1702)" "198.51.100.1 hello"
check "nor is the loopback" is "$(ask b 198.51.100.12 198.51.100.2)" "198.51.100.12 hello"
check "nor is what others forward" is "$(ask a 198.51.100.1 10.9.0.2)" "198.51.100.1 hello"
check "shield on again" n b espudp shield on
check "does not forget what was counted" is "$(shield_counts b)" '[2,2,0]'
check "another port" n b espudp shield on port 1701 port 1702
check "is not passed either" silent a 198.51.100.1 198.51.100.2 1702
check "a device that protects, by name" n b espudp shield on device b0
check "passes" is "$(ask a 198.51.100.11 198.51.100.2)" "198.51.100.11 hello"
check "shield off" n b espudp shield off
check "takes its own table only" is "$(n b nft list tables)" "table inet other"
check "words that are none" not n b espudp shield on fast
check "without nft it is said" sh -c "unshare -m sh -c 'mount --bind /dev/null /usr/sbin/nft &&
	ip netns exec b $(command -v espudp) shield on' 2>&1 | grep -q 'install nftables'"

# IPsec of the kernel
xfrm()
{
	local ns=$1 here=$2 there=$3

	ip -n "$ns" xfrm state add src 198.51.100.11 dst 198.51.100.12 proto esp spi 0x3001 \
		mode transport aead 'rfc4106(gcm(aes))' 0x000102030405060708090a0b0c0d0e0f10111213 128
	ip -n "$ns" xfrm state add src 198.51.100.12 dst 198.51.100.11 proto esp spi 0x3002 \
		mode transport aead 'rfc4106(gcm(aes))' 0x100102030405060708090a0b0c0d0e0f10111213 128
	ip -n "$ns" xfrm policy add dir out src "$here" dst "$there" proto udp dport 1701 \
		tmpl src "$here" dst "$there" proto esp mode transport
	ip -n "$ns" xfrm policy add dir in src "$there" dst "$here" proto udp sport 1701 \
		tmpl src "$there" dst "$here" proto esp mode transport
}
xfrm a 198.51.100.11 198.51.100.12
xfrm b 198.51.100.12 198.51.100.11
echo_start b 198.51.100.12
n a espudp shield on
n b espudp shield on
check "L2TP protected by the kernel's IPsec passes" is "$(ask a 198.51.100.11 198.51.100.12)" \
	"198.51.100.11 hello"
ip -n b xfrm state deleteall
ip -n b xfrm policy deleteall
check "and stops when that goes" silent a 198.51.100.11 198.51.100.12
ip -n a xfrm state deleteall
ip -n a xfrm policy deleteall

# The client without a pool, by policy rules; the gateway with one.
load_module
key()
{
	(umask 077; od -An -v -N 20 -tx1 /dev/urandom >"$T/$1")
}
key there
key back
for ns in a b; do
	ip -n $ns link add espudp0 type espudp
	n $ns espudp socket open espudp0
	ip -n $ns link set espudp0 up
done
n b espudp set espudp0 pool 100.100.0.0/16
check "a pool is made known to the shield" is \
	"$(n b espudp shield show --json | jq -c .pool)" '["100.100.0.0/16"]'
n a espudp peer add espudp0 name gateway mode transport local 198.51.100.1 remote 198.51.100.2 \
	role initiator selector local 198.51.100.1 remote 198.51.100.2 proto udp >/dev/null
n b espudp peer add espudp0 name client mode transport local 198.51.100.2 remote 198.51.100.1 \
	role responder selector local 198.51.100.2 remote 198.51.100.1 proto udp >/dev/null
n a espudp sa add espudp0 gateway in spi 0x2001 enc aes-gcm key-file "$T/back"
n a espudp sa add espudp0 gateway out spi 0x1001 enc aes-gcm key-file "$T/there"
n b espudp sa add espudp0 client in spi 0x1001 enc aes-gcm key-file "$T/there"
n b espudp sa add espudp0 client out spi 0x2001 enc aes-gcm key-file "$T/back"
check "the client's peer gets no route" not sh -c "ip -n a route show | grep espudp0"
ip -n a route add 198.51.100.2 dev espudp0 src 198.51.100.1 table 51
ip -n a route add unreachable default metric 4294967295 table 51
ip -n a rule add to 198.51.100.2 ipproto udp dport 1701 lookup 51

capture_start a a0 "$T/wire" udp
check "through the device L2TP passes, and ESP does not loop" is \
	"$(ask a 198.51.100.1 198.51.100.2)" "100.100.0.1 hello"
check "begun by the gateway, to the virtual address" is \
	"$(ask b 198.51.100.2 100.100.0.1)" \
	"198.51.100.2 hello"
check "other traffic to the gateway goes by itself" is \
	"$(ask a 198.51.100.1 198.51.100.2 1702)" "198.51.100.1 hello"
counts=$(shield_counts b)
addr a a0 100.100.0.1/32
n a ping -c 1 -W 1 -I 100.100.0.1 198.51.100.2 >/dev/null
check "a virtual address from outside is dropped, and counted" is "$(shield_counts b)" \
	"$(jq -c '.[2] += 1' <<<"$counts")"
ip -n a addr del 100.100.0.1/32 dev a0
for what in "without SAs" "with the device down" "without the device" "without the module"; do
	case $what in
	*SAs)		n b espudp flush espudp0 sas; n a espudp flush espudp0 sas ;;
	*down)		ip -n a link set espudp0 down; ip -n b link set espudp0 down ;;
	*the\ device)	ip -n a link del espudp0; ip -n b link del espudp0 ;;
	*)		unload_module ;;
	esac
	check "$what: not from the client" silent a 198.51.100.1 198.51.100.2
	check "$what: not from the gateway" silent b 198.51.100.2 100.100.0.1
	check "$what: nor to the client's own address" silent b 198.51.100.12 198.51.100.1
done
capture_stop "$T/wire"
check "no clear text L2TP on the wire, either way" is \
	"$(capture_count "$T/wire" 'udp port 1701')" 0
check "but ESP" [ "$(capture_count "$T/wire" 'udp port 4500')" -ge 4 ]
check "the gateway's blackhole stays" sh -c \
	"ip -n b route show | grep -q '^blackhole 100.100.0.0/16 .*metric 4294967295'"

# A VRF, where each packet is seen twice.
if modprobe -q vrf; then
	ip -n b link add red type vrf table 77
	ip -n b link set red up
	ip -n b link set b1 master red
	check "out of a VRF it does not go" silent c 10.9.0.2 10.9.0.1
	counts=$(shield_counts b)
	n b ip vrf exec red true 2>/dev/null
	n b python3 -c '
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"red")
try:
    s.sendto(b"x", ("10.9.0.2", 1701))
except PermissionError:
    pass'
	check "and is counted" is "$(shield_counts b)" "$(jq -c '.[0] += 1' <<<"$counts")"
else
	skip "out of a VRF it does not go" "no VRFs here"
fi
ktap_end
