# SPDX-License-Identifier: MIT OR Apache-2.0
"""A relay server in Python that a test makes misbehave: it speaks iroh's relay protocol as far as
its test wants, and wrongly where it wants.

    def never_answers(connection):
        connection.request()
        connection.wait_end()

    with BadRelay(never_answers) as relay:
        Broker(..., options=[("relay", relay.url)])

Each connection is handed to that function in a thread of its own, and closed when it returns.
Hub() is such a function as well: an honest relay, which a test can tell to lie.
"""

import base64
import collections
import contextlib
import dataclasses
import hashlib
import secrets
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable

from netns import Host
from settings import PATIENCE

# Types of frames: iroh-relay's protos/common.rs.
CHALLENGE, AUTH, CONFIRMS, DENIES = range(4)
SEND, SEND_BATCH, RECEIVED, RECEIVED_BATCH = 4, 5, 6, 7
GONE, PING, PONG, HEALTH, RESTARTING, STATUS = 8, 9, 10, 11, 12, 13

# Opcodes of WebSocket: RFC 6455, 5.2.
CONTINUATION, TEXT, BINARY, CLOSE, WS_PING, WS_PONG = 0, 1, 2, 8, 9, 10
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Ended(Exception):
    """The other side has closed the connection."""


@dataclasses.dataclass
class Request:
    line: str
    headers: dict[str, str]  # by their names in lower case


def websocket_head(
    opcode: int, size: int, fin: bool = True, reserved: int = 0, mask: bytes = b"", form: int = 0
) -> bytes:
    """What stands before a payload; form: bytes of the length (default: the fewest)."""
    form = form or (1 if size < 126 else 2 if size < 65536 else 8)
    masked = 0x80 if mask else 0
    first = bytes([fin << 7 | reserved << 4 | opcode])
    if form == 1:
        return first + bytes([masked | size]) + mask
    length = struct.pack(">H" if form == 2 else ">Q", size)
    return first + bytes([masked | (126 if form == 2 else 127)]) + length + mask


class Connection:
    """One client's connection. What waits raises Ended when the client closes it, and
    TimeoutError when nothing comes."""

    def __init__(self, sock: socket.socket):
        self.sock = sock
        self.id = b""  # the client's, after handshake()
        self.asked: Request | None = None
        self._rest = bytearray()
        self._sending = threading.Lock()
        sock.settimeout(PATIENCE)

    # -- bytes -----------------------------------------------------------------

    def _read(self):
        try:
            data = self.sock.recv(262144)
        except (ConnectionError, ssl.SSLError) as error:
            raise Ended(str(error)) from error
        if not data:
            raise Ended
        self._rest += data

    def _take(self, size: int) -> bytes:
        while len(self._rest) < size:
            self._read()
        taken = bytes(self._rest[:size])
        del self._rest[:size]
        return taken

    def send_raw(self, data: bytes):
        try:
            with self._sending:
                self.sock.sendall(data)
        except (ConnectionError, ssl.SSLError, BrokenPipeError) as error:
            raise Ended(str(error)) from error

    def wait_end(self, timeout: float = 3600) -> float:
        """Reads and throws away until the client closes; returns after how many seconds."""
        begun = time.monotonic()
        self.sock.settimeout(timeout)
        with contextlib.suppress(Ended, OSError):
            while True:
                self._rest.clear()
                self._read()
        return time.monotonic() - begun

    # -- HTTP ------------------------------------------------------------------

    def request(self) -> Request:
        while b"\r\n\r\n" not in self._rest:
            self._read()
        head, _, self._rest = self._rest.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        pairs = (line.split(":", 1) for line in lines[1:])
        headers = {name.strip().lower(): value.strip() for name, value in pairs}
        self.asked = Request(lines[0], headers)
        return self.asked

    def answer(self, *lines: str, body: bytes = b""):
        self.send_raw("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    def proof(self) -> str:
        """What Sec-WebSocket-Accept has to be."""
        key = self.asked.headers["sec-websocket-key"].encode()
        return base64.b64encode(hashlib.sha1(key + _GUID).digest()).decode()

    def upgrade(self, protocol: str | None = "iroh-relay-v2", accept: str | None = None):
        """Reads the request and answers it, wrongly where it is told so."""
        if self.asked is None:
            self.request()
        lines = [
            "HTTP/1.1 101 Switching Protocols",
            "upgrade: websocket",
            "connection: upgrade",
            f"sec-websocket-accept: {self.proof() if accept is None else accept}",
        ]
        if protocol is not None:
            lines.append(f"sec-websocket-protocol: {protocol}")
        self.answer(*lines)

    # -- WebSocket -------------------------------------------------------------

    def send(self, frame: bytes):
        """One frame of the relay protocol, as it should be sent."""
        self.send_raw(websocket_head(BINARY, len(frame)) + frame)

    def receive(self, timeout: float | None = None) -> bytes:
        """The client's next frame of the relay protocol."""
        self.sock.settimeout(PATIENCE if timeout is None else timeout)
        while True:
            opcode, payload = self.receive_message()
            if opcode == BINARY:
                return payload
            if opcode == WS_PING:
                self.send_raw(websocket_head(WS_PONG, len(payload)) + payload)
            elif opcode == CLOSE:
                raise Ended("it said goodbye")

    def receive_message(self) -> tuple[int, bytes]:
        first, second = self._take(2)
        assert first & 0xF0 == 0x80, f"a client's message in parts, or more: {first:#x}"
        assert second & 0x80, "a client's message without a mask"
        size = second & 0x7F
        if size == 126:
            size = int.from_bytes(self._take(2))
        elif size == 127:
            size = int.from_bytes(self._take(8))
        assert size <= 1 << 20, f"a client's message of {size} bytes"
        mask, payload = self._take(4), self._take(size)
        stream = (mask * (size // 4 + 1))[:size]
        plain = int.from_bytes(payload) ^ int.from_bytes(stream)
        return first & 0x0F, plain.to_bytes(size)

    # -- the relay protocol ----------------------------------------------------

    def handshake(self) -> bytes:
        """All of it, as it should be; returns the client's id. Its signature is believed."""
        self.upgrade()
        self.send(bytes([CHALLENGE]) + secrets.token_bytes(16))
        auth = self.receive()
        assert auth[0] == AUTH and len(auth) == 98 and auth[33] == 64, auth.hex()
        self.id = auth[1:33]
        self.send(bytes([CONFIRMS]))
        return self.id

    def answers(self, timeout: float | None = None) -> bool:
        """Whether the client answers a ping; False: it has closed the connection instead. Its own
        ones are answered meanwhile."""
        mark = secrets.token_bytes(8)
        try:
            self.send(bytes([PING]) + mark)
            while (frame := self.receive(timeout)) != bytes([PONG]) + mark:
                if frame[:1] == bytes([PING]):
                    self.send(bytes([PONG]) + frame[1:])
        except Ended:
            return False
        return True


def serves(connection: Connection):
    """What is left of a relay at which nobody else is; begins after the handshake."""
    while True:
        frame = connection.receive(3600)
        if frame[:1] == bytes([PING]):
            connection.send(bytes([PONG]) + frame[1:])


class Hub:
    """An honest relay for all who come, until its test tells it to lie:

    lies   called with the source's and the destination's id and a frame of the client; returns
           the frames that the destination gets (default: the one that it should)
    """

    def __init__(self):
        self.clients: dict[bytes, Connection] = {}
        self.lies: Callable[[bytes, bytes, bytes], list[bytes]] | None = None
        self._changed = threading.Condition()
        # Frames of each type that came, and were handed on.
        self.came: collections.Counter[int] = collections.Counter()

    def __call__(self, connection: Connection):
        if not connection.request().line.startswith("GET /relay "):
            # What iroh's clients measure relays by.
            connection.answer("HTTP/1.1 200 OK", "content-length: 0", "connection: close")
            return
        source = connection.handshake()
        with self._changed:
            self.clients[source] = connection
            self._changed.notify_all()
        try:
            while True:
                self._serve(source, connection.receive(3600), connection)
        finally:
            with self._changed:
                if self.clients.get(source) is connection:
                    del self.clients[source]
                self._changed.notify_all()

    def _serve(self, source: bytes, frame: bytes, connection: Connection):
        kind = frame[0]
        self.came[kind] += 1
        if kind == PING:
            connection.send(bytes([PONG]) + frame[1:])
        elif kind in (SEND, SEND_BATCH):
            destination = frame[1:33]
            if self.lies:
                frames = self.lies(source, destination, frame)
            else:
                frames = [bytes([kind + 2]) + source + frame[33:]]
            other = self.clients.get(destination)
            for one in frames if other else ():
                with contextlib.suppress(Ended, OSError):
                    other.send(one)

    def wait(self, *ids: str, timeout: float | None = None) -> list[Connection]:
        """Waits until these nodes are here; returns their connections."""
        wanted = [bytes.fromhex(id) for id in ids]
        limit = PATIENCE if timeout is None else timeout
        with self._changed:
            here = self._changed.wait_for(lambda: set(wanted) <= set(self.clients), limit)
            assert here, f"not at the relay: {set(wanted) - set(self.clients)}"
            return [self.clients[id] for id in wanted]


class BadRelay:
    """One server.

    behave   called with each Connection
    context  for TLS (authority.py); without one: plain HTTP
    name     of the host in the URL (default: its address)
    host     where it runs, see netns.py (default: here, on loopback)
    """

    def __init__(
        self,
        behave: Callable[[Connection], object],
        context: ssl.SSLContext | None = None,
        name: str | None = None,
        host: Host | None = None,
    ):
        self._behave, self._context = behave, context
        if host is None:
            self._listener = socket.create_server(("127.0.0.1", 0))
        else:
            self._listener = host.tcp()
            self._listener.listen()
        address, self.port = self._listener.getsockname()
        self.url = f"{'https' if context else 'http'}://{name or address}:{self.port}/"
        # Guarded by _changed.
        self._changed = threading.Condition()
        self.times: list[float] = []  # when each connection came
        self.connections: list[Connection] = []  # those whose TLS stands, if there is one
        self.refusals: list[str] = []  # why TLS did not come about, or ended
        self._errors: list[BaseException] = []
        self._ending = False
        self._socks: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._run, daemon=True)]
        self._threads[0].start()

    def _run(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
            with self._changed:
                self.times.append(time.monotonic())
                self._socks.append(sock)
                self._threads.append(thread)
                self._changed.notify_all()
            thread.start()

    def _serve(self, sock: socket.socket):
        try:
            if self._context:
                sock.settimeout(PATIENCE)
                try:
                    sock = self._context.wrap_socket(sock, server_side=True)
                except (OSError, ssl.SSLError) as error:
                    with self._changed:
                        self.refusals.append(str(error))
                        self._changed.notify_all()
                    return
            connection = Connection(sock)
            with self._changed:
                self._socks.append(sock)
                self.connections.append(connection)
                self._changed.notify_all()
            with contextlib.suppress(Ended):
                self._behave(connection)
        except OSError:
            pass  # closed under its hands
        except BaseException as error:  # raised by close()
            if not self._ending:
                self._errors.append(error)
        finally:
            sock.close()

    def wait(self, check: Callable[[], object], timeout: float | None = None, what: str = "it"):
        """Waits until check() of what it, or the test's function, has seen is true."""
        limit = time.monotonic() + (PATIENCE if timeout is None else timeout)
        while not (found := check()):
            left = limit - time.monotonic()
            assert left > 0, (
                f"no {what} at the relay: {len(self.times)} connections, {self.refusals}"
            )
            with self._changed:  # the function tells nobody what it has seen
                self._changed.wait(min(left, 0.05))
        return found

    def wait_times(self, count: int, timeout: float | None = None):
        """Waits until so many connections have come."""
        self.wait(lambda: len(self.times) >= count, timeout, f"{count} connections")

    def close(self):
        self._ending = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join()
        for sock in self._socks:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads[1:]:
            thread.join(PATIENCE)
        for sock in self._socks:
            sock.close()
        if self._errors:
            raise self._errors[0]

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.close()
        else:
            with contextlib.suppress(BaseException):
                self.close()
