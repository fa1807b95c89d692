# SPDX-License-Identifier: MIT OR Apache-2.0
"""Clients that begin anew under their id again and again: the overlay stays joined, and nothing
that a neighbour sends meanwhile goes by. (What a Rust neighbour sees of it is in
tests/interop/test_holding.py.)"""

import pytest

from identity import overlay, random_topic
from pulse import Pulse
from raw import RawClient


def new_session(a, topic: str) -> RawClient:
    client = RawClient(a.mqtt_port, "twin")
    client.subscribe((topic, 1))
    return client


def taken_over(a, topic, clients, _):
    clients.append(new_session(a, topic))
    clients.pop(0).close()


def gone_and_back(a, topic, clients, wait):
    clients.pop().reset()
    wait(3)  # it is away for that long
    clients.append(new_session(a, topic))


def fight(a, topic, clients, _):
    for _ in range(10):
        taken_over(a, topic, clients, None)


@pytest.mark.parametrize("story", [taken_over, gone_and_back, fight])
def test_the_overlay_stays(pair, story):
    a, b = pair
    topic = overlay(random_topic())
    watcher = a.client("p2panda/+")  # holds nothing
    far = b.client(topic)
    clients = [new_session(a, topic)]
    a.wait_joined(topic.removeprefix("p2panda/"))
    lines = len(a.our_log())
    wait = lambda more: watcher.wait_count(  # noqa: E731
        topic, len(watcher.payloads(topic)) + more
    )
    with Pulse(lambda payload: far.post(topic, payload), "go on", 0.02) as pulse:
        for _ in range(11):
            story(a, topic, clients, wait)
            wait(3)
    watcher.wait_message(topic, pulse.sent[-1])
    missing = len(set(pulse.sent) - set(watcher.payloads(topic)))
    said = [line for line in a.our_log()[lines:] if topic[8:18] in line]
    print(f"of {len(pulse.sent)} messages {missing} were lost; lines: {len(said)}")
    assert (missing, said) == (0, [])
    clients.pop().close()
    a.wait_log(f"overlay {topic[8:18]}: left")
