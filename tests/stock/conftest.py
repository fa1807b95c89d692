# SPDX-License-Identifier: MIT OR Apache-2.0
import pathlib
import sys

import pytest

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / name) for name in ("harness", "interop", "broker")]
pytest.register_assert_rewrite(
    "test_gateway",
    "test_holding",
    "test_messages",
    "test_order",
    "test_power_cut",
    "test_released",
    "test_sessions",
)

import fixtures  # noqa: E402
from fixtures import (  # noqa: E402, F401
    brokers,
    net,
    pair,
    pytest_configure,
    pytest_runtest_makereport,
)
from peers import rust  # noqa: E402, F401
from stock import NEW, OLD, find  # noqa: E402


# Of tests of other suites that are repeated here: what Mosquitto 2.0 does not have, that 2.0.11 does
# not expire what it has restored, and what is not told of whole sessions (docs/mosquitto-2.0.md).
ABSENT = (
    "sqlite",
    "test_expired_while_the_broker_was_down[2.0.11",
    "test_a_session_begun_anew_after_it_was_saved",
    "test_a_session_without_it_is_told_once",
)


def pytest_collection_modifyitems(config, items):
    fixtures.pytest_collection_modifyitems(config, items)
    left_out = [item for item in items if any(text in item.name for text in ABSENT)]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)


@pytest.fixture(scope="session", params=OLD)
def old(request):
    """Each Mosquitto 2.0."""
    return find(request.param)


@pytest.fixture(scope="session", params=[*OLD, NEW])
def stock(request):
    """Each Mosquitto."""
    return find(request.param)


@pytest.fixture
def as_old(old, monkeypatch):
    """Brokers are of that version where nothing else is said: for tests of other suites."""
    monkeypatch.setenv("P2PANDA_MOSQUITTO", old.program)


@pytest.fixture(scope="module")
def running_pair(old, tmp_path_factory):
    """Instead of harness's: of that version, too."""
    made = fixtures.Brokers(tmp_path_factory.mktemp("pair"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("P2PANDA_MOSQUITTO", old.program)
        made.pair()
    yield made
    assert all(broker.program == old.program for broker in made.made)
    made.end()
