# SPDX-License-Identifier: MIT OR Apache-2.0
"""Over max_overlays or max_overlays_per_client: refused, counted, said, and nothing else is
disturbed."""

import os

import pytest

import settings
from identity import overlay, random_topic
from mqtt import V5, V311
from raw import RawClient

QUOTA_EXCEEDED = 0x97
COUNTER = "dropped/max_overlays"


class Limited:
    """A broker with these limits, a neighbour of it, and an overlay of both."""

    def __init__(self, brokers, **limits):
        a, b = brokers(options=[(key, str(value)) for key, value in limits.items()]), brokers()
        a.add_peer(b)
        self.broker = a.start()
        self.published = 0  # by clients, whatever became of it
        b.start()
        self.id = random_topic()
        self.topic = overlay(self.id)
        self.near, self.far = a.client(self.topic), b.client(self.topic)
        a.wait_joined(self.id)
        self.v5, self.v311 = a.client(version=V5), a.client(version=V311)
        # Paho does not show what a PUBREC says.
        self.raw = RawClient(a.mqtt_port, "raw", version=5)

    def check_undisturbed(self, *clients):
        for client in clients:
            payload = f"good {client.id}".encode()
            assert not client.publish(self.topic, payload).is_failure
            self.near.wait_message(self.topic, payload)
            self.far.wait_message(self.topic, payload)

    def check_refused(self, topic):
        """Each of them is refused; who can be told is."""
        v5, v311, raw = self.v5, self.v311, self.raw
        before = self.broker.number(COUNTER)
        assert v5.publish(topic, b"over", 1).value == QUOTA_EXCEEDED
        for qos in (1, 2):
            assert raw.publish(topic, b"over", qos) == QUOTA_EXCEEDED
            assert not v311.publish(topic, b"over", qos).is_failure
        v5.publish(topic, b"over", 0)
        v311.publish(topic, b"", 0)
        # Clearing what is retained stays local, so there is nothing to refuse.
        assert not v5.publish(topic, b"", retain=True).is_failure
        assert v5.publish(topic, b"over", retain=True).value == QUOTA_EXCEEDED
        assert self.broker.wait_number(COUNTER, before + 8) == before + 8
        self.broker.wait_log("refused a message of client .*: over max_overlays or")
        self.check_undisturbed(v5, v311)
        assert raw.publish(self.topic, b"good raw", 1) == 0
        self.published += 8 + 3
        assert self.broker.wait_number("messages/in", self.published) == self.published


def test_in_all(brokers):
    limited = Limited(brokers, max_overlays=2)
    a = limited.broker
    second, third = overlay(random_topic()), overlay(random_topic())
    holder = a.client(second)
    v5, v311 = limited.v5, limited.v311
    limited.check_refused(third)
    # A subscription is not refused, but holds nothing.
    watcher = a.client(third, qos=2)
    a.wait_log(f"overlay {third[8:18]}: not joined for client {watcher.id}, .* stays local")
    limited.check_refused(third)
    assert a.wait_number("overlays", 2) == 2
    assert b"over" not in watcher.payloads(third)
    # What is joined takes more of everybody.
    v5.subscribe(second)
    assert not v311.publish(second, b"joined").is_failure
    v5.wait_message(second, b"joined")
    # There is room again.
    holder.close()
    v5.unsubscribe(second)
    a.wait_log(f"overlay {second[8:18]}: left")
    assert not v5.publish(third, b"in time").is_failure
    watcher.wait_message(third, b"in time")
    a.wait_status(lambda status: status["overlays"] == 2)


@pytest.mark.parametrize("how", ["subscribes", "publishes"])
def test_for_each_client(brokers, how):
    limited = Limited(brokers, max_overlays_per_client=2)
    a = limited.broker
    v5, v311, raw = limited.v5, limited.v311, limited.raw
    third = overlay(random_topic())
    for client in (v5, v311, raw):
        for topic in (overlay(random_topic()) for _ in range(2)):
            if how == "publishes":
                client.publish(topic, b"mine", 1)
                limited.published += 1
            elif client is raw:
                client.subscribe((topic, 1))
            else:
                client.subscribe(topic, 1)
    limited.check_refused(third)
    v5.subscribe(third, 1)
    a.wait_log(f"overlay {third[8:18]}: not joined for client {v5.id}, .* stays local")
    limited.check_refused(third)
    assert a.wait_number("overlays", 7) == 7
    # It stays local: what others publish here arrives.
    other = a.client()
    assert not other.publish(third, b"from here").is_failure
    v5.wait_message(third, b"from here")
    # What others hold costs it nothing.
    assert not v5.publish(third, b"to all").is_failure
    v5.wait_message(third, b"to all")


def test_within_one_overlay(brokers):
    """Several filters, any number of subscribers and publishers of one overlay."""
    limited = Limited(brokers, max_overlays=1, max_overlays_per_client=1)
    a = limited.broker
    client = a.client(limited.topic, f"$share/one/{limited.topic}", f"$share/two/{limited.topic}")
    others = [a.client(limited.topic) for _ in range(3)]
    limited.check_undisturbed(client, *others)
    assert a.number(COUNTER) == 0
    assert not any("stays local" in line for line in a.our_log())


def memory(process) -> int:
    """Resident bytes of a process."""
    with open(f"/proc/{process.pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


# Mosquitto takes no more of MQTT 5 in one packet.
@pytest.mark.parametrize(("version", "count"), [(4, 8000), (5, 1000)])
def test_one_subscribe_costs_what_it_is(brokers, version, count):
    """Its client id is as long as can be, and it has thousands of filters of one overlay."""
    a = brokers(lines=["log_type error"]).start()
    topic = overlay(random_topic())
    before = memory(a.process)
    client = RawClient(a.mqtt_port, "c" * 65_000, version=version)
    filters = [(f"$share/{number}/{topic}", 1) for number in range(count)]
    client.subscribe(*filters)
    a.wait_log("overlay .*: not joined for client c+, .*: too many filters of one client")
    if version == 5:
        a.wait_log("the subscription of client c+ is not kept for a restart")
        a.wait_number("limits/records", 400)
    assert a.wait_number("overlays", 1) == 1
    grown = memory(a.process) - before
    on_disk = sum(file.stat().st_size for file in a.state_dir.iterdir())
    print(f"{grown / 1e6:.1f} MB of memory, {on_disk / 1e6:.1f} MB on disk")
    assert on_disk < 1 << 20
    if settings.SANITIZER == "none":
        assert grown < 64 << 20


def test_option_topic_counts(brokers):
    options = [("topic", random_topic()), ("topic", random_topic()), ("max_overlays", "1")]
    broker = brokers(options=options)
    broker.spawn()
    assert broker.wait_end() > 0
    assert any("plugin_opt_topic: more topics than plugin_opt_max_overlays" in line
               for line in broker.our_log())
