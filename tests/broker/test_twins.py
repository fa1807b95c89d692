# SPDX-License-Identifier: MIT OR Apache-2.0
"""Two nodes with one key: both say so, and nobody says so who has no twin."""

import shutil
import time

import pytest

from identity import overlay, random_topic
from test_clock import HOUR, Clock

TWIN = "another node has this node's id"
# What was asked for; and where the first one has had nothing to look for any more, twice that.
SOON = 10
LATER = 20


def twin_lines(broker) -> list[str]:
    return [line for line in broker.our_log() if TWIN in line]


class Copied:
    """A hub, a node that knows it, and one more with the same key, each on its own machine."""

    def __init__(self, net, brokers, role: str):
        self.hub, self.first, self.second = (
            brokers(name, host=net.host(name)) for name in ("hub", "first", "second")
        )
        key = self.first.state_dir / "identity.pem"
        shutil.copy(key, self.second.state_dir / "identity.pem")
        self.second.id = self.first.id
        for one in (self.first, self.second):
            (one.add_peer if role == "peer" else one.add_bootstrap)(self.hub)
        self.topic = random_topic()

    def start(self, *nodes):
        for node in nodes:
            node.start()
            node.client(overlay(self.topic))

    def check_both_say_it(self, within: float = SOON):
        """From now on."""
        begun = time.monotonic()
        for node in (self.first, self.second):
            line = node.wait_log(TWIN, within - (time.monotonic() - begun)).string
            print(f"{node.name}: after {time.monotonic() - begun:.1f} s")
            assert f"peer {self.hub.id[:10]} knows it" in line
            assert "identity file of its own" in line
            node.wait_number("discovery/own_id", 1)
        assert not twin_lines(self.hub)


@pytest.mark.parametrize("role", ["peer", "bootstrap"])
def test_both_say_it(net, brokers, role):
    copied = Copied(net, brokers, role)
    copied.start(copied.hub, copied.first, copied.second)
    copied.check_both_say_it()


@pytest.mark.slow
@pytest.mark.parametrize("state", ["key", "all"])
def test_one_that_comes_later(net, brokers, state):
    """The first one has had nothing to look for any more; what was copied is its key or all."""
    copied = Copied(net, brokers, "peer")
    copied.start(copied.hub, copied.first)
    copied.first.wait_joined(copied.topic)
    time.sleep(15)  # it looks around less and less often
    if state == "all":
        for file in copied.first.state_dir.iterdir():
            shutil.copy(file, copied.second.state_dir)
    copied.start(copied.second)
    copied.check_both_say_it(LATER)


# ---------------------------------------------------------------------------
# who has none


class Alone:
    """A hub and a node that is asked after every change whether it takes itself for another."""

    def __init__(self, net, brokers, **options):
        self.hub, self.node = brokers("hub", host=net.host("hub")), brokers(
            "node", host=net.host("node"), **options
        )
        self.node.add_peer(self.hub)
        self.topic = random_topic()
        self.hub.start()
        self.hub.client(overlay(self.topic))

    def start(self):
        self.node.start()
        self.node.client(overlay(self.topic))

    def check_silent(self, sessions: int):
        """After so many sessions in which its own info came back, since its start."""
        self.node.wait_joined(self.topic)
        self.node.wait_number("discovery/sessions", sessions)
        assert self.node.number("discovery/own_id") == 0
        assert not twin_lines(self.node) and not twin_lines(self.hub)


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_restarts_with_what_it_knew(net, brokers, end):
    alone = Alone(net, brokers)
    for _ in range(3):
        alone.start()
        alone.check_silent(2)
        getattr(alone.node, end)()


@pytest.mark.slow
@pytest.mark.parametrize("offset", [0, -HOUR // 10], ids=["", "and its clock is behind"])
def test_restarts_without_what_it_knew(net, brokers, tmp_path, offset):
    """It cannot know its own word of before, perhaps not even that this is of before."""
    clock = Clock(tmp_path, 0)
    alone = Alone(net, brokers, **clock.options)
    for _ in range(2):
        alone.start()
        alone.check_silent(1)
        alone.node.stop()
        for file in alone.node.state_dir.glob("p2panda.db*"):
            file.unlink()
        clock.set(offset)
    alone.start()
    alone.check_silent(5)  # it looks more than once


@pytest.mark.slow
def test_the_clock_is_set(net, brokers, tmp_path):
    clock = Clock(tmp_path, 0)
    alone = Alone(net, brokers, **clock.options)
    alone.start()
    alone.check_silent(1)
    for sessions, offset in enumerate((300, 0, HOUR, 0, -HOUR, 0, 300), start=2):
        clock.set(offset)
        alone.node.wait_log_times("the clock was set: addresses are told anew", sessions - 1)
        alone.check_silent(sessions)


def test_its_addresses_change(net, brokers):
    alone = Alone(net, brokers)
    alone.start()
    alone.check_silent(1)
    for number in range(2, 7):
        alone.node.host.add_address(f"10.77.8.{number}")
        alone.check_silent(number)
