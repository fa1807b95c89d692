#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Builds the self-contained plugin, checks it and says what it is made of. Runs in the root that
# packaging/build.sh makes (see libraries.sh), with the tree at /src and the result to /out.
#
#   plugin.sh <glibc|musl> <amd64|arm64> <version>
set -eu
libc=$1 machine=$2 version=$3
here=$(cd "$(dirname "$0")" && pwd)
. "$here/toolchain.sh" "$libc" "$machine"
plugin=mosquitto_p2panda.so

die() { echo "plugin: $*" >&2; exit 1; }

prefixes=$("$here/libraries.sh" "$libc" "$machine")
export PKG_CONFIG_LIBDIR=
headers=
for prefix in ${prefixes//:/ }; do
	PKG_CONFIG_LIBDIR=$PKG_CONFIG_LIBDIR:$prefix/lib/pkgconfig
	headers="$headers -isystem $prefix/include"
done

# The path is always the same one: it is in no file that is kept all the same.
cmake -G Ninja -S /src -B /work/plugin -DCMAKE_BUILD_TYPE=RelWithDebInfo -DP2PANDA_STATIC=ON \
	-DP2PANDA_TESTS=OFF -DCMAKE_C_COMPILER="$CC" -DCMAKE_AR="$(command -v $AR)" \
	-DCMAKE_RANLIB="$(command -v $RANLIB)" -DCMAKE_SYSTEM_NAME=Linux \
	-DCMAKE_SYSTEM_PROCESSOR="$processor" -DCMAKE_PREFIX_PATH="${prefixes//:/;}" \
	-DCMAKE_C_FLAGS="-ffile-prefix-map=/work/plugin=.$headers" >/work/cmake.log || {
	tail -n 30 /work/cmake.log
	die "cmake failed"
}
cmake --build /work/plugin --target mosquitto_p2panda >/work/build.log || {
	grep -E 'error|undefined' /work/build.log || tail -n 30 /work/build.log
	die "the build failed"
}

"$OBJCOPY" --only-keep-debug "/work/plugin/$plugin" "/out/$plugin.debug"
"$STRIP" --strip-unneeded "/work/plugin/$plugin" -o "/out/$plugin.new"

# What it shows, needs and asks of the C library.
shown=$("$NM" -D --defined-only "/out/$plugin.new" | awk '{ print $3 }' | sort | tr '\n' ' ')
[ "$shown" = "mosquitto_plugin_cleanup mosquitto_plugin_init mosquitto_plugin_version " ] ||
	die "it shows more than its entry points: $shown"
needed=$("$READELF" -d "/out/$plugin.new" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | sort | tr '\n' ' ')
# libresolv and the loader are the C library's own, and always with it.
case $libc:$(echo "$needed" | sed 's/ld-linux-[^ ]* //; s/libresolv\.so\.2 //') in
"glibc:libc.so.6 " | "musl:libc.so ") ;;
*) die "it needs more than the C library: $needed" ;;
esac
newest=$("$READELF" -V "/out/$plugin.new" | grep -o 'GLIBC_[0-9.]*' | sort -uV | tail -n 1)
case $libc:$newest in
musl:) ;;
musl:*) die "it needs glibc: $newest" ;;
*) [ "$(printf '%s\nGLIBC_2.34\n' "$newest" | sort -V | tail -n 1)" = GLIBC_2.34 ] ||
	die "it needs $newest" ;;
esac
"$READELF" -d "/out/$plugin.new" | grep -q NODELETE || die "it would not stay mapped"
foreign=$("$NM" -D --undefined-only "/out/$plugin.new" | awk '{ print $2 }' |
	grep -E '^(SSL_|EVP_|CRYPTO_|ngtcp2_|uv_|sqlite3_|blake3_|cJSON_|cbor_|wslay_)' || true)
[ -z "$foreign" ] || die "it takes from elsewhere: $foreign"
! grep -q -e /work/ -e /built/ "/out/$plugin.new" || die "it names a path of the build"

mv "/out/$plugin.new" "/out/$plugin"
"$here/notices.sh" >/out/NOTICES
cp /work/plugin/mosquitto_p2panda.7 /out/

# Debian's stable suites have no libraries that are new enough: their packages have this very file.
rm -f /out/*.deb
if [ "$libc" = glibc ]; then
	cp "/out/$plugin" "/work/plugin/$plugin"
	for suite in bookworm trixie; do
		cmake -S /src -B /work/plugin -DP2PANDA_PACKAGE=ON -DP2PANDA_DEBIAN_SUITE=$suite \
			-DCMAKE_INSTALL_PREFIX=/usr -DP2PANDA_PLUGIN_DIR="lib/$triplet" \
			-DP2PANDA_NOTICES=/out/NOTICES >/work/cmake.log
		(cd /work/plugin && cpack -G DEB -B /work/cpack >/work/cpack.log) || {
			tail -n 30 /work/cpack.log
			die "cpack failed"
		}
		mv /work/cpack/*.deb /out/
	done
fi
python3 "$here/sbom.py" "$libc" "$machine" "$version" "$prefixes" "/out/$plugin" \
	>"/out/$plugin.spdx.json"
echo "plugin: $plugin for $libc, $machine: $(stat -c %s "/out/$plugin") bytes, newest symbol" \
	"${newest:-none}, SHA-256 $(sha256sum "/out/$plugin" | cut -d ' ' -f 1)"
