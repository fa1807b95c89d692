# SPDX-License-Identifier: MIT OR Apache-2.0
"""A neighbour that brings signed messages whose signature is false, as fast as it can: so many are
looked at, and others do not wait for it.

What takes long beside such a flood, on two processors of which the test has all: alone an honest
message takes 1.4 ms (p50) and 3.7 ms (p99); beside as many messages of a version that nobody looks
at 1.6 and 3.8 ms; beside the false ones 1.7 and 4.6 ms. So the flood as such costs next to nothing,
and so do the signatures, as long as nobody's message waits behind those of another. (It was 3.1 and
25.7 ms when there was one queue for all of them.) What is left is a signature, 0.1 ms, or a turn of
the node's thread, 1 ms, that has begun.

Where others want the two processors, too, whoever works a third of the time is late in all that it
does. That is the machine, and by how much is known: the node's thread has waited for a processor so
much longer than it has worked. The bound is stretched by that.
"""

import pytest

from identity import overlay, random_topic
from latency import ALONE, SECONDS, WINDOWS, compare
from pulse import Pulse
from raw_peer import RawPeer

# As many as a neighbour can bring, at least so many.
PER_SECOND = 10_000
# Of a processor: 2,000 signatures a second are looked at (bridge/limits.h,
# LIMIT_SIGNED_VERIFIED_PER_NEIGHBOUR), and 10,000 messages are received, forwarded and handed to
# the broker.
MOST_CPU = 1.2
# The floods, and the version of their messages. There is no version 9.
PLAIN, FALSE = "beside plain ones", "beside false ones"
VERSIONS = {PLAIN: 9, FALSE: 1}
# So many times longer may the honest ones of another overlay take, at the median and at p99.
MOST = 2.0
# Or so long (s): a slice of a processor's time.
FLOOR = 0.004


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
    # mate holds the overlay for a session that is not there, and looks at few signatures.
    mate.client(overlay(id), client_id="away", clean=False, session_expiry=3600).close()
    near.wait_joined(id)
    speaker = mate.client()
    hostile = RawPeer(near)
    hostile.join(id)
    near.wait_number("neighbours", 3)
    sent, of = dict.fromkeys(VERSIONS, 0), ALONE

    def switch(load: str):
        nonlocal of
        told = hostile.forge(0)
        if of != ALONE:
            sent[of] += told - sum(sent.values())
        of = load
        # Each of them is counted: none is under way then.
        near.wait_status(
            lambda now: (
                _counted(now) == sent[FALSE] and now["messages/received"] >= sum(sent.values())
            ),
            what=f"{sent} counted",
        )
        if load != ALONE:
            hostile.forge(PER_SECOND, VERSIONS[load])

    with Pulse(lambda payload: speaker.post(view(id, "text"), payload), "true") as pulse:
        all = compare(near, far, view(other, "text"), switch, (ALONE, PLAIN, FALSE), arriving=True)
    listener.wait_all(view(id, "text"), pulse.sent)
    status = near.wait_status(lambda now: _counted(now) == sent[FALSE], what="the same count")
    print(all)
    looked_at, not_looked_at = status["messages/bad_signatures"], status["limits/verified"]
    print(
        f"{all.cpu(FALSE) * 100:.0f} % of a processor for {sent[FALSE]} false ones: {looked_at} "
        f"looked at, {not_looked_at} not; {all.cpu(PLAIN) * 100:.0f} % for {sent[PLAIN]} plain "
        f"ones; {len(pulse.sent)} true ones beside them"
    )
    assert not hostile.has_ended()
    # Whoever is slow by being idle proves nothing. (How many are looked at: test_unverified.c.)
    for count in sent.values():
        assert count >= PER_SECOND * WINDOWS * SECONDS / 5
    assert listener.payloads(view(id, "text")) == pulse.sent
    assert all.cpu(FALSE) <= MOST_CPU
    for than in (PLAIN, ALONE):
        all.check(MOST * all.of(FALSE, "stretch"), FLOOR, FALSE, than)


def _counted(status: dict[str, int]) -> int:
    return status["messages/bad_signatures"] + status["limits/verified"]
