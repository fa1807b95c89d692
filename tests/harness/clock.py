# SPDX-License-Identifier: MIT OR Apache-2.0
"""A broker whose wall clock is off.

    clock = Clock(tmp_path, 3600)
    broker = brokers(**clock.options)
    clock.set(0)    # also while it runs
"""

import pathlib

from compile import shared_library

SHIM = pathlib.Path(__file__).with_name("clock_preload.c")


class Clock:
    """How many seconds it is off."""

    def __init__(self, folder: pathlib.Path, offset: int):
        self.path = folder / "clock"
        self.set(offset)
        self.options = {
            "preload": [shared_library(SHIM, folder)],
            "environment": {"TEST_CLOCK": str(self.path)},
        }

    def set(self, offset: int):
        # In place: it is mapped by the broker.
        with open(self.path, "r+b" if self.path.exists() else "wb") as file:
            file.write(offset.to_bytes(8, "little", signed=True))
