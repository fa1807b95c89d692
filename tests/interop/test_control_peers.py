# SPDX-License-Identifier: MIT OR Apache-2.0
"""Control of a broker among real p2panda-net peers: what it tells of them, and what it changes."""

import pytest

from control import Control
from rust_peer import GENERATIONS, random_topic

pytestmark = pytest.mark.parametrize("generation", GENERATIONS)


@pytest.fixture
def broker(brokers):
    return brokers(options=[("control", "true")]).start()


@pytest.fixture
def met(rust, broker, generation):
    """A peer that control has added, and that has become a neighbour."""
    peer, topic, control = rust(generation, discovery=True), random_topic(), Control(broker)
    peer.node(broker.id, broker.address())
    peer.interest(broker.id, topic)
    peer.join(topic)
    control.ask("joinTopic", topic=topic)
    control.ask("addNode", node=f"{peer.id}@{peer.bind4}")
    broker.wait_status(lambda status: status["neighbours"] == 1)
    peer.wait("joined", topic=topic)
    return peer, topic, control


def test_it_is_shown(broker, met):
    peer, topic, control = met
    peer.publish(topic, b"hello")
    shown = control.wait(lambda data: data["received"] == 1, "getTopic", topic=topic)
    assert (shown["state"], shown["sent"], shown["dropped"]) == ("joined", 0, 0)
    (neighbour,) = shown["neighbours"]
    assert (neighbour["node"], neighbour["role"], neighbour["way"]) == (peer.id, "peer", "direct")
    assert neighbour["received"] == 1 and neighbour["rtt_ms"] > 0
    node = control.ask("getNode", node=peer.id)
    assert node["connected"] and node["overlays"] == 1 and node["source"] == "control"
    assert node["last_success"] > 1_700_000_000
    assert {"address": peer.bind4, "origin": "configured"} in node["addresses"]
    broker.client().publish(f"p2panda/{topic}", b"back")
    peer.wait_message(topic, b"back")
    assert control.ask("getTopic", topic=topic)["sent"] == 1


def test_a_ping_leaves_it_as_it_is(broker, met):
    """Upstream takes the end of its newest gossip connection for the end of a neighbour."""
    peer, topic, control = met
    for _ in range(3):
        ping = control.ask("ping", node=peer.id)
        (answered,) = (one for one in ping["addresses"] if one["address"] == peer.bind4)
        assert answered["answered"] and answered["rtt_ms"] > 0
    peer.publish(topic, b"still there")
    control.wait(lambda data: data["received"] == 1, "getTopic", topic=topic)
    broker.client().publish(f"p2panda/{topic}", b"as well")
    peer.wait_message(topic, b"as well")
    assert broker.number("neighbours") == 1


def test_it_is_shut_out_and_let_in_again(broker, met):
    peer, topic, control = met
    assert "remove it first" in control.refusal("deny", node=peer.id)
    control.ask("removeNode", node=peer.id)
    control.ask("deny", node=peer.id)
    broker.wait_status(lambda status: status["neighbours"] == 0)
    assert control.ask("getTopic", topic=topic)["state"] == "alone"
    assert control.ask("ping", node=peer.id)["answered"] == 0
    control.ask("deny", node=peer.id, remove=True)
    control.ask("addNode", node=f"{peer.id}@{peer.bind4}")
    broker.wait_status(lambda status: status["neighbours"] == 1)
    peer.publish(topic, b"again")
    control.wait(lambda data: data["received"] == 1, "getTopic", topic=topic)


def test_it_is_among_what_is_listed(broker, met):
    peer, topic, control = met
    peer.publish(topic, b"hello")
    control.wait(lambda data: data["messages/received"] == 1, "getMetrics")
    status = control.ask("getStatus")
    assert (status["overlays"], status["neighbours"], status["neighbours_relayed"]) == (1, 1, 0)
    assert status["connections"] >= 1
    (shown,) = control.ask("listTopics")["topics"]
    assert (shown["topic"], shown["state"], shown["neighbours"]) == (topic, "joined", 1)
    assert (shown["source"], shown["received"]) == ("control", 1)
    (node,) = control.ask("listNodes")["nodes"]
    assert (node["node"], node["role"], node["source"]) == (peer.id, "peer", "control")
    assert node["connected"] and (node["way"], node["overlays"]) == ("direct", 1)
    # Each line about it is written from now on, and nothing else changes.
    control.ask("setLogLevel", level="debug")
    peer.publish(topic, b"still there")
    control.wait(lambda data: data["received"] == 2, "getTopic", topic=topic)


def test_only_those_on_the_list_are_let_in(rust, broker, met, generation):
    peer, topic, control = met
    control.ask("allow", node=peer.id)
    assert [one["node"] for one in control.ask("getStatus")["allowed"]] == [peer.id]
    other = rust(generation)
    other.node(broker.id, broker.address())
    other.interest(broker.id, topic)
    other.join(topic)
    control.wait(lambda data: data["peers/refused"] > 0, "getMetrics")
    (neighbour,) = control.ask("getTopic", topic=topic)["neighbours"]
    assert neighbour["node"] == peer.id
    peer.publish(topic, b"still there")
    control.wait(lambda data: data["received"] == 1, "getTopic", topic=topic)
    control.ask("allow", node=peer.id, remove=True)
    # Upstream does not try again by itself.
    control.ask("addNode", node=f"{other.id}@{other.bind4}")
    broker.wait_status(lambda status: status["neighbours"] == 2)


def test_its_overlay_is_left_and_joined_again(broker, met):
    peer, topic, control = met
    control.ask("leaveTopic", topic=topic)
    peer.wait("neighbour_down", topic=topic, node=broker.id)
    control.wait(lambda data: data["topics"] == [], "listTopics")
    control.ask("joinTopic", topic=topic)
    broker.wait_status(lambda status: status["neighbours"] == 1)
    peer.publish(topic, b"again")
    control.wait(lambda data: data["received"] == 1, "getTopic", topic=topic)


def test_it_is_gone(broker, met):
    """The state says so, and why it cannot be reached."""
    peer, topic, control = met
    peer.kill()
    alone = control.wait(lambda data: data["state"] == "alone", "getTopic", topic=topic)
    assert alone["neighbours"] == []
    node = control.wait(lambda data: "failure" in data, "getNode", node=peer.id)
    assert not node["connected"] and node["last_failure"] >= node["last_success"]
    assert control.ask("ping", node=peer.id)["answered"] == 0


def test_a_bootstrap_node_that_is_added_leads_to_others(rust, brokers, broker, generation):
    """With an overlay that both have, which the broker does not tell before it is shown."""
    peer, topic, control = rust(generation, discovery=True), random_topic(), Control(broker)
    peer.join(topic)
    broker.client(f"p2panda/{topic}")
    control.ask("addNode", node=f"{peer.id}@{peer.bind4}", role="bootstrap")
    broker.wait_status(lambda status: status["neighbours"] == 1)
    (neighbour,) = control.ask("getTopic", topic=topic)["neighbours"]
    assert (neighbour["node"], neighbour["role"]) == (peer.id, "bootstrap")
