# SPDX-License-Identifier: MIT OR Apache-2.0
"""A neighbour that brings signed messages whose signature is false, as fast as it can: so many are
looked at, and others do not wait for it."""

import pytest

from identity import overlay, random_topic
from latency import SECONDS, WINDOWS, compare
from pulse import Pulse
from raw_peer import RawPeer

# As many as a neighbour can bring, at least so many.
PER_SECOND = 10_000
# Of a processor: 2,000 signatures a second are looked at (bridge/limits.h,
# LIMIT_SIGNED_VERIFIED_PER_NEIGHBOUR), and 10,000 messages are received, forwarded and handed to
# the broker.
MOST_CPU = 1.2
# Twice as long as alone may the honest ones of another overlay take; the slowest of them longer,
# for there is a signature, a tenth of a millisecond, between any two things that the node does.
MOST = 2.0
MOST_P99 = 12.0


def view(id: str, codec: str) -> str:
    return f"{overlay(id)}/ephemeral/{codec}"


@pytest.mark.slow
@pytest.mark.unsanitized
def test_a_flood(brokers):
    """Another overlay's messages take no longer, and the same overlay's true ones, from another
    neighbour, are shown."""
    near, far = brokers.pair()
    mate = brokers(lines=["max_queued_messages 1"])
    mate.add_peer(near)
    mate.start()
    id, other = random_topic(), random_topic()
    far.client(view(other, "text")), near.client(view(other, "text"))
    near.wait_joined(other)
    listener = near.client(view(id, "text"))
    # mate holds the overlay for a session that is not there, and looks at no signature.
    mate.client(overlay(id), client_id="away", clean=False, session_expiry=3600).close()
    near.wait_joined(id)
    speaker = mate.client()
    hostile = RawPeer(near)
    hostile.join(id)
    near.wait_number("neighbours", 3)
    sent = 0

    def switch(loaded: bool):
        nonlocal sent
        sent = hostile.forge(PER_SECOND if loaded else 0)
        if not loaded:
            # Each of them is counted: none is under way then.
            near.wait_status(lambda now: _counted(now) == sent, what=f"{sent} false ones counted")

    with Pulse(lambda payload: speaker.post(view(id, "text"), payload), "true") as pulse:
        both = compare(near, far, view(other, "text"), switch, arriving=True)
    listener.wait_all(view(id, "text"), pulse.sent)
    status = near.wait_status(lambda now: _counted(now) == sent, what="the same count")
    print(both)
    looked_at, not_looked_at = status["messages/bad_signatures"], status["limits/verified"]
    print(
        f"{both.cpu() * 100:.0f} % of a processor for {sent} false ones: {looked_at} looked at, "
        f"{not_looked_at} not; {len(pulse.sent)} true ones beside them"
    )
    assert not hostile.has_ended()
    # Whoever is slow by being idle proves nothing. (How many are looked at: test_mesh.c.)
    assert sent >= PER_SECOND * WINDOWS * SECONDS / 5
    assert listener.payloads(view(id, "text")) == pulse.sent
    assert both.cpu() <= MOST_CPU
    both.check(MOST, MOST_P99)


def _counted(status: dict[str, int]) -> int:
    return status["messages/bad_signatures"] + status["limits/verified"]
