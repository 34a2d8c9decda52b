# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# shellcheck disable=SC2016 # awk
#
# Sourced after contestants.sh: what is measured. Each row of the benchmark is a
# function row_NAME FILE that measures the contestant which is up, leaves what
# the program said in FILE and how many packets that took in $count. What to read
# from FILE is in report.py.

iperf3_listens()
{
	[ -n "$(n gateway ss -Hltn sport = 5201)" ]
}

# The clock jumps while a virtual machine waits for the host's files: programs
# run from memory.
bench_programs()
{
	local program=$T/programs lib

	mkdir "$program"
	cp -L "$(command -v iperf3)" "$program"
	ldd "$program/iperf3" | grep -o '/[^ ]*' | while read -r lib; do
		cp -L "$lib" "$program"
	done
	cp "$(command -v blast)" "$T"
	iperf3=("$program/ld-linux-x86-64.so.2" --library-path "$program" "$program/iperf3")
	export TMPDIR=$T LC_ALL=C

	nbg gateway "${iperf3[@]}" -s >/dev/null 2>&1
	wait_for 60 iperf3_listens
}

# what contestants.sh and this file set for each other
to='' count=0

# Segments that the client's TCP sent until now.
segments()
{
	n client awk '/^Tcp: [0-9]/ { print $12 }' /proc/net/snmp
}

# bulk FILE FLOWS OCTETS [MTU]: the same segments for every contestant
bulk()
{
	local before

	before=$(segments)
	n client "${iperf3[@]}" -c "$to" -J -M $((${4:-$INNER_MTU} - 40)) -P "$2" -n "$3" \
		--connect-timeout 10000 --snd-timeout 30000 >"$1" || return 1
	# its status is 0 also when its control connection broke
	jq -e .end.sum_received "$1" >/dev/null || return 1
	# shellcheck disable=SC2034
	count=$(($(segments) - before))
}

row_tcp1()
{
	bulk "$1" 1 "${BYTES:-20M}"
}

row_tcp8()
{
	bulk "$1" 8 "${BYTES:-20M}"
}

row_l2tp()
{
	bulk "$1" 1 "${BYTES:-20M}" "$PPP_MTU"
}

blast_listens()
{
	[ -n "$(n gateway ss -Hlun sport = 5001)" ]
}

# blasted FILE ADDRESS COMMAND...: what the sender and the receiver of datagrams said
blasted()
{
	local receiver

	# shellcheck disable=SC2034
	count=${DATAGRAMS:-20000}
	nbg gateway "$T/blast" recv "$2" 5001 "$count" >"$T/received"
	receiver=$!
	if wait_for 60 grep -q ready "$T/received" &&
	   n client "$T/blast" send "${@:3}" "$to" 5001 "$count" >"$1" 2>&1; then
		wait "$receiver" && grep received "$T/received" >>"$1"
	else
		kill "$receiver"
		wait "$receiver"
		return 1
	fi
}

# datagrams FILE OCTETS BATCH: so many octets each, one at a time or in batches
datagrams()
{
	blasted "$1" "$to" -l "$2" -b "$3"
}

# the largest are packets of 1,400 octets
row_udp64()
{
	datagrams "$1" 64 1
}

row_udp512()
{
	datagrams "$1" 512 1
}

row_udp1372()
{
	datagrams "$1" 1372 1
}

row_batch64()
{
	datagrams "$1" 64 64
}

row_batch512()
{
	datagrams "$1" 512 64
}

row_batch1372()
{
	datagrams "$1" 1372 44
}

# Datagrams of 512 octets to so many peers in turn.
around()
{
	blasted "$1" 0.0.0.0 -l 512 -n "$2"
}

row_peers1()
{
	around "$1" 1
}

row_peers100()
{
	around "$1" 100
}

row_peers10000()
{
	around "$1" 10000
}

# What memory is not used, in KB, caches aside.
unused()
{
	sync
	echo 3 >/proc/sys/vm/drop_caches
	sleep 1
	awk '/^(MemFree|Cached|Buffers):/ { n += $2 } END { print n }' /proc/meminfo
}

# processor COMMAND...: milliseconds that it spends, in its own code and in the kernel.
# The clock would count waiting for the host, too.
processor()
{
	local TIMEFORMAT='%3U %3S'

	{ time "$@" >/dev/null 2>"$T/said"; } 2>&1 | awk '{ print ($1 + $2) * 1000 }'
}

# state FILE CONTESTANT CIPHER N: what so many peers cost at the gateway, where the caller
# deletes the device
state()
{
	local before after

	many_files "$2" "$4" "$3"
	[ "$2" != espudp ] || ip -n gateway link add tun0 type espudp || return 1
	# what is loaded or kept for the first is there
	"$2_many" gateway && "$2_many_gone" gateway || return 1
	sleep 2
	before=$(unused)
	echo "peers $4 install $(processor "$2_many" gateway)" >"$1"
	after=$(unused)
	echo "memory $((before - after))" >>"$1"
	echo "delete $(processor "$2_many_gone" gateway)" >>"$1"
}

# an idle line: each waits for the answer to the one before
row_rtt()
{
	local rc

	# shellcheck disable=SC2034
	count=1000
	nbg gateway "$T/blast" echo "$to" 5001
	wait_for 60 blast_listens
	n client "$T/blast" ask "$to" 5001 "$count" >"$1"
	rc=$?
	kill $!
	wait $! 2>/dev/null
	return $rc
}

# probe FILE [MTU]: a short transfer with the lid open, not timed: what the outer
# packets look like where they enter the NAT, and what GRO makes of what.
probe()
{
	local events=/sys/kernel/tracing/events/net event

	n nat nft -f - <<-EOT
	table inet probe {
		counter zero { }
		counter full { }
		counter plain { }
		chain prerouting {
			type filter hook prerouting priority -400
			iifname n0 meta l4proto udp udp checksum 0 counter name zero
			iifname n0 meta l4proto udp udp checksum != 0 counter name full
			iifname n0 meta l4proto tcp counter name plain
		}
	}
	EOT
	for event in napi_gro_receive_entry netif_receive_skb; do
		echo 'hist:keys=name:vals=len' >$events/$event/trigger
	done
	bulk "$T/probe" 1 2M "${2-}"
	{
		for event in napi_gro_receive_entry netif_receive_skb; do
			sed -n "s/^{ name: *\([^ ]*\) *} hitcount: *\([0-9]*\) *len: *\([0-9]*\).*/$event \1 \2 \3/p" \
				$events/$event/hist
			echo '!hist:keys=name:vals=len' >$events/$event/trigger
		done
		n nat nft list counters table inet probe |
			awk '$1 == "counter" { name = $2 } $1 == "packets" { print "outer", name, $2, $4 }'
		echo "drops $(drops)"
	} >"$1"
	n nat nft delete table inet probe
}

# Packets that any device or xfrm dropped since the site was built.
drops()
{
	local ns

	for ns in client nat gateway; do
		n $ns awk 'NR > 2 { n += $5 + $13 } END { print n + 0 }' /proc/net/dev
		n $ns awk '{ n += $2 } END { print n + 0 }' /proc/net/xfrm_stat 2>/dev/null
	done | awk '{ n += $1 } END { print n + 0 }'
}

# crypto_cost FILE: the crypto API alone. The module measures when it is loaded, and does
# not stay.
crypto_cost()
{
	local mark=cryptocost-$EPOCHREALTIME

	echo "$mark" >/dev/kmsg
	insmod "$CRYPTOCOST_KO" 2>/dev/null
	dmesg | sed "1,/$mark/d" | sed -n 's/.*cryptocost \([^:]*\)$/\1/p' >>"$1"
}
