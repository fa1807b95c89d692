# SPDX-License-Identifier: MIT OR Apache-2.0
"""Who may be a peer: allow_node, deny_node, our own id; and where we say that we are."""

import pathlib
import shutil

from compile import shared_library
from identity import make_identity, overlay, random_topic
from ports import free_port
from relay import Relay

SHIM = pathlib.Path(__file__).with_name("network_preload.c")
SHUT_OUT = "shut out by allow_node or deny_node"


def check_strangers(dialler, dialled):
    """The one that is dialled refuses, and no message passes."""
    topic = overlay(random_topic())
    near, far = dialler.client(topic), dialled.client(topic)
    near.publish(topic, b"from the dialler")
    far.publish(topic, b"from the dialled")
    # Several times, so that it is more than a race.
    dialled.wait_number("peers/refused", 3)
    for broker in (dialler, dialled):
        status = broker.wait_status(lambda status: status["messages/in"] == 1)
        assert status["neighbours"] == status["messages/received"] == 0
    assert near.payloads(topic) == [b"from the dialler"]
    assert far.payloads(topic) == [b"from the dialled"]
    assert dialled.number("connections") == 0
    lines = [line for line in dialled.our_log() if SHUT_OUT in line]
    assert len(lines) == 1, lines  # of three and more: it does not fill the log
    assert dialler.id[:10] in lines[0] and "refused" in lines[0]


def check_friends(*pair):
    topic = overlay(random_topic())
    clients = [broker.client(topic) for broker in pair]
    for number, client in enumerate(clients):
        client.publish(topic, f"from {number}".encode())
    for client in clients:
        assert sorted(client.wait_count(topic, 2)) == [b"from 0", b"from 1"]


def test_denied_node_is_refused(brokers):
    a, b, c = brokers(), brokers(), brokers()
    b.options.append(("deny_node", a.id))
    a.add_peer(b)
    c.add_peer(b)
    for broker in (a, b, c):
        broker.start()
    check_strangers(a, b)
    # The others are let in.
    check_friends(b, c)


def test_only_allowed_nodes_are_let_in(brokers):
    a, b, c = brokers(), brokers(), brokers()
    b.options.append(("allow_node", c.id))
    a.add_peer(b)
    c.add_peer(b)
    for broker in (a, b, c):
        broker.start()
    check_strangers(a, b)
    check_friends(b, c)


def test_allowed_peer_is_dialled(brokers):
    a, b = brokers(), brokers()
    a.options += [("allow_node", b.id), ("deny_node", "ab" * 32)]
    b.options.append(("allow_node", a.id))
    a.add_peer(b)
    a.start(), b.start()
    check_friends(a, b)
    for broker in (a, b):
        assert broker.number("peers/refused") == broker.number("peers/not_dialled") == 0


def test_denied_node_is_not_dialled_on_hearsay(brokers):
    """c is a stranger that b tells a about: a has to dial it, c knows a from nobody."""
    a, b, c = brokers(), brokers(), brokers()
    for broker in (a, c):
        broker.add_peer(b)
    # a is there first: who comes later is named to it, to be dialled by it.
    a.options.append(("deny_node", c.id))
    id = random_topic()
    topic = overlay(id)
    clients = {}
    for broker in (b, a, c):
        broker.start()
        clients[broker] = broker.client(topic)
        if broker is not b:
            broker.wait_joined(id)
            b.wait_number("neighbours", 1 if broker is a else 2)
    a.wait_number("peers/not_dialled", 1)
    a.wait_log(f"peer {c.id[:10]}: not dialled: {SHUT_OUT}")
    # Messages still come, by way of b.
    clients[c].publish(topic, b"from c")
    clients[a].wait_message(topic, b"from c")
    status = a.wait_status(lambda status: status["messages/received"] == 1)
    assert status["neighbours"] == status["connections"] == 1
    c.wait_number("connections", 1)


def test_denied_node_is_not_dialled_from_memory(brokers):
    """It was a neighbour before it was denied."""
    a, b = brokers(), brokers()
    a.add_peer(b)
    id = random_topic()
    a.start(), b.start()
    a.client(overlay(id)), b.client(overlay(id))
    b.wait_joined(id)
    # b remembers a, which it was never told of by an option, and would dial it.
    b.stop(), a.stop()
    a.options = [(key, value) for key, value in a.options if key != "peer"]
    a.start(), b.start()
    b.client(overlay(id)), a.client(overlay(id))
    b.wait_joined(id)
    b.stop()
    b.options.append(("deny_node", a.id))
    b.start()
    b.client(overlay(id))
    b.wait_number("peers/not_dialled", 1)
    assert b.number("peers/dials") == 0


def test_peer_with_our_own_id(brokers, tmp_path):
    """A cloned volume: an error line, and nothing else breaks."""
    a, clone, c = brokers(), brokers(), brokers()
    shutil.copy(a.state_dir / "identity.pem", clone.state_dir / "identity.pem")
    # What the clone was before: a has it in its configuration.
    former, clone.id = clone.id, a.id
    a.add_peer(former, clone.address())
    a.add_peer(c)
    for broker in (clone, c, a):
        broker.start()
    a.client(overlay(random_topic()))
    line = a.wait_log(f"a peer at {clone.address()} shows our own node id").string
    assert "identity file" in line
    check_friends(a, c)
    a.wait_number("peers/dials_failed", 4)
    lines = [line for line in a.our_log() if "our own node id" in line]
    assert len(lines) == 1, lines


def test_own_address_is_no_clone(brokers, tmp_path):
    """A peer is said to be where we are ourselves: a mistake, but not that one."""
    a = brokers()
    a.add_peer(make_identity(tmp_path / "nobody.pem"), a.address())
    a.start()
    a.client(overlay(random_topic()))
    a.wait_number("peers/dials_failed", 2)
    assert not any("our own node id" in line for line in a.our_log())


# ---------------------------------------------------------------------------
# advertise


def test_advertised_address_is_told(brokers):
    """c hears of a from b and dials it where a says that it is."""
    # Addresses are tried in their order: the relay comes before a's own address.
    a, b, c = brokers(bind=["127.0.0.2"]), brokers(), brokers()
    with Relay(a.address("127.0.0.2")) as relay:
        a.options.append(("advertise", relay.address))
        a.add_peer(b)
        c.add_peer(b)
        id = random_topic()
        topic = overlay(id)
        clients = {}
        # c is there first: who comes later is named to it, to be dialled by it.
        for broker in (b, c, a):
            broker.start()
            clients[broker] = broker.client(topic)
            if broker is not b:
                broker.wait_joined(id)
        assert f"advertised to peers: {relay.address}" in a.our_log()
        relay.wait_answered()
        c.wait_number("neighbours", 2)
        clients[a].publish(topic, b"from a")
        clients[c].wait_message(topic, b"from a")


def test_advertised_name_is_looked_up(brokers):
    port = free_port()
    a = brokers(options=[("advertise", f"localhost:{port}")])
    a.start()
    a.wait_log(rf"advertised to peers: .*\b127\.0\.0\.1:{port}\b")


def test_advertised_name_is_looked_up_again(brokers, tmp_path):
    """A name that is not there is said once; what else there is is told meanwhile."""
    names = tmp_path / "names"
    a = brokers(
        preload=[shared_library(SHIM, tmp_path)],
        environment={"TEST_NAMES": str(names)},
        options=[("advertise", "moving.invalid:1"), ("advertise", "192.0.2.1:2022")],
    )
    b = brokers()
    a.add_peer(b)
    a.start(), b.start()
    assert "advertised to peers: 192.0.2.1:2022" in a.our_log()
    a.wait_log("advertise: cannot look up moving.invalid")
    check_friends(a, b)
    names.touch()
    # In the order of the configuration.
    a.wait_log("advertised to peers: 127.0.0.1:1, 192.0.2.1:2022$")
    lines = [line for line in a.our_log() if "cannot look up" in line]
    assert len(lines) == 1, lines
