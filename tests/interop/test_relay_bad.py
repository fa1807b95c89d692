# SPDX-License-Identifier: MIT OR Apache-2.0
"""Relays that lie, hang, flood or are none: what they do is bounded, counted and said, and a direct
neighbour sees nothing of it."""

import contextlib
import os
import secrets
import struct
import threading
import time

import pytest

from bad_relay import (
    BINARY,
    CHALLENGE,
    CLOSE,
    CONFIRMS,
    CONTINUATION,
    DENIES,
    GONE,
    HEALTH,
    PING,
    PONG,
    RECEIVED,
    RECEIVED_BATCH,
    RESTARTING,
    SEND,
    SEND_BATCH,
    STATUS,
    TEXT,
    WS_PING,
    WS_PONG,
    Ended,
    Hub,
    serves,
    websocket_head,
)
from identity import invented_node, overlay, random_topic
from relayed import LINES, BothWays, Memory, subscribers
from settings import within

# A second of silence is nothing where six tests share two processors; a blocked thread is more.
GAP = 2.0


@contextlib.contextmanager
def beside(brokers, relay, *more, found=None, **options):
    """A broker whose home is that relay, and a direct neighbour of it: the broker, and the
    neighbour. Their messages go on all the time. found: see names()."""
    broker = brokers(
        lines=LINES, options=[("relay", relay.url), *more, *options.items()], **(found or {})
    )
    mate = brokers(lines=LINES)
    mate.start()
    broker.add_peer(mate)
    broker.start()
    id = random_topic()
    clients = subscribers(id, broker, mate)
    with BothWays(overlay(id), *clients, 0.02) as traffic:
        traffic.wait_flows(within(5))
        yield broker, mate
        traffic.wait_flows(within(GAP))
        traffic.stop(within(GAP))
        assert traffic.longest_silence() < within(GAP)
    broker.wait_status(lambda now: now["neighbours"] == 1, within(3), "a neighbour")


def warnings(broker) -> list[str]:
    """What the log says of relays."""
    return [line for line in broker.our_log() if line.startswith("relay")]


# ---------------------------------------------------------------------------
# What never becomes a relay


def closes_at_once(connection):
    pass


def never_answers(connection):
    connection.wait_end()


def answers_with(*lines, body=b""):
    def behave(connection):
        connection.request()
        connection.answer(*lines, body=body)
        connection.wait_end(5)

    return behave


def drips(connection):
    connection.request()
    with contextlib.suppress(Ended):
        for byte in b"HTTP/1.1 101 Switching Protocols\r\nx: " + b"y" * 10000:
            connection.send_raw(bytes([byte]))
            time.sleep(0.1)


def endless_head(connection):
    connection.request()
    connection.send_raw(b"HTTP/1.1 101 Switching Protocols\r\n")
    with contextlib.suppress(Ended):
        while True:
            connection.send_raw(b"x-more: of it\r\n" * 1000)


def wrong_accept(connection):
    connection.upgrade(accept="s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    connection.wait_end(5)


def empty_accept(connection):
    connection.upgrade(accept="")
    connection.wait_end(5)


def wrong_protocol(connection):
    connection.upgrade(protocol="iroh-relay-v3")
    connection.wait_end(5)


def no_protocol(connection):
    connection.upgrade(protocol=None)
    connection.wait_end(5)


def no_upgrade(connection):
    connection.request()
    connection.answer(
        "HTTP/1.1 101 Switching Protocols",
        f"sec-websocket-accept: {connection.proof()}",
        "sec-websocket-protocol: iroh-relay-v2",
    )
    connection.wait_end(5)


def no_challenge(connection):
    connection.upgrade()
    connection.wait_end()


def after_auth(*frames, wait=5):
    """Says that after the client has proved who it is."""

    def behave(connection):
        connection.upgrade()
        connection.send(bytes([CHALLENGE]) + secrets.token_bytes(16))
        connection.receive()
        for frame in frames:
            connection.send(frame)
        connection.wait_end(wait)

    return behave


def before_auth(*frames):
    """Says that instead of a challenge."""

    def behave(connection):
        connection.upgrade()
        for frame in frames:
            connection.send(frame)
        connection.wait_end(5)

    return behave


def denial(reason: bytes) -> bytes:
    size, length = len(reason), b""
    while size >= 0x80:
        length, size = length + bytes([size & 0x7F | 0x80]), size >> 7
    return bytes([DENIES]) + length + bytes([size]) + reason


NO_RELAY, IN_VAIN, OTHER = "no relay", "no answer within 10 s", "does not speak the protocol"

# How it behaves, and what is said of it.
NEVER_ONES = {
    "closes-at-once": (closes_at_once, "the connection has ended"),
    "never-answers": (never_answers, IN_VAIN),
    "drips": (drips, IN_VAIN),
    "endless-head": (endless_head, NO_RELAY),
    "no-http": (answers_with("SSH-2.0-OpenSSH_10.0"), NO_RELAY),
    "200": (answers_with("HTTP/1.1 200 OK", "content-length: 0"), "HTTP 200"),
    "401": (answers_with("HTTP/1.1 401 Unauthorized", "content-length: 0"), "relay_token_file"),
    "404": (answers_with("HTTP/1.1 404 Not Found", "content-length: 0"), "404"),
    "500": (answers_with("HTTP/1.1 500 Internal Server Error", "content-length: 0"), "HTTP 500"),
    "wrong-accept": (wrong_accept, NO_RELAY),
    "empty-accept": (empty_accept, NO_RELAY),
    "wrong-protocol": (wrong_protocol, NO_RELAY),
    "no-protocol": (no_protocol, NO_RELAY),
    "no-upgrade": (no_upgrade, NO_RELAY),
    "no-challenge": (no_challenge, IN_VAIN),
    "short-challenge": (before_auth(bytes([CHALLENGE]) + bytes(15)), OTHER),
    "ping-first": (before_auth(bytes([PING]) + bytes(8)), OTHER),
    "empty-first": (before_auth(b""), OTHER),
    "confirmed-unasked": (before_auth(bytes([CONFIRMS])), OTHER),
    "no-confirmation": (after_auth(wait=60), IN_VAIN),
    "challenge-again": (after_auth(*[bytes([CHALLENGE]) + bytes(16)] * 5), OTHER),
    "denied": (after_auth(denial(b"not authorized")), r"denies us access \(not authorized\)"),
    "denied-at-length": (after_auth(denial(b"x" * 60000)), "denies us access"),
    "denied-with-a-line": (
        after_auth(denial(b"no\n1: p2panda: everything is well\r\x1b[2J\xff\x00")),
        "denies us access",
    ),
    "denied-in-short": (after_auth(bytes([DENIES]) + b"\x80"), OTHER),
}


@pytest.mark.parametrize("name", NEVER_ONES)
def test_never_a_relay(brokers, bad_relay, name):
    """It is tried again, not too often; said, now and then; and never said to be one."""
    behave, said = NEVER_ONES[name]
    relay = bad_relay(behave)
    with beside(brokers, relay) as (broker, _):
        memory = Memory(broker)
        broker.wait_log(f"relay {relay.url}: .*{said}", within(15))
        time.sleep(2)
        # At most one a second.
        assert 1 <= len(relay.times) <= time.monotonic() - relay.times[0] + 1
        assert broker.status()["relay/state"] in ("connecting", "denied")
        memory.check(16 << 20)
        broker.wait_number("relay/failed", 1, within(3))
        assert broker.number("relay/connects") == 0
        lines = warnings(broker)
        assert len(lines) <= 3, lines
        assert all(len(line) < 700 and line.isprintable() for line in lines), lines
        if name in ("401", "denied"):
            assert broker.status()["relay/state"] == "denied"
            broker.wait_number("relay/denied", 1, within(3))
    for line in broker.log():
        assert not line.startswith("1: p2panda: everything"), line


@pytest.mark.parametrize("status", ["301 Moved Permanently", "302 Found", "307 x", "308 x"])
def test_a_redirection_is_not_followed(brokers, bad_relay, status):
    elsewhere = bad_relay(never_answers)
    relay = bad_relay(
        answers_with(f"HTTP/1.1 {status}", f"location: {elsewhere.url}relay", "content-length: 0")
    )
    with beside(brokers, relay) as (broker, _):
        broker.wait_log(f"relay {relay.url}: .*not followed: {elsewhere.url}relay")
        time.sleep(2)
        assert elsewhere.times == []
        assert broker.status()["relay/state"] == "connecting"


# ---- TLS ----


@pytest.mark.parametrize("fault", ["unknown-authority", "another-host", "ended", "no-tls", "silent"])
def test_a_certificate_that_is_none(brokers, bad_relay, authority, tmp_path, fault):
    """Nothing is said to it but the beginning of TLS, and the log says what is wrong."""
    options = {"relay_ca": str(authority.path)}
    context = None
    said = {
        "unknown-authority": "certificate is refused.*relay_ca",
        "another-host": "certificate is refused.*host",
        "ended": "certificate is refused.*(expired|has ended)",
        "no-tls": "TLS fails",
        "silent": IN_VAIN,
    }[fault]
    if fault == "unknown-authority":
        context = authority.issue("localhost").context()
        del options["relay_ca"]
    elif fault == "another-host":
        context = authority.issue("relay.example", "127.0.0.2").context()
    elif fault == "ended":
        context = authority.issue("localhost", ended=True).context()
    heard = []

    def listens(connection):
        with contextlib.suppress(Ended):
            connection._read()
            heard.append(bytes(connection._rest))
            if fault == "no-tls":
                connection.send_raw(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        if fault == "silent":
            connection.wait_end(60)

    relay = bad_relay(listens, context=context, name="localhost")
    relay.url = relay.url.replace("http:", "https:")
    token = tmp_path / "token"
    token.write_text("a-secret-token\n")
    token.chmod(0o600)
    with beside(brokers, relay, relay_token_file=str(token), **options) as (broker, _):
        broker.wait_log(f"relay {relay.url}: .*{said}")
        broker.wait_number("relay/failed", 1, within(3))
        assert broker.status()["relay/state"] == "connecting"
    # In clear or within TLS: nothing of a request.
    if context:
        assert heard == [] and len(relay.refusals) >= 1
    else:
        assert heard and not any(b"GET" in one or b"a-secret-token" in one for one in heard)


def test_the_token_is_for_our_relays_alone(brokers, bad_relay, tmp_path):
    """Not for one that is only a peer's."""
    ours, theirs = Hub(), Hub()
    home, other = bad_relay(ours), bad_relay(theirs)
    token = tmp_path / "token"
    token.write_text("a-secret-token\n")
    token.chmod(0o600)
    stranger = invented_node().hex()
    with beside(
        brokers, home, ("peer", f"{stranger}@{other.url}"), relay_token_file=str(token)
    ) as (broker, _):
        home.wait(lambda: home.connections and home.connections[0].asked, what="request")
        other.wait(lambda: other.connections and other.connections[0].asked, what="request")
        ours.wait(broker.id)
    assert home.connections[0].asked.headers["authorization"] == "Bearer a-secret-token"
    assert "authorization" not in other.connections[0].asked.headers


@pytest.mark.parametrize("name", ["127.0.0.1", "relay.example", "relay.example."])
@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
def test_what_is_asked(brokers, bad_relay, authority, names, name, secure):
    """The request, as the protocol has it; TLS for the name without its last dot."""
    hub, context, asked_for = Hub(), None, []
    options = {}
    if secure:
        context = authority.issue("127.0.0.1", "relay.example").context()
        context.sni_callback = lambda sock, wanted, its: asked_for.append(wanted)
        options["relay_ca"] = str(authority.path)
    relay = bad_relay(hub, context=context, name=name)
    found = names({name: "127.0.0.1"})
    with beside(brokers, relay, found=found, **options) as (broker, _):
        hub.wait(broker.id)
        [connection] = relay.connections
        assert connection.asked.line == "GET /relay HTTP/1.1"
        headers = connection.asked.headers
        assert headers["host"] == f"{name.rstrip('.')}:{relay.port}"
        assert headers["upgrade"].lower() == "websocket"
        assert headers["connection"].lower() == "upgrade"
        assert headers["sec-websocket-version"] == "13"
        offered = [one.strip() for one in headers["sec-websocket-protocol"].split(",")]
        assert offered[0] == "iroh-relay-v2"
        assert "authorization" not in headers
    if secure:
        assert asked_for == [None if name == "127.0.0.1" else "relay.example"]


# ---------------------------------------------------------------------------
# Frames


def batch(source: bytes, ecn: int, segment: int, rest: bytes) -> bytes:
    return bytes([RECEIVED_BATCH]) + source + bytes([ecn]) + struct.pack(">H", segment) + rest


def bad_frames(me: bytes, mate: bytes) -> list[bytes]:
    """None of them means anything: cut off at every length, of every type, and more."""
    sources = [me, mate, invented_node(), bytes(32), b"\xff" * 32]
    frames = [b""]
    for kind in (RECEIVED, RECEIVED_BATCH):
        frames += [(bytes([kind]) + mate + bytes(8))[:size] for size in range(1, 42)]
    for kind in (GONE, PING, PONG, HEALTH, RESTARTING, STATUS):
        frames += [bytes([kind]) + os.urandom(size) for size in (*range(34), 100, 65535)]
    # Those that only a client sends, and of the handshake.
    for kind in (SEND, SEND_BATCH, CHALLENGE, 1, CONFIRMS, DENIES):
        frames += [bytes([kind]) + os.urandom(size) for size in (0, 1, 16, 33, 40, 200)]
    # No types: of one byte, two, four and eight.
    frames += [bytes([kind]) + os.urandom(40) for kind in (*range(14, 64), 0x40, 0x80, 0xC0, 0xFF)]
    frames += [b"\x40\x06" + mate + bytes(20), b"\x80\x00\x00\x06" + mate + bytes(20)]
    for source in sources:
        for ecn in (0, 1, 3, 4, 255):
            frames += [bytes([RECEIVED]) + source + bytes([ecn]) + os.urandom(n) for n in (0, 1, 20)]
            frames += [batch(source, ecn, n, os.urandom(100)) for n in (0, 1, 100, 101, 65535)]
        frames += [batch(source, 0, n, b"") for n in (0, 1)]
        for size in (1199, 1200, 1452, 1453, 1472, 1473, 9000, 65502):
            frames.append(bytes([RECEIVED]) + source + b"\0" + os.urandom(size))
        frames += [batch(source, 0, n, os.urandom(65400)) for n in (0, 1, 2, 1200, 40000)]
    # Longer than any frame may be.
    frames += [bytes([RECEIVED]) + mate + b"\0" + os.urandom(size) for size in (65503, 65536, 1 << 17)]
    return frames


def websocket_faults() -> dict[str, bytes]:
    """What no client has to take: RFC 6455."""
    ping = bytes([PING]) + bytes(8)
    masked = websocket_head(BINARY, len(ping), mask=b"\1\2\3\4")
    return {
        "masked": masked + bytes(byte ^ b"\1\2\3\4"[at % 4] for at, byte in enumerate(ping)),
        "reserved-bits": websocket_head(BINARY, len(ping), reserved=4) + ping,
        "reserved-opcode": websocket_head(3, len(ping)) + ping,
        "long-control": websocket_head(WS_PING, 126) + bytes(126),
        "control-in-parts": websocket_head(WS_PING, 4, fin=False) + bytes(4),
        "continues-nothing": websocket_head(CONTINUATION, len(ping)) + ping,
        "two-beginnings": websocket_head(BINARY, 4, fin=False) + bytes(4)
        + websocket_head(BINARY, 4) + bytes(4),
        "huge": websocket_head(BINARY, 1 << 40) + bytes(1000),
        "negative": websocket_head(BINARY, 1 << 63) + bytes(1000),
        "longer-than-needed": websocket_head(BINARY, len(ping), form=8) + ping,
        "megabyte": websocket_head(BINARY, (1 << 20) + 1) + bytes((1 << 20) + 1),
        "close-of-one-byte": websocket_head(CLOSE, 1) + b"\0",
        "close": websocket_head(CLOSE, 2) + struct.pack(">H", 1001),
        "close-at-length": websocket_head(CLOSE, 125) + struct.pack(">H", 4000) + b"\n" * 123,
    }  # fmt: skip


class Gauntlet:
    """Sends one thing after the other, and after each of them asks whether the client is still
    there. Where it has closed the connection, the next one goes on."""

    def __init__(self, things: list[bytes], raw: bool = False):
        self.things, self._raw = list(things), raw
        self.done = threading.Event()
        self.closed: list[bytes] = []

    def __call__(self, connection):
        connection.handshake()
        while self.things:
            thing = self.things.pop(0)
            try:
                connection.send_raw(thing) if self._raw else connection.send(thing)
                alive = connection.answers()
            except Ended:
                alive = False
            if not alive:
                self.closed.append(thing)
                return
        self.done.set()
        serves(connection)


def test_bad_frames(brokers, bad_relay):
    gauntlet, ready = Gauntlet([]), threading.Event()

    def behave(connection):
        ready.wait()
        gauntlet(connection)

    relay = bad_relay(behave)
    with beside(brokers, relay) as (broker, mate):
        gauntlet.things += bad_frames(bytes.fromhex(broker.id), bytes.fromhex(mate.id))
        memory = Memory(broker)
        ready.set()
        assert gauntlet.done.wait(within(60)), (
            f"{len(gauntlet.things)} left, {len(gauntlet.closed)} closed"
        )
        print(f"{len(gauntlet.closed)} connections were closed")
        memory.check(16 << 20)
        broker.wait_number("relay/bad_frames", 1, within(3))
        assert len(warnings(broker)) <= 10
        # Whoever they say they come from: a handshake is not begun by noise.
        assert broker.number("connections") == 1


@pytest.mark.parametrize("name", websocket_faults())
def test_bad_websocket(brokers, bad_relay, name):
    gauntlet = Gauntlet([websocket_faults()[name]], raw=True)
    relay = bad_relay(gauntlet)
    with beside(brokers, relay) as (broker, _):
        # A better one is taken after that.
        assert gauntlet.done.wait(within(20))
        if name == "longer-than-needed":
            return  # that can be taken or not
        assert gauntlet.closed
        broker.wait_log(f"relay {relay.url}: .*(protocol|has ended)")


def test_text_and_websocket_pings(brokers, bad_relay):
    """No faults: text is skipped, a ping answered."""
    result = []

    def behave(connection):
        connection.handshake()
        connection.send_raw(websocket_head(TEXT, 5) + b"hello")
        connection.send_raw(websocket_head(WS_PONG, 3) + b"out")
        connection.send_raw(websocket_head(WS_PING, 4) + b"mark")
        while connection.receive_message() != (WS_PONG, b"mark"):
            pass
        # In parts, as nobody sends it.
        ping = bytes([PING]) + b"12345678"
        connection.send_raw(websocket_head(BINARY, 4, fin=False) + ping[:4])
        connection.send_raw(websocket_head(WS_PING, 0))
        connection.send_raw(websocket_head(CONTINUATION, 5) + ping[4:])
        while (frame := connection.receive()) != bytes([PONG]) + b"12345678":
            assert frame[0] in (PING, PONG)
        result.append(connection.answers())
        serves(connection)

    relay = bad_relay(behave)
    with beside(brokers, relay):
        relay.wait(lambda: result, what="answers")
    assert result == [True] and len(relay.times) == 1


@pytest.mark.slow
@pytest.mark.parametrize("how", ["one-message", "in-parts", "byte-by-byte"])
def test_never_finished(brokers, bad_relay, how):
    """A message that does not end is no sign of life: the connection is given up."""
    ended = []

    def behave(connection):
        connection.handshake()
        begun = time.monotonic()
        with contextlib.suppress(Ended):
            if how == "one-message":
                connection.send_raw(websocket_head(BINARY, 60000) + bytes(100))
                connection.wait_end(120)
            elif how == "byte-by-byte":
                connection.send_raw(websocket_head(BINARY, 60000))
                while True:
                    connection.send_raw(b"\0")
                    time.sleep(0.2)
            else:
                connection.send_raw(websocket_head(BINARY, 1, fin=False) + b"\x06")
                while True:
                    connection.send_raw(websocket_head(CONTINUATION, 1, fin=False) + b"\0")
                    time.sleep(0.01)
        ended.append(time.monotonic() - begun)

    relay = bad_relay(behave)
    with beside(brokers, relay) as (broker, _):
        relay.wait(lambda: ended, within(40), "end of the connection")
        relay.wait_times(2)
        broker.wait_log(f"relay {relay.url}: does not answer any more")
    print(f"{how}: given up after {ended[0]:.1f} s")


# ---------------------------------------------------------------------------
# Floods, and silence


def floods(mate: bytes) -> dict[str, list[bytes]]:
    return {
        "gone-of-the-neighbour": [bytes([GONE]) + mate] * 100,
        "gone-of-anybody": [bytes([GONE]) + invented_node() for _ in range(100)],
        "ping": [bytes([PING]) + bytes(8)] * 100,
        "pong": [bytes([PONG]) + bytes(8)] * 100,
        "status": [bytes([STATUS, which]) for which in (0, 1, 2, 7)] * 25,
        "health": [bytes([HEALTH]) + b"something\nis wrong"] * 100,
        "restarting": [bytes([RESTARTING]) + struct.pack(">II", 0, 0)] * 100,
        "datagrams": [
            bytes([RECEIVED]) + source + b"\0" + b"\x40" + os.urandom(1199)
            for source in [mate, *(invented_node() for _ in range(49))]
        ],
        "initials": [
            # A long header that says Initial of version 1, for an unknown connection.
            bytes([RECEIVED]) + invented_node() + b"\0"
            + b"\xc0\0\0\0\1\x08" + os.urandom(8) + b"\x08" + os.urandom(8) + b"\0\x44\xd0"
            + os.urandom(1200)
            for _ in range(50)
        ],
        "websocket-ping": [b""],
    }  # fmt: skip


# Those that are answered, too, by a relay that does not read the answers.
ANSWERED = ("ping", "websocket-ping", "initials", "datagrams")
FLOODS = [
    *((name, True) for name in floods(bytes(32))),
    *((name, False) for name in ANSWERED),
]


@pytest.mark.parametrize(
    "name, reads", FLOODS, ids=[name + ("" if reads else "-unread") for name, reads in FLOODS]
)
def test_floods(brokers, bad_relay, name, reads):
    """As fast as it can for some seconds; answers pile up nowhere."""
    ready, over = threading.Event(), threading.Event()
    mates, sent, later = [], [0], []

    def behave(connection):
        connection.handshake()
        if over.is_set():
            later.append(connection.answers())
            serves(connection)
        ready.wait()
        frames = floods(bytes.fromhex(mates[0].id))[name]
        if name == "websocket-ping":
            chunk = (websocket_head(WS_PING, 100) + bytes(100)) * 100
        else:
            chunk = b"".join(websocket_head(BINARY, len(one)) + one for one in frames)
        if reads:
            threading.Thread(target=connection.wait_end, daemon=True).start()
        # What the client does not read does not stop the test.
        connection.sock.settimeout(within(3))
        limit = time.monotonic() + 2.5
        with contextlib.suppress(Ended, TimeoutError):
            while time.monotonic() < limit:
                connection.send_raw(chunk)
                sent[0] += len(frames)
        over.set()

    relay = bad_relay(behave)
    with beside(brokers, relay) as (broker, mate):
        mates.append(mate)
        memory, lines = Memory(broker), len(broker.our_log())
        ready.set()
        assert over.wait(within(20))
        print(f"{sent[0]} frames")
        memory.check(16 << 20)
        assert len(broker.our_log()) - lines <= 10
        assert broker.number("connections") == 1
        # The connection is closed after that; the next one is as good as any.
        relay.wait(lambda: later, within(20), "answer on the next connection")
        assert later == [True]
