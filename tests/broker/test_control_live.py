# SPDX-License-Identifier: MIT OR Apache-2.0
"""What control and config_file change in running brokers, and what of it is there after a
restart."""

import itertools
import secrets
import sqlite3

import pytest
import settings
from control import Control, ControlError
from documents import block

TOPIC = "17" * 32
OTHER = "18" * 32
ID = "b936a1abe9992128bfe7730c32d22f22be048c997db703b3a0df961a673f8485"
# What the broker drops for a slow client is not what this is about.
UNBOUNDED = "max_queued_messages 0"
# A change after so many messages.
STEP = 50


def names(things: list[dict], key: str = "node") -> list[str]:
    return [thing[key] for thing in things]


@pytest.fixture
def two(brokers):
    """Two brokers that know nothing of each other, and control of both."""
    a, b = (brokers(options=[("control", "true")]).start() for _ in range(2))
    return a, b, Control(a), Control(b)


def wait_neighbours(broker, count: int):
    broker.wait_status(lambda status: status["neighbours"] == count)


# -- nodes --------------------------------------------------------------------


def test_a_peer_is_added_and_removed(two):
    a, b, control, other = two
    subscriber = b.client(f"p2panda/{TOPIC}")
    control.ask("joinTopic", topic=TOPIC)
    control.ask("addNode", node=f"{b.id}@{b.address()}")
    wait_neighbours(a, 1)
    a.client().publish(f"p2panda/{TOPIC}", b"hello")
    subscriber.wait_message(f"p2panda/{TOPIC}", b"hello")
    topic = control.ask("getTopic", topic=TOPIC)
    assert (topic["state"], topic["source"], topic["sent"]) == ("joined", "control", 1)
    (neighbour,) = topic["neighbours"]
    assert neighbour["node"] == b.id
    assert (neighbour["role"], neighbour["way"]) == ("peer", "direct")
    assert neighbour["dialled_by"] == "us"
    assert neighbour["address"] == b.address()
    assert neighbour["since"] >= neighbour["connected_since"] > 1_700_000_000
    assert 0 < neighbour["rtt_ms"] < settings.PATIENCE * 1000
    seen = other.ask("getTopic", topic=TOPIC)
    assert (seen["received"], seen["source"]) == (1, "clients")
    assert seen["neighbours"][0]["received"] == 1
    assert seen["neighbours"][0]["role"] == "none"
    # It stays a neighbour, and is one as any other's.
    control.ask("removeNode", node=b.id)
    assert control.ask("getNode", node=b.id)["role"] == "none"
    a.client().publish(f"p2panda/{TOPIC}", b"still")
    subscriber.wait_message(f"p2panda/{TOPIC}", b"still")


def test_a_node_that_is_not_there(two):
    a, _, control, _ = two
    control.ask("joinTopic", topic=TOPIC)
    control.ask("addNode", node=f"{ID}@127.0.0.1:9,nowhere.invalid:2022")
    a.wait_log("peer b936a1abe9 at 127.0.0.1:9: ")
    node = control.wait(lambda node: "failure" in node, "getNode", node=ID)
    assert not node["connected"] and "last_success" not in node
    assert node["last_failure"] > 1_700_000_000
    assert {"address": "127.0.0.1:9", "origin": "configured"} in node["addresses"]
    control.wait(lambda node: "next_try" in node, "getNode", node=ID)


def test_a_ping_says_which_addresses_answer(two):
    a, b, control, _ = two
    control.ask("addNode", node=f"{b.id}@127.0.0.1:9,{b.address()}", role="bootstrap")
    control.wait(lambda node: len(node["addresses"]) >= 2, "getNode", node=b.id)
    ping = control.ask("ping", node=b.id)
    answered = {one["address"]: one["answered"] for one in ping["addresses"]}
    assert answered[b.address()] and not answered["127.0.0.1:9"]
    assert ping["answered"] >= 1
    (good,) = (one for one in ping["addresses"] if one["address"] == b.address())
    assert 0 < good["rtt_ms"] < settings.PATIENCE * 1000
    # Somebody else is there.
    control.ask("addNode", node=f"{ID}@{b.address()}")
    control.wait(lambda node: node["addresses"], "getNode", node=ID)
    ping = control.ask("ping", node=ID)
    assert ping["answered"] == 0 and ping["addresses"][0]["failure"]


def test_a_node_is_shut_out_and_let_in_again(two):
    a, b, control, _ = two
    for broker in (a, b):
        broker.client(f"p2panda/{TOPIC}")
    Control(b).ask("addNode", node=f"{a.id}@{a.address()}")
    wait_neighbours(a, 1)
    control.ask("deny", node=b.id)
    wait_neighbours(a, 0)
    wait_neighbours(b, 0)
    a.wait_status(lambda status: status["peers/refused"] > 0)
    denied = control.ask("getStatus")["denied"]
    assert denied == [{"node": b.id, "source": "control"}]
    assert control.ask("getNode", node=b.id)["denied"]
    control.ask("deny", node=b.id, remove=True)
    wait_neighbours(a, 1)
    wait_neighbours(b, 1)


# -- under traffic ------------------------------------------------------------


def test_changes_under_traffic_lose_nothing(brokers):
    """Whatever is changed but the way between the two itself."""
    options = [("control", "true"), ("topic", TOPIC)]
    a, b = (brokers(options=options, lines=[UNBOUNDED]) for _ in range(2))
    a.add_peer(b)
    a.start(), b.start()
    topic, control = f"p2panda/{TOPIC}", Control(a)
    subscriber, publisher = b.client(topic), a.client()
    wait_neighbours(a, 1)
    payloads = [b"%06d" % number for number in range(settings.scaled(1000))]
    for number, payload in enumerate(payloads):
        mid = publisher.post(topic, payload, qos=1)
        if number % STEP:
            continue
        # Those before it are under way meanwhile.
        match number // STEP % 5:
            case 0:
                control.ask("addNode", node=f"{ID}@127.0.0.1:9")
                control.ask("joinTopic", topic=OTHER)
            case 1:
                control.ask("deny", node=TOPIC)
                control.ask("setLogLevel", level="debug")
            case 2:
                control.ask("removeNode", node=ID)
                control.ask("listNodes", all=True)
            case 3:
                control.ask("allow", node=[b.id])
                control.ask("leaveTopic", topic=OTHER)
            case 4:
                control.ask("deny", node=TOPIC, remove=True)
                control.ask("allow", node=b.id, remove=True)
        publisher.wait_published(mid)
    publisher.wait_published(publisher.post(topic, b"the last", qos=1))
    payloads.append(b"the last")
    assert subscriber.wait_count(topic, len(payloads)) == payloads
    assert control.ask("getTopic", topic=TOPIC)["sent"] == len(payloads)


# -- after a restart ----------------------------------------------------------


def test_what_is_changed_is_kept(two):
    a, b, control, _ = two
    b.client(f"p2panda/{TOPIC}")
    control.ask("joinTopic", topic=TOPIC)
    control.ask("addNode", node=f"{b.id}@{b.address()}")
    control.ask("addNode", node=f"{ID}@relay.example:2022", role="bootstrap")
    control.ask("removeNode", node=ID)
    control.ask("addNode", node=f"{ID}@127.0.0.1:9", role="bootstrap")
    control.ask("deny", node=OTHER)
    control.ask("setLogLevel", level="debug")
    for end in (a.stop, a.kill):
        # What was asked for before the end is written by then.
        end()
        a.start()
        control = Control(a)
        wait_neighbours(a, 1)
        nodes = control.ask("listNodes")["nodes"]
        assert sorted((node["node"], node["role"], node["source"]) for node in nodes) == sorted(
            [(b.id, "peer", "control"), (ID, "bootstrap", "control")]
        )
        (topic,) = control.ask("listTopics")["topics"]
        assert (topic["topic"], topic["source"]) == (TOPIC, "control")
        status = control.ask("getStatus")
        assert names(status["denied"]) == [OTHER] and status["log_level"] == "debug"


def test_the_configuration_wins(brokers):
    a, b = brokers(options=[("control", "true")]), brokers().start()
    a.start()
    control = Control(a)
    control.ask("addNode", node=f"{b.id}@127.0.0.1:9", role="bootstrap")
    control.ask("joinTopic", topic=TOPIC)
    control.ask("deny", node=OTHER)
    control.ask("setLogLevel", level="debug")
    a.stop()
    a.add_peer(b)
    a.options += [("topic", TOPIC), ("deny_node", OTHER), ("log_level", "notice")]
    a.start()
    control = Control(a)
    (node,) = control.ask("listNodes")["nodes"]
    assert (node["node"], node["role"], node["source"]) == (b.id, "peer", "configuration")
    assert control.ask("listTopics")["topics"][0]["source"] == "configuration"
    status = control.ask("getStatus")
    assert status["denied"] == [{"node": OTHER, "source": "configuration"}]
    assert status["log_level"] == "notice"
    for command, arguments in [
        ("removeNode", {"node": b.id}),
        ("addNode", {"node": f"{b.id}@127.0.0.1:9"}),
        ("leaveTopic", {"topic": TOPIC}),
        ("deny", {"node": OTHER, "remove": True}),
    ]:
        assert "the configuration names" in control.refusal(command, **arguments)
    # It holds until the restart.
    assert control.ask("setLogLevel", level="warning") == {"kept": False}


def test_state_of_other_versions(brokers):
    """Records as the first version that had any wrote them; and those of a later one, which are
    left alone."""
    a = brokers(options=[("control", "true")]).start()
    a.stop()
    later = (b"\xfflt" + bytes(32), b"\x02what may come")
    with sqlite3.connect(a.state_dir / "p2panda.db") as database:
        for key, value in [
            (b"\xffln" + bytes.fromhex(ID), b"\x01p" + f"{ID}@127.0.0.1:9".encode()),
            (b"\xfflt" + bytes.fromhex(TOPIC), b"\x01"),
            (b"\xffld" + bytes.fromhex(OTHER), b"\x01"),
            (b"\xffll", b"\x01warning"),
            later,
        ]:
            database.execute("INSERT INTO record VALUES (?, ?)", (key, value))
    database.close()
    a.start()
    control = Control(a)
    (node,) = control.ask("listNodes")["nodes"]
    assert (node["node"], node["role"]) == (ID, "peer")
    assert names(control.ask("listTopics")["topics"], "topic") == [TOPIC]
    status = control.ask("getStatus")
    assert names(status["denied"]) == [OTHER] and status["log_level"] == "warning"
    a.stop()
    with sqlite3.connect(a.state_dir / "p2panda.db") as database:
        rows = database.execute("SELECT * FROM record").fetchall()
    database.close()
    assert later in [tuple(map(bytes, row)) for row in rows]


def test_over_max_overlays(brokers):
    a = brokers(options=[("control", "true"), ("max_overlays", "1")]).start()
    control = Control(a)
    control.ask("joinTopic", topic=TOPIC)
    assert "max_overlays is reached" in control.refusal("joinTopic", topic=OTHER)
    assert names(control.ask("listTopics")["topics"], "topic") == [TOPIC]
    control.ask("leaveTopic", topic=TOPIC)
    settings.wait_until(lambda: not control.ask("listTopics")["topics"])
    control.ask("joinTopic", topic=OTHER)


# -- many ---------------------------------------------------------------------


def ask_many(control: Control, commands: list[dict]):
    for first in range(0, len(commands), 32):
        for response in control.ask_all(*commands[first : first + 32]):
            assert "error" not in response, response


def test_a_thousand_overlays_and_two_hundred_nodes(brokers):
    broker = brokers(options=[("control", "true")]).start()
    control = Control(broker)
    topics = [secrets.token_hex(32) for _ in range(settings.scaled(1000))]
    ask_many(control, [{"command": "joinTopic", "topic": topic} for topic in topics])
    others = [secrets.token_hex(32) for _ in range(4 * settings.scaled(200))]
    nodes, number = [], 0
    while len(nodes) < settings.scaled(200):
        # Of random digits about one half is a key.
        try:
            control.ask("addNode", node=f"{others[number]}@127.0.0.1:9", role="bootstrap")
            nodes.append(others[number])
        except ControlError as error:
            assert "is no node's id" in str(error)
        number += 1
    listed = control.ask("listTopics")
    assert sorted(names(listed["topics"], "topic")) == sorted(topics) and not listed["more"]
    listed = control.ask("listNodes")
    assert sorted(names(listed["nodes"])) == sorted(nodes) and not listed["more"]
    # Page by page, and no page is longer than it was asked for.
    for command, key, name, all_of_them in (
        ("listTopics", "topics", "topic", topics), ("listNodes", "nodes", "node", nodes),
    ):
        found, start = [], 0
        while start is not None:
            page = control.ask(command, count=64, start=start)
            assert len(page[key]) <= 64
            found += names(page[key], name)
            start = page.get("next")
        assert sorted(found) == sorted(all_of_them)


# -- config_file --------------------------------------------------------------


@pytest.fixture
def filed(brokers, tmp_path):
    """A broker with a config_file, which is empty."""
    path = tmp_path / "p2panda.options"
    path.write_text("# nothing yet\n")
    broker = brokers(options=[("control", "true"), ("config_file", str(path))]).start()
    return broker, path, Control(broker)


def reload(broker, pattern: str = "was read again"):
    broker.reload(pattern)


def test_the_file_counts_at_the_start(filed):
    broker, path, _ = filed
    broker.stop()
    path.write_text(f"topic {TOPIC}\n\n  log_level\twarning\n")
    broker.start()
    control = Control(broker)
    assert names(control.ask("listTopics")["topics"], "topic") == [TOPIC]
    assert control.ask("getStatus")["log_level"] == "warning"
    broker.stop()
    path.write_text("nonsense 1\n")
    assert "plugin_opt_nonsense '1' is not an option" in broker.wait_refusal()
    path.unlink()
    assert f"config_file {path} cannot be read: No such file" in broker.wait_refusal()


def test_the_documented_file(brokers, tmp_path):
    path = tmp_path / "p2panda.options"
    path.write_text(block("docs/control.md", "file"))
    line = block("docs/control.md", "config_file").strip()
    assert line.startswith("plugin_opt_config_file /etc/mosquitto/")
    broker = brokers(options=[("control", "true")], behind=[
        line.replace("/etc/mosquitto/p2panda.options", str(path))
    ]).start()
    status = Control(broker).ask("getStatus")
    assert (status["overlays"], status["log_level"]) == (1, "notice")
    assert names(Control(broker).ask("listNodes")["nodes"]) == [ID]


def test_the_file_is_read_again(filed, brokers):
    broker, path, control = filed
    other = brokers().start()
    subscriber = other.client(f"p2panda/{TOPIC}")
    path.write_text(
        f"topic {TOPIC}\npeer {other.id}@{other.address()}\ndeny_node {OTHER}\nlog_level debug\n"
    )
    reload(broker)
    wait_neighbours(broker, 1)
    broker.client().publish(f"p2panda/{TOPIC}", b"hello")
    subscriber.wait_message(f"p2panda/{TOPIC}", b"hello")
    (node,) = control.ask("listNodes")["nodes"]
    assert (node["node"], node["source"]) == (other.id, "configuration")
    assert "the configuration names" in control.refusal("removeNode", node=other.id)
    status = control.ask("getStatus")
    assert names(status["denied"]) == [OTHER] and status["log_level"] == "debug"
    path.write_text("log_level information\n")
    reload(broker)
    broker.wait_status(lambda status: status["overlays"] == 0)
    assert control.ask("getStatus")["denied"] == []
    assert control.ask("getStatus")["log_level"] == "information"


def test_a_bad_file_changes_nothing(filed):
    broker, path, control = filed
    path.write_text(f"topic {TOPIC}\n")
    reload(broker)
    for text, line in [
        (f"topic {OTHER}\npeer hello\n", "plugin_opt_peer 'hello' is not accepted"),
        (f"topic {OTHER}\nqueue_age 1\nqueue_age 2\n", "accepted once"),
        (f"topic {OTHER}\npeer {broker.id}@127.0.0.1:1\n", "names this node's own id"),
        (f"topic {OTHER}\npeer {'0' * 64}@127.0.0.1:1\n", "this is no node's id"),
        (f"topic {OTHER}\ncontrol true\n", "accepted once"),
    ]:
        path.write_text(text)
        reload(broker, line)
        assert names(control.ask("listTopics")["topics"], "topic") == [TOPIC]
        assert control.ask("listNodes")["nodes"] == []
    path.unlink()
    reload(broker, f"nothing has changed: config_file {path} cannot be read")
    assert names(control.ask("listTopics")["topics"], "topic") == [TOPIC]


def test_what_needs_a_restart_is_named(filed):
    broker, path, control = filed
    path.write_text(f"topic {TOPIC}\nmdns active\nqueue_age 7\n")
    reload(broker, "this needs a restart of the broker: mdns, queue_age")
    assert names(control.ask("listTopics")["topics"], "topic") == [TOPIC]


def test_without_a_file_a_reload_says_so(brokers):
    broker = brokers().start()
    reload(broker, "reloading leaves the plugin as it is")


def test_reloads_under_traffic_lose_nothing(brokers, tmp_path):
    path = tmp_path / "p2panda.options"
    path.write_text("")
    a = brokers(options=[("config_file", str(path)), ("topic", TOPIC)], lines=[UNBOUNDED])
    b = brokers(lines=[UNBOUNDED])
    a.add_peer(b)
    a.start(), b.start()
    topic = f"p2panda/{TOPIC}"
    subscriber, publisher = b.client(topic), a.client()
    wait_neighbours(a, 1)
    texts = itertools.cycle([f"topic {OTHER}\npeer {ID}@127.0.0.1:9\n", f"deny_node {OTHER}\n"])
    payloads = [b"%06d" % number for number in range(settings.scaled(1000))]
    for number, payload in enumerate(payloads):
        mid = publisher.post(topic, payload, qos=1)
        if number % (2 * STEP) == 0:
            path.write_text(next(texts))
            reload(a)
            publisher.wait_published(mid)
    publisher.wait_published(publisher.post(topic, b"the last", qos=1))
    payloads.append(b"the last")
    assert subscriber.wait_count(topic, len(payloads)) == payloads
