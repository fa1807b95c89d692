#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Makes a minimal root of Debian forky with mmdebstrap, from the mirror and with
# the apt settings (proxy, validity) of the machine it runs on.
#
#   docker/forky-root.sh <target: a .tar file or a folder> [package...]
#
# Needs root and apt; installs mmdebstrap where it is missing.
set -eu

target=$1
shift
suite=forky

die() { echo "forky-root: $*" >&2; exit 1; }

if ! command -v mmdebstrap >/dev/null 2>&1; then
	[ "$(id -u)" = 0 ] || die "mmdebstrap is not installed (apt-get install mmdebstrap)"
	{ apt-get -qq update && apt-get -qq install -y --no-install-recommends mmdebstrap; } >/dev/null ||
		die "mmdebstrap could not be installed"
fi

# The mirror of this machine's apt, of the archive that has main and is no
# security or backports archive.
mirror=$(apt-get indextargets --format '$(COMPONENT) $(REPO_URI)' 'Identifier: Packages' |
	sed -n 's/^main //p' | grep -v security | head -n 1)
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
mmdebstrap --variant=minbase --quiet --aptopt="$tmp/aptopt" \
	--dpkgopt='path-exclude=/usr/share/doc/*' \
	--dpkgopt='path-exclude=/usr/share/man/*' \
	--dpkgopt='path-exclude=/usr/share/locale/*' \
	--dpkgopt='force-unsafe-io' \
	${include:+--include="$include"} \
	"$suite" "$target" "$mirror" || die "mmdebstrap could not make $suite from this machine's mirror"
