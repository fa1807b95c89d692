# SPDX-License-Identifier: MIT OR Apache-2.0
"""A stock Mosquitto with the plugin, as an object for the tests.

    a, b = Broker(tmp_path / "a"), Broker(tmp_path / "b")
    a.add_peer(b)
    a.start(), b.start()

Identity and ports are fixed when the object is made, so brokers can name each other
before any of them runs.

With host=net.host("a") it runs on a machine of its own (see netns.py): then the plugin takes its
own default address, and clients come through a Unix socket.
"""

import contextlib
import os
import pathlib
import re
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import settings
from identity import make_identity
from mqtt import Client
from netns import PORT, Host
from ports import free_port
from process import Process
from settings import PATIENCE, wait_until

STATUS = "$SYS/broker/p2panda/"
# All but debug, which has a line for every packet.
LOGGED = ("error", "warning", "notice", "information", "subscribe", "unsubscribe")
OUR_FRAME = re.compile(
    r"^ +#\d+ .*(mosquitto_p2panda|/(bridge|plugin)/)|/(bridge|plugin)/.*runtime error", re.M
)
_RUNNING = re.compile(r"mosquitto version \S+ running")


class BrokerTimeout(AssertionError):
    """The awaited did not happen in time."""


def _program() -> str:
    """The broker's binary: P2PANDA_MOSQUITTO, else the system's."""
    given = os.environ.get("P2PANDA_MOSQUITTO")
    if given:
        return given
    for folder in [*os.environ.get("PATH", "").split(":"), "/usr/local/sbin", "/usr/sbin"]:
        path = pathlib.Path(folder, "mosquitto")
        if folder and path.is_file():
            return str(path)
    raise RuntimeError("there is no mosquitto in PATH")


def _state(task: pathlib.Path) -> str:
    """The state of one thread, by its folder in /proc."""
    return (task / "stat").read_text().rpartition(")")[2].split()[0]


def _report_path() -> str:
    """Where the sanitizers' options say that reports go; "" for the broker's stderr."""
    for name in ("ASAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS"):
        found = re.search(r"log_path=([^:]+)", os.environ.get(name, ""))
        if found:
            return found[1]
    return ""


class Broker:
    """One broker process.

    folder    its own, made here
    options   (key, value) pairs of the plugin; state_dir and bind are given here
              unless they are named
    lines     further lines of the broker's configuration
    bind      hosts of the QUIC port
    identity  make one beforehand (else the plugin does, and id is known after start)
    preload   libraries that come before the C library's
    environment  further variables of the process
    host      where it runs (default: here, on loopback); bind is then left to the plugin
    program   the broker's binary (default: P2PANDA_MOSQUITTO, else the system's)
    behind    lines that come after the plugin's
    launcher  a command line that starts it: what comes before the broker's own
    plugin    False: without it
    """

    def __init__(
        self,
        folder: pathlib.Path,
        options: Iterable[tuple[str, str]] = (),
        lines: Iterable[str] = (),
        bind: Iterable[str] = ("127.0.0.1",),
        identity: bool = True,
        preload: Iterable[pathlib.Path] = (),
        environment: dict[str, str] | None = None,
        host: Host | None = None,
        program: str | None = None,
        behind: Iterable[str] = (),
        plugin: bool = True,
        launcher: Iterable[str | os.PathLike] = (),
    ):
        self.program = program or _program()
        self.behind = list(behind)
        self.launcher = list(launcher)
        self.has_plugin = plugin
        self.folder = folder
        self.name = folder.name
        self.state_dir = folder / "state"
        self.state_dir.mkdir(parents=True, mode=0o700)
        self.host = host
        # A port, or the path of a Unix socket.
        self.mqtt_port = free_port() if host is None else str(host.path("mqtt"))
        self.quic_port = free_port() if host is None else PORT
        self.bind = list(bind) if host is None else []
        self.options = list(options)
        self.lines = list(lines)
        self.preload = list(preload)
        self.environment = environment or {}
        self.id = make_identity(self.state_dir / "identity.pem") if identity else ""
        self.process: subprocess.Popen | None = None
        self._monitor: Client | None = None
        self._clients: list[Client] = []
        self._process: Process | None = None
        # Guarded by _changed.
        self._changed = threading.Condition()
        self._log: list[str] = []
        self._started_at_line = 0

    # -- configuration -------------------------------------------------------

    def address(self, host: str | None = None) -> str:
        """Where other nodes reach this one."""
        host = host or ("127.0.0.1" if self.host is None else self.host.addresses[0])
        return f"[{host}]:{self.quic_port}" if ":" in host else f"{host}:{self.quic_port}"

    def add_peer(self, peer: "Broker | str", *addresses: str):
        """Names a trusted node: a broker, or an id and addresses."""
        if isinstance(peer, Broker):
            addresses = addresses or (peer.address(),)
            peer = peer.id
        self.options.append(("peer", f"{peer}@{','.join(addresses)}"))

    def add_bootstrap(self, node: "Broker | str", *addresses: str):
        """Names a node as a way into the network, likewise."""
        if isinstance(node, Broker):
            addresses = addresses or (node.address(),)
            node = node.id
        self.options.append(("bootstrap", f"{node}@{','.join(addresses)}"))

    def config(self) -> str:
        keys = {key for key, _ in self.options}
        given = []
        if "state_dir" not in keys:
            given.append(("state_dir", str(self.state_dir)))
        if "bind" not in keys:
            given += [("bind", self.address(host)) for host in self.bind]
        return "\n".join(
            [
                "user root",
                f"listener {self.mqtt_port} 127.0.0.1"
                if self.host is None
                else f"listener 0 {self.mqtt_port}",
                "allow_anonymous true",
                "log_dest stderr",
                *(f"log_type {kind}" for kind in LOGGED),
                *self.lines,
                *(self._plugin_lines(given + self.options) if self.has_plugin else ()),
                *self.behind,
                "",
            ]
        )

    @staticmethod
    def _plugin_lines(options: Iterable[tuple[str, str]]) -> list[str]:
        return [
            f"plugin {settings.plugin()}",
            *(f"plugin_opt_{key} {value}" for key, value in options),
        ]

    # -- the process ---------------------------------------------------------

    def spawn(self, config: str | None = None):
        """Starts the process without waiting for anything."""
        assert self.process is None or self.process.poll() is not None, "it runs already"
        self._reap()
        path = self.folder / "mosquitto.conf"
        path.write_text(self.config() if config is None else config)
        # A sanitizer has to be the first one.
        preload = [settings.PRELOAD] if settings.PRELOAD else []
        preload += [str(library) for library in self.preload]
        command = [self.program, "-c", str(path)]
        if preload:
            # For the broker alone, not for what brings it to its host.
            command = ["env", f"LD_PRELOAD={':'.join(preload)}", *command]
        command = [*map(os.fspath, self.launcher), *command]
        if self.host is not None:
            command = self.host.command(*command)
        with self._changed:
            self._started_at_line = len(self._log)
        self._process = Process(
            command,
            self._log.append,
            self._changed,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            env=os.environ | self.environment,
        )
        self.process = self._process.popen

    def start(self, config: str | None = None) -> "Broker":
        """Starts the process and waits until it serves clients."""
        self.spawn(config)
        return self.attach()

    def attach(self) -> "Broker":
        """The same for a process that was spawned."""
        try:
            self.wait_log(_RUNNING)
            self._monitor = Client(self.mqtt_port)
            self._monitor.subscribe(STATUS + "#")
            self.id = self._monitor.wait(
                lambda: self._status_now().get("node_id"), what="status topics"
            )
            # The others came with it: they are here before the answer to whatever follows.
            self._monitor.unsubscribe("nothing")
        except BaseException:
            self.kill()
            raise
        return self

    def _reap(self):
        for client in [*self._clients, self._monitor]:
            if client is not None:
                client.close()
        self._clients, self._monitor = [], None
        if self._process is not None:
            self._process.reap()

    def wait_end(self, timeout: float | None = None) -> int:
        """Waits for the end of the process; returns its exit status."""
        try:
            status = self.process.wait(PATIENCE if timeout is None else timeout)
        except subprocess.TimeoutExpired:
            raise BrokerTimeout(f"{self.name} does not end; {self.tail()}") from None
        self._reap()
        return status

    def wait_refusal(self, config: str | None = None) -> str:
        """Starts the process, which has to end at once; returns the plugin's one line."""
        self.spawn(config)
        status = self.wait_end()
        assert status > 0, f"exit status {status}; {self.tail()}"
        lines = [line for line in self.our_log() if not line.startswith("node id ")]
        assert len(lines) == 1, self.tail()
        return lines[0]

    def terminate(self) -> float:
        """Sends SIGTERM; returns when."""
        sent = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        return sent

    def stop(self):
        """Ends the broker as a system would. It must end well."""
        if self.process is None or self.process.returncode is not None:
            return
        self.terminate()
        status = self.wait_end()
        assert status == 0, f"{self.name}: exit status {status}; {self.tail()}"
        self.assert_no_report()

    def reload(self, pattern: str = "reloading leaves the plugin as it is"):
        """SIGHUP; returns when it is over: only then does Mosquitto notice the next one. pattern: a line
        that comes with each."""
        before = sum(pattern in line for line in self.log())
        self.process.send_signal(signal.SIGHUP)
        self.wait_log_times(pattern, before + 1)
        self.client().close()

    def freeze(self):
        """SIGSTOP; returns when each of its threads stands still (the signal alone says nothing)."""
        self.process.send_signal(signal.SIGSTOP)
        tasks = pathlib.Path(f"/proc/{self.process.pid}/task")
        wait_until(lambda: all(_state(task) == "T" for task in tasks.iterdir()))

    def kill(self):
        """kill -9."""
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self._reap()

    def assert_no_report(self):
        """No sanitizer has had something to say about our code."""
        text = "\n".join(self.log())
        path = _report_path()
        if path:
            with contextlib.suppress(FileNotFoundError):
                text += pathlib.Path(f"{path}.{self.process.pid}").read_text(errors="replace")
        assert not OUR_FRAME.search(text), f"{self.name}: a sanitizer reports\n{text[-6000:]}"

    # -- clients -------------------------------------------------------------

    def client(self, *topics: str, qos: int = 1, **options: Any) -> Client:
        """A client of this broker that ends with it, subscribed to these topics."""
        client = Client(self.mqtt_port, **options)
        self._clients.append(client)
        for topic in topics:
            reason = client.subscribe(topic, qos)
            assert not reason.is_failure, f"{topic}: {reason}"
        return client

    # -- log -----------------------------------------------------------------

    def log(self) -> list[str]:
        """The log since the last start."""
        with self._changed:
            return self._log[self._started_at_line :]

    def whole_log(self) -> list[str]:
        """The log of all starts."""
        with self._changed:
            return list(self._log)

    def our_log(self) -> list[str]:
        """The plugin's own lines since the last start, without time and name."""
        lines = (re.match(r"(?:\S+ )?p2panda: (.*)", line) for line in self.log())
        return [line[1] for line in lines if line]

    def tail(self) -> str:
        return f"{self.name} said last:\n  " + "\n  ".join(self.whole_log()[-12:])

    def wait_log(self, pattern: "str | re.Pattern", timeout: float | None = None) -> re.Match:
        """Waits for a line of the log since the last start."""
        pattern = re.compile(pattern)
        at = self._started_at_line

        def check() -> re.Match | None:
            nonlocal at
            found = next(filter(None, map(pattern.search, self._log[at:])), None)
            at = len(self._log)
            return found

        found = self._process.wait(check, PATIENCE if timeout is None else timeout)
        if not found:
            raise BrokerTimeout(f"no line like {pattern.pattern!r}; {self.tail()}")
        return found

    def wait_log_times(self, text: str, times: int):
        """Waits until so many lines since the last start have this text."""
        enough = self._process.wait(
            lambda: sum(text in line for line in self._log[self._started_at_line :]) >= times,
            PATIENCE,
        )
        if not enough:
            raise BrokerTimeout(f"not {times} lines with {text!r}; {self.tail()}")

    def wait_joined(self, topic: str, timeout: float | None = None):
        """Waits until the overlay has had its first neighbour since the start."""
        self.wait_log(f"overlay {topic[:10]}: joined", timeout)

    # -- status --------------------------------------------------------------

    def _status_now(self) -> dict[str, str]:
        return {
            topic.removeprefix(STATUS): payload.decode()
            for topic, payload in self._monitor.newest().items()
            if payload  # an empty one has been cleared
        }

    def status(self) -> dict[str, str]:
        """What the status topics say, by their names below $SYS/broker/p2panda/."""
        return self._monitor.wait(self._status_now, what="status topics")

    def number(self, name: str) -> int:
        return int(self.status()[name])

    def wait_status(
        self, check: Callable[[dict[str, int]], Any], timeout: float | None = None, what: str = ""
    ) -> dict[str, int]:
        """Waits until the status topics that are numbers please check(), all as they were
        told at one moment; returns them."""

        def numbers():
            return {name: int(v) for name, v in self._status_now().items() if v.isdigit()}

        def checked():
            found = numbers()
            return found if check(found) else None

        limit = time.monotonic() + (PATIENCE if timeout is None else timeout)
        try:
            while True:
                left = max(limit - time.monotonic(), 0)
                self._monitor.wait(checked, left, what or "such status")
                # The numbers of one moment come one after the other, all of them before the
                # answer to what is asked now: then they belong together.
                self._monitor.unsubscribe("nothing")
                found = checked()
                if found is not None:
                    return found
        except AssertionError as error:
            raise BrokerTimeout(f"{error}\nstatus {self.status()}\n{self.tail()}") from None

    def wait_number(self, name: str, least: int, timeout: float | None = None) -> int:
        """Waits until a number of the status is at least so large."""
        return self.wait_status(
            lambda status: status.get(name, -1) >= least, timeout, f"{name} of at least {least}"
        )[name]

    def wait_remembers(self, topic: str, node: str, timeout: float | None = None):
        """Waits until it is on disk that this node shares the topic: what a crash within
        milliseconds of that would lose."""
        id = bytes.fromhex(topic)
        self._wait_row(node, lambda row: id in row, timeout)

    def wait_in_book(self, node: "Broker | str", timeout: float | None = None):
        """Waits until it is on disk where this node says it is."""
        # With a signature it is longer than this.
        self._wait_row(
            node.id if isinstance(node, Broker) else node, lambda row: len(row) > 100, timeout
        )

    def _wait_row(self, node: str, check: Callable[[bytes], bool], timeout: float | None):
        limit = time.monotonic() + (PATIENCE if timeout is None else timeout)
        file = f"file:{self.state_dir / 'p2panda.db'}?mode=ro"
        with contextlib.closing(sqlite3.connect(file, uri=True)) as database:
            query = "SELECT row FROM node WHERE id = ?"
            while True:
                if any(check(row) for (row,) in database.execute(query, (bytes.fromhex(node),))):
                    return
                if time.monotonic() >= limit:
                    raise BrokerTimeout(f"{node[:10]} is not in the book; {self.tail()}")
                time.sleep(0.01)

    def __repr__(self):
        return f"<Broker {self.name} {self.id[:8]} {self.address()}>"
