#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# MTU: exact, told, fragments, large datagrams, path MTU discovery.
#
#   a: espudp0               r                            b: espudp0
#   10.1.0.1   192.0.2.1 --- 192.0.2.254
#   fd10:1::1  2001:db8:3::1 2001:db8:3::fe
#                            198.51.100.254 --- 198.51.100.2   10.2.0.1
#                            2001:db8:2::fe     2001:db8:2::2  fd10:2::1
#   x 172.16.0.2 --- a       a forwards for a host x that knows of no tunnel
#   fd16::2
#
# KERNELS: 6.1 6.12 debug
# SAMPLE: 6.12 debug
# TIMEOUT: 400
# shellcheck disable=SC2317	# functions are called by check and wait_for

. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/tunnel.sh"
need gojq

ns_add a r b x
veth a a0 r r0
veth r r1 b b0
veth x x0 a a1
addr a a0 192.0.2.1/24 2001:db8:3::1/64
addr r r0 192.0.2.254/24 2001:db8:3::fe/64
addr r r1 198.51.100.254/24 2001:db8:2::fe/64
addr b b0 198.51.100.2/24 2001:db8:2::2/64
addr x x0 172.16.0.2/24 fd16::2/64
addr a a1 172.16.0.1/24 fd16::1/64
for ns in r a; do
	n $ns sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
done
ip -n a route add default via 192.0.2.254
ip -n a route add default via 2001:db8:3::fe
ip -n b route add default via 198.51.100.254
ip -n b route add default via 2001:db8:2::fe
ip -n x route add default via 172.16.0.1
ip -n x route add default via fd16::1

key aes 16
key sha1 20
key sha256 32
key sha512 64
key des3 24
key chacha 36

load_module ''
for ns in a b; do
	side=left
	[ $ns = a ] || side=right
	tun_dev $ns $side
	# what is inside does not matter here, and x is inside, too
	ip -n $ns link set espudp0 mtu 65000
done
ip -n b route add 172.16.0.0/24 dev espudp0
ip -n b route add fd16::/64 dev espudp0

# peers FAMILY [WORD...]: the only peer of a and of b, with SAs; the path MTU is
# learnt anew
peers()
{
	local left=192.0.2.1 right=198.51.100.2 ns

	[ "$1" = 4 ] || { left=2001:db8:3::1; right=2001:db8:2::2; }
	for ns in a b; do
		n $ns espudp peer del espudp0 1 unprotect 2>/dev/null
		ip -n $ns route flush cache
		ip -n $ns -6 route flush cache
	done
	n a espudp peer add espudp0 id 1 name right remote $right routes auto \
		selector local 0.0.0.0/0 remote $R4/32 selector local ::/0 remote $R6/128 >/dev/null
	n b espudp peer add espudp0 id 1 name left remote $left routes auto \
		selector local $R4/32 remote $L4/32 selector local $R6/128 remote $L6/128 \
		selector local $R4/32 remote 172.16.0.0/24 \
		selector local "$R6/128" remote fd16::/64 >/dev/null
	tun_pair 0x1001 0x2001
}

# fits SIZE [NS]: does an IPv4 packet of that size with DF pass?
fits()
{
	n "${2-a}" ping -q -M "do" -c 1 -W 2 -s $(($1 - 28)) "$R4"
}

# fits6 SIZE: likewise IPv6
fits6()
{
	n "${2-a}" ping -q -M "do" -c 1 -W 2 -s $(($1 - 48)) "$R6"
}

peer_mtu()
{
	peer_get a 1 .mtu
}

##
# The MTU that is shown is exact
##
algs=("enc aes-gcm key-file $T/gcm"
      "enc aes-cbc key-file $T/aes auth sha1 auth-key-file $T/sha1"
      "enc chacha20-poly1305 key-file $T/chacha"
      "enc 3des-cbc key-file $T/des3 auth sha256 auth-key-file $T/sha256"
      "enc null auth sha512 auth-key-file $T/sha512"
      "enc aes-gcm key-file $T/gcm icv 64")
[ -z "${DEBUG_KERNEL-}" ] || algs=("${algs[@]:0:2}")

# Largest inner packet: what is left of the path MTU behind the outer headers,
# SPI, sequence number, IV and ICV, in whole blocks, less the trailer.
expected_mtu()
{
	local path=$1 outer=$2 iv=$3 icv=$4 block=$5

	echo $((((path - outer - 8 - 8 - iv - icv) / block) * block - 2))
}

declare -A geometry=(["${algs[0]}"]="8 16 4" ["${algs[1]}"]="16 12 16"
	["${algs[2]-}"]="8 16 4" ["${algs[3]-}"]="8 16 8" ["${algs[4]-}"]="0 32 4"
	["${algs[5]-}"]="8 8 4")
for TUN_ALG in "${algs[@]}"; do
	for family in 4 6; do
		words=${TUN_ALG//"$T"\//}
		name="$words, IPv$family outside"
		peers $family
		outer=20
		[ $family = 4 ] || outer=40
		# shellcheck disable=SC2086
		check "$name: the MTU that is shown is right" is "$(peer_mtu)" \
			"$(expected_mtu 1500 $outer ${geometry[$TUN_ALG]})"
		mtu=$(peer_mtu)
		check "$name: an IPv4 packet with DF of $mtu octets passes" fits "$mtu"
		check "$name: one of an octet more does not" not fits $((mtu + 1))
		ip -n a route flush cache
		check "$name: an IPv6 packet of that size passes" fits6 "$mtu"
		check "$name: one of an octet more does not" not fits6 $((mtu + 1))
		ip -n a -6 route flush cache
	done
done
TUN_ALG=${algs[0]}
peers 4
mtu=$(peer_mtu)

##
# ... and told
##
n a ping -M "do" -c 1 -W 2 -s $((mtu + 1 - 28)) $R4 >"$T/local4" 2>&1
check "a local sender is told the MTU, IPv4" \
	grep -qiE "(message too long, mtu=$mtu|Frag needed and DF set \(mtu = $mtu\))" "$T/local4"
toobig=$(counter a tx-too-big)
capture_start x x0 "$T/x.pcap" 'icmp[0] = 3 or icmp6[0] = 2'
check "control: a forwarded packet that fits passes" fits "$mtu" x
check "a forwarded one of an octet more does not, IPv4" not fits $((mtu + 1)) x
check "a forwarded one of an octet more does not, IPv6" not fits6 $((mtu + 1)) x
capture_stop "$T/x.pcap"
check "they are counted" is "$(counter a tx-too-big)" $((toobig + 2))
check "the forwarded packet's sender gets 'fragmentation needed' with the MTU" is \
	"$(capture_count "$T/x.pcap" "icmp[0] = 3 and icmp[1] = 4 and icmp[6:2] = $mtu")" 1
check "the forwarded packet's sender gets 'packet too big' with the MTU" is \
	"$(capture_count "$T/x.pcap" "icmp6[0] = 2 and icmp6[4:4] = $mtu")" 1
ip -n x route flush cache
ip -n x -6 route flush cache

##
# Fragments and large datagrams
##
# large NS FROM TO SIZE: datagrams of that size arrive; the first one, which
# tells the sender the MTU, is not counted
large()
{
	n "$1" pump send -s "$2" -n 1 -l "$4" "$3" 5000 >/dev/null
	sleep 0.2
	pump_start large "$1" "$2" b "$3" 5000 -n 3 -l "$4"
	pump_wait large
	pump_stop large
	lossless large
}

# on_wire FILTER: packets between r and b that match it
on_wire()
{
	capture_count "$T/wire.pcap" "$1"
}

# no_df NS SIZE: an IPv4 packet without DF
no_df()
{
	n "$1" ping -q -M dont -c 1 -W 2 -s $(($2 - 28)) "$R4"
}

for frag in inside outside; do
	n a espudp set espudp0 frag $frag
	n b espudp set espudp0 frag $frag
	# else the senders fragment to what they were told
	ip -n a route flush cache
	ip -n x route flush cache
	wire_honest r r1
	wire_honest a a0
	capture_start r r1 "$T/wire.pcap" 'src 192.0.2.1'
	check "frag $frag: an IPv4 packet without DF of the MTU passes" no_df a "$mtu"
	check "frag $frag: one of 3000 octets passes" no_df a 3000
	check "frag $frag: one that is forwarded passes" no_df x 1500
	capture_stop "$T/wire.pcap"
	if [ $frag = inside ]; then
		check "frag inside: no outer packet is a fragment" \
			is "$(on_wire 'ip[6:2] & 0x3fff != 0')" 0
		check "frag inside: there are an outer packet for each inner fragment" \
			is "$(on_wire 'udp port 4500')" 6
	else
		check "frag outside: outer packets are fragments" \
			is "$(on_wire 'ip[6:2] & 0x3fff != 0')" 5
		check "frag outside: the first one was not" \
			is "$(on_wire 'ip[6:2] & 0x3fff = 0')" 1
	fi
	check "frag $frag: no outer packet exceeds the link's MTU" is "$(on_wire 'ip[2:2] > 1500')" 0
	for size in 1472 9000 65507; do
		check "frag $frag: datagrams of $size octets arrive, IPv4" large a $L4 $R4 $size
		check "frag $frag: datagrams of $size octets arrive, IPv6" large a $L6 $R6 $size
	done
	check "frag $frag: datagrams of 65507 octets that are forwarded arrive, IPv4" \
		large x 172.16.0.2 $R4 65507
	check "frag $frag: datagrams of 65507 octets that are forwarded arrive, IPv6" \
		large x fd16::2 $R6 65507
done
n a espudp set espudp0 frag inside
n b espudp set espudp0 frag inside

##
# Path MTU
##
# bulk NS TO: a megabyte arrives by TCP, and no more of it was too big than until the
# sender knew
bulk()
{
	local toobig

	toobig=$(counter a tx-too-big)
	tcp_arrives "$1" b "$2" $((1 << 20)) && [ $(($(counter a tx-too-big) - toobig)) -le 5 ]
}

small_path()
{
	ip -n r link set r1 mtu "$1"
	ip -n b link set b0 mtu "$1"
}

# too_big FAMILY: send what exceeds the outer path, with DF outside
too_big()
{
	n a ping -q -M "do" -c 1 -W 1 -s 1300 $R4
	n a ping -q -M "do" -c 1 -W 1 -s 1300 $R6
}

pmtu_is()
{
	is "$(peer_get a 1 .pmtu)" "$1"
}

for family in 4 6; do
	peers $family
	outer=$((family == 4 ? 20 : 40))
	check "IPv$family outside: the path MTU is the link's at first" pmtu_is 1500
	small_path 1300
	too_big >/dev/null
	check "IPv$family outside: 'too big' of a router on the path lowers the peer's path MTU" \
		wait_for 5 pmtu_is 1300
	new=$(expected_mtu 1300 $outer 8 16 4)
	check "IPv$family outside: and its MTU" is "$(peer_mtu)" "$new"
	check "IPv$family outside: a packet of the new MTU passes" fits "$new"
	capture_start x x0 "$T/x.pcap" 'icmp[0] = 3 or icmp6[0] = 2'
	check "IPv$family outside: a forwarded one of an octet more does not" \
		not fits $((new + 1)) x
	check "IPv$family outside: a forwarded IPv6 packet above the minimum neither" \
		not fits6 $((new > 1280 ? new + 1 : 1281)) x
	capture_stop "$T/x.pcap"
	check "IPv$family outside: the new MTU is passed on inside, IPv4" is \
		"$(capture_count "$T/x.pcap" "icmp[0] = 3 and icmp[1] = 4 and icmp[6:2] = $new")" 1
	check "IPv$family outside: the new MTU, at least 1280, is passed on inside, IPv6" is \
		"$(capture_count "$T/x.pcap" "icmp6[0] = 2 and icmp6[4:4] = $((new > 1280 ? new : 1280))")" 1
	check "IPv$family outside: TCP-size datagrams go on, in fragments" \
		large a $L4 $R4 1400
	check "IPv$family outside: IPv6 packets of 1280 octets pass although they exceed the MTU" \
		fits6 1280
	for flow in "a $L6 $R6" "x fd16::2 $R6"; do
		read -r ns from to <<<"$flow"
		check "IPv$family outside: so do TCP segments of 1280 octets, $from" bulk "$ns" "$to"
	done
	small_path 1500
	ip -n x route flush cache
	ip -n x -6 route flush cache
done

# What only a whole datagram can decide is put together first.
peers 4
port_selectors()
{
	n a espudp peer set espudp0 1 selector local ::/0 remote "$R6/128" proto udp remote-port 5000 &&
	n b espudp peer set espudp0 1 selector local "$R6/128" remote fd16::/64 proto udp local-port 5000
}

check "the selectors are set" port_selectors
check "IPv6 fragments where selectors have ports arrive" large x fd16::2 $R6 3000

# ICMP errors that nobody on the path sent: an outer packet is quoted.
peers 4
forged()
{
	n r python3 - "$@" <<-'EOT'
		import socket, struct, sys
		family, mtu, code, count = (list(map(int, sys.argv[1:])) + [4, 1])[:4]
		def csum(d):
		    s = sum(struct.unpack(f"!{len(d) // 2}H", d))
		    while s >> 16:
		        s = (s & 0xffff) + (s >> 16)
		    return ~s & 0xffff
		udp = struct.pack("!HHHHI", 4500, 4500, 100, 0, 0x1001)
		p = socket.inet_pton
		if family == 4:
		    a = socket.inet_aton("192.0.2.1") + socket.inet_aton("198.51.100.2")
		    quoted = struct.pack("!BBHHHBBH", 0x45, 0, 120, 0, 0x4000, 64, 17, 0) + a + udp
		    icmp = struct.pack("!BBHHH", 3, code, 0, 0, mtu) + quoted
		    icmp = icmp[:2] + struct.pack("!H", csum(icmp)) + icmp[4:]
		    s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
		    for _ in range(count):
		        s.sendto(icmp, ("192.0.2.1", 0))
		else:
		    a = p(socket.AF_INET6, "2001:db8:3::1") + p(socket.AF_INET6, "2001:db8:2::2")
		    quoted = struct.pack("!IHBB", 6 << 28, 100, 17, 64) + a + udp
		    icmp = struct.pack("!BBHI", 2, 0, 0, mtu) + quoted
		    s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
		    s.sendto(icmp, ("2001:db8:3::1", 0))
	EOT
}
n a ping -q -c 1 -W 2 $R4 >/dev/null
forged 4 100
check "a forged ICMP error with a tiny MTU lowers the path MTU to 576, no further" \
	wait_for 5 pmtu_is 576
check "an IPv4 packet with DF of the MTU that is shown passes" fits "$(peer_mtu)"
check "IPv4 traffic goes on" no_df a 1400
check "IPv6 traffic goes on" fits6 1280
check "large datagrams go on, IPv4" large a $L4 $R4 9000
check "large datagrams go on, IPv6" large a $L6 $R6 9000
forged 4 1400
sleep 0.5
check "a larger MTU in an ICMP error does not raise it" pmtu_is 576
peers 4
n a ping -q -c 1 -W 2 $R4 >/dev/null
forged 4 1290 3 300	# port unreachable
forged 4 1290
check "many other ICMP errors do not keep it from being heard" wait_for 5 pmtu_is 1290
peers 6
n a ping -q -c 1 -W 2 $R4 >/dev/null
forged 6 100
check "over IPv6 it is 1280, no further" wait_for 5 pmtu_is 1280
check "and traffic goes on" fits6 1280

n a espudp set espudp0 pmtu-discovery off
check "pmtu-discovery is shown as off" is "$(dev_get a '.["pmtu-discovery"]')" false
for family in 4 6; do
	peers $family
	n a ping -q -c 1 -W 2 $R4 >/dev/null
	forged $family 1290
	sleep 0.5
	diag "$(ip -n a route get 198.51.100.2 | tr '\n' ' ')"
	check "IPv$family: with pmtu-discovery off no ICMP error lowers the path MTU" pmtu_is 1500
	check "IPv$family: and what exceeds what the route has learned arrives, IPv4" fits 1400
	check "IPv$family: likewise IPv6" fits6 1400
done
ktap_end
