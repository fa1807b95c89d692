# SPDX-License-Identifier: MIT OR Apache-2.0
"""A certificate authority of a test's own, made as a user would make one: with openssl.

    authority = Authority(tmp_path / "ca")
    certificate = authority.issue("localhost", "127.0.0.1")
    Broker(..., options=[("relay_ca", str(authority.path))])
"""

import dataclasses
import ipaddress
import pathlib
import ssl
import subprocess

_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]


@dataclasses.dataclass(frozen=True)
class Certificate:
    path: pathlib.Path
    key: pathlib.Path

    def context(self) -> ssl.SSLContext:
        """What a server in Python takes."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.path, self.key)
        return context


def _openssl(*words: str | pathlib.Path):
    done = subprocess.run(
        ["openssl", *map(str, words)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def _name(host: str) -> str:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return f"DNS:{host}"
    return f"IP:{host}"


class Authority:
    """path: its own certificate, which relay_ca takes."""

    def __init__(self, folder: pathlib.Path):
        folder.mkdir(parents=True)
        self._folder = folder
        self._count = 0
        self.path, self._key = folder / "authority.pem", folder / "authority.key"
        _openssl(
            "req", "-x509", *_KEY, "-keyout", self._key, "-out", self.path, "-days", "10",
            "-subj", "/CN=an authority of the tests", "-addext", "keyUsage=critical,keyCertSign",
        )  # fmt: skip

    def issue(
        self, *hosts: str, ended: bool = False, name: str = "a relay of the tests"
    ) -> Certificate:
        """A server's certificate for these hosts (names and addresses), or one that was valid
        until yesterday; without hosts a client's of that name."""
        alternatives = ["-addext", f"subjectAltName={','.join(map(_name, hosts))}"]
        self._count += 1
        made = Certificate(
            self._folder / f"{self._count}.pem", self._folder / f"{self._count}.key"
        )
        times = (
            ["-not_before", "20200101000000Z", "-not_after", "20200201000000Z"]
            if ended
            else ["-days", "10"]
        )
        _openssl(
            "req", "-x509", *_KEY, "-CA", self.path, "-CAkey", self._key, "-keyout", made.key,
            "-out", made.path, *times, "-subj", f"/CN={name}",
            *(alternatives if hosts else []), "-addext", "basicConstraints=critical,CA:FALSE",
            "-addext", f"extendedKeyUsage={'serverAuth' if hosts else 'clientAuth'}",
        )  # fmt: skip
        return made
