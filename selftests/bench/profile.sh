#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# selftests/bench/profile.sh [CONTESTANT [CIPHER]]
#
# Which functions the instructions of a TCP transfer go to, at both ends and the NAT
# together: perf, on the instruction clock. Needs Debian's linux-perf. From the
# environment: KERNEL=6.12, ROW=tcp1 (see measure.sh), BYTES=20M, DATAGRAMS=5000,
# LINES=60; CALLERS=FUNCTION,... tells who calls those.

set -uo pipefail
here=$(dirname "$(readlink -f "$0")")

if [ -z "${ESPUDP_PROFILED-}" ]; then
	kernel=${KERNEL:-6.12}
	command -v perf >/dev/null || { echo "no perf: install linux-perf" >&2; exit 1; }
	make -C "$here/../.." --no-print-directory KVER="$kernel" DEBUG= all helpers >&2 || exit
	release=$(cat "$("$here/../vm/kernel" --cached "$kernel")/release")
	out=$here/../../build/profile
	mkdir -p "$out"
	"$here/../vm/run" --kernel "$kernel" --icount --results "$out" --env ESPUDP_PROFILED=1 \
		--env "ROW=${ROW:-tcp1}" --env "BYTES=${BYTES:-20M}" \
		--env "DATAGRAMS=${DATAGRAMS:-5000}" --env "CALLERS=${CALLERS-}" \
		--env "ESPUDP_KO=$(readlink -f "$here/../../build/$release/espudp.ko")" \
		-- "$0" "$@" || exit
	report=(perf report -i "$out/perf.data" --kallsyms "$out/kallsyms" --no-children --stdio
		--sort symbol)
	if [ -n "${CALLERS-}" ]; then
		"${report[@]}" -g caller,0.5,callee --max-stack 8 -S "$CALLERS" 2>/dev/null |
			grep -v '^#'
	else
		"${report[@]}" 2>/dev/null
	fi | grep '%' | grep -v pv_native_safe_halt | head -n "${LINES:-60}"
	exit
fi

# shellcheck source=../lib.sh
. "$here/../lib.sh" >/dev/null
# shellcheck source=contestants.sh
. "$here/contestants.sh"
# shellcheck source=measure.sh
. "$here/measure.sh"
# shellcheck source=l2tp.sh
. "$here/l2tp.sh"

modprobe -qa "$(cat /sys/devices/system/cpu/modalias)"
bench_site
# shellcheck disable=SC2119
load_module
modprobe -a wireguard l2tp_ppp ppp_generic
bench_programs
kind=''
[ "$ROW" != l2tp ] || kind=l2tp
contestant_up "${1:-espudp}" "${2:-gcm128}" $kind >/dev/null || exit
"row_$ROW" "$T/warm"

echo 0 >/proc/sys/kernel/perf_cpu_time_max_percent
perf record ${CALLERS:+-g} -e cpu-clock -F 10000 -a -o "$T/perf.data" >/dev/null 2>&1 &
perf=$!
# its own start takes a while
wait_for 60 test -s "$T/perf.data"
sleep 3
"row_$ROW" "$T/result"
kill -INT $perf
wait $perf
jq -r '"\(.end.sum_received | .bytes * 8 / .seconds / 1e6 | floor) Mbit/s"' "$T/result" 2>/dev/null
cp "$T/perf.data" /results
cat /proc/kallsyms >/results/kallsyms
