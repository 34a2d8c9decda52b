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

# all_arrive: four transfers, each within 20 seconds. The sender's processor is the first,
# where a softirq always runs on top of a task and leaves what it can to others.
all_arrive()
{
	for _ in 1 2 3 4; do
		tcp_arrives client gateway "$to" $((2 << 20)) taskset 1 || return 1
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
