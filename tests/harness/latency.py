# SPDX-License-Identifier: MIT OR Apache-2.0
"""How long honest messages take beside a load, and without it, in one run: windows of both take
turns, so that what else the machine does is in both, and medians of the windows are compared.

    # switch(BESIDE) begins the load, switch(ALONE) ends it
    both = compare(near, far, topic, switch)
    print(both)
    both.check()
"""

import dataclasses
import statistics
import time
from collections.abc import Callable, Sequence

from usage import cpu_seconds, node_seconds

ALONE, BESIDE = "alone", "beside"

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
    # How many times longer than alone on the machine its node thread has taken: it has waited for
    # a processor, too.
    stretch: float
    count: int


@dataclasses.dataclass
class Comparison:
    """By the load's name."""

    windows: dict[str, list[Window]]

    def of(self, name: str, figure: str) -> float:
        return statistics.median(getattr(window, figure) for window in self.windows[name])

    def cpu(self, name: str = BESIDE) -> float:
        """What a load costs the broker, in processors. (Some of it may come late.)"""
        return self.of(name, "cpu") - min(window.cpu for window in self.windows[ALONE])

    def check(
        self,
        most: float = MOST,
        floor: float = FLOOR,
        name: str = BESIDE,
        than: str = ALONE,
    ):
        """Beside one load p50 and p99 are at most so many times those beside another one."""
        for figure in ("p50", "p99"):
            bound = max(most * self.of(than, figure), floor)
            assert self.of(name, figure) <= bound, f"{figure}, {name}:\n{self}"

    def __str__(self):
        return "\n".join(
            f"{name}: p50 {self._all(name, 'p50')}, p99 {self._all(name, 'p99')}, "
            f"{self.of(name, 'cpu') * 100:.0f} % of a processor and "
            f"{self.of(name, 'stretch'):.1f} times as long as without others, "
            f"{sum(window.count for window in windows)} messages"
            for name, windows in self.windows.items()
        )

    def _all(self, name: str, figure: str) -> str:
        windows = sorted(getattr(window, figure) * 1e3 for window in self.windows[name])
        return (
            f"{self.of(name, figure) * 1e3:.2f} ms ({', '.join(f'{one:.1f}' for one in windows)})"
        )


def _window(broker, here, there, topic: str, name: str) -> Window:
    found: list[float] = []
    there.forget()
    begun, used = time.monotonic(), cpu_seconds(broker.process.pid)
    run, waited = node_seconds(broker.process.pid)
    while time.monotonic() < begun + SECONDS:
        payload = f"{name} {len(found)}".encode()
        since = time.monotonic()
        here.post(topic, payload)
        found.append(there.wait_message(topic, payload).time - since)
        time.sleep(PAUSE)
    took, used = time.monotonic() - begun, cpu_seconds(broker.process.pid) - used
    now_run, now_waited = node_seconds(broker.process.pid)
    found.sort()
    return Window(
        p50=found[len(found) // 2],
        p99=found[len(found) * 99 // 100],
        cpu=used / took,
        stretch=1 + (now_waited - waited) / (now_run - run),
        count=len(found),
    )


def compare(
    near,
    far,
    topic: str,
    switch: Callable[[str], None],
    loads: Sequence[str] = (ALONE, BESIDE),
    arriving: bool = False,
) -> Comparison:
    """near: the broker under load; far: its neighbour. Both are in the overlay already.
    switch begins the load of this name, and ends the one before it; ALONE is none.
    arriving: the messages go from far to near, else the other way."""
    here, there = near.client(topic), far.client(topic)
    if arriving:
        here, there = there, here
    both = Comparison({name: [] for name in loads})
    for number in range(WINDOWS):
        for name in loads:
            switch(name)
            both.windows[name].append(_window(near, here, there, topic, f"{name} {number}"))
    switch(ALONE)
    return both
