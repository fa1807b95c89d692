#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Makes what the suite stock needs: the roots of the stock brokers, the self-contained plugins, the
# packages. A quarter of an hour when all of it is new, a minute when it is not.
#
#   tests/packaging/prepare.sh <folder for what is made of this tree>
#
# Prints variables for the tests (tests/packaging/roots.py), one a line, when all is there.
set -eu
out=$1
. "$(dirname "$0")/../../packaging/common.sh"
export P2PANDA_SOURCES=${P2PANDA_SOURCES:-near}

mkdir -p "$out"
"$tree/packaging/release.sh" "$out/packages" >&2
for suite in forky trixie bookworm; do
	root=$(stock_root $suite)
	echo "P2PANDA_STOCK_ROOT_${suite^^}=$root"
done
# What forky's package depends on, by that root's apt: downloaded when the dependencies change, so
# that the tests need no network.
forky=$(stock_root forky)
package=$(echo "$out/packages"/mosquitto-p2panda_*-1_amd64.deb)
debs=$packaged/debs-$(dpkg-deb -f "$package" Depends | sha256sum | cut -c 1-12)
if [ ! -d "$debs" ]; then
	rm -rf "$packaged"/debs-*
	mkdir -p "$debs.new" "$debs.lists"
	in_root "$forky" "$debs.new:/var/cache/apt/archives" "$debs.lists:/var/lib/apt/lists" \
		"$out/packages:/packages" -- sh -euc '
		apt-get -qq -o APT::Sandbox::User=root update
		apt-get -qq -o APT::Sandbox::User=root install -y --no-install-recommends --download-only \
			"/packages/$1"' download "${package##*/}" >&2
	rm -rf "$debs.lists"
	mv "$debs.new" "$debs"
fi
echo "P2PANDA_STOCK_DEBS=$debs"
echo "P2PANDA_STOCK_ROOT_FORKY_ARM64=$(stock_root_arm64)"
build=$(build_root)
echo "P2PANDA_STOCK_ROOT_MUSL=$build"
echo "P2PANDA_STOCK_BUILT=$packaged/built"
broker=$(
	set -e
	one_at_a_time build-musl-amd64
	mkdir -p "$packaged/work-musl-amd64"
	in_root "$build" "$packaged/sources:/sources" "$packaged/built:/built" \
		"$packaged/work-musl-amd64:/build" "$tree:/src" -- \
		bash /src/packaging/libraries.sh musl amd64 broker
)
echo "P2PANDA_STOCK_BROKER_MUSL=$broker/bin/mosquitto"
echo "P2PANDA_STOCK_PACKAGES=$out/packages"
for one in "$tree"/build/packaging/*-*/mosquitto_p2panda.so; do
	kind=$(basename "$(dirname "$one")")
	kind=${kind//-/_}
	echo "P2PANDA_STOCK_PLUGIN_${kind^^}=$one"
done
