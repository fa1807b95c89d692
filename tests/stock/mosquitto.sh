#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Builds Mosquitto 2.0 from Debian's source package, as the tests want it: its own dynamic-security
# and password plugin beside it, TLS, no websockets.
#
#   tests/stock/mosquitto.sh 2.0.11 | 2.0.21
#
# Prints the folder with `mosquitto`, `mosquitto_passwd` and `mosquitto_dynamic_security.so`. Kept
# in the tests' cache (beside CARGO_TARGET_DIR), so made once. For the environment that
# tests/run.sh makes; needs apt, of whose mirror it takes the sources.
set -eu

version=${1:-}
# What a version is in Debian: its suite.
case $version in
2.0.11) suite=bookworm ;;
2.0.21) suite=trixie ;;
*)
	echo "usage: $0 2.0.11 | 2.0.21" >&2
	exit 2
	;;
esac
: "${CARGO_TARGET_DIR:?is set by tests/run.sh}"
# For this environment alone, as the Rust peers are.
place=$(dirname "$CARGO_TARGET_DIR")/mosquitto-${CARGO_TARGET_DIR##*/rust-}/$version-1
if [ -d "$place" ]; then
	echo "$place"
	exit 0
fi

die() { echo "mosquitto.sh: $*" >&2; exit 1; }

mkdir -p "${place%/*}"
exec 8>"${place%/*}/lock"
flock 8
if [ -d "$place" ]; then # another one has made it meanwhile
	echo "$place"
	exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
{
	"$(dirname "$0")/../harness/debian-source.sh" "$suite" mosquitto "$work"
	cd "$work/tree"
	make -j"$(nproc)" WITH_DOCS=no WITH_WEBSOCKETS=no WITH_SYSTEMD=no WITH_SRV=no WITH_CJSON=yes \
		WITH_STRIP=no CFLAGS="-O1 -g -fPIC -Wno-error -std=gnu17" binary
	mkdir "$work/made"
	cp src/mosquitto apps/mosquitto_passwd/mosquitto_passwd \
		plugins/dynamic-security/mosquitto_dynamic_security.so "$work/made/"
} >"$work/log" 2>&1 || {
	tail -n 40 "$work/log" >&2
	die "Mosquitto $version could not be built (above: how it ended)"
}
mv "$work/made" "$place.new"
mv "$place.new" "$place"
echo "$place"
