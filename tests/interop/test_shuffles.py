# SPDX-License-Identifier: MIT OR Apache-2.0
"""A neighbour that names thousands of nodes in Shuffles, as fast as it can: whether each of them
can exist is looked at, which takes time, and only so much of that is spent."""

import secrets

import pytest

from identity import overlay, random_topic
from latency import ALONE, BESIDE, compare
from raw_peer import RawPeer

# Of 64 nodes each, 10 us a node: two thirds of a processor if all of them were looked at.
PER_SECOND = 1000
# Of a processor: what the packets cost, and the 2,000 nodes a second that are looked at
# (bridge/limits.h, LIMIT_KEYS_CHECKED).
MOST_CPU = 0.25


@pytest.mark.slow
@pytest.mark.unsanitized
def test_an_honest_neighbour_notices_nothing(brokers):
    near, far = brokers.pair()
    id = random_topic()
    listener = near.client(overlay(id))
    far.client(overlay(id))
    near.wait_number("neighbours", 1)
    hostile = RawPeer(near)
    hostile.join(id)
    near.wait_number("neighbours", 2)

    def switch(load: str):
        hostile.shuffles(PER_SECOND if load == BESIDE else 0)
        if load == ALONE:
            # Comes after the last of them: none is under way then.
            last = secrets.token_bytes(8)
            hostile.gossip(last)
            listener.wait_message(overlay(id), last)

    both = compare(near, far, overlay(id), switch)
    print(both)
    not_looked_at = near.number("limits/keys")
    print(f"{both.cpu() * 100:.0f} % of a processor for them, {not_looked_at} not looked at")
    # Whoever is slow by being idle proves nothing.
    assert not_looked_at > PER_SECOND
    assert not hostile.has_ended()
    assert both.cpu() <= MOST_CPU
    both.check()
