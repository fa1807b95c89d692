# SPDX-License-Identifier: MIT OR Apache-2.0
"""Nodes that send forged infos as fast as they can: what is verified for strangers is bounded, and
an honest neighbour's messages take no longer."""

import contextlib
import threading
import time

import pytest

from identity import overlay, random_topic
from raw_discovery import RawNode
from settings import scaled, within
from usage import cpu_seconds

FORGERS = 4
INFOS = 500
SECONDS = 8


def delays(here, there, topic: str, name: str, seconds: float) -> list[float]:
    """How long single messages take, one after the other, sorted."""
    found, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        payload = f"{name} {len(found)}".encode()
        begun = time.monotonic()
        here.post(topic, payload)
        there.wait_message(topic, payload)
        found.append(time.monotonic() - begun)
        time.sleep(0.005)
    return sorted(found)


def forge(node, broker, over):
    """One session after the other, whatever becomes of them."""
    while not over.is_set():
        with contextlib.suppress(AssertionError):
            node.session(broker, nodes=f"bad {scaled(INFOS)} 127.0.0.1:9", timeout=1)


@pytest.mark.unsanitized
def test_an_honest_neighbour_notices_nothing(brokers):
    near, far = brokers.pair()
    topic = overlay(random_topic())
    here, there = near.client(topic), far.client(topic)
    near.wait_number("neighbours", 1), far.wait_number("neighbours", 1)
    alone = delays(here, there, topic, "alone", SECONDS)
    over = threading.Event()
    with contextlib.ExitStack() as stack:
        nodes = [stack.enter_context(RawNode()) for _ in range(FORGERS)]
        threads = [threading.Thread(target=forge, args=(node, near, over)) for node in nodes]
        for thread in threads:
            thread.start()
        stack.callback(over.set)
        near.wait_number("discovery/bad_infos", 1)
        used = cpu_seconds(near.process.pid)
        beside = delays(here, there, topic, "beside", SECONDS)
        used = (cpu_seconds(near.process.pid) - used) / SECONDS
        over.set()
        for thread in threads:
            thread.join()
        bad = near.number("discovery/bad_infos")

    for name, all_of in (("alone", alone), ("beside", beside)):
        p50, p99 = (all_of[len(all_of) * part // 100] * 1000 for part in (50, 99))
        print(f"{name}: {len(all_of)} messages, p50 {p50:.1f} ms, p99 {p99:.1f} ms")
    print(f"{used * 100:.0f} % of a processor, {bad} infos verified in vain")
    # Each key is blamed at its third one, and waits.
    assert bad <= 3 * FORGERS
    # In the middle of a message's way there is nothing to wait for. (The slowest ones show what
    # the machine does: the forgers run on it, too.)
    assert beside[len(beside) // 2] < within(3 * alone[len(alone) // 2])
