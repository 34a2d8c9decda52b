# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Sourced after lib.sh: tunnels between namespaces, counted traffic.
#
# The inner addresses are those of the left and of the right end:
#
#   10.1.0.1/32 fd10:1::1/128 ---- tunnel ---- 10.2.0.1/32 fd10:2::1/128

L4=10.1.0.1 L6=fd10:1::1 R4=10.2.0.1 R6=fd10:2::1

# key NAME OCTETS: makes the file $T/NAME, hexadecimal
key()
{
	(umask 077; od -An -N "$2" -tx1 /dev/urandom | tr -d " \n" >"$T/$1")
}

# xfrm_gcm FILE: the algorithm and key, for ip xfrm
xfrm_gcm()
{
	echo "aead rfc4106(gcm(aes)) 0x$(cat "$1") 128"
}

key gcm 20
# The algorithm of the SAs, for the tool and for ip xfrm.
# shellcheck disable=SC2016
TUN_ALG="enc aes-gcm key-file $T/gcm"
XFRM_ALG=$(xfrm_gcm "$T/gcm")

# side left|right: sets own and other addresses
side()
{
	case $1 in
	left)	own4=$L4 own6=$L6 other4=$R4 other6=$R6 ;;
	right)	own4=$R4 own6=$R6 other4=$L4 other6=$L6 ;;
	esac
}

# tun_dev NS left|right [DEV]: a device with sockets and inner addresses, up
tun_dev()
{
	local dev=${3:-espudp0} own4 own6 other4 other6

	side "$2"
	ip -n "$1" link add "$dev" type espudp
	addr "$1" "$dev" "$own4/32" "$own6/128"
	ip -n "$1" link set "$dev" up
	n "$1" espudp socket open "$dev"
}

# tun_peer NS left|right WORD...: peer of the device for the other side's
# addresses; its routes are installed
tun_peer()
{
	local ns=$1 own4 own6 other4 other6

	side "$2"
	shift 2
	n "$ns" espudp peer add espudp0 routes auto "$@" \
		selector local "$own4/32" remote "$other4/32" \
		selector local "$own6/128" remote "$other6/128"
}

# tun_sa NS PEER in|out SPI WORD...
tun_sa()
{
	local ns=$1 peer=$2 dir=$3 spi=$4

	shift 4
	# shellcheck disable=SC2086
	n "$ns" espudp sa add espudp0 "$peer" "$dir" spi "$spi" $TUN_ALG "$@"
}

# A tunnel of two devices between a and b, see topo_direct: peer 1 on both
# sides, SPI 0x1001 to the right, 0x2001 to the left.
tun_direct()
{
	local family=${1:-4} left=198.51.100.1 right=198.51.100.2

	[ "$family" = 4 ] || { left=2001:db8:2::1; right=2001:db8:2::2; }
	tun_dev a left
	tun_dev b right
	tun_peer a left id 1 name right remote $right >/dev/null
	tun_peer b right id 1 name left remote $left >/dev/null
	tun_pair 0x1001 0x2001
}

# tun_pair SPI-RIGHT SPI-LEFT [WORD...]: SAs between a and b
tun_pair()
{
	local right=$1 left=$2

	shift 2
	tun_sa a 1 in "$left" "$@"
	tun_sa b 1 in "$right" "$@"
	tun_sa a 1 out "$right" "$@"
	tun_sa b 1 out "$left" "$@"
}

# xfrm_pair NS left|right OWN OTHER SPI-OUT SPI-IN: the kernel's
# own ESP-in-UDP as the end of a tunnel, with its policies and socket
xfrm_pair()
{
	local ns=$1 own=$3 other=$4 out=$5 in=$6

	xfrm_sa "$ns" "$own" "$other" "$out" 4500 4500
	xfrm_sa "$ns" "$other" "$own" "$in" 4500 4500
	xfrm_policies "$ns" "$2" "$own" "$other"
}

# xfrm_policies NS left|right OWN OTHER
xfrm_policies()
{
	local ns=$1 own=$3 other=$4 own4 own6 other4 other6 src dst

	side "$2"
	while read -r src dst; do
		ip -n "$ns" xfrm policy add src "$src" dst "$dst" dir out \
			tmpl src "$own" dst "$other" proto esp reqid 1 mode tunnel
		ip -n "$ns" xfrm policy add src "$dst" dst "$src" dir in \
			tmpl src "$other" dst "$own" proto esp reqid 1 mode tunnel
	done <<-EOT
		$own4/32 $other4/32
		$own6/128 $other6/128
	EOT
}

# xfrm_sa NS SRC DST SPI SPORT DPORT [OPTION...]
xfrm_sa()
{
	local ns=$1 src=$2 dst=$3 spi=$4 sport=$5 dport=$6

	shift 6
	# shellcheck disable=SC2086
	ip -n "$ns" xfrm state add src "$src" dst "$dst" proto esp spi "$spi" reqid 1 \
		mode tunnel replay-window 64 flag af-unspec $XFRM_ALG \
		encap espinudp "$sport" "$dport" 0.0.0.0 "$@"
}

# natt_socket_start NS: the socket that xfrm's ESP-in-UDP is received on
natt_socket_start()
{
	nbg "$1" natt_socket 4500 >"$T/natt_socket.$1"
	wait_for 20 grep -q ready "$T/natt_socket.$1"
}

##
# What the tool shows
##

# dev_get NS JQ-FILTER [DEV]: of `show --json'
dev_get()
{
	n "$1" espudp show "${3:-espudp0}" --json | jq -r ".[0] | $2"
}

# peer_get NS PEER JQ-FILTER
peer_get()
{
	n "$1" espudp show espudp0 "$2" --json | jq -r ".[0].peer[0] | $3"
}

endpoint()
{
	peer_get "$1" "$2" '"\(.remote) \(.["remote-port"])"'
}

# sa_get NS in|out SPI JQ-FILTER
sa_get()
{
	n "$1" espudp sa show espudp0 --json |
		jq -r ".[] | select(.dir == \"$2\" and .spi == $(($3))) | $4"
}

# counter NS NAME [DEV]: a counter of the device; drop reasons by name
counter()
{
	n "$1" espudp stats "${3:-espudp0}" --json | jq -r --arg x "$2" '.[$x] // .drop[$x] // 0'
}

# counter_is NS NAME VALUE [DEV], counter_over NS NAME VALUE: for wait_for
counter_is()
{
	is "$(counter "$1" "$2" "${4-}")" "$3"
}

counter_over()
{
	[ "$(counter "$1" "$2")" -gt "$3" ]
}

# events_start NS, events JQ-FILTER: `espudp monitor --json'; FILTER picks from
# an array of all events so far
events_start()
{
	: >"$T/events"
	nbg "$1" espudp monitor --json >"$T/events" 2>"$T/events.err"
	events_pid=$!
	# it has joined the group once it sleeps
	wait_for 20 grep -q '^State:.*sleeping' "/proc/$events_pid/status"
	sleep 0.5
}

events_stop()
{
	kill "$events_pid"
	wait "$events_pid"
}

events()
{
	jq -s -r "$1" "$T/events"
}

# event_count FILTER: events that match
event_count()
{
	events "map(select($1)) | length"
}

event_is()
{
	is "$(event_count "$1")" "$2"
}

##
# Counted traffic: files of lines "number nanoseconds [errno]"
##
declare -A pumps=()

# pump_start NAME FROM-NS FROM TO-NS TO PORT [OPTION...]: datagrams of a flow;
# writes $T/NAME.sent and $T/NAME.got
pump_start()
{
	local name=$1 from_ns=$2 from=$3 to_ns=$4 to=$5 port=$6

	shift 6
	nbg "$to_ns" pump recv "$to" "$port" >"$T/$name.got"
	pumps[$name.got]=$!
	wait_for 20 bound "$to_ns" "$port"
	nbg "$from_ns" pump send -s "$from" "$@" "$to" "$port" >"$T/$name.sent"
	pumps[$name.sent]=$!
}

bound()
{
	[ -n "$(n "$1" ss -Hlun "sport = :$2")" ]
}

# pump_wait NAME...: until the sender, which has a count, is through
pump_wait()
{
	local name

	for name; do
		wait "${pumps[$name.sent]}"
	done
}

# pump_stop NAME...: end senders, let what is on its way arrive, end receivers
pump_stop()
{
	local name

	for name; do
		kill "${pumps[$name.sent]}" 2>/dev/null
		wait "${pumps[$name.sent]}"
	done
	for name; do
		wait_for 1 pump_all_got "$name"
		sleep 0.2
		kill "${pumps[$name.got]}"
		wait "${pumps[$name.got]}"
	done
	return 0
}

pump_all_got()
{
	[ "$(pump_lines "$1.got")" -ge "$(pump_lines "$1.sent")" ]
}

pump_lines()
{
	wc -l <"$T/$1"
}

# pump_lost NAME: lines of datagrams that were sent and did not arrive
pump_lost()
{
	awk 'FILENAME ~ /got$/ { got[$1] = 1; next } !($1 in got)' "$T/$1.got" "$T/$1.sent"
}

# pump_twice NAME: numbers that arrived more than once
pump_twice()
{
	awk 'seen[$1]++' "$T/$1.got"
}

# lossless NAME: for check
lossless()
{
	local lost

	[ -s "$T/$1.got" ] || { echo "nothing arrived"; return 1; }
	lost=$(pump_lost "$1")
	[ -z "$lost" ] || {
		echo "$(pump_lines "$1.sent") sent, $(wc -l <<<"$lost") lost:"
		head -n 5 <<<"$lost"
		return 1
	}
}

##
# Packets made by hand: SAs without a cipher, whose key inject.py knows
##

# inject_start: sets INJECT_ALG, the words for `espudp sa add'
inject_start()
{
	coproc INJECT { exec python3 "$SELFTESTS/inject.py"; }
	(umask 077; python3 "$SELFTESTS/inject.py" key >"$T/inject")
	# shellcheck disable=SC2034
	INJECT_ALG="enc null auth sha256 auth-key-file $T/inject"
}

# inject NS SRC SPORT DST SPI SEQ [bad|keepalive|again|- [COUNT]]: returns when
# it is sent
inject()
{
	local answer

	echo "$@" >&"${INJECT[1]}"
	read -rt 60 -u "${INJECT[0]}" answer && [ "$answer" = sent ]
}
