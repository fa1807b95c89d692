# SPDX-License-Identifier: MIT OR Apache-2.0
"""What nodes are not told: which topics we have, and what only our configuration says. Shown by
a node that keeps every byte it is sent."""

import secrets
import time

import pytest

from identity import make_identity, overlay, random_topic
from raw_node import RawNode

# Seconds in which a node would have been asked to be a neighbour, and asked again.
QUIET = 4.0


@pytest.fixture
def raw():
    """Starts raw nodes that end with the test."""
    made = []

    def start(**options):
        made.append(RawNode(**options))
        return made[-1]

    yield start
    for node in made:
        node.close()


def test_topics_are_not_told(brokers, raw):
    """A way in that shares nothing is told nothing, whoever begins the session, and not even
    on a gossip connection of its own."""
    node, broker = raw(), brokers()
    node.serve()
    broker.add_bootstrap(node.id, node.address)
    broker.start()
    ids = [random_topic() for _ in range(3)]
    for id in ids:
        broker.client(overlay(id)).publish(overlay(id), b"secret " + id.encode())
    node.wait_served(1)
    salt = secrets.token_bytes(32)
    sessions = [node.session(broker, salt=salt) for _ in range(2)]
    gossip = node.dial(broker, "gossip")
    time.sleep(QUIET)
    heard = node.heard()
    for id in ids:
        for form in (bytes.fromhex(id), id.encode()):
            assert form not in heard
    assert b"secret" not in heard
    # Who knows the topic can tell, else nobody: no two sessions look alike.
    first, second = (set(session.hashes) for session in sessions)
    assert len(first) == len(second) == len(ids) and not first & second
    assert [one.way for one in node.seen("gossip")] == ["out"]
    assert not [one for one in node.streams.values() if one.connection == gossip.number]
    status = broker.status()
    assert status["peers/joins"] == status["neighbours"] == "0"
    assert broker.number("discovery/sessions") >= 3
    assert broker.number("discovery/failed") <= 1  # the other dialect was tried first


@pytest.mark.parametrize("who", ["we begin", "it begins"])
def test_only_shared_topics_are_told(brokers, raw, who):
    node, broker = raw(), brokers()
    shared, other = random_topic(), random_topic()
    if who == "we begin":
        node.serve(topics=[shared])
        broker.add_bootstrap(node.id, node.address)
    broker.start()
    for id in (shared, other):
        broker.client(overlay(id))
    if who == "it begins":
        session = node.session(broker, topics=[shared])
        assert len(session.hashes) == 2
    node.wait(lambda: bytes.fromhex(shared) in node.heard(), what="Join of the shared topic")
    time.sleep(QUIET)
    assert bytes.fromhex(other) not in node.heard()


def test_configured_nodes_are_not_passed_on(brokers, rust, raw, tmp_path):
    """Neither who they are nor where; what a node has signed itself is."""
    broker = brokers()
    known = [make_identity(tmp_path / f"{name}.pem") for name in ("peer", "bootstrap")]
    broker.add_peer(known[0], "127.0.0.1:1001", "192.0.2.77:1002")
    broker.add_bootstrap(known[1], "127.0.0.1:1003", "192.0.2.78:1004")
    broker.start()
    broker.client(overlay(random_topic()))
    signed = {generation: rust(generation, discovery=True) for generation in ("06", "071")}
    for peer in signed.values():
        peer.node(broker.id, broker.address(), bootstrap=True)
    broker.wait_number("discovery/infos", len(signed))
    node = raw()
    # The first time we may not know yet what it speaks, and then tell nothing.
    for _ in range(2):
        told = node.session(broker, nodes="self 1 127.0.0.1:9").nodes
    assert bytes.fromhex(broker.id) in told
    # Of its generation only: an info of another one would cost it the session.
    assert bytes.fromhex(signed["071"].id) in told
    assert bytes.fromhex(signed["06"].id) not in told
    for id in known:
        assert bytes.fromhex(id) not in node.heard()
    for host in (77, 78):
        assert bytes([192, 0, 2, host]) not in node.heard()
    # A real peer as well: it is on no overlay with us that could tell it.
    third = rust("071", discovery=True)
    third.node(broker.id, broker.address(), bootstrap=True)
    third.watch(signed["071"].id)
    third.wait_knows(signed["071"].id, lambda transports: transports["kind"] == "authenticated", 40)
    assert not set(known) & set(third.book())
