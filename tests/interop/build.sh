#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Builds the reference peers peer06 (p2panda 0.6.1), peer071 (p2panda 0.7.1) and
# peer07 (p2panda 0.7.0).
#
#   tests/interop/build.sh [06] [071] [07]   all when none is named, in this order
#
# CARGO_TARGET_DIR  where to build (default: tests/interop/.build, ignored by git)
# CARGO_HOME        cargo's cache of downloads, as usual
#
# The peers share one target directory, as most of their dependencies are equal.
# They are built from copies below it, so that the lock files land there as well
# and the tree may be read-only. The network is used only for what is not cached.
# Exit status: 0 and, as the last line on stdout, the directory of the binaries.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
say() { echo "interop: $*" >&2; }
die() { say "$*"; exit 1; }

command -v cargo >/dev/null 2>&1 || die "cargo is not installed"
[ $# -gt 0 ] || set -- 06 071 07
for generation in "$@"; do
	[ -f "$here/peer$generation/Cargo.toml" ] || die "there is no peer$generation"
done

target=${CARGO_TARGET_DIR:-$here/.build}
mkdir -p "$target" || die "cannot write to $target"
target=$(cd "$target" && pwd)
export CARGO_TARGET_DIR="$target"
src=$target/interop

# An unchanged copy keeps its time stamp: nothing is then built again.
refresh() {
	cmp -s "$here/$1" "$src/$1" || cp "$here/$1" "$src/$1"
}

host=$(rustc -vV | sed -n 's/^host: //p')
for generation in "$@"; do
	name=peer$generation
	mkdir -p "$src/$name"
	refresh peer.rs
	refresh "$name/Cargo.toml"
	cd "$src/$name"
	begun=$(date +%s)

	if [ ! -f Cargo.lock ] || [ Cargo.toml -nt Cargo.lock ]; then
		say "$name: choosing versions"
		# What was chosen before stays, and 07 takes what 071 has: it is built already.
		[ -f Cargo.lock ] || [ "$name" != peer07 ] || [ ! -f ../peer071/Cargo.lock ] ||
			cp ../peer071/Cargo.lock .
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
