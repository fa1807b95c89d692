# SPDX-License-Identifier: MIT OR Apache-2.0
"""raw_crowd.c as an object: one host with many keys, and many streams for topics of nobody's."""

import subprocess
import threading

import settings
from settings import within


class Crowd:
    """Goes to a broker, and comes back whenever it is sent away."""

    def __init__(self, broker, keys: int, streams: int):
        program = settings.plugin().parent / "raw_crowd"
        self._process = subprocess.Popen(
            [program, broker.id, broker.address(), str(keys), str(streams)],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._up = threading.Event()
        self._said = ""
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self._process.stdout:
            self._said = line.strip()
            if self._said != "up":
                break
            self._up.set()

    def wait_up(self):
        """Until each key has been let in once."""
        assert self._up.wait(within(60)), f"the crowd is not in: {self._said!r}"

    def close(self):
        self._process.kill()
        self._process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
