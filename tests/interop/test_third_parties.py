# SPDX-License-Identifier: MIT OR Apache-2.0
"""A node that says of hundreds of others, with good signatures, that they are all at one host's
addresses: those who believe it are no weapon against that host, and reach everybody else
meanwhile. Who is where, and that it is another host, is real: network namespaces."""

import contextlib
import selectors
import threading
import time

import pytest

from identity import overlay, random_topic
from raw_node import RawNode
from settings import within

NODES = 500
PLACES = 16
SECONDS = 20
# bridge/limits.h, LIMIT_UNPROVEN_DIALS_PER_HOST; and from then on one after 0.25 s, 0.5 s, 1 s
# and so on (peers/dialer.h): the first of these, and six more within 20 s.
MOST_DIALS = 8 + 1 + 6
# A dial that nobody answers says the same three times more in its 5 s, in one or two datagrams.
MOST_DATAGRAMS = MOST_DIALS * 8
# How long it takes to reach an honest node.
REACHED = 5.0


class Victim:
    """Sockets that take down what comes, and from where."""

    def __init__(self, host, places):
        self._selector = selectors.DefaultSelector()
        for address, port in places:
            self._selector.register(host.udp(address, port), selectors.EVENT_READ)
        self.datagrams: list[tuple[str, bytes]] = []
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        while not self._ending.is_set():
            for key, _ in self._selector.select(0.1):
                data, source = key.fileobj.recvfrom(2000)
                self.datagrams.append((source[0], data))

    def heard_of(self, host) -> list[bytes]:
        return [data for source, data in self.datagrams if source in host.addresses]

    def close(self):
        self._ending.set()
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()
        self._selector.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def dials(datagrams: list[bytes]) -> int:
    """How many connections they begin: Initials (RFC 9000, 17.2.2) of so many first ids."""
    return len({data[6 : 6 + data[5]] for data in datagrams if data[0] & 0xF0 == 0xC0})


def written(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


HERE, ELSEWHERE = "10.77.200.1", "198.51.100.9"
CASES = {
    # Where the liar is, where it says that all those nodes are, whether it is believed.
    "ports": (ELSEWHERE, [("203.0.113.7", 9000 + n) for n in range(PLACES)], True),
    "a /64": (ELSEWHERE, [(f"2001:db8:7::{n + 1:x}", 9000) for n in range(PLACES)], True),
    "private, from there": (HERE, [("10.77.200.7", 9000 + n) for n in range(PLACES)], True),
    "private, from elsewhere": (ELSEWHERE, [("10.77.200.7", 9000 + n) for n in range(PLACES)], False),
}


@pytest.mark.slow
@pytest.mark.unsanitized
@pytest.mark.parametrize("case", CASES)
def test_one_host_s_addresses(net, brokers, case):
    where, places, believed = CASES[case]
    believer, hub, honest, liar, victim = net.hosts(["believer", "hub", "honest", "liar", "victim"])
    liar.add_address(where)
    for address in sorted({address for address, _ in places}):
        victim.add_address(address)
    a, b, c = brokers(host=believer), brokers(host=hub), brokers(host=honest)
    a.add_bootstrap(b), c.add_bootstrap(b)
    with contextlib.ExitStack() as stack:
        seen = stack.enter_context(Victim(victim, places))
        raw = stack.enter_context(RawNode(host=liar, address=written(where, 2022)))
        a.add_bootstrap(raw.id, raw.address)
        for broker in (b, c, a):
            broker.start()
        topics = [random_topic() for _ in range(4)]
        for topic in topics:
            c.client(overlay(topic))
        told = ",".join(written(*place) for place in places)
        raw.serve(nodes=f"good {NODES} {told}")
        begun = time.monotonic()
        a.client(overlay(random_topic()))
        raw.wait_served(1)
        a.wait_number("discovery/infos", NODES // 2)
        took: list[float] = []
        for number, topic in enumerate(topics):
            time.sleep(max(begun + number * SECONDS / len(topics) - time.monotonic(), 0))
            since = time.monotonic()
            near = a.client(overlay(topic))
            a.wait_joined(topic, within(REACHED))
            c.client().publish(overlay(topic), b"hello")
            near.wait_message(overlay(topic), b"hello", within(REACHED))
            took.append(time.monotonic() - since)
        time.sleep(max(begun + SECONDS - time.monotonic(), 0))
        heard = seen.heard_of(believer)
        status = a.status()

    print(f"{case}: {dials(heard)} dials and {len(heard)} datagrams there in {SECONDS} s, ")
    print(f"{status['limits/unproven']} dials put off; an honest node in ", end="")
    print(", ".join(f"{one:.1f} s" for one in took))
    if not believed:
        assert not heard
        return
    assert 0 < dials(heard) <= MOST_DIALS
    assert len(heard) <= MOST_DATAGRAMS
    assert int(status["limits/unproven"]) > 0
