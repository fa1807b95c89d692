# SPDX-License-Identifier: MIT OR Apache-2.0
"""What a Rust peer had not acknowledged when its connection died goes out on the next one."""

import time

import pytest

from identity import overlay, random_topic
from overlays import wait_together, we_dial
from settings import PATIENCE, within

# See tests/broker/test_dead_links.py.
IDLE = 10.0
REGAINED = 20.0


def together(net, rust, brokers, generation, who):
    """A broker and a Rust peer, neighbours: they, the topic and a client."""
    hosts = net.hosts("ab")
    broker, peer = brokers(host=hosts[0]), rust(generation, host=hosts[1])
    id = random_topic()
    if who == "we":
        we_dial(broker, peer, id)
        client = broker.client(overlay(id))
    else:
        broker.start()
        client = broker.client(overlay(id))
        peer.node(broker.id, broker.address())
        peer.interest(broker.id, id)
        peer.join(id)
    wait_together(broker, peer, id)
    return broker, peer, id, client


@pytest.mark.slow
@pytest.mark.parametrize(("generation", "who"), [("06", "we"), ("071", "they")])
def test_cut(net, rust, brokers, generation, who):
    """20 s without a network, a message per second: all arrive at the peer, in order."""
    broker, peer, id, client = together(net, rust, brokers, generation, who)
    sent = [b"second %d" % second for second in range(45)]
    begun = time.monotonic()
    for second, payload in enumerate(sent):
        if second == 10:
            broker.host.cable.cut()
        if second == 30:
            broker.host.cable.mend()
        client.publish(overlay(id), payload)
        if second == 29:
            assert broker.number("neighbours") == 0
        time.sleep(max(0.0, begun + second + 1 - time.monotonic()))
    peer.wait_all(id, sent, within(REGAINED))
    assert peer.messages(id) == sent
    status = broker.wait_status(lambda now: now["messages/sent"] == len(sent))
    assert status["dropped/peer_lost"] == 0


@pytest.mark.slow
@pytest.mark.parametrize(("generation", "who"), [("071", "we"), ("06", "they")])
def test_frozen(net, rust, brokers, generation, who):
    """Its process stands still until it is lost, and goes on."""
    broker, peer, id, client = together(net, rust, brokers, generation, who)
    sent = [b"frozen %d" % number for number in range(40)]
    peer.freeze()
    for payload in sent:
        client.publish(overlay(id), payload)
    broker.wait_status(lambda status: status["neighbours"] == 0, within(IDLE + PATIENCE))
    peer.thaw()
    peer.wait_all(id, sent, within(REGAINED))
    assert peer.messages(id) == sent
    status = broker.wait_status(lambda now: now["messages/sent"] == len(sent))
    assert status["dropped/peer_lost"] == 0
