# SPDX-License-Identifier: MIT OR Apache-2.0
"""The fixture of all suites that have Rust peers."""

import pytest

from rust_peer import RustPeer


@pytest.fixture
def rust():
    """Starts Rust peers that end with the test."""
    made = []

    def start(generation, **options):
        made.append(RustPeer(generation, **options))
        return made[-1]

    yield start
    for peer in made:
        peer.kill()
