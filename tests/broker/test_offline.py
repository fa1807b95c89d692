# SPDX-License-Identifier: MIT OR Apache-2.0
"""Sessions that are offline at QoS 0, where the broker queues messages for them."""

import pytest

from identity import overlay, random_topic

HOUR = 3600


@pytest.mark.parametrize("offline", ["hold", "all"])
@pytest.mark.parametrize("restart", [False, True], ids=["running", "restart"])
def test_queue_qos0_messages(brokers, tmp_path, offline, restart):
    a = brokers(
        options=[("offline_sessions", offline)],
        lines=[
            "queue_qos0_messages true",
            "persistence true",
            f"persistence_location {tmp_path}/",
        ],
    )
    b = brokers()
    a.add_peer(b)
    a.start(), b.start()
    id, held = random_topic(), random_topic()
    topic = overlay(id)
    far = b.client(topic, overlay(held))
    a.client(topic, qos=0, client_id="sleeper", clean=False, session_expiry=HOUR).close()
    if restart:
        a.stop()
        a.start()
    a.client(overlay(held))
    a.wait_joined(held)
    # Whatever is left has been left by now.
    a.wait_status(lambda status: status["overlays"] == (2 if offline == "all" else 1))
    if offline == "all":
        if restart:
            a.wait_joined(id)
        far.publish(topic, b"for the sleeper")
        a.wait_status(lambda status: status["messages/out"] == 1)
        woken = a.client(client_id="sleeper", clean=False, session_expiry=HOUR)
        woken.wait_message(topic, b"for the sleeper")
        woken.unsubscribe(topic)
        a.wait_status(lambda status: status["overlays"] == 1)
