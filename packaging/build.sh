#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Makes the self-contained plugin: one file that needs the C library of its machine alone, for
# stock brokers.
#
#   packaging/build.sh [glibc|musl] [amd64|arm64] [--out folder] [--fresh]
#
# Default: glibc, amd64, build/packaging/<libc>-<machine>. The folder gets mosquitto_p2panda.so,
# what it is made of (mosquitto_p2panda.so.spdx.json, SPDX 2.3) and its debug symbols, and
# mosquitto_ctrl_p2panda.so, the module of mosquitto_ctrl, which is made of some of the same. The same
# bytes come from the same sources, every time: also with --fresh, which builds the libraries anew and
# keeps none of them.
#
# Needs root, apt and Debian's mirror (and cargo, when sources are new). Roots, sources and
# libraries stay in the folder that packaging/common.sh names: minutes the first time.
#
# P2PANDA_SOURCES   see packaging/fetch.sh
set -eu
. "$(dirname "$0")/common.sh"

libc=glibc machine=amd64 out= fresh=
while [ $# -gt 0 ]; do
	case $1 in
	glibc | musl) libc=$1 ;;
	amd64 | arm64) machine=$1 ;;
	--out) out=$2; shift ;;
	--fresh) fresh=yes ;;
	*) sed -n '3,/^$/s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
	esac
	shift
done
out=${out:-$tree/build/packaging/$libc-$machine}
mkdir -p "$out"
out=$(cd "$out" && pwd -P)

root=$(build_root)
one_at_a_time "build-$libc-$machine"
built=$packaged/built
if [ -n "$fresh" ]; then
	built=$packaged/fresh-$libc-$machine
	rm -rf "$built"
fi
mkdir -p "$packaged/sources" "$built" "$packaged/work-$libc-$machine"
(
	one_at_a_time sources
	"$tree/packaging/fetch.sh" "$root" "$packaged/sources"
)
rm -rf "$packaged/work-$libc-$machine"/*
in_root "$root" "$packaged/sources:/sources" "$built:/built" \
	"$packaged/work-$libc-$machine:/build" "$tree:/src" "$out:/out" -- \
	bash /src/packaging/plugin.sh "$libc" "$machine" "$version" >&2
[ -z "$fresh" ] || rm -rf "$built"
"$tree/packaging/check-advisories" "$out/mosquitto_p2panda.so.spdx.json" >&2
echo "$out/mosquitto_p2panda.so"
