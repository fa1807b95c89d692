# SPDX-License-Identifier: MIT OR Apache-2.0
"""Ports for the tests.

They are taken from below the range the kernel hands out by itself, so that nobody who
binds port 0 or connects somewhere can take one between its choice and its use; and each
of pytest-xdist's workers has a share of its own of them.
"""

import errno
import os
import pathlib
import random
import socket

_LOWEST = 10000
_RANGE = pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range")
_chosen: set[int] = set()


def _highest() -> int:
    try:
        first = int(_RANGE.read_text().split()[0])
    except (OSError, ValueError):
        first = 32768
    return max(first - 1, _LOWEST + 1000)


def _share() -> range:
    """The ports of this worker ("gw0", "gw1", ...; none without pytest-xdist)."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    return range(_LOWEST + worker, _highest() + 1, workers)


def _is_free(port: int) -> bool:
    """Whether nobody has the port, TCP or UDP, IPv4 or IPv6."""
    for family, host in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            try:
                sock = socket.socket(family, kind)
            except OSError:
                continue  # no IPv6 at all
            with sock:
                if family == socket.AF_INET6:
                    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                if kind == socket.SOCK_STREAM:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    sock.bind((host, port))
                except OSError as error:
                    if error.errno == errno.EADDRINUSE:
                        return False
                    if error.errno != errno.EADDRNOTAVAIL:
                        raise
    return True


def free_port() -> int:
    """A port that is free at this moment, never the same one twice."""
    ports = _share()
    for _ in range(10000):
        port = random.choice(ports)
        if port not in _chosen and _is_free(port):
            _chosen.add(port)
            return port
    raise RuntimeError("no free port")
