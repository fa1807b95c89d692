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

    def start(type, **options):
        broker, id = brokers(options=options.items()), random_topic()
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
    _, id, apps, client = meet("text", raw_among_signed="allow")
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


# ---- MQTT and applications ----


def view(id: str, codec: str) -> str:
    return f"{overlay(id)}/ephemeral/{codec}"


# Of what type, the codec, a value as the application has it and as MQTT has it.
BOTH_WAYS = [
    ("text", "text", "Grüße", "Grüße".encode()),
    ("text", "json", "hello", b'"hello"'),
    ("bytes", "bytes", "00ff", b"\x00\xff"),
    ("list", "json", [1, 2, 255], b"[1,2,255]"),
    ("sorted", "json", {"id": 42, "temp": 21.5, "unit": "C"}, b'{"id":42,"temp":21.5,"unit":"C"}'),
    ("sorted", "cbor", {"id": 1, "temp": 1.0, "unit": "C"},
     bytes.fromhex("a3626964016474656d70f93c0064756e69746143")),
    ("enum", "json", {"Tup": [1, "x"]}, b'{"Tup":[1,"x"]}'),
    ("enum", "text", "Unit", b"Unit"),
    ("option", "json", None, b"null"),
    ("option", "json", 5, b"5"),
    ("float", "json", 1.0, b"1.0"),
    ("float", "json", 0.1, b"0.1"),
    ("integer", "json", -(2**63), b"-9223372036854775808"),
    ("value", "json", {"a": {"b": []}, "c": -1}, b'{"a":{"b":[]},"c":-1}'),
]  # fmt: skip


@pytest.fixture
def talk(brokers, application):
    """A broker with a client that subscribes a view, and an application of each generation."""

    def start(type, codec, generations=APPLICATIONS, **options):
        broker, id = brokers(options=options.items()), random_topic()
        apps = {generation: application(generation) for generation in generations}
        for app in apps.values():
            app.open(id, type)
            broker.add_peer(app.id, app.bind4)
        broker.start()
        client = broker.client(view(id, codec))
        broker.wait_number("neighbours", len(apps), PATIENCE)
        return broker, id, apps, client

    return start


@pytest.mark.parametrize("type, codec, value, payload", BOTH_WAYS)
def test_both_ways(talk, type, codec, value, payload):
    broker, id, apps, client = talk(type, codec)
    topic = view(id, codec)
    began = time.time()
    client.publish(topic, payload)
    for app in apps.values():
        assert app.wait_count(id, 1, PATIENCE) == [value]
        [record] = app.records(id)
        assert record["author"] == broker.id
        assert began - 1 <= record["time"] / 1e6 <= time.time() + 1
    client.wait_message(topic, payload)
    for number, app in enumerate(apps.values(), 2):
        app.publish(id, value)
        assert client.wait_count(topic, number) == [payload] * number
        message = client.messages(topic)[-1]
        assert message.properties["p2panda-author"] == app.id
        assert began - 1 <= int(message.properties["p2panda-time"]) / 1e6 <= time.time() + 1


def test_fields_as_they_are_declared(talk):
    """A struct of 0.6 whose fields are not in the order of their encoding."""
    _, id, apps, client = talk("unsorted", "json", ["06"], json_keys="written")
    value, payload = {"unit": "C", "temp": 21.5, "id": 42}, b'{"unit":"C","temp":21.5,"id":42}'
    client.publish(view(id, "json"), payload)
    assert apps["06"].wait_count(id, 1, PATIENCE) == [value]
    apps["06"].publish(id, value)
    assert client.wait_count(view(id, "json"), 2) == [payload] * 2


@pytest.mark.parametrize("generation", APPLICATIONS)
def test_a_thousand_each_way(talk, generation):
    """Paced by us on the way there, by the test on the way back; equal ones among them."""
    # On a busy machine an application takes no thousand a second.
    _, id, apps, client = talk("text", "text", [generation], signed_rate="250")
    app, topic = apps[generation], view(id, "text")
    sent = [f"{number // 4}" for number in range(1000)]
    for payload in sent:
        client.post(topic, payload.encode(), 1)
    assert app.wait_count(id, len(sent), 4 * PATIENCE) == sent
    client.wait_count(topic, len(sent))
    client.forget()
    for at in range(0, len(sent), 50):
        for value in sent[at : at + 50]:
            app.publish(id, value)
        client.wait_count(topic, at + 50, 2 * PATIENCE)
    assert client.payloads(topic) == [payload.encode() for payload in sent]


@pytest.mark.parametrize("generation", APPLICATIONS)
def test_plain_ones_do_not_reach_it(talk, generation):
    """Once it has spoken, and right after a restart of the broker."""
    broker, id, apps, client = talk("text", "text", [generation])
    app = apps[generation]
    app.publish(id, "hello")
    client.wait_message(view(id, "text"), b"hello")
    for restarts in range(2):
        if restarts:
            broker.stop()
            broker.start()
            client = broker.client(view(id, "text"))
            broker.wait_number("neighbours", 1, PATIENCE)
        for _ in range(3):
            assert client.publish(overlay(id), b"plain").value == 0x87
        client.publish(view(id, "text"), b"signed %d" % restarts)
        app.wait_message(id, f"signed {restarts}", PATIENCE)
        broker.wait_number("dropped/raw_among_signed", 3)
