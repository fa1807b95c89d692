# SPDX-License-Identifier: MIT OR Apache-2.0
"""MQTT by hand, for what a client library does not do: several filters in one packet, ending
a connection in every bad way, showing the reason code of a PUBREC."""

import contextlib
import itertools
import socket
import struct

from settings import PATIENCE

PUBACK, PUBREC, PUBCOMP, SUBACK, UNSUBACK = 0x40, 0x50, 0x70, 0x90, 0xB0


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
    """A client of MQTT 3.1.1 (version 4) or 5 with a clean session, or one that lasts (with MQTT 5
    for expiry seconds). It sends no PINGREQ: with a keepalive it dies of it."""

    def __init__(
        self,
        port: int,
        client_id: str,
        keepalive: int = 0,
        version: int = 4,
        lasting: bool = False,
        expiry: int = 3600,
    ):
        self.id = client_id
        self._no_properties = b"\0" if version == 5 else b""
        self._numbers = itertools.cycle(range(1, 65536))
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self.socket.makefile("rb")
        # A session of MQTT 5 lasts as long as it says.
        properties = b"\5\x11" + struct.pack("!I", expiry) if lasting else b"\0"
        head = _text("MQTT") + struct.pack("!BBH", version, 0 if lasting else 2, keepalive)
        head += properties if version == 5 else b""
        self.socket.sendall(packet(0x10, head + _text(client_id)))
        kind, body = self.read()
        assert kind == 0x20 and body[1] == 0 and body[0] <= lasting, (kind, body)
        self.session_present = bool(body[0])

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

    def _head(self) -> bytes:
        return struct.pack("!H", next(self._numbers)) + self._no_properties

    def subscribe(self, *filters: tuple[str, int]):
        """All in one packet."""
        body = b"".join(_text(one) + bytes([qos]) for one, qos in filters)
        self.socket.sendall(packet(0x82, self._head() + body))
        self.wait(SUBACK)

    def unsubscribe(self, *filters: str):
        self.socket.sendall(packet(0xA2, self._head() + b"".join(map(_text, filters))))
        self.wait(UNSUBACK)

    def publish(self, topic: str, payload: bytes, qos: int) -> int:
        """Returns the reason code of the PUBACK or PUBREC, 0 at QoS 0. A QoS 2 publish stays
        as it is then."""
        head = self._head() if qos else self._no_properties
        self.socket.sendall(packet(0x30 | qos << 1, _text(topic) + head + payload))
        if qos == 0:
            return 0
        answer = self.wait(PUBACK if qos == 1 else PUBREC)
        return answer[2] if len(answer) > 2 else 0

    def publish_as(self, number: int, topic: str, payload: bytes, dup: bool = False):
        """The first half of a QoS 2 publish, with this packet id."""
        head = struct.pack("!H", number) + self._no_properties
        first = 0x3C if dup else 0x34
        self.socket.sendall(packet(first, _text(topic) + head + payload))
        answer = self.wait(PUBREC)
        assert answer in (head[:2], head[:2] + b"\0"), answer

    def release(self, number: int):
        """The second half."""
        self.socket.sendall(packet(0x62, struct.pack("!H", number)))
        self.wait(PUBCOMP)

    def reset(self):
        """Ends the connection with a TCP reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self):
        """Ends the connection without a word of MQTT."""
        with contextlib.suppress(OSError):
            self._file.close()
        self.socket.close()
