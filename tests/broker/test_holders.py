# SPDX-License-Identifier: MIT OR Apache-2.0
"""Holders that come and go, many times. Who holds is in tests/interop/test_holding.py."""

import pathlib

import pytest

import settings
from identity import overlay, random_topic
from raw import RawClient

CYCLES = settings.scaled(10_000)
AT_ONCE = 100


def resident(broker) -> int:
    """KiB of memory."""
    status = pathlib.Path(f"/proc/{broker.process.pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))


def cycle(client: RawClient, cycles: int):
    """Joins and leaves so often, always another overlay, with a message in it."""
    for _ in range(cycles // AT_ONCE):
        topics = [overlay(random_topic()) for _ in range(AT_ONCE)]
        client.subscribe(*((topic, 1) for topic in topics))
        for topic in topics:
            client.publish(topic, b"hello", 0)
        client.unsubscribe(*topics)


@pytest.mark.slow
def test_nothing_grows(brokers):
    a, b = brokers.pair()
    shared = overlay(random_topic())
    near, far = a.client(shared), b.client(shared)
    client = RawClient(a.mqtt_port, "cyclist")
    cycle(client, CYCLES // 2)
    before = resident(a)
    cycle(client, CYCLES)
    client.close()
    for broker in (a, b):
        broker.wait_status(
            lambda status: status["overlays"] == 1
            and status["neighbours"] == 1
            and status["connections"] <= 2
            and status["waiting"] == 0
        )
    left = sum(": left" in line for line in a.our_log())
    grown = resident(a) - before
    database = a.state_dir / "p2panda.db"
    sizes = [file.stat().st_size for file in (database, database.with_name("p2panda.db-wal"))]
    near.publish(shared, b"still here")
    far.wait_message(shared, b"still here")
    print(f"left {left}, memory +{grown} KiB, files {sizes}")
    # A sanitizer keeps what is freed.
    assert grown < 2048 or settings.SANITIZER not in ("", "none")
    assert sum(sizes) < 16 << 20
