# SPDX-License-Identifier: MIT OR Apache-2.0
"""A site: a machine of its own (netns.py) with a sample of conf/, as people set it up."""

import re
import subprocess

from documents import TREE, block
from identity import node_id, overlay, random_topic
from machine import Machine

EXAMPLE_ID = "b936a1abe9992128bfe7730c32d22f22be048c997db703b3a0df961a673f8485"
EXAMPLE_HOST = "broker.example.org:2022"


def read(name: str) -> str:
    return (TREE / "conf" / name).read_text()


class Site:
    """A machine with a key; sample: the name of its configuration."""

    def __init__(self, broker):
        self.machine = Machine(broker)
        self.broker, self.host = broker, broker.host
        self.machine.type(block("docs/operating.md", "key"))
        key = broker.folder / "var/lib/mosquitto/p2panda/identity.pem"
        self.id = node_id(key.read_bytes())
        self.where = self.host.address()

    def start(self, sample: str, other: "Site | None" = None, **more: str):
        """The sample, which names the other site where it names one."""
        text = read(sample)
        if other:
            assert EXAMPLE_ID in text
            text = text.replace(EXAMPLE_ID, other.id).replace(EXAMPLE_HOST, other.where)
        for old, new in more.items():
            assert old in text
            text = text.replace(old, new)
        self.machine.start(text)
        assert self.broker.wait_log("p2panda: node id ([0-9a-f]{64})$")[1] == self.id

    def make_files(self, sample: str):
        """Passwords (secret, for each user) and rights that the sample's comments give."""
        text = read(sample)
        command = re.search(r"^#   (mosquitto_passwd -c \S+ \w+)$", text, re.MULTILINE)[1]
        users = [command.split()[-1], *re.findall(r"^#   user (\w+)$", text, re.MULTILINE)]
        for number, user in enumerate(dict.fromkeys(users)):
            typed = command.replace("-c", "-b -c" if number == 0 else "-b")
            self.machine.type(f"{typed.rpartition(' ')[0]} {user} secret")
        rights = re.findall(r"^#   ((?:user|topic) .*)$", text, re.MULTILINE)
        if rights:
            acl = self.broker.folder / "etc/mosquitto/acl"
            acl.write_text("\n".join([*rights, ""]))
            acl.chmod(0o600)

    def make_certificate(self):
        folder = self.broker.folder / "etc/mosquitto/certs"
        folder.mkdir()
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-subj", "/CN=localhost"]
            + ["-keyout", folder / "server.key", "-out", folder / "server.crt"],
            check=True,
            capture_output=True,
        )

    def hear(self, topic: str, count: int = 1, login: str = "") -> subprocess.Popen:
        """A subscriber, once the broker has it."""
        command = f"exec mosquitto_sub {login} -C {count} -W 30 -t '{topic}'"
        started = subprocess.Popen(self.machine.command(command), stdout=subprocess.PIPE, text=True)
        self.broker.wait_log(rf" \d {re.escape(topic)}$")
        return started

    def say(self, topic: str, payload: str, login: str = ""):
        self.machine.type(f"mosquitto_pub {login} -q 1 -t '{topic}' -m '{payload}'")

    def status(self, topic: str, login: str = "") -> str:
        full = f"$SYS/broker/p2panda/{topic}"
        return self.machine.type(f"mosquitto_sub {login} -C 1 -W 30 -t '{full}'").strip()

    def wait_counted(self, topic: str, login: str = ""):
        command = f"exec mosquitto_sub {login} -W 30 -t '$SYS/broker/p2panda/{topic}'"
        with subprocess.Popen(
            self.machine.command(command), stdout=subprocess.PIPE, text=True
        ) as subscriber:
            found = next((line for line in subscriber.stdout if int(line) > 0), None)
            subscriber.terminate()
        assert found, self.broker.tail()


def exchange(a: Site, b: Site, topic: str | None = None, login: str = "", count: int = 1):
    """Both hear what the other one says. (It waits for a neighbour, and so for the subscriber.)"""
    topic = topic or overlay(random_topic())
    for sender, receiver in ((a, b), (b, a)):
        with receiver.hear(topic, count, login) as subscriber:
            sender.say(topic, f"from {sender.host.name}", login)
            if count > 1:
                sender.say(topic, f"from {sender.host.name}", login)
            heard = subscriber.communicate(timeout=60)[0]
        assert heard == f"from {sender.host.name}\n" * count, sender.broker.tail()
