# SPDX-License-Identifier: MIT OR Apache-2.0
"""A broker and a real p2panda-net peer."""

import os
import secrets
import time

import pytest

from identity import make_identity, overlay, random_topic
from mqtt import V5, V311
from overlays import paced_to, they_dial, wait_together, we_dial
from pulse import Pulse, paced
from relay import Relay
from rust_peer import GENERATIONS
from settings import PATIENCE, within

GENERATION = pytest.mark.parametrize("generation", GENERATIONS)
DIALLERS = pytest.mark.parametrize("dialler", ["we", "they"])


def counted(prefix: str, count: int, size: int = 0) -> list[bytes]:
    return [f"{prefix} {number} ".encode().ljust(size, b".") for number in range(count)]


def begins(prefix: str, found: list[bytes]) -> list[bytes]:
    return [payload for payload in found if payload.startswith(prefix.encode())]


def connect(broker, peer, topic, dialler, host="127.0.0.1", **client):
    """Makes the two neighbours; returns a subscriber of the broker (which is started)."""
    if dialler == "we":
        we_dial(broker, peer, topic, host)
    else:
        broker.start()
    subscriber = broker.client(overlay(topic), **client)
    if dialler == "they":
        they_dial(broker, peer, topic, host)
    wait_together(broker, peer, topic)
    return subscriber


# ---------------------------------------------------------------------------
# Messages


@GENERATION
@DIALLERS
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"], ids=["ipv4", "ipv6"])
def test_payloads(rust, brokers, generation, dialler, host):
    """One is MQTT 3.1.1 and the other one MQTT 5, at every QoS."""
    broker, peer, id = brokers(bind=[host]), rust(generation), random_topic()
    topic = overlay(id)
    version = V311 if host == "::1" else V5
    client = connect(broker, peer, id, dialler, host, version=version)
    ours = [b"1", bytes(range(200)), os.urandom(4057)]
    theirs = [b"2", bytes(range(200))[::-1], os.urandom(4057)]
    for qos, payload in enumerate(ours):
        client.publish(topic, payload, qos)
    for payload in theirs:
        peer.publish(id, payload)
    client.wait_count(topic, 6)
    peer.wait_count(id, 3)
    # What comes next is next: nothing has come twice, or back.
    client.publish(topic, b"our end")
    peer.publish(id, b"their end")
    assert sorted(client.wait_count(topic, 8)) == sorted([*ours, *theirs, b"our end", b"their end"])
    assert sorted(peer.wait_count(id, 4)) == sorted([*ours, b"our end"])


@GENERATION
@DIALLERS
def test_a_thousand_paced_each_way(rust, brokers, generation, dialler):
    # What a subscriber in Python is too slow for is no matter of ours.
    broker = brokers(lines=["max_queued_messages 0"])
    peer, id = rust(generation), random_topic()
    topic = overlay(id)
    client = connect(broker, peer, id, dialler)
    count = 1000
    ours = counted("ours", count, 200)
    burst = peer.burst(id, count, interval_us=1000, size=200)
    paced_to(peer, id, lambda payload: client.post(topic, payload, 1), ours)
    assert peer.wait_burst(burst)["sent"] == count
    peer.wait_all(id, ours)
    found = client.wait_count(topic, 2 * count)
    client.publish(topic, b"our end")
    peer.publish(id, b"their end")
    found = client.wait_count(topic, 2 * count + 2)
    theirs = [payload for payload in found[:-2] if not payload.startswith(b"ours")]
    assert sorted(int(payload[:12]) for payload in theirs) == list(range(count))
    assert sorted(begins("ours", found)) == sorted(ours)
    assert set(found[-2:]) == {b"our end", b"their end"}
    assert sorted(peer.wait_count(id, count + 1)) == sorted([*ours, b"our end"])
    assert peer.lagged() == []


# ---------------------------------------------------------------------------
# Refused


def check_strangers(broker, peer, topic):
    """Nothing has passed between them."""
    status = broker.wait_status(lambda status: status["messages/in"] == 1)
    assert status["connections"] == status["neighbours"] == 0
    assert status["messages/sent"] == status["messages/received"] == 0
    assert peer.messages(topic) == []
    assert peer.events("neighbour_up") == []


def strangers(broker, peer, topic):
    """Starts the broker and lets both publish; returns the broker's client."""
    broker.start()
    client = broker.client(overlay(topic))
    peer.join(topic)
    client.publish(overlay(topic), b"ours")
    peer.publish(topic, b"theirs")
    return client


@GENERATION
def test_we_dial_another_key(rust, brokers, tmp_path, generation):
    broker, peer, id = brokers(), rust(generation), random_topic()
    broker.add_peer(make_identity(tmp_path / "expected.pem"), peer.bind4)
    client = strangers(broker, peer, id)
    broker.wait_number("peers/refused", 2)
    check_strangers(broker, peer, id)
    assert client.payloads(overlay(id)) == [b"ours"]


@GENERATION
def test_they_dial_another_key(rust, brokers, tmp_path, generation):
    broker, peer, id = brokers(), rust(generation), random_topic()
    expected = make_identity(tmp_path / "expected.pem")
    client = strangers(broker, peer, id)
    with Relay(broker.address()) as relay:
        peer.node(expected, relay.address)
        peer.interest(expected, id)
        relay.wait_answered()
        check_strangers(broker, peer, id)
        assert client.payloads(overlay(id)) == [b"ours"]
    # It is the key and nothing else.
    they_dial(broker, peer, id, joined=True)
    peer.wait_message(id, b"ours")
    client.wait_message(overlay(id), b"theirs")
    assert peer.events("neighbour_up", node=expected) == []


@GENERATION
def test_we_dial_another_network(rust, brokers, generation):
    broker, peer, id = brokers(), rust(generation, network=secrets.token_hex(32)), random_topic()
    broker.add_peer(peer.id, peer.bind4)
    client = strangers(broker, peer, id)
    broker.wait_number("peers/dials_failed", 2)
    check_strangers(broker, peer, id)
    assert client.payloads(overlay(id)) == [b"ours"]


@GENERATION
def test_they_dial_another_network(rust, brokers, generation):
    broker, peer, id = brokers(), rust(generation, network=secrets.token_hex(32)), random_topic()
    client = strangers(broker, peer, id)
    they_dial(broker, peer, id, joined=True)
    broker.wait_number("peers/refused", 1)
    check_strangers(broker, peer, id)
    assert client.payloads(overlay(id)) == [b"ours"]


@GENERATION
@DIALLERS
def test_own_network(rust, brokers, generation, dialler):
    network = secrets.token_hex(32)
    broker = brokers(options=[("network_id", network)])
    peer, id = rust(generation, network=network), random_topic()
    client = connect(broker, peer, id, dialler)
    client.publish(overlay(id), b"ours")
    peer.publish(id, b"theirs")
    peer.wait_message(id, b"ours")
    client.wait_message(overlay(id), b"theirs")


# ---------------------------------------------------------------------------
# A mixed overlay


@pytest.mark.parametrize("known", ["a", "b", "both"])
def test_mixed_overlay(rust, brokers, known):
    """Two brokers and a peer of each generation; b's peer is a. The Rust peers know a,
    b or one each."""
    a, b, id = brokers(), brokers(), random_topic()
    topic = overlay(id)
    b.add_peer(a)
    a.start(), b.start()
    old, new = rust("06"), rust("071")
    clients = {a: a.client(topic), b: b.client(topic)}
    they_dial(b if known == "b" else a, old, id)
    they_dial(a if known == "a" else b, new, id)
    for broker in (a, b):
        broker.wait_joined(id)
    for peer in (old, new):
        peer.wait("joined", topic=id)

    everything = []
    for name, send in {
        "a": lambda payload: clients[a].publish(topic, payload),
        "b": lambda payload: clients[b].publish(topic, payload),
        "old": lambda payload: old.publish(id, payload),
        "new": lambda payload: new.publish(id, payload),
    }.items():
        payloads = counted(f"from {name}", 10)
        for payload in payloads:
            send(payload)
        everything += payloads
        # Round by round: so each round is known to be over before the next begins, and
        # what comes twice shows in one of them.
        for client in clients.values():
            assert sorted(client.wait_count(topic, len(everything))) == sorted(everything)
        for peer, own in ((old, "from old"), (new, "from new")):
            wanted = [payload for payload in everything if payload not in begins(own, everything)]
            assert sorted(peer.wait_count(id, len(wanted))) == sorted(wanted)


# ---------------------------------------------------------------------------
# Leaving


@GENERATION
@pytest.mark.parametrize("way", ["unsubscribe", "disconnect"])
def test_leaving_is_seen_within_a_second(rust, brokers, generation, way):
    broker, peer, id = brokers(), rust(generation), random_topic()
    topic = overlay(id)
    first = connect(broker, peer, id, "they")
    second = broker.client(topic)

    # The last but one: for longer than the last one is given, all goes on.
    bound = within(1)
    if way == "unsubscribe":
        first.unsubscribe(topic)
    else:
        first.close()
    end = time.monotonic() + bound
    with Pulse(lambda payload: peer.send("publish", id, payload.hex()), "go on", 0.05) as pulse:
        while time.monotonic() < end:
            second.wait_count(topic, len(second.payloads(topic)) + 1)
    assert sorted(second.wait_count(topic, len(pulse.sent))) == sorted(pulse.sent)
    assert peer.events("neighbour_down") == []

    # The last one.
    if way == "unsubscribe":
        left = second.unsubscribe(topic)
    else:
        left = time.monotonic()
        second.close()
    down = peer.wait("neighbour_down", topic=id, node=broker.id)
    assert down["_received"] - left <= bound


@GENERATION
def test_a_peer_that_was_there_before_our_first_subscriber(rust, brokers, generation):
    """Its Join goes unheard and is not repeated: we ask it, once somebody subscribes."""
    broker, peer, id = brokers(), rust(generation), random_topic()
    broker.start()
    they_dial(broker, peer, id)
    broker.wait_status(lambda status: status["connections"] == 1)
    subscriber = broker.client(overlay(id))
    wait_together(broker, peer, id)
    peer.publish(id, b"theirs")
    subscriber.wait_message(overlay(id), b"theirs")
    subscriber.publish(overlay(id), b"ours")
    peer.wait_message(id, b"ours")


# ---------------------------------------------------------------------------
# kill -9


@pytest.mark.slow
@GENERATION
@pytest.mark.parametrize(
    ("dialler", "noticed"), [("we", False), ("they", False), ("they", True)],
    ids=["we-at-once", "they-at-once", "they-later"],
)
def test_kill_and_restart(rust, brokers, generation, dialler, noticed):
    """`they`: it had joined through us, and our configuration does not name it.
    `later`: we are away for so long that it has given up on the connection."""
    broker, peer, id = brokers(), rust(generation), random_topic()
    topic = overlay(id)
    connect(broker, peer, id, dialler)
    broker.wait_remembers(id, peer.id)
    with Pulse(lambda payload: peer.send("publish", id, payload.hex()), "theirs"):
        broker.kill()
        if noticed:
            peer.wait("neighbour_down", PATIENCE, topic=id, node=broker.id)
        peer.forget_messages(id)
        broker.start()
        client = broker.client(topic)
        since = time.monotonic()
        with Pulse(lambda payload: client.post(topic, payload), "ours"):
            here = client.wait_prefix(topic, "theirs").time
            peer.wait_count(id, 1)
    assert peer.messages(id)[0].startswith(b"ours")
    there = peer.records(id)[0]["_received"]
    took = {"to us": here - since, "to them": there - since}
    assert max(took.values()) <= within(2), took

    # And it stays so.
    for payload in counted("our", 50):
        client.publish(topic, payload)
    paced(lambda payload: peer.publish(id, payload), counted("their", 50))
    peer.wait_all(id, counted("our", 50))
    for payload in counted("their", 50):
        client.wait_message(topic, payload)
