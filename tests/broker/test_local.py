# SPDX-License-Identifier: MIT OR Apache-2.0
"""Clients whose topics are no overlays here, though they look like them: that is said."""

import pytest

from identity import overlay, random_topic
from mqtt import Client
from ports import free_port

SUBSCRIBED = r"p2panda: client (\S+) subscribed (\S+)\.\.\., which only ends like an overlay"
PUBLISHED = r"p2panda: client (\S+) publishes to (\S+)\.\.\., which only ends like an overlay"


@pytest.mark.parametrize("mount", ["tenant/", "some/where/", "tenant"])
def test_mount_point(brokers, mount):
    port = free_port()
    a = brokers(lines=[f"listener {port} 127.0.0.1", f"mount_point {mount}"]).start()
    topic, other = overlay(random_topic()), overlay(random_topic())
    watcher = a.client("#")
    with Client(port, client_id="inmate") as client:
        # These only look alike.
        for text in (topic[:-1], topic + "0", topic + "/more", topic.upper(), "p2panda/+", "a/#"):
            client.subscribe(text, 1)
        for text in (topic[:-1], topic + "0", topic + "/more", topic.upper()):
            client.publish(text, b"hello")
        assert not any("only ends like" in line for line in a.log())
        for text in (topic, f"$share/group/{topic}", other):
            client.subscribe(text, 1)
        for text in (topic, other):
            client.publish(text, b"from inside")
        client.wait_message(topic, b"from inside")
        watcher.wait_message(mount + other, b"from inside")
    for pattern in (SUBSCRIBED, PUBLISHED):
        assert a.wait_log(pattern).groups() == ("inmate", mount + topic[:18])
    assert len([line for line in a.log() if "only ends like" in line]) == 2
    status = a.status()
    assert (status["overlays"], status["messages/in"]) == ("0", "0")


def test_a_mount_point_that_works(brokers):
    port = free_port()
    a = brokers(lines=[f"listener {port} 127.0.0.1", "mount_point p2panda/"])
    b = brokers()
    a.add_peer(b)
    a.start(), b.start()
    id = random_topic()
    far = b.client(overlay(id))
    with Client(port) as client:
        client.subscribe(id, 1)
        a.wait_joined(id)
        client.publish(id, b"from inside")
        far.wait_message(overlay(id), b"from inside")
        far.publish(overlay(id), b"from outside")
        client.wait_message(id, b"from outside")
    a.wait_log(f"overlay {id[:10]}: left")


def beside_another_listener(brokers, plugin: str):
    """With per_listener_settings, and a client of each listener."""
    port = free_port()
    a = brokers(behind=[f"listener {port} 127.0.0.1", "allow_anonymous true"])
    a.start("per_listener_settings true\n" + a.config().replace("\nplugin ", f"\n{plugin} "))
    return a, Client(port), port


def test_plugin_of_one_listener(brokers):
    """By 'plugin' instead of 'global_plugin'."""
    everywhere, far, _ = beside_another_listener(brokers, "global_plugin")
    here, unseen, port = beside_another_listener(brokers, "plugin")
    with far, unseen:
        for client in (far, unseen):
            topic = overlay(random_topic())
            client.subscribe(topic, 1)
            client.publish(topic, b"to whom it may concern")
        line = here.wait_log(r"p2panda: the clients of port (\d+) are not seen here")
        assert int(line[1]) == port
        everywhere.wait_status(lambda status: status["overlays"] == 1)
        assert here.number("overlays") == 0
        # It was started before.
        assert not any("are not seen here" in line for line in everywhere.log())
