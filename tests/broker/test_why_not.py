# SPDX-License-Identifier: MIT OR Apache-2.0
"""docs/why-not.md: what each of its steps says is what a broker says then."""

import pathlib
import re
import shutil
import sys

from broker import STATUS
from identity import overlay, random_topic
from mqtt import V5
from settings import PATIENCE

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "why-not.md"
ROWS = {
    int(number): row
    for number, row in re.findall(r"^\| (\d+) \| (.*) \|$", PAGE.read_text(), re.MULTILINE)
}
# Those that have a test of their own elsewhere, and which.
ELSEWHERE = {
    16: "test_twins.py",
    21: "tests/unit/test_advice.c",
    22: "tests/unit/test_advice.c",
    23: "tests/interop/test_applications.py",
}


def quoted(number: int) -> list[str]:
    """What the step has in `code`."""
    return re.findall(r"`([^`]+)`", ROWS[number])


def words(number: int, text: str) -> str:
    """A text that the step quotes."""
    assert text in quoted(number), f"step {number} of the page does not have `{text}`: {ROWS[number]}"
    return text


def with_log(broker, number: int, text: str):
    broker.wait_log(re.escape(words(number, text)))


def rises(broker, number: int, counter: str, least: int = 1):
    broker.wait_number(words(number, counter), least)


def state(broker, id: str) -> str:
    return broker.status().get(f"overlay/{id[:10]}/state", "")


def test_each_step_has_its_test():
    tests = set()
    for name in vars(sys.modules[__name__]):
        tests |= {int(number) for number in re.findall(r"_(\d+)(?=_|$)", name) if "test_" in name}
    assert set(ROWS) == tests | set(ELSEWHERE)
    assert sorted(ROWS) == list(range(1, len(ROWS) + 1))


def test_1_not_ours(brokers):
    a = brokers().start()
    client = a.client()
    client.publish("elsewhere/" + "ab" * 32, b"x")
    client.publish(overlay(random_topic()), b"x")
    rises(a, 1, "messages/in")
    assert a.number("messages/in") == 1


def test_2_malformed_topic(brokers):
    a = brokers().start()
    reason = a.client(version=V5).publish("p2panda/hello", b"x")
    assert f"{reason.value:#x}" == "0x87" and "0x87" in ROWS[2]
    rises(a, 2, "dropped/malformed_topic")
    with_log(a, 2, "refused a message of client")


def test_3_too_large(brokers):
    a = brokers().start()
    reason = a.client(version=V5).publish(overlay(random_topic()), b"x" * 4058)
    assert f"{reason.value:#x}" == "0x97" and "0x97" in ROWS[3]
    rises(a, 3, "dropped/too_large")
    with_log(a, 3, "the payload is larger than")


def test_4_repeated(brokers):
    a, _b = brokers.pair()
    id = random_topic()
    near, _far = a.client(overlay(id)), _b.client(overlay(id))
    a.wait_joined(id)
    near.publish(overlay(id), b"ON")
    near.publish(overlay(id), b"ON")
    rises(a, 4, "dropped/repeated")
    with_log(a, 4, "has had the same bytes within 90 s")


def test_5_max_overlays(brokers):
    a = brokers(options=[("max_overlays_per_client", "1")]).start()
    client = a.client(overlay(random_topic()))
    client.publish(overlay(random_topic()), b"x")
    rises(a, 5, "dropped/max_overlays")
    with_log(a, 5, "over max_overlays")


def test_6_not_of_its_codec(brokers):
    a = brokers().start()
    a.client().publish(overlay(random_topic()) + "/ephemeral/json", b"{")
    rises(a, 6, "dropped/encoding")
    with_log(a, 6, "refused a message of client")
    words(6, "dropped/raw_among_signed")  # test_views.py, test_guard


def test_7_nobody_there(brokers):
    a = brokers(options=[("queue_age", "2")]).start()
    id = random_topic()
    client = a.client(overlay(id))
    client.publish(overlay(id), b"x")
    a.wait_number(words(7, "waiting"), 1)
    assert state(a, id) == words(7, "joining")
    rises(a, 7, "dropped/queue_age")
    a.wait_log(f"overlay {id[:10]}: 1 messages {words(7, 'have waited for a neighbour')}")


def test_8_it_has_left(brokers):
    a, b = brokers.pair()
    id = random_topic()
    near, far = a.client(overlay(id)), b.client(overlay(id))
    near.publish(overlay(id), b"x")
    rises(a, 8, "messages/sent")
    far.wait_message(overlay(id), b"x")


def test_9_nobody_subscribes_there(brokers):
    a, b = brokers.pair()
    id = random_topic()
    a.client(overlay(id))
    a.wait_status(lambda status: status["connections"] > 0)
    assert words(9, "overlay/<10>/state")
    assert state(a, id) == "joining" and state(b, id) == ""
    b.client(overlay(id))
    a.wait_joined(id)


def node_state(broker, node: str, value: str):
    broker._monitor.wait(
        lambda: broker.status().get(f"node/{node[:10]}/state") == value, 3 * PATIENCE, value
    )


def test_10_nobody_answers(brokers, net):
    left, right = net.hosts(["left", "right"])
    a, b = brokers(host=left), brokers(host=right)
    a.add_peer(b)
    right.cable.cut()
    a.start(), b.start()
    a.client(overlay(random_topic()))
    with_log(a, 10, "handshake timed out: nobody answers there")
    node_state(a, b.id, words(10, "offline"))
    right.cable.mend()
    node_state(a, b.id, "online")


def test_11_another_node(brokers):
    a, b, c = brokers(), brokers(), brokers()
    a.add_peer(c.id, b.address())
    a.start(), b.start()
    a.client(overlay(random_topic()))
    with_log(a, 11, "peer is not the dialled node: another node has this address")


def test_12_other_network(brokers):
    a, b = brokers(), brokers(options=[("network_id", "ab" * 32)])
    a.add_peer(b)
    a.start(), b.start()
    a.client(overlay(random_topic()))
    with_log(a, 12, "no common protocol (other network id?)")


def test_13_shut_out(brokers):
    a = brokers()
    b = brokers(options=[("deny_node", a.id)])
    a.add_peer(b)
    a.start(), b.start()
    a.client(overlay(random_topic()))
    with_log(a, 13, "it does not let us in")
    with_log(b, 13, "shut out by allow_node or deny_node")
    rises(b, 13, "peers/refused")


def test_14_no_such_name(brokers):
    a = brokers()
    a.add_peer(brokers().id, "nobody.invalid:2022")
    a.start()
    a.wait_log(f"peer [0-9a-f]{{10}}: {words(14, 'cannot look up')} nobody.invalid: .+")


def test_15_nobody_knows_anybody(brokers):
    a, b = brokers().start(), brokers().start()
    id = random_topic()
    a.client(overlay(id)), b.client(overlay(id))
    words(15, "node/<10>/state")
    for broker in (a, b):
        assert not [name for name in broker.status() if name.startswith("node/")]


def test_17_the_broker_keeps_it(brokers, tmp_path):
    acl = tmp_path / "acl"
    id = random_topic()
    acl.write_text("topic read $SYS/#\n\nuser reader\ntopic read p2panda/#\n")
    acl.chmod(0o600)
    a, b = brokers(), brokers(lines=[f"acl_file {acl}"], options=[("topic", id)])
    a.add_peer(b)
    a.start(), b.start()
    far = b.client(overlay(id))
    near = a.client(overlay(id))
    a.wait_joined(id)
    near.publish(overlay(id), b"x")
    rises(b, 17, "messages/received")
    rises(b, 17, "messages/out")
    assert not far.payloads(overlay(id))


def test_18_wildcards(brokers):
    a = brokers().start()
    a.client(words(18, "p2panda/#"), words(18, "p2panda/+"))
    assert a.number("overlays") == 0


def test_19_no_right_to_read(brokers, tmp_path):
    acl = tmp_path / "acl"
    acl.write_text("topic read $SYS/#\n")
    acl.chmod(0o600)
    a = brokers(lines=[f"acl_file {acl}"]).start()
    a.client().subscribe(overlay(random_topic()), 1)
    rises(a, 19, "subscriptions/denied")
    with_log(a, 19, "the broker does not let it read there")


def test_20_no_codec_can_show_it(brokers):
    a, b = brokers.pair()
    id = random_topic()
    far = b.client(overlay(id) + "/ephemeral/text")
    near = a.client(overlay(id) + "/ephemeral/json")
    a.wait_joined(id)
    near.publish(overlay(id) + "/ephemeral/json", b'{"n":1}')
    rises(b, 20, "dropped/unsuited")
    with_log(b, 20, "can be shown by no codec that is subscribed")
    assert not far.payloads(overlay(id) + "/ephemeral/text")


def test_24_neighbours_come_and_go(brokers):
    a, b = brokers.pair()
    id = random_topic()
    events = a.client(STATUS + words(24, "event"))
    a.client(overlay(id)), b.client(overlay(id))
    a.wait_joined(id)
    b.kill()
    words(24, "lost"), words(24, "neighbour_down")
    events.wait(
        lambda: any(
            b'"neighbour_down"' in payload and b'"lost"' in payload
            for payload in events.payloads(STATUS + "event")
        ),
        2 * PATIENCE,
        "event",
    )


def test_the_tools_are_called_as_wireshark_has_them():
    """What they show is tested in test_traces.py."""
    text = PAGE.read_text()
    assert "tshark -r packets.pcap -d udp.port==2022,quic -o tls.keylog_file:<file>" in text
    assert shutil.which("tshark")
    for key in ("qlog_dir", "keylog_file"):
        assert f"plugin_opt_{key} " in text
