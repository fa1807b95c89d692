# SPDX-License-Identifier: MIT OR Apache-2.0
"""A relay that goes, and comes back or does not."""

import time

import pytest

from identity import overlay, random_topic
from relayed import BothWays, at_relay, subscribers
from settings import PATIENCE, within

pytestmark = pytest.mark.slow

# What the issue promises, in seconds.
BACK = 8.0
OTHER = 20.0
# One that hangs is found out by a ping that is not answered: each 15 s, for 5 s.
HANGS = OTHER + 20.0
# Upstream's client tries again after up to 16 s, with jitter, and its gossip once more after that.
PEER_BACK = 30.0


@pytest.mark.parametrize("down", [2, 6, 14, 60])
def test_killed(apart, brokers, down):
    """Two brokers that share nothing else deliver again soon after its return; what has waited
    no longer than messages do (queue_age) arrives, too."""
    relay, host_a, host_b = apart("ab")
    a, b = (at_relay(brokers, relay, host=host) for host in (host_a, host_b))
    a.add_peer(b, relay.url)
    a.start(), b.start()
    id = random_topic()
    at_a, at_b = subscribers(id, a, b)
    # No more than queue_limit in that time.
    with BothWays(overlay(id), at_a, at_b, 0.2) as traffic:
        traffic.wait_flows(within(2))
        relay.kill()
        time.sleep(down)
        relay.start()
        took = traffic.wait_flows(within(BACK))
        print(f"down for {down} s: delivering again after {took:.1f} s")
        if down < 30:
            traffic.stop()


@pytest.mark.parametrize("how", ["cut", "frozen"])
def test_silent(apart, brokers, how):
    """It says nothing, and no connection ends: its cable is cut, or it hangs."""
    relay, host_a, host_b = apart("ab")
    a, b = (at_relay(brokers, relay, host=host) for host in (host_a, host_b))
    a.add_peer(b, relay.url)
    a.start(), b.start()
    id = random_topic()
    at_a, at_b = subscribers(id, a, b)
    with BothWays(overlay(id), at_a, at_b, 0.2) as traffic:
        traffic.wait_flows(within(2))
        relay.freeze() if how == "frozen" else relay.host.cable.cut()
        time.sleep(14)
        relay.thaw() if how == "frozen" else relay.host.cable.mend()
        traffic.wait_flows(within(BACK))
        traffic.stop()


@pytest.mark.parametrize(("generation", "down"), [("06", 6), ("071", 6), ("06", 14), ("071", 14)])
def test_a_peer_after_that(apart, brokers, rust, generation, down):
    """We dial again as soon as the peer is at the relay again, which is its own affair."""
    relay, host_a, host_b = apart("ab")
    broker = at_relay(brokers, relay, host=host_a)
    peer = rust(generation, host=host_b, relays=[relay.url])
    broker.add_peer(peer.id, relay.url)
    id = random_topic()
    topic = overlay(id)
    peer.join(id)
    broker.start()
    client = broker.client(topic)
    broker.wait_joined(id)
    peer.wait("joined", PATIENCE, topic=id)
    relay.kill()
    time.sleep(down)
    relay.start()
    begun = time.monotonic()
    for number in range(10000):
        ours, theirs = b"ours %d" % number, b"theirs %d" % number
        client.post(topic, ours, 1)
        peer.publish(id, theirs)
        try:
            peer.wait_message(id, ours, 0.5)
            client.wait_message(topic, theirs, 0.5)
            break
        except AssertionError:
            assert time.monotonic() - begun < within(PEER_BACK)
    print(f"{generation}, down for {down} s: {time.monotonic() - begun:.1f} s")


@pytest.mark.parametrize("how", ["killed", "frozen"])
def test_two_relays(apart, iroh_relay, net, brokers, how):
    """The home goes: the other one is taken, and the home again when it is back; a direct
    neighbour sees nothing of that."""
    home, host_a, host_b = apart("ab")
    other = iroh_relay("other", host=net.host("other"))
    host_c = net.host("c")
    a, b = (at_relay(brokers, home, other, host=host) for host in (host_a, host_b))
    c = brokers(host=host_c)
    a.add_peer(b, home.url, other.url)
    a.add_peer(c)
    for broker in (a, b, c):
        broker.start()
    id, near = random_topic(), random_topic()
    at_a, at_b = subscribers(id, a, b)
    near_a, near_c = subscribers(near, a, c)
    with (
        BothWays(overlay(id), at_a, at_b, 0.2) as traffic,
        BothWays(overlay(near), near_a, near_c, 0.05) as beside,
    ):
        traffic.wait_flows(within(2))
        bound = within(OTHER if how == "killed" else HANGS)
        home.kill() if how == "killed" else home.freeze()
        took = traffic.wait_flows(bound)
        print(f"home {how}: over the other after {took:.1f} s")
        # That may have been at once: b was dialled at both relays, and the other may have been the
        # faster one. Then nobody has missed the home so far.
        for broker in (a, b):
            broker._monitor.wait(
                lambda one=broker: one._status_now()["relay/url"] == other.url, bound
            )
        home.start() if how == "killed" else home.thaw()
        for broker in (a, b):
            broker._monitor.wait(
                lambda one=broker: one._status_now()["relay/url"] == home.url, within(90)
            )
        traffic.wait_flows(within(2))
        beside.stop()
        assert beside.longest_silence() < within(1)
