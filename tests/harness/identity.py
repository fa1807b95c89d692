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
