# SPDX-License-Identifier: MIT OR Apache-2.0
"""Options that are wrong end the broker with one line; defaults work."""

import socket
import stat
import subprocess

import pytest

from identity import invented_node, node_id, overlay, random_topic

ID = "ab" * 32


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([("nonsense", "1")], ["nonsense", "state_dir", "peer", "bind"]),
        ([("queue_age", "soon")], ["queue_age", "'soon'", "seconds from 1 to 3600"]),
        ([("queue_age", "0")], ["queue_age", "'0'", "from 1 to 3600"]),
        ([("queue_age", "99999999999999999999")], ["queue_age", "from 1 to 3600"]),
        ([("delivery_qos", "3")], ["delivery_qos", "'3'", "from 0 to 2"]),
        ([("delivery_qos", "-1")], ["delivery_qos", "'-1'", "from 0 to 2"]),
        ([("network_id", ID[:-1])], ["network_id", f"'{ID[:-1]}'", "64 lower-case hex digits"]),
        ([("network_id", ID.upper())], ["network_id", "64 lower-case hex digits"]),
        ([("topic", "hello")], ["topic", "'hello'", "64 lower-case hex digits"]),
        ([("topic", ID), ("topic", ID)], ["topic", ID, "once"]),
        ([("bind", "127.0.0.1")], ["bind", "'127.0.0.1'", "<port>"]),
        ([("bind", "localhost:2022")], ["bind", "'localhost:2022'", "<IPv4 address>"]),
        ([("bind", "127.0.0.1:65536")], ["bind", "'127.0.0.1:65536'", "<port>"]),
        ([("peer", ID)], ["peer", ID, "@<host>:<port>"]),
        ([("peer", f"{ID}@host")], ["peer", f"{ID}@host", "@<host>:<port>"]),
        ([("peer", f"{ID}@host:0")], ["peer", f"{ID}@host:0", "@<host>:<port>"]),
        ([("peer", "host:2022")], ["peer", "'host:2022'", "@<host>:<port>"]),
        ([("bootstrap", ID)], ["bootstrap", ID, "@<host>:<port>"]),
        ([("bootstrap", "host:2022")], ["bootstrap", "'host:2022'", "@<host>:<port>"]),
        ([("mdns", "on")], ["mdns", "'on'", "off", "passive", "active"]),
        ([("log_level", "loud")], ["log_level", "'loud'", "debug", "error"]),
        ([("queue_limit", "1"), ("queue_limit", "2")], ["queue_limit", "'2'", "once"]),
        ([("state_dir", "here")], ["state_dir", "'here'", "absolute path"]),
        ([("identity_file", "key.pem")], ["identity_file", "'key.pem'", "absolute path"]),
    ],
    ids=lambda value: "-".join(f"{k}={v[:12]}" for k, v in value)
    if value and isinstance(value[0], tuple)
    else "",
)
def test_wrong_option(brokers, options, said):
    line = brokers(options=options).wait_refusal()
    for part in said:
        assert part in line


def test_state_dir_is_missing(brokers):
    broker = brokers()
    config = broker.config().replace(f"plugin_opt_state_dir {broker.state_dir}\n", "")
    line = broker.wait_refusal(config)
    assert "state_dir" in line and "persistence_location" in line


def test_state_dir_cannot_be_made(brokers):
    broker = brokers(options=[("state_dir", "/proc/p2panda")])
    assert "/proc/p2panda" in broker.wait_refusal()


def test_port_is_taken(brokers):
    broker = brokers()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", broker.quic_port))
        assert broker.address() in broker.wait_refusal()


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o620])
def test_identity_that_others_can_reach(brokers, mode):
    broker = brokers()
    path = broker.state_dir / "identity.pem"
    path.chmod(mode)
    line = broker.wait_refusal()
    assert str(path) in line and "0600" in line


def test_identity_that_is_none(brokers):
    broker = brokers()
    path = broker.state_dir / "identity.pem"
    path.write_text("hello\n")
    assert str(path) in broker.wait_refusal()
    assert path.read_text() == "hello\n"


def test_identity_behind_a_link(brokers):
    """As a mounted secret is: where nobody else could change the link."""
    broker = brokers()
    path = broker.state_dir / "identity.pem"
    path.rename(broker.state_dir / "other.pem")
    path.symlink_to("other.pem")
    id = broker.id
    assert broker.start().id == id


@pytest.mark.parametrize("key", ["peer", "bootstrap"])
def test_own_id_as_peer(brokers, key):
    broker = brokers()
    broker.options.append((key, f"{broker.id}@{broker.address()}"))
    assert "own id" in broker.wait_refusal()


@pytest.mark.parametrize("key", ["peer", "bootstrap"])
@pytest.mark.parametrize("id", ["00" * 32, "02" + "00" * 31], ids=["anybody's", "nobody's"])
def test_no_key_as_peer(brokers, key, id):
    """It could never prove to be this node."""
    line = brokers(options=[(key, f"{id}@127.0.0.1:9")]).wait_refusal()
    assert line.startswith(f"plugin_opt_{key} '{id}@...' is not accepted: this is no node's id")


def test_loaded_twice(brokers):
    broker = brokers()
    config = broker.config()
    plugin = config[config.index("plugin ") :]
    broker.spawn(config + plugin)
    assert broker.wait_end() > 0
    assert any("loaded already" in line for line in broker.our_log())


def test_identity_is_made_once(brokers):
    broker = brokers(identity=False)
    broker.start()
    path = broker.state_dir / "identity.pem"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    pem = path.read_bytes()
    assert broker.id == node_id(pem)
    assert any(line == f"node id {broker.id}" for line in broker.our_log())
    broker.stop()
    broker.start()
    assert path.read_bytes() == pem
    assert broker.status()["node_id"] == node_id(pem)


def test_identity_file_elsewhere(brokers, tmp_path):
    path = tmp_path / "key.pem"
    broker = brokers(identity=False, options=[("identity_file", str(path))])
    broker.start()
    assert broker.id == node_id(path.read_bytes())
    assert not (broker.state_dir / "identity.pem").exists()


def test_state_dir_below_persistence_location(brokers, tmp_path):
    broker = brokers(identity=False, lines=[f"persistence_location {tmp_path}/"])
    config = broker.config().replace(f"plugin_opt_state_dir {broker.state_dir}\n", "")
    broker.start(config)
    assert broker.id == node_id((tmp_path / "p2panda" / "identity.pem").read_bytes())


# Nobody listens there.
RELAY = ("relay", "http://127.0.0.1:9")


@pytest.fixture
def file(tmp_path):
    """Makes a file with this text and mode; returns its path."""

    def make(text: str, mode: int = 0o600) -> str:
        path = tmp_path / "file"
        path.write_text(text)
        path.chmod(mode)
        return str(path)

    return make


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o620])
def test_token_that_others_can_reach(brokers, file, mode):
    path = file("s3cret\n", mode)
    line = brokers(options=[RELAY, ("relay_token_file", path)]).wait_refusal()
    assert line.startswith(f"relay_token_file {path} has mode {mode:04o}: others may use it")
    assert "0600 or 0400" in line


@pytest.mark.parametrize("text", ["", "two\nlines\n", "x" * 512], ids=["empty", "lines", "long"])
def test_token_that_is_none(brokers, file, text):
    path = file(text)
    line = brokers(options=[RELAY, ("relay_token_file", path)]).wait_refusal()
    assert line.startswith(f"relay_token_file {path} is not a token; accepted: one line")
    assert "at most 511" in line and (not text or text[:10] not in line)


def test_token_that_is_missing(brokers, tmp_path):
    path = tmp_path / "nothing"
    line = brokers(options=[RELAY, ("relay_token_file", str(path))]).wait_refusal()
    assert line == f"relay_token_file {path} cannot be read: No such file or directory"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hello\n", " holds no certificate"),
        ("\n-----BEGIN PRIVATE KEY-----\naGVsbG8=\n-----END PRIVATE KEY-----\n",
         ", line 2: a PEM block 'PRIVATE KEY'"),
        ("-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n",
         ", line 1: a damaged certificate"),
    ],
    ids=["text", "key", "damaged"],
)
def test_authorities_that_are_none(brokers, file, text, said):
    path = file(text)
    line = brokers(options=[RELAY, ("relay_ca", path)]).wait_refusal()
    assert line.startswith(f"relay_ca {path}{said}; accepted: certificates in PEM")


def test_relays(brokers, file, tmp_path):
    """All that can be said of relays; none of them has to be there."""
    ca = tmp_path / "ca.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-subj", "/CN=relay",
         "-keyout", "/dev/null", "-out", str(ca)],
        check=True, capture_output=True,
    )
    peer = invented_node().hex()
    broker = brokers(
        options=[
            ("relay", "https://relay.example.org"),
            RELAY,
            ("relay_token_file", file("s3cret\n")),
            ("relay_ca", str(ca)),
            ("relay_dial", "any"),
            ("peer", f"{peer}@http://[::1]:9,127.0.0.1:9,https://relay.example.org"),
        ]
    )
    broker.start()
    topic = overlay(random_topic())
    client = broker.client(topic)
    client.publish(topic, b"hello")
    client.wait_message(topic, b"hello")
    status = broker.status()
    assert status["relay/url"] == "https://relay.example.org/"
    assert status["relay/state"] == "connecting"
    assert status["neighbours/relayed"] == "0"
    # Once, of the first of them.
    said = [line for line in broker.our_log() if "without TLS" in line]
    assert len(said) == 1 and "http://127.0.0.1:9/" in said[0] and "token" in said[0]
    assert not any("s3cret" in line for line in broker.our_log())


@pytest.mark.parametrize("key", ["peer", "bootstrap"])
def test_plain_relay_of_another_node(brokers, key):
    broker = brokers(options=[(key, f"{invented_node().hex()}@http://127.0.0.1:9")])
    broker.start()
    said = [line for line in broker.our_log() if "without TLS" in line]
    assert len(said) == 1 and "http://127.0.0.1:9/" in said[0] and "token" not in said[0]
    # It is not this node that is reached there.
    assert not {"relay/url", "relay/state"} & set(broker.status())


def test_encrypted_relays(brokers):
    """Of them nothing is said."""
    broker = brokers(options=[("relay", "https://127.0.0.1:9")])
    broker.start()
    assert not any("without TLS" in line for line in broker.our_log())


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_delivery_qos(brokers, qos):
    a, b = brokers(), brokers(options=[("delivery_qos", str(qos))])
    a.add_peer(b)
    a.start(), b.start()
    topic = overlay(random_topic())
    receiver = b.client(topic, qos=2)
    a.client().publish(topic, b"hello")
    assert receiver.wait_message(topic, b"hello").qos == qos
