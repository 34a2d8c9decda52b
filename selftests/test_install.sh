#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# make install, make dkms-install and what undoes them, on a Debian that is as
# good as new; kernels come and go there by dpkg, and once the module does not
# build. That is in a chroot, without a network, since an emulated machine takes
# minutes to compile; each kernel is then booted on the same root file system, to
# see that "ip link add" loads the module.
#
# KERNELS: 6.12
# TIMEOUT: 600
# HOST: compiles for 6.1 and 6.12, and boots both
# FULL-ONLY: takes three minutes of both processors, longer beside other tests

here=$(dirname "$(readlink -f "$0")")
if [ "${1-}" != booted ]; then
	# no module is loaded here, nor is one unloaded
	export ESPUDP_RUNNER=1
	# shellcheck source=vm/common.sh
	. "$here/vm/common.sh"
	export TMPDIR=$CACHE
fi
. "$here/lib.sh"

# What is run in the virtual machine.
booted()
{
	check "modinfo finds the module" eval 'modinfo -n espudp | grep /updates/dkms/'
	check "which is for this kernel" is "$(modinfo -F vermagic espudp | cut -d' ' -f1)" "$(uname -r)"
	check "it is not loaded" not test -e /sys/module/espudp
	check "ip link add loads it" ip link add dev espudp0 type espudp
	check "and it is that one" is "$(cat /sys/module/espudp/srcversion)" \
		"$(modinfo -F srcversion espudp)"
	check "the device comes up" ip link set dev espudp0 up
	check "the device goes" ip link del dev espudp0
	check "modprobe -r unloads it" modprobe -r espudp
	check "the kernel's log has no warning" not grep -E 'WARNING:|BUG:|Oops|espudp:.*rror' <(dmesg)
	ktap_end
}

if [ "${1-}" = booted ]; then
	booted
fi

need unshare mmdebstrap qemu-system-x86_64
[ "$(id -u)" = 0 ] || skip_all "chroot needs root"
[ ! -e /run/espudp/job ] || skip_all "it boots machines itself"

root=$T/root
version=$(cat "$SELFTESTS/../VERSION")
make_log=/var/lib/dkms/espudp/$version/build/make.log
declare -A release

# in_root COMMAND...: in the chroot, where "uname -r" names the kernel that is
# thought of as running
in_root()
{
	unshare -mni --root="$root" --mount-proc env -i HOME=/root LC_ALL=C \
		PATH=/packages:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
		DEBIAN_FRONTEND=noninteractive INITRD=No "$@"
}

# run_kernel NAME
run_kernel()
{
	printf '#!/bin/sh\n[ "$*" = -r ] || exec /bin/uname "$@"\necho %s\n' "${release[$1]}" \
		>"$root/packages/uname"
	chmod +x "$root/packages/uname"
}

mk()
{
	in_root make -C /src BUILD=/tmp/build "$@"
}

# add_kernel NAME [PACKAGE]: or those of its packages whose names begin like that
add_kernel()
{
	in_root sh -c "dpkg --force-unsafe-io -i /packages/$1/${2-}*.deb"
}

remove_kernel()
{
	# shellcheck disable=SC2046
	in_root dpkg --purge $(basename -a "$root/packages/$1"/*.deb | cut -d_ -f1)
}

# listing: of what is in the root file system, but for what dpkg keeps for itself
listing()
{
	(
		cd "$root" &&
		find . \( -path ./proc -o -path ./tmp -o -path ./packages -o -path ./var/log \
			-o -path ./var/cache -o -path ./var/lib/dpkg \) -prune \
			-o -type d -printf '%p/ %m\n' -o -printf '%p %m %s %l\n' | sort
	)
}

# unchanged FILE: since that listing
unchanged()
{
	diff "$1" <(listing)
}

files()
{
	(cd "$root/$1" && find . -not -type d | LC_ALL=C sort)
}

# built KERNEL: by DKMS
built()
{
	local of=${release[$1]}

	in_root dkms status -m espudp -v "$version" -k "$of" | grep installed &&
	in_root modinfo -k "$of" -n espudp | grep -x "/lib/modules/$of/updates/dkms/espudp.ko\(.xz\)\?" &&
	is "$(in_root modinfo -k "$of" -F vermagic espudp | cut -d' ' -f1)" "$of"
}

absent()
{
	is "$(find "$root/lib/modules/${release[$1]}/" -name 'espudp*')" ""
}

clean_audit()
{
	is "$(in_root dpkg --audit)" ""
}

# boot KERNEL: and take over the points of what is run there
boot()
{
	local points failed status=0 line

	"$SELFTESTS/vm/run" --kernel "$1" --root "$root" --timeout 900 \
		-- /src/selftests/test_install.sh booted >"$T/booted" 2>&1 || status=$?
	points=$ktap_points failed=$ktap_failed
	while read -r line; do
		case $line in
		"ok "*)		ok "$1 booted: ${line#ok * }" ;;
		"not ok "*)	nok "$1 booted: ${line#not ok * }" ;;
		"# "*)		echo "$line" ;;
		esac
	done <"$T/booted"
	[ $ktap_failed != "$failed" ] || { [ $status = 0 ] && [ $ktap_points != "$points" ]; } ||
		nok "$1 booted" "status $status" "$(tail -n 20 "$T/booted")"
}

system=$("$SELFTESTS/vm/root" 2>"$T/error") || {
	nok "there is a root file system" "$(cat "$T/error")"
	exit 1
}
cp -a "$system/base/" "$root" && mkdir "$root/packages" "$root/src" || exit
for kernel in 6.1 6.12; do
	cp -r "$system/$kernel/" "$root/packages/$kernel"
	release[$kernel]=$(cat "$CACHE/kernels/$kernel/release")
done
tar -C "$SELFTESTS/.." --exclude=./build --exclude=./.git -c . |
	tar -C "$root/src" --no-same-owner -x
# as usual, folders of PREFIX stay when they have become empty
mkdir -p "$root"/usr/local/{bin,lib/systemd/system,share/{bash-completion/completions,man/man8}}
listing >"$T/new"

run_kernel 6.1
check "Linux 6.1 and its headers are installed" add_kernel 6.1
listing >"$T/before"

# make install
cat >"$T/installed" <<EOT
./lib/modules/${release[6.1]}/updates/espudp.ko
./usr/bin/espudp
./usr/lib/systemd/system/espudp-shield.service
./usr/lib/systemd/system/espudp@.service
./usr/share/bash-completion/completions/espudp
./usr/share/man/man8/espudp.8
EOT
check "make install DESTDIR= PREFIX=" mk install DESTDIR=/tmp/stage PREFIX=/usr
check "it puts there what is meant to be there" diff "$T/installed" <(files tmp/stage)
check "and nothing elsewhere" unchanged "$T/before"
check "the tool runs" in_root /tmp/stage/usr/bin/espudp help
check "the unit knows where it will be" \
	grep -q '^ExecStart=/usr/bin/espudp ' "$root/tmp/stage/usr/lib/systemd/system/espudp@.service"
touch "$root/tmp/stage/usr/bin/other"
check "make uninstall DESTDIR= PREFIX=, without headers" \
	mk uninstall DESTDIR=/tmp/stage PREFIX=/usr KDIR=/none
check "it removes exactly that" is "$(files tmp/stage)" ./usr/bin/other

# no kernel of the cache is taken where there are others
mkdir -p "$root/root/.cache/espudp/kernels/6.99/build"
run_kernel 6.12
listing >"$T/with_cache"
check "make install, of a kernel that does not run, is refused" not mk install
cp "$T/check" "$T/refused"
check "and both are named" grep "kernel is ${release[6.12]}.*KVER=${release[6.1]}" "$T/refused"
check "nothing is installed" unchanged "$T/with_cache"
rm -r "$root/root/.cache"
run_kernel 6.1
check "make install" mk install
check "modinfo finds the module" is "$(in_root modinfo -k "${release[6.1]}" -n espudp)" \
	"/lib/modules/${release[6.1]}/updates/espudp.ko"
check "the tool is found" in_root espudp help
check "make uninstall" mk uninstall
check "nothing is left behind" unchanged "$T/before"

# make dkms-install
rm -rf "$root/tmp/stage"
check "make dkms-install DESTDIR=" mk dkms-install DESTDIR=/tmp/stage
check "it puts hooks and source there" diff - <(cd "$root/tmp/stage" &&
	find . -path './etc/*' -type f -perm 755 -o -name dkms.conf -o -name main.c | sort) <<EOT
./etc/kernel/header_postinst.d/espudp
./etc/kernel/postinst.d/espudp
./usr/src/espudp-$version/dkms.conf
./usr/src/espudp-$version/kmod/main.c
EOT
check "and nothing elsewhere" unchanged "$T/before"
check "make dkms-uninstall DESTDIR=" mk dkms-uninstall DESTDIR=/tmp/stage
check "no file is left there" is "$(files tmp/stage)" ""

check "make dkms-install" mk dkms-install
check "DKMS has built the module for the running kernel" built 6.1
boot 6.1

# another kernel
check "dpkg installs Linux 6.12 and its headers" add_kernel 6.12
check "DKMS has built the module for it" built 6.12
check "dpkg --audit finds nothing" clean_audit
boot 6.12
check "dpkg removes Linux 6.12" remove_kernel 6.12
check "with all of it" not test -e "$root/lib/modules/${release[6.12]}"

# a kernel that it does not build for
sed -i '1i #error broken' "$root/usr/src/espudp-$version/kmod/main.c"
check "dpkg installs Linux 6.12, for which the module does not build" add_kernel 6.12
cp "$T/check" "$T/dpkg"
check "a line says so" grep -xF \
	"espudp: not built for ${release[6.12]}, there is no espudp with this kernel; see $make_log" \
	"$T/dpkg"
check "where it names the compiler's" grep -q 'error.*broken' "$root$make_log"
check "dpkg --audit finds nothing" clean_audit
# shellcheck disable=SC2016
check "each package is installed" not grep -v '^ii' <(in_root dpkg-query -W \
	-f '${db:Status-Abbrev} ${Package}\n')
check "there is no module for that kernel" absent 6.12
check "there still is for the other" built 6.1
check "dpkg removes Linux 6.1, the last kernel with the module" remove_kernel 6.1
check "which makes DKMS forget it" is "$(in_root dkms status -m espudp)" ""
run_kernel 6.12
sed -i 1d "$root/usr/src/espudp-$version/kmod/main.c"
check "dpkg installs an image for which there are headers" add_kernel 6.12 linux-image
check "DKMS has built the mended module" built 6.12

# removal, also of what an older version has left
in_root sh -c "cd /usr/src && cp -r espudp-$version espudp-0.0 &&
	sed -i 's/^PACKAGE_VERSION=.*/PACKAGE_VERSION=0.0/' espudp-0.0/dkms.conf &&
	dkms add -m espudp -v 0.0" >"$T/older" 2>&1
check "an older version is registered" grep -q '^espudp/0.0' <(in_root dkms status -m espudp)
check "make dkms-uninstall" mk dkms-uninstall
check "DKMS has none left" is "$(in_root dkms status -m espudp)" ""
check "no kernel has the module" absent 6.12
check "modinfo finds none" not in_root modinfo -k "${release[6.12]}" espudp
check "dpkg removes Linux 6.12" remove_kernel 6.12
check "nothing is left behind" unchanged "$T/new"
ktap_end
