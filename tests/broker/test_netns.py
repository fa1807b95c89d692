# SPDX-License-Identifier: MIT OR Apache-2.0
"""Do the machines of netns.py themselves work?"""

import contextlib
import json
import os
import socket
import struct
import subprocess

import pytest

from identity import overlay, random_topic
from netns import Net
from settings import PATIENCE

# Longer than any way through a bridge takes.
SILENCE = 0.3


def receives(sock: socket.socket, payload: bytes, timeout: float = PATIENCE) -> bool:
    sock.settimeout(timeout)
    with contextlib.suppress(TimeoutError):
        while sock.recv(100) != payload:
            pass
        return True
    return False


def operating_state(host) -> str:
    shown = subprocess.run(
        host.command("ip", "-json", "link", "show", "eth0"), capture_output=True, check=True
    )
    return json.loads(shown.stdout)[0]["operstate"]


@pytest.mark.parametrize("number", [0, 1], ids=["ipv4", "ipv6"])
def test_unicast_and_cuts(net, number):
    left, right = net.switch(), net.switch()
    trunk = net.trunk(left, right)
    a, b = net.host("a", left), net.host("b", right)
    with a.udp(a.addresses[number]) as at_a, b.udp(b.addresses[number]) as at_b:
        for at, cable in enumerate((trunk, a.cable, b.cable)):
            at_a.sendto(b"before %d" % at, at_b.getsockname())
            assert receives(at_b, b"before %d" % at)
            cable.cut()
            at_a.sendto(b"cut %d" % at, at_b.getsockname())
            at_b.sendto(b"cut %d" % at, at_a.getsockname())
            assert not receives(at_b, b"cut %d" % at, SILENCE)
            assert not receives(at_a, b"cut %d" % at, SILENCE)
            assert operating_state(a) == operating_state(b) == "UP"
            cable.mend()
            at_a.sendto(b"after %d" % at, at_b.getsockname())
            assert receives(at_b, b"after %d" % at)


@pytest.mark.parametrize("number", [0, 1], ids=["ipv4", "ipv6"])
def test_isolation(net, number):
    """Two that have no way to each other, and both to a third one."""
    hosts = a, b, c = net.hosts("abc")

    def way(one, other, tries: int = 1) -> bool:
        with one.udp(one.addresses[number]) as here, other.udp(other.addresses[number]) as there:
            for _ in range(tries):
                here.sendto(b"hello", there.getsockname())
                if receives(there, b"hello", SILENCE):
                    return True
            return False

    for host in (a, b):
        host.cable.isolate()
    assert not way(a, b) and not way(b, a)
    assert all(way(one, c) and way(c, one) for one in (a, b))
    a.cable.connect()
    # Who was asked for in vain is asked for again a second later only.
    assert all(way(one, other, 10) for one in hosts for other in hosts if one is not other)
    a.cable.isolate()
    assert not way(a, b) and not way(b, a)


def test_tcp(net):
    a, b = net.hosts("ab")
    with a.tcp() as listener, b.tcp() as there:
        listener.listen()
        there.settimeout(PATIENCE)
        there.connect(listener.getsockname())
        assert listener.accept()[1] == there.getsockname()


@pytest.mark.parametrize("group", ["224.0.0.251", "ff02::fb"])
def test_multicast(net, group):
    """Also to an address that the host has only later."""
    a, b = net.hosts("ab")
    v6 = ":" in group
    address = "::" if v6 else "0.0.0.0"
    with a.udp(address) as at_a, b.udp(address, 5353) as at_b:
        member = socket.inet_pton(socket.AF_INET6 if v6 else socket.AF_INET, group)
        if v6:
            request = member + struct.pack("@I", b.interface)
            at_b.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)
        else:
            request = struct.pack("@4s4si", member, bytes(4), b.interface)
            at_b.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
        at_a.sendto(b"hello", (group, 5353))
        assert receives(at_b, b"hello")


def test_addresses_change(net):
    a, b = net.hosts("ab")
    b.replace_addresses("10.77.9.9", "fd77::99")
    for address in b.addresses:
        with b.udp(address) as at_b, a.udp("::" if ":" in address else "0.0.0.0") as at_a:
            at_a.sendto(b"hello", at_b.getsockname())
            assert receives(at_b, b"hello")


def test_brokers(net, brokers):
    """Each on a machine of its own, at the default port; clients come from here."""
    host_a, host_b = net.hosts("ab")
    a, b = brokers(host=host_a), brokers(host=host_b)
    a.add_peer(b)
    a.start(), b.start()
    id = random_topic()
    topic = overlay(id)
    sender = a.client(topic)
    for start in (b"first", b"second"):
        receiver = b.client(topic)
        b.wait_joined(id)
        sender.publish(topic, start)
        receiver.wait_message(topic, start)
        if start == b"first":
            # Its socket is left over then.
            b.wait_remembers(id, a.id)
            b.kill()
            b.start()


def test_nothing_is_left(tmp_path):
    with Net() as net:
        spaces = [net.host(name)._space.pid for name in "ab"]
        sleeper = subprocess.Popen(net.host("c").command("sleep", "1000"))
        folder = net._folder
    for pid in spaces:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert not folder.exists()
    sleeper.kill()
    sleeper.wait()
