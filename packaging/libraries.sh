#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Builds the static libraries of the self-contained plugin. Runs in the root that packaging/build.sh
# makes, where it finds
#
#   /sources  what packaging/fetch.sh has downloaded
#   /built    prefixes of the libraries: <libc>-<machine>/<library>-<key>
#   /build    for building
#
#   libraries.sh <glibc|musl> <amd64|arm64> [broker]
#
# With broker it builds Mosquitto itself, with an OpenSSL of its own, for tests where there is no
# stock one.
#
# A library is built again when its function below, its source, what it needs or the compiler has
# changed. The last line on stdout is the list of prefixes, with colons between.
set -eu
libc=$1 machine=$2
here=$(cd "$(dirname "$0")" && pwd)
. "$here/toolchain.sh" "$libc" "$machine"

say() { echo "libraries: $*" >&2; }

# The plugin keeps them all to itself. The path of the build is in no object. Tables for unwinding
# through them would be a tenth of the file.
flags="-O2 -fPIC -fvisibility=hidden -ffunction-sections -fdata-sections -fstack-protector-strong"
flags="$flags -fno-asynchronous-unwind-tables"
flags="$flags -ffile-prefix-map=/build=. -w"
export SOURCE_DATE_EPOCH=1 # OpenSSL would say when it was built

# unpack: the source of $library into the folder that is current
unpack() {
	local from=/sources/$library
	set -- "$from"/*.dsc
	if [ -f "$1" ]; then
		dpkg-source --no-check -x "$1" source >/dev/null
		mv source/* source/.[!.]* . 2>/dev/null || true
		return
	fi
	set -- "$from"/*
	case $* in
	*.deb*) dpkg-deb -x "$from"/*.deb . ;;
	*.crate*) tar xf "$from"/*.crate --strip-components 1 ;;
	*) tar xf "$from"/*.tar.* --strip-components 1 ;;
	esac
}

# archive <name> <source...>: compiles them, into a static library of the prefix
archive() {
	local name=$1 one
	shift
	mkdir -p "$prefix/lib"
	for one in "$@"; do
		# shellcheck disable=SC2086
		$CC $flags ${options:-} -c "$one" -o "$(basename "$one" | sed 's/\.[cS]$/.o/')"
	done
	# shellcheck disable=SC2046
	$AR rcsD "$prefix/lib/lib$name.a" $(for one in "$@"; do basename "$one" | sed 's/\.[cS]$/.o/'; done)
}

# pc <name> <version> <libraries>: what pkg-config says of it
pc() {
	mkdir -p "$prefix/lib/pkgconfig"
	cat >"$prefix/lib/pkgconfig/$1.pc" <<EOF
Name: $1
Description: $1
Version: $2
Cflags: -I$prefix/include
Libs: -L$prefix/lib $3
EOF
}

# with_cmake <option...>
with_cmake() {
	cmake -G Ninja -S . -B build -DCMAKE_BUILD_TYPE=None -DCMAKE_C_COMPILER="$CC" \
		-DCMAKE_AR="$(command -v "$AR")" -DCMAKE_RANLIB="$(command -v "$RANLIB")" \
		-DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR="$processor" \
		-DCMAKE_C_FLAGS="$flags" -DCMAKE_INSTALL_PREFIX="$prefix" -DCMAKE_INSTALL_LIBDIR=lib \
		-DCMAKE_FIND_ROOT_PATH_MODE_PROGRAM=NEVER "$@" >cmake.log
	cmake --build build --target install >build.log
}

# TLS 1.2 and 1.3, QUIC, X.509: no more of it than the plugin uses. EC: X25519 needs it. Relays
# are checked against the system's certificates, which are below /etc/ssl: in one file where Debian,
# Alpine and OpenWrt have them, and not where OpenSSL looks.
build_openssl() {
	local no= one
	for one in shared apps tests docs module legacy dso engine autoload-config ssl3 tls1 tls1_1 \
		dtls comp cms ts ocsp srp psk ct rfc3779 cmp http nextprotoneg srtp gost dh dsa ec2m \
		sm2 sm3 sm4 aria camellia bf cast des idea md4 mdc2 rc2 rc4 rmd160 seed whirlpool \
		scrypt ocb siphash siv blake2 ml-kem ml-dsa slh-dsa argon2 deprecated unstable-qlog \
		zlib ui-console async afalgeng; do
		no="$no no-$one"
	done
	sed -i 's,OPENSSLDIR "/cert.pem","/etc/ssl/certs/ca-certificates.crt",' include/internal/common.h
	grep -q 'X509_CERT_FILE "/etc' include/internal/common.h
	# shellcheck disable=SC2086
	CC=$CC AR=$AR RANLIB=$RANLIB ./Configure "$openssl_target" $no no-ssl \
		--prefix=/usr --libdir=lib --openssldir=/etc/ssl $flags >configure.log
	make -s -j "$(nproc)" build_generated >build.log 2>&1
	make -s -j "$(nproc)" libcrypto.a libssl.a >>build.log 2>&1
	mkdir -p "$prefix/lib" "$prefix/include"
	cp libcrypto.a libssl.a "$prefix/lib/"
	cp -r include/openssl "$prefix/include/"
	find "$prefix/include" -name '*.in' -delete
	pc libcrypto "$version" -lcrypto
	pc libssl "$version" "-lssl -lcrypto"
}

build_ngtcp2() {
	with_cmake -DENABLE_SHARED_LIB=OFF -DENABLE_STATIC_LIB=ON -DENABLE_LIB_ONLY=ON \
		-DENABLE_OPENSSL=ON -DOPENSSL_ROOT_DIR="$openssl_prefix" \
		-DOPENSSL_USE_STATIC_LIBS=ON -DCMAKE_FIND_ROOT_PATH="$openssl_prefix" \
		-DBUILD_TESTING=OFF
	[ -f "$prefix/lib/libngtcp2_crypto_ossl.a" ]
	rm -rf "$prefix/lib/pkgconfig" "$prefix/lib/cmake"
	pc libngtcp2 "$version" -lngtcp2
	pc libngtcp2_crypto_ossl "$version" \
		"-lngtcp2_crypto_ossl -lngtcp2 -L$openssl_prefix/lib -lssl -lcrypto"
}

build_libuv() {
	with_cmake -DLIBUV_BUILD_SHARED=OFF -DLIBUV_BUILD_TESTS=OFF -DLIBUV_BUILD_BENCH=OFF
	rm -rf "$prefix/lib/pkgconfig" "$prefix/lib/cmake"
	[ -f "$prefix/lib/libuv.a" ] || mv "$prefix/lib/libuv_a.a" "$prefix/lib/libuv.a"
	pc libuv "$version" -luv
}

# No part of it that the address book does not use.
build_sqlite() {
	local options="-Os"
	for one in THREADSAFE=1 DQS=0 DEFAULT_MEMSTATUS=0 OMIT_LOAD_EXTENSION OMIT_DEPRECATED \
		OMIT_SHARED_CACHE OMIT_JSON OMIT_TCL_VARIABLE OMIT_DESERIALIZE \
		MAX_EXPR_DEPTH=100 USE_ALLOCA; do
		options="$options -DSQLITE_$one"
	done
	# The amalgamation is made by the tool that comes with the source, for this machine.
	mkdir make
	(cd make && CC=gcc ../configure --disable-tcl --disable-readline >configure.log &&
		make sqlite3.c >build.log)
	archive sqlite3 make/sqlite3.c
	mkdir -p "$prefix/include"
	cp make/sqlite3.h "$prefix/include/"
	pc sqlite3 "$version" -lsqlite3
}

build_cjson() {
	archive cjson cJSON.c
	mkdir -p "$prefix/include/cjson"
	cp cJSON.h "$prefix/include/cjson/"
	pc libcjson "$version" -lcjson
}

build_tinycbor() {
	archive tinycbor src/cborencoder.c src/cborencoder_close_container_checked.c \
		src/cborencoder_float.c src/cborparser.c src/cborparser_dup_string.c \
		src/cborparser_float.c src/cborerrorstrings.c src/cborvalidation.c
	mkdir -p "$prefix/include/tinycbor"
	cp src/cbor.h src/tinycbor-version.h "$prefix/include/tinycbor/"
	pc tinycbor "$version" -ltinycbor
}

build_blake3() {
	local c one
	c=$(echo usr/share/cargo/registry/blake3-*/c)
	set -- "$c/blake3.c" "$c/blake3_dispatch.c" "$c/blake3_portable.c"
	case $machine in
	amd64) for one in sse2 sse41 avx2 avx512; do
		set -- "$@" "$c/blake3_${one}_x86-64_unix.S"
	done ;;
	arm64) set -- "$@" "$c/blake3_neon.c" ;;
	esac
	archive blake3 "$@"
	mkdir -p "$prefix/include"
	cp "$c/blake3.h" "$prefix/include/"
	pc libblake3 "$version" -lblake3
}

# The hash set alone. The configure of Concurrency Kit runs what it has compiled, and writes into
# ck_md.h how wide the addresses of the machine are that it runs on: here that file is made for the
# target, with what configure says of its kind and nothing of the width, which only the packing of
# pointers (off) would use.
build_ck() {
	local options="-Iinclude" order
	case $machine in
	amd64) order=TSO ;;
	arm64) order=RMO ;;
	esac
	sed -e "s/@MM@/CK_MD_$order/; s/@VERSION@/$version/; s/@GIT_SHA@//" \
		-e 's/@VMA_BITS@ @VMA_BITS_VALUE@/@VMA_BITS@/; s/@VMA_BITS@/CK_MD_VMA_BITS_UNKNOWN/' \
		-e 's/@\(RTM\|LSE\|POINTER_PACK\|PPC32_LWSYNC\)_ENABLE@/CK_MD_\1_DISABLE/' \
		-e 's/@SSE_DISABLE@/CK_MD_SSE_ENABLE/; s/@DISABLE_DOUBLE@/CK_PR_ENABLE_DOUBLE/' \
		include/ck_md.h.in >include/ck_md.h
	! grep -q @ include/ck_md.h || return 1
	archive ck src/ck_hs.c
	mkdir -p "$prefix/include/gcc"
	cp include/ck_{cc,hs,limits,malloc,md,pr,stdbool,stddef,stdint}.h "$prefix/include/"
	cp -r include/gcc/*.h "include/gcc/$processor" "$prefix/include/gcc/"
	pc ck "$version" -lck
}

# Headers alone: what the plugin uses of it is compiled into the plugin.
build_xxhash() {
	mkdir -p "$prefix/include"
	cp xxhash.h "$prefix/include/"
	pc libxxhash "$version" ""
}

build_wslay() {
	local options="-Ivendor/includes -DHAVE_ARPA_INET_H -DHAVE_NETINET_IN_H"
	archive wslay vendor/wslay_event.c vendor/wslay_frame.c vendor/wslay_net.c vendor/wslay_queue.c
	mkdir -p "$prefix/include/wslay"
	cp vendor/includes/wslay/*.h "$prefix/include/wslay/"
	version=$(sed -n 's/.*WSLAY_VERSION "\(.*\)"/\1/p' vendor/includes/wslay/wslayver.h)
	pc libwslay "$version" -lwslay
}

# Headers alone: Mosquitto's, and those of the root's uthash.
build_mosquitto() {
	mkdir -p "$prefix/include"
	cp -r include/. "$prefix/include/"
	cp /usr/include/uthash.h /usr/include/utlist.h "$prefix/include/"
	pc libmosquitto "$version" ""
}

# As a distribution has it: shared, and it shows all that ours has, too. Of what neither the broker
# nor the plugin ever asks for it is without most: that would be half of the time.
build_openssl_shared() {
	local no= one
	for one in apps tests docs module engine async afalgeng ssl3 comp legacy dtls cms cmp ts ct srp \
		srtp gost rfc3779 ec2m sm2 sm3 sm4 aria camellia bf cast idea md4 mdc2 rc2 rc4 rmd160 \
		seed whirlpool ocb siphash siv blake2 ml-kem ml-dsa slh-dsa argon2; do
		no="$no no-$one"
	done
	# shellcheck disable=SC2086
	CC=$CC AR=$AR RANLIB=$RANLIB ./Configure "$openssl_target" shared $no --prefix="$prefix" \
		--libdir=lib --openssldir=/etc/ssl -O1 -w >configure.log
	make -s -j "$(nproc)" build_libs >build.log 2>&1
	make -s install_dev >>build.log 2>&1
}

build_mosquitto_broker() {
	local part ssl=$openssl_shared_prefix
	cp -r "$cjson_prefix/include/." /usr/include/uthash.h /usr/include/utlist.h include/
	for part in libcommon/libmosquitto_common.a src/mosquitto; do
		make -s -j "$(nproc)" -C "${part%/*}" CC="$CC" AR="$AR" WITH_DOCS=no WITH_WEBSOCKETS=no \
			WITH_SYSTEMD=no WITH_SRV=no WITH_HTTP_API=no WITH_SQLITE=no WITH_EDITLINE=no \
			WITH_ADNS=no WITH_STRIP=no WITH_CJSON=yes \
			CFLAGS="-O1 -g -fPIC -w -std=gnu17 -I$ssl/include" \
			LDFLAGS="-L$ssl/lib -L$cjson_prefix/lib -Wl,-rpath,$ssl/lib" \
			"${part#*/}" >>build.log 2>&1
	done
	mkdir -p "$prefix/bin"
	cp src/mosquitto "$prefix/bin/"
}

# library <name> [of what it needs...]; of <name>_<variant> the source is that of <name>
prefixes=
library() {
	local library=$1 source=${1%%_*} version needs= key prefix begun=$SECONDS one status
	shift
	for one in "$@"; do
		eval "needs=\$needs:\$${one}_prefix"
	done
	version=$(sed 's/^[0-9]*://; s/-[^-]*$//; s/+.*//' "/sources/$source/VERSION")
	key=$( (declare -f "build_$library" archive with_cmake pc unpack
		cat "/sources/$source/VERSION"
		case $CC in /*) cat "$CC" ;; esac
		echo "$needs $flags $($CC --version | head -n 1)") | sha256sum | cut -c 1-12)
	prefix=/built/$libc-$machine/$library-$key
	eval "${library}_prefix=\$prefix"
	prefixes=$prefixes:$prefix
	if [ -f "$prefix/done" ]; then
		return
	fi
	say "building $library $version for $libc, $machine"
	rm -rf "$prefix" "/build/$library"
	mkdir -p "$prefix" "/build/$library"
	# Not within a condition: that would carry on after an error.
	set +e
	(
		set -e
		cd "/build/$library"
		library=$source unpack
		"build_$library"
	)
	status=$?
	set -e
	if [ $status != 0 ]; then
		tail -n 30 "/build/$library"/*.log >&2
		say "$library could not be built"
		exit 1
	fi
	rm -rf "/build/$library"
	# Another key's, if there is one, is of no use any more.
	for one in "/built/$libc-$machine/$library"-*; do
		[ "$one" = "$prefix" ] || rm -rf "$one"
	done
	touch "$prefix/done"
	say "built $library in $((SECONDS - begun)) s"
}

if [ "${3:-}" = broker ]; then
	library openssl_shared
	library cjson
	library mosquitto_broker openssl_shared cjson
	echo "$mosquitto_broker_prefix"
	exit 0
fi
library openssl
library ngtcp2 openssl
library libuv
library sqlite
library cjson
library tinycbor
library blake3
library ck
library xxhash
library wslay
library mosquitto
echo "${prefixes#:}"
