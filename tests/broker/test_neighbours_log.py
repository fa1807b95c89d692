# SPDX-License-Identifier: MIT OR Apache-2.0
"""What the log says of whether sites are connected."""

import pathlib
import secrets

from compile import shared_library
from identity import overlay, random_topic

SHIM = pathlib.Path(__file__).with_name("network_preload.c")


def lines(broker, *parts: str) -> list[str]:
    return [line for line in broker.our_log() if all(part in line for part in parts)]


def test_once_per_node(brokers):
    """Two overlays, one neighbour; and when it goes, each overlay says that it is alone."""
    a, b = brokers(), brokers()
    a.add_peer(b)
    a.start(), b.start()
    ids = [random_topic(), random_topic()]
    clients = [broker.client(overlay(id)) for broker in (a, b) for id in ids]
    assert clients
    for broker in (a, b):
        broker.wait_number("neighbours", 2)
    assert lines(a, f"neighbour {b.id[:10]}") == [
        f"neighbour {b.id[:10]} at {b.address()}: here (dialled)"
    ]
    (incoming,) = lines(b, f"neighbour {a.id[:10]} at 127.0.0.1:")
    assert incoming.endswith(": here (incoming)")
    b.kill()
    a.wait_log(f"neighbour {b.id[:10]} at {b.address()}: gone")
    for id in ids:
        a.wait_log(f"overlay {id[:10]}: alone")
    a.wait_status(lambda status: status["neighbours"] == 0)
    assert len(lines(a, "gone (")) == 1 and len(lines(a, ": joined")) == 2


def test_a_stranger_is_said_too(brokers):
    """c is known to a by hearsay alone."""
    a, b, c = brokers(), brokers(), brokers()
    a.add_peer(b)
    c.add_peer(b)
    id = random_topic()
    for broker in (b, a, c):
        broker.start()
        broker.client(overlay(id))
    a.wait_log(f"neighbour {c.id[:10]} at .*: here")
    c.wait_log(f"neighbour {a.id[:10]} at .*: here")


def test_alone_is_not_joined(brokers):
    a, b = brokers(), brokers()
    a.add_peer(b)
    a.start()
    id = random_topic()
    a.client(overlay(id))
    a.wait_number("peers/dials_failed", 2)
    assert lines(a, ": joined") == lines(a, ": here (") == lines(a, ": reached") == []


def test_a_peer_is_said_without_a_subscription(brokers):
    a, b = brokers(), brokers()
    a.add_peer(b)
    a.start()
    a.wait_log(f"peer {b.id[:10]} at {b.address()}: ")
    b.start()
    a.wait_log(f"peer {b.id[:10]} at {b.address()}: reached")
    assert a.number("overlays") == b.number("overlays") == 0


def test_refused_by_the_other_side(brokers):
    """allow_node there: said once here, however often it is tried, and never as a success."""
    a, b, other = brokers(), brokers(), brokers()
    b.options.append(("allow_node", other.id))
    a.add_peer(b)
    a.start(), b.start()
    a.client(overlay(random_topic()))
    b.wait_number("peers/refused", 5)
    assert len(lines(a, b.id[:10], "refused by peer", "it does not let us in")) == 1
    assert lines(a, ": connected") == lines(a, ": here (") == lines(a, ": reached") == []


def test_another_network_is_said_on_both_sides(brokers):
    a, b = brokers(), brokers(options=[("network_id", secrets.token_hex(32))])
    a.add_peer(b)
    a.start(), b.start()
    a.client(overlay(random_topic()))
    a.wait_log(f"peer {b.id[:10]} at {b.address()}: refused by peer.*other network id")
    b.wait_log(r"refused a node at 127\.0\.0\.1:\d+: no common protocol \(other network id\?\)$")


def test_a_name_that_is_gone_is_said_once(brokers, tmp_path):
    """Dials fail in between, in their own ways."""
    names = tmp_path / "names"
    names.touch()
    a = brokers(
        preload=[shared_library(SHIM, tmp_path)], environment={"TEST_NAMES": str(names)}
    )
    b = brokers()
    a.add_peer(b, f"moving.invalid:{b.quic_port}")
    a.start()
    a.client(overlay(random_topic()))
    # There, but nobody answers; then gone, and so on.
    for _ in range(3):
        before = a.number("peers/dials_failed")
        a.wait_number("peers/dials_failed", before + 2)
        names.unlink()
        before = a.number("peers/dials_failed")
        a.wait_number("peers/dials_failed", before + 2)
        names.touch()
    assert len(lines(a, "cannot look up moving.invalid")) == 1
    assert len(lines(a, b.id[:10])) <= 3


def test_a_hub_that_has_not_joined_says_so(brokers):
    """Two sites reach only a common broker, and hear nothing of each other."""
    hub, a, b = brokers(), brokers(), brokers()
    id = random_topic()
    hub.start()
    for site in (a, b):
        site.add_peer(hub)
        site.start()
        site.client(overlay(id))
    line = hub.wait_log(f"overlay {id[:10]}: peers .* has not joined it.*option topic").string
    assert a.id[:10] in line and b.id[:10] in line
    assert len(lines(hub, "has not joined it")) == 1
