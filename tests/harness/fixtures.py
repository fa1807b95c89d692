# SPDX-License-Identifier: MIT OR Apache-2.0
"""Fixtures of all suites that run brokers. What a test starts ends with it."""

import fcntl
import os
import pathlib
import tempfile

import pytest

import settings
from broker import Broker
from netns import Net
from sites import Site

MARKERS = {
    "unsanitized": "has no meaning with a sanitizer, which changes what is measured",
    "no_tsan": "the stock broker crashes there, with or without the plugin",
    "asan_only": "decided on the broker's thread alone: TSan would see nothing more than ASan",
    "slow": "waits for many seconds: begun first, so that nothing waits for it at the end",
    "once": "the slowest: beside all others (suites.sh), and not repeated with a sanitizer",
    "root": "needs to be root",
}


def pytest_configure(config):
    for name, meaning in MARKERS.items():
        config.addinivalue_line("markers", f"{name}: {meaning}")


def pytest_collection_modifyitems(config, items):
    """What has no meaning here is left out by its marker: a skipped test has failed."""
    absent = set()
    if settings.SANITIZER not in ("", "none"):
        absent |= {"unsanitized", "once"}
    if settings.SANITIZER == "tsan":
        absent |= {"no_tsan", "asan_only"}
    if os.geteuid() != 0:
        absent.add("root")
    left_out = [item for item in items if any(item.get_closest_marker(name) for name in absent)]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)
    _slow_first(items)


def _slow_first(items):
    """pytest-xdist gives each worker two tests to begin with: a slow one and another one."""
    slow = [item for item in items if item.get_closest_marker("slow")]
    others = [item for item in items if item not in slow]
    beside = iter(others[: len(slow)])
    first = [one for pair in zip(slow, beside, strict=False) for one in pair]
    items[:] = first + slow[len(first) // 2 :] + others[len(slow) :]


class Brokers:
    """Makes brokers, and ends them: well (which is checked), or at least surely."""

    def __init__(self, folder: pathlib.Path):
        self._folder = folder
        self.made: list[Broker] = []

    def __call__(self, name: str | None = None, **arguments) -> Broker:
        name = name or "abcdefghij"[len(self.made)]
        broker = Broker(self._folder / name, **arguments)
        self.made.append(broker)
        return broker

    def pair(self, both: bool = True, **arguments) -> tuple[Broker, Broker]:
        """Two running brokers; the first one names the second one, or both do."""
        a, b = self(**arguments), self(**arguments)
        a.add_peer(b)
        if both:
            b.add_peer(a)
        return a.start(), b.start()

    def end(self):
        try:
            for broker in self.made:
                broker.stop()
        finally:
            for broker in self.made:
                broker.kill()

    def logs(self) -> list[tuple[str, str]]:
        return [(f"log of broker {one.name}", "\n".join(one.whole_log())) for one in self.made]


@pytest.fixture
def brokers(tmp_path, request):
    """Makes brokers that end with the test."""
    made = Brokers(tmp_path)
    request.node.brokers = made
    yield made
    made.end()


@pytest.fixture(scope="module")
def running_pair(tmp_path_factory):
    made = Brokers(tmp_path_factory.mktemp("pair"))
    made.pair()
    yield made
    made.end()


@pytest.fixture
def pair(running_pair, request):
    """Two brokers that know each other, shared by the tests of one file."""
    request.node.brokers = running_pair
    return running_pair.made


@pytest.fixture
def net():
    """Machines of their own, that end with the test: see netns.py."""
    with Net() as made:
        yield made


@pytest.fixture
def sites(brokers, net):
    """Makes sites, named by a letter each, on one network: see sites.py."""

    def make(names: str) -> list[Site]:
        return [Site(brokers(identity=False, host=host)) for host in net.hosts(names)]

    return make


@pytest.fixture
def default_port():
    """UDP 2022 for this test alone, whichever of pytest-xdist's workers it runs in."""
    path = pathlib.Path(tempfile.gettempdir()) / "mosquitto-p2panda-tests-2022.lock"
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield 2022


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    """The brokers' logs belong to a failure."""
    report = yield
    made = getattr(item, "brokers", None)
    if report.failed and made:
        report.sections += made.logs()
    return report
