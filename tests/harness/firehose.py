# SPDX-License-Identifier: MIT OR Apache-2.0
"""A publisher that writes prepared packets to its socket, as fast as the broker reads them,
and ends when told to: nothing of a client library is between."""

import itertools
import socket
import struct
from collections.abc import Iterable

from settings import PATIENCE

_numbers = itertools.count(1)


def _string(text: str) -> bytes:
    return struct.pack(">H", len(text)) + text.encode()


def _packet(kind: int, body: bytes) -> bytes:
    size, length = len(body), b""
    while True:
        size, low = divmod(size, 128)
        length += bytes([low | (0x80 if size else 0)])
        if not size:
            return bytes([kind]) + length + body


class Firehose:
    """A connected client (MQTT 3.1.1, clean session). name: its own in this process."""

    def __init__(self, port: int, name: str = ""):
        self._socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client = _string(name or f"firehose-{next(_numbers)}")
        self._socket.sendall(_packet(0x10, _string("MQTT") + b"\x04\x02\x00\x00" + client))
        assert self._read(4) == b"\x20\x02\x00\x00"

    def _read(self, size: int) -> bytes:
        found = b""
        while len(found) < size:
            more = self._socket.recv(size - len(found))
            assert more, "the broker has hung up"
            found += more
        return found

    def subscribe(self, topic: str):
        """At QoS 0; what arrives is not read but by drain(), so do not wait for anything else
        after it."""
        self._socket.sendall(_packet(0x82, b"\x00\x01" + _string(topic) + b"\x00"))
        assert self._read(5) == b"\x90\x03\x00\x01\x00"

    def fileno(self) -> int:
        """For select."""
        return self._socket.fileno()

    def drain(self) -> int:
        """Waits for what arrives; returns how many bytes it was, 0 when the broker has hung up."""
        self._socket.settimeout(None)
        return len(self._socket.recv(1 << 18))

    def send(self, topic: str, payloads: Iterable[bytes], qos: int = 0):
        """Writes all of it. Answers are not read: not too much at QoS 1."""
        head = _string(topic)
        self._socket.sendall(
            b"".join(
                _packet(0x30 | qos << 1, head + (struct.pack(">H", number) if qos else b"") + one)
                for number, one in enumerate(payloads, 1)
            )
        )

    def wait(self):
        """Waits until the broker has read everything that was sent (at QoS 0)."""
        self._socket.sendall(b"\xc0\x00")
        assert self._read(2) == b"\xd0\x00"

    def disconnect(self):
        """Says goodbye behind what was sent."""
        self._socket.sendall(b"\xe0\x00")

    def unsubscribe(self, topic: str):
        self._socket.sendall(_packet(0xA2, b"\x00\x02" + _string(topic)))

    def close(self):
        self._socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
