# SPDX-License-Identifier: MIT OR Apache-2.0
"""Networks that fall apart and come together, and nodes that move: on machines of their own."""

import itertools
import time

import pytest

from identity import overlay, random_topic
from mesh import Mesh
from pulse import Pulse
from settings import PATIENCE, within
from test_bootstrap import CHAIN, NOTICED, start_all

HEALED = 15.0
MOVED = 20.0
# Where nobody lacks neighbours only a probe now and then looks further.
FULL_HEALED = 60.0
# Per node, from the cable's return until everybody hears everybody: there are five others,
# and each may have to be asked more than once.
MOST_JOINS = 30
# The same, also of connections: a node has two addresses.
MOST_DIALS = 60


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [30, pytest.param(120, marks=pytest.mark.once)])
def test_partition(net, brokers, seconds):
    """Two sites of three brokers each, of which each knows one other; the cable between them
    is cut, and nobody is told."""
    sites = [net.switch(), net.switch()]
    trunk = net.trunk(*sites)
    six = [brokers(host=net.host(name, sites[at > 2])) for at, name in enumerate("abcdef")]
    for one, next_one in zip(six, six[1:], strict=False):
        one.add_bootstrap(next_one)
    start_all(*six)
    mesh = Mesh(random_topic(), *six)
    mesh.heal(within(CHAIN))

    trunk.cut()
    cut = time.monotonic()
    parts = [mesh.part(*six[:3]), mesh.part(*six[3:])]
    for part in parts:
        part.heal(within(NOTICED))
    while time.monotonic() < cut + seconds:
        for part in parts:
            part.round("meanwhile", within(NOTICED))
        time.sleep(1)
    counted = ("peers/joins", "peers/dials")
    before = [{name: broker.number(name) for name in counted} for broker in six]

    trunk.mend()
    mended = time.monotonic()
    took = mesh.heal(within(HEALED))
    # What comes after the first message of everybody belongs to it as well.
    while time.monotonic() < mended + (HEALED if seconds > HEALED * 2 else 3):
        time.sleep(0.1)
    spent = [
        {name: broker.number(name) - old[name] for name in counted}
        for broker, old in zip(six, before, strict=True)
    ]
    print(f"healed after {took:.1f} s with {spent}; in the {seconds} s before {before}")
    for one in spent:
        assert one["peers/joins"] <= MOST_JOINS and one["peers/dials"] <= MOST_DIALS, spent
    # Not a joiner without end, either, while there was nobody.
    for one in before:
        assert one["peers/joins"] <= MOST_JOINS * (1 + seconds / HEALED), before
    mesh.round("healed", within(CHAIN))


@pytest.mark.parametrize("who", ["naming", "named"])
def test_addresses_change(net, brokers, who):
    """The one that moves has to tell the other, which may know it by its old address only."""
    a, b = (brokers(host=host) for host in net.hosts("ab"))
    a.add_bootstrap(b)
    start_all(a, b)
    mesh = Mesh(random_topic(), a, b)
    mesh.round("before", within(CHAIN))
    mover = a if who == "naming" else b
    mover.host.replace_addresses("10.77.9.9", "fd77::99")
    took = mesh.heal(within(MOVED))
    print(f"reached again after {took:.1f} s")
    # And who comes anew is told the new address.
    c = brokers(host=net.host("c"))
    c.add_bootstrap(b if mover is a else a)
    c.start()
    mesh.join(c)
    mesh.heal(within(CHAIN))


def test_an_address_comes(net, brokers):
    """A network in addition to the one there is: nothing breaks, and it is told."""
    a, b = (brokers(host=host) for host in net.hosts("ab"))
    a.add_bootstrap(b)
    start_all(a, b)
    topic = overlay(random_topic())
    receiver, sender = b.client(topic), a.client(topic)
    a.wait_number("neighbours", 1)
    with Pulse(lambda payload: sender.post(topic, payload), "pulse") as pulse:
        for host in (a.host, b.host):
            host.add_address(f"10.77.8.{host.name.encode()[0]}")
        limit = time.monotonic() + 2
        while time.monotonic() < limit:
            time.sleep(0.1)
    receiver.wait_count(topic, len(pulse.sent), PATIENCE)
    assert receiver.payloads(topic) == pulse.sent
    assert a.number("neighbours") == b.number("neighbours") == 1


@pytest.mark.once
def test_partition_of_full_views(net, brokers):
    """Two sites of six that know all of their own: each node has as many neighbours as it wants
    there, and HyParView misses nothing; the sites come together all the same."""
    sites = [net.switch(), net.switch()]
    trunk = net.trunk(*sites)
    sixes = [
        [brokers(name, host=net.host(name, site)) for name in names]
        for site, names in zip(sites, ("abcdef", "ghijkl"), strict=True)
    ]
    for six in sixes:
        for one, other in itertools.permutations(six, 2):
            one.add_peer(other)
    sixes[0][0].add_bootstrap(sixes[1][0])
    twelve = start_all(*sixes[0], *sixes[1])
    mesh = Mesh(random_topic(), *twelve)
    mesh.heal(within(2 * CHAIN))
    trunk.cut()
    noticed = time.monotonic() + NOTICED
    parts = [mesh.part(*six) for six in sixes]
    for part in parts:
        part.heal(within(NOTICED))
    while time.monotonic() < noticed:
        for part in parts:
            part.round("meanwhile", within(NOTICED))
        time.sleep(1)
    for broker in twelve:
        broker.wait_status(lambda status: status["neighbours"] == 5, within(PATIENCE))
    trunk.mend()
    took = mesh.heal(within(FULL_HEALED))
    print(f"healed after {took:.1f} s")
