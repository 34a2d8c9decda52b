#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The life of SAs: rekey, reserved SPIs, lifetimes, acquire, loss of the
# socket, failure events, counters.
#
#   a: espudp0                        b: espudp0
#   10.1.0.1   198.51.100.1 --- 198.51.100.2   10.2.0.1
#   fd10:1::1                                  fd10:2::1
#
# KERNELS: 6.1 6.12 debug
# SAMPLE: 6.12 debug
# TIMEOUT: 400
# shellcheck disable=SC2317	# functions are called by check and wait_for

. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/tunnel.sh"
need gojq

topo_direct
load_module ''
tun_direct 4
check "two devices reach each other, IPv4 inside" wait_for 10 n a ping -q -c 1 -W 1 $R4
check "two devices reach each other, IPv6 inside" wait_for 10 n a ping -q -c 1 -W 1 $R6

# used NS in|out SPI: packets of an SA
used()
{
	sa_get "$1" "$2" "$3" .packets
}

# What comes to the inner addresses' port 5000, all the time.
nbg b pump recv $R4 5000 >"$T/burst.b"
nbg a pump recv $L4 5000 >"$T/burst.a"
wait_for 20 bound b 5000
wait_for 20 bound a 5000

# burst FROM-NS FROM TO-NS TO NUMBER [OPTION...]: sends so many datagrams and
# prints how many arrived
burst()
{
	local from_ns=$1 from=$2 to_ns=$3 to=$4 number=$5 before

	shift 5
	before=$(pump_lines "burst.$to_ns")
	n "$from_ns" pump send -s "$from" -r 500 -n "$number" "$@" "$to" 5000 >"$T/burst.sent"
	wait_for 1 arrived "burst.$to_ns" $((before + number))
	echo $(($(pump_lines "burst.$to_ns") - before))
}

# one_by_one N: of N packets, each sent when the one before had its time
one_by_one()
{
	local i got=0

	for ((i = 0; i < $1; i++)); do
		got=$((got + $(burst a $L4 b $R4 1)))
	done
	echo $got
}

larval_is()
{
	[ "$(counter b rx-spi-larval)" = "$1" ]
}

arrived()
{
	[ "$(pump_lines "$1")" -ge "$2" ]
}

is_gone()
{
	[ -z "$(sa_get "$1" "$2" "$3" .state)" ]
}

failures()
{
	is "$(peer_get b "$1" ".stats.drop[\"$2\"] // 0")" "$3"
}

# replays_told N: in at most three events
replays_told()
{
	is "$(jq -s 'map(select(.type == "replay") | .count) | add, length < 4' "$T/events" |
		xargs)" "$1 true"
}

sa_used_is()
{
	is "$(used "$1" "$2" "$3")" "$4"
}

##
# Rekey
##

# As an IKE daemon does: the new SAs in, then out, then the old ones go.
rekey()
{
	local right=$1 left=$2 old_right=$3 old_left=$4 ns

	tun_sa a 1 in "$left"
	tun_sa b 1 in "$right"
	tun_sa a 1 out "$right"
	tun_sa b 1 out "$left"
	wait_for 5 sa_busy a in "$left"
	wait_for 5 sa_busy b in "$right"
	n a espudp sa del espudp0 out 1 spi "$old_right"
	n b espudp sa del espudp0 out 1 spi "$old_left"
	n a espudp sa del espudp0 in spi "$old_left"
	n b espudp sa del espudp0 in spi "$old_right"
}

sa_busy()
{
	[ "$(used "$1" "$2" "$3")" -gt 0 ]
}

pump_start right a $L4 b $R4 5001 -r 200
pump_start left b $R4 a $L4 5002 -r 200
rekeys=5
for ((i = 1; i <= rekeys; i++)); do
	rekey $((0x1001 + i)) $((0x2001 + i)) $((0x1000 + i)) $((0x2000 + i))
	sleep 0.3
done
pump_stop right left
check "nothing is lost over $rekeys rekeys under traffic, to the right" lossless right
check "nothing is lost over $rekeys rekeys under traffic, to the left" lossless left
check "nothing arrives twice" is "$(pump_twice right)$(pump_twice left)" ""
check "only the newest SAs are left" is "$(dev_get a .sas)$(dev_get b .sas)" 22
right=$((0x1001 + rekeys)) left=$((0x2001 + rekeys))

tun_sa b 1 in 0x1101
before=$(used a out $right)
tun_sa a 1 out 0x1101
check "the newest outbound SA is shown as the one in use" \
	is "$(peer_get a 1 '.["spi-out"]')" $((0x1101))
check "a burst over it arrives" is "$(burst a $L4 b $R4 20)" 20
check "the newest outbound SA is the one that is used" is "$(used a out 0x1101)" 20
check "the older one is not" is "$(used a out $right)" "$before"
n a espudp sa del espudp0 out 1 spi 0x1101
check "when it is deleted the older one is used again" is "$(burst a $L4 b $R4 10)" 10
check "the old inbound SA was accepted all the time" is "$(used b in $right)" $((before + 10))

out_is()
{
	is "$(peer_get a 1 '.["spi-out"]')" $(($1))
}

tun_sa a 1 out 0x1101 standby 30000
check "while one stands by, packets arrive" is "$(burst a $L4 b $R4 5)" 5
check "over the older one" is "$(used a out 0x1101)$(out_is $right && echo older)" 0older
n a espudp sa del espudp0 out 1 spi 0x1101
standby=1500
[ -z "${DEBUG_KERNEL-}" ] || standby=8000
tun_sa a 1 out 0x1101 standby $standby seq 1000
check "how long it will is told" [ "$(sa_get a out 0x1101 .standby)" -gt 0 ]
check "after that time it is the one in use" \
	wait_for $((standby / 1000 + 4)) out_is 0x1101
check "packets arrive over it" is "$(burst a $L4 b $R4 5) $(used a out 0x1101)" "5 5"
check "and nothing is told any more" is "$(sa_get a out 0x1101 .standby)" null
n a espudp sa del espudp0 out 1 spi 0x1101
n b espudp sa del espudp0 in spi $right
unknown=$(counter b rx-spi-unknown)
check "an inbound SA that was deleted is not accepted" is "$(burst a $L4 b $R4 5)" 0
check "its packets count as of an unknown SPI" \
	is "$(counter b rx-spi-unknown)" $((unknown + 5))
check "the record of unknown SPIs has SPI, sender and number" is "$(dev_get b \
	".[\"unknown-spi\"][] | select(.spi == $right) |
	 \"\(.remote) \(.[\"remote-port\"]) \(.count)\"")" "198.51.100.1 4500 5"
n a espudp flush espudp0 sas
n b espudp flush espudp0 sas
check "flush deletes all SAs and no peer" is "$(dev_get a '"\(.sas) \(.peers)"')" "0 1"
tun_sa a 1 out 0x1101 standby 30000
check "one that stands by is used if there is no other" out_is 0x1101
tun_sa a 1 out 0x1103 standby 30000
check "still, when another one stands by for less long" out_is 0x1101
tun_sa a 1 out 0x1102
check "not if there is one that does not" out_is 0x1102
n a espudp sa del espudp0 out 1 spi 0x1102
check "and when that one is gone" out_is 0x1101
n a espudp sa del espudp0 out 1 spi 0x1101
check "then the next" out_is 0x1103
n a espudp flush espudp0 sas

##
# Counters: what was sent is what is shown, for device, peer and SA
##
tun_pair 0x1001 0x2001
counters_agree()
{
	local ns=$1 dir=$2 spi=$3 packets=$4 bytes=$5 xx

	xx=$([ "$dir" = in ] && echo rx || echo tx)
	is "$(counter "$ns" "$xx-packets") $(counter "$ns" "$xx-bytes")" \
		"$((dev_packets + packets)) $((dev_bytes + bytes))" &&
	is "$(peer_get "$ns" 1 ".stats | \"\(.[\"$xx-packets\"]) \(.[\"$xx-bytes\"])\"")" \
		"$((peer_packets + packets)) $((peer_bytes + bytes))" &&
	is "$(sa_get "$ns" "$dir" "$spi" ".stats | \"\(.[\"$xx-packets\"]) \(.[\"$xx-bytes\"])\"")" \
		"$packets $bytes" &&
	is "$(sa_get "$ns" "$dir" "$spi" '"\(.packets) \(.bytes)"')" "$packets $bytes"
}

# counters_before NS rx|tx
counters_before()
{
	dev_packets=$(counter "$1" "$2-packets") dev_bytes=$(counter "$1" "$2-bytes")
	peer_packets=$(peer_get "$1" 1 ".stats[\"$2-packets\"]")
	peer_bytes=$(peer_get "$1" 1 ".stats[\"$2-bytes\"]")
}

counters_before a tx
check "50 datagrams of 100 octets arrive" is "$(burst a $L4 b $R4 50 -l 100)" 50
check "the sender's device, peer and SA counted 50 packets of 128 octets" \
	counters_agree a out 0x1001 50 6400
n a espudp flush espudp0 sas
n b espudp flush espudp0 sas
tun_pair 0x1001 0x2001
counters_before b rx
check "50 more arrive" is "$(burst a $L4 b $R4 50 -l 100)" 50
check "the receiver's device, peer and SA counted 50 packets of 128 octets" \
	counters_agree b in 0x1001 50 6400

##
# Reserved SPIs
##
spi=$(n b espudp sa reserve espudp0 peer 1 timeout 60)
check "an SPI is reserved and printed in hexadecimal" grep -qE '^0x[0-9a-f]{8}$' <<<"$spi"
check "it is shown as reserved" is "$(sa_get b in "$spi" .state)" reserved
larval=$(counter b rx-spi-larval)
tun_sa a 1 out "$spi"
check "packets that come for it are not accepted" is "$(burst a $L4 b $R4 3)" 0
check "and have, after a while, a reason of their own" \
	wait_for 10 larval_is $((larval + 3))
id=$(n b espudp peer add espudp0 name other)
check "another peer cannot have it" not tun_sa b "$id" in "$spi"
check "it is completed with keys" tun_sa b 1 in "$spi"
check "and accepts packets then" is "$(burst a $L4 b $R4 3)" 3
n a espudp sa del espudp0 out 1 spi "$spi"

for i in 1 2 3; do
	n b espudp sa reserve espudp0 min 5000 max 5002 >>"$T/reserved"
done
check "reservations keep to their range, and no SPI is given twice" \
	is "$(sort -u "$T/reserved" | tr '\n' ' ')" "0x00001388 0x00001389 0x0000138a "
check "when it is used up, another one is refused" \
	not n b espudp sa reserve espudp0 min 5000 max 5002
n b espudp sa del espudp0 in spi 5001
check "one that was given up is to be had again" \
	is "$(n b espudp sa reserve espudp0 min 5000 max 5002)" 0x00001389
check "a range with SPIs below 256 is refused" \
	not n b espudp sa reserve espudp0 min 255 max 300

events_start b
n b espudp sa reserve espudp0 peer 1 min 6000 max 6000 timeout 1 >/dev/null
check "a reservation that is not completed expires, with an event" wait_for 10 event_is \
	'.type == "expire-hard" and .cause == "reservation" and .spi == 6000' 1
check "and is gone" wait_for 5 is_gone b in 6000
n b espudp sa reserve espudp0 min 6000 max 6000 timeout 1 >/dev/null
tun_sa b 1 in 6000
sleep 2.5
check "one that was completed does not" is "$(sa_get b in 6000 .state)" valid
events_stop

##
# Lifetimes, an older SA being there to go on with
##
fresh()
{
	n a espudp flush espudp0 sas
	n b espudp flush espudp0 sas
	tun_pair 0x1001 0x2001
}

# limits_to in|out WORD...: sets the arrays in and out
limits_to()
{
	in=() out=()
	[ "$1" = in ] || out=("${@:2}")
	[ "$1" = out ] || in=("${@:2}")
}

# expired NS soft|hard in|out SPI CAUSE: for wait_for
expired()
{
	event_is ".type == \"expire-$2\" and .dir == \"$3\" and .spi == $(($4)) and
		  .cause == \"$5\" and .peer == 1" 1
}

fresh
events_start a
tun_sa b 1 in 0x1002
tun_sa a 1 out 0x1002 soft-packets 10 hard-packets 20
check "out: packets up to a soft limit pass" is "$(burst a $L4 b $R4 9)" 9
check "out: no event below it" event_is true 0
check "out: the packet that reaches it passes" is "$(burst a $L4 b $R4 1)" 1
check "out: and makes an event" wait_for 5 expired a soft out 0x1002 packets
check "out: the SA is shown as past its soft lifetime" is "$(sa_get a out 0x1002 .state)" soft
check "out: it is still used" is "$(burst a $L4 b $R4 9)" 9
check "out: at the hard limit the older SA takes over, nothing is lost" is "$(one_by_one 5)" 5
check "out: up to it all packets went by the newer" is "$(used b in 0x1002)" 20
check "out: at the hard limit there is an event" wait_for 5 expired a hard out 0x1002 packets
check "out: not one packet more than the hard limit went by it" is "$(used b in 0x1002)" 20
check "out: it is gone" wait_for 5 is_gone a out 0x1002
check "out: the older SA goes on" is "$(burst a $L4 b $R4 5)" 5
check "out: soft and hard events came once" event_is '.spi == 4098' 2
events_stop

fresh
events_start b
tun_sa b 1 in 0x1002 soft-packets 10 hard-packets 20
tun_sa a 1 out 0x1002
check "in: packets up to a soft limit pass" is "$(burst a $L4 b $R4 10)" 10
check "in: and it makes an event" wait_for 5 expired b soft in 0x1002 packets
check "in: exactly the hard limit's packets pass" is "$(burst a $L4 b $R4 20)" 10
check "in: and it makes an event" wait_for 5 expired b hard in 0x1002 packets
check "in: the SA is gone" wait_for 5 is_gone b in 0x1002
check "in: the peer's other SAs are not" is "$(peer_get b 1 '.sa | length')" 2
n a espudp sa del espudp0 out 1 spi 0x1002
check "in: and go on" is "$(burst a $L4 b $R4 5)" 5
events_stop

for dir in out in; do
	fresh
	ns=a
	[ $dir = out ] || ns=b
	events_start $ns
	limits_to $dir soft-bytes 1000 hard-bytes 2000
	tun_sa b 1 in 0x1002 "${in[@]}"
	tun_sa a 1 out 0x1002 "${out[@]}"
	burst a $L4 b $R4 9 -l 72 >/dev/null
	check "$dir: no event below a soft limit of octets" event_is true 0
	burst a $L4 b $R4 1 -l 72 >/dev/null
	check "$dir: reaching it makes an event" wait_for 5 expired $ns soft $dir 0x1002 bytes
	# one at a time: octets may overshoot by a batch
	for i in {1..12}; do
		burst a $L4 b $R4 1 -l 72 >>"$T/bytes.$dir"
	done
	check "$dir: so does reaching a hard one" wait_for 5 expired $ns hard $dir 0x1002 bytes
	check "$dir: the SA is gone" wait_for 5 is_gone $ns $dir 0x1002
	if [ $dir = in ]; then
		check "in: the packets up to the hard limit of octets were delivered, no more" \
			is "$(grep -c 1 "$T/bytes.in")" 10
		n a espudp sa del espudp0 out 1 spi 0x1002
	else
		check "out: the packets up to the hard limit of octets went by it, no more" \
			is "$(used b in 0x1002)" 20
	fi
	check "$dir: an older SA goes on" is "$(burst a $L4 b $R4 5)" 5
	events_stop
done

hard=4
[ -z "${DEBUG_KERNEL-}" ] || hard=12
for dir in out in; do
	fresh
	ns=a
	[ $dir = out ] || ns=b
	events_start $ns
	limits_to $dir soft-seconds 2 hard-seconds $hard
	began=${EPOCHREALTIME/./}
	tun_sa b 1 in 0x1002 "${in[@]}"
	tun_sa a 1 out 0x1002 "${out[@]}"
	check "$dir: the soft lifetime makes an event" wait_for 10 expired $ns soft $dir 0x1002 seconds
	check "$dir: not early" [ $((${EPOCHREALTIME/./} - began)) -gt 1000000 ]
	check "$dir: the SA is still used" is "$(burst a $L4 b $R4 3)" 3
	check "$dir: the hard lifetime makes an event" wait_for $((hard + 6)) expired $ns hard $dir 0x1002 seconds
	check "$dir: not early" [ $((${EPOCHREALTIME/./} - began)) -gt $(((hard - 1) * 1000000)) ]
	check "$dir: the SA is gone" wait_for 5 is_gone $ns $dir 0x1002
	[ $dir = out ] || n a espudp sa del espudp0 out 1 spi 0x1002
	check "$dir: an older SA goes on" is "$(burst a $L4 b $R4 3)" 3
	events_stop
done

# Soft limits that change may be reached again.
# soften WORD...: other soft limits; events count from here on
soften()
{
	events_stop
	events_start a
	n a espudp sa set espudp0 out 1 spi 0x1002 "$@"
}

# softened_is STATE WORD...
softened_is()
{
	soften "${@:2}"
	is "$(sa_get a out 0x1002 .state)" "$1"
}

fresh
events_start a
tun_sa b 1 in 0x1002
tun_sa a 1 out 0x1002 soft-packets 10
burst a $L4 b $R4 10 >/dev/null
check "a soft limit is reached" wait_for 5 expired a soft out 0x1002 packets
check "a higher one: the SA is valid" softened_is valid soft-packets 20
burst a $L4 b $R4 5 >/dev/null
check "no event below it" event_is true 0
burst a $L4 b $R4 5 >/dev/null
check "but one at it" wait_for 5 expired a soft out 0x1002 packets
check "the same one changes nothing" softened_is soft soft-packets 20
check "nor does another" softened_is soft soft-bytes 100000000
check "none: valid" softened_is valid soft-packets 0
soften soft-seconds 1
check "seconds that have passed are told" wait_for 5 expired a soft out 0x1002 seconds
check "more: valid" softened_is valid soft-seconds 1000
soften soft-bytes 1
burst a $L4 b $R4 1 >/dev/null
check "fewer octets than there were are told with the next packet" \
	wait_for 5 expired a soft out 0x1002 bytes
check "and stay so when seconds change" softened_is soft soft-seconds 2000
events_stop

fresh
n a espudp sa set espudp0 out 1 spi 0x1001 hard-packets 5
check "a lifetime set later counts from installation" is "$(burst a $L4 b $R4 9)" 5

##
# No SA
##
# events_over FILTER NUMBER
events_over()
{
	[ "$(event_count "$1")" -gt "$2" ]
}

fresh
events_start a
n a espudp sa del espudp0 out 1 spi 0x1001
n a ping -c 3 -i 0.2 -W 1 $R4 >"$T/ping4"
n a ping -c 3 -i 0.2 -W 1 $R6 >"$T/ping6"
check "without an SA the sender gets an ICMP error, IPv4" \
	grep -q 'Destination Host Unreachable' "$T/ping4"
check "without an SA the sender gets an ICMP error, IPv6" \
	grep -q 'Destination unreachable: Address unreachable' "$T/ping6"
check "the packets are counted as such" [ "$(counter a tx-no-sa)" -ge 6 ]
check "and there is an acquire event" wait_for 5 \
	test "$(event_count '.type == "acquire" and .peer == 1 and .name == "right"')" -ge 1
burst a $L4 b $R4 200 >/dev/null
check "acquire events are rate limited" [ "$(event_count '.type == "acquire"')" -le 8 ]
sleep 1.1
n a ping -c 1 -W 1 $R4 >/dev/null
check "and tell how many were suppressed" \
	wait_for 5 sh -c "gojq -s -e 'map(select(.type == \"acquire\").lost // 0) | add > 100' '$T/events'"
events_stop
tun_sa a 1 out 0x1001 seq 1000
check "with a new SA traffic goes on" is "$(burst a $L4 b $R4 5)" 5

##
# Failures
##
inject_start
ns_add c
ip link add veth0 type veth peer name veth1 netns c 2>/dev/null
ip link set veth0 netns b
addr b veth0 192.0.2.1/24
addr c veth1 192.0.2.2/24
ip -n b link set veth0 up
ip -n c link set veth1 up
n b espudp peer add espudp0 id 7 name forged remote 192.0.2.2 routes none roaming off \
	selector local $R4/32 remote $L4/32 prio 1 >/dev/null
# shellcheck disable=SC2086
n b espudp sa add espudp0 7 in spi 0x3001 $INJECT_ALG
events_start b
inject c 192.0.2.2 4501 192.0.2.1 0x3001 1
inject c 192.0.2.2 4501 192.0.2.1 0x3001 2 bad 99
check "99 packets with a wrong ICV are counted" wait_for 10 failures 7 rx-auth 99
check "and make no event" event_is true 0
inject c 192.0.2.2 4501 192.0.2.1 0x3001 2 bad
check "the hundredth makes one" wait_for 10 event_is \
	'.type == "auth" and .peer == 7 and .spi == 12289 and .count == 100' 1
inject c 192.0.2.2 4501 192.0.2.1 0x3001 1 again 250
check "replays are counted" wait_for 10 failures 7 rx-replay-seen 250
check "and make an event at the hundredth" wait_for 5 event_is \
	'.type == "replay" and .peer == 7 and .spi == 12289 and .count == 100' 1
sleep 1.1
inject c 192.0.2.2 4501 192.0.2.1 0x3001 1 again
check "but one a second at most, which tells how many there were since" \
	wait_for 5 replays_told 251
check "the SA works all the same" inject c 192.0.2.2 4501 192.0.2.1 0x3001 2
check "and delivers" wait_for 5 sa_used_is b in 0x3001 2
events_stop
n b espudp peer del espudp0 7

##
# Loss of an adopted socket
##

# has NS "PEERS SAS"
has()
{
	is "$(dev_get "$1" '"\(.peers) \(.sas)"')" "$2"
}

# adopt: b's device adopts a socket of a process of its own, $owner
adopt()
{
	n b espudp socket close espudp0 2>/dev/null
	nbg b socket_owner 4500 espudp socket adopt espudp0 fd 3 >"$T/owner" 2>&1
	owner=$!
	wait_for 10 grep -q ready "$T/owner"
}

lose()
{
	kill -9 "$owner"
	wait "$owner" 2>/dev/null
	wait_for 6 event_is '.type == "socket-lost"' 1
}

fresh
check "a socket is adopted" adopt
check "traffic passes by it" is "$(burst a $L4 b $R4 5)" 5
events_start b
check "its owner's death makes an event" lose
check "on-socket-loss keep: peers and SAs stay" has b "2 2"
nosocket=$(counter b tx-no-socket)
check "nothing passes" is "$(burst b $R4 a $L4 5)" 0
check "packets have a reason of their own" is "$(counter b tx-no-socket)" $((nosocket + 5))
check "a new socket is adopted" adopt
check "traffic goes on, in" is "$(burst a $L4 b $R4 5)" 5
check "traffic goes on, out" is "$(burst b $R4 a $L4 5)" 5
events_stop
n b espudp set espudp0 on-socket-loss flush
events_start b
check "its owner's death makes an event" lose
check "on-socket-loss flush: peers and SAs go" wait_for 5 has b "0 0"
events_stop
ktap_end
