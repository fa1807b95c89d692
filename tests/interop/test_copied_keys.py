# SPDX-License-Identifier: MIT OR Apache-2.0
"""Two brokers with one key at a Rust peer, which takes them for one: both say so."""

import shutil

import pytest

from identity import overlay, random_topic
from overlays import listens_at
from rust_peer import DIALECTS

TWIN = "another node has this node's id"
SOON = 10


@pytest.mark.parametrize("generation", DIALECTS)
def test_both_say_it(rust, brokers, generation):
    hub = rust(generation, discovery=True)
    first, second = brokers(), brokers()
    shutil.copy(first.state_dir / "identity.pem", second.state_dir / "identity.pem")
    topic = random_topic()
    hub.join(topic)
    for broker in (first, second):
        broker.add_bootstrap(hub.id, listens_at(hub))
        broker.start()
        broker.client(overlay(topic))
    for broker in (first, second):
        broker.wait_log(f"{TWIN}, and its key .peer {hub.id[:10]} knows it", SOON)


@pytest.mark.parametrize("generation", DIALECTS)
@pytest.mark.parametrize("keeps", [True, False], ids=["kept", "lost"])
def test_restarts_are_no_reason(rust, brokers, generation, keeps):
    hub, broker = rust(generation, discovery=True), brokers()
    topic = random_topic()
    hub.join(topic)
    broker.add_bootstrap(hub.id, listens_at(hub))
    for _ in range(3):
        broker.start()
        broker.client(overlay(topic))
        broker.wait_number("discovery/sessions", 3)
        broker.stop()
        if not keeps:
            for file in broker.state_dir.glob("p2panda.db*"):
                file.unlink()
    assert not any(TWIN in line for line in broker.whole_log())
