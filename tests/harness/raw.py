# SPDX-License-Identifier: MIT OR Apache-2.0
"""MQTT 3.1.1 by hand, for what a well-behaved client library does not do: several filters
in one packet, pipelining, ending a connection in every bad way."""

import contextlib
import itertools
import socket
import struct
from collections.abc import Iterable

from settings import PATIENCE

SUBACK, UNSUBACK = 0x90, 0xB0


def _text(text: str) -> bytes:
    return struct.pack("!H", len(text)) + text.encode()


def packet(kind: int, body: bytes) -> bytes:
    length, left = b"", len(body)
    while True:
        left, digit = divmod(left, 128)
        length += bytes([digit | (0x80 if left else 0)])
        if not left:
            return bytes([kind]) + length + body


class RawClient:
    """Sends no PINGREQ: with a keepalive it dies of it."""

    def __init__(self, port: int, client_id: str, keepalive: int = 0, clean: bool = True):
        self._numbers = itertools.cycle(range(1, 65536))
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self.socket.makefile("rb")
        flags = struct.pack("!BBH", 4, 2 if clean else 0, keepalive)
        self.socket.sendall(packet(0x10, _text("MQTT") + flags + _text(client_id)))
        assert self.read() == (0x20, b"\0\0") or not clean

    def read(self) -> tuple[int, bytes]:
        """The next packet: its first byte and its body."""
        kind, length, shift = self._file.read(1)[0], 0, 0
        while True:
            digit = self._file.read(1)[0]
            length |= (digit & 0x7F) << shift
            shift += 7
            if digit < 0x80:
                return kind, self._file.read(length)

    def wait(self, kind: int) -> bytes:
        """Reads up to a packet of this kind."""
        while True:
            found, body = self.read()
            if found == kind:
                return body

    def subscribe_packet(self, filters: Iterable[tuple[str, int]]) -> bytes:
        body = b"".join(_text(one) + bytes([qos]) for one, qos in filters)
        return packet(0x82, struct.pack("!H", next(self._numbers)) + body)

    def unsubscribe_packet(self, filters: Iterable[str]) -> bytes:
        body = b"".join(_text(one) for one in filters)
        return packet(0xA2, struct.pack("!H", next(self._numbers)) + body)

    def subscribe(self, *filters: tuple[str, int]) -> bytes:
        """All in one packet; returns the reason codes."""
        self.socket.sendall(self.subscribe_packet(filters))
        return self.wait(SUBACK)[2:]

    def unsubscribe(self, *filters: str):
        self.socket.sendall(self.unsubscribe_packet(filters))
        self.wait(UNSUBACK)

    def reset(self):
        """Ends the connection with a TCP reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self):
        """Ends the connection without a word of MQTT."""
        with contextlib.suppress(OSError):
            self._file.close()
        self.socket.close()
