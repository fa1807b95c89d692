# SPDX-License-Identifier: MIT OR Apache-2.0
"""What is published while nobody is there, and just before somebody goes."""

import pytest

from firehose import Firehose
from identity import overlay, random_topic
from settings import within


def counted(prefix: str, count: int, size: int = 0) -> list[bytes]:
    return [f"{prefix} {number} ".encode().ljust(size, b".") for number in range(count)]


def test_order_over_two_absences(brokers):
    """The neighbour comes, goes and comes again; at every time it is the same queue."""
    a, b = brokers(), brokers()
    a.add_peer(b)
    a.start()
    id = random_topic()
    topic = overlay(id)
    sender = a.client(topic)
    sent = counted("early", 50)
    for payload in sent:
        sender.publish(topic, payload)
    b.start()
    with b.client(topic) as receiver:
        # In order, and what is published at that very moment comes after it.
        sent += (more := counted("meanwhile", 50))
        for payload in more:
            sender.publish(topic, payload)
        assert receiver.wait_count(topic, len(sent)) == sent
        a.wait_number("neighbours", 1)
    a.wait_status(lambda status: status["neighbours"] == 0)
    sent += (more := counted("away", 50))
    for payload in more:
        sender.publish(topic, payload)
    a.wait_status(lambda status: status["waiting"] == 50)
    again = b.client(topic)
    assert again.wait_count(topic, 50) == more
    assert sender.payloads(topic) == sent
    a.wait_status(lambda status: status["waiting"] == 0 and status["messages/sent"] == 150)


def test_overlays_wait_each_for_itself(brokers):
    """One that is full takes no room from another one, and each is sent to its own."""
    a, b = brokers(options=[("queue_limit", "10")]), brokers()
    a.add_peer(b)
    a.start()
    topics = [overlay(random_topic()) for _ in range(3)]
    sender = a.client(*topics)
    for number, topic in enumerate(topics):
        for payload in counted(f"for {number}", 5 * (number + 1)):
            sender.publish(topic, payload)
    assert a.wait_number("dropped/queue_limit", 5) == 5
    assert a.wait_number("waiting", 25) == 25
    b.start()
    receivers = {topic: b.client(topic) for topic in topics[:0:-1]}
    for number, topic in ((1, topics[1]), (2, topics[2])):
        found = receivers[topic].wait_count(topic, 10)
        assert found == counted(f"for {number}", 5 * (number + 1))[-10:]
    # The first one has nobody: its messages go on waiting.
    a.wait_status(lambda status: status["waiting"] == 5)


def test_age_is_each_message_s_own(brokers):
    """The older one has aged out when the younger one is sent."""
    a, b = brokers(options=[("queue_age", "2")]), brokers()
    a.add_peer(b)
    a.start()
    topic = overlay(random_topic())
    sender = a.client(topic)
    sender.publish(topic, b"old")
    a.wait_number("waiting", 1)  # shown once per second
    sender.publish(topic, b"young")
    a.wait_number("dropped/queue_age", 1)
    # Together: the two are counted one after the other, and it ages just when they are told.
    a.wait_status(lambda status: status["dropped/queue_age"] == 2 and status["waiting"] == 0)
    b.start()
    receiver = b.client(topic)
    # Dialling again may take longer than a message waits.
    a.wait_joined(topic.removeprefix("p2panda/"))
    sender.publish(topic, b"new")
    receiver.wait_message(topic, b"new")
    assert receiver.payloads(topic) == [b"new"]
    assert sender.payloads(topic) == [b"old", b"young", b"new"]


def test_sixteen_mebibytes_in_all(brokers):
    """A bound over all overlays, whatever queue_limit says."""
    a = brokers(options=[("queue_limit", "65536"), ("queue_age", "3600")])
    a.start()
    topic, other = overlay(random_topic()), overlay(random_topic())
    sender = a.client()
    payloads = [number.to_bytes(4, "big") * 1014 for number in range(4200)]  # of 4056 bytes
    fits = (16 << 20) // 4056
    numbers = [sender.post(topic, payload, 1) for payload in payloads]
    for number in numbers:
        sender.wait_published(number)
    a.wait_status(
        lambda status: status["waiting"] == fits
        and status["dropped/queue_limit"] == len(payloads) - fits
    )
    # What holds most gives way to the others, not they to it.
    for number in range(20):
        sender.publish(other, number.to_bytes(4, "big") * 1014)
    a.wait_status(
        lambda status: status["waiting"] == fits
        and status["dropped/queue_limit"] == len(payloads) + 20 - fits
    )
    b = brokers()
    b.add_peer(a)
    b.start()
    receiver = b.client(other)
    first = [number.to_bytes(4, "big") * 1014 for number in range(20)]
    assert receiver.wait_count(other, 20) == first
    a.wait_status(lambda status: status["waiting"] == fits - 20)


@pytest.mark.parametrize("end", ["unsubscribe", "disconnect", "sigterm"])
@pytest.mark.parametrize("qos", [0, 1])
def test_a_hundred_and_gone(brokers, end, qos):
    """The publisher, who alone holds the overlay, ends right behind its last message."""
    a, b = brokers.pair()
    id = random_topic()
    topic = overlay(id)
    receiver = b.client(topic)
    sent = counted("last", 100, 2000)
    with Firehose(a.mqtt_port) as publisher:
        publisher.subscribe(topic)
        for broker in (a, b):
            broker.wait_number("neighbours", 1)
        if end == "sigterm":
            # What the broker has read when it is told to end.
            witness = a.client(topic)
        publisher.send(topic, sent, qos)
        if end == "unsubscribe":
            publisher.unsubscribe(topic)
        elif end == "disconnect":
            publisher.disconnect()
        else:
            witness.wait_count(topic, len(sent))
            a.terminate()
        assert receiver.wait_count(topic, len(sent)) == sent
        if end == "sigterm":
            assert a.wait_end(within(2)) == 0
            a.assert_no_report()
        else:
            a.wait_log(f"overlay {id[:10]}: left", within(1))
        # It has said goodbye.
        b.wait_status(lambda status: status["neighbours"] == 0, within(2))
