# SPDX-License-Identifier: MIT OR Apache-2.0
"""Do the reference peers themselves work, among each other?"""

import itertools
import secrets

import pytest

from rust_peer import (
    DIALECTS,
    GENERATIONS,
    PeerError,
    RustPeer,
    connect,
    free_port,
    introduce,
    random_topic,
)

# Nothing of ours takes part.
pytestmark = pytest.mark.unsanitized

PAIRS = list(itertools.combinations_with_replacement(GENERATIONS, 2))


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
    for done in range(0, 500, 100):
        # At a time no more than b has room for inside, however late it reads (overlays.py).
        number = a.burst(topic, count=100, interval_us=1000, size=200, start=7 + done)
        assert a.wait_burst(number)["sent"] == 100
        got = b.wait_count(topic, done + 100)
    assert {len(data) for data in got} == {200}
    assert sorted(int(data[:12]) for data in got) == list(range(7, 507))
    assert b.count(topic)["messages"] == 500
    assert b.lagged() == []


@pytest.mark.parametrize("generation", GENERATIONS)
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


@pytest.mark.parametrize("generation", GENERATIONS)
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
    b.forget_events()
    a.join(topic)
    a.wait("joined", topic=topic)
    b.wait("neighbour_up", topic=topic, node=a.id)  # a is told first, and nothing waits for it
    b.publish(topic, b"again")
    a.wait_message(topic, b"again")


@pytest.mark.parametrize("generation", GENERATIONS)
def test_quit_is_noticed(start, generation):
    a, b = start(generation), start(generation)
    topic = random_topic()
    connect(a, b, topic)
    a.close()
    assert a.process.returncode == 0
    # 0.5 goes without a word, and is missed after QUIC's idle time.
    b.wait("neighbour_down", timeout=15 if generation == "05" else 5, topic=topic, node=a.id)


@pytest.mark.parametrize("generation", GENERATIONS)
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


@pytest.mark.parametrize("generation", DIALECTS)
def test_discovery_finds_the_topic(start, generation):
    """Only one side knows the other, and nobody is told who has the topic."""
    a, b = start(generation, discovery=True), start(generation, discovery=True, walkers=0)
    topic = random_topic()
    a.watch_topic(topic)
    b.watch(a.id)
    a.node(b.id, b.bind4, bootstrap=True)
    a.join(topic)
    b.join(topic)
    a.wait("joined", timeout=40, topic=topic)
    a.publish(topic, b"found")
    b.wait_message(topic, b"found")
    # What discovery tests of ours ask the peer for.
    session = a.wait_session(b.id, role="initiated")
    assert b.bind4 in session["transports"][b.id]["addresses"]
    a.wait_topic_nodes(topic, b.id)
    signed = b.wait_knows(a.id, lambda transports: transports["kind"] == "authenticated")
    assert a.bind4 in signed["addresses"]
    assert a.discovered()["successful"] >= 1
    entry = a.book()[b.id]
    assert entry["bootstrap"] and not entry["stale"]
    assert topic in entry["topics"]
    # By hand, and later than what the node itself has signed, which is ignored then; unless its
    # addresses have changed since.
    assert entry["transports"]["kind"] in ("trusted", "authenticated")
    assert topic in a.book()[a.id]["topics"]
    entry = b.book()[a.id]
    assert not entry["bootstrap"] and not entry["stale"] and topic in entry["topics"]
    b.report(a.id, well=False)
    assert b.book()[a.id]["stale"]
    b.report(a.id, well=True)
    assert not b.book()[a.id]["stale"]


@pytest.mark.parametrize("generation", GENERATIONS)
def test_errors_are_answered(start, generation):
    a = start(generation)
    for words in (["nonsense"], ["join", "12"], ["node", "xy", "127.0.0.1:1"], ["join"]):
        with pytest.raises(PeerError):
            a.command(*words)
    topic = random_topic()
    a.join(topic)
    with pytest.raises(PeerError, match="already"):
        a.join(topic)
