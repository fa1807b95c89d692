#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Builds the self-contained plugin and the module of mosquitto_ctrl, checks them and says what they are
# made of. Runs in the root that packaging/build.sh makes (see libraries.sh), with the tree at /src and
# the result to /out.
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
cmake -G Ninja -S /src -B /build/plugin -DCMAKE_BUILD_TYPE=RelWithDebInfo -DP2PANDA_STATIC=ON \
	-DP2PANDA_TESTS=OFF -DCMAKE_C_COMPILER="$CC" -DCMAKE_AR="$(command -v $AR)" \
	-DCMAKE_RANLIB="$(command -v $RANLIB)" -DCMAKE_SYSTEM_NAME=Linux \
	-DCMAKE_SYSTEM_PROCESSOR="$processor" -DCMAKE_PREFIX_PATH="${prefixes//:/;}" \
	-DCMAKE_C_FLAGS="-ffile-prefix-map=/build/plugin=.$headers" >/build/cmake.log || {
	tail -n 30 /build/cmake.log
	die "cmake failed"
}
cmake --build /build/plugin --target mosquitto_p2panda mosquitto_ctrl_p2panda >/build/build.log || {
	grep -E 'error|undefined' /build/build.log || tail -n 30 /build/build.log
	die "the build failed"
}

# finish <file> <entry points, each with a blank behind it>: strips it and looks at what it shows,
# needs and asks of the C library; newest: the newest symbol of that
finish() {
	local file=$1 shown needed foreign
	"$OBJCOPY" --only-keep-debug "/build/plugin/$file" "/out/$file.debug"
	"$STRIP" --strip-unneeded "/build/plugin/$file" -o "/out/$file.new"
	shown=$("$NM" -D --defined-only "/out/$file.new" | awk '{ print $3 }' | sort | tr '\n' ' ')
	[ "$shown" = "$2" ] || die "$file shows more than its entry points: $shown"
	needed=$("$READELF" -d "/out/$file.new" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | sort |
		tr '\n' ' ')
	# libresolv and the loader are the C library's own, and always with it.
	case $libc:$(echo "$needed" | sed 's/ld-linux-[^ ]* //; s/libresolv\.so\.2 //') in
	"glibc:libc.so.6 " | "musl:libc.so ") ;;
	*) die "$file needs more than the C library: $needed" ;;
	esac
	newest=$("$READELF" -V "/out/$file.new" | grep -o 'GLIBC_[0-9.]*' | sort -uV | tail -n 1)
	case $libc:$newest in
	musl:) ;;
	musl:*) die "$file needs glibc: $newest" ;;
	*) [ "$(printf '%s\nGLIBC_2.34\n' "$newest" | sort -V | tail -n 1)" = GLIBC_2.34 ] ||
		die "$file needs $newest" ;;
	esac
	foreign=$("$NM" -D --undefined-only "/out/$file.new" | awk '{ print $2 }' |
		grep -E '^(SSL_|EVP_|CRYPTO_|ngtcp2_|uv_|sqlite3_|blake3_|cJSON_|cbor_|wslay_|ck_)' || true)
	[ -z "$foreign" ] || die "$file takes from elsewhere: $foreign"
	! grep -q -e /build/ -e /built/ "/out/$file.new" || die "$file names a path of the build"
	mv "/out/$file.new" "/out/$file"
	cp "/out/$file" "/build/plugin/$file"
}

module=mosquitto_ctrl_p2panda.so
"$READELF" -d "/build/plugin/$plugin" | grep -q NODELETE || die "it would not stay mapped"
finish $module "ctrl_help ctrl_main "
finish $plugin "mosquitto_plugin_cleanup mosquitto_plugin_init mosquitto_plugin_version "
"$here/notices.sh" >/out/NOTICES
cp /build/plugin/mosquitto_p2panda.7 /build/plugin/mosquitto_ctrl_p2panda.1 /out/

# Debian's stable suites have no libraries that are new enough: their packages have this very file.
rm -f /out/*.deb
if [ "$libc" = glibc ]; then
	for suite in bookworm trixie; do
		cmake -S /src -B /build/plugin -DP2PANDA_PACKAGE=ON -DP2PANDA_DEBIAN_SUITE=$suite \
			-DCMAKE_INSTALL_PREFIX=/usr -DP2PANDA_PLUGIN_DIR="lib/$triplet" \
			-DCMAKE_INSTALL_LIBDIR="lib/$triplet" \
			-DP2PANDA_NOTICES=/out/NOTICES >/build/cmake.log
		(cd /build/plugin && cpack -G DEB -B /build/cpack >/build/cpack.log) || {
			tail -n 30 /build/cpack.log
			die "cpack failed"
		}
		mv /build/cpack/*.deb /out/
	done
fi
python3 "$here/sbom.py" "$libc" "$machine" "$version" "$prefixes" "/out/$plugin" \
	>"/out/$plugin.spdx.json"
echo "plugin: $plugin for $libc, $machine: $(stat -c %s "/out/$plugin") bytes, newest symbol" \
	"${newest:-none}, SHA-256 $(sha256sum "/out/$plugin" | cut -d ' ' -f 1)"
