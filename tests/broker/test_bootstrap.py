# SPDX-License-Identifier: MIT OR Apache-2.0
"""Nodes that know one other node at most, by `bootstrap`, find the rest by discovery."""

import contextlib
import pathlib
import socket
import time

import pytest

from compile import shared_library
from identity import make_identity, overlay, random_topic
from mesh import Mesh
from ports import free_port
from pulse import Pulse
from settings import PATIENCE, within

SHIM = pathlib.Path(__file__).with_name("network_preload.c")

# What the issue promises, in seconds.
FOUND = 5.0
CHAIN = 10.0
RESTARTED = 2.0
# What has died without a word is noticed after ten seconds.
NOTICED = 15.0
# A node that was away is asked again after 30 s at the latest.
FOUND_AGAIN = 40.0


@contextlib.contextmanager
def silence():
    """An address at which nobody answers anything."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        yield "127.0.0.1:{}".format(sock.getsockname()[1])


def start_all(*brokers):
    """At once."""
    for broker in brokers:
        broker.spawn()
    for broker in brokers:
        broker.attach()
    return brokers


@pytest.mark.parametrize("first", ["naming", "named"])
def test_one_side_names_the_other(brokers, first):
    a, b = brokers(), brokers()
    a.add_bootstrap(b)
    for broker in (a, b) if first == "naming" else (b, a):
        broker.start()
    Mesh(random_topic(), a, b).round("hello", within(FOUND))


def test_topics_of_later(brokers):
    """Found out about as they come: the two have met long ago."""
    a, b = brokers(), brokers()
    a.add_bootstrap(b)
    a.start(), b.start()
    Mesh(random_topic(), a, b).round("first", within(FOUND))
    for number in range(3):
        Mesh(random_topic(), a, b).round(f"later {number}", within(FOUND))


def test_nothing_in_common(brokers):
    """A way in is no peer: it is not asked for what it has not shown to share, and the
    connection for discovery does not stay."""
    a, b = brokers(), brokers()
    a.add_bootstrap(b)
    b.start(), a.start()
    a.client(overlay(random_topic()))
    b.client(overlay(random_topic()))
    for broker in (a, b):
        broker.wait_number("discovery/sessions", 1)
    for broker in (a, b):
        status = broker.wait_status(lambda status: status["connections"] == 0)
        assert status["peers/joins"] == status["neighbours"] == 0
        assert status["discovery/failed"] == 0


def test_through_a_third(brokers):
    """It has no topic of theirs; they learn of each other from it and need it no more."""
    hub, a, b = brokers(), brokers(), brokers()
    for broker in (a, b):
        broker.add_bootstrap(hub)
    start_all(hub, a, b)
    mesh = Mesh(random_topic(), a, b)
    mesh.round("with it", within(CHAIN))
    assert hub.number("peers/joins") == 0
    hub.kill()
    mesh.round("without it", within(FOUND))


# ---------------------------------------------------------------------------
# A chain of six


def chain(brokers):
    six = [brokers() for _ in range(6)]
    for one, next_one in zip(six, six[1:], strict=False):
        one.add_bootstrap(next_one)
    begun = time.monotonic()
    start_all(*six)
    mesh = Mesh(random_topic(), *six)
    # What is published before all are there reaches those who are.
    mesh.heal(within(CHAIN) - (time.monotonic() - begun))
    return six, mesh


@pytest.mark.parametrize("killed", [(2, 3), (1, 4), (0, 5)], ids=str)
def test_any_two_of_six_are_killed(brokers, killed):
    six, mesh = chain(brokers)
    left = [broker for number, broker in enumerate(six) if number not in killed]
    for number in killed:
        six[number].kill()
    rest = mesh.part(*left)
    # Their connections time out after ten seconds: where all ways led through them, the rest
    # hear of that then.
    took = rest.heal(within(NOTICED))
    print(f"healed after {took:.1f} s")
    for number in range(5):
        rest.round(f"without them {number}", within(FOUND))
    # They come back, and know of the others by themselves.
    start_all(*(six[number] for number in killed))
    mesh.join(*(six[number] for number in killed))
    mesh.heal(within(CHAIN))


# ---------------------------------------------------------------------------
# A bootstrap node in trouble


def test_one_is_dead_from_the_start(brokers, tmp_path):
    """Beside it the other one works; when it comes at last, it is found."""
    a, b, c = brokers(), brokers(), brokers()
    with silence() as nobody:
        a.add_bootstrap(make_identity(tmp_path / "nobody.pem"), nobody)
        a.add_bootstrap(c)
        a.add_bootstrap(b)
        start_all(a, b)
        mesh = Mesh(random_topic(), a, b)
        mesh.round("beside the dead", within(FOUND))
        Mesh(random_topic(), a, b).round("another topic", within(FOUND))
        c.start()
        mesh.join(c)
        mesh.heal(within(FOUND_AGAIN))


def test_one_dies_later(brokers):
    """Nothing waits for it."""
    a, b, c = brokers(), brokers(), brokers()
    a.add_bootstrap(b)
    a.add_bootstrap(c)
    start_all(a, b, c)
    mesh = Mesh(random_topic(), a, b, c)
    mesh.heal(within(FOUND))
    b.kill()
    rest = mesh.part(a, c)
    for number in range(5):
        rest.round(f"without it {number}", within(FOUND))
    Mesh(random_topic(), a, c).round("another topic", within(FOUND))


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_one_is_back_with_another_address(brokers, how):
    """Nobody was told; it knows the others, and they believe what it has signed."""
    a, b = brokers(), brokers()
    a.add_bootstrap(b)
    start_all(a, b)
    mesh = Mesh(random_topic(), a, b)
    mesh.round("before", within(FOUND))
    b.wait_in_book(a)
    b.kill() if how == "killed" else b.stop()
    b.quic_port = free_port()
    b.start()
    mesh.join(b)
    mesh.heal(within(FOUND))
    # a goes by that from now on, whatever its configuration says.
    a.wait_in_book(b)
    a.stop()
    a.start()
    mesh.join(a)
    mesh.heal(within(FOUND))


def test_its_name_leads_elsewhere(brokers, tmp_path):
    """It cannot be looked up at first; then it is found; then it moves, and has forgotten
    whom it knew: the name is looked up again."""
    names = tmp_path / "names"
    a = brokers(
        preload=[shared_library(SHIM, tmp_path)], environment={"TEST_NAMES": str(names)}
    )
    b = brokers()
    a.add_bootstrap(b.id, f"moving.invalid:{b.quic_port}")
    start_all(a, b)
    mesh = Mesh(random_topic(), a, b)
    a.wait_log("cannot look up moving.invalid")
    names.write_text("127.0.0.1\n")
    mesh.heal(within(FOUND_AGAIN))
    b.stop()
    b.bind = ["127.0.0.2"]
    for file in b.state_dir.glob("p2panda.db*"):
        file.unlink()
    names.write_text("127.0.0.2\n")
    b.start()
    mesh.join(b)
    mesh.heal(within(FOUND_AGAIN))


def test_one_is_back_with_another_key(brokers, tmp_path):
    """It is somebody else: not taken for the old one, and the others do not suffer."""
    a, b, c = brokers(), brokers(), brokers()
    a.add_bootstrap(b)
    a.add_bootstrap(c)
    start_all(a, b, c)
    mesh = Mesh(random_topic(), a, b, c)
    mesh.heal(within(FOUND))
    b.stop()
    (b.state_dir / "identity.pem").unlink()
    for file in b.state_dir.glob("p2panda.db*"):
        file.unlink()
    old = b.id
    b.id = make_identity(b.state_dir / "identity.pem")
    assert b.id != old
    b.start()
    stranger = b.client(overlay(mesh.id))
    rest = mesh.part(a, c)
    rest.round("beside the stranger", within(FOUND))
    # For a neighbour or for discovery, whichever comes first.
    a.wait_log(f"{old[:10]} at .*: peer is not the dialled node", within(FOUND_AGAIN))
    rest.round("still", within(FOUND))
    assert b.number("neighbours") == 0 and not stranger.payloads(overlay(mesh.id))
    # Once it is known by its new name, it is a node like any other.
    b.add_bootstrap(c)
    b.stop()
    b.start()
    mesh.join(b)
    mesh.heal(within(CHAIN))


# ---------------------------------------------------------------------------
# A restart with every peer learned and none configured


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_restart_with_learned_peers(brokers, how):
    hub, a, b, c = brokers(), brokers(), brokers(), brokers()
    for broker in (a, b, c):
        broker.add_bootstrap(hub)
    start_all(hub, a, b, c)
    id = random_topic()
    topic = overlay(id)
    mesh = Mesh(id, a, b, c)
    mesh.heal(within(CHAIN))
    hub.kill()
    for other in (b, c):
        a.wait_in_book(other)
    a.options.clear()
    sender = b.client(topic)
    with Pulse(lambda payload: sender.post(topic, payload), "pulse"):
        a.kill() if how == "killed" else a.stop()
        a.start()
        client = a.client(topic)
        since = time.monotonic()
        client.publish(topic, b"back")
        first = client.wait_prefix(topic, "pulse")
        assert first.time - since <= within(RESTARTED)
        for other in (b, c):
            at = next(one for one in mesh.members if one.node is other)
            heard = at._client.wait_message(topic, b"back", PATIENCE)
            assert heard.time - since <= within(RESTARTED)
    # Who has dialled whom is luck: the others look for it, too, and may be first. (That it dials
    # those it has learned of is seen where nobody else would: test_discovery.py.)
