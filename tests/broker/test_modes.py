# SPDX-License-Identifier: MIT OR Apache-2.0
"""The ways in which Mosquitto is run: nothing breaks, messages flow."""

import contextlib
import os
import pathlib
import select
import shutil
import signal
import subprocess
import tempfile
import time

import pytest

import settings
from broker import _program
from identity import overlay, random_topic
from mqtt import Client
from pulse import Pulse
from settings import PATIENCE, within


def check_flow(here: Client, there: Client):
    """Both clients' brokers share a new overlay."""
    topic = overlay(random_topic())
    for client in (here, there):
        assert not client.subscribe(topic, 1).is_failure
    for client, payload in ((here, b"from here"), (there, b"from there")):
        client.publish(topic, payload)
    for client in (here, there):
        assert sorted(client.wait_count(topic, 2)) == [b"from here", b"from there"]


# ---------------------------------------------------------------------------
# -d


class Daemon:
    """A broker that has gone into the background."""

    def __init__(self, broker, folder: pathlib.Path):
        self.log = folder / "log"
        pid_file = folder / "pid"
        config = folder / "daemon.conf"
        config.write_text(
            broker.config().replace("log_dest stderr", f"log_dest file {self.log}")
            + f"pid_file {pid_file}\n"
        )
        preload = {"LD_PRELOAD": settings.PRELOAD} if settings.PRELOAD else {}
        subprocess.run(
            [_program(), "-d", "-c", str(config)],
            env=os.environ | preload,
            stdin=subprocess.DEVNULL,
            check=True,
            timeout=PATIENCE,
        )
        self.pid = int(self._wait(lambda: pid_file.exists() and pid_file.read_text().strip()))
        self._process = os.pidfd_open(self.pid)
        self._wait(lambda: self.log.exists() and " running" in self.log.read_text())

    def _wait(self, check):
        limit = time.monotonic() + PATIENCE
        while not (found := check()):
            assert time.monotonic() < limit, self.log.read_text() if self.log.exists() else "no log"
            time.sleep(0.01)
        return found

    def end(self, number: int, timeout: float):
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._process, number)
        ended = select.select([self._process], [], [], timeout)[0]
        assert ended, self.log.read_text()[-2000:]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end(signal.SIGKILL, PATIENCE)
        os.close(self._process)


def test_daemon(brokers, tmp_path):
    a, b = brokers(), brokers()
    a.add_peer(b)
    b.start()
    with Daemon(a, tmp_path) as daemon:
        # It has the node's thread, which a fork after the plugin's start would have lost.
        names = [
            pathlib.Path(task, "comm").read_text().strip()
            for task in pathlib.Path(f"/proc/{daemon.pid}/task").iterdir()
        ]
        assert len(names) > 1, names
        with Client(a.mqtt_port) as client:
            check_flow(client, b.client())
        daemon.end(signal.SIGTERM, within(2))
        assert "terminating" in daemon.log.read_text()


# ---------------------------------------------------------------------------
# user


@pytest.mark.root
def test_user_mosquitto(brokers, monkeypatch):
    """Started as root, it gives that up before it loads plugins."""
    if settings.SANITIZER == "asan":
        # It cannot look at a process that has changed its user.
        options = os.environ.get("ASAN_OPTIONS", "")
        monkeypatch.setenv("ASAN_OPTIONS", f"{options}:detect_leaks=0")
    with tempfile.TemporaryDirectory(prefix="p2panda-user-") as name:
        folder = pathlib.Path(name)  # pytest's own folders are for root alone
        folder.chmod(0o755)
        plugin = shutil.copy(settings.plugin(), folder)
        state = folder / "state"
        state.mkdir(mode=0o700)
        shutil.chown(state, "mosquitto", "mosquitto")
        a, b = brokers(identity=False, options=[("state_dir", str(state))]), brokers()
        a.options.append(("bind", a.address()))
        a.add_peer(b)
        config = a.config().replace("user root", "user mosquitto")
        config = config.replace(f"plugin {settings.plugin()}\n", f"plugin {plugin}\n")
        a.start(config), b.start()
        status = pathlib.Path(f"/proc/{a.process.pid}/status").read_text()
        uid = state.stat().st_uid
        assert uid != 0 and f"Uid:\t{uid}\t{uid}" in status
        check_flow(a.client(), b.client())
        # Its files are its own.
        assert {path.stat().st_uid for path in state.iterdir()} == {uid}
        assert (state / "identity.pem").stat().st_mode & 0o777 == 0o600
        # And it finds them again.
        first = a.id
        a.stop()
        a.start(config)
        assert a.id == first
        check_flow(a.client(), b.client())
        a.stop()


@pytest.mark.root
def test_user_mosquitto_cannot_read_the_key(brokers):
    with tempfile.TemporaryDirectory(prefix="p2panda-user-") as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)
        plugin = shutil.copy(settings.plugin(), folder)
        a = brokers(options=[("state_dir", str(folder / "state"))])
        a.options.append(("bind", a.address()))
        shutil.copytree(a.state_dir, folder / "state")
        shutil.chown(folder / "state", "mosquitto")
        config = a.config().replace("user root", "user mosquitto")
        line = a.wait_refusal(config.replace(f"plugin {settings.plugin()}\n", f"plugin {plugin}\n"))
        assert str(folder / "state" / "identity.pem") in line
        assert "Permission denied" in line or "owner" in line


# ---------------------------------------------------------------------------
# per_listener_settings


@pytest.mark.parametrize("kind", ["plugin", "global_plugin"])
def test_per_listener_settings(brokers, kind):
    a, b = brokers(), brokers()
    a.add_peer(b)
    config = a.config().replace(f"plugin {settings.plugin()}", f"{kind} {settings.plugin()}")
    other = brokers("port").mqtt_port
    # The second listener has the plugin only when it is loaded for all of them.
    a.start(
        f"per_listener_settings true\n{config}listener {other} 127.0.0.1\nallow_anonymous true\n"
    )
    b.start()
    far = b.client()
    check_flow(a.client(), far)
    if kind == "global_plugin":
        with Client(other) as client:
            check_flow(client, far)


# ---------------------------------------------------------------------------
# SIGHUP


def test_reload(brokers):
    a, b = brokers.pair()
    topic = overlay(random_topic())
    near, far = a.client(topic), b.client(topic)
    for broker in (a, b):
        broker.wait_joined(topic.removeprefix("p2panda/"))
    with Pulse(lambda payload: near.post(topic, payload), "near") as here:
        with Pulse(lambda payload: far.post(topic, payload), "far") as there:
            for times in range(1, 4):
                seen = len(near.payloads(topic))
                a.process.send_signal(signal.SIGHUP)
                a.wait_log_times("Reloading config", times)
                a.wait_log_times("reloading leaves the plugin as it is", times)
                near.wait_count(topic, seen + 20)
    sent = len(here.sent) + len(there.sent)
    for client in (near, far):
        found = client.wait_count(topic, sent)
        for pulse, name in ((here, b"near"), (there, b"far")):
            assert [one for one in found if one.startswith(name)] == pulse.sent
    assert not any("left" in line for line in a.our_log())
    check_flow(a.client(), b.client())
