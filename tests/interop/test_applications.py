# SPDX-License-Identifier: MIT OR Apache-2.0
"""Real applications on the crate p2panda, of both generations, in an overlay that a broker holds
with a raw subscriber: they understand each other through it."""

import time

import pytest

from app import APPLICATIONS
from identity import overlay, random_topic
from settings import PATIENCE

# Of what type, and values that both generations write alike.
VALUES = {
    "text": ["", "hello", "Grüße 🐼", "x" * 3900],
    "bytes": ["", "00ff", "ab" * 300],
    "list": [[], [1, 2, 255]],
    "sorted": [{"id": 2**64 - 1, "temp": -21.5, "unit": "C"}],
    "enum": ["Unit", {"New": 1}, {"Tup": [1, "x"]}, {"Str": {"x": 1, "y": 2}}],
    "option": [None, 5],
    "float": [1.0, 0.1, -4.1, 1e300],
    "integer": [-1, 2**53 + 1, -(2**63)],
    "value": [None, [1, 1.5, "x", True], {"a": {"b": []}, "c": -1}],
}


@pytest.fixture
def meet(brokers, application):
    """Both applications and a subscriber of the broker, neighbours in a new overlay."""

    def start(type):
        broker, id = brokers(), random_topic()
        apps = {generation: application(generation) for generation in APPLICATIONS}
        for app in apps.values():
            app.open(id, type)
            broker.add_peer(app.id, app.bind4)
        broker.start()
        client = broker.client(overlay(id))
        broker.wait_number("neighbours", 2, PATIENCE)
        return broker, id, apps, client

    return start


@pytest.mark.parametrize("type", VALUES)
def test_they_understand_each_other(meet, type):
    values = VALUES[type]
    _, id, apps, client = meet(type)
    began = time.time()
    for one, other in (("06", "071"), ("071", "06")):
        for value in values:
            apps[one].publish(id, value)
        assert apps[other].wait_count(id, len(values), PATIENCE) == values
        for record in apps[other].records(id):
            assert record["author"] == apps[one].id
            assert began - 1 <= record["time"] / 1e6 <= time.time() + 1
    # What MQTT sees of it is the tuple: p2panda's ephemeral_stream.rs.
    heads = [b"\x86\x01\x58\x20" + bytes.fromhex(app.id) + b"\x58\x40" for app in apps.values()]
    payloads = client.wait_count(overlay(id), 2 * len(values))
    assert [sum(p.startswith(head) for p in payloads) for head in heads] == [len(values)] * 2


# What each generation makes of it: 0.6.1 leaves fields as the struct has them, and those of a
# serde_json::Value by the alphabet; 0.7.1 puts shorter ones first.
NOT_SORTED = {
    "unsorted": (
        {"unit": "C", "temp": 21.5, "id": 42},
        {
            "06": "a364756e697461436474656d70f94d60626964182a",
            "071": "a3626964182a6474656d70f94d6064756e69746143",
        },
    ),
    "value": ({"b": 1, "aa": 2}, {"06": "a262616102616201", "071": "a261620162616102"}),
}


@pytest.mark.parametrize("type", NOT_SORTED)
def test_fields_that_are_not_sorted(meet, type):
    """Neither takes the other's."""
    value, bodies = NOT_SORTED[type]
    _, id, apps, client = meet(type)
    for app in apps.values():
        app.publish(id, value)
    assert "non-deterministic" in apps["071"].wait_refused(PATIENCE)
    assert "invalid message signature" in apps["06"].wait_refused(PATIENCE)
    for payload in client.wait_count(overlay(id), 2):
        author = next(one for one, app in apps.items() if app.id == payload[4:36].hex())
        assert payload.hex().endswith(bodies.pop(author))


@pytest.mark.parametrize("generation", APPLICATIONS)
def test_a_plain_payload_makes_one_deaf(meet, generation):
    """Upstream's, and what a plain publish among signed messages does; the test sees it."""
    _, id, apps, client = meet("text")
    deaf, other = apps[generation], apps[{"06": "071", "071": "06"}[generation]]
    other.publish(id, "before")
    deaf.wait_message(id, "before", PATIENCE)
    client.publish(overlay(id), b"21.5")
    deaf.wait_refused(PATIENCE)
    # It goes on publishing.
    deaf.publish(id, "still here")
    client.wait_count(overlay(id), 2)


def test_the_example(brokers, example):
    """examples/application, which has a port here and no mDNS."""
    id = random_topic()
    app = example(id)
    broker = brokers()
    broker.add_peer(app.id, app.bind4)
    broker.start()
    client = broker.client(overlay(id))
    broker.wait_joined(id)
    app.type("21.5")
    [payload] = client.wait_count(overlay(id), 1)
    assert payload[4:36].hex() == app.id
    assert payload.endswith(bytes.fromhex("a26474656d70f94d6064756e69746143"))
