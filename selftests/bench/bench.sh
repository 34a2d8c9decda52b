#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# selftests/bench/bench.sh ("make bench"): compare espudp with what else there
# is, in one boot of a virtual machine for each mode. Prints a table, writes
# JSON, and fails unless espudp is as fast as it must be. Settings come by
# environment:
#
#   KERNEL=6.12          or 6.1
#   ROUNDS=5             interleaved; the table has medians
#   MODES="icount smp"   the instruction clock with one processor; two processors
#   ROWS="tcp1"          what is measured; also tcp8, rtt, udp64, udp512, udp1372,
#                        batch64, batch512, batch1372, peers1, peers100, peers10000,
#                        state10000: see measure.sh
#   CONTESTANTS="plain xfrm wireguard espudp"
#   CIPHERS="gcm128 chacha cbc256"
#   DATAGRAMS=20000      of each row of UDP
#   BYTES=20M            of a bulk transfer (8M with two processors)
#   OFFLOADS=default     or gro or nic, see contestants.sh
#   PARAMETERS="gro=0"   for the module
#   BENCH_OUT=FILE       the JSON (build/bench.json)
#   BENCH_RAW=DIR        what the programs said (build/bench)
#   ESPUDP_KO=FILE       a module to take instead of building one

set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
repo=$(readlink -f "$here/../..")

KERNEL=${KERNEL:-6.12}
modes=${MODES:-icount smp}
export BENCH_OUT=${BENCH_OUT:-$repo/build/bench.json}
raw=${BENCH_RAW:-$repo/build/bench}

settings=()
setting()
{
	settings+=(--env "$1=$2")
}
setting ROUNDS "${ROUNDS:-5}"
setting ROWS "${ROWS:-tcp1}"
setting CONTESTANTS "${CONTESTANTS:-plain xfrm wireguard espudp}"
setting CIPHERS "${CIPHERS:-gcm128 chacha cbc256}"
setting OFFLOADS "${OFFLOADS:-default}"
setting DATAGRAMS "${DATAGRAMS:-20000}"
setting PARAMETERS "${PARAMETERS:-}"
setting INNER_MTU "${INNER_MTU:-1420}"

kernel=$("$here/../vm/kernel" --cached "$KERNEL")
if [ -z "${ESPUDP_KO-}" ]; then
	# what users get: without DEBUG
	make -C "$repo" --no-print-directory KVER="$KERNEL" DEBUG= all
	ESPUDP_KO=$repo/build/$(cat "$kernel/release")/espudp.ko
fi
# a folder of links, as for the module itself
crypto=$repo/build/cryptocost-$(cat "$kernel/release")
mkdir -p "$crypto"
ln -sf "$here"/crypto/* "$crypto"
make -C "$kernel/build" M="$crypto" --no-print-directory modules >&2
setting CRYPTOCOST_KO "$crypto/cryptocost.ko"
setting ESPUDP_KO "$(readlink -m "$ESPUDP_KO")"

reports=()
for mode in $modes; do
	case $mode in
	icount)	machine=(--icount) bytes=20M ;;
	smp)	machine=(--smp 2 --thread multi) bytes=8M ;;
	*)	echo "no such mode: $mode" >&2; exit 2 ;;
	esac
	rm -rf "${raw:?}/$mode"
	mkdir -p "$raw/$mode"
	echo "bench: kernel $KERNEL, mode $mode" >&2
	all=("${settings[@]}" --env "BYTES=${BYTES:-$bytes}")
	printf '%s\n' "${all[@]}" | sed '/^--env$/d; s/=/ /' >"$raw/$mode/settings"
	"$here/../vm/run" --kernel "$KERNEL" "${machine[@]}" --timeout "${TIMEOUT:-14400}" \
		--results "$raw/$mode" --log "$raw/$mode/console" "${all[@]}" \
		-- "$here/guest.sh" >&2
	reports+=("$raw/$mode")
done
mkdir -p "$(dirname "$BENCH_OUT")"
exec "$here/report.py" "$BENCH_OUT" "${reports[@]}"
