# SPDX-License-Identifier: MIT OR Apache-2.0
"""Real p2panda-net nodes (see peer.rs) as objects for the tests. Needs tests/harness on sys.path.

    with RustPeer("06") as a, RustPeer("071") as b:
        connect(a, b, topic)
        a.publish(topic, b"hello")
        b.wait_message(topic, b"hello")

child.py has what is said of every such process.
"""

import os
import secrets

from child import DEFAULT_TIMEOUT, Child, PeerError, PeerTimeout  # noqa: F401
from netns import PORT
from ports import free_port

# What tests are repeated with: by default one of each dialect of gossip...
GENERATIONS = tuple(os.environ.get("P2PANDA_GENERATIONS", "06 071").split())
# ... and of discovery, of which there are three. (0.5's is 0.6's but for one place; its peer is
# built by name only.)
DIALECTS = ("06", "07", "071", *({"05"} & set(GENERATIONS)))


def random_topic():
    return secrets.token_hex(32)


class RustPeer(Child):
    """One peer process.

    generation  "06", "07", "071" or "05"
    secret      64 hex digits (default: random); the same one makes the same node again
    network     64 hex digits (default: p2panda's own)
    bind4       "127.0.0.1:PORT" (default: loopback, a free port)
    bind6       "[::1]:PORT" (default: loopback, any port)
    host        where it runs, see netns.py (default: here); bound to all its addresses there
    discovery   also run the discovery protocol
    walkers     how many look for nodes at a time; 0: it only answers
    mdns        None, "active" or "passive"
    relays      URLs, of which it chooses its home
    log         upstream's log on stderr, such as "iroh_gossip=debug"
    """

    def __init__(
        self,
        generation,
        secret=None,
        network=None,
        bind4=None,
        bind6=None,
        discovery=False,
        walkers=None,
        mdns=None,
        log=None,
        timeout=DEFAULT_TIMEOUT,
        host=None,
        relays=(),
    ):
        self.generation = generation
        self.secret = secret or secrets.token_hex(32)
        self.network = network
        if host is not None:
            bind4, bind6 = f"0.0.0.0:{PORT}", bind6 or f"[::]:{PORT}"
        self.bind4 = bind4 or f"127.0.0.1:{free_port()}"
        args = ["--secret", self.secret, "--bind4", self.bind4]
        if network:
            args += ["--network", network]
        if bind6:
            args += ["--bind6", bind6]
        if discovery:
            args += ["--discovery"]
        if walkers is not None:
            args += ["--walkers", str(walkers)]
        if mdns:
            args += ["--mdns", mdns]
        for url in relays:
            args += ["--relay", url]
        super().__init__(f"peer{generation}", args, log, timeout, host)
        self.addresses = self.ready["addresses"]

    def node(self, peer_id, *addresses, bootstrap=False):
        """addresses: IP:PORT, or the URL of the relay that it is at."""
        words = ["node", peer_id, ",".join(addresses)]
        self.command(*words, *(["bootstrap"] if bootstrap else []))

    def interest(self, peer_id, topic):
        self.command("interest", peer_id, topic)

    def forget(self, peer_id, topic):
        self.command("forget", peer_id, topic)

    def join(self, topic):
        self.command("join", topic)

    def rejoin(self, topic):
        self.command("rejoin", topic)

    def leave(self, topic):
        self.command("leave", topic)

    def publish(self, topic, data):
        """Upstream keeps up to 128 until the topic is joined, see the event "published"."""
        return self.command("publish", topic, data.hex())

    def burst(self, topic, count, interval_us=0, size=64, start=0):
        """Starts a burst; returns its number for wait_burst()."""
        return self.command("burst", topic, count, interval_us, size, start)

    def wait_burst(self, number, timeout=None):
        done = self.wait("burst_done", timeout, n=number)
        if done["error"]:
            raise PeerError(f"burst: {done['error']}")
        return done

    def count(self, topic):
        return self.wait("count", n=self.command("count", topic))

    def info(self):
        self.command("info")
        return self.wait("info")

    # -- the address book and discovery --------------------------------------

    def book(self):
        """What it knows of every node, by id: bootstrap, stale, topics (a list), transports
        (None, or kind "trusted" or "authenticated", timestamp, addresses, relays)."""
        found = self.wait("book", n=self.command("book"))
        return {node["node"]: node for node in found["nodes"]}

    def watch(self, peer_id):
        """From now on, and for what is known now: the events "node" (as in book(), without
        topics; "known": false for nothing) and "node_topics". Becoming stale is none."""
        self.command("watch", peer_id)

    def watch_topic(self, topic):
        """From now on, and for what is known now: the event "topic_nodes"."""
        self.command("watch_topic", topic)

    def wait_knows(self, peer_id, check, timeout=None):
        """Waits until check(transports) of a watched node is true; returns the transports."""

        def known():
            for event in self._events["node"]:
                if event["node"] == peer_id and event["transports"] and check(event["transports"]):
                    return event["transports"]
            return None

        return self._await(known, timeout, f"such transports of {peer_id[:8]}")

    def wait_topic_nodes(self, topic, peer_id, timeout=None):
        """Waits until the node is known to have the watched topic."""

        def known():
            sets = [event for event in self._events["topic_nodes"] if event["topic"] == topic]
            return sets and peer_id in sets[-1]["nodes"]

        self._await(known, timeout, f"{peer_id[:8]} at {topic[:8]}")

    def wait_session(self, peer_id, timeout=None, **match):
        """Waits for a discovery session with the node that ended well, and takes it: topics,
        transports (by node id), role ("initiated" or "accepted")."""
        return self.wait("discovery_ended", timeout, node=peer_id, **match)

    def report(self, peer_id, well):
        """As a connection to that node would that went well, or failed (it is stale then)."""
        self.command("report", peer_id, "ok" if well else "failed")

    def discovered(self):
        """Discovery sessions so far: failed, successful, new_transports."""
        return self.wait("discovered", n=self.command("discovered"))

    def __repr__(self):
        return f"<RustPeer {self.generation} {self.id[:8]} {self.bind4}>"


def introduce(a, b):
    """Tells two peers each other's addresses."""
    a.node(b.id, b.bind4)
    b.node(a.id, a.bind4)


def connect(a, b, topic, timeout=None):
    """Introduces two peers, joins both to the topic and waits until they are neighbours."""
    introduce(a, b)
    for one, other in ((a, b), (b, a)):
        one.interest(other.id, topic)
        one.join(topic)
    for one in (a, b):
        one.wait("joined", timeout, topic=topic)
