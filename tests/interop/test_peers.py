# SPDX-License-Identifier: MIT OR Apache-2.0
"""Do the reference peers themselves work, among each other?"""

import secrets

import pytest

from rust_peer import (
    PeerError,
    RustPeer,
    connect,
    free_port,
    introduce,
    random_topic,
)

PAIRS = [("06", "06"), ("071", "071"), ("06", "071")]


@pytest.fixture
def start():
    """Starts peers that end with the test."""
    peers = []

    def start_peer(generation, **options):
        peers.append(RustPeer(generation, **options))
        return peers[-1]

    yield start_peer
    for peer in peers:
        peer.close()


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_messages_both_ways(start, first, second):
    a, b = start(first), start(second)
    topic = random_topic()
    connect(a, b, topic)
    a.publish(topic, b"from a")
    b.publish(topic, b"from b")
    b.wait_message(topic, b"from a")
    a.wait_message(topic, b"from b")
    assert a.messages(topic) == [b"from b"]
    assert b.messages(topic) == [b"from a"]


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_burst(start, first, second):
    a, b = start(first), start(second)
    topic = random_topic()
    connect(a, b, topic)
    number = a.burst(topic, count=500, interval_us=1000, size=200, start=7)
    assert a.wait_burst(number)["sent"] == 500
    got = b.wait_count(topic, 500)
    assert {len(data) for data in got} == {200}
    assert sorted(int(data[:12]) for data in got) == list(range(7, 507))
    assert b.count(topic)["messages"] == 500


@pytest.mark.parametrize("generation", ["06", "071"])
def test_interest_after_join(start, generation):
    """The order of node, interest and join does not matter."""
    a, b = start(generation), start(generation)
    topic = random_topic()
    a.join(topic)
    b.join(topic)
    a.interest(b.id, topic)
    introduce(a, b)
    a.wait("joined", topic=topic)
    b.wait("joined", topic=topic)
    b.publish(topic, b"late")
    a.wait_message(topic, b"late")


@pytest.mark.parametrize("generation", ["06", "071"])
def test_leave_and_join_again(start, generation):
    a, b = start(generation), start(generation)
    topic = random_topic()
    connect(a, b, topic)
    a.leave(topic)
    a.wait("left", topic=topic)
    with pytest.raises(PeerError, match="not joined"):
        a.publish(topic, b"nothing")
    # Upstream's leave is lazy: the goodbye goes out with the topic's next event.
    b.publish(topic, b"wake up")
    b.wait("neighbour_down", topic=topic, node=a.id)
    a.join(topic)
    a.wait("joined", topic=topic)
    b.publish(topic, b"again")
    a.wait_message(topic, b"again")


@pytest.mark.parametrize("generation", ["06", "071"])
def test_quit_is_noticed(start, generation):
    a, b = start(generation), start(generation)
    topic = random_topic()
    connect(a, b, topic)
    a.close()
    assert a.process.returncode == 0
    b.wait("neighbour_down", timeout=5, topic=topic, node=a.id)


@pytest.mark.parametrize("generation", ["06", "071"])
def test_fixed_identity_and_other_networks(start, generation):
    secret, network = secrets.token_hex(32), secrets.token_hex(32)
    bind4 = f"127.0.0.1:{free_port()}"
    a = start(generation, secret=secret, network=network, bind4=bind4)
    assert bind4 in a.addresses
    assert a.info()["network"] == network
    # A second one on the same port is refused instead of moving elsewhere.
    with pytest.raises(PeerError, match="bind"):
        start(generation, bind4=bind4)
    a.close()
    again = start(generation, secret=secret, bind4=bind4)
    assert again.id == a.id


@pytest.mark.parametrize("generation", ["06", "071"])
def test_discovery_finds_the_topic(start, generation):
    """Only one side knows the other, and nobody is told who has the topic."""
    a, b = start(generation, discovery=True), start(generation, discovery=True)
    topic = random_topic()
    a.node(b.id, b.bind4, bootstrap=True)
    a.join(topic)
    b.join(topic)
    a.wait("joined", timeout=40, topic=topic)
    a.publish(topic, b"found")
    b.wait_message(topic, b"found")


@pytest.mark.parametrize("generation", ["06", "071"])
def test_errors_are_answered(start, generation):
    a = start(generation)
    for words in (["nonsense"], ["join", "12"], ["node", "xy", "127.0.0.1:1"], ["join"]):
        with pytest.raises(PeerError):
            a.command(*words)
    topic = random_topic()
    a.join(topic)
    with pytest.raises(PeerError, match="already"):
        a.join(topic)
