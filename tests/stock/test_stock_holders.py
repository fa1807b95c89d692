# SPDX-License-Identifier: MIT OR Apache-2.0
"""Who holds an overlay is known exactly, though Mosquitto 2.0 tells no plugin: clients that do
everything a client can do, at random, beside a thousand messages per second, and after each round
the broker is in as many overlays as it should be. (That a Rust neighbour sees it leave within a
second is in tests/interop/test_holding.py, which is run with Mosquitto 2.0 as well.)"""

import dataclasses
import os
import pathlib
import random
import secrets
import threading
import time
from collections.abc import Sequence

import pytest

import settings
from compile import shared_library
from identity import overlay, random_topic
from mqtt import Client
from pulse import paced
from raw import RawClient

OTHER = pathlib.Path(__file__).with_name("access_plugin.c")
ROUNDS = settings.scaled(1000)
# So many at a time: the status is told once per second.
AT_ONCE = 50
BEHIND = 5000  # messages that the subscribers have not read yet
PROBE_SIZE = 37
HOUR = 3600


@dataclasses.dataclass
class Session:
    """What a client id has in the broker, by what was done."""

    name: str
    client: RawClient | None = None
    lasting: bool = False
    version: int = 5
    filters: dict[str, int] = dataclasses.field(default_factory=dict)
    busy_until: float = 0.0


class World:
    """Three clients, and three overlays that nobody else has."""

    def __init__(self, number: int, port: int, chance: random.Random, denies: bool):
        self.port, self.chance = port, chance
        self.sessions = [Session(f"{number}{name}") for name in "abc"]
        self.topics = [overlay(random_topic()) for _ in range(3)]
        if denies:
            self.topics = [
                f"p2panda/name/{word}{secrets.token_hex(8)}"
                for word in ("public", "public", "secret")
            ]
        self.log: list[str] = []

    def held(self) -> set[str]:
        return {
            next(one for one in self.topics if one in text)
            for session in self.sessions
            for text, qos in session.filters.items()
            if session.client or qos > 0
        }

    def _filters(self) -> list[str]:
        return [
            text
            for topic in self.topics
            for text in (topic, f"{topic}/#", f"{topic}/ephemeral/json", f"{topic}/ephemeral/+",
                         f"$share/g/{topic}", f"$share/h/{topic}")
        ]  # fmt: skip

    def _connect(self, session: Session, lasting: bool, keep: bool, expiry: int = HOUR):
        if not keep:
            session.filters = {}
            session.version = self.chance.choice([4, 5])
        session.lasting = lasting
        session.client = RawClient(
            self.port, session.name, version=session.version, lasting=lasting, expiry=expiry
        )

    # -- what can be done: False where it cannot be done now ------------------

    def connect(self, session: Session):
        if session.client:
            return False
        lasting = self.chance.random() < 0.7
        self._connect(session, lasting, keep=lasting and bool(session.filters))
        return True

    def subscribe(self, session: Session):
        if not session.client:
            return False
        wanted = {
            text: self.chance.randint(0, 2)
            for text in self.chance.sample(self._filters(), self.chance.randint(1, 3))
        }
        session.client.subscribe(*wanted.items())
        session.filters |= {text: qos for text, qos in wanted.items() if "secret" not in text}
        return True

    def unsubscribe(self, session: Session):
        """Also what was never subscribed."""
        if not session.client:
            return False
        wanted = [text for text in self._filters() if self.chance.random() < 0.5]
        wanted = wanted or [self.topics[0]]
        session.client.unsubscribe(*wanted)
        for text in wanted:
            session.filters.pop(text, None)
        return True

    def wildcard(self, session: Session):
        """Receives, but holds nothing."""
        if not session.client:
            return False
        text = self.chance.choice(["p2panda/+", "p2panda/#", "#", "$share/g/p2panda/+", "+/+"])
        if self.chance.random() < 0.5:
            session.client.subscribe((text, 0))
        else:
            session.client.unsubscribe(text)
        return True

    def cut(self, session: Session):
        if not session.client:
            return False
        if self.chance.random() < 0.5:
            session.client.reset()
        else:
            session.client.close()
        session.client = None
        if not session.lasting:
            session.filters = {}
        return True

    def take_over(self, session: Session):
        if not session.client:
            return False
        before = session.client
        lasting = self.chance.random() < 0.6
        self._connect(session, lasting, keep=lasting and session.lasting)
        before.close()
        return True

    def flap(self, session: Session):
        """All at once."""
        for do in (self.cut, self.connect, self.subscribe, self.cut, self.connect, self.cut):
            do(session)
        return True

    def expire(self, session: Session):
        self.cut(session)
        RawClient(self.port, session.name, version=5).close()  # begins anew
        session.filters = {}
        session.version = 5
        self._connect(session, lasting=True, keep=True, expiry=1)
        self.subscribe(session)
        self.cut(session)
        session.filters = {}
        # The broker looks once per second, in whole seconds.
        session.busy_until = time.monotonic() + 3.5
        return True

    def step(self):
        free = [one for one in self.sessions if one.busy_until < time.monotonic()]
        while free:
            session = self.chance.choice(free)
            do = self.chance.choice(
                [self.connect, self.subscribe, self.subscribe, self.unsubscribe, self.unsubscribe,
                 self.wildcard, self.cut, self.take_over, self.flap, self.expire]
            )  # fmt: skip
            if do(session):
                self.log.append(f"{do.__name__}: {session}")
                return


class Traffic:
    """A thousand messages per second, or as many as the subscribers, whose process this is, can read."""

    def __init__(self, publisher: Client, topic: str, subscribers: Sequence[Client]):
        self.sent: list[bytes] = []
        self._publisher, self._topic, self._subscribers = publisher, topic, subscribers
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while not self._stop.is_set():
            start = len(self.sent)
            payloads = [b"%d" % number for number in range(start, start + 200)]
            paced(lambda payload: self._publisher.post(self._topic, payload, 1), payloads)
            self.sent += payloads
            for one in self._subscribers:
                one.wait_count(self._topic, start - BEHIND + 1)

    def stop(self):
        self._stop.set()
        self._thread.join()


def rounds(a, worlds, others: int):
    """others: overlays beside those of the worlds."""
    for _ in range(ROUNDS // len(worlds)):
        for world in worlds:
            world.step()
        expected = others + sum(len(world.held()) for world in worlds)
        try:
            a.wait_status(lambda status: status["overlays"] == expected)  # noqa: B023
        except AssertionError as error:
            told = "\n".join(world.log[-1] for world in worlds)
            raise AssertionError(f"not {expected} overlays\n{told}\n{error}") from None


@pytest.mark.slow
@pytest.mark.parametrize("denies", [False, True], ids=["alone", "other plugin"])
def test_random_rounds(brokers, old, tmp_path, denies):
    """With another plugin each subscription may have been denied."""
    seed = int(os.environ.get("P2PANDA_SEED", secrets.randbelow(1 << 32)))
    print(f"P2PANDA_SEED={seed}")
    behind = [f"plugin {shared_library(OTHER, tmp_path)}", "plugin_opt_checks yes"]
    rules = tmp_path / "rules"
    rules.write_text("topic readwrite #\ntopic read $SYS/#\n")
    a = brokers(
        program=old.program,
        lines=["max_queued_messages 0", f"acl_file {rules}"],
        behind=behind if denies else [],
        options=[("max_overlays_per_address", "1000")],
    )
    b = brokers(lines=["max_queued_messages 0"])
    a.add_peer(b)
    a.start(), b.start()
    topic = overlay(random_topic())
    at_a, everything, at_b = a.client(topic), a.client("p2panda/#"), b.client()
    at_b.publish(topic, b"begin")
    at_a.wait_message(topic, b"begin")
    chance = random.Random(seed)
    worlds = [World(number, a.mqtt_port, chance, denies) for number in range(AT_ONCE)]
    traffic = Traffic(at_b, topic, (at_a, everything))
    try:
        rounds(a, worlds, others=1)
    finally:
        traffic.stop()
    at_a.wait_all(topic, traffic.sent)
    everything.wait_all(topic, traffic.sent)
    assert at_a.payloads(topic)[1:] == traffic.sent
    # What only asks who would get it, nobody gets.
    for client in (at_a, everything):
        assert {one.topic for one in client._messages} == {topic}
        assert not [one for one in client.payloads(topic) if len(one) == PROBE_SIZE]
    rate = a.number("messages/out")
    print(f"{len(traffic.sent)} messages, {rate} handed to the broker")
