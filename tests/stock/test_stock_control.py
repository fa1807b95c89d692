# SPDX-License-Identifier: MIT OR Apache-2.0
"""Control in each Mosquitto: who may, and that it does what it says."""

import json

import pytest

from control import REQUEST, RESPONSE, Control
from documents import block

TOPIC = "17" * 32


@pytest.fixture
def broker(stock, brokers, tmp_path):
    acl = tmp_path / "acl"
    acl.write_text("topic read $SYS/#\n" + block("docs/control.md", "access") + "user other\n")
    return brokers(
        program=stock.program, options=[("control", "true")], lines=[f"acl_file {acl}"]
    ).start()


def test_it_works(broker):
    control = Control(broker)
    control.ask("joinTopic", topic=TOPIC)
    broker.wait_status(lambda status: status["overlays"] == 1)
    (topic,) = control.ask("listTopics")["topics"]
    assert (topic["topic"], topic["source"]) == (TOPIC, "control")
    assert control.ask("getStatus")["node_id"] == broker.id
    control.ask("leaveTopic", topic=TOPIC)
    broker.wait_status(lambda status: status["overlays"] == 0)


def test_others_are_refused(broker):
    """Of the second one the plugin does not even hear."""
    command = json.dumps({"commands": [{"command": "joinTopic", "topic": TOPIC}]}).encode()
    for login in (None, ("other", "x")):
        client = broker.client(login=login)
        client.publish(REQUEST, command)
        assert client.payloads(RESPONSE) == []
    assert Control(broker).ask("listTopics")["topics"] == []


def test_anonymous_clients_are_refused(stock, brokers):
    """Also where the broker lets everybody do everything."""
    broker = brokers(program=stock.program, options=[("control", "true")]).start()
    answer = Control(broker, login=None).request(b'{"commands": [{"command": "getStatus"}]}')
    assert "user name" in answer["responses"][0]["error"]
