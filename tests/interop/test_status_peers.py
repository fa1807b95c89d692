# SPDX-License-Identifier: MIT OR Apache-2.0
"""What the status topics and the events say of real p2panda-net peers: as they come, carry messages,
and really go."""

import pytest

from identity import overlay, random_topic
from overlays import they_dial, we_dial
from pulse import Pulse
from rust_peer import GENERATIONS
from settings import PATIENCE
from watch import Watch

pytestmark = pytest.mark.parametrize("generation", GENERATIONS)

OFTEN = ("sys_interval", "1")


def meet(rust, brokers, generation, host=None, peer_host=None):
    """A broker and a peer of its configuration, neighbours on an overlay; and what is said."""
    broker = brokers(options=[OFTEN], host=host)
    peer, id = rust(generation, host=peer_host), random_topic()
    we_dial(broker, peer, id)
    watch, client = Watch(broker), broker.client(overlay(id))
    watch.wait(f"overlay/{id[:10]}/state", "joined")
    watch.wait(f"node/{peer.id[:10]}/state", "online")
    return peer, id, client, watch


def wait_gone(watch, peer, id, within=PATIENCE):
    """Each of the topics and events that say so."""
    down = watch.wait_event(within, event="neighbour_down", overlay=id[:10], node=peer.id[:10])
    # Upstream says no goodbye, whichever way it ends.
    assert down["cause"] == "lost"
    watch.wait(f"overlay/{id[:10]}/state", "alone")
    watch.wait(f"overlay/{id[:10]}/neighbours", "0")
    watch.wait("state", "alone")
    watch.wait(f"node/{peer.id[:10]}/state", "offline", 2 * PATIENCE)


def test_it_comes_and_carries_messages(rust, brokers, generation):
    peer, id, client, watch = meet(rust, brokers, generation)
    this = f"overlay/{id[:10]}"
    watch.wait("state", "joined")
    watch.wait(f"{this}/neighbours", "1")
    watch.wait_event(event="joined", overlay=id[:10])
    watch.wait_event(event="neighbour_up", overlay=id[:10], node=peer.id[:10])
    for number in range(3):
        peer.publish(id, b"from there %d" % number)
    for number in range(2):
        client.publish(overlay(id), b"from here %d" % number)
    peer.wait_message(id, b"from here 1")
    watch.wait(f"{this}/out", "3")
    watch.wait(f"{this}/in", "2")
    watch.wait(f"{this}/dropped", "0")


def test_it_leaves_the_overlay(rust, brokers, generation):
    """The peer runs on, without the overlay."""
    peer, id, client, watch = meet(rust, brokers, generation)
    peer.leave(id)
    # Upstream says so with whatever happens there next, once it has really left: that takes a moment,
    # and a message that comes earlier is an ordinary one.
    with Pulse(lambda payload: client.post(overlay(id), payload), "is anybody there", 0.5):
        watch.wait_event(event="neighbour_down", overlay=id[:10], node=peer.id[:10], cause="left")
        watch.wait(f"overlay/{id[:10]}/state", "alone")
    peer.join(id)
    watch.wait(f"overlay/{id[:10]}/state", "joined", 2 * PATIENCE)
    watch.wait(f"node/{peer.id[:10]}/state", "online", 2 * PATIENCE)


def test_it_ends(rust, brokers, generation):
    peer, id, _client, watch = meet(rust, brokers, generation)
    peer.close()
    wait_gone(watch, peer, id)


def test_it_is_killed_and_comes_back(rust, brokers, generation):
    peer, id, _client, watch = meet(rust, brokers, generation)
    peer.kill()
    wait_gone(watch, peer, id, 2 * PATIENCE)
    again = rust(generation, secret=peer.secret, bind4=peer.bind4)
    again.join(id)
    watch.wait(f"node/{peer.id[:10]}/state", "online", 3 * PATIENCE)
    watch.wait(f"overlay/{id[:10]}/state", "joined", 2 * PATIENCE)


def test_its_cable_is_cut(rust, brokers, net, generation):
    here, there = net.hosts(["here", "there"])
    peer, id, client, watch = meet(rust, brokers, generation, here, there)
    there.cable.cut()
    wait_gone(watch, peer, id, 2 * PATIENCE)
    there.cable.mend()
    watch.wait(f"node/{peer.id[:10]}/state", "online", 3 * PATIENCE)
    watch.wait(f"overlay/{id[:10]}/state", "joined", 2 * PATIENCE)


def test_a_peer_that_nobody_named(rust, brokers, generation):
    """It has a topic from when it is a neighbour."""
    broker = brokers(options=[OFTEN]).start()
    peer, id, watch = rust(generation), random_topic(), Watch(broker)
    broker.client(overlay(id))
    watch.wait(f"overlay/{id[:10]}/state", "joining")
    assert watch.value(f"node/{peer.id[:10]}/state") == ""
    they_dial(broker, peer, id)
    watch.wait(f"node/{peer.id[:10]}/state", "online")
    peer.kill()
    wait_gone(watch, peer, id, 2 * PATIENCE)
