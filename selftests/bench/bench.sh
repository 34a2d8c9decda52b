#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# selftests/bench/bench.sh ("make bench"): compare espudp with what else there
# is, in one boot of a virtual machine for each mode. Prints a table, writes
# JSON, and fails unless espudp is as fast as it must be. Settings come by
# environment:
#
#   KERNEL=6.12          or 6.1
#   FULL=1               all rows and contestants, and more rounds
#   ROUNDS=5             interleaved; the table has medians. With FULL=1 9, but on the
#                        instruction clock, which repeats, 3
#   MODES="icount smp"   the instruction clock with one processor; two processors;
#                        native is this machine, and needs root ("make bench-native")
#   ROWS="tcp1"          what is measured: tcp1, tcp8, l2tp, rtt, udp64, udp512, udp1372,
#                        batch64, batch512, batch1372, peers1, peers100, peers10000,
#                        state10000: see measure.sh. With FULL=1 all, but with two
#                        processors tcp1, tcp8, l2tp
#   CONTESTANTS="plain xfrm wireguard espudp"
#                        and xfrmgro, zones, libipsec
#   CIPHERS="gcm128 chacha cbc256"
#   DATAGRAMS=20000      of each row of UDP (5000 on the instruction clock)
#   BYTES=20M            of a bulk transfer (64M with two processors, where several MB
#                        are still in buffers when the sender is through)
#   OFFLOADS=default     or gro or nic, see contestants.sh
#   PARAMETERS="gro=0"   for the module
#   BENCH_OUT=FILE       the JSON (build/bench.json)
#   BENCH_RAW=DIR        what the programs said (build/bench)
#   ESPUDP_KO=FILE       a module to take instead of building one

set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
repo=$(readlink -f "$here/../..")

modes=${MODES:-icount smp}
native=''
if [ "$modes" = native ]; then
	native=1 KERNEL=$(uname -r)
	[ "$(id -u)" = 0 ] || { echo "bench: namespaces and modules need root" >&2; exit 1; }
	for name in client nat gateway; do
		! ip netns list | grep -qw $name ||
			{ echo "bench: there is a network namespace named $name already" >&2; exit 1; }
	done
	[ ! -e /sys/module/espudp ] ||
		{ echo "bench: espudp is loaded; it must not be in use: rmmod espudp" >&2; exit 1; }
fi
KERNEL=${KERNEL:-6.12}
export BENCH_OUT=${BENCH_OUT:-$repo/build/bench.json}
raw=${BENCH_RAW:-$repo/build/bench}

contestants='plain xfrm wireguard espudp'
[ -z "${FULL-}$native" ] || contestants='plain xfrm xfrmgro zones libipsec wireguard espudp'
settings=()
setting()
{
	settings+=("$1=$2")
}
setting CONTESTANTS "${CONTESTANTS:-$contestants}"
setting CIPHERS "${CIPHERS:-gcm128 chacha cbc256}"
setting OFFLOADS "${OFFLOADS:-default}"
setting PARAMETERS "${PARAMETERS:-}"
setting INNER_MTU "${INNER_MTU:-1420}"

if [ -n "$native" ]; then
	headers=/lib/modules/$KERNEL/build release=$KERNEL
else
	kernel=$("$here/../vm/kernel" --cached "$KERNEL")
	headers=$kernel/build release=$(cat "$kernel/release")
fi
if [ -z "${ESPUDP_KO-}" ]; then
	# what users get: without DEBUG
	make -C "$repo" --no-print-directory KVER="$KERNEL" DEBUG= all
	ESPUDP_KO=$repo/build/$release/espudp.ko
fi
# a folder of links, as for the module itself
crypto=$repo/build/cryptocost-$release
mkdir -p "$crypto"
ln -sf "$here"/crypto/* "$crypto"
make -C "$headers" M="$crypto" --no-print-directory modules >&2
setting CRYPTOCOST_KO "$crypto/cryptocost.ko"
setting ESPUDP_KO "$(readlink -m "$ESPUDP_KO")"

udp='udp64 udp512 udp1372 batch64 batch512 batch1372'
reports=()
for mode in $modes; do
	case $mode in
	icount)	machine=(--icount) bytes=20M datagrams=5000 rounds=3
		rows="tcp1 tcp8 l2tp rtt $udp peers1 peers100 peers10000 state10000" ;;
	smp)	machine=(--smp 2 --thread multi) bytes=64M datagrams=20000 rounds=9
		rows='tcp1 tcp8 l2tp' ;;
	native)	bytes=1G datagrams=1000000 rounds=9
		rows="tcp1 tcp8 l2tp rtt $udp peers1 peers100 peers10000 state10000" ;;
	*)	echo "no such mode: $mode" >&2; exit 2 ;;
	esac
	[ -n "${FULL-}$native" ] || rounds=5 rows=tcp1
	rm -rf "${raw:?}/$mode"
	mkdir -p "$raw/$mode"
	echo "bench: kernel $KERNEL, mode $mode" >&2
	all=("${settings[@]}" "BYTES=${BYTES:-$bytes}" "ROUNDS=${ROUNDS:-$rounds}"
		"DATAGRAMS=${DATAGRAMS:-$datagrams}" "ROWS=${ROWS:-$rows}")
	printf '%s\n' "${all[@]}" | sed 's/=/ /' >"$raw/$mode/settings"
	if [ -n "$native" ]; then
		env "${all[@]}" RESULTS="$raw/$mode" "$here/guest.sh" >&2
	else
		"$here/../vm/run" --kernel "$KERNEL" "${machine[@]}" --timeout "${TIMEOUT:-14400}" \
			--results "$raw/$mode" --log "$raw/$mode/console" "${all[@]/#/--env=}" \
			-- "$here/guest.sh" >&2
	fi
	reports+=("$raw/$mode")
done
mkdir -p "$(dirname "$BENCH_OUT")"
exec "$here/report.py" "$BENCH_OUT" "${reports[@]}"
