# SPDX-License-Identifier: MIT OR Apache-2.0
"""Nodes learn where others are: from hosts with many bridges, and without a list of interfaces.

Two brokers know one bootstrap node, which has no subscriber, and no peer.
"""

import pytest

from identity import overlay, random_topic
from sandbox import denied
from settings import wait_until


def add_bridges(host, count: int):
    for number in range(count):
        host.ip(
            f"link add br{number} type bridge",
            f"addr add 10.{100 + number}.0.1/24 dev br{number}",
            f"link set br{number} up",
        )


def check_meeting(brokers, hosts, **arguments):
    """They meet: by what the bootstrap node knows of them."""
    a, b = (brokers(host=host, **arguments) for host in hosts[:2])
    middle = brokers(host=hosts[2])
    middle.start()
    topic = random_topic()
    for broker in (a, b):
        broker.add_bootstrap(middle)
        broker.start()
        broker.client(overlay(topic))
    for broker in (a, b):
        broker.wait_joined(topic)
    return a, b


@pytest.mark.parametrize("count", [0, 15, 40])
def test_bridges(net, brokers, count):
    """They reach each other by IPv6 only, of which the bridges have none."""
    hosts = net.host("a", v4=False), net.host("b", v4=False), net.host("c", v4=False)
    for host in hosts[:2]:
        add_bridges(host, count)
    for broker in check_meeting(brokers, hosts):
        lines = [line for line in broker.our_log() if "are not told to other nodes" in line]
        assert len(lines) == (count > 15)
        # Each bridge has an address, and the network card one; its link-local one is not told.
        left_out = broker.wait_number("addresses/left_out", 0)
        told = broker.status()["addresses/told"].split(",")
        assert len(told) + left_out == count + 1
        assert len(told) == min(count + 1, 16)
        assert f"[{broker.host.addresses[0]}]:{broker.quic_port}" in told


def test_netlink_is_denied(net, brokers, tmp_path):
    """As by RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 of systemd."""
    hosts = net.hosts("abc")
    for broker in check_meeting(
        brokers, hosts, launcher=denied(tmp_path, "socket:16=EAFNOSUPPORT")
    ):
        broker.wait_log("addresses cannot be listed, nor their changes seen: address family not")
        assert not [line for line in broker.our_log() if "by the option advertise" in line]


def test_netlink_is_denied_and_there_is_no_route(net, brokers, tmp_path):
    host = net.host("a", v6=False)
    host.ip("route del 0.0.0.0/0 dev eth0")
    broker = brokers(host=host, launcher=denied(tmp_path, "socket:16=EAFNOSUPPORT"))
    broker.start()
    broker.wait_log("no address of this machine is known.*: name one by the option advertise")


def test_addresses_that_come_and_go(net, brokers):
    """What the status says of them follows."""
    host = net.host("a", v6=False)
    broker = brokers(host=host).start()
    told = f"{host.addresses[0]}:{broker.quic_port}"
    wait_until(lambda: broker.status().get("addresses/told") == told)
    add_bridges(host, 20)
    broker.wait_status(lambda status: status.get("addresses/left_out") == 5)
    assert told in broker.status()["addresses/told"].split(",")
    for number in range(20):
        host.ip(f"link del br{number}")
    broker.wait_status(lambda status: status.get("addresses/left_out") == 0)
    wait_until(lambda: broker.status()["addresses/told"] == told)
