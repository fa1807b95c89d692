# SPDX-License-Identifier: MIT OR Apache-2.0
import pathlib
import sys

import pytest

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "harness"), str(TESTS / "interop")]

from fixtures import brokers, pytest_runtest_makereport  # noqa: E402, F401
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
