# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Sourced after lib.sh: the site that the benchmark measures, and the ways
# through it. For each contestant NAME:
#
#	ciphers_NAME		what it can use
#	NAME_up CIPHER		prepare it; $to becomes what the client connects to
#	NAME_down		leave nothing of it
#
# Only one is up at a time, so that nobody pays for another's policies.
#
#	client                    nat                    gateway
#	10.0.0.1 (inner)                                 10.0.0.2 (inner)
#	c0 192.168.1.2 --- n0 192.168.1.1
#	                   n1 203.0.113.1 ------------ g0 203.0.113.2

# Room for every contestant's overhead in 1500 octets.
INNER_MTU=${INNER_MTU:-1420}

# To this port the NAT translates the client's UDP port.
NAT_PORT=20500

# shellcheck disable=SC2034
ciphers_plain=none ciphers_xfrm='gcm128 chacha cbc256' ciphers_wireguard=chacha \
	ciphers_espudp='gcm128 chacha cbc256' ciphers_libipsec='gcm128 chacha cbc256' \
	ciphers_xfrmgro='gcm128 chacha cbc256' ciphers_zones='gcm128 chacha cbc256'

# keys, with salt; of a cipher alone, then of its authentication
declare -A key=(
	[gcm128]=0x000102030405060708090a0b0c0d0e0f10111213
	[chacha]=0x000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20212223
	[cbc256]=0x000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f
)
auth_key=0x000102030405060708090a0b0c0d0e0f10111213

# cipher_words xfrm|espudp CIPHER: how they are told of it
cipher_words()
{
	case $1/$2 in
	xfrm/gcm128)	echo "aead rfc4106(gcm(aes)) ${key[$2]} 128" ;;
	xfrm/chacha)	echo "aead rfc7539esp(chacha20,poly1305) ${key[$2]} 128" ;;
	xfrm/cbc256)	echo "auth-trunc hmac(sha1) $auth_key 96 enc cbc(aes) ${key[$2]}" ;;
	espudp/gcm128)	echo "enc aes-gcm key-file $T/key-$2" ;;
	espudp/chacha)	echo "enc chacha20-poly1305 key-file $T/key-$2" ;;
	espudp/cbc256)	echo "enc aes-cbc key-file $T/key-$2 auth sha1 auth-key-file $T/key-auth" ;;
	esac
}

# Whether the outer devices segment and merge:
#   default  as veth comes: TCP and UDP super-packets cross it whole, no GRO
#   gro      GRO at the receiving ends, and so no TSO at the sending ends
#   nic      likewise, and no segmentation of UDP: each datagram is one on the wire
bench_site()
{
	local end

	topo_nat
	n nat nft -f - <<-EOT
	delete table inet nat
	table inet nat {
		chain postrouting {
			type nat hook postrouting priority srcnat
			oifname n1 meta l4proto udp masquerade to :$NAT_PORT
			oifname n1 masquerade
		}
	}
	EOT
	case ${OFFLOADS:-default} in
	default) ;;
	gro | nic)
		for end in "client c0" "nat n0" "nat n1" "gateway g0"; do
			# shellcheck disable=SC2086
			n ${end% *} ethtool -K ${end#* } gro on tso off >/dev/null
			# shellcheck disable=SC2086
			[ "$OFFLOADS" = gro ] ||
				n ${end% *} ethtool -K ${end#* } tx-udp-segmentation off >/dev/null
		done ;;
	*)	echo "no such offload setting: $OFFLOADS"; exit 1 ;;
	esac
}

nothing_on_port()
{
	[ -z "$(n "$1" ss -Hlun "sport = $2")" ]
}

something_on_port()
{
	! nothing_on_port "$1" "$2"
}

plain_up()
{
	to=203.0.113.2
}

plain_down()
{
	:
}

# xfrm_end NS OUTER OUTER-PORT PEER PEER-PORT INNER INNER-PEER SPI-IN SPI-OUT GATEWAY CIPHER
xfrm_end()
{
	local ns=$1 outer=$2 port=$3 peer=$4 peer_port=$5 inner=$6 inner_peer=$7
	local spi_in=$8 spi_out=$9 gateway=${10} cipher=${11} words

	read -ra words < <(cipher_words xfrm "$cipher")
	ip -n "$ns" xfrm state add src "$outer" dst "$peer" proto esp spi "$spi_out" \
		mode tunnel reqid 1 replay-window 1024 "${words[@]}" \
		encap espinudp "$port" "$peer_port" 0.0.0.0
	ip -n "$ns" xfrm state add src "$peer" dst "$outer" proto esp spi "$spi_in" \
		mode tunnel reqid 1 replay-window 1024 "${words[@]}" \
		encap espinudp "$peer_port" "$port" 0.0.0.0
	ip -n "$ns" xfrm policy add dir out src "$inner/32" dst "$inner_peer/32" \
		tmpl src "$outer" dst "$peer" proto esp mode tunnel reqid 1
	ip -n "$ns" xfrm policy add dir in src "$inner_peer/32" dst "$inner/32" \
		tmpl src "$peer" dst "$outer" proto esp mode tunnel reqid 1
	ip -n "$ns" addr add "$inner/32" dev lo
	ip -n "$ns" route add "$inner_peer" via "$gateway" src "$inner" mtu "$INNER_MTU"

	xfrm_socket "$ns"
}

# xfrm_socket NS: which takes ESP in UDP; with $gro, also at GRO time
xfrm_socket()
{
	# shellcheck disable=SC2016
	nbg "$1" perl -MSocket=:DEFAULT,IPPROTO_UDP -we '
		my ($UDP_ENCAP, $UDP_GRO, $UDP_ENCAP_ESPINUDP) = (100, 104, 2);
		socket(my $s, PF_INET, SOCK_DGRAM, IPPROTO_UDP) or die $!;
		@ARGV and (setsockopt($s, IPPROTO_UDP, $UDP_GRO, 1) or die $!);
		setsockopt($s, IPPROTO_UDP, $UDP_ENCAP, $UDP_ENCAP_ESPINUDP) or die $!;
		bind($s, sockaddr_in(4500, INADDR_ANY)) or die $!;
		sleep' ${gro:+gro}
	xfrm_sockets+=($!)
	wait_for 60 something_on_port "$1" 4500
}

xfrm_up()
{
	to=10.0.0.2
	xfrm_sockets=()
	gro=${2-}
	xfrm_end client 192.168.1.2 4500 203.0.113.2 4500 10.0.0.1 10.0.0.2 0x2001 0x1001 \
		192.168.1.1 "$1" &&
	xfrm_end gateway 203.0.113.2 4500 203.0.113.1 $NAT_PORT 10.0.0.2 10.0.0.1 0x1001 0x2001 \
		203.0.113.1 "$1"
}

xfrm_gone()
{
	local ns

	kill "${xfrm_sockets[@]}"
	wait "${xfrm_sockets[@]}" 2>/dev/null
	for ns in client gateway; do
		ip -n $ns xfrm policy flush
		ip -n $ns xfrm state flush
	done
}

xfrm_down()
{
	xfrm_gone
	ip -n client route del 10.0.0.2
	ip -n gateway route del 10.0.0.1
	ip -n client addr del 10.0.0.1/32 dev lo
	ip -n gateway addr del 10.0.0.2/32 dev lo
}

# The same where ESP is put together: Linux 6.8 can.
xfrmgro_up()
{
	xfrm_up "$1" gro
}

xfrmgro_down()
{
	xfrm_down
	gro=''
}

# strongSwan's ESP in user space. The MTU of its device is 1400, whatever one sets.
libipsec_up()
{
	to=10.0.0.2
	ip -n client addr add 10.0.0.1/32 dev lo &&
	ip -n gateway addr add 10.0.0.2/32 dev lo || return 1
	rm -f "$T/libipsec"
	ESPUDP_RUNNER=bench "$SELFTESTS/bench/libipsec.py" "$1" >"$T/libipsec" 2>&1 &
	libipsec=$!
	wait_for 60 grep -q ready "$T/libipsec"
	cat "$T/libipsec"
	grep -q '^ready' "$T/libipsec"
}

libipsec_down()
{
	kill "$libipsec"
	wait "$libipsec"
	ip -n client addr del 10.0.0.1/32 dev lo
	ip -n gateway addr del 10.0.0.2/32 dev lo
}

wireguard_up()
{
	local ns

	to=10.0.0.2
	for ns in client gateway; do
		[ -s "$T/wg-$ns" ] || (umask 077; wg genkey >"$T/wg-$ns")
		ip -n $ns link add tun0 mtu "$INNER_MTU" type wireguard &&
		n $ns wg set tun0 listen-port 51820 private-key "$T/wg-$ns" || return 1
	done
	n client wg set tun0 peer "$(wg pubkey <"$T/wg-gateway")" allowed-ips 10.0.0.2/32 \
		endpoint 203.0.113.2:51820 &&
	n gateway wg set tun0 peer "$(wg pubkey <"$T/wg-client")" allowed-ips 10.0.0.1/32 &&
	tun_up
}

wireguard_down()
{
	ip -n client link del tun0
	ip -n gateway link del tun0
}

# without link-local addresses, whose chatter would be counted as drops
tun_up()
{
	ip -n client link set tun0 addrgenmode none &&
	ip -n gateway link set tun0 addrgenmode none &&
	ip -n client addr add 10.0.0.1/32 dev tun0 &&
	ip -n client link set tun0 up &&
	ip -n client route replace 10.0.0.2 dev tun0 src 10.0.0.1 &&
	ip -n gateway addr add 10.0.0.2/32 dev tun0 &&
	ip -n gateway link set tun0 up &&
	ip -n gateway route replace 10.0.0.1 dev tun0 src 10.0.0.2
}

# write_keys CIPHER: for espudp
write_keys()
{
	(umask 077; echo "${key[$1]}" >"$T/key-$1"; echo "$auth_key" >"$T/key-auth")
}

# espudp_end NS OUTER PEER PEER-PORT INNER INNER-PEER SPI-IN SPI-OUT CIPHER
espudp_end()
{
	local ns=$1 outer=$2 peer=$3 peer_port=$4 inner=$5 inner_peer=$6
	local spi_in=$7 spi_out=$8 cipher=$9 id words

	write_keys "$cipher"
	read -ra words < <(cipher_words espudp "$cipher")
	ip -n "$ns" link add tun0 mtu "$INNER_MTU" type espudp &&
	n "$ns" espudp socket open tun0 port 4500 ipv4 &&
	id=$(n "$ns" espudp peer add tun0 local "$outer" remote "$peer:$peer_port" routes none \
		selector local "$inner/32" remote "$inner_peer/32") &&
	n "$ns" espudp sa add tun0 "$id" in spi "$spi_in" "${words[@]}" &&
	n "$ns" espudp sa add tun0 "$id" out spi "$spi_out" "${words[@]}"
}

espudp_up()
{
	to=10.0.0.2
	espudp_end client 192.168.1.2 203.0.113.2 4500 10.0.0.1 10.0.0.2 0x2001 0x1001 "$1" &&
	espudp_end gateway 203.0.113.2 203.0.113.1 $NAT_PORT 10.0.0.2 10.0.0.1 0x1001 0x2001 "$1" &&
	tun_up
}

espudp_down()
{
	ip -n client link del tun0
	ip -n gateway link del tun0
	wait_for 60 nothing_on_port client 4500
	wait_for 60 nothing_on_port gateway 4500
}

# Many peers, all behind the NAT's one address and port: the gateway's ends inside are
# 10.128.0.1 and those behind it, one for each peer.
MANY=10.128.0.0/16

# many_lines xfrm|espudp client|gateway N CIPHER: what the end is told of N peers; the
# commands of "ip -batch", or a file for "espudp setconf"
many_lines()
{
	local outer peer port=$NAT_PORT mine=4500

	case $2 in
	client)		outer=192.168.1.2 peer=203.0.113.2 port=4500 ;;
	gateway)	outer=203.0.113.2 peer=203.0.113.1 ;;
	esac
	# shellcheck disable=SC2016 # awk
	awk -v who="$1" -v end="$2" -v n="$3" -v words="$(cipher_words "$1" "$4")" -v outer=$outer \
		-v peer=$peer -v port=$port -v mine=$mine '
	function state(from, to, spi, sport, dport) {
		printf "xfrm state add src %s dst %s proto esp spi 0x%x mode tunnel reqid %d " \
			"replay-window 1024 %s encap espinudp %d %d 0.0.0.0\n",
			from, to, spi, i, words, sport, dport
	}
	function policy(dir, src, dst, from, to) {
		printf "xfrm policy add dir %s src %s/32 dst %s/32 tmpl src %s dst %s " \
			"proto esp mode tunnel reqid %d\n", dir, src, dst, from, to, i
	}
	function sa(dir, spi) {
		printf "[SA]\nDirection = %s\nSPI = 0x%x\n%s", dir, spi, keys
	}
	BEGIN {
		if (who == "espudp") {
			split(words, w)
			keys = "Encryption = " w[2] "\nKeyFile = " w[4] "\n"
			if (w[5]) keys = keys "Authentication = " w[6] "\nAuthKeyFile = " w[8] "\n"
			print "[Device]\nPort = 4500\nListen = own"
		}
		for (i = 1; i <= n; i++) {
			many = sprintf("10.128.%d.%d", i / 256, i % 256)
			up = 65536 + i; down = 131072 + i
			near = end == "client" ? "10.0.0.1" : many
			far = end == "client" ? many : "10.0.0.1"
			out = end == "client" ? up : down
			inward = end == "client" ? down : up
			if (who == "xfrm") {
				state(outer, peer, out, mine, port)
				state(peer, outer, inward, port, mine)
				policy("out", near, far, outer, peer)
				policy("in", far, near, peer, outer)
			} else {
				print "[Peer]\nId = " i "\nLocal = " outer "\nRemote = " peer ":" port
				print "Routes = none\nKeepalive = off"
				print "Selector = local " near "/32 remote " far "/32"
				sa("in", inward)
				sa("out", out)
			}
		}
	}'
}

# many_files CONTESTANT N CIPHER: written before the time is taken
many_files()
{
	local end

	write_keys "$3"
	for end in client gateway; do
		many_lines "$1" $end "$2" "$3" >"$T/many-$end"
	done
}

# NAME_many END: install what many_files() wrote. NAME_many_gone END: delete it.
xfrm_many()
{
	ip -n "$1" -batch "$T/many-$1"
}

xfrm_many_gone()
{
	ip -n "$1" xfrm policy flush && ip -n "$1" xfrm state flush
}

espudp_many()
{
	n "$1" espudp setconf tun0 "$T/many-$1"
}

espudp_many_gone()
{
	n "$1" espudp flush tun0 peers
}

many_routes()
{
	ip -n gateway route replace local $MANY dev lo
}

xfrm_many_up()
{
	to=10.128.0.1
	xfrm_sockets=()
	many_files xfrm "$2" "$1"
	many_routes
	xfrm_socket client
	xfrm_socket gateway
	ip -n client addr add 10.0.0.1/32 dev lo
	ip -n client route add $MANY via 192.168.1.1 src 10.0.0.1 mtu "$INNER_MTU"
	ip -n gateway route add 10.0.0.1 via 203.0.113.1 mtu "$INNER_MTU"
	xfrm_many client && xfrm_many gateway
}

xfrm_many_down()
{
	kill "${xfrm_sockets[@]}"
	wait "${xfrm_sockets[@]}" 2>/dev/null
	xfrm_many_gone client
	xfrm_many_gone gateway
	ip -n client route del $MANY
	ip -n client addr del 10.0.0.1/32 dev lo
	ip -n gateway route del 10.0.0.1
}

espudp_many_up()
{
	local end

	to=10.128.0.1
	many_files espudp "$2" "$1"
	many_routes
	for end in client gateway; do
		ip -n $end link add tun0 mtu "$INNER_MTU" type espudp &&
		espudp_many $end || return 1
	done
	tun_up
	ip -n client route replace $MANY dev tun0 src 10.0.0.1
}

espudp_many_down()
{
	espudp_down
}

# contestant_up NAME CIPHER [many|l2tp [PEERS]]: until it carries packets both ways
contestant_up()
{
	"$1${3:+_$3}_up" "$2" ${4:+"$4"} && n client ping -q -c 1 -W 5 "$to"
}

# contestant_down NAME [many|l2tp]
contestant_down()
{
	"$1${2:+_$2}_down"
}
