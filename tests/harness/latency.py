# SPDX-License-Identifier: MIT OR Apache-2.0
"""How long honest messages take beside a load, and without it, in one run: windows of both take
turns, so that what else the machine does is in both, and medians of the windows are compared.

    both = compare(near, far, topic, switch)     # switch(True) begins the load, switch(False) ends it
    print(both)
    both.check()
"""

import dataclasses
import statistics
import time
from collections.abc import Callable

from usage import cpu_seconds

WINDOWS = 5
SECONDS = 2.0
# Between two messages.
PAUSE = 0.004
# So many times longer may the slowest of a hundred take beside the load, or this long (s): on two
# processors that others use too, a thread may wait for a few slices of time.
MOST = 3.0
FLOOR = 0.012


@dataclasses.dataclass
class Window:
    p50: float
    p99: float
    cpu: float  # of the broker under load, in processors
    count: int


@dataclasses.dataclass
class Comparison:
    alone: list[Window]
    beside: list[Window]

    @staticmethod
    def _median(windows: list[Window], name: str) -> float:
        return statistics.median(getattr(window, name) for window in windows)

    def cpu(self) -> float:
        """What the load costs the broker, in processors. (Some of it may come late.)"""
        return self._median(self.beside, "cpu") - min(window.cpu for window in self.alone)

    def check(self, most: float = MOST, most_p99: float | None = None):
        for name, factor in (("p50", most), ("p99", most_p99 or most)):
            bound = max(factor * self._median(self.alone, name), FLOOR)
            assert self._median(self.beside, name) <= bound, f"{name}:\n{self}"

    def __str__(self):
        return "\n".join(
            f"{name}: p50 {self._median(windows, 'p50') * 1e3:.2f} ms, "
            f"p99 {self._median(windows, 'p99') * 1e3:.2f} ms "
            f"({', '.join(f'{window.p99 * 1e3:.1f}' for window in windows)}), "
            f"{self._median(windows, 'cpu') * 100:.0f} % of a processor, "
            f"{sum(window.count for window in windows)} messages"
            for name, windows in (("alone", self.alone), ("beside", self.beside))
        )


def _window(broker, here, there, topic: str, name: str) -> Window:
    found: list[float] = []
    begun, used = time.monotonic(), cpu_seconds(broker.process.pid)
    while time.monotonic() < begun + SECONDS:
        payload = f"{name} {len(found)}".encode()
        since = time.monotonic()
        here.post(topic, payload)
        there.wait_message(topic, payload)
        found.append(time.monotonic() - since)
        time.sleep(PAUSE)
    took, used = time.monotonic() - begun, cpu_seconds(broker.process.pid) - used
    found.sort()
    return Window(found[len(found) // 2], found[len(found) * 99 // 100], used / took, len(found))


def compare(
    near, far, topic: str, switch: Callable[[bool], None], arriving: bool = False
) -> Comparison:
    """near: the broker under load; far: its neighbour. Both are in the overlay already.
    arriving: the messages go from far to near, else the other way."""
    here, there = near.client(topic), far.client(topic)
    if arriving:
        here, there = there, here
    both = Comparison([], [])
    for number in range(WINDOWS):
        for loaded, windows in ((False, both.alone), (True, both.beside)):
            switch(loaded)
            name = f"{'beside' if loaded else 'alone'} {number}"
            windows.append(_window(near, here, there, topic, name))
    switch(False)
    return both
