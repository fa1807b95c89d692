# SPDX-License-Identifier: MIT OR Apache-2.0
"""Nodes that send forged infos as fast as they can: what is verified for strangers is bounded, and
an honest neighbour's messages take no longer."""

import contextlib
import threading

import pytest

from identity import overlay, random_topic
from latency import BESIDE, SECONDS, WINDOWS, compare
from raw_node import RawNode
from settings import scaled

INFOS = 500
# Who was sent away comes back after so many seconds. (Faster ones are a flood of handshakes.)
PAUSE = 0.25
# Of a processor, while they go on.
MOST_CPU = 0.25
# A key is blamed at its third forged info, and waits for 10 s, and then for 20 s, before it may
# begin again (bridge/effort.h): so often in all that time.
FORGED = 3
TIMES = 1 + int(2 * WINDOWS * SECONDS // 10)


class Forgers:
    """So many keys, each in so many sessions at once, one after the other whatever becomes of
    them."""

    def __init__(self, stack: contextlib.ExitStack, broker, keys: int, at_once: int):
        self._broker = broker
        self._changed = threading.Condition()
        self._on = self._over = False
        self._busy = 0
        self.sessions = 0
        self.failed = False  # one of them has ended
        self._threads = []
        for _ in range(keys):
            node = stack.enter_context(RawNode())
            message = node.make(f"bad {scaled(INFOS)} 127.0.0.1:9")
            for _ in range(at_once):
                thread = threading.Thread(target=self._forge, args=(node, message))
                self._threads.append(thread)
                thread.start()
        stack.callback(self._end)

    def _forge(self, node: RawNode, message: int):
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._on or self._over)
                if self._over:
                    return
                self._busy += 1
            with contextlib.suppress(AssertionError):
                node.session(self._broker, nodes=message, timeout=1)
            with self._changed:
                self._busy -= 1
                if not node.runs():
                    self.failed = self._over = True
                self.sessions += 1
                self._changed.notify_all()
                self._changed.wait_for(lambda: not self._on, PAUSE)

    def switch(self, on: bool):
        with self._changed:
            self._on = on
            self._changed.notify_all()
            if not on:  # and none is under way any more
                self._changed.wait_for(lambda: self._busy == 0)

    def _end(self):
        self.switch(False)
        with self._changed:
            self._over = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()


@pytest.mark.slow
@pytest.mark.unsanitized
@pytest.mark.parametrize(("keys", "at_once"), [(1, 12), (4, 1)], ids=["one key", "four keys"])
def test_an_honest_neighbour_notices_nothing(brokers, keys, at_once):
    """No key knows a topic. Each of them sends the same infos again and again: none of them is
    known, so each is one to be verified."""
    near, far = brokers.pair()
    topic = overlay(random_topic())
    for broker in (near, far):
        broker.client(topic)
    near.wait_number("neighbours", 1), far.wait_number("neighbours", 1)
    with contextlib.ExitStack() as stack:
        forgers = Forgers(stack, near, keys, at_once)
        both = compare(near, far, topic, lambda load: forgers.switch(load == BESIDE))
        sessions, bad = forgers.sessions, near.number("discovery/bad_infos")
    print(both)
    print(f"{both.cpu() * 100:.0f} % of a processor, {sessions} sessions, {bad} infos in vain")
    assert not forgers.failed
    # What was begun at once is not known to be forged yet.
    assert FORGED * keys <= bad <= FORGED * keys * at_once * TIMES
    assert both.cpu() <= MOST_CPU
    both.check()
