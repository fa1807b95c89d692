# SPDX-License-Identifier: MIT OR Apache-2.0
"""Two brokers that also have a native bridge between them, for the same topics."""

import pytest

from identity import overlay, random_topic

# Looking up a bridge's address (getaddrinfo_a), stock Mosquitto crashes under libtsan.
pytestmark = pytest.mark.no_tsan


def connect(brokers, pattern: str):
    """Both have the plugin, know each other, and a bridges the pattern to b, both ways."""
    b = brokers("b")
    a = brokers(
        "a",
        lines=[
            "connection native",
            f"address 127.0.0.1:{b.mqtt_port}",
            "bridge_protocol_version mqttv50",
            "cleansession true",
            f"topic {pattern} both 1",
        ],
    )
    a.add_peer(b)
    b.start(), a.start()
    b.wait_log(r"New client connected .* as \S*native")
    return a, b


@pytest.mark.parametrize("count", [1, 100])
def test_native_bridge_makes_no_loop(brokers, count):
    """Each message comes at most twice to each side: once by the overlay and once by the
    bridge. It crosses the overlay once, for gossip drops what it knows; and what the bridge
    hands in again is not sent back, so it ends there."""
    a, b = connect(brokers, "p2panda/#")
    id = random_topic()
    topic = overlay(id)
    at_a, at_b = a.client(topic), b.client(topic)
    for broker in (a, b):
        broker.wait_joined(id)
    sent = [f"once {number}".encode() for number in range(count)]
    for payload in sent:
        at_a.publish(topic, payload)
    for client in (at_a, at_b):
        client.wait_message(topic, sent[-1])
    # All that is accepted is sent once or was known: when that is so, nothing goes round.
    for broker in (a, b):
        broker.wait_status(
            lambda status: status["messages/in"] >= count
            and status["messages/in"] == status["messages/sent"] + status["dropped/repeated"]
            and status["messages/received"] == status["messages/out"]
        )
    # A message behind all of them, the other way: what was under way is there before it.
    at_b.publish(topic, b"end")
    for client in (at_a, at_b):
        client.wait_message(topic, b"end")
    for broker, client in ((a, at_a), (b, at_b)):
        found = client.payloads(topic)
        assert set(found) == {*sent, b"end"}
        assert all(found.count(payload) <= 2 for payload in sent)
        # Own messages, and each of the other's or of its own once more by the bridge.
        status = broker.wait_status(lambda status: status["messages/in"] > 0)
        assert status["messages/in"] <= 2 * (count + 1)
        assert status["messages/received"] <= count + 1
    # Every message has crossed the overlay once at most.
    crossed = sum(broker.number("messages/received") for broker in (a, b))
    assert crossed <= count + 1
