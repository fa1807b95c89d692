# SPDX-License-Identifier: MIT OR Apache-2.0
"""Control by MQTT: who may, what each command tells and does, and what is wrong with others."""

import json

import pytest
from control import REQUEST, RESPONSE, Control
from documents import block
from mqtt import V311

ID = "ab" * 32
TOPIC = "17" * 32


@pytest.fixture
def broker(brokers):
    return brokers(options=[("control", "true")]).start()


# -- who may ------------------------------------------------------------------


def test_status(broker):
    status = Control(broker).ask("getStatus")
    assert status["node_id"] == broker.id
    assert status["addresses"] == [broker.address()]
    assert status["log_level"] == "information"
    assert (status["allowed"], status["denied"]) == ([], [])
    assert status["overlays"] == 0


def test_off_unless_it_is_wanted(brokers):
    """The broker itself says that there is nobody (2.1), and nobody hears of it."""
    broker = brokers(options=[("control", "false")]).start()
    answer = Control(broker).request(b'{"commands": [{"command": "getStatus"}]}')
    assert answer == {"error": "endpoint not available"}


def test_anonymous_clients_are_refused(broker):
    control = Control(broker, login=None)
    answer = control.request(b'{"commands": [{"command": "joinTopic", "topic": "%s"}]}' % (TOPIC.encode()))
    (response,) = answer["responses"]
    assert "user name" in response["error"]
    broker.wait_log("control: client .* is refused: it has no user name")
    assert Control(broker).ask("listTopics")["topics"] == []


def test_unauthorised_clients_are_refused(brokers, tmp_path):
    """By the broker's access control, before the plugin hears of it."""
    acl = tmp_path / "acl"
    acl.write_text(
        "topic read $SYS/#\n"
        + block("docs/control.md", "access")
        + "user other\ntopic readwrite p2panda/#\n"
    )
    broker = brokers(options=[("control", "true")], lines=[f"acl_file {acl}"]).start()
    other, admin = Control(broker, login=("other", "x")), Control(broker)
    commands = {"commands": [{"command": "joinTopic", "topic": TOPIC}]}
    assert other.client.publish(REQUEST, json.dumps(commands).encode()).is_failure
    assert admin.ask("listTopics")["topics"] == []
    assert other.client.payloads(RESPONSE) == []


def test_nobody_else_hears_the_answer(broker):
    """Topics are secrets."""
    other = Control(broker, login=("other", "x"))
    other.client.subscribe(RESPONSE)
    other.client.subscribe("$CONTROL/#")
    control = Control(broker)
    control.ask("joinTopic", topic=TOPIC)
    assert control.ask("listTopics")["topics"][0]["topic"] == TOPIC
    other.ask("getStatus")
    assert len(other.client.payloads(RESPONSE)) == 1


def test_mqtt_3(broker):
    assert Control(broker, version=V311).ask("getStatus")["node_id"] == broker.id


# -- what is wrong ------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        (b"", "not JSON"),
        (b"hello", "not JSON"),
        (b'{"commands": [', "not JSON"),
        (b"[]", '"commands" is missing'),
        (b"{}", '"commands" is missing'),
        (b'{"commands": {}}', '"commands" is missing'),
        (b'{"commands": [1]}', "it takes an object"),
        (b'{"commands": [{}]}', '"command" is missing'),
        (b'{"commands": [{"command": 1}]}', '"command" is missing'),
        (b'{"commands": [{"command": "x", "correlationData": 1}]}', '"correlationData"'),
        (b'{"commands": [{"command": "nonsense"}]}', "there are getStatus, listTopics"),
        (b'{"commands": [%s]}' % b",".join([b"{}"] * 33), "it takes 32 of them"),
        (b" " * 65537, "it takes 65536"),
        (b"[" * 60000, "not JSON"),
    ],
)
def test_requests_that_are_none(broker, payload, error):
    control = Control(broker)
    answer = control.request(payload)
    assert error in answer["responses"][0]["error"]
    assert control.ask("getStatus")["node_id"] == broker.id


@pytest.mark.parametrize(
    ("command", "arguments", "error"),
    [
        ("getStatus", {"topic": TOPIC}, 'getStatus does not take "topic"; it takes nothing'),
        ("getTopic", {}, '"topic" is missing; it takes 64 lower-case hex digits'),
        ("getTopic", {"topic": 1}, '"topic" is not accepted; it takes 64'),
        ("getTopic", {"topic": TOPIC.upper() + "A"}, '"topic" is not accepted'),
        ("getTopic", {"topic": TOPIC}, "topic 1717171717... is not joined"),
        ("getTopic", {"node": ID}, 'getTopic does not take "node"; it takes topic'),
        ("joinTopic", {"topic": "p2panda/+"}, '"topic" is not accepted'),
        ("leaveTopic", {"topic": TOPIC}, "was not joined by joinTopic"),
        ("listTopics", {"count": 0}, '"count" is not accepted; it takes a number from 1 to 1000'),
        ("listTopics", {"count": 1001}, '"count" is not accepted'),
        ("listTopics", {"count": 1.5}, '"count" is not accepted'),
        ("listTopics", {"start": -1}, '"start" is not accepted'),
        ("listTopics", {"start": 1e300}, '"start" is not accepted'),
        ("listNodes", {"all": 1}, '"all" is not accepted; it takes true or false'),
        ("getNode", {"node": "12"}, '"node" is not accepted; it takes 64'),
        ("getNode", {"node": ID}, "is not known"),
        ("addNode", {"node": ID}, "is not accepted; it takes <64 lower-case hex digits>@"),
        ("addNode", {"node": f"{'0' * 64}@127.0.0.1:1"}, "is no node's id"),
        ("addNode", {"node": f"{ID}@127.0.0.1:1", "role": "x"}, 'it takes "peer" or "bootstrap"'),
        ("removeNode", {"node": ID}, "is neither a peer nor a bootstrap node"),
        ("allow", {"node": []}, "or an array of 1 to 64 such"),
        ("allow", {"node": [ID] * 65}, "or an array of 1 to 64 such"),
        ("allow", {"node": ID, "remove": True}, "is not on that list"),
        ("deny", {"node": ID, "remove": "yes"}, '"remove" is not accepted'),
        ("deny", {"node": [ID, 1]}, '"node" is not accepted'),
        ("setLogLevel", {"level": "loud"}, "it takes debug, information, notice, warning or error"),
        ("ping", {"node": ID}, "is not known"),
    ],
)
def test_commands_that_are_refused(broker, command, arguments, error):
    control = Control(broker)
    assert error in control.refusal(command, **arguments)
    topics, nodes = control.ask("listTopics")["topics"], control.ask("listNodes")["nodes"]
    assert (topics, nodes) == ([], [])


def test_an_argument_twice(broker):
    answer = Control(broker).request(
        b'{"commands": [{"command": "getTopic", "topic": "%s", "topic": "%s"}]}'
        % (TOPIC.encode(), TOPIC.encode())
    )
    assert "given twice" in answer["responses"][0]["error"]


def test_our_own_id(broker):
    control = Control(broker)
    assert "own id" in control.refusal("addNode", node=f"{broker.id}@127.0.0.1:1")
    assert "own id" in control.refusal("deny", node=broker.id)


def test_many_commands_in_order(broker):
    """Those that ask the node do not come before those that do not."""
    control = Control(broker)
    responses = control.ask_all(
        {"command": "joinTopic", "topic": TOPIC},
        {"command": "listTopics"},
        {"command": "getStatus", "correlationData": "third"},
        {"command": "nonsense"},
        {"command": "getTopic", "topic": f"p2panda/{TOPIC}"},
    )
    assert [response["command"] for response in responses] == [
        "joinTopic", "listTopics", "getStatus", "nonsense", "getTopic",
    ]
    assert [topic["topic"] for topic in responses[1]["data"]["topics"]] == [TOPIC]
    assert responses[2]["correlationData"] == "third"
    assert "error" in responses[3]
    assert responses[4]["data"]["state"] == "joining"


def test_the_documented_request(broker):
    answer = Control(broker).request(block("docs/control.md", "request").encode())
    assert answer == json.loads(block("docs/control.md", "response"))


def test_metrics_are_those_of_the_status(broker):
    """By the same names."""
    metrics = Control(broker).ask("getMetrics")
    status = broker.status()
    assert set(metrics) <= set(status)
    assert {name for name in status if "/" in name and status[name].isdigit()} - set(metrics) == {
        "neighbours/relayed", "addresses/left_out",
    }


def test_log_level(broker):
    control = Control(broker)
    assert control.ask("setLogLevel", level="debug") == {"kept": True}
    control.ask("joinTopic", topic=TOPIC)
    assert control.ask("getStatus")["log_level"] == "debug"
    broker.stop()
    broker.start()
    assert Control(broker).ask("getStatus")["log_level"] == "debug"


def test_topics_are_short_in_the_log(broker):
    control = Control(broker)
    control.ask("joinTopic", topic=TOPIC)
    control.refusal("leaveTopic", topic="18" * 32)
    control.refusal("getTopic", topic="18" * 32)
    broker.wait_log(r"control: user admin, client .*: leaveTopic: refused: topic 1818181818 ")
    assert not any("17" * 6 in line or "18" * 6 in line for line in broker.log())
