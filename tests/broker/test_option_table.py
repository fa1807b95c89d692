# SPDX-License-Identifier: MIT OR Apache-2.0
"""Every option with a value that is missing, malformed, out of range or given twice ends the
broker with one line that names the key, the value and what is accepted."""

import dataclasses
import pathlib
import re

import pytest

pytestmark = pytest.mark.asan_only

TABLE = pathlib.Path(__file__).resolve().parents[2] / "docs/options.md"
ID = "ab" * 32
OTHER = "cd" * 32
DIGITS = "64 lower-case hex digits"
LONG = "/" + "a" * 1100


@dataclasses.dataclass
class Option:
    """Wrong values and what the line says then; good ones: the same twice is refused too."""

    accepted: str
    malformed: list[str]
    out_of_range: list[str]
    good: str
    twice: str = "accepted once"


def number(accepted: str, out_of_range: list[str]) -> Option:
    most = re.findall(r"\d+", accepted)[1]
    return Option(accepted, ["soon", "1.5", "0x1", "1 "], out_of_range, most)


OPTIONS = {
    "state_dir": Option("an absolute path of a folder", ["here"], [LONG], "/tmp/nowhere"),
    "identity_file": Option("an absolute path", ["key.pem", "./key.pem"], [LONG], "/tmp/no.pem"),
    "network_id": Option(DIGITS, ["hello", ID.upper(), "gg" * 32], [ID[1:], ID + "a"], ID),
    "bind": Option(
        "<IPv4 address>:<port> or [<IPv6 address>]:<port>",
        ["2022", "127.0.0.1", "localhost:2022", "::1:2022", "127.0.0.1:x"],
        ["127.0.0.1:65536", "127.0.0.1:-1", "256.0.0.1:2022"],
        "127.0.0.1:2022",
        "each once",
    ),
    "peer": Option(
        "@<host>:<port>",
        [ID, f"{ID}@host", "host:2022", f"{ID.upper()}@host:2022", f"{ID}@::1:2022"],
        [
            f"{ID}@host:0",
            f"{ID}@host:65536",
            ID + "@" + ",".join(["host:1"] * 9),
            ID + "@" + ",".join(f"https://relay{number}" for number in range(3)),
        ],
        f"{ID}@host:2022",
        "each node once",
    ),
    "bootstrap": Option(
        "@<host>:<port>",
        [ID, f"{ID}@host", "host:2022", f"{ID.upper()}@host:2022", f"{ID}@::1:2022"],
        [
            f"{ID}@host:0",
            f"{ID}@host:65536",
            ID + "@" + ",".join(["host:1"] * 9),
            ID + "@" + ",".join(f"https://relay{number}" for number in range(3)),
        ],
        f"{ID}@host:2022",
        "each node once",
    ),
    "mdns": Option("off, passive or active", ["on", "Active", "true"], ["all"], "active"),
    "advertise": Option(
        "<host>:<port>",
        ["host", "host:", "a:1,b:1", "::1:2022"],
        ["host:0", "host:65536"],
        "192.0.2.1:2022",
        "each once",
    ),
    "allow_node": Option(DIGITS, ["hello", ID.upper()], [ID[1:], ID + "a"], ID, "each node once"),
    "deny_node": Option(DIGITS, ["hello", ID.upper()], [ID[1:], ID + "a"], ID, "each node once"),
    "relay": Option(
        "https://<host>[:<port>]",
        ["relay.example.org", "relay.example.org:443", "https://", "ftp://a", "https://a/?b"],
        ["https://relay.example.org:65536", "https://relay.example.org:-1"],
        "https://relay.example.org",
        "each once",
    ),
    "relay_token_file": Option("an absolute path", ["token", "./token"], [LONG], "/tmp/no.token"),
    "relay_ca": Option("an absolute path", ["ca.pem", "./ca.pem"], [LONG], "/tmp/no.pem"),
    "relay_dial": Option("known or any", ["all", "Any"], ["both"], "any"),
    "topic": Option(DIGITS, ["hello", f"p2panda/{ID}"], [ID[1:], ID + "a"], ID, "each topic once"),
    "log_level": Option(
        "debug, information, notice, warning or error", ["loud", "Debug"], ["all"], "error"
    ),
    "control": Option("true or false", ["yes", "True"], ["both"], "true"),
    "config_file": Option("an absolute path", ["p2panda.options"], [LONG], "/tmp/no.options"),
    "publish_linger": number("seconds from 0 to 86400", ["86401", "-1", "18446744073709551616"]),
    "delivery_qos": number("a QoS from 0 to 2", ["3", "-1"]),
    "queue_limit": number("a number of messages from 0 to 65536", ["65537", "-1"]),
    "queue_age": number("seconds from 1 to 3600", ["0", "3601", "99999999999999999999"]),
    "max_overlays": number("a number from 1 to 100000", ["0", "100001"]),
    "max_overlays_per_user": number("a number from 1 to 100000", ["0", "100001"]),
    "max_overlays_per_address": number("a number from 1 to 100000", ["0", "100001"]),
    "max_overlays_per_client": number("a number from 1 to 100000", ["0", "100001"]),
    "offline_sessions": Option("hold, all or leave", ["stay", "Hold"], ["both"], "leave"),
    "json_keys": Option("sorted or written", ["Sorted", "as is"], ["both"], "written"),
    "raw_among_signed": Option("refuse or allow", ["yes", "Allow"], ["both"], "allow"),
    "signed_rate": number("messages per second from 0 to 1000000", ["1000001", "-1"]),
    "when_full": Option("wait or drop", ["Wait", "block"], ["both"], "drop"),
    "qlog_dir": Option("an absolute path of a folder", ["here"], [LONG], "/tmp/nowhere"),
    "keylog_file": Option("an absolute path", ["keys", "./keys"], [LONG], "/tmp/no.keys"),
    "sys_interval": number("seconds from 0 to 3600", ["3601", "-1"]),
    "retain_available": Option("auto, true or false", ["yes", "True"], ["both"], "false"),
    "cache_bytes": number("bytes from 0 to 1073741824", ["1073741825", "-1"]),
}


def test_table_is_complete(brokers):
    """The broker, this file and docs/options.md know the same options."""
    line = brokers(options=[("nonsense", "x")]).wait_refusal()
    assert line.startswith("plugin_opt_nonsense 'x' is not an option; there are ")
    known = set(line.partition("there are ")[2].split(", "))
    assert known == set(OPTIONS)
    section = TABLE.read_text()
    assert set(re.findall(r"^\| `(\w+)`", section, re.MULTILINE)) == known
    # And the same ranges.
    rows = dict(re.findall(r"^\| `(\w+)`[^|]*\|(.*)", section, re.MULTILINE))
    for key, option in OPTIONS.items():
        bounds = re.search(r"from (\d+) to (\d+)", option.accepted)
        if bounds and key != "delivery_qos":  # which names each
            assert f" {bounds[1]} to {bounds[2]} " in rows[key]


def config(broker, *given: tuple[str, str]) -> str:
    """Without the options that the harness gives, where they are those under test."""
    lines = broker.config().splitlines()
    keys = {key for key, _ in given}
    lines = [one for one in lines if one.split(" ")[0].removeprefix("plugin_opt_") not in keys]
    return "\n".join([*lines, *(f"plugin_opt_{key} {value}" for key, value in given), ""])


@pytest.mark.parametrize("key", OPTIONS)
def test_malformed_or_out_of_range(brokers, key):
    option, broker = OPTIONS[key], brokers()
    for value in option.malformed + option.out_of_range:
        line = broker.wait_refusal(config(broker, (key, value)))
        # A long value is cut.
        assert line.startswith(f"plugin_opt_{key} '{value[:256]}' is not accepted; it takes ")
        assert option.accepted in line.partition("it takes ")[2]


@pytest.mark.parametrize("key", OPTIONS)
def test_given_twice(brokers, key):
    option, broker = OPTIONS[key], brokers()
    line = broker.wait_refusal(config(broker, (key, option.good), (key, option.good)))
    assert line.startswith(f"plugin_opt_{key} ")
    assert f"'{option.good}'" in line and option.twice in line


@pytest.mark.parametrize("key", OPTIONS)
def test_missing_value(brokers, key):
    """The broker itself does not take this; the plugin is not asked."""
    broker = brokers()
    broker.spawn(config(broker, (key, "")))
    assert broker.wait_end() > 0
    assert any(f"Empty '{key}' value" in line for line in broker.log()), broker.tail()


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ([("peer", f"{ID}@host:1"), ("deny_node", ID)], "deny_node"),
        ([("peer", f"{ID}@host:1"), ("allow_node", OTHER)], "allow_node"),
        ([("bootstrap", f"{ID}@host:1"), ("deny_node", ID)], "deny_node"),
        ([("bootstrap", f"{ID}@host:1"), ("allow_node", OTHER)], "allow_node"),
        ([("allow_node", ID), ("deny_node", ID)], "allow_node"),
    ],
    ids=[
        "peer-denied",
        "peer-not-allowed",
        "bootstrap-denied",
        "bootstrap-not-allowed",
        "allowed-and-denied",
    ],
)
def test_contradictions(brokers, given, named):
    line = brokers(options=given).wait_refusal()
    assert f"plugin_opt_{named}" in line and ID in line and "is not accepted" in line
    assert re.match(r"plugin_opt_(peer|bootstrap|deny_node) '", line)


def test_peer_and_bootstrap(brokers):
    """A peer is asked for others anyway: what else would be meant?"""
    options = [(key, f"{ID}@127.0.0.1:9") for key in ("peer", "bootstrap")]
    line = brokers(options=options).wait_refusal()
    assert line.startswith(f"plugin_opt_bootstrap '{ID}@...' is not accepted") and "peer" in line


@pytest.mark.parametrize("key", ["relay_token_file", "relay_ca"])
def test_relay_options_without_a_relay(brokers, key):
    """They would have no effect."""
    line = brokers(options=[(key, "/tmp/no.file")]).wait_refusal()
    assert line.startswith(f"plugin_opt_{key} '/tmp/no.file' is not accepted: ")
    assert "add plugin_opt_relay" in line


@pytest.mark.parametrize("key", ["bind", "advertise", "relay"])
def test_too_many(brokers, key):
    most = 16 if key == "bind" else 8
    scheme = "http://" if key == "relay" else ""
    values = [f"{scheme}127.0.0.1:{3000 + number}" for number in range(most + 1)]
    broker = brokers()
    line = broker.wait_refusal(config(broker, *((key, value) for value in values)))
    assert f"plugin_opt_{key} '{values[-1]}'" in line and f"at most {most}" in line
