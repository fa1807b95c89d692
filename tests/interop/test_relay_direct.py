# SPDX-License-Identifier: MIT OR Apache-2.0
"""Where there is a way without the relay, that one is taken: seen at the relay, which counts what
it hands on."""

import time

import pytest

from identity import overlay, random_topic
from relayed import BothWays, at_relay, counted, handed_on, say, subscribers, wait_until
from settings import PATIENCE, within

# What the issue promises, in seconds.
DIRECT = 2.0
TAKEN = 35.0
LED_BACK = 15.0


def is_direct(relay, send) -> bool:
    """Whether nothing of it goes by the relay: send() gives it as long as it takes to arrive."""
    before = handed_on(relay)
    send()
    return handed_on(relay) == before


def talk(topic, at_a, at_b, prefix, count=50):
    """Messages of 1,000 bytes both ways."""
    for sender, receiver, name in ((at_a, at_b, "a"), (at_b, at_a, "b")):
        sent = counted(f"{prefix} {name}", count, 1000)
        for payload in sent:
            sender.post(topic, payload, 1)
        receiver.wait_all(topic, sent)


@pytest.fixture
def joined(net, iroh_relay, brokers):
    """Two brokers that know each other by relay and by address: the relay, they and a subscriber
    of each, and when they have begun."""

    def make(apart=False, both=False):
        hosts = net.hosts("ab")
        relay = iroh_relay(host=net.host("relay"))
        if apart:
            for host in hosts:
                host.cable.isolate()
        a, b = (at_relay(brokers, relay, host=host) for host in hosts)
        a.add_peer(b, relay.url, b.address())
        if both:
            b.add_peer(a, relay.url, a.address())
        b.start()
        begun = time.monotonic()
        a.start()
        id = random_topic()
        at_a, at_b = subscribers(id, a, b)
        return relay, a, b, overlay(id), at_a, at_b, begun

    return make


@pytest.mark.parametrize("both", [False, True], ids=["one-knows", "both-know"])
def test_known_by_relay_and_by_address(joined, both):
    relay, a, b, topic, at_a, at_b, begun = joined(both=both)
    say(topic, at_a, at_b, "hello")
    time.sleep(max(begun + within(DIRECT) - time.monotonic(), 0))
    talk_before = handed_on(relay)
    talk(topic, at_a, at_b, "direct", 200)
    assert handed_on(relay) == talk_before
    for broker in (a, b):
        broker.wait_status(
            lambda now: now["neighbours"] == 1 and now["neighbours/relayed"] == 0, within(3)
        )


@pytest.mark.parametrize("generation", ["06", "071"])
@pytest.mark.parametrize("dialler", ["we", "they"])
def test_a_peer_that_is_known_by_both(net, iroh_relay, brokers, rust, generation, dialler):
    host_a, host_b = net.hosts("ab")
    relay = iroh_relay(host=net.host("relay"))
    broker = at_relay(brokers, relay, host=host_a)
    peer = rust(generation, host=host_b, relays=[relay.url])
    id = random_topic()
    topic = overlay(id)
    if dialler == "we":
        broker.add_peer(peer.id, relay.url, host_b.address())
        peer.join(id)
    broker.start()
    client = broker.client(topic)
    if dialler == "they":
        peer.node(broker.id, relay.url, broker.address())
        peer.interest(broker.id, id)
        peer.join(id)
    broker.wait_joined(id)
    peer.wait("joined", PATIENCE, topic=id)
    time.sleep(within(DIRECT))
    # A real peer has other things to say at its relay now and then: not messages, and not many.
    before = handed_on(relay)
    sent = counted("ours", 200, 1000)
    for number in range(0, len(sent), 40):
        for payload in sent[number : number + 40]:
            client.post(topic, payload, 1)
        peer.wait_all(id, sent[: number + 40])
    burst = peer.burst(id, 200, interval_us=2000, size=1000)
    peer.wait_burst(burst)
    client.wait_count(topic, 400)
    assert handed_on(relay) - before < 20
    broker.wait_status(lambda now: now["neighbours/relayed"] == 0)


@pytest.mark.slow
@pytest.mark.parametrize("after", [3, 10])
def test_a_route_that_appears(joined, after):
    """Both go on trying each other's addresses."""
    relay, a, b, topic, at_a, at_b, _ = joined(apart=True)
    time.sleep(after)
    talk(topic, at_a, at_b, "relayed", 10)
    for broker in (a, b):
        broker.wait_status(lambda now: now["neighbours/relayed"] == 1, within(3), "a relayed one")
    with BothWays(topic, at_a, at_b) as traffic:
        a.host.cable.connect()
        appeared = time.monotonic()
        for broker in (a, b):
            left = appeared + within(TAKEN) - time.monotonic()
            broker.wait_status(lambda now: now["neighbours/relayed"] == 0, left, "direct ones")
        traffic.wait_flows(within(2))
        # Nothing was lost on the way from the one to the other.
        traffic.stop()
    for broker in (a, b):
        broker.wait_status(lambda now: now["neighbours"] == 1, within(3), "a neighbour")
    wait_until(
        lambda: is_direct(relay, lambda: talk(topic, at_a, at_b, f"at {time.monotonic()}")),
        within(5),
        "nothing by the relay",
    )
    talk_before = handed_on(relay)
    talk(topic, at_a, at_b, "direct", 200)
    assert handed_on(relay) == talk_before


@pytest.mark.slow
@pytest.mark.parametrize("both", [False, True], ids=["one-knows", "both-know"])
def test_a_route_that_goes(joined, both):
    relay, a, b, topic, at_a, at_b, _ = joined(both=both)
    for broker in (a, b):
        broker.wait_status(lambda now: now["neighbours"] == 1 and now["neighbours/relayed"] == 0)
    with BothWays(topic, at_a, at_b) as traffic:
        traffic.wait_flows(within(2))
        for broker in (a, b):
            broker.host.cable.isolate()
        traffic.wait_flows(within(LED_BACK))
        # What was under way when it went arrives as well.
        traffic.stop()
    for broker in (a, b):
        broker.wait_status(lambda now: now["neighbours/relayed"] == 1, within(3), "a relayed one")


@pytest.mark.slow
@pytest.mark.parametrize("generation", ["06", "071"])
def test_a_route_to_a_peer_goes_and_is_back(net, iroh_relay, brokers, rust, generation):
    """And is taken again: a real peer goes along with all of that."""
    host_a, host_b = net.hosts("ab")
    relay = iroh_relay(host=net.host("relay"))
    broker = at_relay(brokers, relay, host=host_a)
    peer = rust(generation, host=host_b, relays=[relay.url])
    broker.add_peer(peer.id, relay.url, host_b.address())
    id = random_topic()
    topic = overlay(id)
    peer.join(id)
    broker.start()
    client = broker.client(topic)
    broker.wait_joined(id)

    def flows(name, timeout):
        begun = time.monotonic()
        for number in range(10000):
            ours, theirs = (f"{name} {who} {number}".encode() for who in ("ours", "theirs"))
            client.post(topic, ours, 1)
            peer.publish(id, theirs)
            try:
                peer.wait_message(id, ours, 0.5)
                client.wait_message(topic, theirs, 0.5)
                return
            except AssertionError:
                assert time.monotonic() - begun < timeout, f"{name}: nothing after {timeout} s"

    flows("direct", within(5))
    for host in (host_a, host_b):
        host.cable.isolate()
    flows("relayed", within(LED_BACK))
    broker.wait_status(lambda now: now["neighbours/relayed"] == 1, within(3), "a relayed one")
    host_a.cable.connect()
    broker.wait_status(lambda now: now["neighbours/relayed"] == 0, within(TAKEN), "direct ones")
    flows("direct again", within(5))
