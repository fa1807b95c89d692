# SPDX-License-Identifier: MIT OR Apache-2.0
"""The status where the broker keeps no retained messages, or publishes no status itself."""

import time

import pytest

from broker import _RUNNING
from identity import overlay, random_topic
from mqtt import Client

ALL = "$SYS/broker/p2panda/#"
NODE_ID = "$SYS/broker/p2panda/node_id"
OURS = "keeps no retained messages"


def spawn(brokers, *options, lines=()):
    """A broker whose status nobody waits for."""
    broker = brokers(options=list(options), lines=list(lines))
    broker.spawn()
    broker.wait_log(_RUNNING)
    return broker


def test_without_retained_messages_all_is_said_again(brokers):
    broker = spawn(brokers, ("sys_interval", "1"), lines=["retain_available false"])
    id = random_topic()
    with Client(broker.mqtt_port) as client:
        client.subscribe(overlay(id), 1)
        # Long after all of it was published once: the first may come with the start, the next one
        # ten seconds later.
        client.subscribe("$SYS/broker/uptime")
        client.wait_count("$SYS/broker/uptime", 2)
        client.subscribe(ALL)
        for topic in (NODE_ID, f"$SYS/broker/p2panda/overlay/{id[:10]}/state"):
            client.wait_count(topic, 4)
        broker.wait_log(OURS)
        first, *_, last = client.messages(NODE_ID)
        assert 0.8 * 2 < last.time - first.time, "each second"
    assert sum(OURS in line for line in broker.our_log()) == 1


def test_whoever_comes_later_sees_it_as_well(brokers):
    broker = spawn(brokers, ("sys_interval", "1"), lines=["retain_available false"])
    for _ in range(2):
        with Client(broker.mqtt_port) as client:
            client.subscribe("$SYS/broker/p2panda/messages/+")
            client.wait_count("$SYS/broker/p2panda/messages/in", 2)


def test_with_retained_messages_nothing_is_said_again(brokers):
    broker = spawn(brokers, ("sys_interval", "1"))
    clients = [broker.client(ALL) for _ in range(3)]
    for client in clients:
        client.wait_count(NODE_ID, 1)
    # Two who are sent nothing at first, and not because nothing is kept.
    broker.client("$SYS/broker/p2panda/nothing").subscribe("$SYS/broker/p2panda/overlay/+/state")
    time.sleep(3.5)
    assert all(len(client.payloads(NODE_ID)) == 1 for client in clients)
    assert not any(OURS in line for line in broker.our_log())


def test_who_may_not_read_it_says_nothing_about_others(brokers, tmp_path):
    acl = tmp_path / "acl"
    acl.write_text("user admin\ntopic read $SYS/#\n")
    acl.chmod(0o600)
    broker = spawn(brokers, ("sys_interval", "1"), lines=[f"acl_file {acl}"])
    other = broker.client(ALL)
    time.sleep(3.5)
    assert not other.newest()
    assert not any(OURS in line for line in broker.our_log())


@pytest.mark.parametrize("said", ["false", "true"])
def test_it_can_be_said(brokers, said):
    options = [("sys_interval", "1"), ("retain_available", said)]
    broker = spawn(brokers, *options, lines=["retain_available false"])
    with Client(broker.mqtt_port) as client:
        client.subscribe(ALL)
        if said == "false":
            client.wait_count(NODE_ID, 3)
        else:
            time.sleep(3.5)
            assert not client.payloads(NODE_ID)


def test_without_an_interval_there_is_none(brokers):
    broker = spawn(brokers, ("sys_interval", "0"), lines=["sys_interval 0"])
    id = random_topic()
    with Client(broker.mqtt_port) as client:
        client.subscribe("$SYS/#")
        client.subscribe(overlay(id), 1)
        client.publish(overlay(id), b"x" * 5000)
        client.unsubscribe(overlay(id))
        broker.wait_log(f"overlay {id[:10]}: left")
        time.sleep(3)
        assert not client.newest()
