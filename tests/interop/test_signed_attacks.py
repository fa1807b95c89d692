# SPDX-License-Identifier: MIT OR Apache-2.0
"""A neighbour that brings what only looks like an application's signed message: no codec shows it,
those who subscribe the bytes see them."""

import pytest

from identity import overlay, random_topic
from raw_peer import RawPeer
from signed import Author, text

CODECS = ("json", "text", "bytes", "cbor")


def view(id: str, codec: str) -> str:
    return f"{overlay(id)}/ephemeral/{codec}"


@pytest.fixture(scope="module")
def authors(tmp_path_factory):
    folder = tmp_path_factory.mktemp("authors")
    return Author(folder / "one"), Author(folder / "two")


@pytest.fixture
def attacked(brokers):
    """A broker, an overlay whose views and bytes a client subscribes, and a neighbour in it."""
    broker, id = brokers().start(), random_topic()
    client = broker.client(overlay(id), *(view(id, codec) for codec in CODECS))
    with RawPeer(broker) as hostile:
        hostile.join(id)
        broker.wait_joined(id)
        yield broker, id, client, hostile


def _replaced(message: bytes, at: int, part: bytes) -> bytes:
    return message[:at] + part + message[at + len(part) :]


# Where the author, the signature, the time and the counter begin.
AUTHOR, SIGNATURE, TIME, COUNTER = 4, 38, 103, 111
FALSE = {
    "author": lambda one, two: _replaced(
        one.message(text("false")), AUTHOR, bytes.fromhex(two.id)
    ),
    "body": lambda one, _: one.message(text("falsf"))[:-1] + b"e",
    "time": lambda one, _: _replaced(
        one.message(text("false"), time_us=2**50), TIME, (2**50 + 1).to_bytes(8)
    ),
    "counter": lambda one, _: _replaced(one.message(text("false"), counter=3), COUNTER, b"\x04"),
    "signature": lambda one, _: _replaced(one.message(text("false")), SIGNATURE, bytes(32)),
}
OTHER = {
    "version": lambda one, _: one.message(text("false"), version=2),
    "trailing": lambda one, _: one.message(text("false")) + b"\x00",
    "seventh": lambda one, _: b"\x87" + one.message(text("false"))[1:] + b"\xf6",
    "tagged": lambda one, _: b"\xc1" + one.message(text("false")),
    "cut": lambda one, _: one.message(text("false"))[:-1],
    "longer": lambda one, _: b"\x98\x06" + one.message(text("false"))[1:],
    "tag around null": lambda one, _: one.message(b"\xc1\xf6"),
    "tag around true, within": lambda one, _: one.message(b"\xa1\x61a\xc1\xf5"),
}


def _control(client, id, hostile, author, number: int) -> bytes:
    """A true one, behind what was sent before it."""
    message = author.message(text(f"true {number}"))
    hostile.gossip(message)
    client.wait_message(view(id, "json"), b'"true %d"' % number)
    client.wait_message(view(id, "text"), b"true %d" % number)
    client.wait_message(view(id, "cbor"), text(f"true {number}"))
    client.wait_message(overlay(id), message)
    return message


def _shown(client, id) -> dict[str, list[bytes]]:
    return {codec: client.payloads(view(id, codec)) for codec in CODECS}


@pytest.mark.parametrize("name", [*FALSE, *OTHER])
def test_is_not_shown(attacked, authors, name):
    broker, id, client, hostile = attacked
    message = (FALSE | OTHER)[name](*authors)
    first = _control(client, id, hostile, authors[0], 1)
    hostile.gossip(message)
    second = _control(client, id, hostile, authors[0], 2)
    assert _shown(client, id) == {
        "json": [b'"true 1"', b'"true 2"'],
        "text": [b"true 1", b"true 2"],
        "bytes": [],
        "cbor": [text("true 1"), text("true 2")],
    }
    assert client.payloads(overlay(id)) == [first, message, second]
    author = client.messages(view(id, "json"))[0].properties["p2panda-author"]
    assert author == authors[0].id != hostile.id
    status = broker.wait_status(lambda now: now["messages/received"] == 3)
    assert status["messages/bad_signatures"] == (name in FALSE)
    assert not hostile.has_ended()


@pytest.mark.parametrize("wrapped", [lambda m: m, lambda m: m + b"\xf6", lambda m: b"\xd8\x1c" + m],
                         ids=["the same", "behind", "tagged"])  # fmt: skip
def test_a_replayed_one(attacked, authors, wrapped):
    """By the one who has sent it and by another one."""
    broker, id, client, hostile = attacked
    with RawPeer(broker) as other:
        other.join(id)
        first = _control(client, id, hostile, authors[0], 1)
        again = wrapped(first)
        for peer, number in ((hostile, 2), (other, 3)):
            peer.gossip(again)
            _control(client, id, peer, authors[0], number)
        assert client.payloads(view(id, "text")) == [b"true 1", b"true 2", b"true 3"]
        # Gossip knows what it has had.
        assert client.payloads(overlay(id)).count(first) == 1
        assert client.payloads(overlay(id)).count(again) == 1
        assert not hostile.has_ended() and not other.has_ended()


def test_false_ones_do_not_guard(attacked, authors):
    """Plain messages are refused where applications speak: a false one is no application's."""
    broker, id, client, hostile = attacked
    for make in (*FALSE.values(), *OTHER.values()):
        hostile.gossip(make(*authors))
    client.wait_count(overlay(id), len(FALSE) + len(OTHER))
    broker.wait_number("messages/bad_signatures", len(FALSE))
    assert client.publish(overlay(id), b"plain").value == 0
    _control(client, id, hostile, authors[0], 1)
    assert client.publish(overlay(id), b"plain again").value == 0x87
