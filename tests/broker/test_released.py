# SPDX-License-Identifier: MIT OR Apache-2.0
"""QoS 2 from both ends of PUBREL: what is never released, and what is sent again on another
connection because its PUBREC got lost. By hand, as client libraries do all that themselves."""

import time

import pytest

from identity import overlay, random_topic
from raw import RawClient

VERSIONS = pytest.mark.parametrize("version", [4, 5], ids=["v311", "v5"])
# What the overlay remembers, and what is removed up to a second later.
FORGOTTEN = 96.0


def joined(pair, local: bool):
    """Subscribers at both ends, or at the far one alone; and a message has come to each."""
    a, b = pair
    id = random_topic()
    topic = overlay(id)
    at_b = b.client(topic)
    at_a = a.client(topic) if local else None
    a.client().publish(topic, b"begin")
    for client in (at_a, at_b):
        if client:
            client.wait_message(topic, b"begin")
    return topic, at_a, at_b


def sensor(broker, version: int, lasting: bool = True) -> RawClient:
    return RawClient(broker.mqtt_port, "sensor", version=version, lasting=lasting)


def lose(client: RawClient, broker):
    """Its connection, which the broker notices."""
    gone = f"Client {client.id} "
    before = sum(gone in line for line in broker.log())
    client.reset()
    broker.wait_log_times(gone, before + 1)


def end(client, topic: str, others) -> list[bytes]:
    """All that came to each of the others before one more message of the client's."""
    client.publish_as(99, topic, b"end")
    client.release(99)
    for other in others:
        other.wait_message(topic, b"end")
    return [other.payloads(topic)[1:-1] for other in others]


@VERSIONS
def test_never_released(brokers, version):
    """The overlay gets it, for nothing tells a plugin of the PUBREL."""
    pair = brokers.pair()
    topic, at_a, at_b = joined(pair, local=True)
    client = sensor(pair[0], version)
    client.publish_as(1, topic, b"held")
    at_b.wait_message(topic, b"held")
    assert end(client, topic, [at_a, at_b]) == [[], [b"held"]]


@VERSIONS
def test_sent_again(brokers, version):
    """On the next connection and on the one after that: to the overlay once."""
    pair = a, _ = brokers.pair()
    topic, at_a, at_b = joined(pair, local=True)
    client = sensor(a, version)
    client.publish_as(1, topic, b"one")
    client.publish_as(2, topic, b"two")
    for times in (1, 2):
        lose(client, a)
        client = sensor(a, version)
        assert client.session_present
        client.publish_as(1, topic, b"one", dup=True)
        client.publish_as(2, topic, b"two", dup=True)
        assert a.wait_number("dropped/resent", 2 * times) == 2 * times
    client.release(1)
    client.release(2)
    # These packet ids are free: for something new, and for the same again.
    client.publish_as(1, topic, b"three")
    client.release(1)
    client.publish_as(2, topic, b"two")
    client.release(2)
    found = end(client, topic, [at_a, at_b])
    assert found == [[b"one", b"two", b"three", b"two"], [b"one", b"two", b"three"]]
    # The last one did go to the overlay, which has known it for less than 90 seconds.
    status = a.wait_status(lambda now: now["messages/in"] == 10)
    assert status["dropped/resent"] == 4 and status["dropped/repeated"] == 1
    assert status["messages/sent"] == 5


@pytest.mark.parametrize("why", ["released", "another session", "clean session", "nobody local"])
def test_not_taken_for_sent_again(brokers, why):
    """The same bytes on another connection when they were released, when that session is over,
    and when there was nobody who would have been sent them: new each time."""
    pair = a, _ = brokers.pair()
    topic, _, at_b = joined(pair, local=why != "nobody local")
    client = sensor(a, 4, lasting=why != "clean session")
    client.publish_as(1, topic, b"same")
    at_b.wait_message(topic, b"same")
    if why == "released":
        client.release(1)
    lose(client, a)
    if why == "another session":
        sensor(a, 4, lasting=False).close()
    client = sensor(a, 4, lasting=why != "clean session")
    client.publish_as(1, topic, b"same")
    assert a.wait_number("dropped/repeated", 1) == 1
    assert a.number("dropped/resent") == 0


@pytest.mark.once
def test_sent_again_when_forgotten(brokers):
    """After all that gossip remembers: what is sent again goes nowhere, what is new in its place
    does."""
    pair = a, _ = brokers.pair()
    topic, at_a, at_b = joined(pair, local=True)
    client = sensor(a, 4)
    client.publish_as(1, topic, b"done")
    client.release(1)
    client.publish_as(1, topic, b"held")
    at_b.wait_message(topic, b"held")
    lose(client, a)
    time.sleep(FORGOTTEN)  # the overlay's memory: nothing to wait for
    client = sensor(a, 4)
    client.publish_as(1, topic, b"held", dup=True)
    client.release(1)
    client.publish_as(1, topic, b"done")
    client.release(1)
    found = end(client, topic, [at_a, at_b])
    assert found == [[b"done", b"held", b"done"], [b"done", b"held", b"done"]]
    assert a.wait_number("dropped/resent", 1) == 1
