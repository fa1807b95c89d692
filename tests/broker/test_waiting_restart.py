# SPDX-License-Identifier: MIT OR Apache-2.0
"""What waits for a neighbour when the broker is stopped waits on after its start."""

import contextlib
import json
import re
import sqlite3
import time

import pytest
from test_disk import disk, fill, on  # noqa: F401
from test_stopping import lost, publish

from identity import overlay, random_topic

RESUMED = r"when the broker was stopped: (\d+) wait on, (\d+) are lost"


def kept(broker) -> int:
    """What the broker has said when it was stopped."""
    found = re.search(r"kept for the next start: (\d+) messages", "\n".join(broker.our_log()))
    return int(found[1]) if found else 0


def resumed(broker) -> tuple[int, int]:
    found = broker.wait_log(RESUMED)
    return int(found[1]), int(found[2])


def rows(broker) -> int:
    with contextlib.closing(sqlite3.connect(broker.state_dir / "p2panda.db")) as database:
        return database.execute("SELECT count(*) FROM kept").fetchone()[0]


def waits(broker, count: int):
    broker.wait_status(lambda status: status.get("waiting") == count)


@pytest.fixture
def pair(brokers):
    """One whose peer is not there yet."""

    def start(**options):
        a, b = brokers("a", **options), brokers("b")
        a.add_peer(b)
        return a.start(), b

    return start


def test_all_arrive_once_and_in_order(pair):
    a, b = pair()
    ids = [random_topic() for _ in range(2)]
    topics = [overlay(id) for id in ids]
    sender = a.client(*topics)
    sent = [publish(sender, topic, count, "early") for topic, count in zip(topics, (50, 7))]
    waits(a, 57)
    # Twice, as if somebody made two changes.
    for _ in range(2):
        a.stop()
        assert (kept(a), lost(a)) == (57, {})
        assert rows(a) == 57
        a.start()
        assert resumed(a) == (57, 0)
        assert rows(a) == 0
    sender = a.client(*topics)
    sent[0] += publish(sender, topics[0], 5, "late")
    waits(a, 62)
    b.start()
    far = b.client(*topics)
    for topic, payloads in zip(topics, sent):
        assert far.wait_count(topic, len(payloads)) == payloads
    a.wait_status(lambda status: status["messages/sent"] == 62 and status["waiting"] == 0)
    assert (a.number("messages/in"), a.number("messages/resumed")) == (5, 57)
    a.stop()
    assert (kept(a), lost(a)) == (0, {})


def test_views_come_out_as_they_would_have(pair):
    a, b = pair()
    topic = overlay(random_topic())
    sender = a.client(f"{topic}/ephemeral/json")
    for number in range(100):  # more than leave at once
        sender.publish(f"{topic}/ephemeral/json", json.dumps({"number": number}).encode())
    waits(a, 100)
    a.stop()
    a.start()
    resumed(a)
    a.client(f"{topic}/ephemeral/json")
    b.start()
    far = b.client(f"{topic}/ephemeral/json")
    found = far.wait_count(f"{topic}/ephemeral/json", 100)
    assert [json.loads(payload)["number"] for payload in found] == list(range(100))
    message = far.messages(f"{topic}/ephemeral/json")[0]
    assert message.properties["p2panda-author"] == a.id
    a.wait_status(lambda status: status["messages/signed"] == 100)


def test_older_than_queue_age(pair):
    a, _ = pair(options=[("queue_age", "2")])
    topic = overlay(random_topic())
    publish(a.client(topic), topic, 20, "early")
    waits(a, 20)
    a.stop()
    stopped = time.monotonic()
    assert kept(a) == 20
    time.sleep(max(0, 2 - (time.monotonic() - stopped)))
    a.start()
    assert resumed(a) == (0, 20)
    a.wait_status(lambda status: status["dropped/queue_age"] == 20)
    assert a.number("messages/resumed") == 20
    assert rows(a) == 0


def test_what_nobody_holds_ages_out(pair):
    a, b = pair(options=[("queue_age", "5"), ("publish_linger", "60")])
    topic = overlay(random_topic())
    publish(a.client(), topic, 10, "by somebody who only publishes")
    waits(a, 10)
    a.stop()
    a.start()
    assert resumed(a) == (10, 0)
    waits(a, 10)
    b.start()
    far = b.client(topic)
    a.wait_status(lambda status: status["dropped/queue_age"] == 10 and status["waiting"] == 0)
    assert far.payloads(topic) == []


def test_who_publishes_again_holds(pair):
    a, b = pair()
    topic = overlay(random_topic())
    sent = publish(a.client(), topic, 10, "by somebody who only publishes")
    waits(a, 10)
    a.stop()
    a.start()
    b.start()
    far = b.client(topic)
    sent += publish(a.client(), topic, 1, "and again")
    assert far.wait_count(topic, 11) == sent


def test_a_crash_brings_nothing_twice(pair):
    a, b = pair()
    topic = overlay(random_topic())
    publish(a.client(topic), topic, 10, "early")
    waits(a, 10)
    a.stop()
    a.start()
    waits(a, 10)
    a.kill()
    a.start()
    a.client(topic)
    b.start()
    far, last = b.client(topic), a.client()
    last.publish(topic, b"the last one")
    far.wait_message(topic, b"the last one")
    assert far.payloads(topic) == [b"the last one"]
    assert not any(re.search(RESUMED, line) for line in a.our_log())


def test_queue_limit_and_four_mebibytes(pair):
    """Each overlay has its own limit, and there is one in bytes for all."""
    a, _ = pair()
    topics = [overlay(random_topic()) for _ in range(10)]
    sender = a.client(*topics)
    for topic in topics:
        publish(sender, topic, 128, topic.ljust(3900, "."))
    waits(a, 1280)
    a.stop()
    assert 1000 < kept(a) < 1100
    assert lost(a) == {"waited": 1280 - kept(a)}
    a.options.append(("queue_limit", "50"))
    was = kept(a)
    a.start()
    left = resumed(a)
    assert sum(left) == was and left[0] <= 450
    waits(a, left[0])
    a.wait_status(lambda status: status["dropped/queue_limit"] == was - left[0])


def test_full_disk(brokers, disk):  # noqa: F811
    a = on(disk, brokers)
    a.start()
    topic = overlay(random_topic())
    publish(a.client(topic), topic, 100, "early".ljust(1000, "."))
    waits(a, 100)
    filling = fill(disk)
    a.stop()
    assert (kept(a), lost(a)) == (0, {"waited": 100})
    filling.unlink()
    a.start()
    waits(a, 0)


def test_state_of_an_older_version(pair):
    """It has no table for that."""
    a, b = pair()
    topic = overlay(random_topic())
    a.stop()
    with contextlib.closing(sqlite3.connect(a.state_dir / "p2panda.db")) as database:
        database.execute("DROP TABLE kept")
        database.commit()
    a.start()
    sent = publish(a.client(topic), topic, 10, "early")
    waits(a, 10)
    a.stop()
    assert kept(a) == 10
    a.start()
    a.client(topic)
    b.start()
    assert b.client(topic).wait_count(topic, 10) == sent


def test_rows_that_make_no_sense(pair):
    a, _ = pair()
    a.stop()
    now = int(time.time() * 1e6)
    good = (now + 20_000_000).to_bytes(8, "big") + b"\0" + bytes.fromhex(random_topic())
    values = [b"", b"x", good[:40], good + bytes(4058), b"\xff" * 8 + good[8:] + b"far", good]
    with contextlib.closing(sqlite3.connect(a.state_dir / "p2panda.db")) as database:
        for number, value in enumerate(values):
            database.execute("INSERT INTO kept VALUES (?, ?)", (bytes([number]), value))
        database.commit()
    a.start()
    assert resumed(a) == (2, 0)
    waits(a, 2)
    assert rows(a) == 0
