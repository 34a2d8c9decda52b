#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Two processors: what a flow sends stays in order, through client, NAT and gateway,
# although TCP sends now on one of them, now on the other, and each may have work left
# that the other would overtake. TCP takes segments behind a gap for signs of loss.
#
# KERNELS: 6.1 6.12
# SAMPLE: 6.12
# SMP: 2
# THREAD: multi
# TIMEOUT: 180

here=$(dirname "$(readlink -f "$0")")
. "$here/lib.sh"
# shellcheck source=bench/contestants.sh
. "$here/bench/contestants.sh"

need espudp iperf3 gojq
ktap_plan 3

behind_gaps()
{
	n gateway nstat -asz TcpExtTCPOFOQueue | awk '/OFO/ { print $2 }'
}

# in_order WHAT: five transfers of 24 MB, each some 300 super-packets. An emulated
# processor may stand still longer than anything is waited for.
in_order()
{
	local before after sent=0

	before=$(behind_gaps)
	for _ in 1 2 3 4 5; do
		nbg gateway iperf3 -s -1 >/dev/null
		wait_for 60 something_on_tcp_port 5201
		n client iperf3 -c "$to" -J -M 1380 -n 24M >"$T/result" &&
			sent=$((sent + 1))
		diag "$(jq -r '.end.sum_received.bits_per_second / 1e6 | floor' "$T/result") Mbit/s"
	done
	after=$(behind_gaps)
	if [ $sent = 5 ] && [ $((after - before)) -le 3 ]; then
		ok "$1"
	else
		nok "$1" "$sent transfers, $((after - before)) times behind a gap"
	fi
}

something_on_tcp_port()
{
	[ -n "$(n gateway ss -Hltn "sport = $1")" ]
}

bench_site
load_module
check "a tunnel is up" espudp_up chacha
echo 0 >/sys/module/espudp/parameters/parallel
in_order "one flow is in order"
echo 1 >/sys/module/espudp/parameters/parallel
in_order "also where several processors do the crypto"
ktap_end
