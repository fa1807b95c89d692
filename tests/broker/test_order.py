# SPDX-License-Identifier: MIT OR Apache-2.0
"""What other plugins of the broker make of a message or a subscription is what the overlay gets,
wherever their lines stand in the configuration."""

import pathlib
from collections.abc import Sequence

import pytest

from compile import shared_library
from examples import example_plugin
from identity import overlay, random_topic
from test_other_plugins import dynamic_security, make_security, rule

MOVING = pathlib.Path(__file__).with_name("moving_plugin.c")
NOT_AUTHORISED = 0x87
ORDERS = pytest.mark.parametrize("order", ["before", "after"])


def id_of(topic: str) -> str:
    return topic.removeprefix("p2panda/")


def broker_beside(brokers, order: str, others: list[str], lines: Sequence[str] = ()):
    """One with other plugins' lines before or behind ours; lines: before both."""
    if order == "before":
        return brokers(lines=[*lines, *others])
    return brokers(lines=lines, behind=others)


def moving(folder: pathlib.Path, moves: dict[str, str]) -> list[str]:
    library = shared_library(MOVING, folder)
    return [f"plugin {library}", *(f"plugin_opt_move {a} {b}" for a, b in moves.items())]


def check_messages(topics, sender, near, far, word: str):
    """What local subscribers get is what others get; word: in each payload."""
    kept, away, inside, one, other = topics

    def text(what: str) -> bytes:
        return f"{what} {word}".encode()

    assert sender.publish(kept, text("refused")).value == NOT_AUTHORISED
    assert sender.publish(kept, text("changed first")).value != NOT_AUTHORISED
    sender.publish(away, text("away"))
    sender.publish("inside", text("in"))
    sender.publish(one, text("across"))
    # Nobody has anything to say of these.
    for topic in (kept, away, inside, one, other):
        sender.publish("outside" if topic == away else topic, text("last") + topic.encode())
    for client in (near, far):
        client.wait_message(inside, text("last") + inside.encode())
        client.wait_message(other, text("last") + other.encode())
        client.wait_message(kept, text("last") + kept.encode())
    near.wait_message("outside", text("last") + away.encode())
    for topic in (kept, inside, other, one, away):
        last = text("last") + topic.encode()
        found = [payload for payload in near.payloads(topic) if payload != last]
        assert [payload for payload in far.payloads(topic) if payload != last] == found, topic
    assert near.payloads(kept)[:-1] == [text("first")]
    assert near.payloads(inside)[:-1] == [text("in")]
    assert near.payloads(other)[0] == text("across")
    assert near.payloads("outside")[0] == text("away")
    assert near.payloads(away) == far.payloads(away) == near.payloads(one) == []
    for client in (near, far):
        client.forget()


def check_carried(brokers, tmp_path, order, lines: Sequence[str] = ()):
    topics = kept, away, inside, one, other = [overlay(random_topic()) for _ in range(5)]
    moves = {away: "outside", "inside": inside, one: other}
    a, b = broker_beside(brokers, order, moving(tmp_path, moves), lines), brokers()
    a.add_peer(b)
    a.start(), b.start()
    near, far = a.client("outside", kept, inside, other), b.client(*topics)
    sender = a.client()
    for topic in (kept, inside, other):
        a.wait_joined(id_of(topic))
    for word in ("1", "2"):
        check_messages(topics, sender, near, far, word)
        status = a.wait_status(lambda status: status["messages/in"] >= 7 * int(word))
        assert status["messages/in"] == status["messages/sent"] == 7 * int(word)
        a.reload()


@ORDERS
def test_messages(brokers, tmp_path, order):
    """Refused, changed, moved away, moved in, moved from one overlay to another."""
    check_carried(brokers, tmp_path, order)


@ORDERS
def test_subscriptions(brokers, tmp_path, order):
    away, inside, one, other = [overlay(random_topic()) for _ in range(4)]
    moves = {away: "outside", "inside": inside, one: other}
    a, b = broker_beside(brokers, order, moving(tmp_path, moves)), brokers()
    a.add_peer(b)
    a.start(), b.start()
    far = b.client(away, inside, one, other)
    for turn in range(2):
        client = a.client(away, "inside", one)
        a.wait_status(lambda status: status["overlays"] == 2)
        for topic in (inside, other):
            a.wait_log_times(f"overlay {id_of(topic)[:10]}: joined", turn + 1)
        for topic in (away, inside, one, other):
            far.publish(topic, f"{turn} {topic}".encode())
        for topic in (inside, other):
            assert client.wait_count(topic, 1) == [f"{turn} {topic}".encode()]
        # What is unsubscribed is another filter by then, so nothing of this ends anything.
        client.unsubscribe(away)
        client.unsubscribe("outside")
        # These end one each.
        client.unsubscribe("inside")
        a.wait_status(lambda status: status["overlays"] == 1)
        client.unsubscribe(one)
        a.wait_status(lambda status: status["overlays"] == 0)
        assert not any(id_of(topic)[:10] in line for line in a.our_log() for topic in (away, one))
        client.close()
        a.reload()


def check_jail(a, b, jailed, free, word: str):
    """The jailed client has an overlay's name for itself."""
    topic = overlay(random_topic())
    inside = f"{jailed.id}/{topic}"
    assert not jailed.subscribe(topic, 1).is_failure
    free.subscribe(inside, 1)
    # By then the jailed one's would have been joined.
    marker = overlay(random_topic())
    far = b.client(topic, marker)
    free.subscribe(marker, 1)
    a.wait_joined(id_of(marker))
    assert not any(f"overlay {id_of(topic)[:10]}" in line for line in a.our_log())
    # Now the overlay is joined by another one.
    free.subscribe(topic, 1)
    a.wait_joined(id_of(topic))
    jailed.publish(topic, f"from jail {word}".encode())
    free.wait_message(inside, f"from jail {word}".encode())
    free.publish(topic, f"from outside {word}".encode())
    far.wait_message(topic, f"from outside {word}".encode())
    free.publish(inside, f"to jail {word}".encode())
    jailed.wait_message(topic, f"to jail {word}".encode())
    # In turn, so what was sent before is here.
    assert far.payloads(topic) == free.payloads(topic) == [f"from outside {word}".encode()]
    assert jailed.payloads(topic) == [f"from jail {word}".encode(), f"to jail {word}".encode()]
    # The jailed one's going from its own does not end ours, and ours is left without it.
    jailed.unsubscribe(topic)
    far.publish(topic, f"still here {word}".encode())
    free.wait_message(topic, f"still here {word}".encode())
    free.unsubscribe(topic)
    a.wait_log(f"overlay {id_of(topic)[:10]}: left")


@ORDERS
@pytest.mark.parametrize("security", [False, True], ids=["alone", "dynamic-security"])
def test_topic_jail(brokers, tmp_path, order, security):
    """Mosquitto's own example: whoever is called jailed... is in a subtree."""
    others = [f"plugin {example_plugin('topic-jail', tmp_path)}"]
    if security:
        # The jail's topics are no matter of the clients' rights: they are moved behind them.
        path = tmp_path / "dynamic-security.json"
        make_security(
            path,
            [
                *(rule("subscribePattern", f"{which}/#") for which in ("$SYS", "p2panda")),
                *(rule("subscribePattern", f"jailed-{number}/#") for number in range(2)),
                rule("publishClientSend", "#"),
            ],
        )
        others += [f"plugin {dynamic_security()}", f"plugin_opt_config_file {path}"]
    a, b = broker_beside(brokers, order, others), brokers()
    a.add_peer(b)
    a.start(), b.start()
    free = a.client(client_id="free")
    for number in range(2):
        jailed = a.client(client_id=f"jailed-{number}")
        check_jail(a, b, jailed, free, str(number))
        a.reload()
    assert not any("what its clients may read is not asked" in line for line in a.our_log())
