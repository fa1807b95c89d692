# SPDX-License-Identifier: MIT OR Apache-2.0
"""Many overlays on the connections to one peer."""

import os

import pytest

from identity import overlay, random_topic
from overlays import Lead, they_dial, wait_together, we_dial
from pulse import Pulse, paced
from raw_peer import RawPeer
from rust_peer import GENERATIONS
from settings import scaled

GENERATION = pytest.mark.parametrize("generation", GENERATIONS)

# What a Rust peer grants, for each direction.
RUST_STREAMS = 100


def counted(prefix: str, count: int, size: int = 0) -> list[bytes]:
    return [f"{prefix} {number} ".encode().ljust(size, b".") for number in range(count)]


@pytest.mark.slow
@GENERATION
def test_joining_and_leaving_beside_traffic(rust, brokers, generation):
    """One overlay comes and goes a hundred times; on the other one nothing is lost."""
    # What a subscriber in Python is too slow for is no matter of ours.
    broker, peer = brokers(lines=["max_queued_messages 0"]), rust(generation)
    busy, restless = random_topic(), random_topic()
    we_dial(broker, peer, busy)
    client = broker.client(overlay(busy))
    wait_together(broker, peer, busy)
    peer.join(restless)
    cycles = scaled(100)
    ours = []
    theirs = peer.burst(busy, 1_000_000, interval_us=1000, size=100)
    with Background(client, peer, busy, ours):
        with broker.client() as comer:
            for cycle in range(cycles):
                peer.forget_events()
                comer.subscribe(overlay(restless))
                # Upstream names the first neighbour of all otherwise.
                peer._await(
                    lambda: peer._take("neighbour_up", {"topic": restless})
                    or peer._take("joined", {"topic": restless}),
                    None, "neighbour",
                )  # fmt: skip
                # Upstream drops the connection for all its topics when we leave one, and dials
                # anew; were we to leave again before that is done, it would drop what waits
                # for the connection with it. What it sends now comes after all that waited.
                peer.publish(restless, b"cycle %d" % cycle)
                comer.wait_message(overlay(restless), b"cycle %d" % cycle)
                comer.unsubscribe(overlay(restless))
                peer.wait("neighbour_down", topic=restless)
    peer.leave(restless)
    peer_has = len(peer.messages(busy))
    assert peer_has and ours
    peer.wait_all(busy, ours)
    assert sorted(peer.messages(busy)) == sorted(ours)
    # The peer goes on: of what it has sent until now there is no gap, at last (what comes on
    # a new connection may be faster than the rest on the old one).
    def numbers():
        return {int(p[:12]) for p in client._by_topic[overlay(busy)] if p[:12].isdigit()}

    client.wait(lambda: len(numbers()) > len(ours), what="as many of theirs")
    wanted = set(range(max(numbers())))
    client.wait(lambda: wanted <= numbers(), what="a row without a gap")
    assert theirs
    broker.wait_status(lambda status: status["connections"] <= 2 and status["overlays"] == 1)
    for reason in ("peer_slow", "peer_lost", "no_stream_credit"):
        assert broker.number(f"dropped/{reason}") == 0, reason


class Background:
    """One message per ms to a Rust peer, and at the end a list of what was sent."""

    def __init__(self, client, peer, id: str, sent: list[bytes]):
        self._sent = sent
        publish = Lead(peer, id, lambda payload: client.post(overlay(id), payload))
        self._pulse = Pulse(publish, "ours", 0.001)

    def __enter__(self):
        self._pulse.__enter__()

    def __exit__(self, *arguments):
        self._pulse.__exit__(*arguments)
        self._sent += self._pulse.sent


@pytest.mark.slow
@pytest.mark.parametrize(("generation", "dialler"), [("06", "we"), ("071", "they")])
def test_more_overlays_than_the_peer_has_streams(rust, brokers, generation, dialler):
    """150 shared with one Rust peer: as many as it grants streams for work both ways, the
    messages of the others are counted, and none stalls another."""
    # Where they begin nothing is to wait for so long, however slow the machine is.
    age = "5" if dialler == "we" else "30"
    options = [("queue_age", age), ("max_overlays_per_client", "1000")]
    broker, peer = brokers(options=options), rust(generation)
    ids = [random_topic() for _ in range(150)]
    # Before we ask: asking in vain takes a stream, and upstream gives those back in batches.
    for id in ids:
        peer.join(id)
    if dialler == "we":
        broker.add_peer(peer.id, peer.bind4)
    broker.start()
    client = broker.client()
    for id in ids:
        client.subscribe(overlay(id), 1)
    if dialler == "they":
        peer.node(broker.id, broker.address())
        for id in ids:
            peer.interest(broker.id, id)
    broker.wait_number("neighbours", RUST_STREAMS)
    for id in ids:
        client.publish(overlay(id), f"ours {id}".encode())
    paced(lambda id: peer.publish(id, f"theirs {id}".encode()), ids)

    def served():
        """The overlays that work both ways, now that every message is accounted for."""
        with peer._changed:
            there = {id for id in ids if peer._messages[id]}
        here = {id for id in ids if b"theirs %s" % id.encode() in client.payloads(overlay(id))}
        return there & here

    # Where the other side begins, ours are out for it and no stream is left for them; where
    # we do, they wait for it to become a neighbour, which it cannot be asked to.
    reason = "no_stream_credit" if dialler == "they" else "queue_age"
    rest = len(ids) - RUST_STREAMS
    assert broker.wait_number(f"dropped/{reason}", rest) == rest
    broker.wait_status(
        lambda status: status["messages/sent"] == (150 if dialler == "they" else 100)
        and status["messages/out"] == RUST_STREAMS
    )
    # What we have sent the peer still has to say that it has.
    peer._await(lambda: len(served()) >= RUST_STREAMS, None, "messages both ways")
    working = served()
    assert len(working) == RUST_STREAMS

    # These go on, and what comes for the others is counted again.
    for id in ids:
        client.publish(overlay(id), f"again {id}".encode())
    for id in working:
        peer.wait_message(id, f"again {id}".encode())
    assert broker.wait_number(f"dropped/{reason}", 2 * rest) == 2 * rest
    assert served() == working

    # What is given up makes room for others (upstream grants further streams in batches).
    for id in sorted(working)[:RUST_STREAMS // 2]:
        client.unsubscribe(overlay(id))
        peer.leave(id)
    idle = sorted(set(ids) - working)

    def publish(payload: bytes):
        for id in idle:
            client.post(overlay(id), payload)

    with Pulse(publish, "more", 0.5):
        peer._await(
            lambda: sum(bool(peer._messages[id]) for id in idle) >= RUST_STREAMS // 4,
            None, "messages on further overlays",
        )  # fmt: skip


def test_reminded_when_a_connection_ends(brokers):
    """For an upstream node that may be the end of us, on whatever other connections there are."""
    broker, id = brokers(), random_topic()
    broker.start()
    broker.client(overlay(id))
    with RawPeer(broker) as raw:
        raw.join(id)
        raw.connect()
        assert len(raw.frames(id)) == 1
        raw.close_before()
        raw.wait_frames(id, 2)
        # The other side may notice later than we do.
        raw.wait_frames(id, 3)
        assert broker.number("neighbours") == 1


# ---------------------------------------------------------------------------
# Frames of the full size


@GENERATION
@pytest.mark.parametrize(("size", "round"), [(4057, 128), (4058, 0), (4057, 127)],
                         ids=["late", "large", "last"])  # fmt: skip
def test_full_frame_is_delivered_and_goes_no_further(rust, brokers, generation, size, round):
    """A frame of 4096 bytes is read by everybody and can be written by nobody: passed on,
    it would be the end of an upstream node's way to its neighbours. `last` is the last
    round in which a frame is smaller; the next one would not be."""
    broker, behind, id = brokers(), rust(generation), random_topic()
    topic = overlay(id)
    we_dial(broker, behind, id)
    client = broker.client(topic)
    wait_together(broker, behind, id)
    content = os.urandom(size)
    with RawPeer(broker) as raw:
        raw.join(id)
        broker.wait_number("neighbours", 2)
        raw.gossip(content, round)
        client.wait_message(topic, content)
        assert broker.wait_number("dropped/unforwardable", 1) == 1
        # The stream it came on is none the worse for it, nor is the neighbour.
        for number in range(10):
            raw.gossip(f"raw {number}".encode(), round)
            client.publish(topic, f"ours {number}".encode())
            behind.wait_message(id, f"raw {number}".encode())
            behind.wait_message(id, f"ours {number}".encode())
        behind.publish(id, b"theirs")
        client.wait_message(topic, b"theirs")
        assert not raw.has_ended()
    assert content not in behind.messages(id)
    assert behind.events("neighbour_down", node=broker.id) == []


def test_frame_beyond_the_full_size_ends_its_connection(rust, brokers):
    """Not its stream alone: an upstream node whose stream was stopped would send nothing more
    on any, and would not notice. It comes back; nobody else is concerned."""
    broker, behind, id, other = brokers(), rust("071"), random_topic(), random_topic()
    topic = overlay(id)
    we_dial(broker, behind, id)
    client = broker.client(topic, overlay(other))
    wait_together(broker, behind, id)
    with RawPeer(broker) as raw:
        raw.join(id)
        raw.gossip(os.urandom(4059))
        raw.wait_ended()
        assert broker.wait_number("peers/bad_frames", 1) == 1
    with RawPeer(broker) as raw:
        raw.join(other)
        raw.gossip(b"on another connection")
        client.wait_message(overlay(other), b"on another connection")
    behind.publish(id, b"theirs")
    client.wait_message(topic, b"theirs")
    assert len(client.payloads(topic)) == 1
