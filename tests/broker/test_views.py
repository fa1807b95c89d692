# SPDX-License-Identifier: MIT OR Apache-2.0
"""Signed messages of applications, seen by MQTT clients through codecs; overlays by name."""

import itertools
import json
import time

import pytest

from identity import overlay, random_topic
from mqtt import V311
from settings import within

CODECS = ("json", "text", "bytes", "cbor")
NOT_AUTHORISED, QUOTA = 0x87, 0x97
BURST, RATE = 64, 1000


def view(topic: str, codec: str) -> str:
    return f"{topic}/ephemeral/{codec}"


def joined(pair, *filters: str):
    """A client of each broker with these subscriptions, and the overlay between them."""
    clients = [broker.client() for broker in pair]
    for client in clients:
        for filter in filters:
            client.subscribe(filter, 1)
    return clients


# A payload by each codec, and what the others show of it.
SAME = [
    ("json", b'{"temp":21.5,"unit":"C"}', {"cbor": bytes.fromhex("a26474656d70f94d6064756e69746143")}),
    ("json", b'"lamp"', {"text": b"lamp", "cbor": b"\x64lamp"}),
    ("json", b"1", {"cbor": b"\x01"}),
    ("json", b"1.0", {"cbor": b"\xf9\x3c\x00"}),
    ("json", b"[1,2,3]", {"bytes": b"\x01\x02\x03", "cbor": b"\x83\x01\x02\x03"}),
    ("text", "größer".encode(), {"json": '"größer"'.encode()}),
    ("bytes", b"\x00\xff", {"json": b'"AP8"', "cbor": b"\x42\x00\xff"}),
    ("cbor", b"\xf6", {"json": b"null"}),
]


@pytest.mark.parametrize("codec, payload, others", SAME, ids=[repr(one[1][:12]) for one in SAME])
def test_codecs(pair, codec, payload, others):
    a, b = pair
    id = random_topic()
    topic = overlay(id)
    here, there = joined(pair, *(view(topic, one) for one in CODECS))
    a.wait_joined(id)
    if codec == "json" and b"unit" in payload:
        payload, others = b'{"temp":21.5,"unit":"C"}', {}
    begun = time.time()
    assert here.publish(view(topic, codec), payload).value in (0, 16)
    for name, seen in {codec: payload, **others}.items():
        message = there.wait_message(view(topic, name), seen)
        assert message.properties["p2panda-author"] == a.id
        assert begun - 1 < int(message.properties["p2panda-time"]) / 1e6 < time.time() + 1
        # Here as well, without an origin: nobody has signed that.
        assert here.wait_message(view(topic, name), seen).properties == {}
    for name in set(CODECS) - {codec, "cbor"} - set(others):
        assert there.payloads(view(topic, name)) == [] or name in ("json",)


def test_each_once(pair):
    """One message reaches each of eight topics, on both sides, once."""
    name = f"once {random_topic()[:8]}"
    here, there = joined(pair)
    for client in (here, there):
        for codec in CODECS:
            client.subscribe(view(f"p2panda/name/{name}", codec), 1)
    watcher = pair[0].client()
    watcher.subscribe(view(f"p2panda/name/{name}", "text"), 1)
    pair[0].wait_number("neighbours", 1)
    here.publish(view(f"p2panda/name/{name}", "text"), b"[1]")
    for client in (here, there):
        client.wait_message(view(f"p2panda/name/{name}", "json"), b'"[1]"')
        client.wait_message(view(f"p2panda/name/{name}", "text"), b"[1]")
        client.wait_message(view(f"p2panda/name/{name}", "cbor"), b"\x63[1]")
    here.publish(view(f"p2panda/name/{name}", "text"), b"end")
    for client in (here, there, watcher):
        assert client.wait_count(view(f"p2panda/name/{name}", "text"), 2) == [b"[1]", b"end"]


def test_names_and_digits(pair):
    """BLAKE3(name) is the overlay; who has asked by either gets each message once."""
    name, hashed = "abc", "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"
    by_name, by_digits = f"p2panda/name/{name}", overlay(hashed)
    a, b = pair
    named, digits = a.client(by_name), b.client(by_digits)
    also = a.client(by_digits)
    a.wait_joined(hashed)
    named.publish(by_name, b"from the name")
    digits.publish(by_digits, b"from the digits")
    for client, topic in ((named, by_name), (digits, by_digits), (also, by_digits)):
        client.wait_all(topic, [b"from the name", b"from the digits"])
        assert sorted(client.payloads(topic)) == [b"from the digits", b"from the name"]


def test_equal_payloads(pair):
    a, b = pair
    id = random_topic()
    topic = view(overlay(id), "text")
    there = b.client(topic)
    here = a.client(topic)
    a.wait_joined(id)
    sent = [b"ON", b"OFF", b"ON"] + [b"same"] * 1000
    begun = time.monotonic()
    mids = [here.post(topic, payload, 1) for payload in sent]
    for mid in mids:
        here.wait_published(mid)
    was_fast = time.monotonic() - begun < len(sent) / RATE / 2
    assert there.wait_count(topic, len(sent), within(20)) == sent
    # Spaced, so that an application can follow.
    assert time.monotonic() - begun > (len(sent) - BURST) / RATE
    times = [message.time for message in there.messages(topic)]
    most = max(sum(t < one + 0.5 for t in times[at:]) for at, one in enumerate(times))
    # What came late, as somebody on the way had to wait for a processor, comes together.
    pause = max(after - before for before, after in itertools.pairwise(times))
    print(f"at most {most} messages in half a second, none for up to {pause:.3f} s")
    assert most <= 1.2 * (BURST + RATE * (0.5 + pause))
    if was_fast:
        a.wait_number("messages/paced", 100)
    assert here.wait_count(topic, len(sent)) == sent


@pytest.mark.parametrize("codec, payload, why", [
    ("json", b"{", "JSON"),
    ("json", b'{"a":1,"a":2}', "key"),
    ("text", b"\xff", "UTF-8"),
    ("cbor", b"\x18\x01", ""),
    ("cbor", b"\xc1\xf6", "tag"),
])  # fmt: skip
def test_refused(pair, codec, payload, why):
    a, _ = pair
    topic = view(overlay(random_topic()), codec)
    client = a.client()
    before = a.number("dropped/encoding")
    assert client.publish(topic, payload).value == NOT_AUTHORISED
    a.wait_number("dropped/encoding", before + 1)
    with a.client(version=V311) as old:
        old.publish(topic, payload)  # it cannot be told


def test_largest(pair):
    a, b = pair
    id = random_topic()
    topic = view(overlay(id), "bytes")
    there, here = b.client(topic), a.client(topic)
    a.wait_joined(id)
    largest = b"x" * 3934  # and three bytes that say how long it is
    assert here.publish(topic, largest).value == 0
    there.wait_message(topic, largest)
    assert here.publish(topic, largest + b"x").value == QUOTA


def test_wildcards_of_an_overlay(pair):
    """A wildcard behind the overlay holds it, and is shown JSON."""
    a, b = pair
    id = random_topic()
    topic = overlay(id)
    here = a.client()
    here.subscribe(f"{topic}/#", 1)
    there = b.client()
    there.subscribe(f"{topic}/ephemeral/+", 1)
    a.wait_joined(id)
    b.wait_joined(id)
    here.publish(view(topic, "cbor"), b"\xa1\x61a\xf5")
    there.wait_message(view(topic, "json"), b'{"a":true}')
    there.publish(view(topic, "text"), b"back")
    here.wait_message(view(topic, "json"), b'"back"')


def test_raw_subscribers_see_the_tuple(pair):
    a, b = pair
    id = random_topic()
    topic = overlay(id)
    there, here = b.client(topic), a.client(view(topic, "text"))
    a.wait_joined(id)
    here.publish(view(topic, "text"), b"hello")
    there.wait_count(topic, 1)
    (seen,) = there.payloads(topic)
    assert seen.startswith(b"\x86\x01\x58\x20" + bytes.fromhex(a.id)) and seen.endswith(b"\x65hello")


def test_guard(brokers):
    """Where applications speak, a plain message would make them deaf."""
    a, b = brokers.pair()
    id = random_topic()
    topic = overlay(id)
    there, here = b.client(topic), a.client(view(topic, "json"))
    a.wait_joined(id)
    assert there.publish(topic, b"plain, before anybody is known").value == 0
    here.publish(view(topic, "json"), b"1")
    there.wait_count(topic, 2)
    for restarted in (False, True):
        if restarted:
            b.stop()
            b.start()
            there = b.client(topic)
        assert there.publish(topic, b"plain").value == NOT_AUTHORISED
        assert there.publish(view(topic, "text"), b"signed").value in (0, 16)
        here.wait_message(view(topic, "json"), b'"signed"')
    b.wait_number("dropped/raw_among_signed", 1)  # since the restart
    b.stop()
    b.options.append(("raw_among_signed", "allow"))
    b.start()
    there = b.client(topic)
    assert there.publish(topic, b"all the same").value in (0, 16)


@pytest.mark.parametrize("by", ["digits", "name"])
def test_sessions(brokers, by):
    """What a persistent session has subscribed is held after a restart."""
    a, b = brokers("a"), brokers("b", lines=["persistence true"])
    b.lines.append(f"persistence_location {b.folder}/")
    a.add_peer(b)
    a.start()
    b.start()
    topic = f"p2panda/name/kept {by}" if by == "name" else overlay(random_topic())
    topic = view(topic, "json")
    there = b.client(topic, clean=False, client_id="kept", session_expiry=3600)
    here = a.client(topic)
    a.wait_number("neighbours", 1)
    there.close()
    b.stop()
    b.start()
    a.wait_number("neighbours", 1)
    here.publish(topic, b"[true]")
    there = b.client(clean=False, client_id="kept", session_expiry=3600)
    there.wait_message(topic, b"[true]")


def test_json_keys(brokers):
    a, b = brokers.pair()
    id = random_topic()
    topic = overlay(id)
    a.stop()
    a.options.append(("json_keys", "written"))
    a.start()
    there, here = b.client(view(topic, "json")), a.client(view(topic, "json"))
    a.wait_joined(id)
    here.publish(view(topic, "json"), b'{"unit":"C","a":1}')
    there.publish(view(topic, "json"), b'{"unit":"F","a":1}')
    there.wait_message(view(topic, "json"), b'{"unit":"C","a":1}')
    here.wait_message(view(topic, "json"), b'{"a":1,"unit":"F"}')
    assert json.loads(here.payloads(view(topic, "json"))[-1]) == {"a": 1, "unit": "F"}


def test_equal_payloads_among_three(brokers):
    """Each exactly once on each, whoever has forwarded it."""
    made = [brokers() for _ in range(3)]
    for number, broker in enumerate(made):
        for other in made[:number]:
            broker.add_peer(other)
        broker.start()
    topic = view(overlay(random_topic()), "json")
    clients = [broker.client(topic) for broker in made]
    for broker in made:
        broker.wait_number("neighbours", 2)
    sent = [b'"ON"', b'"OFF"', b'"ON"'] + [b'{"temp":21.5}'] * 1000
    mids = [clients[0].post(topic, payload, 1) for payload in sent]
    for mid in mids:
        clients[0].wait_published(mid)
    for client in clients:
        client.wait_count(topic, len(sent), within(20))
    # And one more from each side, behind all of them.
    for number in (1, 2):
        clients[number].publish(topic, b"%d" % number)
    last = [b"1", b"2"]
    for client in clients:
        client.wait_all(topic, last)
        found = client.payloads(topic)
        assert [one for one in found if one not in last] == sent
        assert sorted(one for one in found if one in last) == last
    for broker in made:
        assert broker.number("dropped/repeated") == 0
        assert broker.number("limits/verified") == 0


def test_used_both_ways(brokers):
    """raw_among_signed allow: plain and signed ones in one overlay, each to those who want it."""
    a, b = (brokers(options=[("raw_among_signed", "allow")]) for _ in range(2))
    a.add_peer(b)
    a.start(), b.start()
    id = random_topic()
    topic = overlay(id)
    here, there = (broker.client(topic, view(topic, "text")) for broker in (a, b))
    a.wait_joined(id), b.wait_joined(id)
    for client, name in ((here, b"a"), (there, b"b"), (here, b"c")):
        assert client.publish(topic, b"plain " + name).value == 0
        assert client.publish(view(topic, "text"), b"signed " + name).value == 0
    signed, plain = [b"signed a", b"signed b", b"signed c"], [b"plain a", b"plain b", b"plain c"]
    for client, others in ((here, {b"b"}), (there, {b"a", b"c"})):
        client.wait_count(view(topic, "text"), 3)
        client.wait_count(topic, 3 + len(others))
        assert sorted(client.payloads(view(topic, "text"))) == signed
        raw = client.payloads(topic)
        assert sorted(one for one in raw if one.startswith(b"plain")) == plain
        # Of what was signed here nobody sees the tuple.
        tuples = [one for one in raw if one.startswith(b"\x86\x01\x58\x20")]
        assert {one[-1:] for one in tuples} == others and len(tuples) == len(others)
    assert a.number("dropped/raw_among_signed") == b.number("dropped/raw_among_signed") == 0


def test_shared(pair):
    """$share: each message to one of the group, and to those who are in none."""
    a, b = pair
    id = random_topic()
    topic = view(overlay(id), "json")
    group = [b.client(f"$share/group/{topic}") for _ in range(2)]
    alone, here = b.client(topic), a.client(topic)
    a.wait_joined(id)
    sent = [b"%d" % number for number in range(40)]
    for payload in sent:
        here.publish(topic, payload)
    assert alone.wait_count(topic, len(sent)) == sent
    group[0].wait(lambda: sum(len(one.payloads(topic)) for one in group) >= len(sent))
    assert sorted(sum((one.payloads(topic) for one in group), [])) == sorted(sent)


def test_shared_alone_holds(pair):
    """A group's subscription of a view is one of the overlay."""
    a, b = pair
    id = random_topic()
    topic = view(overlay(id), "text")
    member = b.client(f"$share/group/{topic}")
    here = a.client(topic)
    a.wait_joined(id)
    here.publish(topic, b"hello")
    message = member.wait_message(topic, b"hello")
    assert message.properties["p2panda-author"] == a.id
    assert member.payloads(overlay(id)) == []


def test_wildcards_beside_others(pair):
    """p2panda/# sees what arrives on the topics that others have subscribed, and
    <overlay>/ephemeral/+ is the view json."""
    a, b = pair
    id = random_topic()
    topic = overlay(id)
    all_of_it, below = b.client("p2panda/#"), b.client(f"{topic}/ephemeral/+")
    here = a.client(view(topic, "json"))
    a.wait_joined(id)
    here.publish(view(topic, "json"), b'{"a":1}')
    for client in (all_of_it, below):
        message = client.wait_message(view(topic, "json"), b'{"a":1}')
        assert message.properties["p2panda-author"] == a.id
    here.publish(view(topic, "json"), b"2")
    for client in (all_of_it, below):
        client.wait_message(view(topic, "json"), b"2")
        assert client.payloads(view(topic, "json")) == [b'{"a":1}', b"2"]
