#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Makes everything that a release has, into one folder, with checksums (SHA256SUMS):
#
#   packaging/release.sh [folder]      (default: build/release-files)
#
#   mosquitto-p2panda_<version>-1_amd64.deb                Debian forky, with its libraries
#   mosquitto-p2panda_<version>-1~deb13_<machine>.deb      Debian 13, self-contained
#   mosquitto-p2panda_<version>-1~deb12_<machine>.deb      Debian 12, likewise
#   mosquitto-p2panda-<version>-linux.tar.gz               everything else: install.sh
#   mosquitto_p2panda-<version>-<libc>-<machine>.so        the one file, and .spdx.json
#
# The version is CMakeLists.txt's; CHANGELOG.md has to have it on top, unless things are made for
# the tests (P2PANDA_SOURCES=near). Needs what packaging/build.sh needs.
set -eu
. "$(dirname "$0")/common.sh"
out=${1:-$tree/build/release-files}
kinds="glibc-amd64 musl-amd64 glibc-arm64"

newest=$(sed -n 's/^## \([0-9].*\)/\1/p' "$tree/CHANGELOG.md" | head -n 1)
[ "$newest" = "$version" ] || die "CHANGELOG.md begins with $newest, CMakeLists.txt says $version"
if [ "${P2PANDA_SOURCES:-exact}" = exact ] && grep -q '^## Unreleased' "$tree/CHANGELOG.md"; then
	die "CHANGELOG.md has things that are unreleased: give them the version"
fi

rm -rf "$out"
mkdir -p "$out"
out=$(cd "$out" && pwd -P)
name=mosquitto-p2panda-$version-linux
staged=$(mktemp -d)
trap 'rm -rf "$staged"' EXIT
mkdir -p "$staged/$name"

for kind in $kinds; do
	made=$tree/build/packaging/$kind
	"$tree/packaging/build.sh" "${kind%-*}" "${kind#*-}" >/dev/null
	cp "$made/mosquitto_p2panda.so" "$out/mosquitto_p2panda-$version-$kind.so"
	cp "$made/mosquitto_p2panda.so.spdx.json" "$out/mosquitto_p2panda-$version-$kind.so.spdx.json"
	for package in "$made"/*.deb; do
		[ ! -f "$package" ] || cp "$package" "$out/"
	done
	mkdir -p "$staged/$name/$kind"
	cp "$made/mosquitto_p2panda.so" "$made/mosquitto_p2panda.so.spdx.json" \
		"$made/mosquitto_ctrl_p2panda.so" "$staged/$name/$kind/"
	cp "$made/mosquitto_p2panda.7" "$made/mosquitto_ctrl_p2panda.1" "$made/NOTICES" "$staged/$name/"
done
cp "$tree/packaging/install.sh" "$tree/README.md" "$tree/CHANGELOG.md" "$tree/LICENSE-MIT" \
	"$tree/LICENSE-APACHE" "$staged/$name/"
cp "$tree/packaging/debian/p2panda.conf.in" "$staged/$name/"
cp -r "$tree/conf" "$staged/$name/examples"
cp -r "$tree/page" "$staged/$name/page"
mkdir "$staged/$name/docs"
cp "$tree"/docs/*.md "$tree"/docs/*.svg "$tree"/docs/*.png "$staged/$name/docs/"
tar -C "$staged" --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" \
	-cf - "$name" | gzip -9n >"$out/$name.tar.gz"

# Forky's, with forky's libraries: here, if here is forky, else in a root of it.
shared=$packaged/work-shared
one_at_a_time build-shared
rm -rf "$shared"
mkdir -p "$shared"
if grep -q 'VERSION_CODENAME=forky' /etc/os-release && pkg-config --exists libngtcp2_crypto_ossl; then
	bash "$tree/packaging/shared.sh" "$tree" "$shared" >&2
else
	root=$(root_of forky shared cmake dpkg-dev gcc libblake3-dev libc6-dev libcjson-dev libck-dev \
		libmosquitto-dev libngtcp2-crypto-ossl-dev libngtcp2-dev libsqlite3-dev libssl-dev \
		libtinycbor-dev libuv1-dev libwslay-dev libxxhash-dev mosquitto-dev ninja-build pkgconf uthash-dev)
	in_root "$root" "$tree:/src" "$shared:/build" -- bash /src/packaging/shared.sh /src /build >&2
fi
cp "$shared"/*.deb "$out/"

chmod 644 "$out"/*
(cd "$out" && sha256sum -- * >"$staged/SHA256SUMS" && mv "$staged/SHA256SUMS" .)
say "made $(find "$out" -type f | wc -l) files in $out"
