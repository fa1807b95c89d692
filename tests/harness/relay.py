# SPDX-License-Identifier: MIT OR Apache-2.0
"""A UDP relay in front of a node: shows that somebody has talked to it at all."""

import select
import socket
import threading
import time

from settings import PATIENCE


class Relay:
    """Hands datagrams of one client to target ("127.0.0.1:PORT") and back."""

    def __init__(self, target: str):
        host, port = target.rsplit(":", 1)
        self._front = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._front.bind(("127.0.0.1", 0))
        self._back = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._back.connect((host, int(port)))
        self.address = "127.0.0.1:{}".format(self._front.getsockname()[1])
        # Guarded by _changed.
        self._changed = threading.Condition()
        self._there = self._back_again = 0
        self._ending = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        client = None
        while not self._ending:
            ready, _, _ = select.select([self._front, self._back], [], [], 0.1)
            for sock in ready:
                try:
                    if sock is self._front:
                        data, client = sock.recvfrom(65536)
                        self._back.send(data)
                    else:
                        self._front.sendto(sock.recv(65536), client)
                except ConnectionRefusedError:
                    continue  # the target is not there (yet)
                with self._changed:
                    self._there += sock is self._front
                    self._back_again += sock is self._back
                    self._changed.notify_all()

    def wait_answered(self, timeout: float | None = None):
        """Waits until the target has answered and the client has answered to that."""
        limit = time.monotonic() + (PATIENCE if timeout is None else timeout)
        with self._changed:
            while self._there < 2 or self._back_again < 1:
                left = limit - time.monotonic()
                assert left > 0, f"{self._there} datagrams there, {self._back_again} back"
                self._changed.wait(left)

    def close(self):
        self._ending = True
        self._thread.join()
        self._front.close()
        self._back.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
