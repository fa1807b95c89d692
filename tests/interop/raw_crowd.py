# SPDX-License-Identifier: MIT OR Apache-2.0
"""raw_crowd.c as an object: one host with many keys, and many streams for topics of nobody's."""

import settings
from process import Process
from settings import within


class Crowd:
    """Goes to a broker, and comes back whenever it is sent away."""

    def __init__(self, broker, keys: int, streams: int):
        self._said: list[str] = []
        self._process = Process(
            [
                settings.plugin().parent / "raw_crowd",
                *(broker.id, broker.address(), str(keys), str(streams)),
            ],
            self._said.append,
        )

    def wait_up(self):
        """Until each key has been let in once."""
        up = self._process.wait(lambda: "up" in self._said, within(60))
        assert up, f"the crowd is not in: {self._said}"

    def close(self):
        self._process.kill()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
