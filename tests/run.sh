#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
set -eu

all="unit vectors instructions simulation fuzz rest scale broker interop mosquitto20 sanitizers stock"
by_name="interop05 interop07 bench soak worlds fuzzing"
usage() {
	cat <<EOF
usage: tests/run.sh [suite...]
       tests/run.sh --help

Suites (when none is named): $all

unit, vectors  cmocka programs, built with ASan and UBSan
instructions   fixed scripts under callgrind: 5 % more instructions than the tree's baseline fail
simulation     under virtual time: a thousand nodes' gossip, likewise; overlays of 2 to 100
               whole nodes, and seventeen short stories of them with a thousand seeds each (a
               part of it likewise, the rest without sanitizers, beside the suites after it)
fuzz           every libFuzzer target over its corpus; then each looks for more for a minute,
               beside the suites after it, from where the last run has come (in the cache)
rest           idle overlays of 7 to 40 real nodes, watched for P2PANDA_REST_SECONDS (30):
               prints what they do; beside the suites after it
scale          a thousand overlays, ten thousand nodes, a million remembered messages: how long
               the node's thread works at a stretch, and that nobody starves; likewise beside
broker         the plugin in a stock Mosquitto
interop        the same, with real p2panda-net peers, p2panda applications and iroh's relay
               (Rust, built here: needs the network once and about twenty minutes)
mosquitto20    the plugin in Mosquitto 2.0.11 and 2.0.21, which are built from Debian's sources
sanitizers     broker and interop once more with ASan and UBSan, then with TSan
stock          the self-contained plugin in stock brokers of Debian 12, 13 and forky, of musl and
               of arm64; packages in clean roots; a release. Its roots, libraries and packages
               are made in the background from the start on (a quarter of an hour when they are
               new); needs root, in a container at least
interop05      (only by name) interop with p2panda 0.5.1, as far as it is repeated with each; its
               peer, which shares few crates with the others, is built first
interop07      (only by name) interop with p2panda 0.7.0, which has the gossip of 0.7.1
worlds         (only by name) the same with 2 to 60, 100, 300 and 1000 nodes, ten seeds each;
               stories of 1000 nodes; gossip of 10000: hours
bench          (only by name) what it costs, as ratios to the native bridge and to Rust peers: the
               tables of docs/costs.md, and plots; half an hour, or only P2PANDA_BENCH_PARTS of it
               (latency,cpu: tests/bench/bench.py --help); the machine should have nothing
               else to do. tests/bench/tables.py puts them into the documents
fuzzing        (only by name) the same as in fuzz, P2PANDA_FUZZ_SECONDS (600) for each target
soak           (only by name) three brokers and two Rust peers with everything at once for
               P2PANDA_SOAK_SECONDS (600), with ASan: nothing lost, nothing twice, no growth

Sets up what it needs: runs on this machine where all dependencies are installed,
else in a container (its image is made from tests/packages.txt), else, as root on
Debian, in a private root of Debian forky (before a container where Docker stores
files by fuse-overlayfs, which is several times slower). The last line is 'N passed, N failed';
the exit status is 0 when nothing failed. What is skipped has failed.

Environment: P2PANDA_TEST_MODE    native, docker or root: only that one
             P2PANDA_TEST_CACHE   downloads, Rust builds, private roots, what fuzzing has found
                                  (default: \${XDG_CACHE_HOME:-~/.cache}/mosquitto-p2panda)

To remove what it leaves: build/, that cache folder, and the images named
mosquitto-p2panda-tests.
EOF
}

say() { echo "== $*"; }
bad() { echo "run.sh: $*" >&2; exit 2; }

suites=
for suite in "$@"; do
	case $suite in
	-h | --help) usage; exit 0 ;;
	esac
	case " $all $by_name " in
	*" $suite "*) suites="$suites $suite" ;;
	*) bad "unknown suite '$suite': accepted are $all $by_name" ;;
	esac
done
suites=${suites:-$all}
mode=${P2PANDA_TEST_MODE:-auto}
case $mode in
auto | native | docker | root) ;;
*) bad "P2PANDA_TEST_MODE is '$mode': accepted are native, docker, root" ;;
esac

tree=$(cd "$(dirname "$0")/.." && pwd -P)
cache=${P2PANDA_TEST_CACHE:-${XDG_CACHE_HOME:-${HOME:-/var/tmp}/.cache}/mosquitto-p2panda}
mkdir -p "$cache" "$tree/build/tests"
cache=$(cd "$cache" && pwd -P)
started=$SECONDS

# One run per tree at a time: they would build into the same folders.
if command -v flock >/dev/null 2>&1; then
	exec 9>"$tree/build/tests/lock"
	flock -n 9 || bad "another tests/run.sh is at work in this tree"
fi

# What the bench measures, for its tables: there may be no git where it runs.
P2PANDA_REVISION=$(git -C "$tree" rev-parse --short=10 HEAD 2>/dev/null || true)
export P2PANDA_REVISION
packages=$(grep -v '^#' "$tree/tests/packages.txt" | tr '\n' ' ')
key=$(printf '2 %s' "$packages" | sha256sum | cut -c 1-12)

# What the suites need and this machine lacks.
missing_here() {
	local one version
	for one in cmake ninja gcc pkg-config python3 ctest; do
		command -v $one >/dev/null 2>&1 || echo "$one"
	done
	for one in 'libmosquitto >= 2.1' 'libngtcp2 >= 1.17' 'libngtcp2_crypto_ossl >= 1.17' \
		'openssl >= 3.5' 'libuv >= 1.44' tinycbor sqlite3 libcjson libblake3 \
		libwslay 'ck >= 0.7' 'cmocka >= 1.1.7'; do
		pkg-config --exists "$one" 2>/dev/null || echo "$one"
	done
	for one in libasan.so libubsan.so libtsan.so; do
		case $(gcc -print-file-name=$one 2>/dev/null) in
		/*) ;;
		*) echo $one ;;
		esac
	done
	case " $suites " in
	*" stock "*)
		command -v mmdebstrap >/dev/null 2>&1 || echo mmdebstrap
		[ "$(id -u)" = 0 ] || echo "root's rights"
		;;
	esac
	case " $suites " in
	*" instructions "*) command -v valgrind >/dev/null 2>&1 || echo valgrind ;;
	esac
	case " $suites " in
	*" broker "* | *" bench "*) command -v strace >/dev/null 2>&1 || echo strace ;;
	esac
	case " $suites " in
	*" fuzz "* | *" fuzzing "*) command -v clang >/dev/null 2>&1 || echo clang ;;
	esac
	case " $suites " in
	*" broker "* | *" interop"* | *" sanitizers "* | *" stock "* | *" mosquitto20 "* | *" bench "* | \
		*" soak "*)
		version=$(PATH=$PATH:/usr/local/sbin:/usr/sbin mosquitto -h 2>/dev/null |
			sed -n 's/^mosquitto version //p')
		case $version in
		2.[1-9]* | [3-9].*) ;;
		*) echo "mosquitto >= 2.1" ;;
		esac
		python3 -c 'import paho.mqtt.client' 2>/dev/null || echo python3-paho-mqtt
		python3 -c 'import pytest' 2>/dev/null || echo python3-pytest
		python3 -c 'import xdist' 2>/dev/null || echo python3-pytest-xdist
		for one in ip bridge unshare nsenter; do
			command -v $one >/dev/null 2>&1 || echo "$one"
		done
		unshare --net true 2>/dev/null ||
			unshare --map-current-user --keep-caps unshare --net true 2>/dev/null ||
			echo "the right to make network namespaces"
		;;
	esac
	case " $suites " in
	*" interop"* | *" sanitizers "* | *" stock "* | *" mosquitto20 "* | *" bench "* | *" soak "*)
		version=$(rustc --version 2>/dev/null | sed 's/^rustc 1\.\([0-9]*\).*/\1/')
		{ command -v cargo >/dev/null 2>&1 && [ "${version:-0}" -ge 96 ]; } 2>/dev/null ||
			echo "cargo >= 1.96"
		;;
	esac
}

# The certificates this machine trusts: downloads in a container or a private root
# go by them too.
ca_bundle() {
	local file
	for file in "${SSL_CERT_FILE:-}" /etc/ssl/certs/ca-certificates.crt \
		/etc/pki/tls/certs/ca-bundle.crt /etc/ssl/ca-bundle.pem /etc/ssl/cert.pem; do
		if [ -n "$file" ] && [ -f "$file" ]; then
			echo "$file"
			return
		fi
	done
}
ca_inside=/etc/ssl/certs/ca-certificates.crt
proxies="http_proxy https_proxy no_proxy all_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY ALL_PROXY"

child=
container=
# The one way out: ends what was started, adds up what the suites left.
finish() {
	local status=${1:-$?} line
	trap - EXIT INT TERM HUP
	[ -z "$container" ] || docker rm -f "$container" >/dev/null 2>&1 || true
	if [ -n "$child" ]; then
		kill -TERM -- "-$child" 2>/dev/null || true
		for _ in 1 2 3 4 5 6 7 8 9 10; do
			kill -0 -- "-$child" 2>/dev/null || break
			sleep 0.2
		done
		kill -KILL -- "-$child" 2>/dev/null || true
	fi
	# A suite that left no result could not run.
	line=$(awk -v suites="$suites" '{ seen[$1] = 1; p += $2; f += $3 }
		END {
			n = split(suites, names, " ")
			for (i = 1; i <= n; i++)
				if (!(names[i] in seen)) f++
			printf "%d passed, %d failed\n", p, f
		}' "${out:-/dev/null}/results" 2>/dev/null) ||
		line="0 passed, $(echo "$suites" | wc -w) failed"
	if [ -s "${out:-/dev/null}/failed" ]; then
		say "what failed"
		cat "$out/failed"
	fi
	say "ended after $((SECONDS - started)) s"
	echo "$line"
	case $line in
	*", 0 failed") [ "$status" = 0 ] || exit "$status" ;;
	*) [ "$status" -gt 128 ] && exit "$status"; exit 1 ;;
	esac
	exit 0
}
trap 'finish $?' EXIT
trap 'finish 130' INT
trap 'finish 143' TERM HUP

# run <command...>: in a process group of its own, so that all of it can be ended
run() {
	set -m
	"$@" 9>&- &
	child=$!
	set +m
	wait "$child"
}

out=
prepare() {
	out=$tree/build/tests/$1
	mkdir -p "$out" "$cache/cargo" "$cache/rust-$1" "$cache/fuzz"
	rm -f "$out/results" "$out/failed"
}

run_native() {
	say "suites:$suites, on this machine"
	prepare native
	export P2PANDA_TEST_OUT="$out" CARGO_TARGET_DIR="$cache/rust-native"
	export P2PANDA_FUZZ_KEPT="$cache/fuzz" P2PANDA_TEST_CACHE="$cache"
	# shellcheck disable=SC2086 # names without blanks
	run bash "$tree/tests/suites.sh" $suites
}

run_docker() {
	local image=mosquitto-p2panda-tests:$key base=debian:forky-slim log ca name begun=$SECONDS
	local -a options=() user=()
	say "suites:$suites, in a container"
	prepare forky
	if ! docker image inspect "$image" >/dev/null 2>&1; then
		say "making the image $image, with the toolchain (minutes, once)"
		"$tree/docker/base-image.sh" "$base"
		log=$out/image.log
		run docker build -t "$image" - >"$log" 2>&1 <<EOF || {
FROM $base
LABEL mosquitto-p2panda.tests=$key
RUN echo force-unsafe-io >/etc/dpkg/dpkg.cfg.d/unsafe-io \\
	&& apt-get -qq update \\
	&& DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $packages >/dev/null \\
	&& rm -rf /var/lib/apt/lists/*
EOF
			tail -n 40 "$log"
			say "the image could not be made (above: the end of $log)"
			return 1
		}
		child=
		say "made it in $((SECONDS - begun)) s"
	fi
	ca=$(ca_bundle)
	[ -z "$ca" ] || options+=(--mount "type=bind,src=$(realpath "$ca"),dst=$ca_inside,readonly")
	# Docker turns IPv6 off in networks without it; the tests need ::1.
	[ ! -e /proc/net/if_inet6 ] || options+=(--sysctl net.ipv6.conf.lo.disable_ipv6=0)
	# Network namespaces need two capabilities, which only root has by itself there. Roots of
	# Debian are made by root alone: what else it leaves is given to who started this.
	case "$(id -u) $suites " in
	"0 "*) ;;
	*" stock "*) user=(bash -c 'owner=$1; shift; "$@"; status=$?
		chown -R "$owner" "$P2PANDA_TEST_OUT" "${P2PANDA_TEST_OUT%/tests/*}/packaging" \
			"$P2PANDA_FUZZ_KEPT" "$CARGO_HOME" "$CARGO_TARGET_DIR"; exit $status'
		as_owner "$(id -u):$(id -g)") ;;
	*) user=(setpriv --reuid "$(id -u)" --regid "$(id -g)" --clear-groups
		--inh-caps +net_admin,+sys_admin --ambient-caps +net_admin,+sys_admin) ;;
	esac
	for name in $proxies; do
		options+=(-e "$name")
	done
	container=mosquitto-p2panda-tests-$$
	# The tree at its own path: paths in messages are right. seccomp: TSan may have to
	# turn address randomisation off. AppArmor: its profile may forbid namespaces. /tmp in
	# memory: brokers that sync their state there would wait for the layered file system of
	# the container, which may be a slow process of its own. Files belong to who started this.
	# shellcheck disable=SC2086
	run docker run --rm --init --name "$container" --security-opt seccomp=unconfined \
		--security-opt apparmor=unconfined --cap-add NET_ADMIN --cap-add SYS_ADMIN \
		--tmpfs /tmp:exec,mode=1777 \
		--mount "type=bind,src=$tree,dst=$tree" --mount "type=bind,src=$cache,dst=$cache" \
		"${options[@]}" -w "$tree" -e HOME=/tmp -e LANG=C.UTF-8 \
		-e P2PANDA_TEST_OUT="$out" -e P2PANDA_SOAK_SECONDS -e P2PANDA_REST_SECONDS \
		-e P2PANDA_BENCH_PARTS -e P2PANDA_REVISION \
		-e P2PANDA_FUZZ_SECONDS -e P2PANDA_FUZZ_KEPT="$cache/fuzz" \
		-e P2PANDA_TEST_CACHE="$cache" \
		-e CARGO_HOME="$cache/cargo" -e CARGO_TARGET_DIR="$cache/rust-forky" \
		"$image" "${user[@]}" bash "$tree/tests/suites.sh" $suites
}

run_root() {
	local root=$cache/forky-$key begun=$SECONDS name ca
	local -a environment=()
	say "suites:$suites, in a private root of Debian forky"
	prepare forky
	if [ ! -d "$root" ]; then
		say "making $root, with the toolchain (minutes, once)"
		rm -rf "$root.new"
		# shellcheck disable=SC2086
		run "$tree/docker/debian-root.sh" forky "$root.new" $packages || return 1
		child=
		mv "$root.new" "$root"
		say "made it in $((SECONDS - begun)) s"
	fi
	for name in $proxies P2PANDA_SOAK_SECONDS P2PANDA_REST_SECONDS P2PANDA_FUZZ_SECONDS \
		P2PANDA_BENCH_PARTS P2PANDA_REVISION; do
		[ -z "${!name:-}" ] || environment+=("$name=${!name}")
	done
	ca=$(ca_bundle)
	# The mounts are seen by these processes alone and end with them.
	# shellcheck disable=SC2016,SC2086
	run unshare --mount --pid --fork --kill-child --propagation private bash -c '
		set -eu
		root=$1 tree=$2 cache=$3 ca=$4 ca_inside=$5
		shift 5
		mount --bind "$root" "$root" # / is a mount point: unshare and mount ask for that
		mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
		mount -t proc proc "$root/proc"
		mount --rbind /dev "$root/dev"
		mount --rbind /sys "$root/sys"
		for folder in "$tree" "$cache"; do
			mkdir -p "$root$folder"
			mount --bind "$folder" "$root$folder"
		done
		for file in /etc/resolv.conf /etc/hosts; do
			[ ! -f "$file" ] || { touch "$root$file"; mount --bind "$file" "$root$file"; }
		done
		[ -z "$ca" ] || mount --bind "$ca" "$root$ca_inside"
		exec chroot "$root" env -i "$@"
		' root "$root" "$tree" "$cache" "$ca" "$ca_inside" \
		PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp LANG=C.UTF-8 \
		"${environment[@]}" P2PANDA_TEST_OUT="$out" CARGO_HOME="$cache/cargo" \
		P2PANDA_FUZZ_KEPT="$cache/fuzz" P2PANDA_TEST_CACHE="$cache" \
		CARGO_TARGET_DIR="$cache/rust-forky" bash "$tree/tests/suites.sh" $suites
}

if [ "$mode" = auto ]; then
	missing=$(missing_here | tr '\n' ',')
	root= driver=
	if [ -n "$missing" ]; then
		[ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1 || root=possible
		driver=$(docker info --format '{{.Driver}}' 2>/dev/null) || driver=
	fi
	if [ -z "$missing" ]; then
		mode=native
	# There a compiler takes seconds to start, for each file that it opens is a process's answer.
	elif [ "$root$driver" = possiblefuse-overlayfs ]; then
		mode=root
	elif [ -n "$driver" ]; then
		mode=docker
	elif [ -n "$root" ]; then
		mode=root
	else
		say "this machine lacks: ${missing%,}"
		say "install that, or Docker (that this user may use), or run as root on Debian"
		exit 1
	fi
fi
status=0
"run_$mode" || status=$?
child=
container=
finish "$status"
