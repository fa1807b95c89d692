# SPDX-License-Identifier: MIT OR Apache-2.0
"""Persistent sessions hold their overlays over a restart: the broker restores them without
an event, so there is a record of our own."""

import contextlib
import pathlib
import sqlite3
import time

import pytest

from broker import BrokerTimeout
from identity import overlay, random_topic
from mqtt import V5, V311
from settings import PATIENCE

HOUR = 3600
# Mosquitto keeps no session in its database that was begun with a clean start: clean=False.


def plain(folder: pathlib.Path) -> list[str]:
    return ["persistence true", f"persistence_location {folder}/"]


def sqlite(folder: pathlib.Path) -> list[str]:
    found = sorted(pathlib.Path("/usr/lib").glob("**/mosquitto_persist_sqlite.so"))
    assert found, "Mosquitto's persist-sqlite plugin is not installed"
    return [
        f"plugin {found[0]}",
        f"plugin_opt_db_file {folder}/sessions.db",
        "plugin_opt_flush_period 1",
    ]


def wait_rows(path: pathlib.Path, query: str, count: int):
    """Waits until it is on disk: what is not there yet a crash would lose."""
    limit = time.monotonic() + PATIENCE
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        while (found := len(database.execute(query).fetchall())) != count:
            if time.monotonic() >= limit:
                raise BrokerTimeout(f"{path.name}: {found} rows for {query}, not {count}")
            time.sleep(0.01)


def wait_records(broker, count: int):
    """So many subscriptions (plugin/sessions.h)."""
    query = "SELECT key FROM record WHERE substr(key, 1, 2) = x'fe73'"
    wait_rows(broker.state_dir / "p2panda.db", query, count)


def wait_out(broker, count: int):
    """Just after the start not every status topic is there."""
    broker.wait_status(lambda status: status.get("messages/out", 0) >= count)


def wait_overlays(broker, count: int):
    broker.wait_status(lambda status: status.get("overlays") == count)


@pytest.fixture
def neighbour(brokers):
    """Starts a broker with a neighbour that is in the overlay."""

    def start(persistence=plain, **options):
        a, b = brokers("a"), brokers("b", **options)
        b.lines += persistence(b.folder)
        b.add_peer(a)
        a.start(), b.start()
        return a, b

    return start


def joined_by_itself(broker, id: str):
    broker.wait_joined(id)
    # Nobody has told it: its clients are not back.
    assert not any(line.endswith(overlay(id)) for line in broker.log()), broker.tail()


@pytest.mark.parametrize("version", [V311, V5], ids=["v311", "v5"])
def test_after_sigterm(neighbour, version):
    a, b = neighbour()
    id = random_topic()
    topic = overlay(id)
    session = {"clean": False} if version == V311 else {"clean": False, "session_expiry": HOUR}
    sender = a.client(topic)
    b.client(topic, client_id="sleeper", version=version, **session)
    b.wait_joined(id)
    # At first it is connected when the broker ends, then it has never come back.
    for number in range(2):
        b.stop()
        b.start()
        joined_by_itself(b, id)
        sender.publish(topic, f"after restart {number}".encode())
        wait_out(b, 1)
    woken = b.client(client_id="sleeper", version=version, **session)
    assert woken.wait_count(topic, 2) == [b"after restart 0", b"after restart 1"]
    woken.unsubscribe(topic)
    b.wait_log(f"overlay {id[:10]}: left")
    wait_records(b, 0)
    b.stop()
    b.start()
    wait_overlays(b, 0)


def test_after_kill_with_persist_sqlite(neighbour):
    a, b = neighbour(sqlite)
    id = random_topic()
    topic = overlay(id)
    sender = a.client(topic)
    b.client(topic, client_id="sleeper", clean=False, session_expiry=HOUR)
    b.wait_joined(id)
    wait_records(b, 1)
    wait_rows(b.folder / "sessions.db", "SELECT * FROM subscriptions", 1)
    for number in range(2):
        b.kill()
        b.start()
        joined_by_itself(b, id)
        sender.publish(topic, f"after kill {number}".encode())
        wait_out(b, 1)
        wait_rows(b.folder / "sessions.db", "SELECT * FROM client_msgs", number + 1)
    woken = b.client(client_id="sleeper", clean=False, session_expiry=0)
    assert woken.wait_count(topic, 2) == [b"after kill 0", b"after kill 1"]
    woken.close()
    b.wait_log(f"overlay {id[:10]}: left")
    wait_records(b, 0)


def test_after_kill_without_it(neighbour):
    """Then the broker itself has lost its sessions."""
    _, b = neighbour()
    id = random_topic()
    b.client(overlay(id), client_id="sleeper", clean=False, session_expiry=HOUR)
    wait_records(b, 1)
    b.kill()
    b.start()
    wait_records(b, 0)
    wait_overlays(b, 0)
    assert not any(f"overlay {id[:10]}" in line for line in b.our_log())


@pytest.mark.parametrize("persistence", [plain, sqlite])
def test_expired_while_the_broker_was_down(neighbour, persistence):
    _, b = neighbour(persistence)
    short, lasting = random_topic(), random_topic()
    mayfly = b.client(overlay(short), client_id="mayfly", clean=False, session_expiry=1)
    b.client(overlay(lasting), client_id="sleeper", clean=False, session_expiry=HOUR)
    wait_records(b, 2)
    mayfly.close()
    ends = time.time() + 1
    b.stop()
    # The broker counts in whole seconds, and looks once per second.
    time.sleep(max(ends + 1.1 - time.time(), 0))
    b.start()
    wait_records(b, 1)
    wait_overlays(b, 1)
    assert not any(f"overlay {short[:10]}: joined" in line for line in b.our_log())


def test_sessions_that_end_are_not_on_record(neighbour):
    _, b = neighbour()
    topics = [overlay(random_topic()) for _ in range(5)]
    clean = b.client(*topics)
    kept = b.client(topics[0], client_id="kept", clean=False, session_expiry=HOUR)
    wait_records(b, 6)
    clean.unsubscribe(topics[1])
    wait_records(b, 5)
    clean.close()
    wait_records(b, 1)
    kept.close()
    b.client(client_id="kept")  # begins anew
    wait_records(b, 0)


@pytest.mark.parametrize("damage", [b"garbage " * 1000, b""], ids=["garbage", "empty"])
def test_damaged_record(neighbour, damage):
    a, b = neighbour()
    id = random_topic()
    topic = overlay(id)
    a_client = a.client(topic)
    b.client(topic, client_id="sleeper", clean=False, session_expiry=HOUR)
    b.wait_joined(id)
    b.stop()
    path = b.state_dir / "p2panda.db"
    path.write_bytes(damage)
    b.start()
    if damage:
        b.wait_log("p2panda.db: it is damaged; set aside")
        (aside,) = b.state_dir.glob("p2panda.db.aside-*")
        assert aside.read_bytes() == damage
    wait_overlays(b, 0)
    # All goes on from there, and is remembered again.
    b.client(topic, client_id="sleeper", clean=False, session_expiry=HOUR)
    b.wait_joined(id)
    b.stop()
    b.start()
    joined_by_itself(b, id)
    a_client.publish(topic, b"hello")
    wait_out(b, 1)


def test_limits_hold_for_what_comes_back(neighbour):
    _, b = neighbour()
    ids = [random_topic() for _ in range(3)]
    b.client(*(overlay(id) for id in ids), client_id="sleeper", clean=False, session_expiry=HOUR)
    wait_records(b, 3)
    b.stop()
    b.options.append(("max_overlays_per_client", "2"))
    b.start()
    b.wait_log("not joined for client sleeper, whose subscription stays local: over max_overlays")
    wait_overlays(b, 2)
    wait_records(b, 2)
