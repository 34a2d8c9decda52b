#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A guard against getting slow: TCP bulk through espudp and through xfrm, in
# turn, in one boot; medians. "make bench" measures; this only tells that
# something is badly wrong, so that it may run beside others on an ordinary
# clock.
#
# Client - NAT - gateway, see bench/contestants.sh.
#
# KERNELS: 6.12
# TIMEOUT: 300

. "$(dirname "$0")/lib.sh"
# shellcheck source=bench/contestants.sh
. "$SELFTESTS/bench/contestants.sh"
# shellcheck source=bench/measure.sh
. "$SELFTESTS/bench/measure.sh"

need iperf3 gojq perl

ROUNDS=3
if [ -n "${FULL-}" ]; then
	ROUNDS=7
fi
BYTES=2M

# speed CONTESTANT CIPHER: kbit/s of a transfer, appended to their file
speed()
{
	contestant_up "$1" "$2" && row_tcp1 "$T/result" &&
	jq '.end.sum_received | .bytes * 8 / .seconds / 1000 | floor' "$T/result" >>"$T/$1-$2"
	local rc=$?
	"$1_down"
	return $rc
}

median()
{
	sort -n "$1" | sed -n "$((ROUNDS / 2 + 1))p"
}

faster()
{
	local ours theirs

	ours=$(median "$T/espudp-$1")
	theirs=$(median "$T/xfrm-$1")
	echo "espudp $ours kbit/s, xfrm $theirs kbit/s"
	[ "$ours" -gt "$theirs" ]
}

modprobe -qa "$(cat /sys/devices/system/cpu/modalias)"
bench_site
# shellcheck disable=SC2119
load_module
bench_programs
ktap_plan 4
for cipher in gcm128 chacha; do
	rc=0
	for ((round = 1; round <= ROUNDS; round++)); do
		for contestant in xfrm espudp; do
			speed $contestant $cipher >"$T/speed" 2>&1 || {
				rc=1
				diag "$contestant $cipher:" "$(tail -n 5 "$T/speed")"
			}
		done
	done
	check "xfrm and espudp carry TCP through the NAT with $cipher" [ $rc = 0 ]
	diag "$(faster $cipher)"
	check "TCP bulk with $cipher is faster through espudp than through xfrm" faster $cipher
done
ktap_end
