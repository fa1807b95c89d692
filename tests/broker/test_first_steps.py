# SPDX-License-Identifier: MIT OR Apache-2.0
"""What the README tells a newcomer to type, and what the samples in conf/ have as comments."""

import pathlib
import re
import subprocess

import pytest

import settings
from broker import Broker
from identity import node_id, overlay, random_topic
from ports import free_port

TREE = pathlib.Path(__file__).resolve().parents[2]
RESTART = "sudo systemctl restart mosquitto\n"

# /etc/mosquitto/mosquitto.conf of Debian forky without its comments. It comes before conf.d, and
# a broker that is root would give itself away.
DEBIANS = """
persistence true
persistence_location /var/lib/mosquitto/

log_dest file /var/log/mosquitto/mosquitto.log

include_dir /etc/mosquitto/conf.d
"""
FOR_THE_TEST = "user root\nlog_dest stderr\n"


def blocks(heading: str) -> list[str]:
    """The code blocks of a section of the README."""
    section = re.split(r"^##+ ", (TREE / "README.md").read_text(), flags=re.MULTILINE)
    text = next(one for one in section if one.startswith(heading + "\n"))
    return re.findall(r"^```\w*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


class Machine:
    """A Debian machine of its own: its folders are below that of the broker."""

    def __init__(self, broker: Broker):
        self.broker, self.host = broker, broker.host
        for folder in ("etc/mosquitto/conf.d", "var/lib/mosquitto", "var/log/mosquitto", "bin"):
            (broker.folder / folder).mkdir(parents=True)
        # The test has the rights that it needs, and the firewall is not what it is about.
        self._program("sudo", '[ "$1" != -u ] || shift 2\nexec "$@"')
        self._program("ufw", '[ "$*" = "allow 2022/udp" ]')

    def _program(self, name: str, text: str):
        path = self.broker.folder / "bin" / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def _adapted(self, text: str) -> str:
        text = re.sub(r"/(etc|var/lib|var/log)/mosquitto", rf"{self.broker.folder}/\1/mosquitto", text)
        return text.replace("/usr/local/lib/mosquitto_p2panda.so", str(settings.plugin()))

    def restart(self):
        if self.broker.process:
            self.broker.stop()
        self.broker.spawn(self._adapted(FOR_THE_TEST + DEBIANS))
        self.broker.wait_log("mosquitto version .* running")

    def command(self, text: str) -> list[str]:
        path = f"PATH={self.broker.folder}/bin:$PATH:/usr/sbin\n"
        return self.host.command("sh", "-euc", path + self._adapted(text))

    def type(self, text: str) -> str:
        """Runs a block; returns what it prints."""
        printed = ""
        for number, part in enumerate(text.split(RESTART)):
            if number > 0:
                self.restart()
            done = subprocess.run(self.command(part), capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            printed += done.stdout
        return printed


@pytest.mark.parametrize("early", [False, True], ids=["started", "made"])
def test_first_steps(brokers, net, early):
    """Two machines with Debian's own configuration; the node id after the start, or before."""
    _, on_a, on_b, subscribe, publish, key, uninstall = blocks("Into your own broker")
    a, b = (
        Machine(brokers(identity=False, host=host))
        for host in net.hosts("ab")
    )
    made = a.type(key) if early else ""
    found = re.findall(r"p2panda: node id ([0-9a-f]{64})$", a.type(on_a), re.MULTILINE)
    assert len(found) == 1 and made in ("", found[0])
    pem = a.broker.folder / "var/lib/mosquitto/p2panda/identity.pem"
    assert node_id(pem.read_bytes()) == found[0] and pem.stat().st_mode & 0o777 == 0o600
    b.type(on_b.replace("<node id of A>", found[0]).replace("<host of A>", a.host.addresses[0]))
    with subprocess.Popen(b.command(subscribe), stdout=subprocess.PIPE, text=True) as subscriber:
        try:
            a.type(publish)
            topic = subscribe.split()[-1]
            assert subscriber.stdout.readline() == f"{topic} hello\n"
        finally:
            subscriber.terminate()
    # What is left is Debian's broker as it was.
    a.type(uninstall.partition("sudo rm /usr/local")[0])
    assert not any("p2panda" in line for line in a.broker.log())


def test_packages():
    """Those that the README names are those that a build and the examples need."""
    named = set(re.sub(r"\\\n", "", blocks("Building it")[0]).splitlines()[0].split()[3:])
    known = (TREE / "tests/packages.txt").read_text().split()
    assert {one for one in known if one.endswith("-dev") and one != "libclang-rt-dev"} - named == {
        "libcmocka-dev"
    }
    assert {"git", "openssl", "mosquitto", "mosquitto-clients", "cmake", "ninja-build"} <= named


# Looking up a bridge's address (getaddrinfo_a), stock Mosquitto crashes under libtsan.
@pytest.mark.no_tsan
def test_own_topic_names(brokers):
    """A bridge from the broker to itself, at two sites: once each way, and not round and round."""
    (recipe,) = blocks("Your own topic names")
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
