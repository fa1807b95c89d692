# SPDX-License-Identifier: MIT OR Apache-2.0
"""Brokers and Rust peers on one overlay of which nobody wants anything: half a minute after the
start nobody loses a neighbour, and nobody looks for one. (tests/rest/rest.c is about overlays
of ours alone.)"""

import itertools
import time

import pytest

from identity import random_topic
from mesh import Mesh
from settings import PATIENCE
from usage import cpu_seconds

# An overlay has this long to come to rest; then it is watched.
SETTLED = 30.0
WINDOW = 30.0
# Of a broker.
MOST_ASKS_PER_MINUTE = 1.0


def figures(broker) -> dict[str, float]:
    """What it has done since its start."""
    names = ("peers/joins", "peers/merges", "peers/probes", "peers/dials", "discovery/sessions")
    return {
        "seconds": time.monotonic(),
        "s of CPU": cpu_seconds(broker.process.pid),
        **{name.split("/")[1]: broker.number(name) for name in names},
    }


@pytest.mark.slow
@pytest.mark.unsanitized
@pytest.mark.parametrize(
    ("ours", "generations", "discovery"),
    [
        pytest.param(11, ["06", "071"], False, id="11-and-2"),
        pytest.param(11, ["06", "071"], True, id="11-and-2-with-discovery"),
        pytest.param(20, ["06", "071", "06", "071", "06"], False, id="20-and-5"),
    ],
)
def test_rest(brokers, rust, ours, generations, discovery):
    """The first broker is the hub: all others know it alone. But peers with discovery know
    everybody from the start: upstream joins all nodes of a topic anew whenever it has found
    another one, for as long as that takes, and so is not at rest itself."""
    topic = random_topic()
    nodes = [brokers(f"broker{number}") for number in range(ours)]
    hub, *others = nodes
    for other in others:
        other.add_peer(hub)
    begun = time.monotonic()
    for broker in nodes:
        broker.spawn()
    for broker in nodes:
        broker.attach()
    peers = [rust(generation, discovery=discovery) for generation in generations]
    for peer in peers:
        for broker in nodes if discovery else [hub]:
            peer.node(broker.id, broker.address())
            peer.interest(broker.id, topic)
    if discovery:
        for peer, other in itertools.permutations(peers, 2):
            peer.node(other.id, other.bind4)
            peer.interest(other.id, topic)
    mesh = Mesh(topic, *nodes, *peers)
    for broker in nodes:
        broker.wait_joined(topic)
    for peer in peers:
        peer.wait("joined", PATIENCE, topic=topic)
    whole = time.monotonic() - begun

    def lost() -> list[int]:
        return [len(peer.events("neighbour_down", topic=topic)) for peer in peers]

    time.sleep(max(begun + SETTLED - time.monotonic(), 0))
    lost_before, before = lost(), [figures(broker) for broker in nodes]
    time.sleep(WINDOW)
    lost_after, after = lost(), [figures(broker) for broker in nodes]
    gone = [late - early for late, early in zip(lost_after, lost_before, strict=True)]
    spent = {
        name: sum(late[name] - early[name] for late, early in zip(after, before, strict=True))
        for name in before[0]
    }
    asked = spent["joins"] + spent["merges"] + spent["probes"]
    asks = asked / (spent.pop("seconds") / 60)  # of a broker
    print(f"whole after {whole:.1f} s; while it settled the peers lost {lost_before} neighbours")
    print(f"then in {WINDOW:.0f} s they lost {gone}; the {ours} brokers together:", end=" ")
    print(", ".join(f"{number:.2f} {name}" for name, number in spent.items()))

    for name in ("one of each", "once more of each"):
        mesh.round(name)
    repeated = mesh.repeated()
    assert not repeated, f"not once: {', '.join(repeated)}"
    assert gone == [0] * len(peers)
    assert not any(peer.events("events_lost") for peer in peers)
    assert asks <= MOST_ASKS_PER_MINUTE
