# SPDX-License-Identifier: MIT OR Apache-2.0
#
# The compiler for a C library and a kind of machine, in the root of packaging/build.sh; included
# as: . toolchain.sh <glibc|musl> <amd64|arm64>. Sets CC, AR, RANLIB, STRIP, processor,
# openssl_target, triplet, and the names of other tools.
case $2 in
amd64) processor=x86_64 openssl_target=linux-x86_64 ;;
arm64) processor=aarch64 openssl_target=linux-aarch64 ;;
*) echo "toolchain: unknown machine $2" >&2; exit 1 ;;
esac
triplet=$processor-linux-gnu
AR=$triplet-ar RANLIB=$triplet-ranlib STRIP=$triplet-strip CC=$triplet-gcc
NM=$triplet-nm READELF=$triplet-readelf OBJCOPY=$triplet-objcopy

if [ "$1" = musl ]; then
	# musl comes without the kernel's headers: those that Debian has, and no others of glibc's.
	kernel=/usr/local/musl/$processor/include
	mkdir -p "$kernel"
	for one in linux asm-generic; do
		ln -sfn "/usr/include/$one" "$kernel/$one"
	done
	case $2 in
	amd64) ln -sfn "/usr/include/$triplet/asm" "$kernel/asm" ;;
	arm64) ln -sfn "/usr/$triplet/include/asm" "$kernel/asm" ;;
	esac
	CC=/usr/local/musl/$processor/cc
	cat >"$CC.new" <<EOF
#!/bin/sh
exec $triplet-gcc -specs "/usr/lib/$processor-linux-musl/musl-gcc.specs" "\$@" -idirafter $kernel
EOF
	chmod +x "$CC.new"
	mv "$CC.new" "$CC"
fi
export CC AR RANLIB
