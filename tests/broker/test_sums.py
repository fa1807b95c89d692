# SPDX-License-Identifier: MIT OR Apache-2.0
"""Every message is accounted for, however fast they come."""

from firehose import Firehose
from identity import overlay, random_topic
from mqtt import V5
from settings import scaled

# bridge/counters.h: the terms of its two sums.
OUTGOING = (
    "malformed_topic", "too_large", "repeated", "max_overlays", "mailbox_full", "queue_limit",
    "queue_age", "left", "no_memory",
)  # fmt: skip
ARRIVING = ("events_full", "no_memory_arriving", "broker")
DROPPED_BY_BROKER = "$SYS/broker/publish/messages/dropped"


def check_outgoing(status: dict[str, int]) -> bool:
    dropped = sum(status[f"dropped/{name}"] for name in OUTGOING)
    return status["messages/in"] == status["messages/sent"] + status["waiting"] + dropped


def check_arriving(status: dict[str, int]) -> bool:
    dropped = sum(status[f"dropped/{name}"] for name in ARRIVING)
    return status["messages/received"] == status["messages/out"] + dropped


def wait_sums(broker, published: int) -> dict[str, int]:
    """Waits until the broker has nothing under way: both sums hold."""
    return broker.wait_status(
        lambda status: status["messages/in"] == published
        and check_outgoing(status) and check_arriving(status),
        what="sums that hold",
    )  # fmt: skip


def test_flood_is_accounted_for(brokers):
    """100,000 messages as fast as MQTT takes them."""
    a, b = brokers(), brokers(lines=["sys_interval 1"])
    a.add_peer(b)
    a.start(), b.start()
    id, count = random_topic(), scaled(100_000)
    topic = overlay(id)
    # The uptime comes every second, and so wakes who waits for the rest.
    monitor = b.client(DROPPED_BY_BROKER, "$SYS/broker/uptime", qos=0)
    receiver = b.client(topic, qos=0)
    b.wait_number("overlays", 1)
    sender = Firehose(a.mqtt_port)
    # Joined before the flood: else it would be about queue_limit.
    sender.send(topic, [b"first"])
    receiver.wait_message(topic, b"first")

    sender.send(topic, (f"{number} ".encode().ljust(200, b".") for number in range(count)))
    sender.wait()
    there = wait_sums(a, count + 1)
    # Copies that were not carried are known by reason: b lacks those and no others.
    lost = sum(there[f"dropped/{name}"] for name in ("peer_slow", "peer_lost", "no_memory_copy"))
    here = b.wait_status(
        lambda status: status["messages/received"] == there["messages/sent"] - lost
        and check_arriving(status),
        what="all that was sent",
    )

    # And between b's broker and its client: what it did not get, the broker has dropped.
    def settled():
        dropped = monitor._by_topic[DROPPED_BY_BROKER]
        return dropped and here["messages/out"] == int(dropped[-1]) + len(
            receiver.payloads(topic)
        )

    monitor.wait(settled, what=f"messages/out {here['messages/out']} at the client or dropped")
    found = receiver.payloads(topic)
    numbers = [int(payload.split()[0]) for payload in found[1:]]
    assert numbers == sorted(set(numbers)), "twice, or out of order"
    # It is a flood that this gateway can stand: most of it arrives.
    assert there["messages/sent"] > count // 2, there
    sender.close()


def test_every_reason_is_in_the_sums(brokers):
    """All that one can do wrong, and what waits."""
    a = brokers(options=[("queue_limit", "10"), ("queue_age", "3600"), ("max_overlays", "1")])
    a.start()
    topic = overlay(random_topic())
    client = a.client(topic, version=V5)
    for number in range(25):
        client.publish(topic, f"early {number}".encode())
    client.publish(topic, b"x" * 4058)
    client.publish("p2panda/nothing", b"x")
    client.publish(overlay(random_topic()), b"one overlay too many")
    status = wait_sums(a, 28)
    assert status["waiting"] == 10
    assert status["dropped/queue_limit"] == 15
    for reason in ("too_large", "malformed_topic", "max_overlays"):
        assert status[f"dropped/{reason}"] == 1, reason
    # Left: what waited is given up.
    client.unsubscribe(topic)
    status = a.wait_status(lambda status: status["waiting"] == 0 and check_outgoing(status))
    assert status["dropped/left"] == 10


def test_repeated_and_sent_are_in_the_sums(brokers):
    a, b = brokers.pair()
    id = random_topic()
    topic = overlay(id)
    receiver, sender = b.client(topic), a.client(topic)
    for broker in (a, b):
        broker.wait_joined(id)
    for payload in (b"same", b"same", b"other"):
        sender.publish(topic, payload)
    receiver.wait_message(topic, b"other")
    status = wait_sums(a, 3)
    assert (status["messages/sent"], status["dropped/repeated"]) == (2, 1)
    status = b.wait_status(lambda status: status["messages/received"] == 2 and check_arriving(status))
    assert status["messages/out"] == 2
