#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Builds Debian forky's package, whose plugin uses forky's libraries; runs in forky.
#
#   shared.sh <tree> <folder for building and for the package>
set -eu
tree=$1 work=$2
cmake -G Ninja -S "$tree" -B "$work/build" -DCMAKE_BUILD_TYPE=RelWithDebInfo -DP2PANDA_TESTS=OFF \
	-DP2PANDA_PACKAGE=ON -DP2PANDA_DEBIAN_SUITE=forky -DCMAKE_INSTALL_PREFIX=/usr \
	-DP2PANDA_PLUGIN_DIR="lib/$(gcc -print-multiarch)/mosquitto" >"$work/cmake.log"
cmake --build "$work/build" >"$work/build.log" || {
	tail -n 30 "$work/build.log"
	exit 1
}
strip --strip-unneeded "$work/build/mosquitto_p2panda.so" "$work/build/mosquitto_ctrl_p2panda.so"
cd "$work/build"
# By hand: cpack would want the program file for it, too.
mkdir -p debian
printf 'Source: mosquitto-p2panda\n\nPackage: mosquitto-p2panda\nArchitecture: any\n' >debian/control
needed=$(dpkg-shlibdeps -O mosquitto_p2panda.so 2>"$work/shlibdeps.log" | sed -n 's/^shlibs:Depends=//p')
[ -n "$needed" ] || {
	cat "$work/shlibdeps.log"
	exit 1
}
cmake -DP2PANDA_DEPENDS="$needed" . >>"$work/cmake.log"
cpack -G DEB -B "$work/cpack" >"$work/cpack.log" || {
	tail -n 30 "$work/cpack.log"
	exit 1
}
mv "$work"/cpack/*.deb "$work/"
