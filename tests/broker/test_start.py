# SPDX-License-Identifier: MIT OR Apache-2.0
"""What a machine may lack when the broker starts; the rest of it is in test_options.py."""

import pathlib

import pytest

from compile import shared_library

SHIM = pathlib.Path(__file__).with_name("network_preload.c")


@pytest.fixture
def no_ipv6(tmp_path):
    """Arguments of a broker on a machine without IPv6."""
    return {"preload": [shared_library(SHIM, tmp_path)], "environment": {"TEST_NO_IPV6": "1"}}


def without_bind(broker) -> str:
    lines = broker.config().splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("plugin_opt_bind "))


def test_no_ipv6_is_fine_by_default(default_port, brokers, no_ipv6):
    broker = brokers(**no_ipv6)
    broker.start(without_bind(broker))
    assert broker.status()["addresses"] == "0.0.0.0:2022"


def test_no_ipv6_where_it_is_asked_for(brokers, no_ipv6):
    broker = brokers(bind=["127.0.0.1", "::1"], **no_ipv6)
    said = "address family not supported by protocol"
    assert broker.wait_refusal() == f"cannot bind UDP {broker.address('::1')}: {said}"


def test_default_port_is_taken(default_port, brokers, no_ipv6):
    """One of the two default addresses must work; here there is one only."""
    first, second = brokers(**no_ipv6), brokers(**no_ipv6)
    first.start(without_bind(first))
    line = second.wait_refusal(without_bind(second))
    assert line == "cannot bind UDP 0.0.0.0:2022: address is in use"


@pytest.mark.parametrize("setting", ["false", "true"])
def test_second_load_is_refused(brokers, setting):
    broker = brokers()
    first = broker.config()
    plugin = first[first.index("plugin ") :]
    second = f"listener {broker.quic_port} 127.0.0.1\nallow_anonymous true\n{plugin}"
    line = broker.wait_refusal(f"per_listener_settings {setting}\n{first}{second}")
    assert line.startswith("the plugin is loaded already") and "global_plugin" in line
