#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The tool: what it says when it is given nonsense, key files, routes and their
# guards, configuration files, events that come too fast.
#
# KERNELS: 6.1 6.12
# SAMPLE: 6.12
# TIMEOUT: 600
# shellcheck disable=SC2317	# functions are called by check and wait_for
# shellcheck disable=SC2016	# names that look like commands

. "$(dirname "$0")/lib.sh"
need gojq python3

# refused STATUS PATTERN COMMAND...: one line on stderr that matches
refused()
{
	local want=$1 pattern=$2 status=0

	shift 2
	"$@" >"$T/out" 2>"$T/err" || status=$?
	cat "$T/err"
	[ "$status" = "$want" ] && [ "$(wc -l <"$T/err")" = 1 ] && [ ! -s "$T/out" ] &&
		grep -qE -- "$pattern" "$T/err"
}

# key NAME OCTETS
key()
{
	(umask 077; od -An -v -N "$2" -tx1 /dev/urandom >"$T/$1")
}

# conf FILE: from stdin
conf()
{
	cat >"$T/$1"
}

state()
{
	espudp showconf espudp0 && ip route show && ip -6 route show
}

# unchanged COMMAND...: the device and the routes are as before
unchanged()
{
	state >"$T/before"
	"$@" || return
	state >"$T/after"
	diff "$T/before" "$T/after"
}

guard()
{
	ip route show | grep -q "^unreachable $1 .*metric 4294967295"
}

to_device()
{
	ip route show | grep -q "^$1 dev espudp0"
}

key k16 16
key k20 20
key k32 32
unload_module
check "without the module: modprobe is named" refused 1 'modprobe espudp' espudp show
load_module ''
check "without the device: ip link add is named" \
	refused 1 'ip link add espudp0 type espudp' espudp peer add espudp0
check "another kind of device is named so" refused 1 'not of kind espudp' espudp show lo
check "where a list is refused, too" refused 1 'not of kind espudp' espudp sa show lo
ip link add espudp0 type espudp
ip link set espudp0 up

# Bad words: the token is named, and the status tells usage from values.
bad_words()
{
	local line words status pattern

	while IFS='|' read -r status pattern line; do
		read -ra words <<<"$line"
		refused "$status" "$pattern" espudp "${words[@]}" || return
	done <<-EOT
	2|frobnicate|frobnicate
	2|device|peer add
	2|colour|set espudp0 colour red
	2|port|set espudp0 port
	2|name of a configuration file is expected|setconf espudp0
	2|name of a configuration file is expected|syncconf espudp0
	2|name of a configuration file is expected|route guard
	2|name of a device is expected|showconf
	2|.sas. or .peers. is expected|flush espudp0
	2|a peer .id, name or address. is expected|peer set espudp0
	2|a peer .id, name or address. is expected|peer del espudp0
	2|a peer .id, name or address. is expected|sa add espudp0
	2|a peer .id, name or address. is expected|sa del espudp0 out
	1|1 to 65535|set espudp0 port 0
	1|1 to 65535|socket open espudp0 port 0
	1|70000.*65535|set espudp0 port 70000
	1|maybe.*copy, set or clear|set espudp0 df maybe
	1|9000.*8192|set espudp0 replay-window 9000
	1|no0.*network device|set espudp0 bound-dev no0
	1|300.0.0.1|peer add espudp0 remote 300.0.0.1
	1|65536|peer add espudp0 remote 192.0.2.1:65536
	1|10.0.0.1/24.*10.0.0.0/24|peer add espudp0 selector local 10.0.0.1/24 remote 10.1.0.0/16
	1|10.0.0.0/33.*32|peer add espudp0 selector local 10.0.0.0/33 remote 10.1.0.0/16
	1|10.0.0.9-10.0.0.3|peer add espudp0 selector local 10.0.0.9-10.0.0.3 remote 10.1.0.0/16
	1|families|peer add espudp0 selector local 10.0.0.0/8 remote ::/0
	1|ports need|peer add espudp0 selector local ::/0 remote ::/0 proto icmp local-port 1
	1|transport|peer add espudp0 mode transport
	2|twice|peer add espudp0 tfc 1 tfc 2
	1|often.*responder or both.*0 to 2|set espudp0 nat-scope often
	1|3.*0 to 2|set espudp0 nat-scope 3
	1|fd00::/64.*IPv4 prefix|set espudp0 pool fd00::/64
	1|10.0.0.0/16.*IPv6 prefix|set espudp0 pool6 10.0.0.0/16
	1|10.0.0.1-10.0.0.9.*prefix|set espudp0 pool 10.0.0.1-10.0.0.9
	1|0.0.0.0/0|set espudp0 pool 0.0.0.0/0
	2|pool.*twice|set espudp0 pool none pool 10.0.0.0/8
	1|server.*responder|peer add espudp0 role server
	1|here.*address|peer add espudp0 virtual here
	2|take-over.*peer add|peer set espudp0 1 take-over 2
	1|nobody|peer add espudp0 mode transport take-over nobody
	1|no peer with id 9|peer del espudp0 9
	1|nobody|peer del espudp0 nobody
	1|rot13.*aes-gcm|sa add espudp0 1 in spi 256 enc rot13 key-file $T/k20
	1|/none.*20, 28 or 36|sa add espudp0 1 in spi 256 enc aes-gcm key-file /none
	1|k16.*16 octets.*20, 28 or 36|sa add espudp0 1 in spi 256 enc aes-gcm key-file $T/k16
	1|ICV.*80.*64, 96 or 128|sa add espudp0 1 in spi 256 enc aes-gcm icv 80 key-file $T/k20
	1|needs an auth|sa add espudp0 1 in spi 256 enc aes-cbc key-file $T/k16
	1|fd .99|socket adopt espudp0 fd 99
	EOT
}
check "bad words are refused in one line that names them" bad_words
check "nothing of it was done" is "$(espudp show --json | jq -c '.[0].peer')" '[]'
echo 'not!hexadecimal?' >"$T/odd"
chmod 600 "$T/odd"
check "a key that is not hexadecimal is refused, and not shown" sh -c "
	! espudp sa add espudp0 1 in spi 256 enc aes-gcm key-file $T/odd 2>$T/err &&
	grep -q 'odd.*hexadecimal' $T/err && ! grep -qF 'not!' $T/err"

# Routes.
check "a peer is added, its id printed" \
	is "$(espudp peer add espudp0 name alice remote 192.0.2.1 \
		selector local 10.0.0.0/24 remote 10.1.0.0/16)" 1
check "a route to the device" to_device 10.1.0.0/16
check "an unreachable route of the worst metric" guard 10.1.0.0/16
check "an equal selector names the peer that has it" refused 1 'alice \(1\)' \
	espudp peer add espudp0 selector local 10.0.0.0/24 remote 10.1.0.0/16
espudp peer add espudp0 name bob selector local 0.0.0.0/0 remote 10.2.0.1-10.2.0.6 >/dev/null
check "a range becomes prefixes" is "$(ip route show | grep -c '^10.2.0.*espudp0')" 4
espudp peer set espudp0 bob selector local 0.0.0.0/0 remote 10.3.0.0/24
check "new selectors: new routes" to_device 10.3.0.0/24
check "the old routes to the device are gone" not to_device 10.2.0.2/31
check "their guards are not" guard 10.2.0.2/31
ip link add dummy0 type dummy
ip link set dummy0 up
ip route add 10.4.0.0/16 dev dummy0
check "a route in the way: refused, nothing done" unchanged refused 1 '10.4.0.0/16' \
	espudp peer add espudp0 selector local 0.0.0.0/0 remote 10.4.0.0/16
espudp peer add espudp0 name carol routes none selector local 0.0.0.0/0 remote 10.5.0.0/16 \
	>/dev/null
check "routes none: none" not guard 10.5.0.0/16
espudp peer del espudp0 bob
check "peer del: guards stay" guard 10.3.0.0/24
espudp peer add espudp0 name bob selector local 0.0.0.0/0 remote 10.3.0.0/24 >/dev/null
espudp peer del espudp0 bob unprotect
check "peer del unprotect: they go" not guard 10.3.0.0/24
ip link set espudp0 down
check "link down: the guard stays, alone" sh -c \
	"ip route show | grep -q '^unreachable 10.1.0.0/16' && ! ip route show | grep -q espudp0"
espudp peer add espudp0 name down selector local 0.0.0.0/0 remote 10.6.0.0/16 \
	>/dev/null 2>"$T/err"
check "a peer added meanwhile is guarded" guard 10.6.0.0/16
check "and it is said what to do" grep -q 'espudp route add espudp0' "$T/err"
ip link set espudp0 up
espudp route add espudp0
check "route add brings the routes back" to_device 10.6.0.0/16
check "route show tells of both" is "$(espudp route show espudp0 --json |
	jq -c '.[] | select(.prefix == "10.6.0.0/16") | [.device, .unreachable, .peer]')" \
	'[true,true,true]'
espudp route del espudp0
check "route del removes both" sh -c \
	"! ip route show | grep -E '10.[16].0.0.*(espudp0|unreachable)'"
espudp flush espudp0 peers
espudp route del espudp0 10.2.0.1-10.2.0.6

# SAs.
espudp peer add espudp0 name alice remote 192.0.2.1 \
	selector local 10.0.0.0/24 remote 10.1.0.0/16 >/dev/null
espudp peer add espudp0 name bob selector local 10.0.0.0/24 remote 10.2.0.0/16 >/dev/null
check "an SA is added" espudp sa add espudp0 alice in spi 0x1000 enc aes-gcm key-file "$T/k20"
check "an SPI in use names the peer that has it" refused 1 'peer alice' \
	espudp sa add espudp0 bob in spi 0x1000 enc aes-gcm key-file "$T/k20"
check "a reserved SPI is refused in words" refused 1 'RFC 4303' \
	espudp sa add espudp0 bob in spi 255 enc aes-gcm key-file "$T/k20"
chmod 644 "$T/k20"
check "a key file that others may read is a warning only" sh -c "
	espudp sa add espudp0 bob in spi 0x1001 enc aes-gcm key-file $T/k20 2>$T/err &&
	grep -q 'k20.*0644' $T/err"
chmod 600 "$T/k20"
check "two keys from standard input, a line each" sh -c "
	(tr -d '\n ' <$T/k16; echo; tr -d '\n ' <$T/k32) |
	espudp sa add espudp0 bob out spi 0x1001 enc aes-cbc key-file - auth sha256 \
		auth-key-file -"
espudp show espudp0 bob >"$T/shown"
espudp sa show espudp0 --json >>"$T/shown"
espudp showconf espudp0 >>"$T/shown"
check "no key is shown" not grep -qi "$(tr -d '\n ' <"$T/k20" | cut -c1-12)" "$T/shown"
key_is_no_file()
{
	local secret

	secret=$(tr -d '\n ' <"$T/$2")
	refused 1 "$1.*not the key" espudp sa add espudp0 alice in spi 0x1002 enc aes-cbc auth sha256 \
		key-file "$T/k16" auth-key-file "$T/k32" "$1" "$secret" &&
		! grep -qi "${secret:0:12}" "$T/err"
}
check "a key instead of its file's name is not shown" key_is_no_file key-file k16
check "nor one for authentication" key_is_no_file auth-key-file k32
check "JSON: names of the specification" is "$(espudp sa show espudp0 alice --json |
	jq -c '.[0] | [.spi, .dir, .state, .enc, ."replay-window"]')" \
	'[4096,"in","valid","rfc4106(gcm(aes))",1024]'
espudp peer add espudp0 name alice >/dev/null
check "a name that two peers have is not enough" refused 1 'give the id' \
	espudp peer set espudp0 alice tfc 100
espudp flush espudp0 peers

# Completion. A peer's name may be what the other end calls itself.
completed()
{
	(cd "$T" && bash -c '. "$0/../tools/completion/espudp"
		COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
		_espudp
		printf "%s\n" "${COMPREPLY[@]}"' "$SELFTESTS" "$@")
}

names=('$(touch owned1)' '`touch owned2`' "it's" 'two words')
for name in "${names[@]}"; do
	espudp peer add espudp0 name "$name" >/dev/null
done
ip link add 'l$(>owned3)' type dummy
completed espudp peer set espudp0 '' | grep -v '^[0-9]*$' >"$T/words"
check "completion has peers' names, quoted" \
	sh -c "[ \$(wc -l <$T/words) = 4 ] && grep -qxF 'two\\ words' $T/words"
completed espudp set espudp0 bound-dev 'l\$' >"$T/links"
check "and devices'" grep -qxF 'l\$\(\>owned3\)' "$T/links"
check "which are the names when they are typed" is \
	"$(cd "$T" && eval "printf '%s|' $(tr '\n' ' ' <"$T/words")")" "$(printf '%s|' "${names[@]}")"
check "what they say is not done" not sh -c "ls $T/owned*"
check "a name that was begun" is "$(completed espudp sa add espudp0 'two\ w')" 'two\ words'
check "a word that needs no quotes" is "$(completed espudp pe)" peer
ip link del 'l$(>owned3)'

# Of a device, too, the name may be anything.
odd=$'e\377\e[1m'
ip link add "$odd" type espudp
espudp monitor "$odd" >"$T/events" &
monitor=$!
espudp monitor "$odd" --json >"$T/events.json" &
monitors="$monitor $!"
odd_event()
{
	espudp sa reserve "$odd" timeout 1 >/dev/null
	sleep 2
	[ -s "$T/events" ] && [ -s "$T/events.json" ]
}
# safely COMMAND...: prints that name, as text
safely()
{
	"$@" >"$T/safe"
	! LC_ALL=C grep -an '[^ -~[:space:]]' "$T/safe" && grep -F 'xff' "$T/safe" | grep -F 'x1b[1m'
}
said_safely()
{
	safely espudp show && safely espudp show --json && safely espudp stats "$odd" &&
		safely espudp stats "$odd" --json && safely cat "$T/events" &&
		safely cat "$T/events.json"
}
check "a device with an odd name has events" wait_for 20 odd_event
# shellcheck disable=SC2086
{ kill -TERM $monitors; wait $monitors; }
check "which is shown safely" said_safely
espudp set espudp0 bound-dev "$odd"
index=$(espudp show espudp0 --json | jq '.[0]."bound-ifindex"')
check "a device bound to it" sh -c "espudp show espudp0 | grep -q 'bound device: $index\$'"
check "also in files" sh -c "espudp showconf espudp0 | grep -q 'BoundDevice = $index\$'"
espudp set espudp0 bound-dev none
ip link del "$odd"
espudp flush espudp0 peers

# Transport mode, pools, virtual addresses.
hole()
{
	ip route show "$1" | grep -q "^blackhole .*metric 4294967295"
}

routed()
{
	ip route show "$1" | grep -q "^$1 dev espudp0 .*src $2" ||
		{ ip route show; return 1; }
}

ip addr add 198.51.100.2/24 dev dummy0
ip addr add 198.51.100.3/24 dev dummy0
ip addr add 203.0.113.2/24 dev dummy0
ip addr add 2001:db8:9::2/64 dev dummy0 nodad
ip addr add 2001:db8:9::3/64 dev dummy0 nodad preferred_lft 0
transport="mode transport selector local 198.51.100.2 remote 198.51.100.1 proto udp"
ip link add espudp1 type espudp
check "a pool" espudp set espudp0 pool 100.100.0.0/16 pool6 fd64::/64
check "has a blackhole route" hole 100.100.0.0/16
check "IPv6, too" sh -c "ip -6 route show type blackhole | grep -q '^blackhole fd64::/64 .*4294967295'"
check "is shown" sh -c "espudp show espudp0 | grep -q 'virtual addresses: 100.100.0.0/16, 0 in use'"
check "in JSON" is "$(espudp show --json | jq -c '.[0].pool')" \
	'[{"address":"100.100.0.0","prefix-len":16,"used":0},{"address":"fd64::","prefix-len":64,"used":0}]'
bad_pools()
{
	local pattern words

	while IFS='|' read -r pattern words; do
		# shellcheck disable=SC2086
		unchanged refused 1 "$pattern" espudp set $words || return
	done <<-EOT
	overlaps.*espudp0 has 100.100.0.0/16|espudp1 pool 100.100.3.0/24
	overlaps.*espudp0 has fd64::/64|espudp1 pool 100.101.0.0/16 pool6 fd64::/48
	address of this host.*198.51.100.2 of dummy0|espudp1 pool 198.51.100.0/24
	too small|espudp1 pool 10.77.0.0/31
	unicast|espudp1 pool 224.0.0.0/24
	too large|espudp1 pool 64.0.0.0/7
	EOT
}
check "bad pools are refused in words, and nothing changes" bad_pools
# shellcheck disable=SC2086
id=$(espudp peer add espudp0 name laptop remote 198.51.100.1:20001 local 198.51.100.2 \
	nat-remote yes role responder $transport)
check "a peer with a local address: a host route with that source" \
	routed 100.100.0.1 198.51.100.2
check "none to its outer address, which would loop" not sh -c "ip route show | grep '198.51.100.1 '"
# shellcheck disable=SC2086
espudp peer add espudp0 name phone remote 198.51.100.1:20002 $transport >/dev/null
check "one without: a route for the pool, with the kernel's source" \
	routed 100.100.0.0/16 198.51.100.2
# shellcheck disable=SC2086
espudp peer add espudp0 name far remote 203.0.113.7 virtual 100.100.9.9 $transport >/dev/null
check "another source: a host route" routed 100.100.9.9 203.0.113.2
check "show: a peer by its virtual address" \
	sh -c "espudp show espudp0 100.100.0.1 | grep -q 'peer: laptop'"
check "and the virtual address by name" \
	sh -c "espudp show espudp0 laptop | grep -q 'virtual address: 100.100.0.1$'"
check "and the end behind the NAT" \
	sh -c "espudp show espudp0 100.100.0.1 | grep -q 'endpoint: 198.51.100.1:20001, behind a NAT'"
check "a peer by the NAT's address and port" \
	sh -c "espudp show espudp0 198.51.100.1:20002 | grep -q 'peer: phone'"
check "all behind a NAT" is "$(espudp show espudp0 198.51.100.1 | grep -c ^peer:)" 2
check "of whom none can be changed by that" refused 1 'several peers are at.*give the id' \
	espudp peer set espudp0 198.51.100.1 tfc 0
check "an address that nobody has" refused 1 'no peer has the address' \
	espudp show espudp0 100.100.0.99
bad_peers()
{
	local pattern words

	while IFS='|' read -r pattern words; do
		# shellcheck disable=SC2086
		unchanged refused 1 "$pattern" espudp peer add espudp0 $words $transport || return
	done <<-EOT
	not of the device's pool.*100.100.0.0/16|remote 198.51.100.1:20003 virtual 10.1.1.1
	another peer has.*laptop.*take-over $id|remote 198.51.100.1:20003 virtual 100.100.0.1
	families|remote 198.51.100.1:20003 virtual fd64::7
	outer address is one of the device's virtual|remote 100.100.0.200
	EOT
}
check "bad virtual addresses are refused in words, and nothing changes" bad_peers
check "virtual addresses are for transport mode" refused 1 'transport mode' \
	espudp peer add espudp0 remote 198.51.100.1:20003 virtual 100.100.0.1
check "a pool in use stays, and who has an address is said" unchanged refused 1 \
	'delete them first.*peer .* has 100.100' espudp set espudp0 pool 100.96.0.0/16
espudp peer set espudp0 laptop local 198.51.100.3
check "another local address: another source" routed 100.100.0.1 198.51.100.3
# shellcheck disable=SC2086
check "take-over gives the address to the new peer" is "$(espudp peer add espudp0 name heir \
	remote 198.51.100.1:20004 take-over laptop local 198.51.100.2 $transport --json |
	jq -r .virtual)" 100.100.0.1
check "and the route its source" routed 100.100.0.1 198.51.100.2
espudp peer del espudp0 laptop
check "the old peer's deletion leaves the route" routed 100.100.0.1 198.51.100.2
espudp peer del espudp0 100.100.0.1
check "the new one's removes it" not sh -c "ip route show 100.100.0.1 | grep ."
check "that of the pool stays" routed 100.100.0.0/16 198.51.100.2
# shellcheck disable=SC2086
id=$(espudp peer add espudp0 name plain virtual none remote 198.51.100.1:20005 $transport)
check "virtual none: none" is "$(espudp show --json | jq -c ".[0].peer[] | select(.id==$id).virtual")" null
# shellcheck disable=SC2086
check "a second one behind the NAT is refused, with what to do (RFC 3948 section 5.2)" \
	refused 1 '5.2.*pool of virtual.*peer plain' espudp peer add espudp0 virtual none \
	remote 198.51.100.1:20006 $transport
espudp peer del espudp0 plain
espudp showconf espudp0 >"$T/virtual"
check "showconf: pools and virtual addresses" is \
	"$(grep -cE '^(Pool = 100.100.0.0/16|Pool6 = fd64::/64|Virtual = 100.100.9.9)$' "$T/virtual")" 3
check "setconf takes it" unchanged espudp setconf espudp0 "$T/virtual"
sed '/^Pool = /d' "$T/virtual" >"$T/bad"
check "a file without the pool of a peer that stays is refused" \
	unchanged refused 1 'needs the Pool' espudp setconf espudp0 "$T/bad"
sed 's/100.100.9.9/100.100.9.10/' "$T/virtual" >"$T/bad"
check "as is another address for it" \
	unchanged refused 1 'keeps its virtual address' espudp setconf espudp0 "$T/bad"
espudp flush espudp0 peers
espudp route del espudp0
check "route del removes routes and blackholes" not sh -c "ip route show | grep 100.100"
check "setconf brings all back" espudp setconf espudp0 "$T/virtual"
check "the routes" routed 100.100.9.9 203.0.113.2
check "and the blackhole" hole 100.100.0.0/16
check "route show" is "$(espudp route show espudp0 --json |
	jq -c '.[] | select(.prefix == "100.100.0.0/16") | [.device, .blackhole, .pool, .source]')" \
	'[true,true,true,"198.51.100.2"]'
transport6="mode transport selector local ::/0 remote ::/0 proto udp"
# shellcheck disable=SC2086
espudp peer add espudp0 name six remote 2001:db8:9::1 $transport6 >/dev/null
check "IPv6: a route for the pool" sh -c \
	"ip -6 route show fd64::/64 | grep -q 'dev espudp0 .*src 2001:db8:9::2'"
# shellcheck disable=SC2086
espudp peer add espudp0 name seven remote 2001:db8:9::1 local 2001:db8:9::3 $transport6 >/dev/null
check "IPv6: a host route" sh -c "ip -6 route show fd64::2 | grep -q 'dev espudp0 .*src 2001:db8:9::3'"
check "IPv6: a peer by its virtual address" sh -c "espudp show espudp0 fd64::2 | grep -q seven"
check "setconf again: nothing changes" sh -c "espudp showconf espudp0 >$T/six && espudp setconf espudp0 $T/six &&
	espudp showconf espudp0 | diff $T/six -"
espudp peer del espudp0 seven
check "IPv6: which goes with the peer" not sh -c "ip -6 route show fd64::2 | grep ."
ip addr del 203.0.113.2/24 dev dummy0
espudp peer set espudp0 far local 203.0.113.2 2>"$T/err"
check "a source that is no address of this host is told" grep -q '203.0.113.2.*no address' "$T/err"
printf '[Device]\nNatScope = 1\n' >"$T/none"
check "a file without pools and peers" espudp setconf espudp0 "$T/none"
check "leaves none" is "$(espudp show --json | jq -c '.[0] | [.pool, .peers, ."nat-scope"]')" \
	'[[],0,"responder"]'
check "but the blackhole" hole 100.100.0.0/16

# Pools that are too small, and who may be behind a NAT.
ns_add other
ip link set espudp1 netns other
ip -n other link set espudp1 up
n other espudp set espudp1 pool 10.88.0.0/16
# shellcheck disable=SC2086
n other espudp peer add espudp1 remote 198.51.100.1:20009 $transport >"$T/out" 2>"$T/err"
check "a device that was moved: no routes, and it is said why" grep -q 'was moved' "$T/err"
check "but the blackhole" sh -c "ip -n other route show | grep -q '^blackhole 10.88.0.0/16' &&
	! ip -n other route show | grep -q espudp1"
check "its bound device is no name of here" refused 1 'was moved.*index' \
	n other espudp set espudp1 bound-dev lo
printf '[Device]\nBoundDevice = lo\nPool = 10.88.0.0/16\n' >"$T/bound"
check "nor in a file" refused 1 'was moved.*index' n other espudp setconf espudp1 "$T/bound"
check "but an index" n other espudp set espudp1 bound-dev 1
check "and is shown as one" sh -c "ip netns exec other espudp show espudp1 | grep -q 'bound device: 1$' &&
	ip netns exec other espudp showconf espudp1 | grep -qx 'BoundDevice = 1'"
check "which a file takes" sh -c "ip netns exec other espudp showconf espudp1 >$T/bound &&
	ip netns exec other espudp setconf espudp1 $T/bound"
ip -n other link del espudp1
espudp route del espudp0 100.100.0.0/16 fd64::/64
espudp set espudp0 pool 100.64.0.0/30
for port in 1 2; do
	# shellcheck disable=SC2086
	espudp peer add espudp0 remote 198.51.100.1:$port $transport >/dev/null
done
# shellcheck disable=SC2086
check "an exhausted pool" refused 1 'exhausted.*100.64.0.0/30, 2 in use' \
	espudp peer add espudp0 remote 198.51.100.1:3 $transport
espudp flush espudp0 peers
espudp peer add espudp0 name far remote 203.0.113.7 >/dev/null
check "a pool that covers a peer's outer address" unchanged refused 1 \
	'outer address.*far.*203.0.113.7' espudp set espudp0 pool6 fd64::/64 pool 203.0.113.4/30
espudp flush espudp0 peers
check "pool none" espudp set espudp0 pool none
check "takes the blackhole with it" not hole 100.64.0.0/30
# shellcheck disable=SC2086
scope()
{
	espudp set espudp0 nat-scope $1
	refused 1 "$2.*espudp set espudp0 nat-scope both" espudp peer add espudp0 \
		remote 198.51.100.1 role responder nat-local yes $3 $transport
}
check "nat-scope 0: the rule is said" scope 0 'no-responder \(0\)' ''
check "nat-scope responder likewise" scope responder 'responder \(1\)' 'nat-remote yes'
check "and shown" sh -c "espudp show | grep -q 'nat scope: responder'"
espudp set espudp0 nat-scope 2
# shellcheck disable=SC2086
espudp peer add espudp0 name oa remote 198.51.100.1 $transport >/dev/null
check "original addresses" espudp sa add espudp0 oa in spi 0x1000 enc aes-gcm key-file "$T/k20" \
	oa-local 198.51.100.2 oa-remote 192.168.1.2
check "of which an inbound SA needs two" refused 1 'both' espudp sa add espudp0 oa in spi 0x1001 \
	enc aes-gcm key-file "$T/k20" oa-local 198.51.100.2
espudp flush espudp0 peers
ip addr flush dev dummy0

# Configuration files.
conf good <<EOT
[Device]
Port = 4600
FwMark = 7
Listen = own
[Peer]
Name = alice
Remote = 192.0.2.1
Selector = local 10.0.0.0/24 remote 10.1.0.0/16
[SA]
Direction = in
SPI = 0x1000
Encryption = aes-gcm
KeyFile = k20
HardSeconds = 5000
[SA]
Direction = out
SPI = 0x2000
Encryption = aes-cbc
KeyFile = k16
Authentication = sha256
AuthKeyFile = $T/k32
[Peer]
Name = bob
Selector = local 10.0.0.0/24 remote 10.2.0.0/16
EOT
check "setconf" espudp setconf espudp0 "$T/good"
check "the port is open" sh -c 'ss -Hlun "sport = 4600" | grep -q .'
check "showconf has no keys, but the place for them" is \
	"$(espudp showconf espudp0 | grep -c '^# \(Auth\)\?KeyFile')" 3
check "setconf again changes nothing" unchanged espudp setconf espudp0 "$T/good"
check "syncconf changes nothing" unchanged espudp syncconf espudp0 "$T/good"
espudp showconf espudp0 >"$T/shown"
check "setconf takes what showconf printed" unchanged espudp setconf espudp0 "$T/shown"

bad_files()
{
	local script pattern

	while IFS='|' read -r pattern script; do
		sed "$script" "$T/good" >"$T/bad"
		unchanged refused 1 "bad:$pattern" espudp setconf espudp0 "$T/bad" || return
	done <<-EOT
	2: .*Prt|s/^Port/Prt/
	2: .*1 to 65535|s/4600/0/
	10: .*Side|s/^Direction/Side/;
	7: .*300|s/192.0.2.1/300.0.2.1/
	14: .*|s/5000/-1/
	9: .*missing.key|s/k20/missing.key/
	9: .*k16.*20, 28 or 36|s/k20/k16/
	22: .*|s/10.2.0.0/10.1.0.0/
	[0-9]+: .*reserved|s/0x1000/200/
	[0-9]+: .*bob|s/alice/bob/
	EOT
}
check "a bad file is refused with its line, and nothing changes" bad_files
secret=$(tr -d ' \n' <"$T/k20")
keys_are_not_shown()
{
	local script

	for script in "s/^KeyFile = k20/KeyFile = 0x$secret/" "s/^KeyFile = k20/$secret/" \
		      "s/^KeyFile = k20/KeyFile = $(fold -w2 <<<"$secret" | xargs)/"; do
		sed "$script" "$T/good" >"$T/bad"
		unchanged refused 1 'bad:[0-9]+: .*expected' espudp setconf espudp0 "$T/bad" &&
			! tr -d ' ' <"$T/err" | grep -q "$secret" || return
	done
}
check "a key in place of the name of a file, or of a setting, is not shown" keys_are_not_shown
check "no name is not the name of the peer that has none" \
	unchanged refused 2 'not nothing' espudp peer del espudp0 ""
id=$(espudp show --json | jq '.[0].peer[] | select(.name == "alice").id')
sed "s/^Name = bob/Id = $id/" "$T/good" >"$T/bad"
check "so is one in which two peers are one that is installed" \
	unchanged refused 1 'bad:[0-9]+: .*which line 5 is, too' espudp setconf espudp0 "$T/bad"

# Everything differs, and the last peer is refused by the module.
sed 's/4600/4700/; s/FwMark = 7/FwMark = 8\nTTL = 3/; s/0x2000/0x2001/; s/5000/6000/
	s/^Name = alice/&\nKeepalive = 30/; s/10.2.0.0/10.7.0.0/' "$T/good" >"$T/half"
conf last <<EOT
[Peer]
Name = carol
Selector = local 10.0.0.0/24 remote 10.3.0.0/16
[SA]
Direction = in
SPI = 0x1003
Encryption = aes-gcm
KeyFile = k20
[Peer]
Name = dave
Mode = transport
EOT
cat "$T/half" "$T/last" >"$T/bad"
check "refused by the module half-way: nothing has changed" \
	unchanged refused 1 'bad:[0-9]+: .*transport' espudp setconf espudp0 "$T/bad"
python3 -c '
import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", 4700))
time.sleep(300)' &
holder=$!
wait_for 10 sh -c 'ss -Hlun "sport = 4700" | grep -q .'
check "port in use: nothing has changed" \
	unchanged refused 1 '4700' espudp setconf espudp0 "$T/half"
kill $holder
wait_for 10 sh -c '! ss -Hlun "sport = 4700" | grep -q .'
check "without dave it is taken" espudp setconf espudp0 "$T/half"
check "a setting" is "$(espudp show --json | jq '.[0].ttl')" 3
check "a lifetime" is \
	"$(espudp sa show espudp0 alice --json | jq '.[0]."hard-seconds"')" 6000
check "an SA is replaced by another" is \
	"$(espudp sa show espudp0 --json | jq -c 'map(.spi)')" '[4096,8193]'
check "the guard of what was there stays" guard 10.2.0.0/16
# Two peers change places.
sed 's/10.1.0.0/10.x.0.0/; s/10.7.0.0/10.1.0.0/; s/10.x.0.0/10.7.0.0/' "$T/half" >"$T/swap"
espudp sa show espudp0 alice --json | jq '.[0].age' >"$T/age"
check "peers exchange their selectors" espudp syncconf espudp0 "$T/swap"
check "and have them" is "$(espudp show --json |
	jq -c '.[0].peer | map([.name, .selector[0].remote])')" \
	'[["alice","10.7.0.0/16"],["bob","10.1.0.0/16"]]'
cat "$T/half" "$T/last" >"$T/bad"
check "refused when they had exchanged them again: nothing has changed" \
	unchanged refused 1 'bad:[0-9]+: .*transport' espudp setconf espudp0 "$T/bad"
check "an SA that stays was not made anew" \
	[ "$(espudp sa show espudp0 alice --json | jq '.[0].age')" -ge "$(cat "$T/age")" ]
sed 's/aes-gcm/aes-ccm/; s/^KeyFile = k20$//' "$T/swap" >"$T/bad"
check "another algorithm under the same SPI is refused" \
	unchanged refused 1 'needs a new SPI' espudp syncconf espudp0 "$T/bad"
conf pair <<EOT
[Peer]
Name = alice
[SA]
Direction = in
SPI = 0x3000
Encryption = aes-gcm
KeyFile = k20
[SA]
Direction = out
SPI = 0x3000
Encryption = aes-gcm
KeyFile = $T/k20
EOT
chmod 644 "$T/k20"
check "a key file that others may read, of two SAs" sh -c \
	"espudp setconf espudp0 $T/pair 2>$T/err"
check "is warned of once" is "$(grep -c 'k20.*0644' "$T/err")" 1
chmod 600 "$T/k20"
: >"$T/empty"
check "an empty file" espudp setconf espudp0 "$T/empty"
check "leaves no peer" is "$(espudp show --json | jq -c '.[0] | [.peers, .sas, .ttl]')" '[0,0,0]'
check "and the port that is open" is "$(espudp show --json | jq -c '.[0].port')" 4700
printf '[Device]\nPort = 4800\n' >"$T/port"
check "another port" espudp setconf espudp0 "$T/port"
check "is opened instead" sh -c \
	'ss -Hlun "sport = 4800" | grep -q . && ! ss -Hlun "sport = 4700" | grep -q .'
printf '[Device]\nListen = no\n' >"$T/closed"
printf '[Device]\nPort = 4900\n' >"$T/port"
espudp socket close espudp0
espudp socket open espudp0 ipv4
python3 -c '
import socket, subprocess, time
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
s.bind(("::", 4801))
subprocess.run(["espudp", "socket", "adopt", "espudp0", "fd", str(s.fileno())],
               pass_fds=[s.fileno()], check=True)
time.sleep(300)' &
holder=$!
sockets_are()
{
	is "$(espudp show espudp0 --json | jq -c '.[0] | [.port, (.socket | map(.kind) | sort)]')" "$1"
}
check "an adopted socket beside an own one" wait_for 10 sockets_are '[4800,["adopted","own"]]'
check "stays: another port is refused" refused 1 'adopted socket, too.*socket close' \
	espudp setconf espudp0 "$T/port"
check "Listen = no likewise" refused 1 'adopted socket, too.*socket close' \
	espudp setconf espudp0 "$T/closed"
check "and both are there" sockets_are '[4800,["adopted","own"]]'
check "a file that closes none is taken" espudp setconf espudp0 "$T/empty"
kill $holder
wait_for 10 sockets_are '[4800,["own"]]'
check "Listen = no" espudp setconf espudp0 "$T/closed"
check "closes it, the port is the default" is \
	"$(espudp show --json | jq -c '.[0] | [.port, .socket]')" '[4500,[]]'
check "all guards stay" is "$(ip route show | grep -c '^unreachable')" 3

# A listener that is too slow.
sysctl -qw net.core.rmem_default=4096
espudp monitor espudp0 --json >"$T/events" &
monitor=$!
events_of()
{
	jq -r .type "$T/events" | grep -c .
}
espudp peer add espudp0 name alice >/dev/null
one_event()
{
	espudp sa reserve espudp0 timeout 1 >/dev/null
	sleep 2
	[ "$(events_of)" -ge 1 ]
}
check "an event is printed at once" wait_for 20 one_event
sysctl -qw net.core.rmem_default=212992
kill -STOP $monitor
for _ in $(seq 30); do
	espudp sa reserve espudp0 timeout 1 >/dev/null
done
wait_for 20 is "$(espudp show --json | jq '.[0].sas')" 0
sleep 2
kill -CONT $monitor
check "events that were lost are told" wait_for 20 grep -q '^{"overrun":true}$' "$T/events"
check "and what there is now" wait_for 20 \
	jq -se 'any(.[]; .resync.peer[0].name? == "alice")' "$T/events"
kill -TERM $monitor
status=0
wait $monitor || status=$?
check "monitor ends with status 0" is $status 0

chmod 755 "$T"
unprivileged="setpriv --reuid 65534 --clear-groups --bounding-set -all --inh-caps -all"
# shellcheck disable=SC2086
check "without CAP_NET_ADMIN nothing is shown" refused 1 'CAP_NET_ADMIN' $unprivileged espudp show
ip link del espudp0
check "guards survive the device" is "$(ip route show | grep -c '^unreachable')" 3
timeout 30 espudp monitor >"$T/events" 2>"$T/err" &
monitor=$!
sleep 2
unload_module
status=0
wait $monitor || status=$?
check "monitor says that the module is gone, and ends" \
	sh -c "[ $status = 1 ] && grep -q 'module is gone' $T/err"
check "and the module" is "$(ip route show | grep -c '^unreachable')" 3
espudp route del espudp0 10.1.0.0/16 10.2.0.0/16 10.7.0.0/16
check "route del PREFIX needs neither" not sh -c 'ip route show | grep -q unreachable'
rm "$T/k20"
sed -i 's/^FwMark.*/&\nBoundDevice = later0/' "$T/good"
check "route guard FILE needs neither, nor keys, nor the bound device" \
	espudp route guard "$T/good"
check "and guards what the file's peers have" is "$(ip route show | grep -c '^unreachable')" 2
conf bad </dev/null
echo Nonsense >>"$T/bad"
check "a bad file is refused" refused 1 'bad:1: ' espudp route guard "$T/bad"
espudp route del espudp0 10.1.0.0/16 10.2.0.0/16
ktap_end
