# SPDX-License-Identifier: MIT OR Apache-2.0
"""Brings brokers and Rust peers together.

Who dials whom is decided here: a Rust peer dials whoever is in its address book with an
interest in a topic it has joined; a broker dials the peers of its configuration.
"""

from collections.abc import Callable, Sequence
from typing import Any

from broker import Broker
from pulse import paced
from rust_peer import RustPeer
from settings import PATIENCE


def listens_at(peer: RustPeer, host: str = "127.0.0.1") -> str:
    """The peer's address of this host's family."""
    if peer.host is not None:
        return peer.host.address()
    start = f"[{host}]:" if ":" in host else f"{host}:"
    return next(address for address in peer.addresses if address.startswith(start))


def we_dial(broker: Broker, peer: RustPeer, topic: str, host: str = "127.0.0.1"):
    """Only the broker (not yet running) knows the other; starts it."""
    broker.add_peer(peer.id, listens_at(peer, host))
    peer.join(topic)
    broker.start()


def they_dial(
    broker: Broker, peer: RustPeer, topic: str, host: str = "127.0.0.1", joined: bool = False
):
    """Only the Rust peer knows the other; the broker runs."""
    peer.node(broker.id, broker.address(host))
    peer.interest(broker.id, topic)
    if not joined:
        peer.join(topic)


def wait_together(broker: Broker, peer: RustPeer, topic: str):
    broker.wait_joined(topic)
    peer.wait("joined", PATIENCE, topic=topic)


# A Rust peer loses what has no room inside it when its reader is late: iroh-gossip hands
# messages on by a channel of 256, p2panda-net by one of 128, and both drop the oldest ones.
# Time is no help where the machine decides who runs when: what stood still for 0.2 s sends
# 200 messages at once. So there are never more on their way than this.
AHEAD = 48


class Lead:
    """Keeps a publisher at most AHEAD messages before the Rust peer that it publishes to.

    All that the peer receives on the topic meanwhile has to come from that publisher.
    """

    def __init__(self, peer: RustPeer, topic: str, publish: Callable[[bytes], Any]):
        self._peer, self._topic, self._publish = peer, topic, publish
        self._target = peer.received(topic) - AHEAD

    def __call__(self, payload: bytes):
        """Publishes, once the peer has come close enough."""
        self._target += 1
        self._peer.wait_received(self._topic, self._target, PATIENCE)
        self._publish(payload)


def paced_to(
    peer: RustPeer,
    topic: str,
    publish: Callable[[bytes], Any],
    payloads: Sequence[bytes],
    interval: float = 0.001,
):
    """Publishes all of it, one per interval, and no faster than the Rust peer receives it."""
    paced(Lead(peer, topic, publish), payloads, interval)
