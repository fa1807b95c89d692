# SPDX-License-Identifier: MIT OR Apache-2.0
"""The real relay server of iroh (tests/interop/build.sh builds it), as an object for the tests.

    with IrohRelay(program, tmp_path / "relay") as relay:
        Broker(..., options=[("relay", relay.url)])
        relay.kill()     # as if its machine had gone
        relay.start()    # at the same address

Real p2panda peers believe only in the authorities of the web, so a relay of theirs speaks plain
HTTP. With a certificate it speaks TLS, which is for us.
"""

import collections
import contextlib
import http.client
import os
import pathlib
import re
import signal
import socket
import subprocess
import threading
import time

from authority import Certificate
from netns import Host
from ports import free_port
from settings import PATIENCE

PORT, METRICS_PORT = 3340, 9090  # on a host of its own


class IrohRelay:
    """One relay, which is not started by its making.

    program      iroh-relay 1.4.1
    folder       its own, made here
    host         where it runs, see netns.py (default: here, on loopback)
    certificate  of this host; without one: plain HTTP
    name         of the host in the URL (default: its address)
    tokens       it lets in only who says one of these
    port         default: a free one
    rate         bytes per second that it reads from each client (default: as they come)
    """

    def __init__(
        self,
        program: pathlib.Path,
        folder: pathlib.Path,
        host: Host | None = None,
        certificate: Certificate | None = None,
        name: str | None = None,
        tokens: tuple[str, ...] = (),
        port: int | None = None,
        rate: int | None = None,
    ):
        assert program.exists(), f"{program} is missing: run tests/interop/build.sh"
        folder.mkdir(parents=True)
        self.host = host
        self.address = "127.0.0.1" if host is None else host.addresses[0]
        self.port = port or (free_port() if host is None else PORT)
        self._metrics_port = free_port() if host is None else METRICS_PORT
        scheme = "https" if certificate else "http"
        self.url = f"{scheme}://{name or self.address}:{self.port}/"
        self._program = program
        self._config = folder / "relay.toml"
        self._config.write_text(self._toml(certificate, tokens, rate))
        self._tls = certificate is not None
        self.process: subprocess.Popen | None = None
        self._reader: threading.Thread | None = None
        self._said: collections.deque[str] = collections.deque(maxlen=40)

    def _toml(self, certificate: Certificate | None, tokens: tuple[str, ...], rate: int | None):
        # With TLS, another port is for captive portals.
        http_port = free_port() if certificate and self.host is None else self.port
        if certificate and self.host is not None:
            http_port += 1
        lines = [
            f'http_bind_addr = "{self.address}:{http_port}"',
            f'metrics_bind_addr = "{self.address}:{self._metrics_port}"',
        ]
        if tokens:
            lines += [f"access.shared_token = {list(tokens)!r}"]
        if rate:
            lines += ["[limits.client.rx]", f"bytes_per_second = {rate}"]
        if certificate:
            lines += [
                "[tls]",
                f'https_bind_addr = "{self.address}:{self.port}"',
                'cert_mode = "Manual"',
                f'manual_cert_path = "{certificate.path}"',
                f'manual_key_path = "{certificate.key}"',
            ]
        return "\n".join([*lines, ""])

    # -- the process ---------------------------------------------------------

    def start(self) -> "IrohRelay":
        """Starts it (again) and waits until it answers."""
        assert self.process is None
        command = [str(self._program), "--config-path", str(self._config)]
        if not self._tls:
            command.append("--dev")
        if self.host is not None:
            command = self.host.command(*command)
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            env={"RUST_LOG": "iroh_relay=info"} | os.environ, text=True, errors="replace",
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, args=(self.process,), daemon=True)
        self._reader.start()
        limit = time.monotonic() + PATIENCE
        while not self._answers():
            assert self.process.poll() is None and time.monotonic() < limit, self.tail()
            time.sleep(0.01)
        return self

    def _read(self, process: subprocess.Popen):
        for line in process.stderr:
            self._said.append(re.sub(r"\x1b\[\d*m", "", line.rstrip()))

    def _connect(self, port: int) -> socket.socket:
        sock = socket.socket() if self.host is None else self.host.tcp()
        try:
            sock.settimeout(PATIENCE)
            sock.connect((self.address, port))
        except OSError:
            sock.close()
            raise
        return sock

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), self._connect(self.port):
            return True
        return False

    def tail(self) -> str:
        return "the relay said last:\n  " + "\n  ".join(self._said)

    def kill(self):
        """kill -9: its connections end, and nobody answers."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self._reader.join()
            self.process.stderr.close()
            self.process = None

    def freeze(self):
        """Stops it where it is: its connections stand, and nothing goes through them."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    # -- what it has seen ------------------------------------------------------

    def figures(self) -> dict[str, int]:
        """Its own counters, by their names without "relayserver_"."""
        connection = http.client.HTTPConnection(self.address)
        connection.sock = self._connect(self._metrics_port)
        with contextlib.closing(connection):
            connection.request("GET", "/metrics")
            text = connection.getresponse().read().decode()
        found = re.findall(r"^relayserver_(\w+?)(?:_total)? (\d+)$", text, re.M)
        return {name: int(value) for name, value in found}

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.kill()

    def __repr__(self):
        return f"<IrohRelay {self.url}>"
