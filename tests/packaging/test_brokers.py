# SPDX-License-Identifier: MIT OR Apache-2.0
"""The self-contained plugin in stock brokers, beside brokers and peers of every kind."""

import re
import socket
import ssl
import subprocess
import threading
import time

import pytest
from broker import Broker
from mqtt import V311, Client
from ports import free_port
from rust_peer import GENERATIONS, random_topic
from settings import within
from roots import ARM64, DEBIANS

PACED = 1000
INTERVAL = 0.001
VALGRIND = (
    "valgrind",
    "--error-exitcode=99",
    "--leak-check=full",
    "--errors-for-leak-kinds=definite",
    "--num-callers=30",
)


def mqtt(topic: str) -> str:
    return f"p2panda/{topic}"


def contents(name: str, count: int) -> list[bytes]:
    return [f"{name} {number}".encode() for number in range(count)]


def publish_paced(client: Client, topic: str, payloads: list[bytes]):
    for payload in payloads:
        client.publish(mqtt(topic), payload, qos=1)
        time.sleep(INTERVAL)


def both_ways(a: Broker, b: Broker, topic: str, count: int):
    """So many messages each way, all of them, at once."""
    one, other = a.client(mqtt(topic)), b.client(mqtt(topic))
    a.wait_joined(topic)
    b.wait_joined(topic)
    there, back = contents("there", count), contents("back", count)
    threads = [
        threading.Thread(target=publish_paced, args=(client, topic, payloads))
        for client, payloads in ((one, there), (other, back))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    one.wait_all(mqtt(topic), [*back, *there])
    other.wait_all(mqtt(topic), [*there, *back])


def test_it_is_the_stock_broker_and_its_own_openssl(brokers, stock):
    """The version that the broker says, the plugin's file, and which libraries are mapped."""
    broker = brokers.stock(stock).start()
    assert broker.wait_log(r"mosquitto version (\S+) running")[1] == stock.version
    with open(f"/proc/{broker.process.pid}/maps") as file:
        mapped = {line.split()[-1] for line in file if "/" in line}
    names = {path.rpartition("/")[2] for path in mapped}
    assert {"mosquitto_p2panda.so", "libssl.so.3", "libcrypto.so.3"} <= names
    for ours in ("ngtcp2", "libuv", "blake3", "tinycbor", "wslay", "libck"):
        assert not [name for name in names if ours in name], names
    broker.stop()


def test_a_pair_with_a_broker_of_the_shared_build(brokers, stock):
    a, b = brokers.stock(stock), brokers()
    a.add_peer(b)
    b.add_peer(a)
    a.start()
    b.start()
    both_ways(a, b, random_topic(), PACED)


@pytest.mark.parametrize("generation", GENERATIONS)
def test_a_rust_peer(brokers, stock, rust, generation):
    """Joins, publishes, receives, and leaves it within a second of the last subscriber."""
    topic = random_topic()
    broker = brokers.stock(stock)
    peer = rust(generation)
    broker.add_peer(peer.id, peer.bind4)
    broker.start()
    peer.node(broker.id, broker.address())
    peer.interest(broker.id, topic)
    peer.join(topic)
    client = broker.client(mqtt(topic))
    broker.wait_joined(topic)
    peer.wait("joined", topic=topic)
    there, back = contents("there", PACED), contents("back", PACED)
    publish_paced(client, topic, there)
    peer.wait_all(topic, there)
    for payload in back:
        peer.publish(topic, payload)
    client.wait_all(mqtt(topic), back)
    left = client.unsubscribe(mqtt(topic))
    down = peer.wait("neighbour_down", topic=topic, node=broker.id)
    assert down["_received"] - left <= within(1)


def test_a_restart(brokers, stock):
    """Identity, the session and its subscription are there again, and what is sent meanwhile."""
    topic = random_topic()
    a = brokers.stock(stock, lines=["persistence true"], identity=False)
    a.lines.append(f"persistence_location {a.folder}/")
    b = brokers()
    a.start()
    b.add_peer(a)
    a.add_peer(b)
    b.start()
    first = a.id
    a.stop()
    a.start()
    assert a.id == first
    lasting = a.client(client_id="lasting", version=V311, clean=False)
    lasting.subscribe(mqtt(topic), 1)
    other = b.client(mqtt(topic))
    a.wait_joined(topic)
    other.publish(mqtt(topic), b"before", qos=1)
    lasting.wait_all(mqtt(topic), [b"before"])
    lasting.close()
    a.stop()
    a.start()
    a.wait_joined(topic)
    other.publish(mqtt(topic), b"while it is away", qos=1)
    again = a.client(client_id="lasting", version=V311, clean=False)
    again.wait_all(mqtt(topic), [b"while it is away"])


def test_a_reload(brokers, stock):
    """SIGHUP changes nothing for who is joined."""
    topic = random_topic()
    a, b = brokers.stock(stock), brokers()
    a.add_peer(b)
    a.start()
    b.start()
    one, other = a.client(mqtt(topic)), b.client(mqtt(topic))
    a.wait_joined(topic)
    b.wait_joined(topic)
    for round_ in range(3):
        a.reload("Reloading config")
        payload = f"after {round_}".encode()
        other.publish(mqtt(topic), payload, qos=1)
        one.wait_all(mqtt(topic), [payload])


def make_certificate(folder):
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=localhost", "-keyout", f"{folder}/key.pem", "-out", f"{folder}/cert.pem"]
    subprocess.run(command, check=True, capture_output=True)


def test_the_brokers_own_tls_beside_quic(brokers, stock):
    """Clients come and go over the broker's TLS while messages arrive over the plugin's QUIC."""
    topic, port = random_topic(), free_port()
    a, b = brokers.stock(stock), brokers()
    make_certificate(a.folder)
    a.lines += [
        f"listener {port} 127.0.0.1",
        f"certfile {a.folder}/cert.pem",
        f"keyfile {a.folder}/key.pem",
    ]
    a.add_peer(b)
    a.start()
    b.start()
    one, other = a.client(mqtt(topic)), b.client(mqtt(topic))
    a.wait_joined(topic)
    payloads = contents("beside", 2 * PACED)
    publishing = threading.Thread(target=publish_paced, args=(other, topic, payloads))
    publishing.start()
    context = ssl.create_default_context(cafile=str(a.folder / "cert.pem"))
    context.check_hostname = False
    connect = b"\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04ours"
    for _ in range(40):
        with socket.create_connection(("127.0.0.1", port), 20) as plain:
            with context.wrap_socket(plain) as secure:
                secure.sendall(connect)
                assert secure.recv(4) == b"\x20\x02\x00\x00"
    publishing.join()
    one.wait_all(mqtt(topic), payloads)


@pytest.mark.parametrize("stock", DEBIANS, ids=str)
def test_valgrind(brokers, stock):
    """Starts, joins, publishes, receives and ends well: valgrind has nothing to say of it."""
    topic = random_topic()
    b = brokers()
    a = brokers.stock(stock, under=VALGRIND)
    a.add_peer(b)
    b.start()
    a.spawn()
    a.wait_log("mosquitto version .* running", 120)
    a.attach()
    one, other = a.client(mqtt(topic)), b.client(mqtt(topic))
    a.wait_joined(topic, 60)
    one.publish(mqtt(topic), b"there", qos=1)
    other.wait_all(mqtt(topic), [b"there"], 60)
    other.publish(mqtt(topic), b"back", qos=1)
    one.wait_all(mqtt(topic), [b"back"], 60)
    a.terminate()
    status = a.wait_end(120)
    text = "\n".join(a.log())
    assert status == 0 and re.search("ERROR SUMMARY: 0 errors", text), text[-8000:]


def test_arm64(brokers, rust):
    """On an emulated processor: starts, joins, publishes, receives, ends well."""
    topic = random_topic()
    broker, peer = brokers.stock(ARM64), rust("071")
    broker.add_peer(peer.id, peer.bind4)
    broker.spawn()
    broker.wait_log("mosquitto version .* running", 120)
    broker.attach()
    peer.node(broker.id, broker.address())
    peer.interest(broker.id, topic)
    peer.join(topic)
    client = broker.client(mqtt(topic))
    broker.wait_joined(topic, 60)
    peer.wait("joined", 60, topic=topic)
    there, back = contents("there", 50), contents("back", 50)
    publish_paced(client, topic, there)
    peer.wait_all(topic, there, 60)
    for payload in back:
        peer.publish(topic, payload)
    client.wait_all(mqtt(topic), back, 60)
    broker.terminate()
    assert broker.wait_end(60) == 0
