# SPDX-License-Identifier: MIT OR Apache-2.0
"""Node identities, made as a user would make them: with openssl."""

import os
import pathlib
import secrets
import subprocess


def make_identity(path: pathlib.Path) -> str:
    """Writes a new key (PKCS#8 PEM, 0600) and returns its node id."""
    pem = subprocess.run(
        ["openssl", "genpkey", "-algorithm", "ed25519"], check=True, capture_output=True
    ).stdout
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
    return node_id(pem)


def node_id(pem: bytes) -> str:
    """The node id of a private key: the raw public key, which ends its DER form."""
    der = subprocess.run(
        ["openssl", "pkey", "-pubout", "-outform", "DER"],
        input=pem,
        check=True,
        capture_output=True,
    ).stdout
    return der[-32:].hex()


def random_topic() -> str:
    """The 64 digits of a topic nobody else has."""
    return secrets.token_hex(32)


def overlay(topic: str) -> str:
    """The MQTT topic of an overlay."""
    return f"p2panda/{topic}"


_P = 2**255 - 19
_D = -121665 * pow(121666, -1, _P) % _P


def invented_node() -> bytes:
    """An id that could be a node's: a point of Ed25519 (RFC 8032, 5.1.3), nobody's."""
    while True:
        id = secrets.token_bytes(32)
        y = int.from_bytes(id, "little") & (2**255 - 1)
        x2 = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
        if y < _P and x2 and pow(x2, (_P - 1) // 2, _P) == 1:
            return id
