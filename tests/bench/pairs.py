# SPDX-License-Identifier: MIT OR Apache-2.0
"""What the bench measures on: brokers of which one carries messages to others, with clients that
cost next to nothing. All payloads of a measurement have one size, so that bytes count messages."""

import contextlib
import dataclasses
import os
import pathlib
import selectors
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence

sys.path[:0] = [
    str(pathlib.Path(__file__).resolve().parents[1] / folder) for folder in ("harness", "interop")
]

from broker import _RUNNING, Broker  # noqa: E402
from firehose import Firehose  # noqa: E402
from identity import overlay, random_topic  # noqa: E402
from child import binary  # noqa: E402
from rust_peer import RustPeer, connect  # noqa: E402
from usage import cpu_seconds, resident, switches  # noqa: E402

PATIENCE = 60.0
GENERATION = "06"  # of the Rust peers
QUIET = 3.0  # after so long without any more the rest is lost
AT_ONCE = 1000  # messages handed to the socket in one call
LINES = ["max_queued_messages 0", "set_tcp_nodelay true"]
MANY = [(f"max_overlays_per_{of}", "1000") for of in ("client", "user", "address")]


class Sink:
    """Subscribers (QoS 0) whose bytes are counted together."""

    def __init__(self, port: int, topics: Sequence[str], subscribers: int = 1):
        self._head = 2 + len(topics[0])  # of what comes after the fixed header
        self.subscribers = subscribers
        self._changed = threading.Condition()
        self._bytes = 0
        self._last = time.monotonic()
        self._selector = selectors.DefaultSelector()
        for _ in range(subscribers):
            hose = Firehose(port)
            for topic in topics:
                hose.subscribe(topic)
            self._selector.register(hose, selectors.EVENT_READ)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        while self._selector.get_map():
            more = 0
            for key, _ in self._selector.select():
                read = key.fileobj.drain()
                more += read
                if read == 0:
                    self._selector.unregister(key.fileobj)
            with self._changed:
                self._bytes += more
                self._last = time.monotonic()
                self._changed.notify_all()

    def size(self, payload: int) -> int:
        """Of the packets that bring so many bytes of content, to all subscribers."""
        body = self._head + payload
        return (1 + (1 if body < 128 else 2 if body < 16384 else 3) + body) * self.subscribers

    def total(self) -> int:
        with self._changed:
            return self._bytes

    def wait(self, total: int):
        with self._changed:
            enough = self._changed.wait_for(lambda: self._bytes >= total, PATIENCE)
            assert enough, f"{total - self._bytes} bytes are missing after {PATIENCE} s"

    def quiet(self):
        """Waits until nothing has come for a while."""
        with self._changed:
            while self._changed.wait(QUIET):
                pass

    def settle(self, total: int) -> tuple[int, float]:
        """Waits for so many bytes, or until nothing has come for a while; returns how many there
        are, and when the last ones came."""
        with self._changed:
            while self._bytes < total:
                before = self._bytes
                if not self._changed.wait(QUIET) and self._bytes == before:
                    break
            return self._bytes, self._last


@dataclasses.dataclass
class Load:
    """What became of a number of messages."""

    lost: float  # part of all
    rate: float  # those that came, per second
    cpu: float  # seconds of all brokers, per message that came


class Group:
    """Running processes of which the first one carries topics to the others."""

    def __init__(self, name: str, processes: Sequence):
        self.name = name
        self.processes = tuple(processes)  # objects with process.pid and kill()
        self._numbers = 0

    def ready(self):
        """Waits until what is published on any topic arrives everywhere."""
        raise NotImplementedError

    def load(self, count: int, size: int, rate: int | None = None) -> Load:
        """So many messages per second, or all of them at once."""
        raise NotImplementedError

    def latencies(self, count: int, size: int, pause: float) -> list[float]:
        """Seconds from publisher to the last subscriber, one message at a time."""
        raise NotImplementedError

    def _payloads(self, count: int, size: int) -> list[bytes]:
        """Each one different: the same bytes would not be carried twice."""
        first = self._numbers
        self._numbers += count
        return [b"%012d" % number + b"." * (size - 12) for number in range(first, first + count)]

    def cpu(self) -> float:
        return sum(cpu_seconds(one.process.pid) for one in self.processes)

    def wakes(self) -> int:
        """How often threads were woken so far."""
        return sum(sum(switches(one.process.pid).values()) for one in self.processes)

    def idle(self, seconds: float) -> float:
        """Processor time of all per second."""
        before = self.cpu()
        time.sleep(seconds)
        return (self.cpu() - before) / seconds

    def memories(self) -> list[int]:
        return [resident(one.process.pid) for one in self.processes]

    def memory(self) -> int:
        return sum(self.memories())

    def end(self):
        for one in self.processes:
            one.kill()


class Brokers(Group):
    """With subscribers of all but the first one."""

    def __init__(
        self, name: str, brokers: Sequence[Broker], topics: Sequence[str], subscribers: int = 1
    ):
        super().__init__(name, brokers)
        self._topics = topics
        self._hose = Firehose(brokers[0].mqtt_port)
        self._sinks = [Sink(b.mqtt_port, topics, subscribers) for b in brokers[1:] or brokers]

    def _send(self, payloads: Sequence[bytes], first: int = 0):
        if len(self._topics) == 1:
            self._hose.send(self._topics[0], payloads)
            return
        for number, payload in enumerate(payloads, first):
            self._hose.send(self._topics[number % len(self._topics)], [payload])

    def _totals(self) -> list[int]:
        return [sink.total() for sink in self._sinks]

    def _wait(self, before: Sequence[int], count: int, size: int):
        for sink, base in zip(self._sinks, before, strict=True):
            sink.wait(base + count * sink.size(size))

    def ready(self):
        count = len(self._topics)
        for _ in range(600):
            before = self._totals()
            self._send(self._payloads(count, 64))
            limit = time.monotonic() + 0.1 + count / 500
            while time.monotonic() < limit:
                time.sleep(0.05)
                if all(
                    sink.total() >= base + count * sink.size(64)
                    for sink, base in zip(self._sinks, before, strict=True)
                ):
                    for sink in self._sinks:  # and what was sent before
                        sink.quiet()
                    return
        raise AssertionError(f"{self.name}: not all arrives")

    def load(self, count: int, size: int, rate: int | None = None) -> Load:
        before, used, payloads = self._totals(), self.cpu(), self._payloads(count, size)
        burst = max(rate // 200, 1) if rate else AT_ONCE
        begun = time.monotonic()
        for at in range(0, count, burst):
            wait = begun + at / rate - time.monotonic() if rate else 0
            if wait > 0:
                time.sleep(wait)
            self._send(payloads[at : at + burst], at)
        came = last = 0
        for sink, base in zip(self._sinks, before, strict=True):
            total, at = sink.settle(base + count * sink.size(size))
            came += (total - base) / sink.size(size)
            last = max(last, at)
        came /= len(self._sinks)  # only now: sevenths would not add up to one
        return Load(
            lost=1 - came / count,
            rate=came / (last - begun),
            cpu=(self.cpu() - used) / max(came, 1),
        )

    def flow(self, count: int, size: int, window: int, chunk: int) -> float:
        """Seconds for so many messages; never more than a window under way."""
        before, payloads = self._totals(), self._payloads(count, size)
        begun = time.monotonic()
        for at in range(0, count, chunk):
            self._wait(before, max(at + chunk - window, 0), size)
            self._send(payloads[at : at + chunk], at)
        self._wait(before, count, size)
        return time.monotonic() - begun

    def latencies(self, count: int, size: int, pause: float) -> list[float]:
        found = []
        for number, payload in enumerate(self._payloads(count, size)):
            before = self._totals()
            begun = time.monotonic()
            self._send([payload], number)
            self._wait(before, 1, size)
            found.append(time.monotonic() - begun)
            time.sleep(pause)
        return found


class Peers(Group):
    """Two of p2panda-net, that is Rust nodes without any broker, driven over pipes. What is read from
    them costs them a line of JSON each, so under load they only count."""

    def __init__(self, generation: str):
        self._here, self._there = RustPeer(generation), RustPeer(generation)
        super().__init__("Rust peers", (self._here, self._there))
        self._topic = random_topic()

    def ready(self):
        connect(self._here, self._there, self._topic, PATIENCE)
        self.latencies(10, 64, 0.01)

    def latencies(self, count: int, size: int, pause: float) -> list[float]:
        found = []
        for payload in self._payloads(count, size):
            begun = time.monotonic()
            self._here.publish(self._topic, payload)
            self._there.wait_message(self._topic, payload, PATIENCE)
            found.append(time.monotonic() - begun)
            time.sleep(pause)
        return found

    def _counted(self) -> int:
        return self._there.count(self._topic)["messages"]

    def load(self, count: int, size: int, rate: int | None = None) -> Load:
        self._there.command("hush", self._topic)
        before, used, begun = self._counted(), self.cpu(), time.monotonic()
        interval = 1_000_000 // rate if rate else 0
        # Not the numbers of _payloads: what a peer says in a burst is made by itself.
        burst = self._here.burst(self._topic, count, interval, size, self._numbers)
        self._numbers += count
        self._here.wait_burst(burst, PATIENCE)
        came, last = 0, time.monotonic()
        while came < count and time.monotonic() - last < QUIET:
            time.sleep(0.02)
            if (now := self._counted() - before) > came:
                came, last = now, time.monotonic()
        self._there.command("speak", self._topic)
        return Load(
            lost=1 - came / count,
            rate=came / (last - begun),
            cpu=(self.cpu() - used) / max(came, 1),
        )


def has_peers() -> bool:
    return binary(f"peer{GENERATION}").exists()


def mesh(
    folder: pathlib.Path, name: str, size: int = 2, topics: int = 1, subscribers: int = 1
) -> Brokers:
    """Brokers with the plugin, each of which knows those before it."""
    brokers: list[Broker] = []
    for number in range(size):
        options = MANY if topics > 1 else ()
        broker = Broker(folder / f"{name}-{number}", lines=LINES, options=options)
        for other in brokers:
            broker.add_peer(other)
        brokers.append(broker.start())
    return Brokers(name, brokers, [overlay(random_topic()) for _ in range(topics)], subscribers)


@contextlib.contextmanager
def flood(here: Broker, there: Broker, topic: str, size: int = 1000) -> Iterator[None]:
    """As much as the first broker reads, meanwhile."""
    script = pathlib.Path(__file__).with_name("flood.py")
    ports = str(here.mqtt_port), str(there.mqtt_port)
    process = subprocess.Popen(
        [sys.executable, script, *ports, topic, str(size)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout and process.stdout.readline() == "ready\n"
        yield
    finally:
        process.communicate()


@contextlib.contextmanager
def busy_loops(count: int) -> Iterator[None]:
    """So many processes that do nothing but take processor time."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
        for loop in loops:
            loop.wait()


def lanes(folder: pathlib.Path) -> list[Brokers]:
    """Two brokers, with publisher and subscriber on an overlay, on one from the second broker to the first,
    and on a topic of the first broker's own."""
    first = mesh(folder, "another overlay")
    a, b = first.processes
    return [
        first,
        Brokers("another overlay, the other way", (b, a), [overlay(random_topic())]),
        Brokers("the broker's own clients", (a,), ["local"]),
    ]


def plugin(folder: pathlib.Path) -> Brokers:
    return mesh(folder, "plugin")


def other_build(folder: pathlib.Path, library: pathlib.Path) -> Brokers:
    """The plugin as it was before a change, for instance."""
    usual = os.environ["P2PANDA_PLUGIN"]
    os.environ["P2PANDA_PLUGIN"] = str(library)
    try:
        return mesh(folder, "other build")
    finally:
        os.environ["P2PANDA_PLUGIN"] = usual


def view(folder: pathlib.Path, codec: str) -> Brokers:
    """The plugin, where publisher and subscriber use a view: as fast as others, not as an
    application could follow."""
    a, b = (
        Broker(folder / f"{codec}-{which}", lines=LINES, options=[("signed_rate", "0")])
        for which in "ab"
    )
    a.add_peer(b)
    b.start(), a.start()
    return Brokers(f"view {codec}", (a, b), [f"{overlay(random_topic())}/ephemeral/{codec}"])


def _run(broker: Broker, lines: Sequence[str]) -> Broker:
    broker.spawn("\n".join([broker.config(), *lines, ""]))
    broker.wait_log(_RUNNING)
    return broker


def bare(folder: pathlib.Path) -> Brokers:
    """One broker, whose own subscriber it is: nothing is carried anywhere."""
    broker = Broker(folder / "bare", identity=False, lines=LINES, plugin=False)
    return Brokers("bare broker", [_run(broker, [])], [overlay(random_topic())])


def bridge(folder: pathlib.Path, tls: bool) -> Brokers:
    """Two brokers with Mosquitto's own bridge."""
    name = "tls" if tls else "tcp"
    a, b = (
        Broker(folder / f"{name}-{which}", identity=False, lines=LINES, plugin=False)
        for which in "ab"
    )
    topic = overlay(random_topic())
    there = Broker(folder / f"{name}-port", identity=False).mqtt_port  # a second port of b's
    key, certificate = b.folder / "key.pem", b.folder / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-keyout", key, "-out",
         certificate, "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    _run(b, [f"listener {there} 127.0.0.1", *([f"certfile {certificate}", f"keyfile {key}"] * tls)])
    _run(
        a,
        ["connection bridge", f"address 127.0.0.1:{there}", f"topic {topic} out 0",
         "bridge_protocol_version mqttv50", "notifications false",
         *([f"bridge_cafile {certificate}"] * tls)],
    )  # fmt: skip
    return Brokers("bridge over TLS" if tls else "bridge over TCP", (a, b), [topic])
