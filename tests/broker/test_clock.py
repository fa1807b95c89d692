# SPDX-License-Identifier: MIT OR Apache-2.0
"""A broker whose wall clock is set while it runs: boards without a battery, NTP at boot."""

import time

import pytest

from clock import Clock
from identity import overlay, random_topic

HOUR = 3600


@pytest.mark.parametrize(
    "offsets",
    [
        pytest.param(lambda: [0, HOUR, 0], id="an hour on and back"),
        pytest.param(lambda: [0, -HOUR], id="an hour back"),
        pytest.param(lambda: [60 - int(time.time()), 0], id="from 1970 to now"),
    ],
)
def test_steps(brokers, tmp_path, offsets):
    """Messages flow both ways within a second of each step, and each is said."""
    first, *steps = offsets()
    clock = Clock(tmp_path, first)
    a, b = brokers(**clock.options), brokers()
    a.add_peer(b)
    a.start(), b.start()
    id = random_topic()
    topic = overlay(id)
    # Nobody but the plugin has anything to do on the broker whose clock it is.
    near, far = a.client(topic), b.client(topic)
    a.wait_joined(id)
    for number, offset in enumerate([first, *steps]):
        clock.set(offset)
        far.publish(topic, b"to it %d" % number)
        near.wait_message(topic, b"to it %d" % number, 1)
        near.publish(topic, b"from it %d" % number)
        far.wait_message(topic, b"from it %d" % number, 1)
        sent = 2 * number + 2
        a.wait_status(
            lambda status: status["messages/in"] + status["messages/out"] == sent,  # noqa: B023
            timeout=2.5,
        )
    for before, after in zip([first, *steps], steps, strict=False):
        way = "forward" if after > before else "back"
        a.wait_log(rf"the clock was set {way} by {abs(after - before)} s")
