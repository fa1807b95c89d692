# SPDX-License-Identifier: MIT OR Apache-2.0
"""Who finds whom, and who is refused."""

import pathlib
import secrets
import socket

import pytest

from compile import shared_library
from identity import make_identity, overlay, random_topic
from settings import within

SHIM = pathlib.Path(__file__).with_name("network_preload.c")


def check_both_ways(a, b):
    topic = overlay(random_topic())
    at_a, at_b = a.client(topic), b.client(topic)
    at_a.publish(topic, b"from a")
    at_b.publish(topic, b"from b")
    for client in (at_a, at_b):
        assert sorted(client.wait_count(topic, 2)) == [b"from a", b"from b"]


@pytest.mark.parametrize("first", ["dialler", "dialled"])
def test_one_side_names_the_other(brokers, first):
    a, b = brokers(), brokers()
    a.add_peer(b)
    for broker in (a, b) if first == "dialler" else (b, a):
        broker.start()
    check_both_ways(a, b)


def test_ipv6(brokers):
    a, b = brokers(bind=["::1"]), brokers(bind=["::1"])
    a.add_peer(b, b.address("::1"))
    b.add_peer(a, a.address("::1"))
    a.start(), b.start()
    check_both_ways(a, b)


def addresses_of(name: str) -> list[str]:
    return sorted({info[4][0] for info in socket.getaddrinfo(name, None, type=socket.SOCK_DGRAM)})


@pytest.mark.parametrize("host", addresses_of("localhost"))
def test_peer_by_name(brokers, host):
    """`localhost` is IPv4 and IPv6, as far as this machine knows; the peer is one of them."""
    a, b = brokers(bind=["127.0.0.1", "::1"]), brokers(bind=[host])
    a.add_peer(b, f"localhost:{b.quic_port}")
    a.start(), b.start()
    check_both_ways(a, b)


def test_one_of_several_addresses(brokers):
    a, b, nobody = brokers(bind=["127.0.0.1", "::1"]), brokers(), brokers()
    a.add_peer(b, nobody.address(), b.address("::1"), b.address())
    a.start(), b.start()
    check_both_ways(a, b)


def test_three_brokers_in_a_row(brokers):
    """Messages are forwarded by the one in the middle."""
    a, b, c = brokers(), brokers(), brokers()
    a.add_peer(b)
    c.add_peer(b)
    for broker in (a, b, c):
        broker.start()
    id = random_topic()
    topic = overlay(id)
    clients = [broker.client(topic) for broker in (a, b, c)]
    for broker in (a, b, c):
        broker.wait_joined(id)
    b.wait_number("neighbours", 2)
    for name, client in zip("abc", clients, strict=True):
        client.publish(topic, f"from {name}".encode())
    for client in clients:
        assert sorted(client.wait_count(topic, 3)) == [b"from a", b"from b", b"from c"]


def check_strangers(a, b, diallers):
    """They do not come together, however often they try."""
    topic = overlay(random_topic())
    at_a, at_b = a.client(topic), b.client(topic)
    at_a.publish(topic, b"from a")
    at_b.publish(topic, b"from b")
    for broker in diallers:
        broker.wait_number("peers/dials_failed", 2)
    for broker in (a, b):
        status = broker.wait_status(lambda status: status["messages/in"] == 1)
        assert status["neighbours"] == status["connections"] == 0
        assert status["messages/sent"] == status["messages/received"] == 0
    assert at_a.payloads(topic) == [b"from a"]
    assert at_b.payloads(topic) == [b"from b"]


@pytest.mark.parametrize("diallers", [[0], [1], [0, 1]], ids=["a", "b", "both"])
def test_another_network_is_refused(brokers, diallers):
    a, b = brokers(), brokers(options=[("network_id", secrets.token_hex(32))])
    pair = [a, b]
    for number in diallers:
        pair[number].add_peer(pair[1 - number])
    a.start(), b.start()
    check_strangers(a, b, [pair[number] for number in diallers])
    for number in diallers:
        pair[1 - number].wait_number("peers/refused", 1)


def test_own_network(brokers):
    network = [("network_id", secrets.token_hex(32))]
    a, b = brokers(options=network), brokers(options=network)
    a.add_peer(b)
    a.start(), b.start()
    check_both_ways(a, b)


@pytest.mark.parametrize("diallers", [[0], [1], [0, 1]], ids=["a", "b", "both"])
def test_another_key_is_refused(brokers, tmp_path, diallers):
    a, b = brokers(), brokers()
    pair = [a, b]
    for number in diallers:
        expected = make_identity(tmp_path / f"expected{number}.pem")
        pair[number].add_peer(expected, pair[1 - number].address())
    a.start(), b.start()
    check_strangers(a, b, [pair[number] for number in diallers])
    for number in diallers:
        pair[number].wait_number("peers/refused", 1)


def silent(broker, tmp_path, names: int):
    """Names whose servers say nothing come before those that are added later."""
    for number in range(names):
        broker.add_peer(make_identity(tmp_path / f"silent{number}.pem"), f"silent{number}.invalid:1")


def test_silent_name_servers_hold_up_nobody(brokers, tmp_path):
    """Eight names that nobody answers for, and a good one: it is dialled at once; and then the
    broker ends without them."""
    shim = shared_library(SHIM, tmp_path)
    a, b = brokers(preload=[shim]), brokers()
    silent(a, tmp_path, 8)
    a.add_peer(b, f"localhost:{b.quic_port}")
    b.start()
    a.start()
    a.wait_log(f"peer {b.id[:10]} at .*: reached", within(2))
    check_both_ways(a, b)
    a.terminate()
    assert a.wait_end(within(2)) == 0
    a.assert_no_report()
