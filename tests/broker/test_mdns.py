# SPDX-License-Identifier: MIT OR Apache-2.0
"""Brokers that find each other on the local network, without any address in their
configuration: on machines of their own, as multicast on loopback belongs to everybody."""

import contextlib
import socket
import struct
import threading
import time

import pytest

from identity import overlay, random_topic
from mesh import Mesh
from settings import PATIENCE, within
from test_bootstrap import FOUND, start_all

GROUP = "224.0.0.251"
SERVICE = b"\x0a_p2pandav1\x04_udp\x05local\x00"
SERVICE_LABEL = b"_p2pandav1"
PTR, IN = 12, 1
# Packets per second that one node may send at most, whatever it is asked.
MOST_PACKETS = 40


def with_mdns(brokers, mode: str, host):
    return brokers(host=host, options=[("mdns", mode)])


class Listener:
    """All mDNS packets of the service that reach this host by IPv4, but its own ones."""

    def __init__(self, host):
        self.packets: list[bytes] = []
        self._socket = host.udp("0.0.0.0", 5353)
        request = struct.pack("@4s4si", socket.inet_aton(GROUP), bytes(4), host.interface)
        self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
        self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        with contextlib.suppress(OSError):
            while packet := self._socket.recv(9000):
                if SERVICE_LABEL in packet:
                    self.packets.append(packet)

    def ask(self):
        """A question for the service, from port 5353 as it has to be."""
        head = struct.pack("!6H", 0, 0, 1, 0, 0, 0)
        question = head + SERVICE + struct.pack("!2H", PTR, IN)
        self._socket.sendto(question, (GROUP, 5353))

    def close(self):
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


@pytest.mark.parametrize(
    "modes", [("active", "active"), ("active", "passive"), ("passive", "active")], ids="-".join
)
def test_two(net, brokers, modes):
    pair = [
        with_mdns(brokers, mode, host) for mode, host in zip(modes, net.hosts("ab"), strict=True)
    ]
    start_all(*pair)
    Mesh(random_topic(), *pair).round("hello", within(FOUND))
    for broker in pair:
        broker.wait_number("discovery/mdns_found", 1)
        assert broker.number("discovery/bad_packets") == 0


@pytest.mark.parametrize("family", ["v4", "v6"])
def test_one_family_only(net, brokers, family):
    hosts = [net.host(name, v4=family == "v4", v6=family == "v6") for name in "ab"]
    pair = start_all(*(with_mdns(brokers, "active", host) for host in hosts))
    Mesh(random_topic(), *pair).round("hello", within(FOUND))


def test_off_and_what_is_told(net, brokers):
    """Off, which it is by default, says and hears nothing; the others do not say which topics
    they have, to whoever listens."""
    hosts = net.hosts("abcd")
    a, b = with_mdns(brokers, "active", hosts[0]), with_mdns(brokers, "passive", hosts[1])
    off = brokers(host=hosts[2])
    with Listener(hosts[3]) as listener:
        start_all(a, b, off)
        id = random_topic()
        at_off = off.client(overlay(id))
        Mesh(id, a, b).round("hello", within(FOUND))
        for broker in (a, b):
            broker.wait_number("discovery/mdns_found", 1)
        packets = list(listener.packets)
        addresses = {broker: socket.inet_aton(broker.host.addresses[0]) for broker in (a, b, off)}
        # Two addresses of a node are in all it says of itself.
        assert any(addresses[a] in packet for packet in packets)
        assert any(addresses[b] in packet for packet in packets)
        assert not any(addresses[off] in packet for packet in packets)
        for packet in packets:
            assert bytes.fromhex(id) not in packet and id.encode() not in packet
    status = off.status()
    assert status["discovery/mdns_found"] == status["discovery/sessions"] == "0"
    assert not at_off.payloads(overlay(id))


def test_it_is_asked_all_the_time(net, brokers):
    """Answers are bounded in number, however many questions there are: who can send one small
    packet to everybody must not make everybody send large ones."""
    hosts = net.hosts("ab")
    broker = with_mdns(brokers, "passive", hosts[0])
    with Listener(hosts[1]) as listener:
        broker.start()
        listener.ask()
        limit = time.monotonic() + PATIENCE
        while not listener.packets:
            assert time.monotonic() < limit, "no answer"
            time.sleep(0.01)
        begun, before = time.monotonic(), len(listener.packets)
        for _ in range(2000):
            listener.ask()
        broker.wait_number("limits/mdns", 1)
        time.sleep(1)
        seconds, answers = time.monotonic() - begun, len(listener.packets) - before
    print(f"{answers} answers to 2000 questions in {seconds:.1f} s")
    assert answers <= MOST_PACKETS * seconds


def test_the_network_comes_later(net, brokers):
    """As at boot: no interface has an address when the broker starts."""
    hosts = net.hosts("ab")
    later = list(hosts[1].addresses)
    for address in later:
        hosts[1].remove_address(address)
    a, b = (with_mdns(brokers, "active", host) for host in hosts)
    start_all(a, b)
    mesh = Mesh(random_topic(), a, b)
    for address in later:
        hosts[1].add_address(address)
    mesh.heal(within(PATIENCE))
