# SPDX-License-Identifier: MIT OR Apache-2.0
"""A node that lies about others in discovery, and does so a lot: the broker stays small, says
what it refused, serves everybody else, and is no weapon against third parties."""

import contextlib
import socket
import struct
import threading
import time

import pytest

import settings
from identity import invented_node, overlay, random_topic
from mesh import Mesh
from ports import free_port
from raw_node import RawNode
from raw_peer import RawPeer
from settings import scaled, within
from usage import resident

MANY = scaled(100_000)
# That a node with a full address book may need more than an empty one.
MOST_GROWTH = 64 << 20
# In one second, at an address that only hearsay has named: a few first packets each of the
# sixteen nodes that may be tried there.
MOST_PER_SECOND = 64
MOST_DIALS_PER_SECOND = 16


class Lied:
    """A broker and its neighbour, an overlay of both, and a liar."""

    def __init__(self, brokers):
        self.broker, other = brokers(), brokers()
        self.broker.add_bootstrap(other)
        self.liar = RawNode()
        self.broker.add_bootstrap(self.liar.id, self.liar.address)
        self.broker.start(), other.start()
        self.mesh = Mesh(random_topic(), self.broker, other)
        self.mesh.heal(within(10))
        # Of that other one; what comes later is a lie.
        self.broker.wait_number("discovery/infos", 1)
        self.before = resident(self.broker.process.pid)

    def tell(self, nodes: str, way: str = "alice"):
        """The liar's Nodes message, as Alice or as Bob; the broker may hang up before the end."""
        if way == "alice":
            self.liar.session(self.broker, nodes=nodes, timeout=within(60))
            return
        over = self.liar.over()
        self.liar.serve(nodes=nodes)
        # With something new to share all ways in are asked again.
        self.broker.client(overlay(random_topic()))
        self.liar.wait(lambda: self.liar.over() > over, within(60), "end of the session")

    def check(self):
        """Others are served, and it has not grown."""
        self.mesh.round("undisturbed", within(5))
        if settings.SANITIZER in ("", "none"):
            grown = resident(self.broker.process.pid) - self.before
            print(f"grown by {grown >> 10} kB")
            assert grown < MOST_GROWTH

    def number(self, name: str, least: int = 0) -> int:
        """A number of the status, once it is that large."""
        return self.broker.wait_number(name, least)


@pytest.fixture
def lied(brokers):
    made = Lied(brokers)
    yield made
    made.liar.close()


SO_TIMESTAMPNS = 35  # Linux; the module socket does not name it


class Victim:
    """A socket that counts what comes, and when (by the kernel: on a busy machine this process
    may read much later)."""

    def __init__(self, port: int = 0):
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", port))
        self._socket.settimeout(0.1)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.address = "127.0.0.1:{}".format(self._socket.getsockname()[1])
        self.times: list[float] = []
        self._ending = False
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        while not self._ending:
            with contextlib.suppress(TimeoutError):
                ancillary = self._socket.recvmsg(2000, 64)[1]
                seconds, nanoseconds = struct.unpack("qq", ancillary[0][2])
                self.times.append(seconds + nanoseconds / 1e9)

    def most_per_second(self) -> int:
        times = self.times
        return max(
            (sum(t < one + 1 for t in times[at:]) for at, one in enumerate(times)), default=0
        )

    def close(self):
        self._ending = True
        self._thread.join()
        self._socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


@pytest.mark.parametrize("way", ["alice", "bob"])
def test_a_hundred_thousand_nodes(lied, way):
    """All of them signed well; and all of them at one third party's address."""
    with Victim() as victim:
        begun, dialled = time.monotonic(), lied.number("peers/dials")
        lied.tell(f"good {MANY} {victim.address}", way)
        lied.number("limits/infos", 1)
        for _ in range(3):
            lied.check()
            time.sleep(1)
        assert lied.number("discovery/infos") <= 2000
        dialled = lied.number("peers/dials") - dialled
        print(f"{dialled} dials in {time.monotonic() - begun:.1f} s, {len(victim.times)} packets, ")
        print(f"at most {victim.most_per_second()} in a second")
        assert victim.most_per_second() <= MOST_PER_SECOND
        assert dialled <= MOST_DIALS_PER_SECOND * (time.monotonic() - begun + 2)


@pytest.mark.parametrize("way", ["alice", "bob"])
def test_bad_signatures(lied, way):
    before = lied.number("discovery/infos")
    lied.tell(f"bad {MANY} 127.0.0.1:9", way)
    lied.number("discovery/bad_infos", 1)
    assert lied.number("discovery/infos") == before
    lied.check()


def test_from_the_future(lied):
    """A node that is believed once from there could never be corrected."""
    before = lied.number("discovery/infos")
    lied.tell("late 100 127.0.0.1:9 86400")
    lied.number("discovery/bad_infos", 100)
    assert lied.number("discovery/infos") == before
    lied.check()


def test_for_our_own_id(lied):
    lied.tell(f"other 1 127.0.0.1:9 {lied.broker.id}")
    lied.number("discovery/bad_infos", 1)
    lied.check()


def test_for_another_s_id(lied):
    """Signed by the liar: nobody is moved elsewhere by that."""
    other = lied.mesh.members[1].node
    lied.tell(f"other 1 127.0.0.1:9 {other.id}")
    lied.number("discovery/bad_infos", 1)
    lied.check()
    other.stop()
    other.start()
    lied.mesh.join(other)
    lied.mesh.heal(within(10))


def test_a_thousand_addresses(lied):
    """Of one node, and all of them a third party's: it is not dialled a thousand times."""
    with Victim() as victim:
        port = int(victim.address.rpartition(":")[2])
        first = max(port - 500, 1024)
        lied.tell(f"self 1000 127.0.0.1:{first}")
        lied.check()
        time.sleep(2)
        assert victim.most_per_second() <= MOST_PER_SECOND
    refused = ("discovery/bad_infos", "limits/infos", "discovery/failed")
    lied.broker.wait_status(lambda status: any(status[name] for name in refused))


def free_port_below(most: int) -> int:
    while (port := free_port()) >= most:
        pass
    return port


def forward_join(node: bytes, address: str) -> bytes:
    """A frame's body: a node has joined, and is there."""
    host, _, port = address.rpartition(":")
    low, high = int(port) & 0x7F, int(port) >> 7
    assert 0 < high < 128
    data = b"\x00\x01\x00" + socket.inet_aton(host) + bytes([low | 0x80, high])
    return b"\x00\x01" + node + bytes([1, len(data)]) + data + b"\x00"


def test_gossip_names_a_third_party(lied):
    """A neighbour says of hundreds of nodes that they have joined, at one and the same place:
    nobody has to prove that in gossip. (A port of two bytes in a varint.)"""
    with Victim(free_port_below(1 << 14)) as victim, RawPeer(lied.broker) as neighbour:
        neighbour.join(lied.mesh.id)
        begun, dialled = time.monotonic(), lied.number("peers/dials")
        for _ in range(500):
            neighbour.frame(forward_join(invented_node(), victim.address))
        counted = ("limits/peers", "limits/unproven")
        lied.broker.wait_status(lambda status: any(status[name] for name in counted))
        time.sleep(3)
        dialled = lied.number("peers/dials") - dialled
        took = time.monotonic() - begun
        print(f"{dialled} dials in {took:.1f} s, {len(victim.times)} packets, ")
        print(f"at most {victim.most_per_second()} in a second")
        assert victim.times
        assert victim.most_per_second() <= MOST_PER_SECOND
        assert dialled <= MOST_DIALS_PER_SECOND * (took + 2)
    lied.check()
