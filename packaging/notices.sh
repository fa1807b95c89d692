#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Prints the licences of what is linked into the self-contained plugin, from the sources (at
# /sources: see packaging/build.sh).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

echo "mosquitto_p2panda.so has these libraries in it."
sed -n 's/^\([a-z][^ ]*\) .*/\1/p' "$here/sources.txt" | while read -r library; do
	[ "$library" != mosquitto ] || continue # headers alone
	rm -rf "$work/one"
	mkdir "$work/one"
	for file in "/sources/$library"/*; do
		case $file in
		*.deb) dpkg-deb -x "$file" "$work/one" ;;
		*.asc) ;;
		*.orig.tar.* | *.crate)
			tar -tf "$file" | grep -E '/(LICEN[CS]E|COPYING)[^/]*$' >"$work/names" || true
			[ ! -s "$work/names" ] || tar -xf "$file" -C "$work/one" -T "$work/names" ;;
		esac
	done
	printf '\n==== %s %s\n\n' "$library" "$(cat "/sources/$library/VERSION")"
	# Those at the top; a package of Debian has a copyright file, a crate what it holds.
	find "$work/one" -mindepth 2 -maxdepth 3 -type f \( -name 'LICEN[CS]E*' -o -name 'COPYING*' \) |
		sort | xargs -r cat
	find "$work/one" -path '*/share/doc/*/copyright' -type f | sort | xargs -r cat
done
