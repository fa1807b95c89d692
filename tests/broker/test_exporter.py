# SPDX-License-Identifier: MIT OR Apache-2.0
"""Debian's Prometheus exporter for MQTT topics reads the status, with the sample in conf/."""

import pathlib
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request

import pytest

from identity import overlay, random_topic
from ports import free_port
from settings import PATIENCE

SAMPLE = pathlib.Path(__file__).resolve().parents[2] / "conf" / "prometheus-mqtt-exporter.yaml"


class Exporter:
    """One that reads a broker's status, as a Prometheus server would ask it."""

    def __init__(self, broker, folder: pathlib.Path):
        program = shutil.which("prometheus-mqtt-exporter")
        assert program, "tests/packages.txt has it"
        text = SAMPLE.read_text()
        assert text.count("tcp://localhost:1883") == 1
        path = folder / "exporter.yaml"
        path.write_text(text.replace("localhost:1883", f"127.0.0.1:{broker.mqtt_port}"))
        self.port = free_port()
        self._log = (folder / "exporter.log").open("w+")
        self._process = subprocess.Popen(
            [program, "-config", path, "-listen-address", "127.0.0.1"]
            + ["-listen-port", str(self.port)],
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    def metrics(self) -> dict[tuple[str, str], float]:
        """By name and sensor."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics") as page:
                text = page.read().decode()
        except (urllib.error.URLError, ConnectionError):
            return {}  # not yet
        line = re.compile(r'^(\w+)\{.*?sensor="(\w*)".*?\} (\S+)(?: \d+)?$', re.MULTILINE)
        return {(name, sensor): float(value) for name, sensor, value in line.findall(text)}

    def wait(self, expected: dict[tuple[str, str], float]):
        limit = time.monotonic() + PATIENCE
        while not expected.items() <= (found := self.metrics()).items():
            assert self._process.poll() is None, self.log()
            assert time.monotonic() < limit, f"{found}\n{self.log()}"
            time.sleep(0.05)  # it is asked: there is nothing to wait for

    def log(self) -> str:
        self._log.seek(0)
        return self._log.read()[-3000:]

    def close(self):
        self._process.terminate()
        self._process.wait()
        self._log.close()


@pytest.fixture
def exporter(tmp_path):
    made = []

    def make(broker) -> Exporter:
        made.append(Exporter(broker, tmp_path))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_prometheus_reads_the_status(brokers, exporter):
    a, b = brokers(options=[("sys_interval", "1")]), brokers()
    a.add_peer(b)
    a.start(), b.start()
    id = random_topic()
    near, far = a.client(overlay(id)), b.client(overlay(id))
    a.wait_joined(id)
    near.publish(overlay(id), b"one")
    far.wait_message(overlay(id), b"one")
    one = exporter(a)
    one.wait(
        {
            ("p2panda_up", ""): 1,
            ("p2panda_up", id[:10]): 1,
            ("p2panda_up", b.id[:10]): 1,
            ("p2panda_neighbours", ""): 1,
            ("p2panda_neighbours", id[:10]): 1,
            ("p2panda_overlay_in", id[:10]): 1,
            ("p2panda_messages_sent", ""): 1,
            ("p2panda_dropped_repeated", ""): 0,
        }
    )
    b.kill()
    one.wait({("p2panda_up", id[:10]): 0, ("p2panda_up", b.id[:10]): 0, ("p2panda_up", ""): 0})
