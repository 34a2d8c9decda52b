# SPDX-License-Identifier: GPL-2.0
# Sourced by the scripts of this folder.
# shellcheck shell=bash

# One folder for all that is downloaded or built and can be had again.
# shellcheck disable=SC2034
CACHE=${ESPUDP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/espudp}
mkdir -p "$CACHE"

say()
{
	echo "${0##*/}: $*" >&2
}

die()
{
	say "$*"
	exit 1
}

need_bookworm()
{
	local id version

	id=$(. /etc/os-release 2>/dev/null && echo "$ID")
	version=$(. /etc/os-release 2>/dev/null && echo "${VERSION_CODENAME-}")
	[ "$id/$version" = debian/bookworm ] &&
		[ "$(dpkg --print-architecture)" = amd64 ] && return
	cat >&2 <<-EOT
	This is not Debian bookworm on amd64, so nothing was prepared here.
	The tests need, by whatever way your system installs software:
	  - tools: $(sed 's/#.*//' "${BASH_SOURCE[0]%/*}/packages" | xargs | fold -s -w 70 | sed '2,$s/^/    /')
	  - kernels 6.1 and 6.12 as Debian builds them, unpacked to
	    $CACHE/kernels/{6.1,6.12}, each with vmlinuz, release,
	    lib/modules/<release> and build (the headers)
	EOT
	exit 1
}

# apt_update [now]: package lists are asked for again after a day, or at once
# when there are none.
# shellcheck disable=SC2120
apt_update()
{
	local stamp=$CACHE/apt-updated

	[ "${1-}" = now ] || [ -z "$(find "$stamp" -mmin -1440 2>/dev/null)" ] ||
		! apt-cache show linux-image-amd64 >/dev/null 2>&1 || return 0
	say "apt-get update"
	if apt-get -qq update >&2; then
		touch "$stamp"
	else
		say "apt-get update failed, going on with the lists there are"
	fi
}

# apt_unpack FOLDER PACKAGE[=VERSION]... : download packages and unpack them
# into FOLDER, without installing anything. A version that is gone means that
# the lists are old: they are renewed for the next try.
apt_unpack()
{
	local dir=$1 tmp deb

	shift
	tmp=$(mktemp -d "$CACHE/download.XXXXXX")
	say "downloading $*"
	if ! (cd "$tmp" && apt-get -qq -o APT::Sandbox::User=root download "$@" >&2); then
		rm -rf "$tmp"
		[ -z "${APT_RETRY-}" ] || return 1
		apt_update now
		APT_RETRY=1 exec "$0" ${name:+"$name"}
	fi
	for deb in "$tmp"/*.deb; do
		dpkg -x "$deb" "$dir"
	done
	rm -rf "$tmp"
}
