# SPDX-License-Identifier: MIT OR Apache-2.0
"""Traffic that goes on by itself, to see when messages flow (again)."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any


class Pulse:
    """Publishes `<prefix> 0`, `<prefix> 1`, ... until it is stopped.

    publish   takes a payload; must not wait for anybody
    interval  seconds between two messages
    """

    def __init__(self, publish: Callable[[bytes], Any], prefix: str, interval: float = 0.02):
        self._publish = publish
        self._prefix = prefix
        self._interval = interval
        self._stop = threading.Event()
        self._error: Exception | None = None
        self.sent: list[bytes] = []
        self.times: list[float] = []  # when each was published (time.monotonic)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        try:
            while not self._stop.wait(self._interval):
                payload = f"{self._prefix} {len(self.sent)}".encode()
                self.times.append(time.monotonic())
                self._publish(payload)
                self.sent.append(payload)
        except Exception as error:  # shown by stop()
            self._error = error

    def stop(self):
        self._stop.set()
        self._thread.join()
        if self._error:
            raise self._error

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.stop()
        else:
            self._stop.set()


def paced(publish: Callable[[bytes], Any], payloads: Sequence[bytes], interval: float = 0.001):
    """Publishes all of it, one per interval."""
    start = time.monotonic()
    for number, payload in enumerate(payloads):
        wait = start + number * interval - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        publish(payload)
