# SPDX-License-Identifier: MIT OR Apache-2.0
"""What this host itself cannot do: begin a dial, bind, send, receive. Each is said once, with node,
address and the system's words, and again when it changes; and the counters add up."""

import re
import resource
import socket

import pytest

from identity import make_identity, overlay, random_topic
from sandbox import denied
from settings import PATIENCE

FAR = {4: "198.51.100.7", 6: "2001:db8::7"}
NETS = {4: "198.51.100.0/24", 6: "2001:db8::/32"}
EVERYWHERE = {4: "0.0.0.0/0", 6: "::/0"}
# What a route says of its destination, by its type.
WORDS = {
    "": "network is unreachable",
    "unreachable": "no route to host",
    "prohibit": "permission denied",
    "blackhole": "invalid argument",
}


def bracketed(address: str, port: int = 2022) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def lines_of(broker, text: str) -> list[str]:
    return [line for line in broker.our_log() if text in line]


def check_sum(broker, least: int = 3):
    """So many dials have failed, and those are among the dials."""
    broker.wait_status(
        lambda s: s["peers/dials"] >= s["peers/dials_failed"] >= least,
        what=f"{least} failed dials among all dials",
    )


@pytest.fixture
def stranger(tmp_path):
    """Somebody who is nowhere."""
    return make_identity(tmp_path / "stranger.pem")


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("kind", WORDS, ids=lambda kind: kind or "none")
def test_no_route(net, brokers, stranger, kind, family):
    host = net.host("a")
    host.ip(f"route add {kind} {NETS[family]}" if kind else f"route del {EVERYWHERE[family]} dev eth0")
    broker = brokers(host=host)
    broker.add_peer(stranger, bracketed(FAR[family]))
    broker.start()
    broker.client(overlay(random_topic()))
    line = f"peer {stranger[:10]} at {bracketed(FAR[family])}: cannot be dialled: {WORDS[kind]}"
    broker.wait_log(re.escape(line))
    check_sum(broker)
    assert lines_of(broker, stranger[:10]) == [line]


def test_no_route_to_a_bootstrap_node(net, brokers, stranger):
    host = net.host("a")
    host.ip(f"route add unreachable {NETS[4]}")
    broker = brokers(host=host)
    broker.add_bootstrap(stranger, bracketed(FAR[4]))
    broker.start()
    line = f"bootstrap {stranger[:10]} at {bracketed(FAR[4])}: cannot be dialled: no route to host"
    broker.wait_log(re.escape(line))
    broker.wait_status(lambda s: s["discovery/dials"] >= 3)
    assert lines_of(broker, stranger[:10]) == [line]


def test_again_when_it_changes(net, brokers):
    """Not while the same goes on, however often it is tried; and what has worked may fail again."""
    host, other = (net.host(name, v6=False) for name in "ab")
    a, b = brokers(host=host), brokers(host=other)
    route = f"{other.addresses[0]}/32"
    host.ip(f"route add unreachable {route}")
    a.add_peer(b)
    b.start(), a.start()
    topic = overlay(random_topic())
    at_a, at_b = a.client(topic), b.client(topic)
    said = f"peer {b.id[:10]} at {b.address()}: cannot be dialled: "
    a.wait_log(re.escape(said + "no route to host"))
    check_sum(a)
    host.ip(f"route del unreachable {route}", f"route add prohibit {route}")
    a.wait_log(re.escape(said + "permission denied"))
    host.ip(f"route del prohibit {route}")
    at_a.publish(topic, b"now")
    at_b.wait_message(topic, b"now")
    assert [line.removeprefix(said) for line in lines_of(a, said)] == [
        "no route to host",
        "permission denied",
    ]
    host.ip(f"route add unreachable {route}")
    a.wait_log_times(said + "no route to host", 2)
    check_sum(a)


def test_port_of_one_family_is_taken(net, brokers):
    """The node starts with the other family, and says so; and of a peer, too."""
    host, other = net.hosts("ab")
    a, b = brokers(host=host), brokers(host=other)
    a.add_peer(b)
    with host.udp("0.0.0.0", 2022):
        a.start(), b.start()
        a.client(overlay(random_topic()))
        a.wait_log(
            r"p2panda: 0\.0\.0\.0:2022: cannot be bound, so this node has no IPv4: address is in use"
        )
        a.wait_log(re.escape(
            f"peer {b.id[:10]} at {b.address()}: cannot be dialled: no IPv4 address is bound"
        ))
        check_sum(a)
    assert a.status()["addresses"] == "[::]:2022"


@pytest.mark.parametrize("error", ["ENOSYS", "EPERM"])
def test_recvmmsg_is_not_needed(net, brokers, tmp_path, error):
    hosts = net.hosts("ab")
    a, b = (brokers(host=host, launcher=denied(tmp_path, f"recvmmsg={error}")) for host in hosts)
    a.add_peer(b)
    a.start(), b.start()
    topic = overlay(random_topic())
    at_a, at_b = a.client(topic), b.client(topic)
    at_a.publish(topic, b"hello")
    at_b.wait_message(topic, b"hello")


def test_nothing_can_be_received(net, brokers, tmp_path):
    """A line at the node that is dialled; and it does not burn the processor for it."""
    host_a, host_b = net.hosts("ab")
    a = brokers(host=host_a)
    b = brokers(host=host_b, launcher=denied(tmp_path, "recvmmsg=EPERM", "recvmsg=EPERM"))
    a.add_peer(b)
    b.start(), a.start()
    a.client(overlay(random_topic()))
    b.wait_log(r"p2panda: 0\.0\.0\.0:2022: nothing can be received: operation not permitted")
    before = processor_time(b)
    a.wait_number("peers/dials_failed", 2)
    assert processor_time(b) - before < 1
    assert len(lines_of(b, "nothing can be received")) == 1


def processor_time(broker) -> float:
    with open(f"/proc/{broker.process.pid}/stat") as file:
        words = file.read().rpartition(")")[2].split()
    return sum(map(int, words[11:13])) / 100


def test_nothing_can_be_sent_to_a_peer(net, brokers, tmp_path):
    host_a, host_b = net.hosts("ab")
    a = brokers(host=host_a, launcher=denied(tmp_path, "sendmsg=EPERM"))
    b = brokers(host=host_b)
    a.add_peer(b)
    b.start(), a.start()
    a.client(overlay(random_topic()))
    line = f"peer {b.id[:10]} at {b.address()}: cannot be sent to: operation not permitted"
    a.wait_log(re.escape(line))
    check_sum(a)
    assert lines_of(a, b.id[:10]) == [line]


def test_nothing_can_be_answered(net, brokers, tmp_path):
    """Nor is this broker's own administrator left in the dark: it dials nobody."""
    host_a, host_b = net.hosts("ab")
    a, b = brokers(host=host_a), brokers(host=host_b, launcher=denied(tmp_path, "sendmsg=EPERM"))
    a.add_peer(b)
    b.start(), a.start()
    a.client(overlay(random_topic()))
    b.wait_log(re.escape(f"p2panda: {a.address()}: cannot be sent to: operation not permitted"))
    a.wait_number("peers/dials_failed", 2)
    assert len(lines_of(b, "cannot be sent to")) == 1


def test_packets_do_not_fit(net, brokers):
    """QUIC begins with datagrams of 1200 bytes, which an interface may be too small for."""
    host_a, host_b = net.hosts("ab")
    a, b = brokers(host=host_a), brokers(host=host_b)
    a.add_peer(b)
    host_a.ip("link set dev eth0 mtu 1100")
    a.start(), b.start()
    a.client(overlay(random_topic()))
    a.wait_log(re.escape(f"peer {b.id[:10]} at {b.address()}: cannot be sent to: message too long"))
    check_sum(a)


def test_no_descriptor_is_left(net, brokers, stranger):
    """For the socket that is asked for the way."""
    host = net.host("a")
    broker = brokers(host=host)
    broker.add_peer(stranger, bracketed(FAR[4]))
    broker.start()
    client = broker.client()
    limit = resource.prlimit(broker.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(broker.process.pid, resource.RLIMIT_NOFILE, (3, limit[1]))
    client.subscribe(overlay(random_topic()))
    broker.wait_log(
        f"peer {stranger[:10]} at {bracketed(FAR[4])}: cannot be dialled: too many open files"
    )
    check_sum(broker)
    resource.prlimit(broker.process.pid, resource.RLIMIT_NOFILE, limit)


def test_mdns_cannot_be_sent(net, brokers, tmp_path):
    broker = brokers(
        host=net.host("a"),
        options=[("mdns", "active")],
        launcher=denied(tmp_path, "sendmsg=EPERM"),
    )
    broker.start()
    broker.wait_log(r"p2panda: mdns: cannot be sent: operation not permitted")


def test_mdns_has_one_family_only(net, brokers):
    host = net.host("a")
    broker = brokers(host=host, options=[("mdns", "passive")])
    with host.udp("224.0.0.251", 5353) as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)  # for itself alone
        broker.start()
        broker.wait_log(r"p2panda: mdns: IPv4 cannot be used: address is in use", PATIENCE)
