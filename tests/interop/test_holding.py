# SPDX-License-Identifier: MIT OR Apache-2.0
"""Who holds an overlay: a Rust neighbour sees the broker leave within a second of the last
holder's going, and not at all before."""

import time

import pytest

from fixtures import Brokers
from identity import overlay, random_topic
from mqtt import V5, V311, Client
from overlays import wait_together
from pulse import Pulse
from raw import RawClient
from rust_peer import RustPeer
from settings import PATIENCE, within

pytestmark = pytest.mark.asan_only

HOUR = 3600


class Scene:
    """A broker, its Rust neighbour, and an overlay of their own."""

    def __init__(self, broker, peer, id=None):
        self.broker, self.peer = broker, peer
        self.id = id or random_topic()
        self.topic = overlay(self.id)
        # Receives whatever arrives, and holds nothing.
        self.watcher = broker.client("p2panda/+", "$share/watchers/p2panda/#")

    def client(self, *filters, **options) -> Client:
        return self.broker.client(*filters, **options)

    def raw(self, *filters, client_id="raw", **options) -> RawClient:
        client = RawClient(self.broker.mqtt_port, client_id, **options)
        client.subscribe(*filters)
        return client

    def meet(self):
        """The broker has joined: so does the peer."""
        self.peer.interest(self.broker.id, self.id)
        self.peer.join(self.id)
        wait_together(self.broker, self.peer, self.id)

    def stays(self):
        """For longer than leaving may take all goes on."""
        heard = self.watcher.payloads(self.topic)
        end = time.monotonic() + within(1)
        publish = lambda payload: self.peer.send("publish", self.id, payload.hex())  # noqa: E731
        with Pulse(publish, f"go on from {len(heard)}:", 0.05) as pulse:
            while time.monotonic() < end:
                self.watcher.wait_count(self.topic, len(self.watcher.payloads(self.topic)) + 1)
        # Once by each of its two subscriptions, or by one for both.
        for payload in pulse.sent:
            self.watcher.wait_message(self.topic, payload)
        assert self.peer.events("neighbour_down", topic=self.id) == []

    def leaves(self, since: float, late: float = 0):
        """It is heard within a second. late: the broker notices it itself so much later."""
        down = self.peer.wait("neighbour_down", PATIENCE, topic=self.id, node=self.broker.id)
        assert down["_received"] - since <= within(1 + late)

    def comes_back(self):
        self.peer.wait("neighbour_up", PATIENCE, topic=self.id, node=self.broker.id)


def now() -> float:
    return time.monotonic()


def beside_a_peer(folder, **arguments):
    """Makes a broker, and ends it when it goes on."""
    made = Brokers(folder)
    broker = made(**arguments).start()
    with RustPeer("071") as peer:
        peer.node(broker.id, broker.address())
        yield made, broker, peer
    made.end()


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    yield from beside_a_peer(tmp_path_factory.mktemp("holding"))


@pytest.fixture
def scene(running, request):
    made, broker, peer = running
    request.node.brokers = made
    scene = Scene(broker, peer)
    yield scene
    scene.watcher.close()
    peer.forget(broker.id, scene.id)


def test_one_two_three_two_one_none(scene):
    first = scene.client(scene.topic)
    scene.meet()
    second = scene.client(scene.topic, version=V311)
    third = scene.client(scene.topic, qos=0)
    second.unsubscribe(scene.topic)
    scene.stays()
    first.close()
    scene.stays()
    scene.leaves(third.unsubscribe(scene.topic))


def test_several_filters_in_one_packet(scene):
    shared, other = f"$share/group/{scene.topic}", overlay(random_topic())
    client = scene.raw((scene.topic, 0), (other, 1), (shared, 2), ("elsewhere/#", 1))
    scene.meet()
    client.unsubscribe(other, scene.topic, "elsewhere/#")
    scene.stays()
    left = now()
    client.unsubscribe(other, shared)
    scene.leaves(left)
    client.close()


def test_subscribed_again_and_again(scene):
    client = scene.raw((scene.topic, 1), (scene.topic, 0), (scene.topic, 2))
    scene.meet()
    for qos in (0, 1, 2, 0):
        client.subscribe((scene.topic, qos))
    scene.stays()
    left = now()
    client.unsubscribe(scene.topic)
    scene.leaves(left)
    client.close()


def test_shared_subscriptions(scene):
    first = scene.client(f"$share/one/{scene.topic}", f"$share/two/{scene.topic}")
    second = scene.client(f"$share/one/{scene.topic}")
    scene.meet()
    first.unsubscribe(f"$share/one/{scene.topic}")
    second.close()
    first.unsubscribe(scene.topic)  # never subscribed in this form
    scene.stays()
    scene.leaves(first.unsubscribe(f"$share/two/{scene.topic}"))


def test_unsubscribing_what_was_never_subscribed(scene):
    client, other = scene.client(scene.topic), scene.client()
    scene.meet()
    for who, what in (
        (other, scene.topic),
        (client, overlay(random_topic())),
        (client, "p2panda/+"),
        (client, "p2panda/" + scene.id.upper()),
        (client, f"$share/group/{scene.topic}"),
    ):
        who.unsubscribe(what)
    other.close()
    scene.stays()
    scene.leaves(client.unsubscribe(scene.topic))


@pytest.mark.parametrize("way", ["disconnect", "end", "reset", "keepalive"])
def test_the_last_connection_ends(scene, way):
    if way == "disconnect":
        client = scene.client(scene.topic)
    else:
        client = scene.raw((scene.topic, 1), client_id=f"raw-{way}", keepalive=way == "keepalive")
    if way == "keepalive":
        # Falls silent: the broker's patience begins here.
        scene.meet()
        scene.broker.wait_log(f"Client raw-{way} .*exceeded timeout")
        left = now()
    else:
        scene.meet()
        left = now()
        {
            "disconnect": client.close,
            "end": client.close,
            "reset": getattr(client, "reset", None),
        }[way]()
    scene.leaves(left)
    client.close()


@pytest.mark.parametrize("version", [V311, V5], ids=["v311", "v5"])
def test_taken_over(scene, version):
    kept = {"clean": False} if version == V311 else {"clean": False, "session_expiry": HOUR}
    id = f"twin-{version}"
    scene.client(scene.topic, client_id=id, version=version, qos=0, **kept)
    scene.meet()
    scene.client(client_id=id, version=version, **kept)
    scene.stays()
    # By somebody who begins anew.
    left = now()
    scene.client(client_id=id, version=version)
    scene.leaves(left)


def test_a_clean_session_is_taken_over(scene):
    scene.client(scene.topic, client_id="clean twin")
    scene.meet()
    left = now()
    scene.client(client_id="clean twin", clean=False)
    scene.leaves(left)


@pytest.mark.parametrize("way", ["disconnect", "drop"])
@pytest.mark.parametrize("qos", [1, 2])
def test_offline_session_that_wants_messages_queued(scene, qos, way):
    id = f"sleeper-{qos}-{way}"
    client = scene.client(scene.topic, qos=qos, client_id=id, session_expiry=HOUR)
    scene.meet()
    client.close() if way == "disconnect" else client.drop()
    scene.stays()
    sent = scene.watcher.payloads(scene.topic)
    woken = scene.client(client_id=id, clean=False, session_expiry=HOUR)
    woken.wait_message(scene.topic, sent[-1])
    scene.stays()
    scene.leaves(woken.unsubscribe(scene.topic))
    woken.close()


def test_offline_session_at_qos_0(scene):
    client = scene.client(scene.topic, qos=0, client_id="nap", session_expiry=HOUR)
    scene.meet()
    left = now()
    client.close()
    scene.leaves(left)
    # It comes back to what it had.
    woken = scene.client(client_id="nap", clean=False, session_expiry=0)
    scene.comes_back()
    scene.peer.publish(scene.id, b"good morning")
    woken.wait_message(scene.topic, b"good morning")
    left = now()
    woken.close()
    scene.leaves(left)


def check_session_expires(scene, late: float = 0):
    # Longer than stays() takes.
    client = scene.client(scene.topic, client_id="mayfly", session_expiry=int(within(1)) + 1)
    scene.meet()
    client.close()
    scene.stays()
    scene.broker.wait_log("Expiring client mayfly")
    scene.leaves(now(), late)


def test_session_expires(scene):
    check_session_expires(scene)


def test_offline_sessions_leave(rust, brokers):
    broker = brokers(options=[("offline_sessions", "leave")]).start()
    peer = rust("071")
    peer.node(broker.id, broker.address())
    scene = Scene(broker, peer)
    client = scene.client(scene.topic, qos=2, client_id="leaver", session_expiry=HOUR)
    scene.meet()
    left = now()
    client.drop()
    scene.leaves(left)
    woken = scene.client(client_id="leaver", clean=False, session_expiry=HOUR)
    scene.comes_back()
    peer.publish(scene.id, b"good morning")
    woken.wait_message(scene.topic, b"good morning")


@pytest.mark.no_tsan  # see tests/broker/test_origin.py
def test_native_bridge_as_subscriber(rust, brokers):
    """It raises no event: it receives what the option `topic` keeps joined."""
    far = brokers("far").start()
    id, unheld = random_topic(), random_topic()
    near = brokers(
        "near",
        options=[("topic", id)],
        lines=[
            "connection native",
            f"address 127.0.0.1:{far.mqtt_port}",
            f'topic {overlay(id)} out 1 "" site/',
            f'topic {overlay(unheld)} out 1 "" site/',
        ],
    ).start()
    client = far.client("site/#")
    peer = rust("071")
    peer.node(near.id, near.address())
    scene = Scene(near, peer, id)
    scene.meet()
    peer.publish(id, b"across")
    client.wait_message("site/" + scene.topic, b"across")
    scene.client(scene.topic).unsubscribe(scene.topic)
    scene.stays()
    assert near.number("overlays") == 1
    assert far.number("overlays") == 0


# ---------------------------------------------------------------------------
# Clients that begin anew again and again


class Stream:
    """What the peer publishes meanwhile, and all of it arrives: the overlay is not left."""

    def __init__(self, scene):
        self.scene = scene
        publish = lambda payload: scene.peer.send(  # noqa: E731
            "publish", scene.id, payload.hex()
        )
        self.pulse = Pulse(publish, "meanwhile ", 0.02)

    def __enter__(self):
        self.lines = len(self.scene.broker.our_log())
        self.pulse.__enter__()
        return self

    def __exit__(self, *error):
        self.pulse.__exit__(*error)
        if error[0] is not None:
            return
        scene = self.scene
        scene.watcher.wait_all(scene.topic, self.pulse.sent)
        assert scene.peer.events("neighbour_down", topic=scene.id) == []
        short = scene.id[:10]
        assert [line for line in scene.broker.our_log()[self.lines :] if short in line] == []


@pytest.mark.parametrize("version", [4, 5], ids=["v311", "v5"])
def test_begun_anew_each_second(scene, version):
    """A client that comes back under its id with a new session and subscribes at once. Here it is
    not each second, but as often."""
    client = scene.raw((scene.topic, 1), client_id=f"anew-{version}", version=version)
    scene.meet()
    with Stream(scene):
        for _ in range(11):
            again = scene.raw((scene.topic, 1), client_id=client.id, version=version)
            client.close()
            client = again
            scene.watcher.wait_count(scene.topic, len(scene.watcher.payloads(scene.topic)) + 5)
    left = now()
    client.close()
    scene.leaves(left)


def test_gone_and_back(scene):
    """The same when the connection has ended before."""
    client = scene.raw((scene.topic, 1), client_id="back")
    scene.meet()
    with Stream(scene):
        for number in range(11):
            client.reset() if number % 2 else client.close()
            # It is not there for some time.
            scene.watcher.wait_count(scene.topic, len(scene.watcher.payloads(scene.topic)) + 3)
            client = scene.raw((scene.topic, 1), client_id="back")
    left = now()
    client.close()
    scene.leaves(left)


def test_two_fight_over_one_id(scene):
    """As fast as they can."""
    clients = [scene.raw((scene.topic, 1), client_id="fighter")]
    scene.meet()
    with Stream(scene):
        for _ in range(100):
            clients.append(scene.raw((scene.topic, 1), client_id="fighter"))
            clients.pop(0).close()
    left = now()
    clients.pop().close()
    scene.leaves(left)


def test_subscribed_and_unsubscribed_all_the_time(scene):
    """Neither neighbours nor the log see more of it than a little."""
    client = scene.raw((scene.topic, 1), client_id="fickle")
    scene.meet()
    begun, cycles = now(), 0
    while now() - begun < 3:
        client.unsubscribe(scene.topic)
        client.subscribe((scene.topic, 1))
        cycles += 1
    client.unsubscribe(scene.topic)
    scene.leaves(now())
    seconds = now() - begun
    downs = scene.peer.events("neighbour_down", topic=scene.id)
    short = scene.id[:10]
    lines = [line for line in scene.broker.our_log() if f"overlay {short}" in line]
    print(f"{cycles} times in {seconds:.1f} s: {len(downs)} seen, {len(lines)} lines")
    assert cycles > 4 * seconds
    assert len(downs) <= 3 * seconds + 1
    assert len(lines) <= 2 * len(downs) + 2
    client.close()
