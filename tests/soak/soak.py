# SPDX-License-Identifier: MIT OR Apache-2.0
"""Hours in little: three brokers and two Rust peers on twenty overlays, with traffic, clients
that come and go with overlays of their own, and peers that join and leave. In the end every
message has reached every broker once, the sums of docs/status.md hold, memory does not grow, and
no sanitizer has said anything.

Run by `tests/run.sh soak`, which builds what it needs; a line a minute says how it is.
"""

import argparse
import os
import pathlib
import random
import sys
import tempfile
import time

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "harness"), str(TESTS / "interop")]

from broker import Broker  # noqa: E402
from identity import overlay, random_topic  # noqa: E402
from rust_peer import RustPeer  # noqa: E402
from usage import cpu_seconds, resident  # noqa: E402

OVERLAYS = 20
WITH_PEERS = 5  # of these
SIZES = (0, 30, 200, 1500, 4000)
COMERS = 10  # clients that come and go, at a time
# The sums of docs/status.md: what becomes of what is published, and of what arrives.
GONE_OUT = (
    "sent", "malformed_topic", "too_large", "repeated", "max_overlays", "mailbox_full",
    "queue_limit", "queue_age", "left", "no_memory",
)  # fmt: skip
GONE_IN = ("out", "events_full", "no_memory_arriving", "broker")


def number(status: dict[str, int], name: str) -> int:
    return status[("messages/" if name in ("sent", "out") else "dropped/") + name]


class Soak:
    def __init__(self, folder: pathlib.Path, seed: int):
        self._random = random.Random(seed)
        self._made = 0
        self._given = [0, 0, 0]  # of those, to each broker
        self._by_peers = 0
        self._comers = []
        self.brokers = [self._broker(folder, name) for name in "abc"]
        a, b, c = self.brokers
        a.add_peer(b)
        b.add_bootstrap(c)
        for broker in self.brokers:
            broker.start()
        self.peers = [RustPeer(generation, discovery=True) for generation in ("06", "071")]
        for peer in self.peers:
            peer.node(a.id, a.address(), bootstrap=True)
        self.topics = [random_topic() for _ in range(OVERLAYS)]
        for peer in self.peers:
            for topic in self.topics[:WITH_PEERS]:
                peer.join(topic)
        self._publishers = [broker.client() for broker in self.brokers]
        self._subscribers = [
            broker.client(*map(overlay, self.topics)) for broker in self.brokers
        ]
        # Everybody is there: from now on nothing may be missing.
        every = OVERLAYS * 2 + WITH_PEERS * 2
        for broker in self.brokers:
            broker.wait_number("neighbours", every)

    @staticmethod
    def _broker(folder: pathlib.Path, name: str) -> Broker:
        lines = ["max_queued_messages 0", "persistence true"]
        return Broker(folder / name, lines=[*lines, f"persistence_location {folder / name}/"])

    def step(self):
        """Some 400 messages per second, and now and then something else."""
        pick = self._random
        for _ in range(20):
            payload = b"%d " % self._made + os.urandom(pick.choice(SIZES))
            self._made += 1
            topic = overlay(pick.choice(self.topics))
            at = pick.randrange(len(self.brokers))
            self._given[at] += 1
            self._publishers[at].post(topic, payload, pick.choice((0, 1)))
        if pick.random() < 0.05:
            self._by_peers += 1
            topic = pick.choice(self.topics[:WITH_PEERS])
            pick.choice(self.peers).publish(topic, b"peer %d" % self._by_peers)
        if pick.random() < 0.03:
            topics = (pick.choice(self.topics), random_topic())
            self._comers.append(pick.choice(self.brokers).client(*map(overlay, topics)))
        if len(self._comers) > COMERS:
            self._comers.pop(0).close()
        if pick.random() < 0.01:
            peer, topic = pick.choice(self.peers), pick.choice(self.topics[WITH_PEERS:])
            peer.join(topic)
            peer.leave(topic)
        time.sleep(0.05)

    def forget(self):
        """What the tests' own clients remember."""
        for client in self._subscribers + self._publishers + self._comers:
            client.forget()
        for peer in self.peers:
            peer.forget_events()
            for topic in self.topics:
                peer.forget_messages(topic)

    def memory(self) -> list[int]:
        return [resident(broker.process.pid) for broker in self.brokers]

    def describe(self) -> str:
        return ", ".join(
            f"{broker.name}: {memory >> 20} MiB, {cpu_seconds(broker.process.pid):.1f} s"
            for broker, memory in zip(self.brokers, self.memory(), strict=True)
        )

    def check(self):
        """Everything has arrived everywhere, once."""
        for broker, given in zip(self.brokers, self._given, strict=True):
            due = self._made - given + self._by_peers
            status = broker.wait_status(
                lambda status, given=given, due=due: status["messages/in"] >= given
                and status["messages/received"] >= due
                and status["messages/in"] == sum(number(status, name) for name in GONE_OUT)
                and status["messages/received"] == sum(number(status, name) for name in GONE_IN),
                what=f"{given} messages taken and {due} received",
            )
            assert status["messages/in"] == status["messages/sent"] == given, (broker.name, status)
            assert status["messages/received"] == status["messages/out"] == due, (broker.name, status)
            print(f"{broker.name}: {given} taken, {due} received, none lost, none twice")

    def end(self):
        for peer in self.peers:
            peer.kill()
        for broker in self.brokers:
            broker.stop()  # well, and without a report


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="p2panda-soak-") as folder:
        soak = Soak(pathlib.Path(folder), arguments.seed)
        begun, said, half = time.monotonic(), 0.0, None
        while (now := time.monotonic() - begun) < arguments.seconds:
            soak.step()
            if now >= said + 60:
                said = now
                soak.forget()
                print(f"{now:.0f} s: {soak.describe()}", flush=True)
            if half is None and now >= arguments.seconds / 2:
                half = soak.memory()
        soak.check()
        late = soak.memory()
        print(f"memory: {[one >> 20 for one in half]} MiB half-way, {[one >> 20 for one in late]} now")
        # Ids are remembered for 90 s: shorter runs still grow.
        if arguments.seconds >= 400:
            assert all(now < 1.1 * then for now, then in zip(late, half, strict=True))
        soak.end()


if __name__ == "__main__":
    main()
