# SPDX-License-Identifier: MIT OR Apache-2.0
"""Peers that are in trouble, or make some: nobody else is harmed."""

import os
import time

import pytest

from identity import overlay, random_topic
from overlays import they_dial
from pulse import Pulse, paced
from rust_peer import GENERATIONS
from settings import scaled

GENERATION = pytest.mark.parametrize("generation", GENERATIONS)


class Trouble:
    """Two brokers with a subscriber each, and a Rust peer to misbehave, all neighbours on one
    overlay. (A third Rust peer would not do: it waits for one that does not read.)"""

    def __init__(self, rust, brokers, generation):
        # What a subscriber in Python is too slow for is no matter of ours.
        lines = ["max_queued_messages 0"]
        self.near, self.far = brokers(lines=lines), brokers(lines=lines)
        self.near.add_peer(self.far)
        self.near.start(), self.far.start()
        self.id = random_topic()
        self.topic = overlay(self.id)
        self.here, self.there = self.near.client(self.topic), self.far.client(self.topic)
        for broker in (self.near, self.far):
            broker.wait_number("neighbours", 1)
        self.bad = rust(generation)
        they_dial(self.near, self.bad, self.id)
        self.bad.wait("joined", topic=self.id)
        for broker in (self.near, self.far):
            broker.wait_number("neighbours", 2)

    def check(self, name: str, count: int = 100):
        """Messages between the brokers flow, both ways."""
        for sender, receiver in ((self.here, self.there), (self.there, self.here)):
            sent = [f"{name} {sender.id} {number}".encode() for number in range(count)]
            paced(lambda payload: sender.post(self.topic, payload), sent, 0.002)
            receiver.wait_all(self.topic, sent)
            wanted = set(sent)
            found = [one for one in receiver.payloads(self.topic) if one in wanted]
            assert len(found) == count, "twice"


@GENERATION
def test_it_publishes_what_it_cannot_send(rust, brokers, generation):
    """4058 to 4096 bytes: upstream's own way to us dies of it, we do not."""
    trouble = Trouble(rust, brokers, generation)
    for size in (4058, 4059, 4096):
        trouble.bad.publish(trouble.id, os.urandom(size))
    trouble.check("meanwhile")
    for client in (trouble.here, trouble.there):
        assert all(len(found) < 4058 for found in client.payloads(trouble.topic))


@pytest.mark.slow
@GENERATION
def test_it_floods(rust, brokers, generation):
    trouble = Trouble(rust, brokers, generation)
    burst = trouble.bad.burst(trouble.id, scaled(10_000), size=1000)
    trouble.check("meanwhile")
    trouble.bad.wait_burst(burst)
    # How much of its own flood upstream lets out is its affair; what came is accounted for.
    for broker in (trouble.near, trouble.far):
        broker.wait_status(
            lambda status: status["messages/received"] >= scaled(1000)
            and status["messages/received"]
            == status["messages/out"] + status["dropped/events_full"] + status["dropped/broker"]
        )
    trouble.check("afterwards")


# Time-outs take their time: each of these once, with the generations in turn.
@pytest.mark.slow
@pytest.mark.parametrize(("generation", "way"), [("06", "stall"), ("071", "freeze")])
def test_it_stops_reading(rust, brokers, generation, way):
    """The application (stall), or the whole process (freeze): more is sent than fits into
    any buffer on the way."""
    trouble = Trouble(rust, brokers, generation)
    if way == "stall":
        trouble.bad.command("stall", trouble.id)
    else:
        trouble.bad.freeze()
    payloads = [b"%d " % number + os.urandom(4000) for number in range(scaled(6000))]
    paced(lambda payload: trouble.here.post(trouble.topic, payload), payloads, 0.0003)
    trouble.there.wait_count(trouble.topic, len(payloads))
    assert sorted(trouble.there.payloads(trouble.topic)) == sorted(payloads)
    trouble.check("afterwards")
    if way == "freeze":
        # Its connection ends by itself.
        for broker in (trouble.near, trouble.far):
            broker.wait_status(lambda status: status["neighbours"] == 1)
        trouble.check("without it")
        trouble.bad.thaw()
        # It can come back: upstream does when it is told to.
        trouble.bad.rejoin(trouble.id)
        trouble.check("with it again")


@pytest.mark.slow
@pytest.mark.parametrize("generation", ["06"])
def test_it_vanishes(rust, brokers, generation):
    """Without a word. Nobody waits for it, and nothing of it is left."""
    trouble = Trouble(rust, brokers, generation)
    trouble.bad.kill()
    trouble.check("at once")
    for broker in (trouble.near, trouble.far):
        broker.wait_status(
            lambda status: status["neighbours"] == 1 and status["connections"] <= 2
        )
    trouble.check("later")


@pytest.mark.parametrize("generation", ["06"])
def test_a_third_that_is_far_away(net, rust, brokers, generation):
    """HyParView waits half a second for an answer, a way there may take longer."""
    hosts = net.hosts("abc")
    near, far = brokers(host=hosts[0]), brokers(host=hosts[1])
    near.add_peer(far)
    near.start(), far.start()
    id = random_topic()
    for broker in (near, far):
        broker.client(overlay(id))
    far.wait_number("neighbours", 1)
    third = rust(generation, host=hosts[2])
    hosts[1].lose(hosts[2])
    third.node(near.id, near.address())
    third.interest(near.id, id)
    third.join(id)
    near.wait_number("neighbours", 2)
    # Asked by then, and given up as one that does not answer.
    far.wait_number("peers/dials", 1)
    time.sleep(0.7)
    assert far.number("neighbours") == 1
    hosts[1].find(hosts[2])
    far.wait_number("neighbours", 2)


@pytest.mark.slow
def test_strangers_come_and_die(rust, brokers):
    """Ten that join and are killed, one after the other: nothing of them is left, and the
    two brokers are neighbours again at last (strangers may crowd one out of the view)."""
    trouble = Trouble(rust, brokers, "071")
    trouble.bad.kill()
    with Pulse(lambda one: trouble.here.post(trouble.topic, one), "pulse", 0.01):
        for number in range(10):
            stranger = rust(GENERATIONS[number % 2])
            they_dial(trouble.near, stranger, trouble.id)
            stranger.wait_count(trouble.id, 1)
            stranger.kill()
        for broker in (trouble.near, trouble.far):
            broker.wait_status(
                lambda status: status["neighbours"] == 1 and status["connections"] <= 2
            )
    trouble.check("afterwards")
