#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The interoperation matrix with the kernel's own xfrm: every algorithm with
# each key and ICV length, with and without ESN, IPv4 and IPv6 in IPv4 and
# IPv6. In each cell datagrams of 64 sizes go both ways at once, then 256 KiB of
# TCP each way.
#
#   a: xfrm, espinudp                       b: espudp0
#   a0 198.51.100.1/24   ---------------    b0 198.51.100.2/24
#      2001:db8:2::1/64                        2001:db8:2::2/64
#   10.1.4.1, fd10:1:4::1   in IPv4         10.2.4.1, fd10:2:4::1
#   10.1.6.1, fd10:1:6::1   in IPv6         10.2.6.1, fd10:2:6::1
#
# Times in a row's line: set-up, then UDP + TCP of each cell.
# ONLY: an extended regular expression; rows that match.
# FULL: all of it; else each algorithm once, with two of the four family
# combinations in turn.
#
# KERNELS: 6.1 6.12 debug
# TIMEOUT: 600
# DEBUG-TIER: short

. "$(dirname "$0")/lib.sh"

need exchange espudp gojq
sizes=64
limit=10
if [ -n "${DEBUG_KERNEL-}" ]; then
	sizes=8
	limit=60
fi
octets=262144

declare -A outer=([a4]=198.51.100.1 [b4]=198.51.100.2 [a6]=2001:db8:2::1 [b6]=2001:db8:2::2)
declare -A remote=([4]=198.51.100.1:4500 [6]="[2001:db8:2::1]:4500")
xfrm_windows=(0 32 64 1024 4096)
our_windows=(0 32 64 1024 8192)

##
# The list of rows, from the module's own table
##
# encs[i]: "name aead salt icv,icv,... key,key,..."; auths[i]: "name key icv"
read_algs()
{
	mapfile -t encs < <(awk -v RS=ESPUDP_ '
		/^ENC\("/ { split($0, f, "\""); name = f[2]; split(f[3], f, ","); n = 0
			    aead = f[2] + 0; salt = f[3] + 0; next }
		/^LENS\([0-9]/ && name { gsub(/LENS\(|\).*|[ \t]|\n.*/, ""); lens[n++] = $0 }
		n == 2 && name { print name, aead, salt, lens[0], lens[1]; name = "" }' "$1")
	mapfile -t auths < <(awk -v RS=ESPUDP_ '
		/^AUTH\("/ { split($0, f, "\""); split(f[3], n, ",")
			     print f[2], n[2] + 0, n[3] + 0 }' "$1")
}

# rows[i]: "enc key-octets auth|- auth-key-octets icv esn|-"; algs[i]: its algorithm
rows=()
algs=()
add_rows()
{
	local esn=$1 enc auth aead salt icvs keys icv key auth_key

	while read -r enc aead salt icvs keys; do
		for key in ${keys//,/ }; do
			if [ "$aead" = 1 ]; then
				for icv in ${icvs//,/ }; do
					[ "$icv" = 0 ] || [ "$key" = 0 ] ||
						add_row "$enc" $((key / 8 + salt)) - 0 "$icv" "$esn"
				done
				continue
			fi
			# the null cipher's only key length is 0
			[ "$key" = 0 ] && [ "$enc" != 'ecb(cipher_null)' ] && continue
			while read -r auth auth_key icv; do
				add_row "$enc" $((key / 8 + salt)) "$auth" $((auth_key / 8)) "$icv" "$esn"
			done < <(printf '%s\n' "${auths[@]}")
			[ "$key" = 0 ] && break
		done
	done < <(printf '%s\n' "${encs[@]}")
}

add_row()
{
	rows+=("$*")
	algs+=("$1 $3")
}

# One row of each algorithm, key and ICV lengths and ESN in turn.
sample_rows()
{
	local -A of=() seen=()
	local i alg order=() chosen=()

	for i in "${!rows[@]}"; do
		alg=${algs[i]}
		[ -n "${seen[$alg]-}" ] || order+=("$alg")
		seen[$alg]=1
		of[$alg]+="$i "
	done
	for i in "${!order[@]}"; do
		# shellcheck disable=SC2206
		local all=(${of[${order[i]}]})
		chosen+=("${rows[all[(i * 7 + i / 2) % ${#all[@]}]]}")
	done
	rows=("${chosen[@]}")
}

##
# Configuration
##
setup()
{
	local o

	topo_direct
	n b sysctl -qw net.ipv6.conf.default.addr_gen_mode=1
	ip -n b link add espudp0 type espudp
	ip -n b link set espudp0 up
	ip -n a -batch - <<-EOT
	addr add 10.1.4.1/32 dev lo
	addr add 10.1.6.1/32 dev lo
	addr add fd10:1:4::1/128 dev lo
	addr add fd10:1:6::1/128 dev lo
	route add 10.2.0.0/16 via ${outer[b4]}
	route add fd10:2::/32 via ${outer[b6]}
	$(for o in 4 6; do
		for f in 10.1.$o.1/32,10.2.$o.1/32 fd10:1:$o::1/128,fd10:2:$o::1/128; do
			echo "xfrm policy add src ${f%,*} dst ${f#*,} dir out tmpl src ${outer[a$o]} dst ${outer[b$o]} proto esp reqid $o mode tunnel"
			echo "xfrm policy add src ${f#*,} dst ${f%,*} dir in tmpl src ${outer[b$o]} dst ${outer[a$o]} proto esp reqid $o mode tunnel"
		done
	done)
	EOT
	addr b espudp0 10.2.4.1/32 10.2.6.1/32 fd10:2:4::1/128 fd10:2:6::1/128
	ping_outer
	mtu=$(cat_mtu)
}

cat_mtu()
{
	ip -j -n b link show espudp0 | jq '.[0].mtu'
}

# neighbours are resolved before datagrams race with that
ping_outer()
{
	n a ping -q -c 1 -w 5 "${outer[b4]}" >/dev/null
	n a ping -q -c 1 -w 5 "${outer[b6]}" >/dev/null
}

# key_file NAME OCTETS: a fresh key, also in $hex
key_file()
{
	hex=''
	while [ ${#hex} -lt $(($2 * 2)) ]; do
		printf -v hex '%s%08x' "$hex" "$SRANDOM"
	done
	hex=${hex:0:$2*2}
	echo "$hex" >"$T/$1"
}

# sa_pair OUTER: SAs of both directions with fresh keys and SPIs, added to $conf
# for the tool and to $batch for ip
sa_pair()
{
	local o=$1 dir src dst alg

	for dir in in out; do
		spi=$((spi + 1))
		src=${outer[a$o]} dst=${outer[b$o]}
		[ $dir = in ] || src=${outer[b$o]} dst=${outer[a$o]}
		conf+="[SA]
Direction = $dir
SPI = $spi
Encryption = $enc
ICV = $icv
"
		[ "$esn" = - ] || conf+="ESN = yes"$'\n'
		[ $dir = out ] || conf+="ReplayWindow = $our_window"$'\n'
		key_file $spi.key "$key"
		[ "$key" = 0 ] || conf+="KeyFile = $spi.key"$'\n'
		if [ "$auth" = - ]; then
			alg="aead $enc 0x$hex $icv"
		else
			alg="enc $enc ${hex:+0x}${hex:-\"\"}"
			key_file $spi.auth "$auth_key"
			alg+=" auth-trunc $auth 0x$hex $icv"
			conf+="Authentication = $auth"$'\n'"AuthKeyFile = $spi.auth"$'\n'
		fi
		batch+="xfrm state add src $src dst $dst proto esp spi $spi reqid $o mode tunnel "
		batch+="$flags $alg encap espinudp 4500 4500 0.0.0.0"$'\n'
	done
}

# install_row OUTER...: SAs of $enc, $key and so on at both ends, the old ones go
spi=4096
install_row()
{
	local o conf batch='xfrm state flush'$'\n' flags
	local window=${xfrm_windows[spi % ${#xfrm_windows[@]}]}
	local our_window=${our_windows[(spi / 3) % ${#our_windows[@]}]}

	if [ "$esn" = esn ]; then
		[ "$window" != 0 ] || window=32
		[ "$our_window" != 0 ] || our_window=8192
	fi
	# af-unspec: inner packets of either family
	flags="replay-window $window flag af-unspec"
	[ "$esn" = - ] || flags+=' flag esn'
	windows="$window/$our_window"
	conf="[Device]
Listen = own
OuterChecksum = $csum
"
	for o in 4 6; do
		conf+="[Peer]
Name = peer$o
Local = ${outer[b$o]}
Remote = ${remote[$o]}
Roaming = off
Selector = local 10.2.$o.0/24 remote 10.1.$o.0/24
Selector = local fd10:2:$o::/48 remote fd10:1:$o::/48
"
		[[ $* != *$o* ]] || sa_pair $o
	done
	echo "$conf" >"$T/conf"
	echo "$batch" >"$T/batch"
	n b espudp syncconf espudp0 "$T/conf" && ip -n a -batch "$T/batch"
}

##
# The matrix
##
cell_line()
{
	local i=${1%in*} o=${1#*in}

	case $i in
	4)	echo "$1 10.1.$o.1 10.2.$o.1 $mtu" ;;
	6)	echo "$1 fd10:1:$o::1 fd10:2:$o::1 $mtu" ;;
	esac
}

ms()
{
	echo $((${EPOCHREALTIME/./} / 1000))
}

config_ms=0 udp_ms=0 tcp_ms=0
# run_row INDEX CELL...
run_row()
{
	local index=$1 enc key auth auth_key icv esn outers='' cell name word a b bad='' line=''
	local start config times=''

	shift
	read -r enc key auth auth_key icv esn <<<"${rows[index]}"
	for cell; do
		[[ $outers == *${cell#*in}* ]] || outers+="${cell#*in} "
	done
	name="$enc"
	[ "$auth" = - ] || name+=" $auth"
	name+=" key $key icv $icv"
	[ "$esn" = - ] || name+=" esn"

	start=$(ms)
	# shellcheck disable=SC2086
	install_row $outers >"$T/install" 2>&1 || {
		nok "xfrm and espudp agree: $name" "$(cat "$T/install")"
		return
	}
	config=$(($(ms) - start))
	config_ms=$((config_ms + config))
	for cell; do
		cell_line "$cell" >&"${EXCHANGE[1]}"
		read -r -t 300 -u "${EXCHANGE[0]}" cell word a b || {
			nok "xfrm and espudp agree: $name" "no answer for $cell"
			return
		}
		if [ "$word" = ok ]; then
			line+=" $cell ok"
			times+=" $a+$b"
			udp_ms=$((udp_ms + a))
			tcp_ms=$((tcp_ms + b))
		else
			line+=" $cell FAILED"
			bad+="$cell: $a $b"$'\n'
		fi
		cells=$((cells + 1))
	done
	printf -v line '%-44s window %-9s%s   %s ms' "$name" "$windows" "$line" "$config$times"
	diag "$line"
	if [ -z "$bad" ]; then
		ok "xfrm and espudp agree: $name"
	else
		nok "xfrm and espudp agree: $name" "$bad" \
			"$(n b espudp stats espudp0)" "$(n a grep -v '\b0$' /proc/net/xfrm_stat)"
	fi
}

run_matrix()
{
	local combos=(4in4 6in6 6in4 4in6 6in6 4in4 4in6 6in4) csums=(auto zero) csum i j

	for i in "${!rows[@]}"; do
		# without checksums, each packet is a datagram of its own
		csum=${csums[i / 4 % 2]}
		if [ -n "${FULL-}" ]; then
			run_row "$i" 4in4 4in6 6in4 6in6
		elif [ -n "${DEBUG_KERNEL-}" ]; then
			run_row "$i" "${combos[i % 4]}"
		else
			j=$((i % 4 * 2))
			run_row "$i" "${combos[j]}" "${combos[j + 1]}"
		fi
	done
}

no_drops()
{
	n b espudp stats --json espudp0 >"$T/stats"
	# packets to nowhere are no drops of the tunnels'
	jq -e '[.drop | to_entries[] | select(.value > 0)] == []' "$T/stats" >/dev/null || {
		jq -c '.drop | with_entries(select(.value > 0))' "$T/stats"
		return 1
	}
}

no_xfrm_drops()
{
	! n a grep -v '\b0$' /proc/net/xfrm_stat
}

start=$(ms)
load_module
read_algs "$SELFTESTS/../kmod/algs.h"
if [ -n "${DEBUG_KERNEL-}" ] || [ -z "${FULL-}" ]; then
	add_rows -
	sample_rows
	if [ -n "${FULL-}" ]; then
		rows=("${rows[@]}" "${rows[@]/% -/ esn}")
	else
		for i in "${!rows[@]}"; do
			[ $((i / 2 % 2)) = 0 ] || rows[i]=${rows[i]/% -/ esn}
		done
	fi
else
	add_rows -
	add_rows esn
fi
if [ -n "${ONLY-}" ]; then
	mapfile -t rows < <(printf '%s\n' "${rows[@]}" | grep -E "$ONLY")
fi
check "the table of algorithms was read" test "${#encs[@]}.${#auths[@]}" = 8.5
setup
coproc EXCHANGE { exec exchange a b $sizes $octets $limit; }
read -r -t 30 -u "${EXCHANGE[0]}" word
check "both ends are ready" is "$word" ready
setup_ms=$(($(ms) - start))
cells=0
diag "MTU of the device $mtu, $sizes sizes of datagrams, $octets octets of TCP, both ways"
run_matrix
check "the module dropped nothing" no_drops
check "xfrm dropped nothing" no_xfrm_drops
diag "${#rows[@]} rows, $cells cells, $(($(ms) - start)) ms: set-up $setup_ms, SAs $config_ms, UDP $udp_ms, TCP $tcp_ms"
ktap_end
