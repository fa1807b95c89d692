# SPDX-License-Identifier: MIT OR Apache-2.0
"""Real applications on the crate p2panda, its Node API (see app.rs), as objects for the tests.

    with Application("06") as a, Application("071") as b:
        broker.add_peer(a.id, a.bind4), broker.add_peer(b.id, b.bind4)
        a.open(topic, "text"), b.open(topic, "text")
        a.publish(topic, "hello")
        b.wait_message(topic, "hello")

An application is dialled, it cannot be told where others are, but for the relay. What it is published and receives
are values of JSON; child.py has what is said of every such process. One message that it refuses
(the event "refused", with the reason), or too many at once, and it hears no more: upstream.
"""

import json
import re
import secrets
import subprocess

from child import DEFAULT_TIMEOUT, Child, binary
from netns import PORT
from ports import free_port

APPLICATIONS = ("06", "071")


class Application(Child):
    """One application.

    generation  "06" or "071"
    secret      64 hex digits (default: random); the same one makes the same node again
    network     64 hex digits (default: p2panda's own)
    bind4       "127.0.0.1:PORT" (default: loopback, a free port)
    mdns        None, "active" or "passive"
    host        where it runs, see netns.py (default: here); bound to all its addresses there
    relays      URLs, of which it chooses its home
    bootstraps  (node id, relay URL) pairs
    log         upstream's log on stderr, such as "p2panda_net=debug"
    """

    def __init__(
        self,
        generation,
        secret=None,
        network=None,
        bind4=None,
        mdns=None,
        log=None,
        timeout=DEFAULT_TIMEOUT,
        host=None,
        relays=(),
        bootstraps=(),
    ):
        self.generation = generation
        self.secret = secret or secrets.token_hex(32)
        if host is not None:
            bind4 = f"0.0.0.0:{PORT}"
        self.bind4 = bind4 or f"127.0.0.1:{free_port()}"
        args = ["--secret", self.secret, "--bind4", self.bind4]
        if network:
            args += ["--network", network]
        if mdns:
            args += ["--mdns", mdns]
        for url in relays:
            args += ["--relay", url]
        for id, url in bootstraps:
            args += ["--bootstrap", f"{id}@{url}"]
        super().__init__(f"app{generation}", args, log, timeout, host)

    def _data(self, event):
        return event.pop("value")

    def open(self, topic, type):
        """Joins the topic's overlay, with a type of app.rs. messages() and records() (also with
        author: 64 hex digits, and time: microseconds) have what arrives."""
        self.command("open", topic, type)

    def publish(self, topic, value):
        """Upstream keeps up to 128 until the topic is joined, see the event "published"."""
        return self.command("publish", topic, json.dumps(value, allow_nan=False))

    def close_topic(self, topic):
        self.command("close", topic)

    def bootstrap(self, id, url):
        """A node to begin with, and the relay that it is at."""
        self.command("bootstrap", id, url)

    def wait_refused(self, timeout=None):
        """Waits until upstream has refused a message (it is deaf then); returns the reason."""
        return self.wait("refused", timeout)["reason"]

    def __repr__(self):
        return f"<Application {self.generation} {self.id[:8]} {self.bind4}>"


class Example:
    """examples/application, as it is for people: it says one line when it is ready, then one for
    each message; what is typed are numbers."""

    def __init__(self, topic):
        port = free_port()
        self.bind4 = f"127.0.0.1:{port}"
        self.process = subprocess.Popen(
            [binary("application"), topic, str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        ready = re.fullmatch(r"this is (\w{64}), at (.*)\n", self.process.stdout.readline())
        assert ready and ready[2] == f"p2panda/{topic}/ephemeral/json"
        self.id = ready[1]

    def type(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def next_line(self):
        """What it says next of a message: author and value. Waits as long as the test may take."""
        return self.process.stdout.readline().rstrip("\n")

    def kill(self):
        self.process.kill()
        self.process.communicate()
