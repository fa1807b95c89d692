# SPDX-License-Identifier: MIT OR Apache-2.0
"""Many strangers at one broker's door: the honest ones beside them notice nothing."""

import time

import pytest

from identity import overlay, random_topic
from raw_crowd import Crowd
from settings import within
from usage import resident

KEYS = 1024  # as many as there are places
SHARE = 128  # of one address


def test_honest_nodes_get_in_beside_a_crowd(brokers):
    """Two that are each other's peers, and a third that only knows where the first one is; the
    crowd was there before them."""
    first, second, third = (brokers(options=[("mdns", "off")]) for _ in range(3))
    first.add_peer(second), second.add_peer(first), third.add_peer(first)
    topic = overlay(random_topic())
    first.start()
    with Crowd(first, KEYS, 1) as crowd:
        crowd.wait_up()
        second.start(), third.start()
        begun = time.monotonic()
        near, far, farther = (broker.client(topic) for broker in (first, second, third))
        for number in (1, 2):
            first.wait_number("neighbours", number, within(10))
            print(f"neighbour {number} after {time.monotonic() - begun:.1f} s")
        near.post(topic, b"to all", 1)
        for client in (far, farther):
            client.wait_message(topic, b"to all", within(5))
        first.wait_log("no place left for connections")
        # What other honest ones have is theirs, and what is reserved.
        assert first.number("connections") <= SHARE + 8


@pytest.mark.unsanitized
def test_streams_for_nobodys_topics_cost_little(brokers):
    near, far = brokers.pair()
    topic = overlay(random_topic())
    here, there = near.client(topic), far.client(topic)
    near.wait_number("neighbours", 1), far.wait_number("neighbours", 1)
    before = resident(near.process.pid)
    with Crowd(near, 100, 1000) as crowd:
        crowd.wait_up()
        sent = [f"{number}".encode() for number in range(100)]
        for payload in sent:
            here.post(topic, payload, 1)
        there.wait_all(topic, sent)
        near.wait_number("limits/foreign_streams", 150, within(30))
        grown = resident(near.process.pid) - before
        print(f"grown by {grown >> 20} MB")
        assert grown < 128 << 20
