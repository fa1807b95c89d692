# SPDX-License-Identifier: MIT OR Apache-2.0
"""Peers that are in trouble, or make some: nobody else is harmed."""

import os

import pytest

from identity import overlay, random_topic
from overlays import they_dial, wait_all, wait_together
from pulse import Pulse, paced
from rust_peer import GENERATIONS
from settings import scaled

GENERATION = pytest.mark.parametrize("generation", GENERATIONS)


class Trouble:
    """A broker with a subscriber and a well-behaved Rust peer, and another one to misbehave,
    all on one overlay; the Rust peers do not know each other."""

    def __init__(self, rust, brokers, generation, options=()):
        self.broker = brokers(options=options).start()
        self.id = random_topic()
        self.topic = overlay(self.id)
        self.client = self.broker.client(self.topic)
        self.good = rust("06")
        self.bad = rust(generation)
        for number, peer in enumerate((self.good, self.bad), 1):
            they_dial(self.broker, peer, self.id)
            wait_together(self.broker, peer, self.id)
            self.broker.wait_number("neighbours", number)

    def check(self, count: int, interval: float = 0.005):
        """Messages between the broker and the good one flow, both ways."""
        ours = [f"{count} ours {number}".encode() for number in range(count)]
        theirs = [f"{count} theirs {number}".encode() for number in range(count)]

        def publish(pair):
            self.client.post(self.topic, pair[0])
            self.good.publish(self.id, pair[1])

        paced(publish, list(zip(ours, theirs, strict=True)), interval)
        wait_all(self.good, self.id, ours)
        self.client.wait(
            lambda: set(theirs) <= set(self.client._by_topic[self.topic]), what="all of theirs"
        )
        for wanted, found in ((ours, self.good.messages(self.id)),
                              (theirs, self.client.payloads(self.topic))):  # fmt: skip
            found = [payload for payload in found if payload in set(wanted)]
            assert sorted(found) == sorted(wanted), "twice"


@GENERATION
def test_it_publishes_what_it_cannot_send(rust, brokers, generation):
    """4058 to 4096 bytes: upstream's own sender dies of it (that towards us), we do not."""
    trouble = Trouble(rust, brokers, generation)
    for size in (4058, 4059, 4096):
        trouble.bad.publish(trouble.id, os.urandom(size))
    trouble.check(100)
    assert all(len(found) < 4058 for found in trouble.client.payloads(trouble.topic))
    # What is sent to it still arrives: its reading side is not dead.
    trouble.client.publish(trouble.topic, b"to the mute one")
    trouble.bad.wait_message(trouble.id, b"to the mute one")


@GENERATION
def test_it_floods(rust, brokers, generation):
    trouble = Trouble(rust, brokers, generation)
    burst = trouble.bad.burst(trouble.id, scaled(20_000), size=1000)
    trouble.check(200)
    trouble.bad.wait_burst(burst)
    # Its own flood has come as far as upstream let it out: and all of that is accounted for.
    status = trouble.broker.wait_status(
        lambda status: status["messages/received"] > 1000
        and status["messages/received"] == status["messages/out"] + status["dropped/events_full"]
    )
    assert status["connections"] >= 2
    trouble.check(100)


@GENERATION
@pytest.mark.parametrize("way", ["stall", "freeze"])
def test_it_stops_reading(rust, brokers, generation, way):
    """The application (stall), or the whole process (freeze)."""
    trouble = Trouble(rust, brokers, generation)
    if way == "stall":
        trouble.bad.command("stall", trouble.id)
    else:
        trouble.bad.freeze()
    # More than fits into any buffer between the two.
    trouble.check(100)
    payloads = [b"%d " % number + os.urandom(4000) for number in range(scaled(8000))]
    paced(lambda payload: trouble.client.post(trouble.topic, payload), payloads, 0.0005)
    wait_all(trouble.good, trouble.id, payloads)
    trouble.check(99)
    if way == "freeze":
        # Its connection ends by itself, and what was kept for it is given back.
        trouble.broker.wait_status(lambda status: status["neighbours"] == 1)
        trouble.check(98)
        trouble.bad.thaw()


@GENERATION
@pytest.mark.parametrize("way", ["kill", "freeze"])
def test_it_vanishes(rust, brokers, generation, way):
    """Without a word. Nobody waits for it, and it is forgotten."""
    trouble = Trouble(rust, brokers, generation)
    with Pulse(lambda payload: trouble.client.post(trouble.topic, payload), "pulse", 0.005) as pulse:
        if way == "kill":
            trouble.bad.kill()
        else:
            trouble.bad.freeze()
        trouble.check(100)
        trouble.broker.wait_status(lambda status: status["neighbours"] == 1)
        trouble.broker.wait_status(lambda status: status["connections"] <= 2)
        trouble.check(99)
    wait_all(trouble.good, trouble.id, pulse.sent)


def test_strangers_come_and_die(rust, brokers):
    """Ten that join and are killed, one after the other: nothing of them is left."""
    trouble = Trouble(rust, brokers, "071")
    trouble.bad.kill()
    with Pulse(lambda payload: trouble.client.post(trouble.topic, payload), "pulse", 0.005) as pulse:
        for number in range(10):
            stranger = rust(GENERATIONS[number % 2])
            they_dial(trouble.broker, stranger, trouble.id)
            stranger.wait_count(trouble.id, 1)
            stranger.kill()
        trouble.check(100)
        trouble.broker.wait_status(
            lambda status: status["neighbours"] == 1 and status["connections"] <= 2
        )
    wait_all(trouble.good, trouble.id, pulse.sent)
