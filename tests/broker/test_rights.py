# SPDX-License-Identifier: MIT OR Apache-2.0
"""Who may not read an overlay does not hold it, whatever the broker has let it subscribe; and who
may is served, whatever others have done before."""

import json
import time

import pytest

from identity import overlay, random_topic
from mqtt import V5, V311, Client
from ports import free_port
from test_other_plugins import dynamic_security, make_security, rule
from test_sessions import plain, wait_overlays, wait_records

HOUR = 3600
SYS = "topic read $SYS/#"
FRIEND = ("friend", "any")
DENIED = "the broker does not let it read there"


class Guarded:
    """A broker with an acl_file, and a neighbour without one."""

    def __init__(self, brokers, tmp_path, *rights: str, options=(), lines=()):
        self.file = tmp_path / "acl"
        self.allow(*rights)
        self.broker, self.other = brokers(lines=[f"acl_file {self.file}", *lines]), brokers()
        self.broker.options += options
        self.broker.add_peer(self.other)
        self.broker.start(), self.other.start()

    def allow(self, *rights: str):
        """Further rights of the user friend; all others may read the status only."""
        self.file.write_text("\n".join([SYS, "user friend", SYS, *rights, ""]))

    def reload(self):
        self.broker.reload()

    def check_served(self, client, topic: str):
        """What is published at the neighbour arrives here."""
        far = self.other.client(topic)
        self.broker.wait_joined(topic.removeprefix("p2panda/"))
        payload = f"for {client.id} {time.monotonic()}".encode()
        far.publish(topic, payload)
        client.wait_message(topic, payload)


def attack(broker, shape: str = "{}", count: int = 10, each: int = 100, **options):
    """So many client ids subscribe so many overlays each, and go away; their sessions stay."""
    for number in range(count):
        client = broker.client(client_id=f"mallory{number}", session_expiry=HOUR, **options)
        for _ in range(each):
            client.subscribe(shape.format(overlay(random_topic())), 1)
        client.close()


@pytest.mark.parametrize("shape", ["{}", "$share/g/{}"])
def test_denied_clients_take_no_overlays(brokers, tmp_path, shape):
    """acl_file lets everybody subscribe, and keeps what arrives from them."""
    guarded = Guarded(brokers, tmp_path, "topic read p2panda/#")
    broker = guarded.broker
    attack(broker, shape)
    topic = overlay(random_topic())
    client = broker.client(topic, login=FRIEND)
    guarded.check_served(client, topic)
    assert broker.wait_number("overlays", 1) == 1
    status = broker.wait_status(lambda status: status["subscriptions/denied"] == 1000)
    assert status["overlays"] == 1
    assert not any("stays local" in line for line in broker.our_log())
    lines = [line for line in broker.our_log() if DENIED in line]
    assert 1 <= len(lines) <= 10, len(lines)


def test_denied_clients_are_not_kept_for_a_restart(brokers, tmp_path):
    guarded = Guarded(brokers, tmp_path, "topic read p2panda/#", lines=plain(tmp_path))
    broker = guarded.broker
    attack(broker, count=3, each=30, clean=False)
    topic = overlay(random_topic())
    options = {"login": FRIEND, "client_id": "sleeper", "session_expiry": HOUR, "clean": False}
    broker.client(topic, **options).close()
    wait_records(broker, 1)
    broker.stop()
    broker.start()
    wait_overlays(broker, 1)
    guarded.check_served(broker.client(**options), topic)
    assert broker.number("overlays") == 1


def test_sessions_of_before_need_the_right_too(brokers, tmp_path):
    """They subscribed while they might, and come back when they may not."""
    topics = [overlay(random_topic()) for _ in range(2)]
    guarded = Guarded(brokers, tmp_path, "topic read p2panda/#")
    broker = guarded.broker
    options = {"login": FRIEND, "client_id": "sleeper", "session_expiry": HOUR}
    broker.client(*topics, **options).close()
    wait_overlays(broker, 2)
    guarded.allow(f"topic read {topics[1]}")
    guarded.reload()
    wait_overlays(broker, 1)
    client = broker.client(clean=False, **options)
    guarded.check_served(client, topics[1])
    assert broker.number("overlays") == 1


@pytest.mark.parametrize("version", [V311, V5])
def test_rights_may_change(brokers, tmp_path, version):
    """With SIGHUP, as acl_file is read again: no subscription has to be made again."""
    guarded = Guarded(brokers, tmp_path)
    broker = guarded.broker
    topic = overlay(random_topic())
    client = broker.client(topic, f"$share/g/{topic}", version=version, login=FRIEND)
    broker.wait_log(f"overlay {topic[8:18]}: not joined for client {client.id}: {DENIED}")
    guarded.allow(f"topic read {topic}")
    guarded.reload()
    guarded.check_served(client, topic)
    guarded.allow()
    guarded.reload()
    broker.wait_log(f"overlay {topic[8:18]}: left")


def test_wildcards_hold_nothing_for_anybody(brokers, tmp_path):
    guarded = Guarded(brokers, tmp_path, "topic readwrite p2panda/#")
    broker = guarded.broker
    stranger = broker.client("#", "p2panda/+", "p2panda/#", "$share/g/p2panda/+")
    friend = broker.client("p2panda/#", login=FRIEND)
    topic = overlay(random_topic())
    # Nor does who may not write hold what it publishes to.
    stranger.publish(topic, b"denied")
    broker.wait_status(lambda status: status["messages/in"] == status["overlays"] == 0)
    broker.client(topic, login=FRIEND)
    guarded.check_served(friend, topic)
    assert broker.wait_number("overlays", 1) == 1
    assert stranger.payloads(topic) == []


def test_who_may_only_write_holds_while_it_publishes(brokers, tmp_path):
    guarded = Guarded(brokers, tmp_path, "topic write p2panda/#", options=[("publish_linger", "1")])
    broker = guarded.broker
    topic = overlay(random_topic())
    client = broker.client(topic, login=FRIEND)
    far = guarded.other.client(topic)
    client.publish(topic, b"out")
    far.wait_message(topic, b"out")
    broker.wait_log(f"overlay {topic[8:18]}: left")
    assert client.payloads(topic) == []


# ---------------------------------------------------------------------------
# dynamic-security


@pytest.mark.parametrize("shape", ["{}", "$share/g/{}"])
def test_dynamic_security(brokers, tmp_path, shape):
    """All may be subscribed but p2panda/#, which is not what $share/g/p2panda/... is called."""
    path = tmp_path / "dynamic-security.json"
    friends = overlay(random_topic())
    make_security(
        path,
        [
            rule("subscribeLiteral", friends),
            rule("subscribePattern", "p2panda/#", allow=False),
        ],
    )
    config = json.loads(path.read_text())
    config["defaultACLAccess"]["subscribe"] = True
    path.write_text(json.dumps(config))
    a = brokers(lines=[f"plugin {dynamic_security()}", f"plugin_opt_config_file {path}"])
    b = brokers()
    a.add_peer(b)
    a.start(), b.start()
    for number in range(10):
        client = a.client(client_id=f"mallory{number}", session_expiry=HOUR)
        for _ in range(100):
            reason = client.subscribe(shape.format(overlay(random_topic())), 1)
            assert reason.is_failure == (shape == "{}")
        client.close()
    friend = a.client(friends)
    far = b.client(friends)
    a.wait_joined(friends[8:])
    far.publish(friends, b"from b")
    friend.wait_message(friends, b"from b")
    assert a.wait_number("overlays", 1) == 1


# ---------------------------------------------------------------------------
# without rights: who shares a limit


def test_offline_sessions_give_way(brokers):
    """Nobody is denied anything, and all places are taken by sessions that are offline."""
    options = [("max_overlays_per_user", "1000"), ("max_overlays_per_address", "1000")]
    a, b = brokers(options=options), brokers()
    a.add_peer(b)
    a.start(), b.start()
    modest = overlay(random_topic())
    a.client(modest, client_id="modest", session_expiry=HOUR).close()
    attack(a, count=10, each=100)
    wait_overlays(a, 1000)
    topic = overlay(random_topic())
    client, far = a.client(topic), b.client(topic, modest)
    a.wait_joined(topic[8:])
    a.wait_joined(modest[8:])  # it has kept its one
    far.publish(topic, b"from b")
    client.wait_message(topic, b"from b")
    a.wait_log("client mallory., which is offline, gives way to one that is not")
    # For the 1,001st overlay of theirs, and for the client's.
    status = a.wait_status(lambda status: status["limits/offline"] == 2)
    assert status["overlays"] == 1000


def check_shared(brokers, option: str, other: dict, lines=(), **options):
    """Seven is the limit for them, however many they are, and however connected they stay."""
    a, b = brokers(options=[(option, "7")], lines=lines), brokers()
    a.add_peer(b)
    a.start(), b.start()
    for _ in range(4):
        a.client(*(overlay(random_topic()) for _ in range(3)), **options)
    a.wait_log("stays local: over max_overlays or max_overlays_per_client, _user or _address")
    assert a.wait_number("overlays", 7) == 7
    topic = overlay(random_topic())
    far = b.client(topic)
    with Client(**({"port": a.mqtt_port} | other)) as client:
        client.subscribe(topic, 1)
        a.wait_joined(topic[8:])
        far.publish(topic, b"from b")
        client.wait_message(topic, b"from b")


def test_clients_of_one_user_share_a_limit(brokers):
    check_shared(
        brokers, "max_overlays_per_user", login=("mallory", "any"), other={"login": FRIEND}
    )


def test_clients_of_one_address_share_a_limit(brokers):
    """The other one comes by IPv6."""
    port = free_port()
    check_shared(
        brokers,
        "max_overlays_per_address",
        lines=[f"listener {port} ::1"],
        other={"host": "::1", "port": port},
    )
