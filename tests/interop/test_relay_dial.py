# SPDX-License-Identifier: MIT OR Apache-2.0
"""Which relays are connected to: with `relay_dial known` those of our configuration alone, with
`any` also those that others name, where that can do no harm."""

import contextlib
import pathlib
import select
import time

import pytest

from authority import Authority
from bad_relay import BadRelay, Connection
from identity import overlay, random_topic
from raw_node import RawNode
from relayed import LINES, at_relay, say
from settings import PATIENCE, within

# An address of the internet, which nobody has here but the test's own host.
PUBLIC = "8.8.4.4"
# So long nobody may come; an address that is wanted is dialled within a second.
QUIET = 6.0


@pytest.fixture
def trap():
    """Listening sockets that nobody accepts anything from: who knocks is seen."""
    socks = []

    def make(host, address):
        socks.append(host.tcp(address))
        socks[-1].listen()
        return socks[-1].getsockname()[1]

    make.sprung = lambda: [sock.getsockname() for sock in select.select(socks, [], [], 0)[0]]
    yield make
    for sock in socks:
        sock.close()


@pytest.mark.parametrize("dial", ["known", "any"])
def test_what_a_peer_names(net, iroh_relay, brokers, trap, names, dial):
    """Loopback, the broker's own host, another host of its network: by number and by name, with
    TLS and without. The traps themselves are seen to work at the end."""
    host_a, host_b, host_c = net.hosts("abc")
    relay = iroh_relay(host=net.host("relay"))
    own, near = host_a.addresses[0], host_c.addresses[0]
    broker = brokers(
        host=host_a,
        options=[("relay", relay.url), ("relay_dial", dial)],
        **names({"loopback.example": "127.0.0.1", "own.example": own, "near.example": near}),
    )
    places = [
        (host_a, "127.0.0.1", "127.0.0.1"),
        (host_a, "127.0.0.1", "localhost"),
        (host_a, "127.0.0.1", "loopback.example"),
        (host_a, "127.0.0.1", "[::ffff:127.0.0.1]"),
        (host_a, own, own),
        (host_a, own, "own.example"),
        (host_a, host_a.addresses[1], f"[{host_a.addresses[1]}]"),
        (host_c, near, near),
        (host_c, near, "near.example"),
    ]
    urls = [
        f"{scheme}://{name}:{trap(host, address)}/"
        for host, address, name in places
        for scheme in ("http", "https")
    ]
    with contextlib.ExitStack() as stack:
        raw = stack.enter_context(RawNode(host_b))
        broker.add_bootstrap(raw.id, raw.address)
        id = random_topic()
        raw.serve(topics=[id], nodes=f"good 3 {urls[0]}")
        broker.start()
        broker.client(overlay(id))
        raw.wait_served(1)
        # One after the other: an info names few of them.
        for url in urls:
            raw.session(broker, topics=[id], nodes=f"good 1 {url}")
        for number in range(0, len(urls), 4):
            raw.session(broker, topics=[id], nodes=f"self 1 {','.join(urls[number : number + 4])}")
        time.sleep(QUIET)
        assert trap.sprung() == []
        assert broker.status()["relay/state"] == "connected"
    # Is somebody who knocks seen at all?
    with host_a.tcp("127.0.0.1") as sock:
        port = int(urls[0].rsplit(":", 1)[1].strip("/"))
        sock.connect(("127.0.0.1", port))
        assert trap.sprung()


@pytest.mark.parametrize("generation", ["06", "071"])
def test_where_a_real_peer_is(net, iroh_relay, brokers, rust, generation):
    """It says so by discovery, gossip and mDNS; and when there is no other way to it any more, it is
    gone."""
    host_a, host_b = net.hosts("ab")
    ours = iroh_relay("ours", host=net.host("ours"))
    theirs = iroh_relay("theirs", host=net.host("theirs"))
    broker = at_relay(brokers, ours, host=host_a, mdns="active")
    peer = rust(generation, host=host_b, relays=[theirs.url], discovery=True, mdns="active")
    peer.watch(peer.id)
    broker.start()
    id = random_topic()
    topic = overlay(id)
    client = broker.client(topic)
    peer.join(id)
    broker.wait_joined(id, 2 * PATIENCE)
    client.publish(topic, b"ours")
    peer.wait_message(id, b"ours")
    broker.wait_in_book(peer.id)
    time.sleep(QUIET)
    for host in (host_a, host_b):
        host.cable.isolate()
    broker.wait_status(lambda now: now["neighbours"] == 0, within(2 * PATIENCE))
    time.sleep(QUIET)
    assert broker.number("neighbours") == 0
    assert theirs.figures()["accepts"] == 1
    assert remotes(broker) == {(ours.address, ours.port)}


# States of TCP: established, and on the way to it (the kernel's net/tcp_states.h).
OPEN = ("01", "02")


def remotes(broker, states=None) -> set[tuple[str, int]]:
    """Where TCP connections of the broker's host lead to: those that are in one of these states,
    or all."""
    found = set()
    for line in pathlib.Path(f"/proc/{broker.process.pid}/net/tcp").read_text().splitlines()[1:]:
        _, _, remote, state, *_ = line.split()
        address, port = remote.split(":")
        if port != "0000" and (states is None or state in states):
            host = ".".join(map(str, reversed(bytes.fromhex(address))))
            found.add((host, int(port, 16)))
    return found


@pytest.mark.parametrize("dial", ["known", "any"])
def test_a_public_one(net, iroh_relay, brokers, tmp_path, names, dial):
    """Two brokers without a way to each other, of which one is at a relay that the other one hears
    of by a third node."""
    hosts = host_a, host_b = net.hosts("ab")
    for host in hosts:
        host.cable.isolate()
    at = net.host("relay")
    at.replace_addresses(PUBLIC)
    authority = Authority(tmp_path / "authority")
    relay = iroh_relay(host=at, certificate=authority.issue("relay.example"), name="relay.example")
    found = names({"relay.example": PUBLIC})
    third = brokers(host=net.host("c")).start()
    trust = ("relay_ca", str(authority.path))
    a = brokers(host=host_a, lines=LINES, options=[("relay_dial", dial)], **found)
    if dial == "any":
        a.options.append(trust)
    b = brokers(host=host_b, lines=LINES, options=[("relay", relay.url), trust], **found)
    for broker in (a, b):
        broker.add_bootstrap(third)
    id = random_topic()
    topic = overlay(id)
    b.start()
    at_b = b.client(topic)
    b._monitor.wait(lambda: b._status_now()["relay/state"] == "connected", what="connected")
    third.wait_in_book(b)
    a.start()
    at_a = a.client(topic)
    if dial == "any":
        a.wait_joined(id, 2 * PATIENCE)
        say(topic, at_a, at_b, "by a relay that only b has named")
    else:
        a.wait_in_book(b)
        time.sleep(QUIET)
        assert a.number("neighbours") == 0
        assert remotes(a) == set()
        assert relay.figures()["accepts"] == 1


def test_not_too_many(net, iroh_relay, brokers, names):
    """`any`: at most eight at a time, of however many that are named."""
    host_a, host_b = net.hosts("ab")
    at = net.host("relay")
    at.replace_addresses(PUBLIC)
    home = iroh_relay(host=net.host("home"))
    servers = [
        BadRelay(Connection.wait_end, host=at, name=f"r{number}.example") for number in range(14)
    ]
    broker = brokers(
        host=host_a,
        options=[("relay", home.url), ("relay_dial", "any")],
        **names({f"r{number}.example": PUBLIC for number in range(14)}),
    )
    try:
        with RawNode(host_b) as raw:
            broker.add_bootstrap(raw.id, raw.address)
            id = random_topic()
            broker.start()
            broker.client(overlay(id))
            for server in servers:
                url = server.url.replace("http:", "https:")
                raw.session(broker, topics=[id], nodes=f"good 1 {url}")
            most, limit = 0, time.monotonic() + 2 * QUIET
            while time.monotonic() < limit:
                places = remotes(broker, OPEN)
                most = max(most, sum(address == PUBLIC for address, _ in places))
                time.sleep(0.01)
            print(f"{sum(len(one.times) for one in servers)} connections, {most} at a time")
            assert 4 <= most <= 8
            assert broker.status()["relay/state"] == "connected"
    finally:
        for server in servers:
            server.close()
