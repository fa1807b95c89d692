# SPDX-License-Identifier: MIT OR Apache-2.0
"""What an overlay can never carry is refused, counted and said."""

import pytest

from identity import overlay, random_topic
from mqtt import V5, V311
from raw import RawClient

pytestmark = pytest.mark.asan_only

QUOTA_EXCEEDED = 0x97
NOT_AUTHORISED = 0x87
MALFORMED = [
    "p2panda/",
    "p2panda/hello",
    "p2panda/" + "a" * 63,
    "p2panda/" + "a" * 65,
    "p2panda/" + "A" * 64,
    "p2panda/" + "g" * 64,
    "p2panda/" + "a" * 64 + "/more",
    "p2panda/name/",
]


@pytest.fixture
def pair(brokers):
    return brokers.pair()


def check_refusal(pair, topic: str, payload: bytes, reason: int, counter: str):
    a, b = pair
    good = overlay(random_topic())
    near, far, watcher = a.client(good), b.client(good), a.client("p2panda/#")
    clients = {version: a.client(version=version) for version in (V311, V5)}
    before = a.number(counter)
    published = a.number("messages/in")

    assert clients[V5].publish(topic, payload, 1).value == reason
    # Paho does not show what a PUBREC says.
    assert RawClient(a.mqtt_port, "raw", version=5).publish(topic, payload, 2) == reason
    # These cannot be told; they are counted all the same.
    clients[V5].publish(topic, payload, 0)
    clients[V311].publish(topic, payload, 0)
    assert not clients[V311].publish(topic, payload, 1).is_failure
    clients[V311].publish(topic, payload, 2)
    assert a.wait_number(counter, before + 6) == before + 6

    # Nobody is cut off, and what can be carried still is, here and there.
    for version, client in clients.items():
        payload = f"good {version}".encode()
        assert not client.publish(good, payload).is_failure
        near.wait_message(good, payload)
        far.wait_message(good, payload)
        watcher.wait_message(good, payload)
    assert [message.topic for message in watcher.messages(topic)] in ([], [good] * 2)
    # What is refused is counted as published too, so that the sum holds.
    assert a.wait_number("messages/in", published + 8) == published + 8
    assert any("refused a message" in line for line in a.our_log())


@pytest.mark.parametrize("size", [4058, 5000, 100_000])
def test_too_large(pair, size):
    check_refusal(pair, overlay(random_topic()), b"x" * size, QUOTA_EXCEEDED, "dropped/too_large")


@pytest.mark.parametrize("topic", MALFORMED)
def test_malformed_topic(pair, topic):
    check_refusal(pair, topic, b"hello", NOT_AUTHORISED, "dropped/malformed_topic")


def test_other_topics_are_not_ours(pair):
    a, _ = pair
    client = a.client("other/#")
    for topic in ("other/p2panda", "other/" + "a" * 64):
        assert not client.publish(topic, b"x" * 10_000).is_failure
        client.wait_message(topic, b"x" * 10_000)
    assert a.number("dropped/malformed_topic") == a.number("dropped/too_large") == 0


def test_malformed_subscription_is_an_ordinary_one(pair):
    a, _ = pair
    a.client("p2panda/hello")
    a.wait_log(r"subscribed p2panda/hello\.\.\., which is no overlay")


def test_lines_that_a_client_causes_are_few(brokers):
    """A megabyte of SUBSCRIBE is not to make eighty of log; and nothing hides behind it."""
    a = brokers().start()
    client = RawClient(a.mqtt_port, "c" * 60_000, version=5)
    client.subscribe(*((f"p2panda/{number}", 0) for number in range(5000)))
    a.wait_log("p2panda: .* more lines were not written: subscriptions that are no overlay")
    other = a.client(version=V5)
    assert other.publish("p2panda/x", b"x").is_failure
    assert other.publish(overlay(random_topic()), b"x" * 4058).is_failure
    a.wait_log("refused a message of client .*: the topic is not")
    a.wait_log("refused a message of client .*: the payload is larger")
    written = sum(len(line) for line in a.our_log())
    assert written < 10_000, f"{written} bytes of log"
