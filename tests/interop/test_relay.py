# SPDX-License-Identifier: MIT OR Apache-2.0
"""Nodes that have no way to each other but a relay: the real one, of iroh."""

import os
import time

import pytest

from app import APPLICATIONS
from identity import overlay, random_topic
from mesh import Mesh
from overlays import paced_to
from pulse import paced
from relayed import at_relay, counted, handed_on, say, subscribers
from rust_peer import GENERATIONS
from settings import PATIENCE, scaled, within
from usage import cpu_seconds, wake_ups

SIZES = (1, 200, 4057)
# A real peer, or an application, looks around now and then; the first Initial may be lost.
LONG = 2 * PATIENCE


def sized(first: bytes) -> list[bytes]:
    return [first + os.urandom(size - 1) for size in SIZES]


@pytest.fixture
def two(apart, brokers):
    """Two brokers that run, and share a relay alone; the first one names the other one."""

    def make(**options):
        relay, host_a, host_b = apart("ab", **options)
        a, b = (at_relay(brokers, relay, host=host) for host in (host_a, host_b))
        a.add_peer(b, relay.url)
        return relay, a.start(), b.start()

    return make


def test_two_brokers(two):
    relay, a, b = two()
    id = random_topic()
    topic = overlay(id)
    at_a, at_b = subscribers(id, a, b)
    for sender, receiver, first in ((at_a, at_b, b"a"), (at_b, at_a, b"b")):
        sent = sized(first)
        for payload in sent:
            sender.publish(topic, payload)
        receiver.wait_all(topic, sent)
    before = handed_on(relay)
    ways = [(at_a, at_b, counted("a", 1000)), (at_b, at_a, counted("b", 1000))]
    for sender, receiver, sent in ways:
        paced(lambda payload, sender=sender: sender.post(topic, payload, 1), sent)
        receiver.wait_all(topic, sent)
    # What comes next is next: nothing has come twice, or back.
    say(topic, at_a, at_b, "end of a")
    say(topic, at_b, at_a, "end of b")
    expected = 2 * (len(SIZES) + 1000 + 1)
    for client in (at_a, at_b):
        found = client.wait_count(topic, expected)
        assert len(found) == len(set(found)) == expected
    assert handed_on(relay) - before >= 2000 / 8


def test_a_burst(two):
    """3,000 messages of 1,000 bytes, both ways at once."""
    _, a, b = two()
    id = random_topic()
    topic = overlay(id)
    at_a, at_b = subscribers(id, a, b)
    count = scaled(3000)
    ways = [(at_a, at_b, counted("a", count, 1000)), (at_b, at_a, counted("b", count, 1000))]
    for pair in zip(*(sent for _, _, sent in ways), strict=True):
        for (sender, _, _), payload in zip(ways, pair, strict=True):
            sender.post(topic, payload, 1)
    for _, receiver, sent in ways:
        receiver.wait_all(topic, sent, within(30))
    say(topic, at_a, at_b, "end of a")
    say(topic, at_b, at_a, "end of b")
    for broker, client in ((a, at_a), (b, at_b)):
        found = client.wait_count(topic, 2 * (count + 1))
        assert len(found) == len(set(found)) == 2 * (count + 1)
        status = broker.status()
        assert {n: v for n, v in status.items() if n.startswith("dropped/") and v != "0"} == {}


@pytest.mark.parametrize("generation", GENERATIONS)
@pytest.mark.parametrize("dialler", ["we", "they", "they, without one"])
def test_a_broker_and_a_peer(apart, brokers, rust, generation, dialler):
    """They dial as well when they have no relay of their own."""
    relay, host_a, host_b = apart("ab")
    broker = at_relay(brokers, relay, host=host_a)
    home = dialler != "they, without one"
    peer = rust(generation, host=host_b, relays=[relay.url] if home else [])
    id = random_topic()
    topic = overlay(id)
    if dialler == "we":
        broker.add_peer(peer.id, relay.url)
        peer.join(id)
    broker.start()
    client = broker.client(topic)
    if dialler != "we":
        peer.node(broker.id, relay.url)
        peer.interest(broker.id, id)
        peer.join(id)
    broker.wait_joined(id, LONG)
    peer.wait("joined", LONG, topic=id)

    ours, theirs = sized(b"a"), sized(b"b")
    for payload in ours:
        client.publish(topic, payload)
    for payload in theirs:
        peer.publish(id, payload)
    peer.wait_all(id, ours)
    client.wait_all(topic, theirs)
    count = 1000
    burst = peer.burst(id, count, interval_us=1000, size=200)
    more = counted("ours", count, 200)
    paced_to(peer, id, lambda payload: client.post(topic, payload, 1), more)
    assert peer.wait_burst(burst)["sent"] == count
    peer.wait_all(id, more)
    client.wait_count(topic, 2 * (len(SIZES) + count))
    client.publish(topic, b"our end")
    peer.publish(id, b"their end")
    peer.wait_message(id, b"our end")
    client.wait_message(topic, b"their end")
    found = client.wait_count(topic, 2 * (len(SIZES) + count + 1))
    assert len(found) == len(set(found)) == 2 * (len(SIZES) + count + 1)
    assert sorted(peer.messages(id)) == sorted([*ours, *more, b"our end"])
    assert peer.lagged() == []


@pytest.mark.slow
def test_idle_and_then_traffic(apart, brokers, rust):
    """75 s without a message: the neighbours stay, and one goes through at once."""
    relay, *hosts = apart(["a", "b", "old", "new"])
    a, b = (at_relay(brokers, relay, host=host) for host in hosts[:2])
    peers = [
        rust(generation, host=host, relays=[relay.url])
        for generation, host in zip(("06", "071"), hosts[2:], strict=True)
    ]
    a.add_peer(b, relay.url)
    for peer in peers:
        a.add_peer(peer.id, relay.url)
    a.start(), b.start()
    mesh = Mesh(random_topic(), a, b, *peers)
    mesh.heal(within(LONG))
    # What may still come of that does.
    time.sleep(2)
    assert a.status()["neighbours"] == "3"
    for peer in peers:
        peer.forget_events()
    time.sleep(75)
    mesh.round("still there", within(2))
    assert a.status()["neighbours"] == "3"
    for peer in peers:
        assert peer.events("neighbour_down") == []


@pytest.mark.parametrize("generation", APPLICATIONS)
def test_an_application(apart, brokers, application, generation):
    """It is given our node id and the relay, which is all that the Node API can say; we know
    nothing of it."""
    relay, host_a, host_b = apart("ab")
    broker = at_relay(brokers, relay, host=host_a).start()
    id = random_topic()
    topic = f"{overlay(id)}/ephemeral/text"
    client = broker.client(topic)
    app = application(
        generation, host=host_b, relays=[relay.url], bootstraps=[(broker.id, relay.url)]
    )
    app.open(id, "text")
    broker.wait_joined(id, LONG)
    for number, text in enumerate(("one", "x" * 200, "y" * 3900)):
        client.publish(topic, f"ours {text}".encode())
        app.publish(id, f"theirs {text}")
        app.wait_count(id, number + 1)
        client.wait_message(topic, f"theirs {text}".encode())
    assert app.messages(id) == ["ours one", "ours " + "x" * 200, "ours " + "y" * 3900]


@pytest.mark.parametrize("generation", APPLICATIONS)
def test_an_application_later(apart, brokers, application, generation):
    """It runs already, and is told of us by its insert_bootstrap()."""
    relay, host_a, host_b = apart("ab")
    app = application(generation, host=host_b, relays=[relay.url])
    id = random_topic()
    app.open(id, "text")
    broker = at_relay(brokers, relay, host=host_a).start()
    topic = f"{overlay(id)}/ephemeral/text"
    client = broker.client(topic)
    app.bootstrap(broker.id, relay.url)
    broker.wait_joined(id, LONG)
    client.publish(topic, b"ours")
    app.publish(id, "theirs")
    app.wait_message(id, "ours")
    client.wait_message(topic, b"theirs")


# ---- TLS, tokens, names ----


def test_tls(apart, brokers, authority):
    """A relay whose certificate an authority of the owner's has signed."""
    relay, host_a, host_b = apart("ab", secure=True)
    a, b = (
        at_relay(brokers, relay, host=host, relay_ca=str(authority.path))
        for host in (host_a, host_b)
    )
    a.add_peer(b, relay.url)
    a.start(), b.start()
    id = random_topic()
    at_a, at_b = subscribers(id, a, b)
    for sender, receiver, first in ((at_a, at_b, b"a"), (at_b, at_a, b"b")):
        sent = [*sized(first), *counted(first.decode(), 300, 1000)]
        for payload in sent:
            sender.post(overlay(id), payload, 1)
        receiver.wait_all(overlay(id), sent)
    wait_state(a, "connected")
    assert a.status()["relay/url"] == relay.url


@pytest.mark.parametrize("name", ["relay.example", "relay.example."], ids=["name", "with-dot"])
def test_a_name(iroh_relay, authority, brokers, names, name):
    """The dot at the end of a name, which iroh's defaults have, is not in the certificate."""
    relay = iroh_relay(certificate=authority.issue("relay.example"), name=name)
    broker = brokers(
        options=[("relay", relay.url), ("relay_ca", str(authority.path))],
        **names({name: "127.0.0.1"}),
    ).start()
    wait_state(broker, "connected")
    assert broker.status()["relay/url"] == relay.url


def wait_state(broker, state, timeout=None):
    broker._monitor.wait(
        lambda: broker._status_now().get("relay/state") == state, timeout, f"state {state}"
    )


def token_file(path, token):
    path.write_text(token + "\n")
    path.chmod(0o600)
    return str(path)


def test_tokens(iroh_relay, brokers, tmp_path):
    """A relay that wants a token lets in who says it, and nobody else."""
    relay = iroh_relay(tokens=("the first", "the-second"))
    right = at_relay(brokers, relay, relay_token_file=token_file(tmp_path / "1", "the-second"))
    wrong = at_relay(brokers, relay, relay_token_file=token_file(tmp_path / "2", "the-third"))
    without = at_relay(brokers, relay)
    for broker in (right, wrong, without):
        broker.start()
    wait_state(right, "connected")
    for broker in (wrong, without):
        wait_state(broker, "denied")
        broker.wait_log("token")
        assert not any("the-third" in line for line in broker.log())


def test_the_same_identity_twice(iroh_relay, brokers, tmp_path):
    """A cloned volume: the one that came first is told so, and is back when the other has gone."""
    relay = iroh_relay()
    first, second = at_relay(brokers, relay), at_relay(brokers, relay)
    identity = second.state_dir / "identity.pem"
    identity.write_bytes((first.state_dir / "identity.pem").read_bytes())
    second.id = first.id
    first.start()
    wait_state(first, "connected")
    second.start()
    wait_state(second, "connected")
    wait_state(first, "elsewhere")
    first.wait_log("identity|elsewhere")
    second.stop()
    wait_state(first, "connected")


# ---- what it costs ----


@pytest.mark.slow
@pytest.mark.unsanitized
def test_idle_at_a_relay(iroh_relay, brokers):
    """A ping now and then, and its answer: nothing to speak of beside the same broker without."""
    relay = iroh_relay()
    measured = at_relay(brokers, relay).start(), brokers().start()
    wait_state(measured[0], "connected")
    time.sleep(2)
    before = [(wake_ups(one.process.pid), cpu_seconds(one.process.pid)) for one in measured]
    pings = relay.figures()["got_ping"]
    time.sleep(33)
    after = [(wake_ups(one.process.pid), cpu_seconds(one.process.pid)) for one in measured]
    (more, load), (base, base_load) = (
        (late[0] - early[0], late[1] - early[1]) for early, late in zip(before, after, strict=True)
    )
    print(f"{more} wake-ups against {base}, {load:.4f} s against {base_load:.4f} s")
    assert base > 100  # it is measured at all: the loop turns ten times per second
    # Its own pings and the relay's, each a packet or two.
    assert 1 <= relay.figures()["got_ping"] - pings <= 3
    assert more - base <= 33
    assert load - base_load <= 0.03


# ---- without a relay ----


def test_without_a_relay_nothing_changes(net, brokers, rust, iroh_relay):
    """Not a connection, though a neighbour is at a relay."""
    host_a, host_b = net.hosts("ab")
    relay = iroh_relay(host=net.host("relay"))
    broker = brokers(host=host_a)
    peer = rust("071", host=host_b, relays=[relay.url], discovery=True)
    broker.add_peer(peer.id, host_b.address())
    broker.start()
    id = random_topic()
    client = broker.client(overlay(id))
    peer.join(id)
    broker.wait_joined(id)
    peer.wait("joined", PATIENCE, topic=id)
    # It says where it is.
    broker.wait_in_book(peer.id, LONG)
    client.publish(overlay(id), b"ours")
    peer.wait_message(id, b"ours")
    assert connections(broker) == []
    status = broker.status()
    assert status.get("relay/url", "") == ""
    figures = {name: v for name, v in status.items() if name.startswith("relay/")}
    assert all(value in ("", "0", "off") for value in figures.values()), figures


def connections(broker) -> list[str]:
    """TCP sockets in the broker's network that are no clients' (those are local ones)."""
    found = []
    for name in ("tcp", "tcp6"):
        with open(f"/proc/{broker.process.pid}/net/{name}") as lines:
            found += list(lines)[1:]
    return found
