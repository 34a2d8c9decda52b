#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Three processors, one of which has no time: several encrypt and decrypt a batch, but
# nobody waits for one that was asked and has not come.
#
# KERNELS: 6.1 6.12
# SAMPLE: 6.12
# SMP: 3
# THREAD: multi
# TIMEOUT: 180

. "$(dirname "$0")/lib.sh"
# shellcheck source=bench/contestants.sh
. "$SELFTESTS/bench/contestants.sh"

need espudp python3 chrt taskset
ktap_plan 4

events=/sys/kernel/tracing/events/workqueue/workqueue_execute_start

# How often processors have helped. Not that without time, whose work waits.
helped()
{
	awk '/^{ .*help.*espudp/ { n += $NF } END { print n + 0 }' $events/hist
}

# TCP with nothing behind the end of it: what a receiver in Python has read until then.
receiver='
import socket
with socket.create_server(("", 5201)) as server, server.accept()[0] as peer:
    octets = 0
    while data := peer.recv(1 << 16):
        octets += len(data)
print(octets)'
sender='
import socket, sys
with socket.create_connection((sys.argv[1], 5201)) as peer:
    peer.sendall(bytes(2 << 20))'

listens()
{
	[ -n "$(n gateway ss -Hltn sport = 5201)" ]
}

# all_arrive: four transfers, each within 20 seconds. The sender's processor is the first,
# where a softirq always runs on top of a task and leaves what it can to others.
all_arrive()
{
	local pid

	for _ in 1 2 3 4; do
		nbg gateway timeout 20 python3 -c "$receiver" >"$T/octets"
		pid=$!
		wait_for 60 listens
		n client taskset 1 python3 -c "$sender" "$to" &
		wait "$pid"
		wait $!
		[ "$(cat "$T/octets")" = $((2 << 20)) ] || { echo "$(cat "$T/octets") octets"; return 1; }
	done
}

bench_site
load_module parallel=1	# whatever PARAMETERS says
taskset 1 nice -n 19 sh -c 'while :; do :; done' &
task=$!
check "a tunnel is up" espudp_up chacha
echo 'hist:keys=function.sym' >$events/trigger
check "transfers arrive" all_arrive
check "others have helped" [ "$(helped)" -gt 20 ]

# the third runs nothing else, not even for the twentieth of its time that others have
# since 6.12
sysctl -qw kernel.sched_rt_runtime_us=-1
fair=/sys/kernel/debug/sched/fair_server/cpu2/runtime
[ ! -e $fair ] || fair_time=$(cat $fair)
[ ! -e $fair ] || echo 0 >$fair
timeout 50 taskset 4 chrt -f 50 sh -c 'while :; do :; done' &
hog=$!
sleep 1
check "also while one of those that could help has no time" all_arrive
kill $hog $task
wait $hog $task
[ ! -e $fair ] || echo "$fair_time" >$fair
sysctl -qw kernel.sched_rt_runtime_us=950000
ktap_end
