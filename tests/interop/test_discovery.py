# SPDX-License-Identifier: MIT OR Apache-2.0
"""Brokers and Rust peers of every generation find each other: one address, on one side, and
nobody is told who has which topic. By mDNS: none at all."""

import contextlib
import itertools
import sqlite3
import time
import time

import pytest

from identity import overlay, random_topic
from mesh import Mesh
from overlays import listens_at
from pulse import Pulse
from rust_peer import DIALECTS
from settings import PATIENCE, within

DIALECT = pytest.mark.parametrize("generation", DIALECTS)

# What the issue promises, in seconds.
FOUND = 5.0
RESTARTED = 2.0
HEALED = 15.0
MOVED = 20.0
# A Rust peer keeps to a dead connection for ten seconds or fifteen, and may need a second try.
PEER_MOVED = 40.0


@DIALECT
def test_only_we_know(rust, brokers, generation):
    peer, broker = rust(generation, discovery=True), brokers()
    broker.add_bootstrap(peer.id, listens_at(peer))
    broker.start()
    Mesh(random_topic(), broker, peer).round("hello", within(FOUND))
    # Nothing of that depends on the first topic.
    Mesh(random_topic(), broker, peer).round("another", within(FOUND))
    broker.wait_number("discovery/sessions", 1)


@DIALECT
def test_only_they_know(rust, brokers, generation):
    peer, broker = rust(generation, discovery=True), brokers()
    broker.start()
    peer.node(broker.id, broker.address(), bootstrap=True)
    Mesh(random_topic(), broker, peer).round("hello", within(FOUND))
    Mesh(random_topic(), broker, peer).round("another", within(FOUND))
    broker.wait_number("discovery/sessions", 1)


@DIALECT
def test_the_clock_has_gone_back(rust, brokers, generation):
    """As on a machine without a battery: what we say of ourselves now has to be newer than what
    we have said before, or nobody would believe that we have moved."""
    peer, broker = rust(generation, discovery=True), brokers()
    broker.add_bootstrap(peer.id, listens_at(peer))
    broker.start()
    peer.watch(broker.id)
    before = told_at(peer.wait_knows(broker.id, lambda known: known["kind"] == "authenticated"))
    broker.stop()
    # Some minutes in the future is where it was then.
    last = before + 500 * 1_000_000
    set_last_time(broker, last)
    broker.start()
    peer.wait_knows(broker.id, lambda known: told_at(known) == last + 1)


@DIALECT
def test_the_clock_was_in_the_future(rust, brokers, generation):
    """When it was started once: what was said then nobody believes, so that it is no reason to
    say the like again."""
    peer, broker = rust(generation, discovery=True), brokers()
    broker.add_bootstrap(peer.id, listens_at(peer))
    broker.start().stop()
    set_last_time(broker, (int(time.time()) + 10 * 365 * 86400) * 1_000_000)
    broker.start()
    broker.wait_log("in the future, when its clock was wrong: it is forgotten")
    peer.watch(broker.id)
    now = time.time() * 1_000_000
    known = peer.wait_knows(broker.id, lambda known: known["kind"] == "authenticated")
    assert abs(told_at(known) - now) < 60 * 1_000_000


def set_last_time(broker, last: int):
    with contextlib.closing(sqlite3.connect(broker.state_dir / "p2panda.db")) as database:
        done = database.execute(
            "UPDATE own SET value = ? WHERE name = 'info_time'", (last.to_bytes(8, "big"),)
        )
        assert done.rowcount == 1
        database.commit()


def told_at(transports) -> int:
    return int(transports["timestamp"].partition("/")[0])


@pytest.mark.parametrize("mode", ["active", "passive"])
@DIALECT
def test_mdns_only(net, rust, brokers, generation, mode):
    host, other = net.hosts("ab")
    peer = rust(generation, discovery=True, mdns="active", host=other)
    broker = brokers(host=host, options=[("mdns", mode)])
    broker.start()
    Mesh(random_topic(), broker, peer).round("hello", within(FOUND))
    broker.wait_number("discovery/mdns_found", 1)
    assert broker.number("discovery/bad_packets") == 0


@pytest.mark.parametrize("way", ["theirs", "ours", "mdns"])
def test_dialects_in_a_line(net, rust, brokers, way):
    """As many dialects: peers of each know our broker only, and could not discover each other
    if they did; through it they are on one overlay."""
    hosts = iter(net.hosts("abcd")) if way == "mdns" else itertools.repeat(None)
    broker = brokers(host=next(hosts), options=[("mdns", "active")] if way == "mdns" else [])
    peers = [
        rust(
            generation,
            discovery=True,
            mdns="active" if way == "mdns" else None,
            host=next(hosts),
        )
        for generation in DIALECTS
    ]
    if way == "ours":
        for peer in peers:
            broker.add_bootstrap(peer.id, listens_at(peer))
    broker.start()
    if way == "theirs":
        for peer in peers:
            peer.node(broker.id, broker.address(), bootstrap=True)
    for number in range(2):
        mesh = Mesh(random_topic(), broker, *peers)
        mesh.heal(within(2 * FOUND))
        mesh.round(f"overlay {number}", within(FOUND))


@pytest.mark.parametrize("how", ["killed", "stopped"])
@DIALECT
def test_restart_with_learned_peers(rust, brokers, generation, how):
    """We have learned of the peer, which does not redial; nothing is configured here."""
    peer, broker = rust(generation, discovery=True), brokers()
    broker.start()
    peer.node(broker.id, broker.address(), bootstrap=True)
    id = random_topic()
    topic = overlay(id)
    Mesh(id, broker, peer).round("before", within(FOUND))
    broker.wait_in_book(peer.id)
    broker.wait_remembers(id, peer.id)
    with Pulse(lambda payload: peer.publish(id, payload), "pulse", 0.05):
        broker.kill() if how == "killed" else broker.stop()
        broker.start()
        client = broker.client(topic)
        since = time.monotonic()
        client.publish(topic, b"back")
        first = client.wait_prefix(topic, "pulse")
        heard = peer.wait_message(id, b"back", PATIENCE)
    assert first.time - since <= within(RESTARTED)
    assert heard["_received"] - since <= within(RESTARTED)


@pytest.mark.slow
@pytest.mark.parametrize(("who", "limit"), [("broker", MOVED), ("peer", PEER_MOVED)])
@DIALECT
def test_addresses_change(net, rust, brokers, generation, who, limit):
    """We move, and those who knew us at the old address reach us again; or the other one does,
    which holds on to its dead connection for longer and has lost us when that ends."""
    here, there = net.hosts("ab")
    broker, peer = brokers(host=here), rust(generation, discovery=True, host=there)
    broker.start()
    peer.node(broker.id, broker.address(), bootstrap=True)
    mesh = Mesh(random_topic(), broker, peer)
    mesh.heal(within(2 * FOUND))
    (here if who == "broker" else there).replace_addresses("10.77.9.9", "fd77::99")
    took = mesh.heal(within(limit))
    print(f"reached again after {took:.1f} s")


@pytest.mark.slow
def test_partition(net, rust, brokers):
    """Two sites with two brokers and a Rust peer each, one of each generation; for 30 s."""
    sites = [net.switch(), net.switch()]
    trunk = net.trunk(*sites)
    four = [brokers(host=net.host(name, sites[at > 1])) for at, name in enumerate("abcd")]
    peers = [
        rust(generation, discovery=True, host=net.host(f"p{generation}", site))
        for generation, site in zip(("06", "071"), sites, strict=True)
    ]
    for one, next_one in zip(four, four[1:], strict=False):
        one.add_bootstrap(next_one)
    for broker in four:
        broker.start()
    for peer, broker in zip(peers, (four[0], four[3]), strict=True):
        peer.node(broker.id, broker.address(), bootstrap=True)
    mesh = Mesh(random_topic(), *four, *peers)
    mesh.heal(within(2 * FOUND))

    trunk.cut()
    cut = time.monotonic()
    parts = [mesh.part(four[0], four[1], peers[0]), mesh.part(four[2], four[3], peers[1])]
    for part in parts:
        part.heal(within(HEALED))
    while time.monotonic() < cut + 30:
        for part in parts:
            part.round("meanwhile", within(HEALED))
        time.sleep(1)
    trunk.mend()
    took = mesh.heal(within(HEALED))
    print(f"healed after {took:.1f} s")
