# SPDX-License-Identifier: MIT OR Apache-2.0
"""Joining and leaving, starting and ending."""

import time

import pytest

from identity import overlay, random_topic
from pulse import Pulse
from settings import within


def test_messages_wait_for_the_first_neighbour(brokers):
    a, b = brokers(), brokers()
    a.add_peer(b)
    a.start()
    topic = overlay(random_topic())
    sent = [f"early {number}".encode() for number in range(100)]
    sender = a.client(topic)
    for payload in sent:
        sender.publish(topic, payload)
    # Local subscribers have them at once.
    assert sender.wait_count(topic, len(sent)) == sent
    a.wait_number("peers/dials_failed", 1)
    b.start()
    receiver = b.client(topic)
    assert receiver.wait_count(topic, len(sent)) == sent


def test_waiting_has_limits(brokers):
    a, b = brokers(options=[("queue_limit", "10")]), brokers()
    a.add_peer(b)
    a.start()
    topic = overlay(random_topic())
    sender = a.client(topic)
    sent = [f"early {number}".encode() for number in range(25)]
    for payload in sent:
        sender.publish(topic, payload)
    assert a.wait_number("dropped/queue_limit", 15) == 15
    b.start()
    receiver = b.client(topic)
    assert receiver.wait_count(topic, 10) == sent[-10:]


def test_waiting_has_an_end(brokers):
    a, b = brokers(options=[("queue_age", "1")]), brokers()
    a.add_peer(b)
    a.start()
    topic = overlay(random_topic())
    sender = a.client(topic)
    sender.publish(topic, b"too early")
    assert a.wait_number("dropped/queue_age", 1) == 1
    b.start()
    receiver = b.client(topic)
    a.wait_joined(topic.removeprefix("p2panda/"))
    sender.publish(topic, b"in time")
    receiver.wait_message(topic, b"in time")
    assert receiver.payloads(topic) == [b"in time"]


@pytest.mark.parametrize("way", ["unsubscribe", "disconnect", "drop"])
def test_leave_and_join_again(brokers, way):
    a, b = brokers.pair()
    id = random_topic()
    topic = overlay(id)
    sender, receiver = a.client(topic), b.client(topic)
    for broker in (a, b):
        broker.wait_number("neighbours", 1)

    if way == "unsubscribe":
        receiver.unsubscribe(topic)
    elif way == "disconnect":
        receiver.close()
    else:
        receiver.drop()
    b.wait_log(f"overlay {id[:10]}: left", within(1))
    # a is told: nothing is sent to b any more, it waits for the next neighbour.
    a.wait_status(lambda status: status["neighbours"] == 0)
    sender.publish(topic, b"while away")

    again = b.client(topic)
    sender.publish(topic, b"again")
    assert again.wait_count(topic, 2) == [b"while away", b"again"]
    again.publish(topic, b"back")
    sender.wait_message(topic, b"back")


def test_last_but_one_does_not_leave(brokers):
    a, b = brokers.pair()
    id = random_topic()
    topic = overlay(id)
    sender, first, second = a.client(topic), b.client(topic), b.client(topic)
    for broker in (a, b):
        broker.wait_joined(id)
    first.unsubscribe(topic)
    with Pulse(lambda payload: sender.post(topic, payload), "go on", 0.05) as pulse:
        second.wait_count(topic, 20)
    assert second.wait_count(topic, len(pulse.sent)) == pulse.sent
    assert not any(f"overlay {id[:10]}: left" in line for line in b.our_log())
    second.close()
    b.wait_log(f"overlay {id[:10]}: left", within(1))


def test_fixed_topic_is_never_left(brokers):
    id = random_topic()
    topic = overlay(id)
    a, b = brokers(), brokers(options=[("topic", id)])
    a.add_peer(b)
    a.start(), b.start()
    sender = a.client(topic)
    b.wait_joined(id)
    # A wildcard joins nothing, and needs nothing to be joined.
    watcher = b.client("p2panda/+")
    sender.publish(topic, b"for the watcher")
    watcher.wait_message(topic, b"for the watcher")
    comer = b.client(topic)
    comer.unsubscribe(topic)
    with Pulse(lambda payload: sender.post(topic, payload), "go on", 0.05):
        watcher.wait_count(topic, 21)
    assert not any(f"overlay {id[:10]}: left" in line for line in b.our_log())
    b.wait_number("overlays", 1)


def test_publisher_lingers(brokers):
    a, b = brokers(options=[("publish_linger", "1")]), brokers()
    a.add_peer(b)
    a.start(), b.start()
    id = random_topic()
    topic = overlay(id)
    receiver = b.client(topic)
    sender = a.client()
    sender.publish(topic, b"once")
    receiver.wait_message(topic, b"once")
    a.wait_log(f"overlay {id[:10]}: left")
    sender.publish(topic, b"twice")
    receiver.wait_message(topic, b"twice")


def test_offline_session_holds_its_overlay(brokers):
    """It wants messages queued: those of the overlay too."""
    a, b = brokers.pair()
    id = random_topic()
    topic = overlay(id)
    sender = a.client(topic)
    session = b.client(topic, client_id="sleeper", session_expiry=3600)
    for broker in (a, b):
        broker.wait_joined(id)
    session.close()
    with Pulse(lambda payload: sender.post(topic, payload), "sleep", 0.05) as pulse:
        sender.wait_count(topic, 20)
    b.wait_number("messages/out", len(pulse.sent))
    woken = b.client(client_id="sleeper", clean=False, session_expiry=0)
    assert woken.wait_count(topic, len(pulse.sent)) == pulse.sent


def test_take_over_does_not_leave(brokers):
    a, b = brokers.pair()
    id = random_topic()
    topic = overlay(id)
    sender = a.client(topic)
    b.client(topic, client_id="twin", session_expiry=3600)
    for broker in (a, b):
        broker.wait_joined(id)
    other = b.client(client_id="twin", clean=False, session_expiry=3600)
    with Pulse(lambda payload: sender.post(topic, payload), "go on", 0.05) as pulse:
        other.wait_count(topic, 20)
    assert other.wait_count(topic, len(pulse.sent)) == pulse.sent
    assert not any(f"overlay {id[:10]}: left" in line for line in b.our_log())


# ---------------------------------------------------------------------------
# kill -9


def check_restart(survivor, victim, noticed: bool):
    id = random_topic()
    topic = overlay(id)
    here = survivor.client(topic)
    victim.client(topic)
    for broker in (survivor, victim):
        broker.wait_number("neighbours", 1)
    victim.wait_remembers(id, survivor.id)
    with Pulse(lambda payload: here.post(topic, payload), "survivor"):
        victim.kill()
        if noticed:
            survivor.wait_status(lambda status: status["connections"] == 0)
        victim.start()
        there = victim.client(topic)
        since = time.monotonic()
        with Pulse(lambda payload: there.post(topic, payload), "victim"):
            for client, sender in ((here, "victim"), (there, "survivor")):
                first = client.wait_prefix(topic, sender)
                took = first.time - since
                assert took <= within(2), f"{took:.1f} s from {sender}; {survivor.tail()}"
    for client, name in ((here, "here"), (there, "there")):
        sent = [f"{name} {number}".encode() for number in range(50)]
        for payload in sent:
            client.publish(topic, payload)
        for receiver in (here, there):
            receiver.wait_message(topic, sent[-1])
            found = [one for one in receiver.payloads(topic) if one.startswith(name.encode())]
            assert found == sent


@pytest.mark.slow
@pytest.mark.parametrize(
    ("configured", "noticed"),
    [
        ("both", False),
        ("survivor", False),
        ("victim", False),
        # Away for so long that the other one has given up on the connection.
        ("survivor", True),
        ("victim", True),
    ],
    ids=lambda value: value if isinstance(value, str) else ("later" if value else "at-once"),
)
def test_kill_and_restart(brokers, configured, noticed):
    survivor, victim = brokers("survivor"), brokers("victim")
    if configured != "victim":
        survivor.add_peer(victim)
    if configured != "survivor":
        victim.add_peer(survivor)
    survivor.start(), victim.start()
    check_restart(survivor, victim, noticed)


# ---------------------------------------------------------------------------
# SIGTERM


@pytest.mark.parametrize("neighbour", ["running", "killed", "none"])
def test_sigterm_ends_within_two_seconds(brokers, neighbour):
    a, b = brokers(), brokers()
    a.add_peer(b)
    a.start()
    id = random_topic()
    a.client(overlay(id))
    if neighbour != "none":
        b.start()
        b.client(overlay(id))
        a.wait_joined(id)
    if neighbour == "killed":
        b.kill()
    a.client().publish(overlay(id), b"still to be sent")
    a.terminate()
    assert a.wait_end(within(2)) == 0
    a.assert_no_report()


def test_what_was_published_before_sigterm_arrives(brokers):
    a, b = brokers.pair()
    id = random_topic()
    topic = overlay(id)
    sender, receiver = a.client(topic), b.client(topic)
    a.wait_joined(id)
    sent = [f"{number} ".encode() + b"x" * 3000 for number in range(100)]
    numbers = [sender.post(topic, payload, 1) for payload in sent]
    for number in numbers:
        sender.wait_published(number)
    a.terminate()
    assert receiver.wait_count(topic, len(sent)) == sent
    assert a.wait_end(within(2)) == 0
    # It has said goodbye: b does not wait for it.
    b.wait_status(lambda status: status["neighbours"] == 0, within(2))
