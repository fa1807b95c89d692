#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Downloads what packaging/sources.txt names into a folder, by the apt of a root (which knows this
# machine's mirror) and by cargo, and checks the sums.
#
#   packaging/fetch.sh <root> <folder>
#
# P2PANDA_SOURCES=near   where the mirror has a line's version no more, take the newest of the same
#                        series that it has, and say so (default: exact, that is an error)
#
# <folder>/<library>/ gets the files and VERSION, the version that they are.
set -eu
. "$(dirname "$0")/common.sh"
root=$1 folder=$2
mkdir -p "$folder"

prepared=
# Apt knows where sources are, once.
prepare() {
	[ -z "$prepared" ] || return 0
	prepared=yes
	know_suites "$root"
}

# series <version>: its first two numbers
series() { echo "$1" | sed 's/^\([0-9]*\.[0-9]*\).*/\1/'; }

# candidates <how> <package> <version> <suite>: versions to try, the best first
candidates() {
	echo "$3"
	[ "${P2PANDA_SOURCES:-exact}" = near ] || return 0
	case $1 in
	source | tar) in_root "$root" -- apt-cache showsrc "$2" | sed -n 's/^Version: //p' ;;
	deb) in_root "$root" -- apt-cache madison "$2" | awk '{ print $3 }' ;;
	esac | grep -v "^$3\$" | grep "^$(series "$3" | sed 's/\./\\./')\." | sort -urV
}

# get <how> <package> <version> <where>
get() {
	case $1 in
	source) in_root "$root" "$4:/fetched" -- sh -c 'cd /fetched &&
		apt-get -qq -o APT::Sandbox::User=root source --download-only --only-source "$1=$2"' get "$2" "$3" ;;
	tar) in_root "$root" "$4:/fetched" -- sh -c 'cd /fetched &&
		apt-get -qq -o APT::Sandbox::User=root source --download-only --tar-only --only-source "$1=$2"' get "$2" "$3" ;;
	deb) in_root "$root" "$4:/fetched" -- sh -c 'cd /fetched && apt-get -qq -o APT::Sandbox::User=root download "$1=$2"' get "$2" "$3" ;;
	crate) get_crate "$2" "$3" "$4" ;;
	esac
}

get_crate() {
	local work=$3/crate
	command -v cargo >/dev/null 2>&1 || { say "cargo is needed for $1"; return 1; }
	mkdir -p "$work/src"
	: >"$work/src/lib.rs"
	printf '[package]\nname = "fetch"\nversion = "0.0.0"\n[dependencies]\n%s = "=%s"\n' "$1" "$2" \
		>"$work/Cargo.toml"
	(cd "$work" && CARGO_HOME=$packaged/cargo cargo fetch --quiet) || return 1
	cp "$packaged"/cargo/registry/cache/*/"$1-$2.crate" "$3/" || return 1
	rm -rf "$work"
}

# main_file <how> <where>: the file whose sum is in the list
main_file() {
	case $1 in
	source) echo "$2"/*.dsc ;;
	tar) echo "$2"/*.orig.tar.?z ;;
	*) echo "$2"/*."$1" ;;
	esac
}

fetch_library() {
	local library=$1 how=$2 package=$3 wanted=$4 suite=$5 sum=$7 where=$folder/$1 found=
	local instead=$folder/$library.instead # what the version that is there was taken for
	if [ "$(cat "$where/VERSION" 2>/dev/null)" = "$wanted" ]; then
		return
	fi
	# That the wanted one cannot be had is asked once a week.
	if [ "${P2PANDA_SOURCES:-exact}" = near ] && [ "$(cat "$instead" 2>/dev/null)" = "$wanted" ] &&
		[ -n "$(find "$instead" -mtime -7)" ]; then
		say "$package $wanted could not be had: staying with $(cat "$where/VERSION")"
		return
	fi
	say "downloading $package $wanted"
	prepare
	for found in $(candidates "$how" "$package" "$wanted" "$suite"); do
		rm -rf "$where.new"
		mkdir -p "$where.new"
		get "$how" "$package" "$found" "$where.new" >&2 && break
		found=
	done
	[ -n "$found" ] || die "$package $wanted cannot be had from here (P2PANDA_SOURCES=near takes the nearest one)"
	if [ "$found" = "$wanted" ]; then
		[ "$(sha256sum "$(main_file "$how" "$where.new")" | cut -d ' ' -f 1)" = "$sum" ] ||
			die "$package $wanted is not what packaging/sources.txt names: $(sha256sum "$(main_file "$how" "$where.new")")"
	else
		say "$package $wanted cannot be had from here: taking $found"
	fi
	echo "$found" >"$where.new/VERSION"
	rm -rf "$where" "$instead"
	mv "$where.new" "$where"
	[ "$found" = "$wanted" ] || echo "$wanted" >"$instead"
}

while read -r line; do
	case $line in
	'' | '#'*) ;;
	*) # shellcheck disable=SC2086 # words
		fetch_library $line </dev/null ;;
	esac
done <"$tree/packaging/sources.txt"
