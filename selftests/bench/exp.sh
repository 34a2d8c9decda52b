#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# selftests/bench/profile.sh [CONTESTANT [CIPHER]]
#
# Which functions the instructions of a TCP transfer go to, at both ends and the NAT
# together: perf, on the instruction clock. Needs Debian's linux-perf. From the
# environment: KERNEL=6.12, ROW=tcp1 (see measure.sh), BYTES=20M, LINES=60.

set -uo pipefail
here=$(dirname "$(readlink -f "$0")")

if [ -z "${ESPUDP_PROFILED-}" ]; then
	kernel=${KERNEL:-6.12}
	command -v perf >/dev/null || { echo "no perf: install linux-perf" >&2; exit 1; }
	make -C "$here/../.." --no-print-directory KVER="$kernel" DEBUG= all helpers >&2 || exit
	release=$(cat "$("$here/../vm/kernel" --cached "$kernel")/release")
	exec "$here/../vm/run" --kernel "$kernel" --icount --env ESPUDP_PROFILED=1 \
		--env "ROW=${ROW:-tcp1}" --env "BYTES=${BYTES:-20M}" --env "LINES=${LINES:-60}" \
		--env "ESPUDP_KO=$(readlink -f "$here/../../build/$release/espudp.ko")" -- "$0" "$@"
fi

# shellcheck source=../lib.sh
. "$here/../lib.sh" >/dev/null
# shellcheck source=contestants.sh
. "$here/contestants.sh"
# shellcheck source=measure.sh
. "$here/measure.sh"

modprobe -qa "$(cat /sys/devices/system/cpu/modalias)"
bench_site
# shellcheck disable=SC2119
load_module
modprobe wireguard
bench_programs
contestant_up "${1:-espudp}" "${2:-gcm128}" >/dev/null || exit
"row_$ROW" "$T/warm"

echo 0 >/proc/sys/kernel/perf_cpu_time_max_percent
perf record -g -e cpu-clock -F 10000 -a -o "$T/perf.data" >/dev/null 2>&1 &
perf=$!
# its own start takes a while
wait_for 60 test -s "$T/perf.data"
sleep 3
"row_$ROW" "$T/result"
kill -INT $perf
wait $perf
jq -r '"\(.end.sum_received | .bytes * 8 / .seconds / 1e6 | floor) Mbit/s"' "$T/result" 2>/dev/null
for ns in client gateway; do ip netns exec $ns true 2>/dev/null; n $ns ip -s link show tun0; n $ns cat /proc/net/snmp | grep Tcp; done
cat /proc/net/softnet_stat
perf report -i "$T/perf.data" --children --stdio -g none --sort symbol 2>/dev/null | grep '%' | head -n 150
