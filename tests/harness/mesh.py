# SPDX-License-Identifier: MIT OR Apache-2.0
"""Several nodes on one overlay: does everybody hear everybody?

    mesh = Mesh(overlay_id, a, b, peer)   # brokers and Rust peers
    mesh.round("start", within(10))       # one message of each, which all others get
    mesh.heal(within(15))                 # again and again, until that is so
    mesh.repeated()                       # what has come twice
"""

import collections
import itertools
import time
from collections.abc import Sequence
from typing import Any

from broker import Broker
from identity import overlay
from settings import PATIENCE


class _AtBroker:
    def __init__(self, broker: Broker, id: str):
        self.node = broker
        self.name = broker.name
        self._topic = overlay(id)
        self._client = broker.client(self._topic)

    def publish(self, payload: bytes):
        self._client.post(self._topic, payload, 1)

    def wait(self, payload: bytes, timeout: float):
        self._client.wait_message(self._topic, payload, timeout)

    def received(self) -> list[bytes]:
        return self._client.payloads(self._topic)


class _AtPeer:
    def __init__(self, peer: Any, id: str):
        self.node = peer
        self.name = f"peer{peer.generation}"
        self._id = id
        self._peer = peer
        peer.join(id)

    def publish(self, payload: bytes):
        self._peer.publish(self._id, payload)

    def wait(self, payload: bytes, timeout: float):
        self._peer.wait_message(self._id, payload, timeout)

    def received(self) -> list[bytes]:
        return self._peer.messages(self._id)


class Mesh:
    """id is the overlay's; each node gets a subscriber, or joins."""

    _numbers = itertools.count(1)

    def __init__(self, id: str, *nodes: Any):
        self.id = id
        self.members = [
            (_AtBroker if isinstance(node, Broker) else _AtPeer)(node, id) for node in nodes
        ]

    def part(self, *nodes: Any) -> "Mesh":
        """Only these of its nodes."""
        mesh = Mesh(self.id)
        mesh.members = [member for member in self.members if member.node in nodes]
        assert len(mesh.members) == len(nodes)
        return mesh

    def join(self, *nodes: Any):
        """These are here (again)."""
        self.members = [member for member in self.members if member.node not in nodes]
        self.members += Mesh(self.id, *nodes).members

    def _publish(self, name: str) -> list[tuple[Any, bytes]]:
        sent = [
            (member, f"{name} {next(self._numbers)} of {member.name}".encode())
            for member in self.members
        ]
        for member, payload in sent:
            member.publish(payload)
        return sent

    def _missing(self, sent: Sequence[tuple[Any, bytes]], limit: float) -> list[str]:
        """Who has not heard whom until then."""
        missing = []
        for receiver in self.members:
            for sender, payload in sent:
                if sender is receiver:
                    continue
                try:
                    receiver.wait(payload, max(limit - time.monotonic(), 0))
                except AssertionError:
                    missing.append(f"{sender.name}->{receiver.name}")
        return missing

    def round(self, name: str, timeout: float | None = None):
        """Everybody publishes one message; everybody else gets it."""
        limit = time.monotonic() + (PATIENCE if timeout is None else timeout)
        missing = self._missing(self._publish(name), limit)
        assert not missing, f"{name}: not heard: {', '.join(missing)}\n{self._tails()}"

    def repeated(self) -> list[str]:
        """What somebody has received more than once: all payloads are different."""
        return [
            f"{payload.decode()!r} at {member.name} {times} times"
            for member in self.members
            for payload, times in collections.Counter(member.received()).items()
            if times > 1
        ]

    def heal(self, timeout: float, interval: float = 0.5) -> float:
        """Rounds until everybody hears everybody; returns how many seconds it took."""
        begun = time.monotonic()
        while True:
            missing = self._missing(self._publish("healing"), time.monotonic() + interval)
            took = time.monotonic() - begun
            if not missing:
                return took
            assert took < timeout, (
                f"after {took:.1f} s not heard: {', '.join(missing)}\n{self._tails()}"
            )

    def _tails(self) -> str:
        return "\n".join(
            member.node.tail() for member in self.members if isinstance(member.node, Broker)
        )
