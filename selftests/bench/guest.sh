#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# selftests/bench/guest.sh: the benchmark's part inside the virtual machine, or on a real
# one. It measures and leaves raw material in $RESULTS (/results) for report.py:
#
#	about		the machine
#	crypto		the crypto API alone
#	probe-*		what the packets of a contestant look like, in each kind of site
#	index		row contestant cipher round packets drops kind, a line for each file
#	ROW-CONTESTANT-CIPHER-ROUND
#
# ROWS, CONTESTANTS, CIPHERS, ROUNDS, BYTES, INNER_MTU and OFFLOADS come from
# bench.sh.

here=$(dirname "$(readlink -f "$0")")
# shellcheck source=../lib.sh
. "$here/../lib.sh" >/dev/null
# shellcheck source=contestants.sh
. "$here/contestants.sh"
# shellcheck source=measure.sh
. "$here/measure.sh"
# shellcheck source=l2tp.sh
. "$here/l2tp.sh"

out=${RESULTS:-/results}

# fail MESSAGE: this contestant is out, and the report will say so
fail()
{
	echo "$*"
	echo "$*" >>"$out/failures"
}

# each FUNCTION [ARGUMENT]...: call it for every contestant with every cipher
each()
{
	local contestant cipher ciphers

	for contestant in $CONTESTANTS; do
		ciphers=ciphers_$contestant
		for cipher in ${!ciphers}; do
			# shellcheck disable=SC2153
			[ "$cipher" = none ] || [[ " $CIPHERS " == *" $cipher "* ]] || continue
			"$@" "$contestant" "$cipher"
		done
	done
}

# able CONTESTANT [KIND]
able()
{
	declare -F "$1${2:+_$2}_up" >/dev/null
}

# kind_of ROW: of site, see contestant_up()
kind_of()
{
	case $1 in
	peers* | state*)	echo many ;;
	l2tp*)			echo l2tp ;;
	esac
}

# look KIND CONTESTANT CIPHER
look()
{
	local kind=$1 contestant=$2 cipher=$3 mtu=''

	able "$contestant" "$kind" || return
	[ "$kind" != l2tp ] || mtu=$PPP_MTU
	if contestant_up "$contestant" "$cipher" "$kind" >"$T/up" 2>&1; then
		probe "$out/probe-$contestant-$cipher-$kind" "$mtu"
	else
		fail "$contestant $cipher $kind carries nothing: $(tail -n 3 "$T/up" | xargs)"
	fi
	contestant_down "$contestant" "$kind" >/dev/null 2>&1
}

# again WHAT COMMAND...: once more. The clock may jump over the time limits of
# iperf3's control connection.
again()
{
	echo "$1: again, since: $(jq -r .error "$T/result" 2>&1)"
	sleep 2
	"${@:2}"
}

# measure ROW ROUND CONTESTANT CIPHER
measure()
{
	local row=$1 round=$2 contestant=$3 cipher=$4 kind before file peers='' probed

	kind=$(kind_of "$row")
	probed=$kind
	if [ "$kind" = many ]; then
		# with one cipher
		[ "$cipher" = gcm128 ] || return
		peers=${row//[a-z]/}
		probed=''
	fi
	able "$contestant" "$kind" && [ -e "$out/probe-$contestant-$cipher-$probed" ] || return
	file=$row-$contestant-$cipher-$round
	if [[ $row == state* ]]; then
		if state "$T/result" "$contestant" "$cipher" "$peers"; then
			cp "$T/result" "$out/$file"
			echo "$row $contestant $cipher $round $peers 0 $kind" >>"$out/index"
		else
			fail "$file: $(tail -n 3 "$T/said" | xargs)"
		fi
		[ "$contestant" != espudp ] || ip -n gateway link del tun0
		return
	fi
	if contestant_up "$contestant" "$cipher" "$kind" "$peers" >"$T/up" 2>&1; then
		before=$(drops)
		if "row_$row" "$T/result" || again "$file" "row_$row" "$T/result"; then
			cp "$T/result" "$out/$file"
			echo "$row $contestant $cipher $round $count $(($(drops) - before)) $probed" \
				>>"$out/index"
		else
			fail "$file: $(tail -c 300 "$T/result" | xargs)"
		fi
	else
		fail "$file: $(tail -n 3 "$T/up" | xargs)"
	fi
	contestant_down "$contestant" "$kind" >/dev/null 2>&1
}

# a machine that is started again begins afresh
rm -f "$out"/{about,crypto,index,failures} "$out"/probe-*
{
	echo "release $(uname -r)"
	echo "cpus $(nproc)"
	echo "cpu $(sed -n 's/^model name.*: //p;T;q' /proc/cpuinfo)"
	echo "clock $(cat /sys/devices/system/clocksource/clocksource0/current_clocksource)"
} >"$out/about"

# what udev does on a real system: the processor's own crypto modules
modprobe -qa "$(cat /sys/devices/system/cpu/modalias)"

bench_site
# shellcheck disable=SC2119
[[ $CONTESTANTS != *espudp* ]] || load_module
[[ $CONTESTANTS != *wireguard* ]] || modprobe wireguard
[[ $CONTESTANTS != *libipsec* ]] || modprobe tun
[[ $ROWS != *l2tp* ]] || modprobe -a l2tp_ppp ppp_generic
{
	for end in "client c0" "nat n1" "gateway g0"; do
		# shellcheck disable=SC2086
		n ${end% *} ethtool -k ${end#* } | awk -v dev="${end#* }" '
			/^(tcp-segmentation-offload|generic-receive-offload|tx-udp-segmentation|tx-checksumming):/ {
				sub(":", "", $1); print "offload", dev, $1, $2 }'
	done
} >>"$out/about"
bench_programs
each look ''
[[ $ROWS != *l2tp* ]] || each look l2tp
for ((round = 1; round <= ROUNDS; round++)); do
	crypto_cost "$out/crypto"
	for row in $ROWS; do
		echo "round $round of $ROUNDS: $row"
		each measure "$row" $round
	done
done
exit 0	# the report tells of failures
