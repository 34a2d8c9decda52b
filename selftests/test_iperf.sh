#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# iperf3 between xfrm and espudp, both ways, with GSO and GRO on and off, for
# six algorithms: what was sent came, and was counted; nothing was dropped.
#
#   a: xfrm, espinudp                       b: espudp0
#   a0 198.51.100.1/24   ---------------    b0 198.51.100.2/24
#   10.1.4.1                                10.2.4.1
#
# KERNELS: 6.1 6.12
# SAMPLE: 6.12
# TIMEOUT: 240

. "$(dirname "$0")/lib.sh"

need exchange espudp iperf3 gojq
megabytes=2
[ -z "${FULL-}" ] || megabytes=8
octets=$((megabytes * 1024 * 1024))

# name, octets of key, ICV; the hash and octets of its key
algs=(
	'rfc4106(gcm(aes)) 20 128'
	'rfc7539esp(chacha20,poly1305) 36 128'
	'cbc(aes) 16 96 hmac(sha1) 20'
	'cbc(aes) 16 128 hmac(sha256) 32'
	'cbc(des3_ede) 24 96 hmac(md5) 16'
	'rfc4543(gcm(aes)) 20 128'
)

hex_key()
{
	hex=''
	while [ ${#hex} -lt $(($1 * 2)) ]; do
		printf -v hex '%s%08x' "$hex" "$SRANDOM"
	done
}

spi=8192
install()
{
	local enc=$1 size=$2 icv=$3 auth=${4-} auth_size=${5-0} dir src dst alg conf batch

	conf="[Device]
Listen = own
[Peer]
Name = a
Local = 198.51.100.2
Remote = 198.51.100.1:4500
Selector = local 10.2.4.0/24 remote 10.1.4.0/24
"
	batch='xfrm state flush'$'\n'
	for dir in in out; do
		spi=$((spi + 1))
		src=198.51.100.1 dst=198.51.100.2
		[ "$dir" = in ] || src=198.51.100.2 dst=198.51.100.1
		hex_key "$size"
		echo "$hex" >"$T/$spi.key"
		conf+="[SA]
Direction = $dir
SPI = $spi
Encryption = $enc
KeyFile = $spi.key
ICV = $icv
"
		alg="aead $enc 0x$hex $icv"
		if [ -n "$auth" ]; then
			alg="enc $enc 0x$hex"
			hex_key "$auth_size"
			echo "$hex" >"$T/$spi.auth"
			conf+="Authentication = $auth
AuthKeyFile = $spi.auth
"
			alg+=" auth-trunc $auth 0x$hex $icv"
		fi
		batch+="xfrm state add src $src dst $dst proto esp spi $spi reqid 4 mode tunnel replay-window 1024 $alg encap espinudp 4500 4500 0.0.0.0"$'\n'
	done
	echo "$conf" >"$T/conf"
	echo "$batch" >"$T/batch"
	n b espudp syncconf espudp0 "$T/conf" && ip -n a -batch "$T/batch"
}

# offloads on|off, at both ends of the wire and at the tunnel's device
offloads()
{
	local dev

	for dev in a/a0 b/b0 b/espudp0; do
		n "${dev%/*}" ethtool -K "${dev#*/}" tso "$1" gso "$1" gro "$1" >/dev/null
	done
	n a ethtool -K a0 tx-udp-segmentation "$1" >/dev/null
	n b ethtool -K b0 tx-udp-segmentation "$1" >/dev/null
	# GRO on veth runs where the sender does not segment
	[ "$1" = off ] || n a ethtool -K a0 tso off >/dev/null
}

counter()
{
	n b espudp stats --json espudp0 | jq ".\"$1\""
}

dropped()
{
	n b espudp stats --json espudp0 | jq -c '.drop | with_entries(select(.value > 0))'
}

# transfer up|down: from the client a to b, or back; octets that came, in $came.
# iperf3 ends when all was sent, and leaves unread what is in its socket then.
transfer()
{
	local log=$T/iperf.json reverse=() sent

	[ "$1" = up ] || reverse=(-R)
	n a iperf3 -c 10.2.4.1 -B 10.1.4.1 -n "$octets" "${reverse[@]}" -J \
		--connect-timeout 10000 >"$log" 2>&1 || {
		cat "$log"
		return 1
	}
	sent=$(jq .end.sum_sent.bytes "$log")
	came=$(jq .end.sum_received.bytes "$log")
	if [ "$sent" -lt "$octets" ] || [ "$came" -lt $((octets / 2)) ]; then
		echo "$1: $sent octets were sent, $came came"
		return 1
	fi
}

both_ways()
{
	local before way name counted drops

	for way in up down; do
		name=rx-bytes
		[ "$way" = up ] || name=tx-bytes
		before=$(counter "$name")
		transfer "$way" || return
		counted=$(($(counter "$name") - before))
		# headers, and what was sent again or not read
		if [ "$counted" -lt "$came" ] || [ "$counted" -gt $((octets * 5 / 4 + 200000)) ]; then
			echo "$way: $came octets came, $name went up by $counted"
			return 1
		fi
	done
	drops=$(dropped)
	is "$drops" '{}'
}

# what the last connections still say to one another needs the SAs they had
quiet()
{
	[ -z "$(n a ss -Htn exclude listening exclude time-wait)" ] &&
		[ -z "$(n b ss -Htn exclude listening exclude time-wait)" ]
}

renew()
{
	wait_for 20 quiet && install "$@"
}

no_xfrm_drops()
{
	! n a grep -v '\b0$' /proc/net/xfrm_stat
}

load_module
topo_direct
n b sysctl -qw net.ipv6.conf.default.disable_ipv6=1
ip -n b link add espudp0 type espudp
ip -n b link set espudp0 up
addr b espudp0 10.2.4.1/32
addr a lo 10.1.4.1/32
ip -n a route add 10.2.0.0/16 via 198.51.100.2
ip -n a -batch - <<-EOT
xfrm policy add src 10.1.4.0/24 dst 10.2.4.0/24 dir out tmpl src 198.51.100.1 dst 198.51.100.2 proto esp reqid 4 mode tunnel
xfrm policy add src 10.2.4.0/24 dst 10.1.4.0/24 dir in tmpl src 198.51.100.2 dst 198.51.100.1 proto esp reqid 4 mode tunnel
EOT
# it keeps the sockets with ESP encapsulation for xfrm
exec {cells}> >(exec exchange a b 1 1 1 >"$T/exchange")
check "xfrm has its sockets" wait_for 10 grep -q ready "$T/exchange"
# shellcheck disable=SC2086
check "the first SAs are installed" install ${algs[0]}
nbg b iperf3 -s -B 10.2.4.1 >/dev/null 2>&1
listening()
{
	n b ss -Hltn | grep -q :5201
}
check "the server listens" wait_for 20 listening

for setting in on off; do
	offloads $setting
	for alg in "${algs[@]}"; do
		# shellcheck disable=SC2086
		check "$alg, offloads $setting: the SAs are installed" renew $alg
		start=${EPOCHREALTIME/./}
		check "$alg, offloads $setting: $megabytes MB come each way, and are counted" both_ways
		diag "$alg, offloads $setting: $(((${EPOCHREALTIME/./} - start) / 1000)) ms"
	done
done
check "xfrm dropped nothing" no_xfrm_drops
exec {cells}>&-
ktap_end
