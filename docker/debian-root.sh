#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Makes a minimal root of Debian with mmdebstrap, from the mirror and with the apt
# settings (proxy, validity) of the machine it runs on.
#
#   docker/debian-root.sh <suite: forky, trixie...> <target: a .tar file or a folder> [package...]
#
# DEBIAN_ARCH     another machine kind than this one's: packages are unpacked, not set up
#
# Needs root and apt; installs mmdebstrap where it is missing.
set -eu

suite=$1 target=$2
shift 2
variant=minbase
[ -z "${DEBIAN_ARCH:-}" ] || variant=extract

die() { echo "debian-root: $*" >&2; exit 1; }

if ! command -v mmdebstrap >/dev/null 2>&1; then
	[ "$(id -u)" = 0 ] || die "mmdebstrap is not installed (apt-get install mmdebstrap)"
	{ apt-get -qq update && apt-get -qq install -y --no-install-recommends mmdebstrap; } >/dev/null ||
		die "mmdebstrap could not be installed"
fi

# The mirror of this machine's apt, of the archive that has main and is no
# security or backports archive. Apt tells it when it has lists; an image may have none.
mirror=$(apt-get indextargets --format '$(COMPONENT) $(REPO_URI)' 'Identifier: Packages' |
	sed -n 's/^main //p' | grep -v security | head -n 1)
[ -n "$mirror" ] || mirror=$(sed -n 's/^deb \(\[[^]]*\] \)\{0,1\}\([^ ]*\) [a-z]* main.*/\2/p' \
	/etc/apt/sources.list | head -n 1)
[ -n "$mirror" ] || die "this machine's apt names no Debian mirror"

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
chmod 755 "$tmp" # mmdebstrap reads the options under another uid
apt-config dump --no-empty Acquire |
	grep -E '^Acquire::(Check-Valid-Until|Check-Date|Retries|http|https|ftp)' >"$tmp/aptopt" || true
{
	echo 'Dir::Cache::pkgcache "";'
	echo 'Dir::Cache::srcpkgcache "";'
	echo 'APT::Install-Recommends "false";'
	echo 'Acquire::Languages "none";'
} >>"$tmp/aptopt"
chmod 644 "$tmp/aptopt"

include=
for package in "$@"; do
	include=${include:+$include,}$package
done
mmdebstrap --variant=$variant --quiet --aptopt="$tmp/aptopt" \
	${DEBIAN_ARCH:+--architectures="$DEBIAN_ARCH"} \
	--dpkgopt='path-exclude=/usr/share/doc/*' \
	--dpkgopt='path-exclude=/usr/share/man/*' \
	--dpkgopt='path-exclude=/usr/share/locale/*' \
	--dpkgopt='force-unsafe-io' \
	${include:+--include="$include"} \
	"$suite" "$target" "$mirror" || die "mmdebstrap could not make $suite from this machine's mirror"
