# SPDX-License-Identifier: MIT OR Apache-2.0
"""A clean stop loses nothing without a word: what was published and acknowledged has arrived, or the
last line says how much of it has not, and why."""

import re
import signal

from identity import overlay, random_topic

REASONS = {
    "waited": r"(\d+) messages that have waited for a neighbour",
    "unacknowledged": r"(\d+) copies that a neighbour has not acknowledged",
    "arrived": r"(\d+) that have come and were not handed on yet",
}


def lost(broker) -> dict[str, int]:
    """What the broker has said when it was stopped."""
    lines = [line for line in broker.our_log() if line.startswith("lost by this stop")]
    assert len(lines) <= 1, lines
    found = {name: re.search(text, "".join(lines)) for name, text in REASONS.items()}
    return {name: int(match[1]) for name, match in found.items() if match}


def meet(a, b):
    """An overlay that both have joined: its topic, who listens at b, and who publishes at a."""
    topic = overlay(random_topic())
    far, sender = b.client(topic), a.client()
    a.client(topic)
    a.wait_joined(topic.removeprefix("p2panda/"))
    return topic, far, sender


def publish(client, topic, count: int, word: str) -> list[bytes]:
    """All of them are acknowledged."""
    payloads = [f"{word} {number}".encode() for number in range(count)]
    for mid in [client.post(topic, payload, qos=1) for payload in payloads]:
        assert client.wait_published(mid).value in (0, 16)
    return payloads


def test_what_waits_and_cannot_be_kept(brokers):
    """What can be: test_waiting_restart.py."""
    a = brokers().start()
    topics = [overlay(random_topic()) for _ in range(2)]
    sender = a.client(topics[0])
    publish(sender, topics[0], 50, "to nobody")
    publish(sender, topics[1], 7, "to nobody")
    a.wait_status(lambda status: status["waiting"] == 57)
    a.stop()
    path = a.state_dir / "p2panda.db"
    path.unlink()
    path.mkdir()  # no file can be there
    a.start()
    sender = a.client(topics[0])
    publish(sender, topics[0], 50, "to nobody")
    publish(sender, topics[1], 7, "to nobody")
    a.wait_status(lambda status: status["waiting"] == 57)
    a.stop()
    assert lost(a) == {"waited": 57}


def test_nothing_waits(brokers):
    a, b = brokers.pair()
    topic, far, sender = meet(a, b)
    sent = publish(sender, topic, 10, "to all")
    far.wait_all(topic, sent)
    a.wait_status(lambda status: status["messages/sent"] == 10)
    a.stop(), b.stop()
    assert lost(a) == lost(b) == {}


def test_in_the_middle_of_a_burst(brokers):
    # What a broker drops for a slow client is not what this is about.
    a, b = brokers.pair(lines=["max_queued_messages 0"])
    topic, far, sender = meet(a, b)
    sent = publish(sender, topic, 3000, "in a hurry")
    a.stop()
    missing = sum(lost(a).values())
    far.wait_count(topic, len(sent) - missing)
    assert len(far.payloads(topic)) + missing >= len(sent)


def test_neighbour_that_stands_still(brokers):
    """What it has not acknowledged it may have got all the same."""
    a, b = brokers.pair()
    topic, far, sender = meet(a, b)
    first = publish(sender, topic, 5, "before")
    far.wait_all(topic, first)
    b.freeze()
    try:
        sent = publish(sender, topic, 200, "behind")
        a.wait_status(lambda status: status["messages/in"] == 205)
        a.stop()
    finally:
        b.process.send_signal(signal.SIGCONT)
    said = lost(a)
    assert set(said) == {"unacknowledged"}, said
    # Of what it has handed on the acknowledgement may be missing, too.
    assert 0 < said["unacknowledged"] <= len(first) + len(sent)
    far.wait_count(topic, len(first) + len(sent) - said["unacknowledged"])
