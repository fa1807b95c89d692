# SPDX-License-Identifier: MIT OR Apache-2.0
import pathlib
import sys

import pytest

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "harness"), str(TESTS / "interop")]

from fixtures import (  # noqa: E402, F401
    brokers,
    net,
    pytest_collection_modifyitems,
    pytest_configure,
    pytest_runtest_makereport,
)
from rust_peer import RustPeer  # noqa: E402


@pytest.fixture
def rust():
    """Starts Rust peers that end with the test."""
    peers = []

    def start(generation, **options):
        peers.append(RustPeer(generation, **options))
        return peers[-1]

    yield start
    for peer in peers:
        peer.kill()
