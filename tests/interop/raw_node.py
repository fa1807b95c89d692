# SPDX-License-Identifier: MIT OR Apache-2.0
"""raw_node.c as an object: a node that hears all it is sent, byte for byte, and answers
discovery sessions (in the dialect of 0.7.1) as the test says.

    raw = RawNode()
    broker.add_bootstrap(raw.id, raw.address)
    raw.serve()                          # as Bob: shares nothing, knows nobody
    raw.serve(nodes="good 1000 127.0.0.1:9")
    raw.session(broker, topics=[topic])  # as Alice
    raw.heard()                          # every byte of every stream
"""

import contextlib
import dataclasses
import secrets
import subprocess
import threading
from collections.abc import Callable, Iterable
from typing import Any

import settings
from ports import free_port
from process import Process
from settings import PATIENCE, within

BOB_SALT_HALF, NODES = 1, 3


@dataclasses.dataclass
class Stream:
    number: int
    connection: int
    kind: str  # "uni" or "bidi"
    data: bytearray = dataclasses.field(default_factory=bytearray)
    taken: int = 0  # bytes of frames that were looked at


@dataclasses.dataclass
class Connection:
    number: int
    protocol: str  # "gossip" or "discovery"
    way: str  # "in" or "out"
    node: str
    close: str | None = None  # why it ended: "<code> <text>"


@dataclasses.dataclass
class Session:
    """What the other side has said as Bob."""

    hashes: list[bytes]
    nodes: bytes
    close: str


def frame(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


def frames_in(data: bytes | bytearray, at: int = 0) -> tuple[list[bytes], int]:
    """The bodies of the frames that are whole, and where the next one begins."""
    found = []
    while len(data) >= at + 4:
        end = at + 4 + int.from_bytes(data[at : at + 4], "big")
        if len(data) < end:
            break
        found.append(bytes(data[at + 4 : end]))
        at = end
    return found, at


def hashes_in(body: bytes, at: int) -> list[bytes]:
    """The set that begins there: a count, then 32 bytes and their length before each."""
    count = shift = 0
    while True:
        byte = body[at]
        count |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            break
    return [body[at + 33 * number + 1 : at + 33 * (number + 1)] for number in range(count)]


def set_of(hashes: Iterable[bytes]) -> bytes:
    hashes = list(hashes)
    count, length = len(hashes), b""
    while count >= 0x80:
        length, count = length + bytes([count & 0x7F | 0x80]), count >> 7
    return length + bytes([count]) + b"".join(b"\x20" + one for one in hashes)


class RawNode:
    """One process.

    host       where it runs, see netns.py (default: here, on loopback)
    protocols  "gossip" (then it is no node of discovery) or "both"
    """

    def __init__(
        self,
        host=None,
        address: str | None = None,
        secret: str | None = None,
        protocols: str = "both",
    ):
        self.address = address or (host.address() if host else f"127.0.0.1:{free_port()}")
        program = settings.plugin().parent / "raw_node"
        command = [program, self.address, secret or secrets.token_hex(32), protocols]
        # All below is guarded by _changed.
        self.connections: dict[int, Connection] = {}
        self.streams: dict[int, Stream] = {}
        self._changed = threading.Condition()
        self._lines: list[str] = []
        self._asking = threading.Lock()
        self._dialling = threading.Lock()
        self._serving: dict[str, Any] | None = None
        self.served = 0  # sessions that were answered as Bob, to their end
        self._told: list[int] = []  # connections on which Nodes was sent as Bob
        self._process = Process(
            command if host is None else host.command(*command),
            self._take, self._changed, stdin=subprocess.PIPE,
        )  # fmt: skip
        self.id = self.wait(lambda: self._line("id "), what="id").removeprefix("id ")

    # -- reading -------------------------------------------------------------

    def _take(self, line: str):
        word, _, rest = line.partition(" ")
        words = rest.split(" ")
        if word == "data":
            stream = self.streams[int(words[0])]
            stream.data += bytes.fromhex(words[1])
            self._serve(stream)
            return
        self._lines.append(line)
        if word == "connected":
            self.connections[int(words[0])] = Connection(int(words[0]), *words[1:])
        elif word == "stream":
            self.streams[int(words[0])] = Stream(int(words[0]), int(words[1]), words[2])
        elif word == "opened" and words[0] != "0":
            self.streams[int(words[0])] = Stream(int(words[0]), int(words[1]), "ours")
        elif word == "closed":
            number, _, why = rest.partition(" ")
            if int(number) in self.connections:
                self.connections[int(number)].close = why

    def _line(self, start: str, after: int = 0) -> str | None:
        return next((one for one in self._lines[after:] if one.startswith(start)), None)

    def wait(self, check: Callable[[], Any], timeout: float | None = None, what: str = "that"):
        """Waits until check() is true of what was heard; returns what it returned."""
        found = self._process.wait(check, PATIENCE if timeout is None else timeout)
        assert found, f"raw node: no {what}; {[one[:100] for one in self._lines[-15:]]}"
        return found

    def heard(self) -> bytes:
        """All that was ever sent to this node, stream by stream."""
        with self._changed:
            return b"|".join(bytes(stream.data) for stream in self.streams.values())

    def seen(self, protocol: str) -> list[Connection]:
        with self._changed:
            return [one for one in self.connections.values() if one.protocol == protocol]

    def _frames(self, stream: Stream) -> list[bytes]:
        """The frames that are whole now and were not taken yet."""
        found, stream.taken = frames_in(stream.data, stream.taken)
        return found

    # -- doing ---------------------------------------------------------------

    def send(self, *words: object):
        with contextlib.suppress(BrokenPipeError):
            self._process.send(*words)

    def _ask(self, start: str, *words: object, timeout: float | None = None) -> str:
        """Sends a command; returns the first line after it that begins so, without that."""
        with self._asking:
            with self._changed:
                after = len(self._lines)
            self.send(*words)
            what = f"{start!r} after {words[0]}"
            return self.wait(lambda: self._line(start, after), timeout, what).removeprefix(start)

    def dial(self, broker, protocol: str, timeout: float | None = None) -> Connection:
        """Connects."""
        with self._dialling:
            with self._changed:
                known = set(self.connections)
            self.send("dial", protocol, broker.id, broker.address())
            return self.wait(
                lambda: next(
                    (
                        one
                        for number, one in self.connections.items()
                        if number not in known and one.way == "out" and one.node == broker.id
                    ),
                    None,
                ),
                timeout,
                f"connection to {broker.name}",
            )

    def hash(self, data: bytes) -> bytes:
        return bytes.fromhex(self._ask("hash ", "hash", data.hex()))

    def psi(self, topic: str, alice: bytes, bob: bytes, side: int) -> bytes:
        """The hash of a topic in a session, as side 0 (Alice) or 1 (Bob) sends it."""
        return self.hash(bytes.fromhex(topic) + alice + bob + bytes([side]))

    def session(
        self,
        broker,
        topics: Iterable[str] = (),
        nodes: str | int | None = None,
        salt: bytes | None = None,
        timeout: float | None = None,
    ) -> Session:
        """A session as Alice.

        topics  that are shared
        nodes   what Nodes tells: the arguments of raw_node.c's command "make", or what
                make() has returned
        salt    Alice's half
        """
        salt = salt or secrets.token_bytes(32)
        message = nodes if isinstance(nodes, int) else self.make(nodes)
        connection = self.dial(broker, "discovery", timeout)
        stream = self._open(connection)
        self.send("send", stream.number, frame(b"\0" + salt).hex())
        answer = self._wait_frame(connection, stream, timeout)
        assert answer[0] == BOB_SALT_HALF, answer[:8].hex()
        ours = [self.psi(topic, salt, answer[1:33], 0) for topic in topics]
        self.send("send", stream.number, frame(b"\x02" + set_of(ours)).hex())
        told = self._wait_frame(connection, stream, timeout)
        assert told[0] == NODES, told[:8].hex()
        self._tell(stream.number, message)
        self.send("finish", stream.number)
        self.wait(lambda: connection.close is not None, timeout, "end of the session")
        return Session(hashes_in(answer, 33), told, connection.close)

    def _open(self, connection: Connection, kind: str = "bidi") -> Stream:
        number = int(self._ask("opened ", "open", connection.number, kind).split()[0])
        assert number, f"the connection ended: {connection.close}"
        return self.streams[number]

    def _wait_frame(self, connection: Connection, stream: Stream, timeout: float | None) -> bytes:
        waiting: list[bytes] = []

        def check():
            waiting.extend(self._frames(stream))
            return waiting or connection.close is not None

        self.wait(check, timeout, "frame")
        assert waiting, f"the connection ended: {connection.close}"
        assert len(waiting) == 1, "more than one message"
        return waiting[0]

    def make(self, nodes: str | None) -> int:
        """The number of a Nodes message that is ready to be sent; 0: of the empty one."""
        if nodes is None:
            return 0
        return int(self._ask("made ", "make", nodes, timeout=within(60)).split()[0])

    def _tell(self, stream: int, message: int):
        if message == 0:
            self.send("send", stream, frame(b"\x03\x00").hex())
        else:
            self.send("nodes", stream, message)

    def serve(self, topics: Iterable[str] = (), nodes: str | None = None):
        """From now on every session that others begin is answered as Bob would."""
        serving = {"topics": list(topics), "message": self.make(nodes)}
        with self._changed:
            self._serving = serving

    def _serve(self, stream: Stream):
        """Called with the lock held, by the thread that reads: may not wait for an answer."""
        serving = self._serving
        connection = self.connections[stream.connection]
        if serving is None or stream.kind != "bidi" or connection.protocol != "discovery":
            return
        if stream.data[:1] == b"\xa1":  # what 0.6 speaks: not understood
            self.send("close", stream.connection, 1)
            return
        for body in self._frames(stream):
            if body[0] == 0:
                threading.Thread(target=self._answer, args=(stream, body, serving)).start()
            elif body[0] == 2:
                self._told.append(stream.connection)
                self._tell(stream.number, serving["message"])
            elif body[0] == NODES:
                self.served += 1
                self.send("close", stream.connection, 0)

    def _answer(self, stream: Stream, body: bytes, serving: dict[str, Any]):
        salt = secrets.token_bytes(32)
        hashes = [self.psi(topic, body[1:33], salt, 1) for topic in serving["topics"]]
        self.send("send", stream.number, frame(b"\x01" + salt + set_of(hashes)).hex())

    def over(self) -> int:
        """Sessions that are over in which Nodes was sent as Bob, well or not."""
        with self._changed:
            return sum(self.connections[number].close is not None for number in self._told)

    def wait_served(self, count: int, timeout: float | None = None):
        self.wait(lambda: self.served >= count, timeout, f"{count} sessions")

    def runs(self) -> bool:
        """Whether its process has not given up."""
        return self._process.popen.poll() is None

    def close(self):
        self._process.kill()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
