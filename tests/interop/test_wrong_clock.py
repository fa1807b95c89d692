# SPDX-License-Identifier: MIT OR Apache-2.0
"""A broker whose clock was wrong when it signed where it is: once the clock is right, others that
know only a third node find it by discovery, as if nothing had been."""

import time

import pytest

from clock import Clock
from identity import overlay, random_topic
from raw_node import RawNode
from settings import within

YEAR = 365 * 86400
# In seconds: what discovery promises (test_discovery.py).
FOUND = 5.0


class Third:
    """What a broker tells everybody: asked in sessions of our own."""

    def __init__(self, broker):
        self.broker = broker
        self.raw = RawNode()
        # What we speak is not known before, and nothing told then.
        self._ask()
        broker.wait_number("discovery/infos", 1)

    def _ask(self) -> bytes:
        return self.raw.session(self.broker, nodes=f"self 1 {self.raw.address}").nodes

    def said_at(self, node) -> int | None:
        """The time of what it tells of that node, in seconds; None: it tells nothing of it. (In
        0.7.1's Nodes a node's id with its length is followed by its info's time, a varint.)"""
        nodes = self._ask()
        at = nodes.find(b"\x20" + bytes.fromhex(node.id))
        if at < 0:
            return None
        at, value, shift = at + 33, 0, 0
        while True:
            value |= (nodes[at] & 0x7F) << shift
            at, shift = at + 1, shift + 7
            if nodes[at - 1] < 0x80:
                return value // 1_000_000


@pytest.fixture
def third(brokers):
    made = Third(brokers().start())
    yield made
    made.raw.close()


def find(third, wrong, seeker):
    """The seeker, which is new, knows the third only; so does the other one."""
    id = random_topic()
    topic = overlay(id)
    here = wrong.client(topic)
    seeker.add_bootstrap(third.broker)
    seeker.start()
    begun = time.monotonic()
    there = seeker.client(topic)
    seeker.wait_joined(id, within(FOUND))
    # By its own signed word, not because it has come itself.
    seeker.wait_in_book(wrong, within(FOUND))
    here.publish(topic, b"found")
    there.wait_message(topic, b"found", within(FOUND))
    print(f"found after {time.monotonic() - begun:.1f} s")
    assert abs(third.said_at(wrong) - time.time()) < 60


def test_in_the_future_at_one_start(third, brokers, tmp_path):
    clock = Clock(tmp_path, 2 * YEAR)
    wrong = brokers(**clock.options)
    wrong.add_bootstrap(third.broker)
    wrong.start()
    third.broker.wait_number("discovery/bad_infos", 1)
    assert third.said_at(wrong) is None
    wrong.stop()
    clock.set(0)
    wrong.start()
    wrong.wait_log("in the future, when its clock was wrong: it is forgotten")
    find(third, wrong, brokers())


@pytest.mark.parametrize(
    "offset", [2 * YEAR, -2 * YEAR], ids=["back from the future", "on from the past"]
)
def test_set_while_it_runs(third, brokers, tmp_path, offset):
    clock = Clock(tmp_path, offset)
    wrong = brokers(**clock.options)
    wrong.add_bootstrap(third.broker)
    wrong.start()
    if offset > 0:
        third.broker.wait_number("discovery/bad_infos", 1)
        assert third.said_at(wrong) is None
    else:
        third.broker.wait_number("discovery/infos", 2)
        assert abs(third.said_at(wrong) - time.time() - offset) < 60
    clock.set(0)
    wrong.wait_log("the clock was set: addresses are told anew")
    find(third, wrong, brokers())


def test_set_to_the_future_while_it_runs(third, brokers, tmp_path):
    """What was said before goes on to be believed: it is where it was."""
    clock = Clock(tmp_path, 0)
    wrong = brokers(**clock.options)
    wrong.add_bootstrap(third.broker)
    wrong.start()
    third.broker.wait_number("discovery/infos", 2)
    clock.set(2 * YEAR)
    third.broker.wait_number("discovery/bad_infos", 1)
    find(third, wrong, brokers())
