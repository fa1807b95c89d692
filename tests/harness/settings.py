# SPDX-License-Identifier: MIT OR Apache-2.0
"""What the runner says by its environment, and how patient the tests are."""

import os
import pathlib
import time
from collections.abc import Callable

SANITIZER = os.environ.get("P2PANDA_SANITIZER", "none")
PRELOAD = os.environ.get("P2PANDA_PRELOAD", "")

# A sanitized plugin is slower: every bound in time is multiplied by this.
SLOWNESS = 1.0 if SANITIZER in ("", "none") else 3.0

# For what is only expected to happen at some time.
PATIENCE = 20.0 * SLOWNESS


# And much slower: where a test is about mere numbers, it takes so much smaller ones there.
FEWER = 1 if SANITIZER in ("", "none") else 10


def scaled(count: int) -> int:
    """A number of messages, cycles or the like, as it applies to this build."""
    return count // FEWER


def within(seconds: float) -> float:
    """A bound that the tests promise, as it applies to this build."""
    return seconds * SLOWNESS


def wait_until(is_so: Callable[[], bool], seconds: float = PATIENCE):
    """Asks until it is so, for what nothing tells of when it comes about."""
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "it does not come about"
        time.sleep(0.05)


def plugin() -> pathlib.Path:
    """The plugin under test."""
    path = os.environ.get("P2PANDA_PLUGIN")
    if not path:
        raise RuntimeError("P2PANDA_PLUGIN must name the plugin under test (see tests/run.sh)")
    if not pathlib.Path(path).is_file():
        raise RuntimeError(f"P2PANDA_PLUGIN names {path}, which is no file")
    return pathlib.Path(path).resolve()
