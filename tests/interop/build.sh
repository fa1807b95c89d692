#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Builds the reference peers peer06 (p2panda-net 0.6.1), peer071 (0.7.1) and peer07
# (0.7.0), the applications app06 and app071 on the crate p2panda above it, the
# example for people (examples/application), and the relay server iroh-relay.
#
#   tests/interop/build.sh [06] [071] [07] [app06] [app071] [application] [relay]
#
# All are built when none is named, in this order; a number is a peer's. Only by name: 05,
# the peer peer05 (p2panda-net 0.5.1).
#
# CARGO_TARGET_DIR  where to build (default: tests/interop/.build, ignored by git)
# CARGO_HOME        cargo's cache of downloads, as usual
#
# They share one target directory, as most of their dependencies are equal. They are
# built from copies below it, so that the lock files land there as well and the tree
# may be read-only; the relay as it is on crates.io, with the versions of its own lock
# file. The network is used only for what is not cached.
# Exit status: 0 and, as the last line on stdout, the directory of the binaries.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
say() { echo "interop: $*" >&2; }
die() { say "$*"; exit 1; }

command -v cargo >/dev/null 2>&1 || die "cargo is not installed"
[ $# -gt 0 ] || set -- 06 071 07 app06 app071 application relay
names=
for name in "$@"; do
	case $name in
	0*) name=peer$name ;;
	esac
	case $name in
	application | relay) ;;
	*) [ -f "$here/$name/Cargo.toml" ] || die "there is no $name" ;;
	esac
	names="$names $name"
done

target=${CARGO_TARGET_DIR:-$here/.build}
mkdir -p "$target" || die "cannot write to $target"
target=$(cd "$target" && pwd)
export CARGO_TARGET_DIR="$target"
src=$target/interop

# The example has cargo's own profile: here that of the others, which is theirs to build with.
export CARGO_PROFILE_DEV_OPT_LEVEL=1 CARGO_PROFILE_DEV_DEBUG=false
export CARGO_PROFILE_DEV_DEBUG_ASSERTIONS=false CARGO_PROFILE_DEV_OVERFLOW_CHECKS=false
export CARGO_PROFILE_DEV_INCREMENTAL=false CARGO_PROFILE_DEV_CODEGEN_UNITS=4
export CARGO_PROFILE_DEV_STRIP=debuginfo

# refresh <directory> <file>: an unchanged copy keeps its time stamp, so that nothing is
# built again.
refresh() {
	cmp -s "$1/$2" "$src/$2" || cp "$1/$2" "$src/$2"
}

# The released server itself: what is there in the wanted version stays.
relay_version=1.4.1
build_relay() {
	if [ "$("$target/debug/iroh-relay" --version 2>/dev/null)" != "iroh-relay $relay_version" ]; then
		say "relay: building iroh-relay $relay_version (minutes)"
		begun=$(date +%s)
		cargo install iroh-relay --version "=$relay_version" --features server --locked --debug \
			--ignore-rust-version --force --no-track --root "$src/relay" >&2 ||
			die "relay: build failed (offline?)"
		mv "$src/relay/bin/iroh-relay" "$target/debug/"
		say "relay: $target/debug/iroh-relay after $(($(date +%s) - begun)) s"
	fi
}

host=$(rustc -vV | sed -n 's/^host: //p')
for name in $names; do
	if [ "$name" = relay ]; then
		build_relay
		continue
	fi
	mkdir -p "$src/$name"
	if [ "$name" = application ]; then
		refresh "$here/../../examples" application/main.rs
		refresh "$here/../../examples" application/Cargo.toml
	else
		refresh "$here" "${name%%[0-9]*}.rs"
		refresh "$here" "$name/Cargo.toml"
		[ ! -f "$here/$name/generation.rs" ] || refresh "$here" "$name/generation.rs"
	fi
	cd "$src/$name"
	begun=$(date +%s)

	if [ ! -f Cargo.lock ] || [ Cargo.toml -nt Cargo.lock ]; then
		say "$name: choosing versions"
		# What was chosen before stays, and another takes what a peer has: it is built.
		case $name in
		peer05) like=../peer06 ;;
		peer07) like=../peer071 ;;
		application) like=../app071 ;;
		app*) like=../peer${name#app} ;;
		*) like=. ;;
		esac
		[ -f Cargo.lock ] || [ ! -f $like/Cargo.lock ] || cp $like/Cargo.lock .
		cargo update --workspace --quiet --offline --ignore-rust-version 2>/dev/null ||
			cargo update --workspace --ignore-rust-version ||
			die "$name: no set of versions found (offline?)"
		touch Cargo.lock
	fi
	if ! cargo fetch --quiet --offline --locked --target "$host" 2>/dev/null; then
		say "$name: downloading"
		cargo fetch --locked --target "$host" || die "$name: download failed (offline?)"
	fi
	say "$name: building (minutes, when new)"
	cargo build --offline --locked --ignore-rust-version || die "$name: build failed"
	say "$name: $target/debug/$name after $(($(date +%s) - begun)) s"
done
echo "$target/debug"
