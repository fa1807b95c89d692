# SPDX-License-Identifier: MIT OR Apache-2.0
"""A process of a real p2panda node that is driven over stdin: one command per line, answered by
JSON objects, one per line, on stdout. rust_peer.py and app.py say which ones there are.

Commands wait for their answer and raise PeerError when it is an error; waits raise
PeerTimeout, which shows the last lines of the process.
"""

import collections
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import threading
import time

from process import Process

HERE = pathlib.Path(__file__).resolve().parent
DEFAULT_TIMEOUT = 20.0


class PeerError(RuntimeError):
    """The process refused a command or has ended."""


class PeerTimeout(AssertionError):
    """The awaited did not happen in time."""


def binary(name):
    """The path of what tests/interop/build.sh makes, which need not exist."""
    if "P2PANDA_PEER_DIR" in os.environ:
        directory = pathlib.Path(os.environ["P2PANDA_PEER_DIR"])
    else:
        target = os.environ.get("CARGO_TARGET_DIR", HERE / ".build")
        directory = pathlib.Path(target) / "debug"
    return directory / name


class Child:
    """One process. What it is started with, and its commands, are its kind's.

    name     of the binary, and in what failures tell
    args     of the process
    log      upstream's log on stderr, such as "iroh_gossip=debug"
    host     where it runs, see netns.py (default: here)
    """

    def __init__(self, name, args, log=None, timeout=DEFAULT_TIMEOUT, host=None):
        self.name = name
        self.host = host
        self.timeout = timeout
        path = binary(name)
        if not path.exists():
            raise PeerError(f"{path} is missing: run tests/interop/build.sh")
        args = [str(path), *args]
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

        self._numbering = threading.Lock()
        self._sent = 0
        self._process = Process(
            args, self._hear, self._changed, stdin=subprocess.PIPE, env=environment
        )
        self.process = self._process.popen
        try:
            self.ready = self._await(self._take_ready, timeout, "ready")
        except BaseException:
            self.kill()
            raise
        self.id = self.ready["id"]

    # -- reading -------------------------------------------------------------

    def _data(self, event):
        """What a "message" carries."""
        return bytes.fromhex(event.pop("hex"))

    def _hear(self, line):
        try:
            event = json.loads(line)
        except ValueError:
            event = {"event": "garbage", "line": repr(line)}
        event["_received"] = time.monotonic()
        kind = event.get("event")
        if kind == "message":
            event["data"] = self._data(event)
            self._messages[event["topic"]].append(event)
        else:
            self._last.append(line[:300])
        if kind == "lagged":
            self._lagged.append(event)
        if kind == "ok" or (kind == "error" and event["n"] not in self._answers):
            self._answers[event["n"]] = event
        if kind not in ("message", "ok"):
            self._events[kind].append(event)

    def describe(self):
        """What a failure should tell of the process."""
        with self._changed:
            lines = "\n  ".join(self._last)
            counts = {topic[:8]: len(found) for topic, found in self._messages.items()}
            lost = collections.Counter()
            for one in self._lagged:
                lost[f"channel of {one['channel']}"] += one["count"] or 1
            return (
                f"{self.name} said last:\n  {lines}\n  messages: {counts}\n"
                f"  dropped by upstream inside itself: {dict(lost) or 'nothing'}"
            )

    def _await(self, check, timeout, what):
        """Waits until check(), called with the lock held, returns something true."""
        found = self._process.wait(check, self.timeout if timeout is None else timeout)
        if found:
            return found
        if self._process.ended:
            raise PeerError(f"ended while waiting for {what}; {self.describe()}")
        raise PeerTimeout(f"no {what}; {self.describe()}")

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
        """What upstream has dropped inside itself, all the time, as peer.rs tells it; of an
        application's nothing is told."""
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

        return self._await(check, timeout, f"message {repr(data)[:45]} on {topic[:8]}")

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
        with self._numbering:
            self._sent += 1
            try:
                self._process.send(*words)
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

    # -- the process ---------------------------------------------------------

    def freeze(self):
        """Stops the process where it is, as if its machine hung."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def kill(self):
        """Ends the process without any goodbye to its peers."""
        self._process.kill()

    def close(self, timeout=10):
        """Ends the process with a goodbye, or kills it when that takes too long."""
        if self.process.poll() is None:
            with contextlib.suppress(PeerError):
                self.send("quit")
        try:
            self._process.reap(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
