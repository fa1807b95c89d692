# SPDX-License-Identifier: MIT OR Apache-2.0
"""What it costs to carry a message from one broker to another: the plugin against Mosquitto's
own bridge over TLS, in one run on one machine.

Prints a table of ratios (plugin / bridge; below 1 the plugin is better): medians of several
rounds, in which both take turns. Both brokers of each pair run all the time; a pair that has
nothing to do costs next to nothing. A second table has a view for applications, whose messages
are signed and verified, against the plugin's plain topic.

Run by `tests/run.sh bench`, which builds the plugin and sets P2PANDA_PLUGIN.
"""

import argparse
import pathlib
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / "harness")]

from broker import _RUNNING, Broker  # noqa: E402
from firehose import Firehose  # noqa: E402
from identity import overlay, random_topic  # noqa: E402
from usage import cpu_seconds, resident  # noqa: E402

PATIENCE = 60.0


class Sink:
    """A subscriber (QoS 0) that counts bytes: all packets of a flow have one size."""

    def __init__(self, port: int, topic: str):
        self._hose = Firehose(port)
        self._hose.subscribe(topic)
        self._head = 2 + len(topic)  # of what comes after the fixed header
        self._changed = threading.Condition()
        self._bytes = 0
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        while True:
            more = self._hose.drain()
            with self._changed:
                self._bytes += more
                self._changed.notify_all()
            if more == 0:
                return

    def size(self, payload: int) -> int:
        """Of the packet that brings so many bytes of content."""
        body = self._head + payload
        return 1 + (1 if body < 128 else 2 if body < 16384 else 3) + body

    def total(self) -> int:
        with self._changed:
            return self._bytes

    def wait(self, total: int):
        with self._changed:
            enough = self._changed.wait_for(lambda: self._bytes >= total, PATIENCE)
            assert enough, f"{total - self._bytes} bytes are missing after {PATIENCE} s"


class Pair:
    """Two running brokers of which the first one carries a topic to the second one."""

    def __init__(self, name: str, a: Broker, b: Broker, topic: str):
        self.name = name
        self.brokers = (a, b)
        self._topic = topic
        self._hose = Firehose(a.mqtt_port)
        self._sink = Sink(b.mqtt_port, topic)
        self._numbers = 0

    def _payloads(self, count: int, size: int) -> list[bytes]:
        """Each one different: the same bytes would not be carried twice."""
        first = self._numbers
        self._numbers += count
        return [b"%012d" % number + b"." * (size - 12) for number in range(first, first + count)]

    def ready(self):
        """Waits until what is published arrives."""
        for _ in range(600):
            before = self._sink.total()
            self._hose.send(self._topic, self._payloads(1, 64))
            time.sleep(0.1)
            if self._sink.total() > before:
                time.sleep(1)  # and what was sent before
                return
        raise AssertionError(f"{self.name}: nothing arrives")

    def flow(self, count: int, size: int, window: int, chunk: int) -> float:
        """Seconds for so many messages; never more than a window under way."""
        packet = self._sink.size(size)
        base = self._sink.total()
        payloads = self._payloads(count, size)
        begun = time.monotonic()
        for at in range(0, count, chunk):
            self._sink.wait(base + max(at + chunk - window, 0) * packet)
            self._hose.send(self._topic, payloads[at : at + chunk])
        self._all(base + count * packet)
        return time.monotonic() - begun

    def _all(self, total: int):
        """Waits until so many bytes have come, and sees to it that these are all."""
        self._sink.wait(total)
        assert self._sink.total() == total, "more than was sent"

    def paced(self, count: int, size: int, rate: int) -> float:
        """Processor time of both brokers per message, at so many messages per second."""
        packet = self._sink.size(size)
        base = self._sink.total()
        payloads = self._payloads(count, size)
        burst = max(rate // 200, 1)
        before = self.cpu()
        begun = time.monotonic()
        for at in range(0, count, burst):
            wait = begun + at / rate - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            self._hose.send(self._topic, payloads[at : at + burst])
        self._all(base + count * packet)
        return (self.cpu() - before) / count

    def latencies(self, count: int, size: int) -> list[float]:
        """Seconds from publisher to subscriber, one message at a time."""
        found = []
        packet = self._sink.size(size)
        for payload in self._payloads(count, size):
            base = self._sink.total()
            begun = time.monotonic()
            self._hose.send(self._topic, [payload])
            self._sink.wait(base + packet)
            found.append(time.monotonic() - begun)
            time.sleep(0.002)
        return found

    def cpu(self) -> float:
        return sum(cpu_seconds(broker.process.pid) for broker in self.brokers)

    def idle(self, seconds: float) -> float:
        """Processor time of both per second."""
        before = self.cpu()
        time.sleep(seconds)
        return (self.cpu() - before) / seconds

    def memory(self) -> int:
        return sum(resident(broker.process.pid) for broker in self.brokers)


LINES = ["max_queued_messages 0", "set_tcp_nodelay true"]


def plugin_pair(folder: pathlib.Path) -> Pair:
    a, b = Broker(folder / "plugin-a", lines=LINES), Broker(folder / "plugin-b", lines=LINES)
    a.add_peer(b)
    b.start(), a.start()
    return Pair("plugin", a, b, overlay(random_topic()))


def view_pair(folder: pathlib.Path, codec: str) -> Pair:
    """The plugin, where publisher and subscriber use a view: as fast as others, not as an
    application could follow."""
    a, b = (
        Broker(folder / f"{codec}-{which}", lines=LINES, options=[("signed_rate", "0")])
        for which in "ab"
    )
    a.add_peer(b)
    b.start(), a.start()
    return Pair(f"view {codec}", a, b, f"{overlay(random_topic())}/ephemeral/{codec}")


def _without_plugin(broker: Broker, lines: list[str]) -> Broker:
    config = broker.config()
    broker.spawn("\n".join([config[: config.index("plugin ")], *lines, ""]))
    broker.wait_log(_RUNNING)
    return broker


def bridge_pair(folder: pathlib.Path, tls: bool) -> Pair:
    name = "tls" if tls else "tcp"
    a, b = (Broker(folder / f"{name}-{which}", identity=False, lines=LINES) for which in "ab")
    topic = overlay(random_topic())
    there = Broker(folder / f"{name}-port", identity=False).mqtt_port  # a second port of b's
    key, certificate = b.folder / "key.pem", b.folder / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-keyout", key, "-out",
         certificate, "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    _without_plugin(
        b, [f"listener {there} 127.0.0.1", *([f"certfile {certificate}", f"keyfile {key}"] * tls)]
    )
    _without_plugin(
        a,
        ["connection bridge", f"address 127.0.0.1:{there}", f"topic {topic} out 0",
         "bridge_protocol_version mqttv50", "notifications false",
         *([f"bridge_cafile {certificate}"] * tls)],
    )  # fmt: skip
    return Pair("bridge over TLS" if tls else "bridge over TCP", a, b, topic)


def compare(
    rounds: int, pairs: list[Pair], measure: Callable[[Pair], float]
) -> list[tuple[float, float, float]]:
    """For each pair but the first one: the median of the rounds' ratios, the lowest, the
    highest."""
    found: list[list[float]] = [[] for _ in pairs]
    for _ in range(rounds):
        for pair, values in zip(pairs, found, strict=True):
            values.append(measure(pair))
    ratios = [
        [mine / other for mine, other in zip(found[0], values, strict=True)] for values in found[1:]
    ]
    return [(statistics.median(one), min(one), max(one)) for one in ratios]


def quantile(values: list[float], part: float) -> float:
    return sorted(values)[int(len(values) * part)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--views", action="store_true", help="only the table of the views")
    options = parser.parse_args()
    if not options.views:
        run(options.rounds, bridges, measure_all)
        print()
    run(options.rounds, views, measure_views)


def bridges(path: pathlib.Path) -> list[Pair]:
    return [plugin_pair(path), bridge_pair(path, True), bridge_pair(path, False)]


def views(path: pathlib.Path) -> list[Pair]:
    return [view_pair(path, "text"), plugin_pair(path)]


def run(
    rounds: int,
    make: Callable[[pathlib.Path], list[Pair]],
    measure: Callable[[int, list[Pair]], None],
):
    with tempfile.TemporaryDirectory(prefix="p2panda-bench-") as folder:
        pairs = make(pathlib.Path(folder))
        try:
            for pair in pairs:
                pair.ready()
            measure(rounds, pairs)
        finally:
            for pair in pairs:
                for broker in pair.brokers:
                    broker.kill()


class Table:
    """Of ratios, printed row by row: the first pair / each other one."""

    def __init__(self, rounds: int, pairs: list[Pair]):
        self._rounds, self._pairs = rounds, pairs
        print(f"| {pairs[0].name} / | " + " | ".join(pair.name for pair in pairs[1:]) + " |")
        print("|---" * len(pairs) + "|")

    def row(self, name: str, measure: Callable[[Pair], float], rounds: int | None = None):
        cells = [
            f"{middle:.2f} ({low:.2f} to {high:.2f})"
            for middle, low, high in compare(rounds or self._rounds, self._pairs, measure)
        ]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def measure_all(rounds: int, pairs: list[Pair]):
    row = Table(rounds, pairs).row
    # Before there was anything to remember: that is forgotten bit by bit for 90 s.
    row("processor time when idle", lambda pair: pair.idle(10), 3)
    row("memory at first", lambda pair: pair.memory(), 1)
    for size in (64, 1024, 4000):
        row(
            f"processor time per message of {size} bytes, 2000/s",
            lambda pair, size=size: pair.paced(4000, size, 2000),
        )
    for size in (64, 4000):
        row(
            f"time for 20,000 messages of {size} bytes, 100 under way",
            lambda pair, size=size: pair.flow(20000, size, 100, 20),
        )
    row("latency, median", lambda pair: quantile(pair.latencies(300, 64), 0.5))
    row("latency, 99 of 100", lambda pair: quantile(pair.latencies(300, 64), 0.99))
    row("memory after all that", lambda pair: pair.memory(), 1)


def measure_views(rounds: int, pairs: list[Pair]):
    row = Table(rounds, pairs).row
    for size in (64, 3900):
        row(
            f"processor time per message of {size} bytes, 2000/s",
            lambda pair, size=size: pair.paced(4000, size, 2000),
        )
    row("latency, median", lambda pair: quantile(pair.latencies(300, 64), 0.5))
    row("latency, 99 of 100", lambda pair: quantile(pair.latencies(300, 64), 0.99))


if __name__ == "__main__":
    main()
