#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# selftests/bench/guest.sh: the benchmark's part inside the virtual machine.
# It measures and leaves raw material in /results for report.py:
#
#	about		the machine
#	crypto		the crypto API alone
#	probe-*		what the packets of a contestant look like
#	index		row contestant cipher round packets drops, one line for each file
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

out=/results

# fail MESSAGE: this contestant is out, and the report will say so
fail()
{
	echo "$*"
	echo "$*" >>$out/failures
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

look()
{
	local contestant=$1 cipher=$2

	if contestant_up "$contestant" "$cipher" >"$T/up" 2>&1; then
		probe "$out/probe-$contestant-$cipher"
	else
		fail "$contestant $cipher carries nothing: $(tail -n 3 "$T/up" | xargs)"
	fi
	"${contestant}_down" >/dev/null 2>&1
}

# again WHAT COMMAND...: once more. The clock may jump over the time limits of
# iperf3's control connection.
again()
{
	echo "$1: again, since: $(jq -r .error "$T/result" 2>&1)"
	sleep 2
	"${@:2}"
}

measure()
{
	local row=$1 round=$2 contestant=$3 cipher=$4 before file peers

	[ -e "$out/probe-$contestant-$cipher" ] || return
	file=$row-$contestant-$cipher-$round
	peers=''
	if [[ $row == peers* || $row == state* ]]; then
		# with one cipher, by those that have more than one peer here
		peers=${row//[a-z]/}
		[ "$cipher" = gcm128 ] && declare -F "${contestant}_many" >/dev/null || return
	fi
	if [[ $row == state* ]]; then
		if state "$T/result" "$contestant" "$cipher" "$peers"; then
			cp "$T/result" "$out/$file"
			echo "$row $contestant $cipher $round $peers 0" >>$out/index
		else
			fail "$file: $(tail -n 3 "$T/said" | xargs)"
		fi
		[ "$contestant" != espudp ] || ip -n gateway link del tun0
		return
	fi
	if contestant_up "$contestant" "$cipher" "$peers" >"$T/up" 2>&1; then
		before=$(drops)
		if "row_$row" "$T/result" || again "$file" "row_$row" "$T/result"; then
			cp "$T/result" "$out/$file"
			echo "$row $contestant $cipher $round $count $(($(drops) - before))" >>$out/index
		else
			fail "$file: $(tail -c 300 "$T/result" | xargs)"
		fi
	else
		fail "$file: $(tail -n 3 "$T/up" | xargs)"
	fi
	"${contestant}${peers:+_many}_down" >/dev/null 2>&1
}

# a machine that is started again begins afresh
rm -f $out/{about,crypto,index,failures} $out/probe-*
{
	echo "release $(uname -r)"
	echo "cpus $(nproc)"
	echo "cpu $(sed -n 's/^model name.*: //p;T;q' /proc/cpuinfo)"
	echo "clock $(cat /sys/devices/system/clocksource/clocksource0/current_clocksource)"
} >$out/about

# what udev does on a real system: the processor's own crypto modules
modprobe -qa "$(cat /sys/devices/system/cpu/modalias)"

bench_site
# shellcheck disable=SC2119
[[ $CONTESTANTS != *espudp* ]] || load_module
[[ $CONTESTANTS != *wireguard* ]] || modprobe wireguard
{
	for end in "client c0" "nat n1" "gateway g0"; do
		# shellcheck disable=SC2086
		n ${end% *} ethtool -k ${end#* } | awk -v dev="${end#* }" '
			/^(tcp-segmentation-offload|generic-receive-offload|tx-udp-segmentation|tx-checksumming):/ {
				sub(":", "", $1); print "offload", dev, $1, $2 }'
	done
} >>$out/about
bench_programs
each look
for ((round = 1; round <= ROUNDS; round++)); do
	echo "round $round of $ROUNDS"
	crypto_cost $out/crypto
	for row in $ROWS; do
		each measure "$row" $round
	done
done
