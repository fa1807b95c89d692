# SPDX-License-Identifier: MIT OR Apache-2.0
"""Real p2panda nodes (see peer.rs) as objects for the tests. Needs tests/harness on sys.path.

    with RustPeer("06") as a, RustPeer("071") as b:
        connect(a, b, topic)
        a.publish(topic, b"hello")
        b.wait_message(topic, b"hello")

Commands wait for their answer and raise PeerError when it is an error; waits raise
PeerTimeout, which shows the last lines of the peer.
"""

import collections
import contextlib
import json
import os
import pathlib
import secrets
import signal
import subprocess
import threading
import time

from netns import PORT
from ports import free_port

HERE = pathlib.Path(__file__).resolve().parent
# What tests are repeated with: by default one of each dialect of gossip...
GENERATIONS = tuple(os.environ.get("P2PANDA_GENERATIONS", "06 071").split())
# ... and of discovery, of which there are three.
DIALECTS = ("06", "07", "071")
DEFAULT_TIMEOUT = 20.0


class PeerError(RuntimeError):
    """The peer refused a command or has ended."""


class PeerTimeout(AssertionError):
    """The awaited did not happen in time."""


def binary(generation):
    """The path of a generation's binary, which need not exist."""
    if "P2PANDA_PEER_DIR" in os.environ:
        directory = pathlib.Path(os.environ["P2PANDA_PEER_DIR"])
    else:
        target = os.environ.get("CARGO_TARGET_DIR", HERE / ".build")
        directory = pathlib.Path(target) / "debug"
    return directory / f"peer{generation}"


def random_topic():
    return secrets.token_hex(32)


class RustPeer:
    """One peer process.

    generation  "06", "07" or "071"
    secret      64 hex digits (default: random); the same one makes the same node again
    network     64 hex digits (default: p2panda's own)
    bind4       "127.0.0.1:PORT" (default: loopback, a free port)
    bind6       "[::1]:PORT" (default: loopback, any port)
    host        where it runs, see netns.py (default: here); bound to all its addresses there
    discovery   also run the discovery protocol
    walkers     how many look for nodes at a time; 0: it only answers
    mdns        None, "active" or "passive"
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
    ):
        self.generation = generation
        self.secret = secret or secrets.token_hex(32)
        self.network = network
        self.host = host
        if host is not None:
            bind4, bind6 = f"0.0.0.0:{PORT}", bind6 or f"[::]:{PORT}"
        self.bind4 = bind4 or f"127.0.0.1:{free_port()}"
        self.timeout = timeout
        path = binary(generation)
        if not path.exists():
            raise PeerError(f"{path} is missing: run tests/interop/build.sh")
        args = [str(path), "--secret", self.secret, "--bind4", self.bind4]
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
        if host is not None:
            args = host.command(*args)
        environment = dict(os.environ)
        if log:
            environment["PEER_LOG"] = log

        # All below is guarded by _changed.
        self._changed = threading.Condition()
        self._events = collections.defaultdict(collections.deque)
        self._messages = collections.defaultdict(list)
        self._answers = {}
        self._lagged = []
        self._last = collections.deque(maxlen=30)
        self._ended = False

        self._sending = threading.Lock()
        self._sent = 0
        self.process = subprocess.Popen(
            args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            self.ready = self._await(self._take_ready, timeout, "ready")
        except BaseException:
            self.kill()
            raise
        self.id = self.ready["id"]
        self.addresses = self.ready["addresses"]

    # -- reading -------------------------------------------------------------

    def _read(self):
        for line in self.process.stdout:
            try:
                event = json.loads(line)
            except ValueError:
                event = {"event": "garbage", "line": repr(line)}
            event["_received"] = time.monotonic()
            kind = event.get("event")
            with self._changed:
                if kind == "message":
                    event["data"] = bytes.fromhex(event.pop("hex"))
                    self._messages[event["topic"]].append(event)
                else:
                    self._last.append(line.decode(errors="replace").strip()[:300])
                if kind == "lagged":
                    self._lagged.append(event)
                if kind == "ok" or (kind == "error" and event["n"] not in self._answers):
                    self._answers[event["n"]] = event
                if kind not in ("message", "ok"):
                    self._events[kind].append(event)
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def describe(self):
        """What a failure should tell of the peer."""
        with self._changed:
            lines = "\n  ".join(self._last)
            counts = {topic[:8]: len(found) for topic, found in self._messages.items()}
            lost = collections.Counter()
            for one in self._lagged:
                lost[f"channel of {one['channel']}"] += one["count"] or 1
            return (
                f"peer {self.generation} said last:\n  {lines}\n  messages: {counts}\n"
                f"  dropped by upstream inside itself: {dict(lost) or 'nothing'}"
            )

    def _await(self, check, timeout, what):
        """Waits until check(), called with the lock held, returns something true."""
        limit = time.monotonic() + (self.timeout if timeout is None else timeout)
        with self._changed:
            while True:
                found = check()
                if found:
                    return found
                if self._ended:
                    raise PeerError(f"ended while waiting for {what}; {self.describe()}")
                left = limit - time.monotonic()
                if left <= 0:
                    raise PeerTimeout(f"no {what}; {self.describe()}")
                self._changed.wait(left)

    def _take_ready(self):
        if self._events["error"]:
            raise PeerError(self._events["error"][0]["reason"])
        return self._take("ready", {})

    def _take(self, kind, match):
        waiting = self._events[kind]
        for event in waiting:
            if all(event.get(key) == value for key, value in match.items()):
                waiting.remove(event)
                return event
        return None

    # -- waiting -------------------------------------------------------------

    def wait(self, event, timeout=None, **match):
        """Waits for an event that has these fields, and takes it: each is returned once."""
        return self._await(lambda: self._take(event, match), timeout, f"{event} {match}")

    def events(self, event, **match):
        """The events of this kind that nobody has taken yet."""
        with self._changed:
            return [
                found
                for found in self._events[event]
                if all(found.get(key) == value for key, value in match.items())
            ]

    def forget_events(self):
        """Drops all events so far, so that a later wait sees only new ones."""
        with self._changed:
            self._events.clear()

    def messages(self, topic):
        """The contents received on a topic so far, in order."""
        with self._changed:
            return [message["data"] for message in self._messages[topic]]

    def records(self, topic):
        """As messages(), but whole: data, us (the peer's clock) and _received (ours)."""
        with self._changed:
            return list(self._messages[topic])

    def lagged(self):
        """What upstream has dropped inside itself, all the time, as peer.rs tells it."""
        with self._changed:
            return list(self._lagged)

    def forget_messages(self, topic):
        with self._changed:
            self._messages[topic].clear()

    def wait_message(self, topic, data, timeout=None):
        """Waits until this content has been received on the topic; returns the record."""
        seen = 0

        def check():
            nonlocal seen
            records = self._messages[topic]
            for record in records[seen:]:
                if record["data"] == data:
                    return record
            seen = len(records)
            return None

        return self._await(check, timeout, f"message {data[:40]!r} on {topic[:8]}")

    def wait_all(self, topic, contents, timeout=None):
        """Waits until all of these have been received on the topic, and perhaps others."""
        missing, seen = set(contents), 0

        def check():
            # What was looked at before is not looked at again: others may be many.
            nonlocal seen
            records = self._messages[topic]
            missing.difference_update(record["data"] for record in records[seen:])
            seen = len(records)
            return not missing

        try:
            self._await(check, timeout, "")
        except PeerTimeout:
            raise PeerTimeout(
                f"{len(missing)} messages are missing, such as {min(missing)[:40]!r}; "
                f"{self.describe()}"
            ) from None

    def received(self, topic):
        """How many messages have been received on the topic."""
        with self._changed:
            return len(self._messages[topic])

    def wait_received(self, topic, count, timeout=None):
        """Waits until so many messages have been received on the topic."""
        self._await(
            lambda: len(self._messages[topic]) >= count, timeout, f"{count} messages on {topic[:8]}"
        )

    def wait_count(self, topic, count, timeout=None):
        """As wait_received(), and returns all of them."""
        self.wait_received(topic, count, timeout)
        return self.messages(topic)

    def wait_end(self, timeout=None):
        """Waits for the end of the process; returns its exit status."""
        return self.process.wait(self.timeout if timeout is None else timeout)

    # -- commands ------------------------------------------------------------

    def send(self, *words):
        """Sends a command without waiting; returns its number."""
        line = " ".join(str(word) for word in words) + "\n"
        with self._sending:
            self._sent += 1
            try:
                self.process.stdin.write(line.encode())
                self.process.stdin.flush()
            except OSError as error:
                raise PeerError(f"the peer has ended: {error}") from error
            return self._sent

    def command(self, *words, timeout=None):
        """Sends a command and waits until it is done; returns its number."""
        number = self.send(*words)
        answer = self._await(
            lambda: self._answers.pop(number, None), timeout, f"answer to {words[0]}"
        )
        if answer["event"] == "error":
            with self._changed:
                with contextlib.suppress(ValueError):
                    self._events["error"].remove(answer)
            raise PeerError(f"{words[0]}: {answer['reason']}")
        return number

    def node(self, peer_id, *addresses, bootstrap=False):
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

    # -- the process ---------------------------------------------------------

    def freeze(self):
        """Stops the process where it is, as if its machine hung."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def kill(self):
        """Ends the process without any goodbye to its peers."""
        self.process.kill()
        self._reap()

    def close(self, timeout=10):
        """Ends the process with a goodbye, or kills it when that takes too long."""
        if self.process.poll() is None:
            with contextlib.suppress(PeerError):
                self.send("quit")
            try:
                self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self._reap()

    def _reap(self):
        self.process.wait()
        self._reader.join(5)
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        self.process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

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
