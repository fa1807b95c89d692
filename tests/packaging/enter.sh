#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Runs a program in another root, where folders of this one are at their own places, or at others:
#
#   tests/packaging/enter.sh <root> <folder[:place]>... -- <program> [argument...]
#
# The process is the program's in the end, so that signals reach it. Needs root; the mounts are its
# own and end with it.
set -eu
if [ "${1:-}" != mounted ]; then
	exec unshare --mount --propagation private bash "$0" mounted "$@"
fi
root=$2
shift 2
mount --bind "$root" "$root"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
while [ "$1" != -- ]; do
	mkdir -p "$root${1#*:}"
	mount --bind "${1%%:*}" "$root${1#*:}"
	shift
done
shift
mount --rbind /proc "$root/proc"
mount --rbind /dev "$root/dev"
exec chroot "$root" "$@"
