#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A tour of a tunnel through a NAT, and of L2TP/IPsec with several clients behind
# two (demo_l2tp.py), run by "make demo" in a virtual machine.

. "$(dirname "$0")/lib.sh" >/dev/null
. "$(dirname "$0")/tunnel.sh"

if [ -t 1 ]; then bold=$'\e[1m' blue=$'\e[34m' reset=$'\e[0m'; else bold='' blue='' reset=''; fi
failed=''

# say TEXT: what is going on
say()
{
	printf '\n%s\n' "$bold$1$reset"
}

# run NS COMMAND...: show a command as it is typed in that namespace, and do it
run()
{
	local ns=$1

	shift
	printf '%s\n' "$blue$ns# $*$reset"
	n "$ns" "$@"
}

# wanted DESCRIPTION COMMAND...: something that the verdict is about
wanted()
{
	local desc=$1

	shift
	"$@" >/dev/null 2>&1 && return
	failed+="  $desc"$'\n'
	echo "THIS FAILED: $desc"
}

# show_capture FILE LINES [FILTER]
show_capture()
{
	tcpdump -n -t -r "$1" "${@:3}" 2>/dev/null | cut -c -100 | sed "s/^/  /; $2q"
}

mapping()
{
	peer_get gateway client '"\(.remote):\(.["remote-port"])"'
}

cat <<'EOT'

espudp: IPsec ESP in UDP (RFC 3948) for VPN gateways.

A road warrior sits behind a NAT that it does not control. It speaks standard
IPsec; here it is the Linux kernel's own xfrm, so a peer that nobody of this
project wrote. The gateway runs espudp: an IPsec tunnel that is a network
device.

   client                        NAT                         gateway
   +------------------+   +----------------------+   +------------------+
   | 10.1.0.1         |   |      masquerades     |   |         10.2.0.1 |
   | kernel xfrm      |   |                      |   |          espudp0 |
   |      192.168.1.2 |---| .1.1     203.0.113.1 |---| 203.0.113.2:4500 |
   +------------------+   +----------------------+   +------------------+
            \______________ ESP in UDP, AES-GCM ______________/

Each of the three is a network namespace of this virtual machine.
EOT

topo_nat
load_module ''
wire_honest gateway g0
wire_honest nat n1
addr client lo $L4/32
key in 20
key out 20
cp -p "$T/in" "$T/out" /run

say "1. The gateway: a device, a peer, a pair of security associations."
run gateway ip link add espudp0 type espudp
run gateway ip addr add $R4/32 dev espudp0
run gateway ip link set espudp0 up
run gateway espudp socket open espudp0
run gateway espudp peer add espudp0 name client nat-remote yes \
	selector local $R4/32 remote $L4/32
run gateway espudp sa add espudp0 client in spi 0x1001 enc aes-gcm key-file /run/in
run gateway espudp sa add espudp0 client out spi 0x2001 enc aes-gcm key-file /run/out

cat <<'EOT'

The keys come from files, as an IKE daemon or a test would give them. Where the
client is the gateway does not know: it is behind a NAT. It has not said a word
yet:
EOT
run gateway espudp show

say "2. The client: the same, in the words of the kernel's xfrm (the keys are left out here)."
cat <<'EOT'
client# ip xfrm state add src 192.168.1.2 dst 203.0.113.2 proto esp spi 0x1001 ... encap espinudp 4500 4500
client# ip xfrm state add src 203.0.113.2 dst 192.168.1.2 proto esp spi 0x2001 ... encap espinudp 4500 4500
client# ip xfrm policy add src 10.1.0.1/32 dst 10.2.0.1/32 dir out tmpl ... mode tunnel
client# ip xfrm policy add src 10.2.0.1/32 dst 10.1.0.1/32 dir in tmpl ... mode tunnel
EOT
XFRM_ALG=$(xfrm_gcm /run/in) xfrm_sa client 192.168.1.2 203.0.113.2 0x1001 4500 4500
XFRM_ALG=$(xfrm_gcm /run/out) xfrm_sa client 203.0.113.2 192.168.1.2 0x2001 4500 4500
xfrm_policies client left 192.168.1.2 203.0.113.2
natt_socket_start client
run client ip route add $R4 via 192.168.1.1 src $L4

say "3. Traffic. On the wire there is ESP in UDP, on the device clear text."
capture_start gateway g0 "$T/wire.pcap" udp
capture_start gateway espudp0 "$T/device.pcap"
run client ping -c 3 -i 0.3 -W 2 $R4 | tee "$T/ping"
wanted "the client reaches the gateway" grep -q ' 3 received' "$T/ping"
capture_stop "$T/wire.pcap"
capture_stop "$T/device.pcap"
before=$(mapping)

printf '\n%s\n' "gateway# tcpdump -i g0         (the wire)"
show_capture "$T/wire.pcap" 4
printf '\n%s\n' "gateway# tcpdump -i espudp0    (the device)"
show_capture "$T/device.pcap" 4
wanted "on the wire is ESP in UDP" [ "$(capture_count "$T/wire.pcap" 'udp port 4500')" -ge 6 ]
wanted "on the wire is nothing else" [ "$(capture_count "$T/wire.pcap" 'not udp port 4500')" = 0 ]
wanted "on the device is clear text" [ "$(capture_count "$T/device.pcap" icmp)" -ge 6 ]

say "4. The gateway has learnt, from an authenticated packet, where the client is: $before."
run gateway espudp show

say "5. In mid-flow the NAT forgets, and gives the client another port."
capture_start gateway g0 "$T/wire.pcap" udp
n gateway espudp monitor >"$T/monitor" 2>/dev/null &
monitor=$!
printf '%s\n' "${blue}client# ping -i 0.2 -c 40 $R4 &$reset"
pump_start up client $L4 gateway $R4 5001
pump_start down gateway $R4 client $L4 5002
nbg client ping -i 0.2 -c 40 -W 2 $R4 >"$T/ping"
ping=$!
sleep 3
printf '%s\n' "${blue}nat# conntrack -D -p udp${reset}         # and masquerade to other ports from now on"
nat_change_port
wait $ping
pump_stop up down
kill $monitor
wait $monitor 2>/dev/null
capture_stop "$T/wire.pcap"
after=$(mapping)
tail -n 2 "$T/ping" | head -n 1
printf '\n%s\n' "gateway# tcpdump -i g0         (the wire, where the port changes)"
awk -v old="${before##*:}" -v new="${after##*:}" '
	{ line[NR] = $0 }
	!at && index($0, "." new " >") { at = NR }
	END { for (i = at - 3; i < at + 3; i++) if (i > 0) print "  " substr(line[i], 1, 100) }' \
	< <(tcpdump -n -t -r "$T/wire.pcap" 2>/dev/null)
printf '\n%s\n' "gateway# espudp monitor"
sed 's/^/  /' "$T/monitor"

say "6. The tunnel lives. The client's endpoint is $after now."
run gateway espudp show
lost_up=$(pump_lost up | wc -l) lost_down=$(pump_lost down | wc -l)
cat <<EOT

Beside the ping, 100 numbered datagrams a second went both ways all the time:
  client to gateway: $(pump_lines up.sent) sent, $lost_up lost
  gateway to client: $(pump_lines down.sent) sent, $lost_down lost (until the client was heard from its new port)
EOT
wanted "the NAT changed the client's port" [ "$before" != "$after" ]
wanted "the port change is on the wire" [ "$(capture_count "$T/wire.pcap" \
	"src port ${before##*:}")" -gt 0 -a "$(capture_count "$T/wire.pcap" \
	"src port ${after##*:}")" -gt 0 ]
wanted "there is an event that tells of it" grep -q mapping "$T/monitor"
wanted "nothing was lost from the client to the gateway" [ "$lost_up" = 0 ]
wanted "hardly anything was lost from the gateway to the client" \
	[ "$lost_down" -lt $(($(pump_lines down.sent) / 4)) ]
wanted "the ping went on" [ "$(grep -c ttl= "$T/ping")" -ge 35 ]
rm -f /run/in /run/out

ns_del client nat gateway
python3 "$SELFTESTS/demo_l2tp.py" || failed+="  L2TP/IPsec clients behind NATs"$'\n'

if [ -z "$failed" ]; then
	say "VERDICT: the tunnel works, through the NAT and over its change of port; L2TP
clients with equal addresses work, each by itself."
else
	say "VERDICT: FAILED"
	printf '%s' "$failed"
	exit 1
fi
