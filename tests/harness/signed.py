# SPDX-License-Identifier: MIT OR Apache-2.0
"""Signed messages of applications, made by hand: in CBOR as bridge/messages/signed.h has it,
signed with openssl."""

import itertools
import pathlib
import subprocess
import time

from identity import make_identity

_counters = itertools.count()


def text(value: str) -> bytes:
    """A body: a text of at most 255 bytes."""
    data = value.encode()
    return (bytes([0x60 + len(data)]) if len(data) < 24 else bytes([0x78, len(data)])) + data


class Author:
    """A key that signs."""

    def __init__(self, folder: pathlib.Path):
        self._key, self._file = folder / "author.pem", folder / "signed"
        folder.mkdir()
        self.id = make_identity(self._key)

    def message(
        self, body: bytes, version: int = 1, time_us: int | None = None, counter: int | None = None
    ) -> bytes:
        """With this body, signed; each another one unless time and counter are given."""
        time_us = int(time.time() * 1e6) if time_us is None else time_us
        counter = next(_counters) % 24 if counter is None else counter
        head = bytes([version]) + b"\x58\x20" + bytes.fromhex(self.id)
        end = b"\x1b" + time_us.to_bytes(8) + bytes([counter]) + body
        self._file.write_bytes(b"\x85" + head + end)
        signature = subprocess.run(
            ["openssl", "pkeyutl", "-sign", "-rawin", "-inkey", self._key, "-in", self._file],
            check=True, capture_output=True,
        ).stdout  # fmt: skip
        return b"\x86" + head + b"\x58\x40" + signature + end
