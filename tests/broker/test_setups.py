# SPDX-License-Identifier: MIT OR Apache-2.0
"""Brokers as people set them up: listeners of all kinds, limits, bridges, odd clients, signals. The
plugin makes no difference to them, nor they to it."""

import signal
import ssl

import pytest

from authority import Authority
from broker import _RUNNING
from identity import overlay, random_topic
from mqtt import Client
from ports import free_port
from pulse import Pulse
from raw import RawClient

HOUR = 3600


def id_of(topic: str) -> str:
    return topic.removeprefix("p2panda/")


def with_neighbour(brokers, **options):
    a, b = brokers(**options), brokers()
    a.add_peer(b)
    return a.start(), b.start()


def check_both_ways(a, b, client, topic: str | None = None):
    """The client of a joins an overlay, and messages cross it."""
    topic = topic or overlay(random_topic())
    far = b.client(topic)
    assert not client.subscribe(topic, 1).is_failure
    a.wait_joined(id_of(topic))
    client.publish(topic, b"there")
    far.wait_message(topic, b"there")
    far.publish(topic, b"and back")
    client.wait_message(topic, b"and back")
    client.unsubscribe(topic)
    a.wait_log(f"overlay {id_of(topic)[:10]}: left")


# ---------------------------------------------------------------------------
# Listeners


def test_websockets(brokers):
    port = free_port()
    a, b = with_neighbour(
        brokers, lines=[f"listener {port} 127.0.0.1", "protocol websockets", "allow_anonymous true"]
    )
    with Client(port, transport="websockets") as client:
        check_both_ways(a, b, client)


def test_unix_socket(brokers, tmp_path):
    path = tmp_path / "mqtt"
    a, b = with_neighbour(brokers, lines=[f"listener 0 {path}", "allow_anonymous true"])
    with Client(str(path)) as client:
        check_both_ways(a, b, client)


@pytest.mark.parametrize("named", ["identity", "subject"])
def test_client_certificates(brokers, tmp_path, named):
    """The user's name comes from the certificate: rights go by it."""
    authority = Authority(tmp_path / "ca")
    server, mine = authority.issue("127.0.0.1"), authority.issue(name="alice")
    port = free_port()
    user = "alice" if named == "identity" else "CN=alice"
    rules = tmp_path / "rules"
    allowed, denied = overlay(random_topic()), overlay(random_topic())
    rules.write_text(f"topic read $SYS/#\nuser {user}\ntopic readwrite {allowed}\n")
    a, b = with_neighbour(
        brokers,
        lines=[
            f"listener {port} 127.0.0.1",
            f"cafile {authority.path}",
            f"certfile {server.path}",
            f"keyfile {server.key}",
            "require_certificate true",
            f"use_{named}_as_username true",
            f"acl_file {rules}",
        ],
    )
    context = ssl.create_default_context(cafile=str(authority.path))
    context.load_cert_chain(mine.path, mine.key)
    with Client(port, tls=context) as client:
        client.subscribe(denied, 1)
        a.wait_log(f"overlay {id_of(denied)[:10]}: not joined for client")
        check_both_ways(a, b, client, allowed)


# ---------------------------------------------------------------------------
# Limits


@pytest.mark.parametrize("qos", [1, 2])
def test_one_in_flight(brokers, qos):
    options = [("delivery_qos", str(qos))]
    a, b = with_neighbour(brokers, lines=["max_inflight_messages 1"], options=options)
    topic = overlay(random_topic())
    near, far = a.client(topic, qos=qos), b.client(topic)
    a.wait_joined(id_of(topic))
    sent = [f"in turn {number}".encode() for number in range(200)]
    for payload in sent:
        far.publish(topic, payload)
    near.wait_message(topic, sent[-1])
    assert near.payloads(topic) == sent
    back = [f"back {number}".encode() for number in range(200)]
    for payload in back:
        near.publish(topic, payload, qos)
    far.wait_all(topic, back)


def test_queue_limits(brokers):
    """What a session that is offline has no room for is the broker's matter: others get it."""
    lines = ["max_queued_messages 10", "max_inflight_messages 5"]
    a, b = with_neighbour(brokers, lines=lines)
    topic = overlay(random_topic())
    near, far = a.client(topic), b.client(topic)
    a.client(topic, client_id="sleeper", clean=False, session_expiry=HOUR).close()
    a.wait_joined(id_of(topic))
    sent = [f"number {number}".encode() for number in range(50)]
    for payload in sent:
        far.publish(topic, payload)
        near.wait_message(topic, payload)
    assert a.wait_number("messages/out", 50) == 50
    woken = a.client(client_id="sleeper", clean=False, session_expiry=0)
    far.publish(topic, b"good morning")
    woken.wait_message(topic, b"good morning")
    queued = woken.payloads(topic)[:-1]
    assert 10 <= len(queued) <= 20 and queued == sent[: len(queued)]


# ---------------------------------------------------------------------------
# Clients

ODD = {
    "long": "x" * 900,
    "too long for the record": "y" * 3000,
    "letters": "Gerät №7 \U0001f43c",
    "format": "%s%n%d",
    "blanks": "  a b  ",
    "topic": "p2panda/+/#",
    "shell": "$(reboot);'\"\\",
}


@pytest.mark.parametrize("kind", ODD)
def test_odd_client_ids(brokers, tmp_path, kind):
    lines = ["persistence true", f"persistence_location {tmp_path}/"]
    a, b = with_neighbour(brokers, lines=lines)
    topic = overlay(random_topic())
    far = b.client(topic)
    session = {"client_id": ODD[kind], "clean": False, "session_expiry": HOUR}
    client = a.client(topic, **session)
    a.wait_joined(id_of(topic))
    far.publish(topic, b"hello")
    client.wait_message(topic, b"hello")
    client.close()
    a.stop()
    a.start()
    if kind == "too long for the record":
        client = a.client(topic, **session)
        a.wait_joined(id_of(topic))
    else:
        a.wait_joined(id_of(topic))
        client = a.client(**session)
    far.publish(topic, b"hello again")
    client.wait_message(topic, b"hello again")
    client.unsubscribe(topic)
    a.wait_log(f"overlay {id_of(topic)[:10]}: left")


def test_shared_subscription_with_no_local(brokers):
    """An error of the protocol: the broker throws the client out, and nothing is joined for it."""
    a, b = with_neighbour(brokers)
    topic = overlay(random_topic())
    text = f"$share/g/{topic}".encode()
    client = RawClient(a.mqtt_port, "impossible", version=5)
    body = b"\0\1\0" + len(text).to_bytes(2) + text + b"\x05"
    client.socket.sendall(b"\x82" + bytes([len(body)]) + body)
    kind, _ = client.read()
    assert kind == 0xE0  # DISCONNECT
    client.close()
    with Client(a.mqtt_port) as plain:
        check_both_ways(a, b, plain)
        assert not any(id_of(topic)[:10] in line for line in a.our_log())


def test_no_local(brokers):
    a, b = with_neighbour(brokers)
    topic = overlay(random_topic())
    near, far = a.client(), b.client(topic)
    near.subscribe(topic, 1, no_local=True)
    a.wait_joined(id_of(topic))
    near.publish(topic, b"from here")
    far.wait_message(topic, b"from here")
    far.publish(topic, b"from there")
    near.wait_message(topic, b"from there")
    assert near.payloads(topic) == [b"from there"]


# ---------------------------------------------------------------------------
# Bridges


@pytest.mark.no_tsan  # see test_origin.py
@pytest.mark.parametrize("private", ["true", "false"])
def test_a_bridge_is_a_client(brokers, private):
    """A broker without the plugin bridges an overlay of one that has it."""
    a, b = with_neighbour(brokers)
    topic = overlay(random_topic())
    plain = brokers(
        plugin=False,
        lines=[
            "connection native",
            f"address 127.0.0.1:{a.mqtt_port}",
            f"try_private {private}",
            "bridge_protocol_version mqttv50",
            "cleansession true",
            f"topic {topic} both 1",
        ],
    )
    far = b.client(topic)
    plain.spawn()
    plain.wait_log(_RUNNING)
    a.wait_joined(id_of(topic))
    with Client(plain.mqtt_port) as near:
        near.subscribe(topic, 1)
        near.publish(topic, b"over the bridge")
        far.wait_message(topic, b"over the bridge")
        far.publish(topic, b"and back")
        near.wait_message(topic, b"and back")
        assert near.payloads(topic) == [b"over the bridge", b"and back"]
        assert far.payloads(topic) == [b"over the bridge", b"and back"]
    plain.stop()
    a.wait_log(f"overlay {id_of(topic)[:10]}: left")


@pytest.mark.no_tsan  # see test_origin.py
def test_a_bridge_unsubscribes(brokers):
    """What it does not take any more it gives up by an UNSUBSCRIBE of its own when it is back, and
    sends one for what it has never had."""
    a, b = with_neighbour(brokers)
    given_up, kept, never = (overlay(random_topic()) for _ in range(3))
    far = b.client(given_up, kept)
    bridge = [
        "connection native",
        f"address 127.0.0.1:{a.mqtt_port}",
        "cleansession false",
        "local_cleansession true",
        f"topic {kept} both 1",
        f"topic {never} out 1",
    ]
    plain = brokers(plugin=False, lines=[*bridge, f"topic {given_up} both 1"])
    plain.spawn()
    plain.wait_log(_RUNNING)
    for topic in (given_up, kept):
        a.wait_joined(id_of(topic))
    plain.stop()
    plain.lines = [*bridge, f"topic {given_up} out 1"]
    plain.spawn()
    a.wait_log(f"overlay {id_of(given_up)[:10]}: left")
    a.wait_status(lambda status: status["overlays"] == 1)
    # It goes on with the rest, and may publish there without holding it.
    with Client(plain.mqtt_port) as near:
        near.subscribe(kept, 1)
        far.publish(kept, b"still")
        near.wait_message(kept, b"still")
        near.publish(given_up, b"only out")
        far.wait_message(given_up, b"only out")
    plain.stop()


# ---------------------------------------------------------------------------
# Restarts and signals


def test_queued_messages_survive_a_restart(brokers, tmp_path):
    lines = ["persistence true", f"persistence_location {tmp_path}/"]
    a, b = with_neighbour(brokers, lines=lines)
    topic = overlay(random_topic())
    far = b.client(topic)
    session = {"client_id": "sleeper", "clean": False, "session_expiry": HOUR}
    a.client(topic, **session).close()
    a.wait_joined(id_of(topic))
    sent = [f"before {number}".encode() for number in range(20)]
    for payload in sent:
        far.publish(topic, payload)
    a.wait_number("messages/out", 20)
    a.stop()
    a.start()
    a.wait_joined(id_of(topic))
    later = [f"after {number}".encode() for number in range(20)]
    for payload in later:
        far.publish(topic, payload)
    a.wait_number("messages/out", 20)
    woken = a.client(**session)
    woken.wait_count(topic, 40)
    assert woken.payloads(topic) == sent + later


def test_signals_under_load(brokers, tmp_path):
    """SIGUSR1: save; SIGHUP: reload; SIGUSR2: print all subscriptions. Then SIGTERM."""
    lines = ["persistence true", f"persistence_location {tmp_path}/"]
    a, b = with_neighbour(brokers, lines=lines)
    topic = overlay(random_topic())
    near, far = a.client(topic), b.client(topic)
    a.wait_joined(id_of(topic))
    with (
        Pulse(lambda payload: near.post(topic, payload, 1), "there", 0.005) as there,
        Pulse(lambda payload: far.post(topic, payload, 1), "back", 0.005) as back,
    ):
        for number in range(5):
            a.process.send_signal(signal.SIGUSR1)
            a.wait_log_times("Saving in-memory database", number + 1)
            a.process.send_signal(signal.SIGHUP)
            a.wait_log_times("reloading leaves the plugin as it is", number + 1)
            a.process.send_signal(signal.SIGUSR2)
            near.wait_count(topic, len(near.payloads(topic)) + 50)
    far.wait_all(topic, there.sent)
    near.wait_all(topic, back.sent)
    with Pulse(lambda payload: far.post(topic, payload, 1), "to the end", 0.005):
        near.wait_prefix(topic, "to the end")
        a.stop()
