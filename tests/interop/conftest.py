# SPDX-License-Identifier: MIT OR Apache-2.0
import os
import pathlib
import sys

import pytest

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "harness"), str(TESTS / "interop")]

import fixtures  # noqa: E402
from fixtures import (  # noqa: E402, F401
    brokers,
    net,
    pytest_configure,
    pytest_runtest_makereport,
)
from app import Application, Example  # noqa: E402
from authority import Authority  # noqa: E402
from bad_relay import BadRelay  # noqa: E402
from child import binary  # noqa: E402
from compile import shared_library  # noqa: E402
from iroh_relay import IrohRelay  # noqa: E402
from peers import rust  # noqa: E402, F401
from rust_peer import GENERATIONS  # noqa: E402


def pytest_collection_modifyitems(config, items):
    fixtures.pytest_collection_modifyitems(config, items)
    if "P2PANDA_GENERATIONS" in os.environ:
        # With other peers than usual only what is repeated with every one of them.
        left_out = [item for item in items if not set(GENERATIONS) & _parameters(item)]
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


def _parameters(item) -> set:
    values = item.callspec.params.values() if hasattr(item, "callspec") else ()
    return {value for value in values if isinstance(value, str)}


@pytest.fixture
def application():
    """Starts applications on the crate p2panda that end with the test."""
    apps = []

    def start(generation, **options):
        apps.append(Application(generation, **options))
        return apps[-1]

    yield start
    for app in apps:
        app.kill()


@pytest.fixture
def example():
    """Starts the example, which ends with the test, on a topic."""
    examples = []

    def start(topic):
        examples.append(Example(topic))
        return examples[-1]

    yield start
    for one in examples:
        one.kill()


@pytest.fixture
def iroh_relay(tmp_path, request):
    """Starts real relays that end with the test: see iroh_relay.py."""
    made = []

    def start(folder="relay", **options):
        made.append(IrohRelay(binary("iroh-relay"), tmp_path / folder, **options))
        return made[-1].start()

    yield start
    for relay in made:
        relay.kill()


@pytest.fixture
def bad_relay():
    """Makes relays that misbehave, which end with the test: see bad_relay.py."""
    made = []

    def start(behave, **options):
        made.append(BadRelay(behave, **options))
        return made[-1]

    yield start
    for relay in made:
        relay.close()


@pytest.fixture
def authority(tmp_path):
    """A certificate authority of the test's own."""
    return Authority(tmp_path / "authority")


@pytest.fixture
def names(tmp_path):
    """What brokers() takes so that its broker finds these names: names({"relay.example": address}),
    a name with a dot at its end is another one."""

    def make(hosts):
        preload = shared_library(TESTS / "broker" / "network_preload.c", tmp_path)
        found = ",".join(f"{name}={address}" for name, address in hosts.items())
        return {"preload": [preload], "environment": {"TEST_HOSTS": found}}

    return make


@pytest.fixture
def apart(net, iroh_relay, request):
    """Hosts without any way to each other, and a relay that all of them reach (secure: by TLS):
    relay, a, b = apart("ab")"""

    def make(names, secure=False, **options):
        hosts = net.hosts(names)
        for host in hosts:
            host.cable.isolate()
        at = net.host("relay")
        if secure:
            authority = request.getfixturevalue("authority")
            options["certificate"] = authority.issue(at.addresses[0])
        return iroh_relay(host=at, **options), *hosts

    return make
