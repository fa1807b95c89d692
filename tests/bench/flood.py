# SPDX-License-Identifier: MIT OR Apache-2.0
"""Publishes on a topic as fast as a broker reads it, with a subscriber at another one, until its standard
input ends: a process of its own, so that it does not take turns with whoever measures.

    flood.py <port of the publisher> <port of the subscriber> <topic> <bytes of each message>
"""

import os
import pathlib
import sys
import threading

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / "harness")]

from firehose import Firehose  # noqa: E402

AT_ONCE = 50  # messages handed to the socket in one call


def read(port: int, topic: str, came: threading.Event):
    hose = Firehose(port, f"flood-{os.getpid()}-there")
    hose.subscribe(topic)
    while hose.drain():
        came.set()


def main():
    here, there, topic, size = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    came, name = threading.Event(), os.urandom(6).hex()
    threading.Thread(target=read, args=(there, topic, came), daemon=True).start()
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    hose, number = Firehose(here, f"flood-{os.getpid()}-here"), 0
    while not came.wait(0.05):
        hose.send(topic, [f"{name} first {number}".encode()])
        number += 1
    print("ready", flush=True)
    while True:
        some = [f"{name} {n} ".encode().ljust(size, b".") for n in range(number, number + AT_ONCE)]
        hose.send(topic, some)
        number += AT_ONCE


if __name__ == "__main__":
    main()
