#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Downloads a Debian source package, from the mirror that this machine's apt knows.
#
#   tests/harness/debian-source.sh <suite> <package> <folder>
#
# <folder>/tree gets the sources, with Debian's patches. <folder> is to be empty.
set -eu

suite=$1 package=$2 work=$3

die() { echo "debian-source.sh: $*" >&2; exit 1; }

command -v apt-get >/dev/null 2>&1 || die "a source package of Debian needs apt"
mirror=$(apt-get indextargets --format '$(COMPONENT) $(REPO_URI)' 'Identifier: Packages' |
	sed -n 's/^main //p' | grep -v security | head -n 1)
# Where its lists are not there (an image without them), what its sources say.
[ -n "$mirror" ] || mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null |
	sed -n 's/^deb \(\[[^]]*\] \)\?\([^ ]*\) [a-z]* main.*/\2/p' | head -n 1)
[ -n "$mirror" ] || die "apt names no Debian mirror here"

mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/src"
echo "deb-src $mirror $suite main" >"$work/sources.list"
# An apt of its own, but for its network settings and keys.
apt=(-qq -o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=/dev/null
	-o "Dir::State::lists=$work/lists" -o "Dir::Cache=$work/cache" -o APT::Sandbox::User=root)
apt-get "${apt[@]}" update
cd "$work/src"
apt-get "${apt[@]}" source --download-only "$package"
dpkg-source --no-check -x "$package"_*.dsc "$work/tree"
