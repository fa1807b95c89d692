# SPDX-License-Identifier: MIT OR Apache-2.0
import pathlib
import sys

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / name) for name in ("harness", "interop", "packaging")]

import pytest  # noqa: E402
from fixtures import (  # noqa: E402, F401
    net,
    pytest_collection_modifyitems,
    pytest_configure,
    pytest_runtest_makereport,
)
from peers import rust  # noqa: E402, F401
from roots import BROKERS, Root, StockBrokers  # noqa: E402


@pytest.fixture
def brokers(tmp_path, request):
    """Makes brokers that end with the test: this machine's, and stock ones."""
    made = StockBrokers(tmp_path)
    request.node.brokers = made
    yield made
    made.end()


@pytest.fixture(params=BROKERS, ids=str)
def stock(request):
    """Each stock broker, with the self-contained plugin that is for it."""
    return request.param


@pytest.fixture
def clean_root(tmp_path, net):
    """Copies roots, which end with the test: clean_root("forky")."""
    made = []

    def copy(suite):
        name = f"root{len(made)}"
        made.append(Root.copied(suite, tmp_path / name, net.host(name)))
        return made[-1]

    yield copy
    for root in made:
        root.remove()
