# SPDX-License-Identifier: MIT OR Apache-2.0
"""What two brokers carry between each other."""

import os

import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from identity import overlay, random_topic
from mqtt import V5, V311

VERSIONS = pytest.mark.parametrize("version", [V311, V5], ids=["v311", "v5"])
DIRECTIONS = pytest.mark.parametrize("direction", [1, -1], ids=["a-to-b", "b-to-a"])


def payloads() -> list[bytes]:
    return [b"1", b"", bytes(range(256)), os.urandom(200), os.urandom(4057)]


def counted(prefix: str, count: int) -> list[bytes]:
    return [f"{prefix} {number}".encode() for number in range(count)]


def begins(prefix: str, found: list[bytes]) -> list[bytes]:
    return [payload for payload in found if payload.startswith(prefix.encode())]


@VERSIONS
@DIRECTIONS
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_payloads(pair, version, direction, qos):
    id = random_topic()
    topic = overlay(id)
    sender, receiver = (
        broker.client(topic, qos=qos, version=version) for broker in pair[::direction]
    )
    for broker in pair:
        broker.wait_joined(id)
    sent = payloads()
    for payload in sent:
        sender.publish(topic, payload, qos)
    for client in (sender, receiver):
        assert client.wait_count(topic, len(sent)) == sent
    # What arrives is published by the broker at QoS 1.
    assert {message.qos for message in receiver.messages(topic)} == {min(qos, 1)}
    # An answer is what comes next at both: nothing came twice, nothing came back.
    receiver.publish(topic, b"end", qos)
    for client in (sender, receiver):
        assert client.wait_count(topic, len(sent) + 1) == [*sent, b"end"]


def test_versions_meet(pair):
    topic = overlay(random_topic())
    old, new = pair[0].client(topic, version=V311), pair[1].client(topic, version=V5)
    old.publish(topic, b"from 3.1.1")
    new.wait_message(topic, b"from 3.1.1")
    new.publish(topic, b"from 5")
    old.wait_message(topic, b"from 5")


@DIRECTIONS
def test_publisher_needs_no_subscription(pair, direction):
    topic = overlay(random_topic())
    near, far = pair[::direction]
    receiver = far.client(topic)
    near.client().publish(topic, b"hello")
    receiver.wait_message(topic, b"hello")


def test_shared_subscription_joins(pair):
    id = random_topic()
    topic = overlay(id)
    members = [pair[0].client(f"$share/group/{topic}") for _ in range(2)]
    pair[1].client().publish(topic, b"for one of you")
    pair[0].wait_joined(id)
    members[0].wait(lambda: members[0].payloads(topic) or members[1].payloads(topic))


def test_wildcard_receives_but_does_not_join(pair):
    id, other = random_topic(), random_topic()
    a, b = pair
    watcher = a.client("p2panda/+")
    a.client(overlay(id))
    sender = b.client()
    # For nobody: a is not in that overlay.
    sender.publish(overlay(other), b"unheard")
    sender.publish(overlay(id), b"heard")
    watcher.wait_message(overlay(id), b"heard")
    assert watcher.payloads(overlay(other)) == []
    assert not any(f"overlay {other[:10]}" in line for line in a.our_log())


@VERSIONS
def test_retained_stays_local(pair, version):
    id = random_topic()
    topic = overlay(id)
    a, b = pair
    receiver = b.client(topic, version=version)
    sender = a.client(version=version)
    sender.publish(topic, b"kept", retain=True)
    assert receiver.wait_message(topic, b"kept").retain is False
    # Here it is retained, there it is not; the next message shows it.
    here, there = (broker.client(topic, version=version) for broker in pair)
    assert here.wait_message(topic, b"kept").retain is True
    # Clearing is a matter of this broker: nothing is sent.
    sender.publish(topic, b"", retain=True)
    sender.publish(topic, b"next")
    there.wait_message(topic, b"next")
    assert there.payloads(topic) == [b"next"]
    receiver.wait_message(topic, b"next")
    assert receiver.payloads(topic) == [b"kept", b"next"]


def test_order_both_ways_at_once(pair):
    count = 1000
    id = random_topic()
    topic = overlay(id)
    a, b = (broker.client(topic, qos=0) for broker in pair)
    for broker in pair:
        broker.wait_joined(id)
    numbers = []
    for here, there in zip(counted("a", count), counted("b", count), strict=True):
        numbers += [(a, a.post(topic, here, 1)), (b, b.post(topic, there, 1))]
    for client, number in numbers:
        client.wait_published(number)
    for client in (a, b):
        found = client.wait_count(topic, 2 * count)
        assert begins("a", found) == counted("a", count)
        assert begins("b", found) == counted("b", count)


def test_same_payload_again_is_counted(pair):
    id = random_topic()
    topic = overlay(id)
    a, b = pair
    receiver, sender = b.client(topic), a.client(topic)
    before = a.number("dropped/repeated")
    for payload in (b"same", b"same", b"other"):
        sender.publish(topic, payload)
    receiver.wait_message(topic, b"other")
    assert receiver.payloads(topic) == [b"same", b"other"]
    assert sender.wait_count(topic, 3) == [b"same", b"same", b"other"]
    assert a.wait_number("dropped/repeated", before + 1) == before + 1
    # Who reads the log learns what to do.
    a.wait_log(f"overlay {id[:10]}: 1 messages were not sent on.*a counter or the time")


def test_status(brokers):
    """The numbers add up, and the addresses are those that were asked for."""
    a, b = brokers.pair()
    topic = overlay(random_topic())
    receiver, sender = b.client(topic), a.client()
    for payload in counted("status", 10):
        sender.publish(topic, payload)
    receiver.wait_count(topic, 10)
    for broker in (a, b):
        assert broker.status()["node_id"] == broker.id
        assert broker.status()["addresses"] == broker.address()
        assert broker.wait_number("connections", 1) <= 2  # each may have dialled
        assert broker.wait_number("neighbours", 1) == 1
        assert broker.wait_number("overlays", 1) == 1
    for broker, name in ((a, "in"), (a, "sent"), (b, "received"), (b, "out")):
        assert broker.wait_number(f"messages/{name}", 10) == 10, name


def test_properties_stay_here(brokers):
    """They are counted, and the payload is carried."""
    a, b = brokers.pair()
    id = random_topic()
    topic = overlay(id)
    receiver, sender = b.client(topic), a.client(topic)
    a.wait_joined(id)
    properties = Properties(PacketTypes.PUBLISH)
    properties.ContentType = "text/plain"
    sender._paho.publish(topic, b"with", 1, properties=properties)
    receiver.wait_message(topic, b"with")
    sender.publish(topic, b"without")
    receiver.wait_message(topic, b"without")
    status = a.wait_status(lambda status: status["messages/in"] == 2)
    assert status["messages/properties"] == 1
