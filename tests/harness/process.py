# SPDX-License-Identifier: MIT OR Apache-2.0
"""A process whose lines are read as they come, by a thread of their own: brokers, peers,
applications, raw nodes."""

import contextlib
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any


class Process:
    """One process.

    take     is called with each line, the lock held, from the reading thread: it may not wait
    changed  the lock, whose waiters hear of each line and of the end (default: one of its own)
    options  of subprocess.Popen
    """

    def __init__(
        self,
        command: Sequence[Any],
        take: Callable[[str], None],
        changed: threading.Condition | None = None,
        **options: Any,
    ):
        self.changed = changed or threading.Condition()
        self.ended = False  # all of its lines were taken; guarded by changed
        self._take = take
        self._sending = threading.Lock()
        self.popen = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, errors="replace", **options
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.popen.stdout:
            with self.changed:
                self._take(line.rstrip("\n"))
                self.changed.notify_all()
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def wait(self, check: Callable[[], Any], timeout: float) -> Any:
        """Waits until check(), called with the lock held, returns something true, and returns it.
        None: it has ended before, or that took too long."""
        limit = time.monotonic() + timeout
        with self.changed:
            while not (found := check()):
                left = limit - time.monotonic()
                if self.ended or left <= 0:
                    return None
                self.changed.wait(left)
            return found

    def send(self, *words: object):
        """Writes a line. BrokenPipeError: it has ended."""
        with self._sending:
            self.popen.stdin.write(" ".join(map(str, words)) + "\n")
            self.popen.stdin.flush()

    def reap(self, timeout: float | None = None) -> int:
        """Waits for its end, and for its last line; returns its exit status.
        subprocess.TimeoutExpired: it runs on."""
        status = self.popen.wait(timeout)
        self._reader.join()
        if self.popen.stdin is not None:
            with contextlib.suppress(OSError):
                self.popen.stdin.close()
        self.popen.stdout.close()
        return status

    def kill(self) -> int:
        """Ends it at once."""
        with contextlib.suppress(ProcessLookupError):
            self.popen.kill()
        return self.reap()
