# SPDX-License-Identifier: MIT OR Apache-2.0
"""raw_peer.c as an object: a peer that sends frames no real one would."""

import subprocess
import threading
import time

import settings
from settings import PATIENCE


class RawPeer:
    """One process, connected to a broker."""

    def __init__(self, broker):
        program = settings.plugin().parent / "raw_peer"
        self._process = subprocess.Popen(
            [program, broker.id, broker.address()],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._changed = threading.Condition()
        self._lines: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()
        self.wait("connected")
        self.id = self._lines[0].removeprefix("id ")

    def _read(self):
        for line in self._process.stdout:
            with self._changed:
                self._lines.append(line.rstrip("\n"))
                self._changed.notify_all()

    def wait(self, start: str, count: int = 1) -> str:
        """Waits for so many lines that begin so; returns the last of them."""
        limit = time.monotonic() + PATIENCE
        with self._changed:
            while True:
                found = [line for line in self._lines if line.startswith(start)]
                if len(found) >= count:
                    return found[count - 1]
                left = limit - time.monotonic()
                assert left > 0, f"no line {start!r}; {[one[:80] for one in self._lines[-10:]]}"
                self._changed.wait(left)

    def send(self, *words: str):
        self._process.stdin.write(" ".join(words) + "\n")
        self._process.stdin.flush()

    def join(self, topic: str):
        """Becomes a neighbour of the broker."""
        self.send("join", topic)
        self.wait(f"frame {topic}")

    def gossip(self, content: bytes, round: int = 0):
        """A message on the overlay that was joined last."""
        self.send("gossip", str(round), content.hex())

    def frame(self, body: bytes):
        """Any frame there, without its length."""
        self.send("frame", body.hex())

    def shuffles(self, per_second: int):
        """From now on Shuffles there, each of 64 nodes that nobody knows; 0: no more."""
        told = sum(line == "shuffles" for line in self.lines())
        self.send("shuffles", str(per_second))
        self.wait("shuffles", told + 1)

    def forge(self, per_second: int, version: int = 1) -> int:
        """From now on signed messages there whose signature is false; 0: no more. Returns how many
        there have been."""
        told = sum(line.startswith("forged") for line in self.lines())
        self.send("forge", str(version), str(per_second))
        return int(self.wait("forged", told + 1).split()[1])

    def connect(self):
        """Another connection, from now on beside the last one."""
        self.send("connect")
        self.wait("connected", 2)

    def lines(self) -> list[str]:
        """All that it has said."""
        with self._changed:
            return list(self._lines)

    def has_ended(self) -> bool:
        with self._changed:
            return any(line.startswith("ended") for line in self._lines)

    def close(self):
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
