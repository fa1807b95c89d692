# SPDX-License-Identifier: MIT OR Apache-2.0
"""A relay that lies about who says what, loses, repeats and changes what it hands on: for two
brokers that have no other way to each other."""

import itertools
import random
import threading
import time

import pytest

from bad_relay import GONE, RECEIVED, SEND, SEND_BATCH, BadRelay, Hub
from identity import invented_node, overlay, random_topic
from relayed import LINES, BothWays, Memory, counted, say, subscribers
from settings import PATIENCE, scaled, within

LARGEST = 65536  # a frame between a client and a relay


def handed_on(source: bytes, frame: bytes) -> bytes:
    """What an honest relay makes of a client's frame."""
    return bytes([frame[0] + 2]) + source + frame[33:]


@pytest.fixture
def far(net, brokers):
    """Two brokers that do not run yet on hosts without a way to each other, and a relay of the
    test's that both reach; the second one dials the first one."""
    made = []

    def make(hub, dials=True, **options):
        hosts = net.hosts("ab")
        for host in hosts:
            host.cable.isolate()
        relay = BadRelay(hub, host=net.host("relay"))
        made.append(relay)
        a, b = (
            brokers(host=host, lines=LINES, options=[("relay", relay.url)]) for host in hosts
        )
        if dials:
            b.add_peer(a, relay.url)
        return relay, a, b

    yield make
    for relay in made:
        relay.close()


def test_an_honest_one(far):
    """So that what follows is about its lies."""
    hub = Hub()
    _, a, b = far(hub)
    a.start(), b.start()
    id, count, size = random_topic(), 500, 1000
    clients = subscribers(id, a, b)
    for sender, receiver, name in ((*clients, "a"), (*clients[::-1], "b")):
        sent = counted(name, count, size)
        for payload in sent:
            sender.post(overlay(id), payload, 1)
        receiver.wait_all(overlay(id), sent)
    # All of that came this way: the slower the brokers, the more a frame has.
    assert hub.came[SEND] + hub.came[SEND_BATCH] >= 2 * count * size // LARGEST


def losing(rate):
    chance = random.Random(1)
    return lambda source, _, frame: [] if chance.random() < rate else [handed_on(source, frame)]


def changing(source, _, frame):
    """Of every tenth frame one byte, wherever."""
    honest = bytearray(handed_on(source, frame))
    if random.random() < 0.1:
        honest[random.randrange(34, len(honest))] ^= 1 << random.randrange(8)
    return [bytes(honest)]


def repeating(source, _, frame):
    return [handed_on(source, frame)] * 3


def reflecting():
    """Each gets its own words back as well, as if the other one had said them."""
    hub_ = Hub()

    def lies(source, destination, frame):
        mirrored = bytes([frame[0] + 2]) + destination + frame[33:]
        client = hub_.clients.get(source)
        if client:
            client.send(mirrored)
        return [handed_on(source, frame)]

    hub_.lies = lies
    return hub_


def older():
    """What was said a second ago, again and again."""
    seen = []

    def lies(source, destination, frame):
        seen.append((destination, handed_on(source, frame)))
        again = [one for to, one in random.sample(seen, min(len(seen), 2)) if to == destination]
        return [handed_on(source, frame), *again]

    return lies


def gone(source, _, frame):
    """The other side has left, it says before each frame of it."""
    return [bytes([GONE]) + source, handed_on(source, frame)]


def noise():
    """From the other side and from strangers; not more often than this process keeps up with, as
    some of it is answered."""
    strangers = [invented_node() for _ in range(20)]
    last = [0.0]

    def lies(source, _, frame):
        honest = handed_on(source, frame)
        if time.monotonic() - last[0] < 0.005:
            return [honest]
        last[0] = time.monotonic()
        sources = (source, random.choice(strangers))
        return [
            *(bytes([RECEIVED]) + one + b"\0" + random.randbytes(1200) for one in sources),
            honest,
        ]

    return lies


LIES = {
    "loses-a-tenth": losing(0.1),
    "changes": changing,
    "repeats": repeating,
    "repeats-older-ones": older(),
    "reflects": reflecting(),
    "says-gone": gone,
    "adds-noise": noise(),
}


@pytest.mark.parametrize("name", LIES)
def test_lies(far, name):
    """All arrives, each once and in its order, as over any bad way."""
    lies = LIES[name]
    hub = lies if isinstance(lies, Hub) else Hub()
    if hub is not lies:
        hub.lies = lies
    _, a, b = far(hub)
    a.start(), b.start()
    id = random_topic()
    with BothWays(overlay(id), *subscribers(id, a, b), 0.005) as traffic:
        for _ in range(3):
            time.sleep(1)
            traffic.wait_flows(within(5))
        traffic.stop(within(5))
    for broker in (a, b):
        assert broker.number("connections") <= 2


# ---- whose words are not wanted ----


def wait_came(hub, count, timeout=None):
    limit = time.monotonic() + (timeout or PATIENCE)
    while hub.came[SEND] + hub.came[SEND_BATCH] < count:
        assert time.monotonic() < limit, hub.came
        time.sleep(0.02)


def test_who_is_denied_is_not_answered(far):
    """The relay has proved who it is: not a byte is spent on its handshakes."""
    hub, answers = Hub(), []
    _, a, b = far(hub)
    mine = bytes.fromhex(a.id)

    def watch(source, _, frame):
        if source == mine:
            answers.append(frame)
        return [handed_on(source, frame)]

    hub.lies = watch
    a.options.append(("deny_node", b.id))
    a.start(), b.start()
    id = random_topic()
    a.client(overlay(id)), b.client(overlay(id))
    hub.wait(a.id, b.id)
    wait_came(hub, 5)
    assert answers == []
    assert a.number("connections") == 0
    a.wait_status(lambda now: now["relay/in"] >= 5 and now["peers/refused"] >= 5)


@pytest.mark.parametrize("whose", ["another-one", "our-own"])
def test_a_forged_source(far, whose):
    """Who is not let in is not let in as somebody else: its certificate says who it is."""
    hub = Hub()
    _, a, b = far(hub)
    allowed = invented_node()
    said = allowed if whose == "another-one" else bytes.fromhex(a.id)
    us, them = bytes.fromhex(a.id), bytes.fromhex(b.id)

    def forge(source, destination, frame):
        return [handed_on(said if source == them else source, frame)]

    def back(source, destination, frame):
        # What is for whom it named goes to the one that it is.
        if source == us and destination == said and them in hub.clients:
            hub.clients[them].send(handed_on(source, frame))
            return []
        return forge(source, destination, frame)

    hub.lies = back
    a.options.append(("allow_node", allowed.hex()))
    a.start(), b.start()
    id = random_topic()
    a.client(overlay(id)), b.client(overlay(id))
    wait_came(hub, 5)
    time.sleep(2)
    assert a.number("neighbours") == b.number("neighbours") == 0
    assert not any(f"overlay {id[:10]}: joined" in line for line in a.our_log())


def test_a_neighbour_under_another_name(far):
    """Two that are let in, and a relay that calls one by another's name: that one is no neighbour,
    or it is the one that its certificate says."""
    hub = Hub()
    _, a, b = far(hub)
    said, us, them = invented_node(), bytes.fromhex(a.id), bytes.fromhex(b.id)

    def lies(source, destination, frame):
        if source == us and destination == said and them in hub.clients:
            hub.clients[them].send(handed_on(source, frame))
            return []
        return [handed_on(said if source == them else source, frame)]

    hub.lies = lies
    a.start(), b.start()
    id = random_topic()
    at_a, at_b = a.client(overlay(id)), b.client(overlay(id))
    wait_came(hub, 5)
    time.sleep(2)
    if a.number("neighbours"):
        a.wait_joined(id)
        say(overlay(id), at_b, at_a, "hello")
    assert not any(said.hex()[:10] in line and "neighbour" in line for line in a.our_log())


# ---- a relay that does not read ----


def test_it_does_not_read(far):
    """What does not fit is dropped and counted, nobody waits, and afterwards it goes on: a relay is
    a lossy way."""
    hub, stopped, go_on = Hub(), threading.Event(), threading.Event()
    _, a, b = far(hub)
    us = bytes.fromhex(a.id)

    def lies(source, _, frame):
        # In the thread that reads what that client says.
        if source == us and stopped.is_set():
            go_on.wait(60)
        return [handed_on(source, frame)]

    hub.lies = lies
    a.start(), b.start()
    id = random_topic()
    topic = overlay(id)
    at_a, at_b = subscribers(id, a, b)
    say(topic, at_a, at_b, "before")
    stopped.set()
    memory = Memory(a)
    begun = time.monotonic()
    sent = counted("a", scaled(4000), 1000)
    for payload in sent:
        at_a.post(topic, payload, 1)
    # Those at the same broker see nothing of it.
    at_a.wait_all(topic, sent, within(10))
    print(f"published in {time.monotonic() - begun:.1f} s")
    time.sleep(max(begun + 4 - time.monotonic(), 0))
    memory.check(48 << 20)
    go_on.set()
    for number in itertools.count():
        at_a.post(topic, b"after %d" % number, 1)
        try:
            at_b.wait_message(topic, b"after %d" % number, 0.5)
            break
        except AssertionError:
            assert number < 40, "nothing comes through any more"
