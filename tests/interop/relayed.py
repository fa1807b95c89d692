# SPDX-License-Identifier: MIT OR Apache-2.0
"""Brings brokers and others together by way of a relay, and sees which way messages go.

Which way they go is asked of the relay, where it is the real one: it counts what it hands on.
"""

import time
from collections.abc import Callable
from typing import Any

import settings
from broker import Broker
from identity import overlay
from iroh_relay import IrohRelay
from mqtt import Client
from pulse import Pulse
from usage import resident
# What a Python client is too slow for is no matter of ours.
LINES = ["max_queued_messages 0"]


def at_relay(brokers, relay: IrohRelay, *others: IrohRelay, host=None, **options: Any) -> Broker:
    """A broker, not yet running, whose home is the first of these relays."""
    named = [("relay", one.url) for one in (relay, *others)]
    return brokers(host=host, lines=LINES, options=[*named, *options.items()])


def subscribers(id: str, *brokers_: Broker, timeout: float | None = None) -> list[Client]:
    """A subscriber of each, once they are neighbours."""
    clients = [broker.client(overlay(id)) for broker in brokers_]
    for broker in brokers_:
        broker.wait_joined(id, timeout)
    return clients


def counted(prefix: str, count: int, size: int = 0) -> list[bytes]:
    return [f"{prefix} {number} ".encode().ljust(size, b".") for number in range(count)]


def handed_on(relay: IrohRelay) -> int:
    """Datagrams of others that the relay has taken so far."""
    return relay.figures()["send_packets_recv"]


def say(topic: str, sender: Client, receiver: Client, text: str, timeout: float | None = None):
    """One message that arrives."""
    sender.post(topic, text.encode(), 1)
    receiver.wait_message(topic, text.encode(), timeout)


class BothWays:
    """Traffic between two clients that goes on: `left 0`, `left 1`, ... one way, `right 0`, ...
    the other way."""

    def __init__(self, topic: str, left: Client, right: Client, interval: float = 0.1):
        self._topic = topic
        self._ways = [
            (sender, receiver, Pulse(self._poster(sender), name, interval))
            for name, sender, receiver in (("left", left, right), ("right", right, left))
        ]

    def _poster(self, client: Client) -> Callable[[bytes], Any]:
        return lambda payload: client.post(self._topic, payload, 1)

    def wait_flows(self, timeout: float) -> float:
        """Waits until what is published from now on arrives both ways; returns after how many
        seconds."""
        begun = time.monotonic()
        marks = [len(pulse.sent) for _, _, pulse in self._ways]
        for (_, receiver, pulse), mark in zip(self._ways, marks, strict=True):
            receiver.wait(
                lambda r=receiver, p=pulse, m=mark: self._newest(r, p) > m,
                max(begun + timeout - time.monotonic(), 0),
                f"message after '{pulse._prefix} {mark}'",
            )
        return time.monotonic() - begun

    def _newest(self, receiver: Client, pulse: Pulse) -> int:
        """Called with the client's lock held."""
        for payload in reversed(receiver._by_topic[self._topic]):
            name, _, number = payload.decode().partition(" ")
            if name == pulse._prefix:
                return int(number)
        return -1

    def stop(self, timeout: float | None = None):
        """Ends it; all of it arrives, each once and in its order."""
        for _, _, pulse in self._ways:
            pulse.stop()
        for _, receiver, pulse in self._ways:
            receiver.wait_all(self._topic, pulse.sent, timeout)
            prefix = pulse._prefix.encode() + b" "
            found = [one for one in receiver.payloads(self._topic) if one.startswith(prefix)]
            assert found == pulse.sent

    def longest_silence(self) -> float:
        """How long something was under way and nothing has arrived, at most, either way. (A publisher
        that had to wait for a processor was silent itself.)"""
        found = []
        for _, receiver, pulse in self._ways:
            prefix, last = pulse._prefix.encode() + b" ", 0.0
            for message in receiver.messages(self._topic):
                if message.payload.startswith(prefix):
                    sent = pulse.times[int(message.payload.removeprefix(prefix))]
                    found.append(message.time - max(last, sent))
                    last = message.time
        return max(found)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for _, _, pulse in self._ways:
            pulse._stop.set()


class Memory:
    """How much a broker has grown since then. A sanitizer keeps what is freed."""

    def __init__(self, broker: Broker):
        self._broker = broker
        self._before = resident(broker.process.pid)

    def check(self, most: int):
        grown = resident(self._broker.process.pid) - self._before
        print(f"{grown >> 10} KiB more")
        if settings.SANITIZER in ("", "none"):
            assert grown < most


def wait_until(check: Callable[[], Any], timeout: float, what: str) -> float:
    """Asks again and again; returns after how many seconds it was so. For what tells nobody."""
    begun = time.monotonic()
    while not check():
        assert time.monotonic() - begun < timeout, f"not after {timeout:.0f} s: {what}"
        time.sleep(0.05)
    return time.monotonic() - begun
