# SPDX-License-Identifier: MIT OR Apache-2.0
"""A state_dir on a disk that is full, or read-only, or gone; and one that two brokers share."""

import contextlib
import pathlib
import shutil
import sqlite3
import subprocess

import pytest

from identity import make_identity, overlay, random_topic
from raw import RawClient

CANNOT = r"p2panda: state_dir cannot be written \(.*\): what changes, .* is tried again"
FORGOTTEN = "what sessions that are offline have subscribed is joined when they are back"


@pytest.fixture
def disk(tmp_path):
    """A small file system of its own; it is read-only when it has been told so."""
    path = tmp_path / "disk"
    path.mkdir()

    def mount(options: str):
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)], check=True)

    mount("size=400k")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


def fill(disk: pathlib.Path) -> pathlib.Path:
    """Takes what is left; returns the file that holds it."""
    file = disk / "filling"
    with contextlib.suppress(OSError), open(file, "wb", buffering=0) as out:
        while True:
            out.write(bytes(4096))
    return file


def subscribe(broker, count: int) -> RawClient:
    """As many persistent subscriptions."""
    client = RawClient(broker.mqtt_port, "many", version=5)
    client.subscribe(*((overlay(random_topic()), 1) for _ in range(count)))
    return client


def records(state_dir: pathlib.Path) -> int:
    file = f"file:{state_dir}/p2panda.db?mode=ro"
    with contextlib.closing(sqlite3.connect(file, uri=True)) as db:
        # Of subscriptions (plugin/sessions.h).
        query = "SELECT count(*) FROM record WHERE substr(key, 1, 2) = x'fe73'"
        return db.execute(query).fetchone()[0]


def on(disk: pathlib.Path, brokers, **options):
    state_dir = disk / "state"
    state_dir.mkdir(mode=0o700, exist_ok=True)
    broker = brokers(options=[("state_dir", str(state_dir))], **options)
    if not (state_dir / "identity.pem").exists():
        broker.id = make_identity(state_dir / "identity.pem")
    return broker


def test_full(brokers, disk):
    """It is said once, counted, tried again, and written when there is room."""
    a = on(disk, brokers)
    a.start()
    filling = fill(disk)
    client = subscribe(a, 90)
    a.wait_log(CANNOT)
    a.wait_number("store/failed", 2)
    assert sum("cannot be written" in line for line in a.our_log()) == 1
    # All else goes on.
    a.wait_status(lambda status: status["overlays"] == 90)
    filling.unlink()
    a.wait_log("state_dir: what had to wait is written now")
    a.stop()
    assert records(disk / "state") == 90
    client.close()


def test_read_only(brokers, disk):
    """It starts, says so and works."""
    a = on(disk, brokers)
    a.start()
    a.stop()
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    a.start()
    a.wait_log("p2panda.db: .*; what is known is forgotten at a restart")
    b = brokers()
    b.add_peer(a)
    b.start()
    topic = overlay(random_topic())
    near, far = a.client(topic), b.client(topic)
    b.wait_joined(topic[8:])
    near.publish(topic, b"from a read-only place")
    far.wait_message(topic, b"from a read-only place")


def test_full_at_the_start(brokers, disk):
    """It starts, goes on from what it knows, and writes what is new when there is room."""
    a = on(disk, brokers, lines=["persistence true", f"persistence_location {disk.parent}/"])
    a.start()
    client = RawClient(a.mqtt_port, "some", version=5, lasting=True)
    client.subscribe(*((overlay(random_topic()), 1) for _ in range(3)))
    a.wait_status(lambda status: status["overlays"] == 3)
    client.close()
    a.stop()
    assert records(disk / "state") == 3
    filling = fill(disk)
    a.start()
    a.wait_status(lambda status: status["overlays"] == 3)
    client = RawClient(a.mqtt_port, "more", version=5, lasting=True)
    client.subscribe(*((overlay(random_topic()), 1) for _ in range(90)))
    a.wait_status(lambda status: status["overlays"] == 93)
    a.wait_log(CANNOT)
    filling.unlink()
    a.wait_log("state_dir: what had to wait is written now")
    a.stop()
    assert records(disk / "state") == 93


@pytest.mark.parametrize("how", ["full", "read-only"])
def test_there_is_no_room_for_a_key(brokers, disk, how):
    """The broker says so and does not start with a key that nobody would know again."""
    state_dir = disk / "state"
    state_dir.mkdir(mode=0o700)
    if how == "full":
        fill(disk)
    else:
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    a = brokers(identity=False, options=[("state_dir", str(state_dir))])
    line = a.wait_refusal()
    assert str(state_dir) in line
    assert ("No space left" if how == "full" else "Read-only file system") in line
    assert not any(state_dir.iterdir())


@pytest.mark.parametrize("how", ["gone", "empty", "foreign"])
def test_without_its_database(brokers, how):
    """What that means is said."""
    a = brokers(identity=False)
    a.start()
    assert not any("was not there" in line for line in a.our_log()), "a first start is none"
    a.stop()
    for file in a.state_dir.glob("p2panda.db*"):
        file.unlink()
    if how == "empty":
        (a.state_dir / "p2panda.db").touch()
    elif how == "foreign":
        shutil.copy(__file__, a.state_dir / "p2panda.db")
    a.start()
    a.wait_log("set aside, .*: " + FORGOTTEN if how == "foreign" else "or empty: " + FORGOTTEN)


def test_two_brokers_on_one_state_dir(brokers):
    """The second one would be the same node."""
    a = brokers()
    a.start()
    b = brokers(options=[("state_dir", str(a.state_dir))])
    assert b.wait_refusal() == (
        f"state_dir {a.state_dir} is in use by another broker: each needs its own, with its own "
        "identity"
    )
    # When the first one is gone, whatever the way, it is free.
    a.kill()
    b.start()
    assert b.id == a.id
