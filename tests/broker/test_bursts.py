# SPDX-License-Identifier: MIT OR Apache-2.0
"""Bursts: publishers that are faster than the network are slowed down, and nothing is lost between
a publisher and the broker of a subscriber."""

import itertools
import signal
import threading

import pytest

from firehose import Firehose
from identity import overlay, random_topic
from settings import scaled
from test_order import moving
from test_sums import check_arriving, check_outgoing

# So many messages of so many bytes, at QoS 0 and as fast as the broker reads them.
BURSTS = [(100_000, 20), (100_000, 200), (60_000, 1000), (20_000, 3500)]
CHUNK = 1000  # that are written at once: on a busy machine all of it takes a while
LOST = (
    "mailbox_full", "events_full", "queue_limit", "queue_age", "left", "no_memory",
    "no_memory_arriving", "no_memory_copy", "no_stream_credit", "peer_slow", "peer_lost",
)  # fmt: skip


def payloads(count: int, size: int, name: str = ""):
    return (f"{name}{number} ".encode().ljust(size, b".") for number in range(count))


def together(*all):
    """Starts brokers that are each other's neighbours on one overlay, each with a subscriber that its
    broker keeps nothing for: what is looked at is what the brokers have. Returns the topic."""
    for number, broker in enumerate(all):
        for other in all[number + 1 :]:
            broker.add_peer(other)
    topic = overlay(random_topic())
    for broker in all:
        broker.start()
    for broker in all:
        broker.client(topic, qos=0)
    for broker in all:
        broker.wait_number("neighbours", len(all) - 1)
    return topic


def pair(brokers, *options):
    a, b = brokers(options=options), brokers(options=options)
    return a, b, together(a, b)


def burst(broker, topic: str, count: int, size: int, name: str = ""):
    with Firehose(broker.mqtt_port) as hose:
        all = payloads(count, size, name)
        while some := list(itertools.islice(all, CHUNK)):
            hose.send(topic, some)
        hose.wait()


def both_at_once(*calls):
    threads = [threading.Thread(target=call[0], args=call[1:]) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def settled(broker, published: int) -> dict[str, int]:
    """Its status when nothing is under way any more in the broker."""
    return broker.wait_status(
        lambda status: status["messages/in"] >= published
        and check_outgoing(status) and check_arriving(status),
        timeout=60, what="sums that hold",
    )  # fmt: skip


def lost(status: dict[str, int]) -> dict[str, int]:
    return {name: status[f"dropped/{name}"] for name in LOST if status[f"dropped/{name}"]}


def check_all_arrived(there, here, count: int):
    """All that there has published is at here's broker, and neither has dropped anything."""
    sent = settled(there, count)
    assert not lost(sent), f"{there.name}: {lost(sent)}"
    found = here.wait_status(
        lambda status: status["messages/out"] >= count, timeout=60, what=f"{count} messages"
    )
    assert not lost(found), f"{here.name}: {lost(found)}"


@pytest.mark.parametrize("count, size", BURSTS)
def test_nothing_is_lost(brokers, count, size):
    a, b, topic = pair(brokers)
    count = scaled(count)
    burst(a, topic, count, size)
    check_all_arrived(a, b, count)


@pytest.mark.parametrize("count, size", BURSTS)
def test_nothing_is_lost_both_ways_at_once(brokers, count, size):
    """Neither waits for the other one for ever."""
    a, b, topic = pair(brokers)
    count = scaled(count)
    both_at_once((burst, a, topic, count, size, "a"), (burst, b, topic, count, size, "b"))
    check_all_arrived(a, b, count)
    check_all_arrived(b, a, count)


@pytest.mark.parametrize("others, count, size", [*((2, *b) for b in BURSTS), (4, 20_000, 200)])
def test_nothing_is_lost_where_all_are_neighbours(brokers, others, count, size):
    """Each message comes on several ways, of which now this one is the fastest and now that one; copies
    may be dropped, but everybody gets all of it."""
    first, *rest = all = [brokers() for _ in range(1 + others)]
    topic = together(*all)
    count = scaled(count)
    burst(first, topic, count, size)
    for broker in rest:
        broker.wait_status(
            lambda status: status["messages/out"] == count, timeout=60, what=f"{count} messages"
        )


def test_a_neighbour_that_stands_still_holds_nobody_up(brokers):
    """Of two neighbours one is stopped: the other one gets everything."""
    a, b, c = brokers(), brokers(), brokers()
    topic = together(a, b, c)
    count = scaled(40_000)
    c.process.send_signal(signal.SIGSTOP)
    try:
        burst(a, topic, count, 1000)
        b.wait_status(
            lambda status: status["messages/out"] == count, timeout=60, what="all of it"
        )
        found = settled(a, count)
        assert found["dropped/mailbox_full"] == 0
        assert found["messages/sent"] == count
    finally:
        c.process.send_signal(signal.SIGCONT)


@pytest.mark.unsanitized
def test_a_broker_that_is_busy_holds_up_who_sends_to_it(brokers, tmp_path):
    """For a while: what it has no room for stays with the sender, and nothing is lost. A broker that
    takes nothing for longer than a second holds up nobody, and what has no room is counted."""
    a, b = brokers(), brokers(lines=moving(tmp_path, {}))
    topic = together(a, b)
    local = b.client("local", qos=0)
    count, size = 15_000, 3500  # much more than there is room for
    both_at_once((local.publish, "local", b"sleep 900"), (burst, a, topic, count, size))
    check_all_arrived(a, b, count)
    b.wait_number("messages/unread", 1)
    both_at_once((local.publish, "local", b"sleep 4000"), (burst, a, topic, count, size, "again "))
    found = b.wait_status(
        lambda status: status["messages/out"] + status["dropped/events_full"] == 2 * count,
        timeout=60, what="all accounted for",
    )  # fmt: skip
    assert found["dropped/events_full"] > 0
    assert not lost(settled(a, 2 * count))


def test_a_node_that_stands_still_costs_nothing(brokers):
    """The only neighbour is stopped: for a moment the broker waits for it, then no more, and what has
    no room is dropped and counted. When it is back, all goes on."""
    a, b, topic = pair(brokers)
    local = a.client("local")
    count, more = 16_000, 5
    b.process.send_signal(signal.SIGSTOP)
    try:
        burst(a, topic, count, 1000)
        found = a.wait_status(
            lambda status: status["dropped/mailbox_full"] > 0, what="messages without room"
        )
        waited = found["messages/slowed"]
        for number in range(more):
            burst(a, topic, 50, 1000, f"again {number} ")
            payload = str(number).encode()
            local.publish("local", payload)
            local.wait_message("local", payload)
        count += more * 50
        found = a.wait_status(lambda status: status["messages/in"] == count, what="all of it")
        assert found["messages/slowed"] == waited
    finally:
        b.process.send_signal(signal.SIGCONT)
    settled(a, count)
    before = b.number("messages/out")
    burst(a, topic, 10, 1000, "back ")
    b.wait_status(lambda status: status["messages/out"] >= before + 10)


def test_full_drops(brokers):
    """As the option says: nobody waits."""
    a, b, topic = pair(brokers, ("when_full", "drop"))
    b.process.send_signal(signal.SIGSTOP)
    try:
        burst(a, topic, 40_000, 1000)
        found = a.wait_status(
            lambda status: status["dropped/peer_slow"] + status["dropped/mailbox_full"] > 0
        )
        assert found["messages/slowed"] == 0
    finally:
        b.process.send_signal(signal.SIGCONT)
