# SPDX-License-Identifier: MIT OR Apache-2.0
"""A thousand overlays and two hundred nodes: what their status costs."""

import contextlib
import time

import pytest

from broker import _RUNNING
from identity import invented_node, overlay
from mqtt import Client
from settings import PATIENCE
from usage import cpu_seconds, wake_ups

OVERLAYS = 1000
NODES = 200
# Each as long as a sys_interval.
WINDOWS = 4
INTERVAL = 10
QUEUE_AGE = 30.0  # by default


def spawn(brokers, interval: int):
    """Joined to so many overlays, with so many nodes that it never reaches."""
    options = [("sys_interval", str(interval)), ("max_overlays", "2000")]
    options += [("topic", f"{number:010x}".ljust(64, "0")) for number in range(OVERLAYS)]
    # Of these there is one host, and it lets nobody in: no dial goes on for long.
    options += [("bootstrap", f"{invented_node().hex()}@127.0.0.1:9") for _ in range(NODES)]
    broker = brokers(options=options, lines=["max_queued_messages 0"])
    broker.spawn()
    broker.wait_log(_RUNNING)
    return broker


class Load:
    """Publishes on each overlay once, again and again: all numbers change all the time."""

    def __init__(self, broker):
        self.client = Client(broker.mqtt_port)
        self.count = 0

    def go_on(self):
        for number in range(OVERLAYS):
            topic = overlay(f"{number:010x}".ljust(64, "0"))
            self.client.post(topic, f"{self.count}".encode())
            self.count += 1


def measure(made, loads=()) -> tuple[list[float], list[int]]:
    """Processor time per second of each, in the window where they differ least (others work on this
    machine, too), and wake-ups in all of them."""
    pids = [broker.process.pid for broker in made]
    first = [wake_ups(pid) for pid in pids]
    used = []
    for _ in range(WINDOWS):
        before = [cpu_seconds(pid) for pid in pids]
        begun = time.monotonic()
        while time.monotonic() < begun + INTERVAL:
            for load in loads:
                load.go_on()
            time.sleep(1)
        passed = time.monotonic() - begun
        used.append(
            [(cpu_seconds(pid) - was) / passed for pid, was in zip(pids, before, strict=True)]
        )
    wakes = [wake_ups(pid) - was for pid, was in zip(pids, first, strict=True)]
    return min(used, key=lambda one: one[0] - one[1]), wakes


def measure_at_rest(made) -> tuple[tuple[list[float], list[int]], dict[str, bytes]]:
    """As measure(), and what was published of single overlays and nodes meanwhile."""
    with contextlib.ExitStack() as clients:
        # Somebody listens at both.
        for broker in reversed(made):
            watch = clients.enter_context(Client(broker.mqtt_port))
            for topic in ("overlay/#", "node/#", "waiting"):
                watch.subscribe(f"$SYS/broker/p2panda/{topic}")
        # What waits for a neighbour ages out first, and that is counted.
        waiting = "$SYS/broker/p2panda/waiting"
        watch.wait(lambda: watch.newest().get(waiting) == b"0", QUEUE_AGE + PATIENCE, "none waits")
        time.sleep(INTERVAL + 2)
        watch.forget()
        return measure(made), watch.newest()


@pytest.mark.slow
@pytest.mark.unsanitized
def test_what_the_status_costs(brokers):
    """One broker with it and one without, at the same time: what is different is the status."""
    made = [spawn(brokers, INTERVAL), spawn(brokers, 0)]
    with Client(made[0].mqtt_port) as watch:
        watch.subscribe("$SYS/broker/p2panda/+/+/state")
        watch.wait(lambda: len(watch.newest()) == OVERLAYS + NODES, what="all states")
    loads = [Load(broker) for broker in made]
    with_load, _ = measure(made, loads)
    with Client(made[0].mqtt_port) as watch:
        watch.subscribe("$SYS/broker/p2panda/overlay/+/in")
        watch.wait(lambda: len(watch.newest()) == OVERLAYS, what="all numbers")
        counted = [int(payload) for payload in watch.newest().values()]
        assert min(counted) >= WINDOWS, "they were measured while they changed"
    (at_rest, wakes), told = measure_at_rest(made)
    print(f"core: with load {with_load[0]:.4f} against {with_load[1]:.4f}, ", end="")
    print(f"at rest {at_rest[0]:.5f} against {at_rest[1]:.5f}, wake-ups {wakes}")
    assert with_load[0] - with_load[1] < 0.01, with_load
    assert told == {}, "nothing has changed"
    # What one and the same broker takes in two such windows differs by as much.
    assert at_rest[0] - at_rest[1] < 0.0005, at_rest
    # Two brokers' loops turn as often, give or take what the dials bring.
    assert wakes[0] < 1.2 * wakes[1], wakes
