# SPDX-License-Identifier: MIT OR Apache-2.0
"""A Mosquitto 2.0 and a 2.1 together, and what 2.0 does otherwise."""

import pathlib
import subprocess
import time

import pytest

from identity import overlay, random_topic
from mqtt import V5, V311
from ports import free_port
from pulse import paced
from settings import within
from stock import NOT_AUTHORISED, QUOTA

HOUR = 3600
DIALLER = pytest.mark.parametrize("dialler", ["the old one", "the new one"])


def pair(brokers, old, dialler="the old one", **options):
    """A 2.0 and a 2.1, not started."""
    a, b = brokers(program=old.program, **options), brokers()
    a.add_peer(b) if dialler == "the old one" else b.add_peer(a)
    return a, b


def together(a, b, topic: str, **options):
    """A subscriber of each, and a message of each has come to the other."""
    clients = [broker.client(topic, **options) for broker in (a, b)]
    for number, client in enumerate(clients):
        client.publish(topic, b"hello from %d" % number)
    for client in clients:
        client.wait_all(topic, [b"hello from 0", b"hello from 1"])
    return clients


@DIALLER
@pytest.mark.parametrize("version", [V311, V5], ids=["v311", "v5"])
def test_both_ways(brokers, old, dialler, version):
    a, b = pair(brokers, old, dialler)
    a.start(), b.start()
    topic = overlay(random_topic())
    clients = together(a, b, topic, qos=2, version=version)
    payloads = [[b"%d %d" % (one, qos) for qos in range(3)] for one in range(2)]
    for client, mine in zip(clients, payloads, strict=True):
        for qos, payload in enumerate(mine):
            client.publish(topic, payload, qos)
    for client in clients:
        client.wait_all(topic, sum(payloads, []))
        assert len(client.payloads(topic)) == 8


@DIALLER
def test_a_thousand_each_way(brokers, old, dialler):
    a, b = pair(brokers, old, dialler)
    for broker in (a, b):
        broker.lines.append("max_queued_messages 0")
        broker.start()
    topic = overlay(random_topic())
    clients = together(a, b, topic)
    sent = [[b"%d of %d" % (number, one) for number in range(1000)] for one in range(2)]
    for client, payloads in zip(clients, sent, strict=True):
        paced(lambda payload: client.post(topic, payload, 1), payloads)  # noqa: B023
    for client, theirs in zip(clients, reversed(sent), strict=True):
        client.wait_all(topic, theirs)
        assert [one for one in client.payloads(topic) if one in set(theirs)] == theirs


def test_restart(brokers, old):
    """The same node again, which knows its peer and its sleeper."""
    a, b = pair(brokers, old, lines=["persistence true"])
    a.lines.append(f"persistence_location {a.folder}/")
    a.start(), b.start()
    id, topic = a.id, overlay(random_topic())
    a.client(topic, client_id="sleeper", clean=False, session_expiry=HOUR)
    b_client = b.client(topic)
    a.stop()
    a.start()
    assert a.id == id
    a.wait_status(lambda status: status["overlays"] == status["neighbours"] == 1)
    b_client.publish(topic, b"for the sleeper")
    a.wait_number("messages/out", 1)
    sleeper = a.client(client_id="sleeper", clean=False, session_expiry=HOUR)
    sleeper.wait_message(topic, b"for the sleeper")


def test_reload_and_end(brokers, old):
    a, b = pair(brokers, old)
    a.start(), b.start()
    topic = overlay(random_topic())
    near, far = together(a, b, topic)
    for number in range(3):
        a.reload()
        near.publish(topic, b"from the old one %d" % number)
        far.publish(topic, b"from the new one %d" % number)
        far.wait_message(topic, b"from the old one %d" % number)
        near.wait_message(topic, b"from the new one %d" % number)
    sent = a.terminate()
    assert a.wait_end() == 0
    assert time.monotonic() - sent < within(2)
    a.assert_no_report()


def test_tls_listener_beside(brokers, old, tmp_path):
    """The broker's own TLS, in the same process."""
    port = free_port()
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-keyout", str(key), "-out",
         str(certificate), "-days", "2", "-subj", "/CN=localhost", "-addext",
         "subjectAltName=DNS:localhost"],
        check=True, capture_output=True,
    )  # fmt: skip
    tls = [f"listener {port} 127.0.0.1", f"certfile {certificate}", f"keyfile {key}"]
    a, b = pair(brokers, old, lines=tls)
    a.start(), b.start()
    topic = overlay(random_topic())
    near, far = together(a, b, topic)
    for number in range(20):
        subprocess.run(
            ["mosquitto_pub", "-h", "localhost", "-p", str(port), "--cafile", str(certificate),
             "-t", topic, "-m", f"secure {number}", "-q", "1"],
            check=True, timeout=20,
        )  # fmt: skip
        far.publish(topic, b"beside %d" % number)
    far.wait_all(topic, [b"secure %d" % number for number in range(20)])
    near.wait_all(topic, [b"beside %d" % number for number in range(20)])


def test_reason_of_what_is_too_large(brokers, old):
    """The same is refused, but 2.0 has one reason for all."""
    a, b = pair(brokers, old)
    for broker, code in ((a.start(), NOT_AUTHORISED), (b.start(), QUOTA)):
        client = broker.client()
        assert client.publish(overlay(random_topic()), bytes(4058)).value == code
        assert client.publish("p2panda/nothing", b"x").value == NOT_AUTHORISED
        assert not client.publish(overlay(random_topic()), bytes(4057)).is_failure
        broker.wait_number("dropped/too_large", 1)
    a.wait_log("Mosquitto 2.0: what is refused has the reason 'not authorised'")


def test_per_listener_settings(brokers, old):
    a = brokers(program=old.program, lines=[])
    config = "per_listener_settings true\n" + a.config()
    assert "per_listener_settings" in a.wait_refusal(config)


def test_loaded_twice(brokers, old):
    a = brokers(program=old.program)
    a.behind = a._plugin_lines([])
    a.spawn()
    assert a.wait_end() > 0
    assert any("loaded already" in line for line in a.our_log())


def test_state_dir_is_guessed(brokers, old):
    """It is where packages have it, and that is said; or it has to be given."""
    a = brokers(program=old.program, identity=False)
    config = "\n".join(
        line for line in a.config().splitlines() if not line.startswith("plugin_opt_state_dir")
    )
    a.spawn(config)
    if pathlib.Path("/var/lib/mosquitto").is_dir():
        a.wait_log("state_dir is /var/lib/mosquitto/p2panda: this broker does not tell")
    else:
        a.wait_log("give plugin_opt_state_dir")
    a.kill()


def test_questions_do_not_come_by_a_native_bridge(brokers, old):
    """Which no access control keeps anything from: the plugin at its other end refuses them."""
    far = brokers("far").start()
    near = brokers(
        "near",
        program=old.program,
        lines=[
            "connection native",
            f"address 127.0.0.1:{far.mqtt_port}",
            "topic p2panda/# out 1",
        ],
    ).start()
    everything = far.client("#")
    id = random_topic()
    # Asked for when it is offline, and while it is.
    sleeper = near.client(overlay(id), client_id="sleeper", clean=False, session_expiry=HOUR)
    sleeper.drop()
    far.wait_log("bridge|native")
    near.wait_log("Client sleeper")
    near.client().publish(overlay(id), b"across")
    everything.wait_message(overlay(id), b"across")
    time.sleep(2.5)  # two more questions
    near.client().publish(overlay(id), b"end")
    everything.wait_message(overlay(id), b"end")
    ours = [m for m in everything._messages if m.topic.startswith("p2panda/")]
    assert [one.payload for one in ours] == [b"across", b"end"]
