# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Sourced after lib.sh: a tunnel between two espudp devices.
#
#   a                                        b
#   espudp0 10.1.0.1, fd00:1::1              espudp0 10.2.0.1, fd00:2::1
#   a0 198.51.100.1, 2001:db8:2::1   ---     b0 198.51.100.2, 2001:db8:2::2

# pair_key SEED OCTETS: hexadecimal, the same for the same seed
pair_key()
{
	printf '%s' "$1" | sha512sum | cut -c "1-$(($2 * 2))"
}

# pair_sa NS DEV PEER in|out SPI [ALGORITHM [WORD]...]: keys follow from the SPI
pair_sa()
{
	local ns=$1 dev=$2 peer=$3 dir=$4 spi=$5 alg=${6:-aes-gcm}
	local words=()

	shift 5
	[ $# = 0 ] || shift
	case $alg in
	aes-gcm | aes-ccm | aes-gmac)	words=(enc "$alg" key-file -) ;;
	chacha20-poly1305)		words=(enc "$alg" key-file -) ;;
	null)				words=(enc null auth sha256 auth-key-file -) ;;
	*)				words=(enc "$alg" key-file - auth sha256 auth-key-file -) ;;
	esac
	case $alg in
	aes-gcm | aes-gmac | aes-ctr)	pair_key "$spi" 20 ;;
	aes-ccm)			pair_key "$spi" 19 ;;
	chacha20-poly1305)		pair_key "$spi" 36 ;;
	aes-cbc)			pair_key "$spi" 16 ;;
	3des-cbc)			pair_key "$spi" 24 ;;
	esac >"$T/keys.$BASHPID"
	[[ ${words[*]} != *auth-key-file* ]] || pair_key "$spi auth" 32 >>"$T/keys.$BASHPID"
	n "$ns" espudp sa add "$dev" "$peer" "$dir" spi "$spi" "${words[@]}" "$@" \
		<"$T/keys.$BASHPID"
}

# pair_end NS DEV IN OUT LOCAL REMOTE REMOTE6: one end, without SAs
pair_dev()
{
	local ns=$1 dev=$2 local=$3 remote=$4 outer=$5

	ip -n "$ns" link add "$dev" type espudp
	n "$ns" espudp socket open "$dev"
	n "$ns" espudp peer add "$dev" id 1 remote "$outer" routes none \
		selector local "10.$local.0.0/16" remote "10.$remote.0.0/16" \
		selector local "fd00:$local::/32" remote "fd00:$remote::/32" >/dev/null
	ip -n "$ns" link set "$dev" up
	addr "$ns" "$dev" "10.$local.0.1/16" "fd00:$local::1/32"
	ip -n "$ns" route add "10.$remote.0.0/16" dev "$dev"
	ip -n "$ns" -6 route add "fd00:$remote::/32" dev "$dev"
}

# pair_up [ALGORITHM [WORD]...]: both ends of a tunnel, SPI 0x1001 to b, 0x1002
# to a
pair_up()
{
	local alg=${1:-aes-gcm}

	[ $# = 0 ] || shift
	pair_dev a espudp0 1 2 198.51.100.2
	pair_dev b espudp0 2 1 198.51.100.1
	pair_sas "$alg" 0x1001 0x1002 "$@"
}

# pair_sas ALGORITHM SPI_TO_B SPI_TO_A [WORD]...: a pair of SAs at each end, the
# inbound ones first
pair_sas()
{
	local alg=$1 to_b=$2 to_a=$3

	shift 3
	pair_sa b espudp0 1 in "$to_b" "$alg" "$@" &&
	pair_sa a espudp0 1 in "$to_a" "$alg" "$@" &&
	pair_sa a espudp0 1 out "$to_b" "$alg" &&
	pair_sa b espudp0 1 out "$to_a" "$alg"
}

# pair_ping [NS]: does the tunnel work?
pair_ping()
{
	local to=10.2.0.1 to6=fd00:2::1

	if [ "${1:-a}" = b ]; then
		to=10.1.0.1 to6=fd00:1::1
	fi
	n "${1:-a}" ping -q -c 2 -i 0.1 -W 5 $to && n "${1:-a}" ping -q -c 2 -i 0.1 -W 5 $to6
}

# counter NS DEV NAME: a counter or a reason for drops
counter()
{
	n "$1" espudp stats "$2" --json |
		jq --arg name "$3" '.[$name] // .drop[$name] // 0'
}

# counted NS DEV NAME MINIMUM: has it got there?
counted()
{
	[ "$(counter "$1" "$2" "$3")" -ge "$4" ]
}

# log_clean [PATTERN]: nothing in the kernel's log that should not be there;
# the runner looks for more
log_clean()
{
	local found

	found=$(dmesg | grep -E "${1:-BUG:|WARNING:|Oops|INFO: task|waiting for .* to become free|\
possible recursive locking|possible circular locking|suspicious RCU|KASAN|UBSAN|refcount_t}")
	[ -z "$found" ] || { echo "$found" | head -n 20; return 1; }
}

# objects_gone: what the module made it has destroyed; it is to be unloaded
objects_gone()
{
	local left

	left=$(dmesg | sed -n 's/.*espudp: \(created\|destroyed\) /\1 /p' | awk '
		$1 == "created" { made[$2 " " $3]++ }
		$1 == "destroyed" { made[$2 " " $3]-- }
		END { for (i in made) if (made[i]) print i, made[i] }')
	[ -z "$left" ] || { echo "left: $left" | head -n 20; return 1; }
}
