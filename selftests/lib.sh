# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Sourced by the tests: KTAP output, waiting, namespaces, topologies, captures.
#
#	. "$(dirname "$0")/lib.sh"
#	topo_nat
#	load_module
#	check "the client reaches the gateway" n client ping -c 1 203.0.113.2
#	ktap_end

SELFTESTS=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
ESPUDP_KO=${ESPUDP_KO:-$SELFTESTS/../build/$(uname -r)-debug/espudp.ko}
[ -n "${ESPUDP_RUNNER-}" ] || [ -e "$ESPUDP_KO" ] || ESPUDP_KO=$(modinfo -n espudp 2>/dev/null)
PATH=$SELFTESTS/../build/tools:$SELFTESTS/../build/helpers:$SELFTESTS:$PATH
export PATH

# A folder of the test's own.
T=$(mktemp -d)

##
# KTAP
##
ktap_points=0
ktap_failed=0
ktap_planned=''

echo "TAP version 13"

# ktap_plan [N]: announce the number of points; when it is not known before, the
# plan comes last.
ktap_plan()
{
	ktap_planned=$1
	echo "1..$1"
}

diag()
{
	printf '%s\n' "$@" | sed '/^$/d; s/^/# /'
}

# ok DESCRIPTION
ok()
{
	ktap_points=$((ktap_points + 1))
	echo "ok $ktap_points $1"
}

# nok DESCRIPTION [DIAGNOSTIC]...; always returns 1
nok()
{
	ktap_points=$((ktap_points + 1))
	ktap_failed=$((ktap_failed + 1))
	echo "not ok $ktap_points $1"
	shift
	[ $# = 0 ] || diag "$@"
	return 1
}

# skip DESCRIPTION REASON
skip()
{
	ktap_points=$((ktap_points + 1))
	echo "ok $ktap_points $1 # SKIP $2"
}

# check DESCRIPTION COMMAND [ARGUMENT]...: a point that is the command's status;
# its output is shown when it fails.
check()
{
	local desc=$1 rc=0

	shift
	"$@" >"$T/check" 2>&1 || rc=$?
	if [ $rc = 0 ]; then
		ok "$desc"
	else
		nok "$desc" "$* = $rc" "$(cat "$T/check")"
	fi
}

# For the opposite: check "it is refused" not espudp ...
not()
{
	! "$@"
}

# is ACTUAL EXPECTED: for check
is()
{
	[ "$1" = "$2" ] || { echo "got '$1', expected '$2'"; return 1; }
}

ktap_end()
{
	if [ -z "$ktap_planned" ]; then
		echo "1..$ktap_points"
	elif [ "$ktap_planned" != $ktap_points ]; then
		diag "$ktap_points points, $ktap_planned planned"
		exit 1
	fi
	[ $ktap_failed = 0 ]
	exit
}

# skip_all REASON
skip_all()
{
	echo "1..0 # SKIP $1"
	exit 4
}

# need COMMAND...
need()
{
	local command

	for command; do
		command -v "$command" >/dev/null || skip_all "no $command"
	done
}

# The one in Go starts ten times as fast: half a second, in emulation.
jq()
{
	gojq "$@"
}

# wait_for SECONDS COMMAND...: until it succeeds, tried every 50 ms
wait_for()
{
	local end=$((${EPOCHREALTIME/./} + $1 * 1000000))

	shift
	until "$@" >/dev/null 2>&1; do
		[ ${EPOCHREALTIME/./} -lt $end ] || return 1
		sleep 0.05
	done
}

##
# Namespaces
##
namespaces=()

# ns_add NAME...
ns_add()
{
	local ns

	for ns; do
		ip netns add "$ns"
		namespaces+=("$ns")
		ip -n "$ns" link set lo up
		n "$ns" sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.all.accept_dad=0
	done
}

# ns_del NAME...: with the processes in it
ns_del()
{
	local ns pids

	for ns; do
		pids=$(ip netns pids "$ns" 2>/dev/null)
		# shellcheck disable=SC2086
		[ -z "$pids" ] || kill -9 $pids 2>/dev/null
		ip netns del "$ns" 2>/dev/null
	done
}

# n NAME COMMAND...: run in a namespace
n()
{
	ip netns exec "$@"
}

# nbg NAME COMMAND...: the same in the background; its process is $!
nbg()
{
	ip netns exec "$@" &
}

tcp_receiver='
import socket
with socket.create_server(("::", 5201), family=socket.AF_INET6,
                          dualstack_ipv6=True) as server, server.accept()[0] as peer:
    octets = 0
    while data := peer.recv(1 << 16):
        octets += len(data)
print(octets)'
tcp_sender='
import socket, sys
with socket.create_connection((sys.argv[1], 5201)) as peer:
    peer.sendall(bytes(int(sys.argv[2])))'

tcp_listens()
{
	[ -n "$(n "$1" ss -Hltn sport = 5201)" ]
}

# tcp_arrives FROM TO ADDRESS OCTETS [PREFIX...]: TCP with nothing behind the end of it,
# from namespace FROM to TO, arrives within 20 seconds; PREFIX runs the sender
tcp_arrives()
{
	local pid octets

	nbg "$2" timeout 20 python3 -c "$tcp_receiver" >"$T/octets"
	pid=$!
	wait_for 60 tcp_listens "$2"
	n "$1" timeout 20 "${@:5}" python3 -c "$tcp_sender" "$3" "$4"
	wait "$pid"
	octets=$(cat "$T/octets")
	[ "$octets" = "$4" ] || { echo "$octets octets"; return 1; }
}

# veth NS1 IF1 NS2 IF2
veth()
{
	ip -n "$1" link add "$2" type veth peer name "$4" netns "$3"
	ip -n "$1" link set "$2" up
	ip -n "$3" link set "$4" up
}

# addr NS IF ADDRESS/LENGTH...
addr()
{
	local ns=$1 dev=$2 address

	shift 2
	for address; do
		case $address in
		*:*)	ip -n "$ns" addr add "$address" dev "$dev" nodad ;;
		*)	ip -n "$ns" addr add "$address" dev "$dev" ;;
		esac
	done
}

# Client behind a NAT that masquerades IPv4 and IPv6.
#
#   client                       nat                              gateway
#   c0 192.168.1.2/24 --- n0 192.168.1.1/24
#      fd01::2/64            fd01::1/64
#                         n1 203.0.113.1/24    --- g0 203.0.113.2/24
#                            2001:db8:1::1/64         2001:db8:1::2/64
topo_nat()
{
	ns_add client nat gateway
	veth client c0 nat n0
	veth nat n1 gateway g0
	addr client c0 192.168.1.2/24 fd01::2/64
	addr nat n0 192.168.1.1/24 fd01::1/64
	addr nat n1 203.0.113.1/24 2001:db8:1::1/64
	addr gateway g0 203.0.113.2/24 2001:db8:1::2/64
	ip -n client route add default via 192.168.1.1
	ip -n client -6 route add default via fd01::1
	n nat sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
	nat_ports=20000
	nat_masquerade
}

nat_masquerade()
{
	n nat nft -f - <<-EOT
	table inet nat
	delete table inet nat
	table inet nat {
		chain postrouting {
			type nat hook postrouting priority srcnat
			oifname n1 meta l4proto udp masquerade to :$nat_ports-$((nat_ports + 999))
			oifname n1 masquerade
		}
	}
	EOT
}

# nat_change_port: the NAT forgets its mappings, new ones get other UDP ports
nat_change_port()
{
	nat_ports=$((nat_ports < 60000 ? nat_ports + 1000 : 20000))
	nat_masquerade
	nat_forget
}

# The mappings that there are; "conntrack -F" takes some that come meanwhile, too.
nat_forget()
{
	n nat conntrack -D -f ipv4 -p udp >/dev/null 2>&1
	n nat conntrack -D -f ipv6 -p udp >/dev/null 2>&1
}

# nat_timeout SECONDS: after which the NAT forgets a silent mapping
nat_timeout()
{
	n nat sysctl -qw "net.netfilter.nf_conntrack_udp_timeout=$1" \
		"net.netfilter.nf_conntrack_udp_timeout_stream=$1"
}

# Two neighbours.
#
#   a                                     b
#   a0 198.51.100.1/24  ---  b0 198.51.100.2/24
#      2001:db8:2::1/64         2001:db8:2::2/64
topo_direct()
{
	ns_add a b
	veth a a0 b b0
	addr a a0 198.51.100.1/24 2001:db8:2::1/64
	addr b b0 198.51.100.2/24 2001:db8:2::2/64
}

# wire_honest NS IF: no offloads, so that captures show what a wire would carry
wire_honest()
{
	n "$1" ethtool -K "$2" tx off tso off gso off gro off tx-udp-segmentation off >/dev/null
}

##
# Captures
##
declare -A captures=()

# capture_start NS IF FILE [FILTER]
capture_start()
{
	local ns=$1 dev=$2 file=$3

	shift 3
	nbg "$ns" tcpdump -i "$dev" -Z root --immediate-mode -U -n -w "$file" "$@" 2>"$file.err"
	captures[$file]=$!
	wait_for 20 grep -q 'listening on' "$file.err" ||
		diag "tcpdump did not start: $(cat "$file.err")"
}

# capture_stop FILE: after tcpdump wrote what has come until now
capture_stop()
{
	local file=$1 size=-1

	while [ "$size" != "$(stat -c %s "$file")" ]; do
		size=$(stat -c %s "$file")
		sleep 0.1
	done
	kill "${captures[$file]}"
	wait "${captures[$file]}"
	unset "captures[$file]"
	return 0
}

# capture_count FILE [FILTER]: packets that match a tcpdump filter, of what is there
# now: the end of a file that grows may never be reached
capture_count()
{
	local file=$1

	shift
	head -c "$(stat -c %s "$file")" "$file" | tcpdump -n -r - "$@" 2>/dev/null | grep -c '^[0-9]'
}

##
# The module
##
unload_module()
{
	[ ! -e /sys/module/espudp ] || rmmod espudp
}

# load_module [PARAMETER=VALUE]...: load it afresh; a test cannot go on without
load_module()
{
	local dep error

	unload_module
	[ -e "$ESPUDP_KO" ] || {
		nok "the module is loaded" "there is no module '$ESPUDP_KO'"
		exit 1
	}
	for dep in $(modinfo -F depends "$ESPUDP_KO" | tr , ' '); do
		modprobe "$dep"
	done
	# What udev would load for this processor.
	modprobe -qa aesni_intel ghash_clmulni_intel chacha_x86_64 poly1305_x86_64 \
		sha1_ssse3 sha256_ssse3 sha512_ssse3 || true
	# shellcheck disable=SC2086
	error=$(insmod "$ESPUDP_KO" ${PARAMETERS-} "$@" 2>&1) || {
		nok "the module is loaded" "$error" "$(dmesg | tail -n 5)"
		exit 1
	}
}

cleanup()
{
	local status=$? pids

	trap - EXIT
	pids=$(jobs -p)
	# shellcheck disable=SC2086
	[ -z "$pids" ] || kill $pids 2>/dev/null
	ns_del "${namespaces[@]}"
	# the runner unloads the module itself, and judges how that goes
	[ -n "${ESPUDP_RUNNER-}" ] || unload_module
	rm -rf "$T"
	exit $status
}
trap cleanup EXIT
trap 'exit 1' HUP INT TERM
