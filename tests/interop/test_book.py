# SPDX-License-Identifier: MIT OR Apache-2.0
"""An address book as full as it may be, and as many topics as there may be overlays."""

import time

import pytest

from broker import _RUNNING
from identity import random_topic
from raw_node import RawNode
from settings import PATIENCE, within
from usage import cpu_seconds, resident

NODES = 10_000
TOPICS = 1_000
# New nodes of strangers that are looked at in a second, and nodes that one may bring.
PER_SECOND, PER_NODE = 250, 1_000

STARTED = 1.0  # seconds
SESSION = 0.1  # seconds of processor time
MEMORY = 128 << 20


@pytest.mark.unsanitized
def test_ten_thousand_nodes_and_a_thousand_topics(brokers):
    broker = brokers()
    broker.start()
    for _ in range(NODES // PER_NODE):
        with RawNode() as node:
            for _ in range(PER_NODE // PER_SECOND):
                second = time.monotonic() + 1
                node.session(broker, nodes=f"good {PER_SECOND} 127.0.0.1:9")
                time.sleep(max(second - time.monotonic(), 0))
    broker.wait_number("discovery/infos", NODES * 9 // 10)
    broker.stop()

    topics = [random_topic() for _ in range(TOPICS)]
    broker.options += [("topic", topic) for topic in topics]
    begun = time.monotonic()
    broker.spawn()
    broker.wait_log(_RUNNING)
    took = time.monotonic() - begun
    broker.attach()
    print(f"started in {took:.2f} s")
    assert took <= within(STARTED)

    with RawNode() as node:
        # The first one makes it known, and what it speaks.
        for number in range(4):
            before = cpu_seconds(broker.process.pid)
            session = node.session(broker, topics=topics[:2], nodes="self 1 127.0.0.1:9")
            spent = cpu_seconds(broker.process.pid) - before
            print(f"session {number}: {spent * 1e3:.0f} ms, {len(session.nodes)} bytes of nodes")
            assert len(session.hashes) == TOPICS
            assert spent <= within(SESSION)
        assert len(session.nodes) > 100 * 100  # it was told of many
    size = resident(broker.process.pid)
    print(f"{size >> 20} MiB")
    assert size <= MEMORY
    broker.wait_number("overlays", TOPICS, PATIENCE)
