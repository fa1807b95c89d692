# SPDX-License-Identifier: MIT OR Apache-2.0
"""Connections that die with messages on their way: what the neighbour had not acknowledged goes
out on the next one, and what cannot is counted."""

import signal
import time

import pytest

from identity import overlay, random_topic
from settings import PATIENCE, within

# bridge/quic/quic.h, link.h: a silent connection ends, and its content is kept as long after.
IDLE = 10.0
KEPT = 30.0
REGAINED = 20.0


def counted(prefix: str, count: int) -> list[bytes]:
    return [f"{prefix} {number}".encode() for number in range(count)]


def joined(a, b):
    """Both, neighbours in a new overlay: the topic, a client on each."""
    a.add_bootstrap(b)
    a.start(), b.start()
    topic = overlay(random_topic())
    clients = a.client(topic), b.client(topic)
    a.wait_number("neighbours", 1), b.wait_number("neighbours", 1)
    return topic, *clients


@pytest.mark.slow
def test_cut(net, brokers):
    """20 s without a network, a message per second from both sides: all arrive, in order."""
    a, b = (brokers(host=host) for host in net.hosts("ab"))
    topic, at_a, at_b = joined(a, b)
    ours, theirs = counted("a", 45), counted("b", 45)
    begun = time.monotonic()
    for second in range(45):
        if second == 10:
            b.host.cable.cut()
        if second == 30:
            b.host.cable.mend()
            mended = time.monotonic()
        at_a.publish(topic, ours[second])
        at_b.publish(topic, theirs[second])
        if second == 29:
            # Long since noticed: this is about what was on the way before.
            assert a.number("neighbours") == 0 and b.number("neighbours") == 0
        time.sleep(max(0.0, begun + second + 1 - time.monotonic()))
    for client, wanted, name in ((at_b, ours, b"a "), (at_a, theirs, b"b ")):
        client.wait_all(topic, wanted, within(REGAINED))
        assert [payload for payload in client.payloads(topic) if payload.startswith(name)] == wanted
    print(f"all there {time.monotonic() - mended:.1f} s after the cable")
    for broker in (a, b):
        status = broker.wait_status(lambda status: status["messages/sent"] == 45)
        assert status["dropped/peer_lost"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("then", ["continues", "restarted", "killed"])
def test_stopped(net, brokers, then):
    """A neighbour's process stands still; 200 messages on the way to it at QoS 1."""
    a, b = (brokers(host=host) for host in net.hosts("ab"))
    topic, at_a, at_b = joined(a, b)
    b.freeze()
    sent = counted("stopped", 200)
    for payload in sent:
        at_a.publish(topic, payload)
    a.wait_status(lambda status: status["messages/sent"] == 200)
    a.wait_status(lambda status: status["neighbours"] == 0, within(IDLE + PATIENCE))
    sent += (waiting := counted("waits", 20))
    for payload in waiting:
        at_a.publish(topic, payload)
    a.wait_number("waiting", 20)
    assert a.number("dropped/peer_lost") == 0
    if then == "continues":
        b.process.send_signal(signal.SIGCONT)
    else:
        b.kill()
    if then == "killed":
        a.wait_number("dropped/peer_lost", 200, within(KEPT + PATIENCE))
        a.wait_number("dropped/queue_age", 20)
        time.sleep(2)  # two further times it is told
        assert a.number("dropped/peer_lost") == 200
        assert a.number("messages/sent") == 200
        return
    if then == "restarted":
        b.start()
        # Late: the two have met before anybody subscribes.
        b.wait_number("discovery/sessions", 1, within(REGAINED))
        at_b = b.client(topic)
    at_b.wait_all(topic, sent, within(REGAINED))
    assert at_b.payloads(topic) == sent
    status = a.wait_status(lambda now: now["waiting"] == 0 and now["messages/sent"] == 220)
    assert status["dropped/peer_lost"] == 0


@pytest.mark.parametrize("subscribes", ["at once", "late", "after 8 s"])
def test_restarted_at_once(net, brokers, subscribes):
    """Killed with messages on the way to it, and there again before anybody has noticed."""
    a, b = (brokers(host=host) for host in net.hosts("ab"))
    topic, at_a, _ = joined(a, b)
    b.freeze()
    sent = counted("stopped", 100)
    for payload in sent:
        at_a.publish(topic, payload)
    a.wait_status(lambda status: status["messages/sent"] == 100)
    b.kill()
    b.start()
    if subscribes != "at once":
        b.wait_number("connections", 1)
    if subscribes == "after 8 s":
        time.sleep(8)  # longer than new content would wait for it
    at_b = b.client(topic)
    at_b.wait_all(topic, sent, within(REGAINED))
    sent.append(b"last")
    at_a.publish(topic, b"last")
    at_b.wait_message(topic, b"last")
    assert at_b.payloads(topic) == sent
    assert a.number("dropped/peer_lost") == 0


@pytest.mark.parametrize("where", ["path", "interface"])
def test_smaller_packets(net, brokers, where):
    """The path takes no packets above 1280 bytes any longer: it says nothing, or it is our own
    interface."""
    a, b = (brokers(host=host) for host in net.hosts("ab"))
    a.host.send_singly()
    topic, at_a, at_b = joined(a, b)
    sent = [payload.ljust(4000, b".") for payload in counted("message", 120)]
    for number, payload in enumerate(sent):
        if number == 40:
            at_b.wait_all(topic, sent[:40])
            dials = a.number("peers/dials")
            a.host.set_mtu(1280) if where == "interface" else b.host.cable.set_mtu(1280)
            shrunk = time.monotonic()
        at_a.publish(topic, payload)
        if number == 40:
            at_b.wait_message(topic, payload, within(3))
            print(f"the next one took {time.monotonic() - shrunk:.2f} s")
        time.sleep(0.01)  # larger packets are tried in between at first
    at_b.wait_all(topic, sent, within(3))
    assert at_b.payloads(topic) == sent
    status = a.wait_status(lambda now: now["messages/sent"] == len(sent))
    assert status["dropped/peer_lost"] == 0 and status["peers/dials"] == dials
