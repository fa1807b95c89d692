#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Makes sure that the base image (default debian:forky-slim) exists on this
# machine: already there, else pulled, else made with mmdebstrap from the Debian
# mirror that this machine's own apt uses. Names no mirror itself.
#
#   docker/base-image.sh [image]
#
# Needs: docker; for the third way also root (or fakeroot-less user namespaces)
# and apt. Errors: a line on stderr and exit status 1.
set -eu

image=${1:-debian:forky-slim}

die() { echo "base-image: $*" >&2; exit 1; }
say() { echo "base-image: $*" >&2; }

command -v docker >/dev/null 2>&1 || die "docker is not installed"
docker info >/dev/null 2>&1 || die "the docker daemon does not answer (is it running, may this user reach it?)"

if docker image inspect "$image" >/dev/null 2>&1; then
	exit 0
fi
say "$image is not on this machine: trying to pull it"
if timeout 120 docker pull -q "$image" >/dev/null 2>&1; then
	exit 0
fi

say "no registry answers: making $image from this machine's Debian mirror"
command -v apt-get >/dev/null 2>&1 || die "cannot pull $image, and without apt it cannot be made here"
here=$(cd "$(dirname "$0")" && pwd)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
"$here/debian-root.sh" forky "$tmp/root.tar"
docker import -c 'CMD ["bash"]' "$tmp/root.tar" "$image" >/dev/null
say "$image is ready"
