# SPDX-License-Identifier: MIT OR Apache-2.0
#
# What the scripts of packaging/ and tests/packaging/ share; they include it. Sets
#
#   tree       the repository
#   packaged   the folder of roots, sources and built libraries, which stays from run to run: below
#              P2PANDA_TEST_CACHE (default: ${XDG_CACHE_HOME:-~/.cache}/mosquitto-p2panda)

tree=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
packaged=${P2PANDA_TEST_CACHE:-${XDG_CACHE_HOME:-${HOME:-/var/tmp}/.cache}/mosquitto-p2panda}/packaging
mkdir -p "$packaged"
packaged=$(cd "$packaged" && pwd -P)

say() { echo "${0##*/}: $*" >&2; }
die() { say "$@"; exit 1; }

# The version is in CMakeLists.txt and nowhere else.
version=$(sed -n 's/^project(mosquitto_p2panda VERSION \([0-9.]*\).*/\1/p' "$tree/CMakeLists.txt")
[ -n "$version" ] || die "CMakeLists.txt names no version"

# The same bytes from the same sources: times in what is made are that of the last commit, else
# of the last entry of the changelog.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$tree" log -1 --format=%ct 2>/dev/null ||
	stat -c %Y "$tree/CHANGELOG.md")}
export SOURCE_DATE_EPOCH TZ=UTC LC_ALL=C.UTF-8

# one_at_a_time <name>: who makes what others use too; ends with the subshell that calls it
one_at_a_time() {
	exec 8>"$packaged/$1.lock"
	flock 8
}

# root_of <suite> <name> [package...]: makes a root of Debian with these packages, once; prints its
# folder. DEBIAN_ARCH as in docker/debian-root.sh.
root_of() (
	set -e
	suite=$1 name=$2
	shift 2
	key=$(echo "1 $suite ${DEBIAN_ARCH:-} $*" | sha256sum | cut -c 1-12)
	root=$packaged/root-$name-$key
	one_at_a_time "root-$name"
	if [ ! -d "$root" ]; then
		[ "$(id -u)" = 0 ] || die "root is needed to make $root"
		say "making a root of Debian $suite: $root"
		rm -rf "$packaged/root-$name"-???????????? "$root.new" # of another key
		"$tree/docker/debian-root.sh" "$suite" "$root.new" "$@" >&2 8>&- || exit 1
		mv "$root.new" "$root"
	fi
	echo "$root"
)

# in_root <root> <folder>:<where>... -- <command...>: runs it there, with these folders at these
# places; the mounts are seen by the command alone and end with it
in_root() {
	# shellcheck disable=SC2016
	unshare --mount --pid --fork --kill-child --propagation private bash -c '
		set -eu
		root=$1
		shift
		mount --bind "$root" "$root"
		mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
		mount -t proc proc "$root/proc" 2>/dev/null || mount --rbind /proc "$root/proc"
		mount --rbind /dev "$root/dev"
		while [ "$1" != -- ]; do
			mkdir -p "$root${1#*:}"
			mount --bind "${1%%:*}" "$root${1#*:}"
			shift
		done
		shift
		for file in /etc/resolv.conf /etc/hosts; do
			[ ! -f "$file" ] || { touch "$root$file"; mount --bind "$file" "$root$file"; }
		done
		exec chroot "$root" env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
			HOME=/tmp LC_ALL=C.UTF-8 TZ=UTC SOURCE_DATE_EPOCH="$SOURCE_DATE_EPOCH" \
			${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} \
			${no_proxy:+no_proxy="$no_proxy"} "$@"
		' in_root "$@"
}

# build_root: prints the root that everything is built in, for all C libraries and machines
build_root() {
	root_of bookworm build binutils ca-certificates cmake dpkg-dev gcc gcc-aarch64-linux-gnu libc6-dev \
		libc6-dev-arm64-cross linux-libc-dev make musl-tools ninja-build patch perl pkgconf \
		python3 uthash-dev xz-utils
}

# stock_root <suite>: prints a root of Debian with its own Mosquitto
stock_root() {
	root_of "$1" "stock-$1" libc6-dbg mosquitto mosquitto-clients valgrind
}

# know_suites <root>: lets the apt of a root download from the newer suites too; what the root
# itself has stays of its own
know_suites() {
	# shellcheck disable=SC2016
	in_root "$1" -- sh -c '
		mirror=$(sed -n "s/^deb \(\[.*\] \)\{0,1\}\([^ ]*\) .*/\2/p" /etc/apt/sources.list | head -n 1)
		for suite in trixie forky; do
			echo "deb-src $mirror $suite main"
			echo "deb $mirror $suite main"
		done >/etc/apt/sources.list.d/newer.list
		printf "Package: *\nPin: release n=bookworm\nPin-Priority: 990\n" >/etc/apt/preferences.d/own
		apt-get -qq -o APT::Sandbox::User=root update' >&2
}

# stock_root_arm64: prints a root of Debian forky for another kind of machine, with its Mosquitto
# and, as /qemu-aarch64, what runs its programs here
stock_root_arm64() (
	set -e
	build=$(build_root)
	root=$(DEBIAN_ARCH=arm64 root_of forky stock-arm64 libc-bin mosquitto)
	one_at_a_time stock-arm64
	if [ ! -x "$root/qemu-aarch64" ]; then
		mkdir -p "$packaged/qemu" "$root/proc"
		# Nothing has set the packages up.
		for one in bin sbin lib; do
			[ -e "$root/$one" ] || ln -s "usr/$one" "$root/$one"
		done
		know_suites "$build"
		in_root "$build" "$packaged/qemu:/fetched" -- sh -c 'cd /fetched && rm -f *.deb &&
			apt-get -qq -o APT::Sandbox::User=root download qemu-user/forky' >&2
		dpkg-deb --fsys-tarfile "$packaged"/qemu/*.deb |
			tar -x -O ./usr/bin/qemu-aarch64 >"$packaged/qemu/qemu-aarch64"
		rm "$packaged"/qemu/*.deb
		chmod 755 "$packaged/qemu/qemu-aarch64"
		cp "$packaged/qemu/qemu-aarch64" "$root/qemu-aarch64.new"
		chroot "$root" /qemu-aarch64.new /usr/sbin/ldconfig
		mv "$root/qemu-aarch64.new" "$root/qemu-aarch64"
	fi
	echo "$root"
)
