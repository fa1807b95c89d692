# SPDX-License-Identifier: MIT OR Apache-2.0
"""What the broker has on disk may be older than what is on record here: Debian's saves its database
every half hour. After a power cut (here: SIGKILL) the record follows the broker."""

import contextlib
import signal
import sqlite3
import time

import pytest
from test_sessions import HOUR, plain, sqlite, wait_out, wait_records, wait_rows

from identity import overlay, random_topic
from mqtt import V5, V311

DIFFERS = "the broker has sessions as they were some time before it ended"
FLUSH = 3  # s


def saved(broker):
    """As a database of Mosquitto's own is, at SIGUSR1."""
    broker.process.send_signal(signal.SIGUSR1)
    broker.wait_log("Saving in-memory database")
    broker.client().publish("anything", b"")  # it is written by now


def slow_sqlite(folder):
    return [*sqlite(folder)[:-1], f"plugin_opt_flush_period {FLUSH}"]


def flushed(broker, topics: set[str]):
    """persist-sqlite has just written, and will not do so again for some time."""
    path = broker.folder / "sessions.db"
    wait_rows(path, "SELECT * FROM subscriptions", len(topics))
    # A subscription that is made now waits for the next time; so this is just after one.
    mark = broker.client(client_id="mark", clean=False, session_expiry=HOUR)
    mark.subscribe("a/mark", 1)
    wait_rows(path, "SELECT * FROM subscriptions WHERE topic = 'a/mark'", 1)


def in_sqlite(broker) -> set[str]:
    with contextlib.closing(sqlite3.connect(broker.folder / "sessions.db")) as database:
        rows = database.execute("SELECT topic FROM subscriptions WHERE client_id = 'sleeper'")
        return {topic for (topic,) in rows}


def sleeper(broker, version=V5, **options):
    kept = {"clean": False} if version == V311 else {"clean": False, "session_expiry": HOUR}
    return broker.client(client_id="sleeper", version=version, **(kept | options))


def given_up(broker, count: int):
    query = "SELECT key FROM record WHERE substr(key, 1, 2) = x'fe67'"
    wait_rows(broker.state_dir / "p2panda.db", query, count)


def restart(broker):
    broker.kill()
    broker.start()


@pytest.fixture
def pair(brokers):
    """Two brokers, and two overlays in which the first one always is."""

    def start(persistence):
        ids = random_topic(), random_topic()
        a, b = brokers("a", options=[("topic", id) for id in ids]), brokers("b")
        b.lines += persistence(b.folder)
        b.add_peer(a)
        a.start(), b.start()
        return a, b, *ids

    return start


def holds(broker, *ids: str):
    """These overlays, and no others."""
    broker.wait_status(lambda status: status.get("overlays") == len(ids))
    for id in ids:
        broker.wait_joined(id)


def reaches(a, b, id: str, client, payload: bytes):
    """What is published far away, the client gets."""
    a.client().publish(overlay(id), payload)
    client.wait_message(overlay(id), payload)


@pytest.mark.parametrize("version", [V311, V5], ids=["v311", "v5"])
def test_subscribed_after_it_was_saved(pair, version):
    a, b, first, second = pair(plain)
    client = sleeper(b, version)
    client.subscribe(overlay(first), 1)
    wait_records(b, 1)
    saved(b)
    client.subscribe(overlay(second), 1)
    wait_records(b, 2)
    restart(b)
    holds(b, first)
    b.wait_log(f"{DIFFERS}.*are lost: 1; .*given up: 0")
    wait_records(b, 1)
    # The broker is as it would be without the plugin: asking has changed nothing.
    woken = sleeper(b, version)
    b.client().publish(overlay(second), b"for nobody")
    reaches(a, b, first, woken, b"for the first")
    assert woken.payloads(overlay(second)) == []
    woken.subscribe(overlay(second), 1)
    holds(b, first, second)
    reaches(a, b, second, woken, b"for the second")


@pytest.mark.parametrize("version", [V311, V5], ids=["v311", "v5"])
def test_given_up_after_it_was_saved(pair, version):
    a, b, first, second = pair(plain)
    client = sleeper(b, version)
    client.subscribe(overlay(first), 1)
    client.subscribe(overlay(second), 1)
    wait_records(b, 2)
    saved(b)
    client.unsubscribe(overlay(first))
    wait_records(b, 1)
    given_up(b, 1)
    restart(b)
    holds(b, first, second)
    b.wait_log(f"{DIFFERS}.*are lost: 0; .*given up: 1")
    wait_records(b, 2)
    given_up(b, 0)
    # What the broker's session has is what it gets, from here and from afar.
    woken = sleeper(b, version)
    b.client().publish(overlay(first), b"from here")
    woken.wait_message(overlay(first), b"from here")
    reaches(a, b, first, woken, b"from afar")
    # It is one as any other now.
    woken.unsubscribe(overlay(first))
    holds(b, second)
    b.stop()
    b.start()
    holds(b, second)
    given_up(b, 0)
    assert not any(DIFFERS in line for line in b.our_log())


@pytest.mark.parametrize("ends", ["kill", "stop"])
def test_saved_after_the_change(pair, ends):
    _, b, first, second = pair(plain)
    client = sleeper(b)
    client.subscribe(overlay(first), 1)
    client.unsubscribe(overlay(first))
    client.subscribe(overlay(second), 1)
    wait_records(b, 1)
    given_up(b, 1)
    saved(b)
    b.kill() if ends == "kill" else b.stop()
    b.start()
    holds(b, second)
    given_up(b, 0)
    assert not any(DIFFERS in line for line in b.our_log())


def test_a_session_begun_anew_after_it_was_saved(pair):
    """The one before is there again, with what it had."""
    a, b, first, second = pair(plain)
    client = sleeper(b)
    client.subscribe(overlay(first), 1)
    wait_records(b, 1)
    saved(b)
    client.close()
    anew = sleeper(b, clean=True)
    anew.subscribe(overlay(second), 1)
    given_up(b, 1)
    wait_records(b, 1)
    restart(b)
    holds(b, first)
    b.wait_log(f"{DIFFERS}.*are lost: 1; .*given up: 1")
    reaches(a, b, first, sleeper(b), b"for the first")


def test_asking_changes_no_subscription_of_sqlite(pair):
    _, b, id, _ = pair(sqlite)
    topic = overlay(id)
    group = f"$share/readers/{topic}"
    client = sleeper(b)
    assert client.subscribe(topic, 2, no_local=True, identifier=7).value == 2
    client.subscribe(group, 1, identifier=8)
    wait_records(b, 2)
    wait_rows(b.folder / "sessions.db", "SELECT * FROM subscriptions", 2)
    for _ in range(2):
        restart(b)
        holds(b, id)
        woken = sleeper(b)
        woken.publish(topic, b"its own")  # to the group alone
        b.client().publish(topic, b"another's", qos=2)
        woken.wait_count(topic, 3)
        by = {(each.payload, each.qos): each.identifiers for each in woken.messages(topic)}
        assert by == {(b"its own", 1): (8,), (b"another's", 2): (7,), (b"another's", 1): (8,)}
        assert not any(DIFFERS in line for line in b.our_log())
        wait_records(b, 2)


def test_shared_subscriptions_are_not_in_the_database(pair):
    """Mosquitto's own has none of them, so nobody is served by holding them."""
    _, b, first, second = pair(plain)
    client = sleeper(b)
    client.subscribe(overlay(first), 1)
    client.subscribe(f"$share/readers/{overlay(second)}", 1)
    wait_records(b, 2)
    b.stop()
    b.start()
    holds(b, first)
    b.wait_log("has not kept 1 subscriptions of overlays by .share over its restart")
    wait_records(b, 1)
    assert not any(DIFFERS in line for line in b.our_log())


def test_a_session_without_it_is_told_once(pair):
    """All of its overlays were subscribed after the database was saved."""
    _, b, id, _ = pair(plain)
    client = sleeper(b)
    client.subscribe("elsewhere", 1)
    saved(b)
    client.subscribe(overlay(id), 1)
    wait_records(b, 1)
    restart(b)
    b.wait_log(f"{DIFFERS}.*are lost: 1; .*given up: 0")
    wait_records(b, 0)
    holds(b)
    b.stop()
    b.start()
    holds(b)
    assert not any(DIFFERS in line for line in b.our_log())


@pytest.mark.parametrize("change", ["subscribes", "gives up", "nothing"])
def test_with_persist_sqlite(pair, change):
    a, b, first, second = pair(slow_sqlite)
    client = sleeper(b)
    client.subscribe(overlay(first), 1)
    if change == "gives up":
        client.subscribe(overlay(second), 1)
    topics = {overlay(first)} | ({overlay(second)} if change == "gives up" else set())
    wait_records(b, len(topics))
    flushed(b, topics)
    began = time.monotonic()
    if change == "subscribes":
        client.subscribe(overlay(second), 1)
        wait_records(b, 2)
    elif change == "gives up":
        client.unsubscribe(overlay(second))
        given_up(b, 1)
    b.kill()
    assert time.monotonic() - began < FLUSH, "too slow to tell anything"
    assert in_sqlite(b) == topics
    b.start()
    holds(b, first, *([second] if change == "gives up" else []))
    wait_records(b, len(topics))
    given_up(b, 0)
    lost, back = (change == "subscribes"), (change == "gives up")
    if change == "nothing":
        assert not any(DIFFERS in line for line in b.our_log())
    else:
        b.wait_log(f"{DIFFERS}.*are lost: {int(lost)}; .*given up: {int(back)}")
    woken = sleeper(b)
    reaches(a, b, first, woken, b"for the first")
    if back:
        reaches(a, b, second, woken, b"for the second")
    wait_out(b, 1)
