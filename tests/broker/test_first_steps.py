# SPDX-License-Identifier: MIT OR Apache-2.0
"""What the documents tell a newcomer to type, and what the samples in conf/ have as comments."""

import re
import subprocess

import pytest

import settings
from documents import TREE, block
from identity import node_id, overlay, random_topic
from machine import FOR_THE_TEST, Machine
from ports import free_port

@pytest.mark.parametrize("early", [False, True], ids=["started", "made"])
def test_first_steps(brokers, net, early):
    """Two machines with Debian's own configuration; the node id after the start, or before."""
    a, b = (Machine(brokers(identity=False, host=host)) for host in net.hosts("ab"))
    made = a.type(block("docs/operating.md", "key")) if early else ""
    said = a.type(block("README.md", "on A"))
    found = re.findall(r"p2panda: node id ([0-9a-f]{64})$", said, re.MULTILINE)
    assert len(found) == 1 and made in ("", found[0])
    pem = a.broker.folder / "var/lib/mosquitto/p2panda/identity.pem"
    assert node_id(pem.read_bytes()) == found[0] and pem.stat().st_mode & 0o777 == 0o600
    on_b = block("README.md", "on B").replace("<node id of A>", found[0])
    b.type(on_b.replace("<host of A>", a.host.addresses[0]))
    subscribe, publish = block("README.md", "subscribe"), block("README.md", "publish")
    with subprocess.Popen(b.command(subscribe), stdout=subprocess.PIPE, text=True) as subscriber:
        try:
            a.type(publish)
            topic = subscribe.split()[-1]
            assert subscriber.stdout.readline() == f"{topic} hello\n"
            prefix = "$SYS/broker/p2panda"
            watch = b.command(f"exec mosquitto_sub -W 30 -t '{prefix}/state'")
            with subprocess.Popen(watch, stdout=subprocess.PIPE, text=True) as watcher:
                assert "joined\n" in iter(watcher.stdout.readline, "")
                watcher.terminate()
            said = b.type(block("docs/operating.md", "connected"))
            assert said == f"joined\n{prefix}/node/{found[0][:10]}/state online\n"
        finally:
            subscriber.terminate()
    # What is left is Debian's broker as it was.
    a.type(block("docs/operating.md", "uninstall").partition("sudo rm /usr/local")[0])
    assert not any("p2panda" in line for line in a.broker.log())


def test_the_file(tmp_path):
    """It lands where every configuration says that it is, whatever the version."""
    plugin = "/usr/local/lib/mosquitto_p2panda.so"
    command = block("README.md", "file")
    assert command.endswith(f" {plugin}\n") and f"plugin {plugin}\n" in block("README.md", "on A")
    (tmp_path / "mosquitto_p2panda-0.1.0-glibc-amd64.so").write_bytes(b"the plugin")
    command = command.replace(plugin, str(tmp_path / "installed.so")).replace("sudo ", "")
    subprocess.run(["sh", "-euc", command], cwd=tmp_path, check=True)
    assert (tmp_path / "installed.so").read_bytes() == b"the plugin"


def test_packages():
    """Those that a build needs are those that the tests' image has."""
    first = re.sub(r"\\\n", "", block("docs/building.md", "shared")).splitlines()[0]
    named = set(first.split()[3:])
    known = (TREE / "tests/packages.txt").read_text().split()
    assert {one for one in known if one.endswith("-dev") and one != "libclang-rt-dev"} - named == {
        "libcmocka-dev"
    }
    assert {"git", "openssl", "mosquitto", "mosquitto-clients", "cmake", "ninja-build"} <= named


# Looking up a bridge's address (getaddrinfo_a), stock Mosquitto crashes under libtsan.
@pytest.mark.no_tsan
def test_own_topic_names(brokers):
    """A bridge from the broker to itself, at two sites: once each way, and not round and round."""
    recipe = block("docs/topics.md", "own names")
    digits = re.search("p2panda/([0-9a-f]{64})", recipe)[1]
    a, b = brokers(), brokers()
    a.add_peer(b)
    for one in (a, b):
        assert "127.0.0.1:1883" in recipe
        bridge = recipe.replace("127.0.0.1:1883", f"127.0.0.1:{one.mqtt_port}")
        one.start(one.config() + bridge)
    a.wait_joined(digits), b.wait_joined(digits)
    at_a, at_b = a.client("home/light/set"), b.client("home/light/set")
    sent = []
    for number in range(10):
        for client, name in ((at_a, "a"), (at_b, "b")):
            sent.append(f"{name} {number}".encode())
            client.publish("home/light/set", sent[-1])
            for receiver in (at_a, at_b):
                receiver.wait_message("home/light/set", sent[-1])
    assert at_a.payloads("home/light/set") == at_b.payloads("home/light/set") == sent


def uncommented(text: str) -> str:
    """Settings that are comments: those without a space after the sign."""
    return re.sub(r"^#(?=[a-z])", "", text, flags=re.MULTILINE)


def test_clients_on_the_network(brokers):
    """The commented TLS block of with-peer.conf, and what it says to put into its files."""
    broker = brokers()
    text = (TREE / "conf/with-peer.conf").read_text()
    block = re.search(r"^#listener 8883\n(#\w.*\n)+", text, re.MULTILINE)[0]
    rules = re.search(r"/acl, .*\n#\n((#   .*\n)+)", text)[1]
    etc = broker.folder / "etc"
    (etc / "certs").mkdir(parents=True)
    (etc / "acl").write_text(re.sub(r"^#   ", "", rules, flags=re.MULTILINE))
    (etc / "acl").chmod(0o600)
    assert re.search(r"^#   mosquitto_passwd -c /etc/mosquitto/passwd alice$", text, re.MULTILINE)
    for command in (
        ["mosquitto_passwd", "-b", "-c", etc / "passwd", "alice", "secret"],
        ["openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-subj", "/CN=localhost"]
        + ["-keyout", etc / "certs/server.key", "-out", etc / "certs/server.crt"],
    ):
        subprocess.run(command, check=True, capture_output=True)
    port = free_port()
    text = text.replace(block, uncommented(block).replace("8883", f"{port} 127.0.0.1"))
    for old, new in {
        "listener 1883": f"listener {broker.mqtt_port}",
        "/var/lib/mosquitto/p2panda": str(broker.state_dir),
        "/var/lib/mosquitto": str(broker.folder),
        "/etc/mosquitto": str(etc),
        "/usr/local/lib/mosquitto_p2panda.so": str(settings.plugin()),
        "0.0.0.0:2022": broker.address(),
    }.items():
        assert old in text
        text = text.replace(old, new)
    broker.start(text + FOR_THE_TEST)
    topic = overlay(random_topic())
    here = broker.client(topic, "house")
    publish = ["mosquitto_pub", "-p", str(port), "--cafile", str(etc / "certs/server.crt")]
    alice = ["-h", "localhost", "-q", "1", "-V", "5", "-u", "alice", "-P", "secret"]
    for name, payload in ((topic, "allowed"), ("house", "denied"), (topic, "again")):
        subprocess.run([*publish, *alice, "-t", name, "-m", payload], check=False, timeout=20)
    here.wait_message(topic, b"again")
    assert here.payloads(topic) == [b"allowed", b"again"] and here.payloads("house") == []
    stranger = subprocess.run(
        [*publish, "-h", "localhost", "-t", topic, "-m", "stranger"], check=False, timeout=20,
        capture_output=True, text=True,
    )  # fmt: skip
    assert stranger.returncode != 0 and "not authorised" in stranger.stderr
