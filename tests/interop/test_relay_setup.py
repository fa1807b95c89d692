# SPDX-License-Identifier: MIT OR Apache-2.0
"""Do the real relay, and the reference peers and applications over it, themselves work? What fails
here is no failure of ours."""

import itertools
import socket
import ssl

import pytest

from app import APPLICATIONS
from bad_relay import SEND, SEND_BATCH, Hub
from identity import random_topic
from rust_peer import GENERATIONS
from settings import PATIENCE

# Nothing of ours takes part.
pytestmark = pytest.mark.unsanitized

# The first Initial is lost, discovery looks around now and then.
LONG = 2 * PATIENCE


def talk(one, other, id, count=20):
    for sender, receiver in ((one, other), (other, one)):
        sent = [b"%d of %s" % (number, sender.id.encode()) for number in range(count)]
        for payload in sent:
            sender.publish(id, payload)
        receiver.wait_all(id, sent)


# Who dials, who is dialled, whether the dialler has a relay as well.
MATRIX = [*itertools.product(GENERATIONS, GENERATIONS, [True]), ("071", "071", False)]


@pytest.mark.parametrize("dialler, dialled, home", MATRIX)
def test_peers_over_a_relay(apart, rust, dialler, dialled, home):
    """They have no way to each other, and are told nothing but the relay."""
    relay, host_a, host_b = apart("ab")
    a = rust(dialler, host=host_a, relays=[relay.url] if home else [])
    b = rust(dialled, host=host_b, relays=[relay.url])
    id = random_topic()
    b.join(id)
    a.node(b.id, relay.url)
    a.interest(b.id, id)
    a.join(id)
    for peer in (a, b):
        peer.wait("joined", LONG, topic=id)
    talk(a, b, id)
    # What is said at once may go in few of them.
    assert relay.figures()["send_packets_recv"] > 10


@pytest.mark.parametrize("generation", GENERATIONS)
def test_it_is_the_relay(apart, rust, generation):
    """Without it they do not meet; and no other way was left open."""
    relay, host_a, host_b = apart("ab")
    a, b = rust(generation, host=host_a), rust(generation, host=host_b)
    id = random_topic()
    b.join(id)
    a.node(b.id, host_b.address())
    a.interest(b.id, id)
    a.join(id)
    with pytest.raises(AssertionError):
        b.wait("joined", 5, topic=id)
    assert relay.figures()["send_packets_recv"] == 0


@pytest.mark.parametrize("generation", APPLICATIONS)
def test_applications_over_a_relay(apart, application, generation):
    """They are told of each other what the Node API can say: a node id and a relay."""
    relay, host_a, host_b = apart("ab")
    b = application(generation, host=host_b, relays=[relay.url])
    a = application(generation, host=host_a, relays=[relay.url], bootstraps=[(b.id, relay.url)])
    id = random_topic()
    for app in (a, b):
        app.open(id, "text")
    for one, other in ((a, b), (b, a)):
        one.publish(id, f"from {one.id}")
        other.wait_message(id, f"from {one.id}", LONG)


@pytest.mark.parametrize("dialler, dialled", [("06", "071"), ("071", "06")])
def test_a_relay_of_the_tests(net, rust, bad_relay, dialler, dialled):
    """The one in Python, as long as it does not misbehave, is one for real peers."""
    hub = Hub()
    hosts = net.hosts("ab")
    for host in hosts:
        host.cable.isolate()
    relay = bad_relay(hub, host=net.host("relay"))
    a, b = (
        rust(generation, host=host, relays=[relay.url])
        for generation, host in zip((dialler, dialled), hosts, strict=True)
    )
    id = random_topic()
    b.join(id)
    a.node(b.id, relay.url)
    a.interest(b.id, id)
    a.join(id)
    for peer in (a, b):
        peer.wait("joined", LONG, topic=id)
    talk(a, b, id)
    assert hub.came[SEND] + hub.came[SEND_BATCH] > 10


def test_tls(iroh_relay, authority):
    """A relay with a certificate answers with it; real peers would not believe it."""
    relay = iroh_relay(certificate=authority.issue("localhost"), name="localhost")
    context = ssl.create_default_context(cafile=str(authority.path))
    with socket.create_connection(("127.0.0.1", relay.port), PATIENCE) as sock:
        with context.wrap_socket(sock, server_hostname="localhost") as tls:
            tls.sendall(b"GET /ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            assert tls.recv(100).startswith(b"HTTP/1.1 200")
