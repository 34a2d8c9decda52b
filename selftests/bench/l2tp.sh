# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Sourced after contestants.sh: L2TP with PPP, all in the kernel, over transport mode:
#
#	NAME_l2tp_up CIPHER	prepare it; $to becomes what the client connects to
#	NAME_l2tp_down		leave nothing of it
#
# "plain" is L2TP without IPsec. "zones" is xfrm at a gateway that has been told how to
# tell clients behind one NAT apart: by marks, conntrack zones and NAT.

# PPP's; the ESP packet of every cipher is below 1500 octets
PPP_MTU=1400
# With L2TP, UDP and IP: what of them is not to be cut in pieces.
L2TP_MTU=1440

ends=()

# l2tp_end NS LOCAL PEER PORT INNER INNER-PEER
l2tp_end()
{
	rm -f "$T/l2tp-$1"
	nbg "$1" pppol2tp "$2" "$3" "$4" >"$T/l2tp-$1"
	ends+=($!)
	wait_for 60 grep -q ready "$T/l2tp-$1" &&
	ip -n "$1" link set ppp0 mtu $PPP_MTU up &&
	ip -n "$1" addr add "$5" peer "$6" dev ppp0
}

# l2tp_up PEER PORT: what the gateway takes the client for
l2tp_up()
{
	to=10.0.0.2
	ends=()
	l2tp_end client 192.168.1.2 203.0.113.2 1701 10.0.0.1 10.0.0.2 &&
	l2tp_end gateway 203.0.113.2 "$1" "$2" 10.0.0.2 10.0.0.1
}

ppp_gone()
{
	! ip -n "$1" link show ppp0
}

l2tp_down()
{
	kill "${ends[@]}"
	wait "${ends[@]}" 2>/dev/null
	wait_for 60 ppp_gone client
	wait_for 60 ppp_gone gateway
}

plain_l2tp_up()
{
	l2tp_up 203.0.113.1 "$NAT_PORT"
}

plain_l2tp_down()
{
	l2tp_down
}

# xfrm_transport NS LOCAL PORT PEER PEER-PORT SPI-IN SPI-OUT CIPHER [MARK]
xfrm_transport()
{
	local ns=$1 local=$2 port=$3 peer=$4 peer_port=$5 in=$6 out=$7 words
	local mark=(${9:+mark "$9"}) set=(${9:+output-mark "$9"})
	local udp=(proto udp sport 1701 dport 1701)

	read -ra words < <(cipher_words xfrm "$8")
	ip -n "$ns" xfrm state add src "$local" dst "$peer" proto esp spi "$out" "${mark[@]}" \
		mode transport reqid 1 replay-window 1024 "${words[@]}" \
		encap espinudp "$port" "$peer_port" 0.0.0.0 &&
	ip -n "$ns" xfrm state add src "$peer" dst "$local" proto esp spi "$in" \
		mode transport reqid 1 replay-window 1024 "${set[@]}" "${words[@]}" \
		encap espinudp "$peer_port" "$port" 0.0.0.0 &&
	ip -n "$ns" xfrm policy add dir out src "$local/32" dst "$peer/32" "${udp[@]}" "${mark[@]}" \
		tmpl proto esp reqid 1 mode transport &&
	ip -n "$ns" xfrm policy add dir in src "$peer/32" dst "$local/32" "${udp[@]}" "${mark[@]}" \
		tmpl proto esp reqid 1 mode transport &&
	xfrm_socket "$ns"
}

xfrm_l2tp_up()
{
	xfrm_sockets=()
	xfrm_transport client 192.168.1.2 4500 203.0.113.2 4500 0x2001 0x1001 "$1" &&
	xfrm_transport gateway 203.0.113.2 4500 203.0.113.1 "$NAT_PORT" 0x1001 0x2001 "$1" &&
	l2tp_up 203.0.113.1 1701
}

xfrm_l2tp_down()
{
	l2tp_down
	xfrm_gone
}

# The client's first packet tells which address and port the gateway's NAT has for it.
zones_client()
{
	n client ping -q -c 1 -W 1 10.0.0.2 >/dev/null
	n gateway conntrack -L -p udp --orig-port-dst 1701 2>/dev/null |
		sed -n 's/.*src=203.0.113.2 dst=\(10.255[^ ]*\) sport=1701 dport=\([0-9]*\).*/\1 \2/p' |
		grep .
}

# zone TABLE CHAIN RULE...
zone()
{
	n gateway iptables-legacy -t "$1" -A "${@:2}"
}

# test_l2tp_today.py has it with real daemons.
zones_l2tp_up()
{
	local ipsec=(-p udp --dport 1701 -m policy --dir in --pol ipsec)

	# shellcheck disable=SC2034
	xfrm_sockets=()
	xfrm_transport client 192.168.1.2 4500 203.0.113.2 4500 0x2001 0x1001 "$1" &&
	xfrm_transport gateway 203.0.113.2 4500 203.0.113.1 "$NAT_PORT" 0x1001 0x2001 "$1" 1 &&
	ip -n gateway route add 10.255.0.0/16 via 203.0.113.1 &&
	zone raw PREROUTING "${ipsec[@]}" -j CT --zone-orig mark &&
	zone mangle INPUT "${ipsec[@]}" -j CONNMARK --save-mark &&
	zone nat INPUT "${ipsec[@]}" -j SNAT --to-source 10.255.0.1-10.255.255.254 &&
	zone mangle OUTPUT -p udp --sport 1701 -d 10.255.0.0/16 -j CONNMARK --restore-mark ||
		return 1
	# shellcheck disable=SC2034
	to=10.0.0.2
	ends=()
	l2tp_end client 192.168.1.2 203.0.113.2 1701 10.0.0.1 10.0.0.2 &&
	wait_for 60 zones_client || return 1
	# shellcheck disable=SC2046
	l2tp_end gateway 203.0.113.2 $(zones_client) 10.0.0.2 10.0.0.1
}

zones_l2tp_down()
{
	local table

	l2tp_down
	xfrm_gone
	for table in raw mangle nat; do
		n gateway iptables-legacy -t $table -F
	done
	ip -n gateway route del 10.255.0.0/16
	n gateway conntrack -F
}

# The client as the manual has it, the gateway with virtual addresses.
espudp_l2tp_up()
{
	local id words

	write_keys "$1"
	read -ra words < <(cipher_words espudp "$1")
	ip -n client link add tun0 mtu $L2TP_MTU type espudp &&
	n client espudp socket open tun0 port 4500 ipv4 &&
	id=$(n client espudp peer add tun0 mode transport local 192.168.1.2 \
		remote 203.0.113.2:4500 routes none \
		selector local 192.168.1.2 remote 203.0.113.2 proto udp local-port 1701) &&
	n client espudp sa add tun0 "$id" in spi 0x2001 "${words[@]}" &&
	n client espudp sa add tun0 "$id" out spi 0x1001 "${words[@]}" &&
	ip -n client link set tun0 addrgenmode none up &&
	ip -n client route add 203.0.113.2 dev tun0 src 192.168.1.2 table 51 &&
	ip -n client rule add to 203.0.113.2 ipproto udp dport 1701 lookup 51 || return 1

	ip -n gateway link add tun0 mtu $L2TP_MTU type espudp &&
	n gateway espudp set tun0 pool 10.254.0.0/24 &&
	n gateway espudp socket open tun0 port 4500 ipv4 &&
	ip -n gateway link set tun0 addrgenmode none up &&
	id=$(n gateway espudp peer add tun0 mode transport local 203.0.113.2 \
		remote "203.0.113.1:$NAT_PORT" \
		selector local 203.0.113.2 remote 203.0.113.1 proto udp local-port 1701) &&
	n gateway espudp sa add tun0 "$id" in spi 0x1001 "${words[@]}" &&
	n gateway espudp sa add tun0 "$id" out spi 0x2001 "${words[@]}" &&
	l2tp_up "$(n gateway espudp show tun0 --json | jq -r '.[0].peer[0].virtual')" 1701
}

espudp_l2tp_down()
{
	l2tp_down
	ip -n client rule del to 203.0.113.2 ipproto udp dport 1701 lookup 51
	espudp_down
}
