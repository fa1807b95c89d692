# SPDX-License-Identifier: MIT OR Apache-2.0
"""A neighbour in gossip that sends frames no real one would: a raw node that has dialled a broker.

    with RawPeer(broker) as raw:
        raw.join(id)
        raw.gossip(b"on the overlay that was joined last")
"""

from raw_node import Connection, RawNode, Stream, frame, frames_in

# Bodies of frames, in postcard: topic::Message, then its own kind (bridge/gossip/wire.c).
NEIGHBOR_HIGH = b"\x00\x04\x00\x00"
GOSSIP, SWARM = b"\x01\x00", b"\x00"


def _varint(number: int) -> bytes:
    found = b""
    while number >= 0x80:
        found, number = found + bytes([number & 0x7F | 0x80]), number >> 7
    return found + bytes([number])


class RawPeer(RawNode):
    """One process, connected to a broker."""

    def __init__(self, broker):
        super().__init__(protocols="gossip")
        self._broker = broker
        self._before: Connection | None = None
        self._connection = self.dial(broker, "gossip")
        self._stream: Stream | None = None  # of the overlay that was joined last

    def frame(self, body: bytes):
        """Any frame on the overlay that was joined last."""
        self.send("send", self._stream.number, frame(body).hex())

    def join(self, topic: str):
        """Becomes a neighbour of the broker."""
        self._stream = self._open(self._connection, "uni")
        self.frame(bytes.fromhex(topic))
        self.frame(NEIGHBOR_HIGH)
        self.wait_frames(topic)

    def gossip(self, content: bytes, round: int = 0):
        """A message there."""
        self.frame(
            GOSSIP + self.hash(content) + _varint(len(content)) + content + SWARM + _varint(round)
        )

    def shuffles(self, per_second: int):
        """From now on Shuffles there, each of 64 nodes that nobody knows; 0: no more. What the
        broker sends is not heard any more."""
        self.send("deaf")
        self._ask("shuffles", "shuffles", self._stream.number, per_second)

    def forge(self, per_second: int, version: int = 1) -> int:
        """From now on signed messages there whose signature is false; 0: no more. Returns how many
        there have been. What the broker sends is not heard any more."""
        self.send("deaf")
        return int(self._ask("forged ", "forge", self._stream.number, version, per_second))

    def connect(self):
        """Another connection, which is used from now on."""
        self._before, self._connection = self._connection, self.dial(self._broker, "gossip")

    def close_before(self):
        """Ends the one before it."""
        self.send("close", self._before.number, 0)

    def frames(self, topic: str) -> list[bytes]:
        """What the broker has sent of this overlay, on all of its streams; called with or without
        the lock."""
        with self._changed:
            streams = [frames_in(stream.data)[0] for stream in self.streams.values()]
        ours = [frames for frames in streams if frames and frames[0] == bytes.fromhex(topic)]
        return [body for frames in ours for body in frames[1:]]

    def wait_frames(self, topic: str, count: int = 1):
        self.wait(
            lambda: len(self.frames(topic)) >= count, what=f"{count} frames of {topic[:10]}"
        )

    def has_ended(self) -> bool:
        """Whether the broker has closed the connection that is used."""
        with self._changed:
            return self._connection.close is not None

    def wait_ended(self):
        self.wait(lambda: self._connection.close is not None, what="end of the connection")
