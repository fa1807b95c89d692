# SPDX-License-Identifier: MIT OR Apache-2.0
"""What the status topics and the events say of overlays and nodes, as they really are."""

import pathlib
import re

from identity import overlay, random_topic
from settings import PATIENCE
from watch import Watch

OFTEN = ("sys_interval", "1")


def meet(brokers, **arguments):
    """Two brokers that are neighbours on a topic, and what the first one says."""
    a, b = brokers(options=[OFTEN], **arguments), brokers(**arguments)
    a.add_peer(b)
    a.start(), b.start()
    watch = Watch(a)
    id = random_topic()
    near, far = a.client(overlay(id)), b.client(overlay(id))
    a.wait_joined(id)
    watch.wait(f"overlay/{id[:10]}/state", "joined")
    return a, b, id, near, far, watch


def test_the_life_of_an_overlay(brokers):
    a, b = brokers(options=[OFTEN]), brokers()
    a.add_peer(b)
    a.start(), b.start()
    watch = Watch(a)
    id = random_topic()
    this, node = f"overlay/{id[:10]}", b.id[:10]
    watch.wait("state", "idle")
    near = a.client(overlay(id))
    watch.wait(f"{this}/state", "joining")
    watch.wait("state", "joining")
    for name in ("neighbours", "in", "out", "dropped"):
        watch.wait(f"{this}/{name}", "0")
    far = b.client(overlay(id))
    watch.wait(f"{this}/state", "joined")
    watch.wait(f"{this}/neighbours", "1")
    watch.wait("state", "joined")
    watch.wait(f"node/{node}/state", "online")
    watch.wait_event(event="joined", overlay=id[:10])
    watch.wait_event(event="neighbour_up", overlay=id[:10], node=node)

    far.publish(overlay(id), b"one")
    near.wait_message(overlay(id), b"one")
    near.publish(overlay(id), b"two")
    near.publish(overlay(id), b"two")  # the same again goes nowhere
    watch.wait(f"{this}/out", "1")
    watch.wait(f"{this}/in", "2")
    watch.wait(f"{this}/dropped", "1")
    event = watch.wait_event(event="dropped", overlay=id[:10])
    assert (event["reason"], event["count"]) == ("dropped/repeated", 1)

    far.unsubscribe(overlay(id))
    watch.wait(f"{this}/state", "alone")
    watch.wait(f"{this}/neighbours", "0")
    watch.wait("state", "alone")
    watch.wait_event(event="neighbour_down", overlay=id[:10], node=node, cause="left")
    # Its connection stays, for it is a configured one.
    assert watch.value(f"node/{node}/state") == "online"

    near.unsubscribe(overlay(id))
    watch.wait(f"{this}/state", "")
    watch.wait("state", "idle")
    watch.wait_event(event="left", overlay=id[:10])
    # Nothing of it is left for who comes later.
    late = Watch(a)
    late.wait("state", "idle")
    assert not [topic for topic in late.client.newest() if id[:10] in topic]
    assert all(event["time"] > 1e12 for event in watch.events())


def test_a_neighbour_is_killed(brokers):
    a, b, id, _near, _far, watch = meet(brokers)
    b.kill()
    watch.wait_event(
        2 * PATIENCE, event="neighbour_down", overlay=id[:10], node=b.id[:10], cause="lost"
    )
    watch.wait(f"overlay/{id[:10]}/state", "alone")
    watch.wait(f"node/{b.id[:10]}/state", "offline")
    b.start()
    watch.wait(f"node/{b.id[:10]}/state", "online", 2 * PATIENCE)


def test_a_neighbour_is_stopped(brokers):
    a, b, id, _near, _far, watch = meet(brokers)
    b.stop()
    watch.wait_event(event="neighbour_down", overlay=id[:10], node=b.id[:10], cause="left")
    watch.wait(f"node/{b.id[:10]}/state", "offline", 2 * PATIENCE)


def test_a_cable_is_cut(brokers, net):
    left, right = net.hosts(["left", "right"])
    a, b = brokers(options=[OFTEN], host=left), brokers(host=right)
    a.add_peer(b)
    a.start(), b.start()
    watch = Watch(a)
    id = random_topic()
    a.client(overlay(id)), b.client(overlay(id))
    watch.wait(f"overlay/{id[:10]}/state", "joined")
    right.cable.cut()
    watch.wait(f"node/{b.id[:10]}/state", "offline", 2 * PATIENCE)
    watch.wait_event(event="neighbour_down", overlay=id[:10], node=b.id[:10], cause="lost")
    right.cable.mend()
    watch.wait(f"node/{b.id[:10]}/state", "online", 3 * PATIENCE)
    watch.wait(f"overlay/{id[:10]}/state", "joined", 2 * PATIENCE)


def test_a_node_that_nobody_named(brokers):
    """It is known while it is a neighbour; its topic is cleared later (tests/unit)."""
    a, b = brokers(options=[OFTEN]), brokers()
    b.add_peer(a)
    a.start(), b.start()
    watch = Watch(a)
    id = random_topic()
    a.client(overlay(id))
    far = b.client(overlay(id))
    watch.wait(f"node/{b.id[:10]}/state", "online")
    far.unsubscribe(overlay(id))
    watch.wait(f"node/{b.id[:10]}/state", "offline")


def test_a_bootstrap_node_is_online_once_it_was_visited(brokers):
    a, b = brokers(options=[OFTEN]), brokers()
    a.add_bootstrap(b)
    a.start()
    watch = Watch(a)
    watch.wait(f"node/{b.id[:10]}/state", "offline")
    b.start()
    a.client(overlay(random_topic()))
    watch.wait(f"node/{b.id[:10]}/state", "online", 3 * PATIENCE)


def test_what_nobody_takes_is_told(brokers):
    a = brokers(options=[OFTEN, ("queue_age", "1")]).start()
    watch = Watch(a)
    id = random_topic()
    client = a.client(overlay(id))
    client.publish(overlay(id), b"lost")
    event = watch.wait_event(event="dropped", overlay=id[:10])
    assert (event["reason"], event["count"]) == ("dropped/queue_age", 1)
    watch.wait(f"overlay/{id[:10]}/dropped", "1")
    client.publish(overlay(id), b"x" * 5000)
    watch.wait(f"overlay/{id[:10]}/dropped", "2")
    watch.wait(f"overlay/{id[:10]}/in", "2")


def test_nothing_below_sys_is_unknown(brokers):
    """Each topic has its line in docs/status.md."""
    lines = (pathlib.Path(__file__).resolve().parents[2] / "docs" / "status.md").read_text()
    known = set(re.findall(r"^\| `([a-z_/]+|[a-z]+/<10 digits>/[a-z]+)` \|", lines, re.MULTILINE))
    _a, _b, _id, _near, _far, watch = meet(brokers)
    watch.wait_event(event="joined")

    def shapes() -> set[str]:
        topics = {topic.removeprefix("$SYS/broker/p2panda/") for topic in watch.client.newest()}
        return {re.sub(r"/[0-9a-f]{10}/", "/<10 digits>/", topic) for topic in topics}

    each = {one for one in known if "/<10" in one}
    watch.client.wait(lambda: each < shapes(), what="all of an overlay and a node")
    assert shapes() - known == set()
    relay = {"relay/url", "relay/state"}
    assert relay.isdisjoint(shapes())
