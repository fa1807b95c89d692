# SPDX-License-Identifier: MIT OR Apache-2.0
"""Each sample of conf/ is started on a machine of its own and carries a message. What its comments
tell people to make is made so."""

import re
import subprocess

import pytest

from documents import TREE, block
from identity import overlay, random_topic
from settings import wait_until, within
from sites import EXAMPLE_HOST, EXAMPLE_ID, exchange, read

STARTED = {
    "behind-nat.conf",
    "bootstrap-node.conf",
    "closed-mesh.conf",
    "discovery.conf",
    "first-node.conf",
    "home-assistant.conf",
    "lan.conf",
    "node-red.conf",
    "with-page.conf",  # tests/broker/test_page.py
    "with-peer.conf",
}


def test_there_is_no_other_sample():
    assert {path.name for path in (TREE / "conf").glob("*.conf")} == STARTED


def test_two_sites(sites):
    a, b = sites("ab")
    a.start("first-node.conf")
    b.start("with-peer.conf", a)
    exchange(a, b)
    # The one that is never left.
    fixed = re.search(r"^plugin_opt_topic (\w+)$", read("with-peer.conf"), re.MULTILINE)[1]
    exchange(a, b, overlay(fixed))


def test_local_network(sites):
    """The same file everywhere, and nobody is named."""
    a, b, c = sites("abc")
    for one in (a, b, c):
        one.start("lan.conf")
    exchange(a, b)
    exchange(b, c)


def test_bootstrap_node(sites):
    """Two nodes that know it alone talk, without it."""
    way_in, a, b = sites("wab")
    way_in.start("bootstrap-node.conf", **{EXAMPLE_HOST: way_in.where})
    for one in (a, b):
        one.start("discovery.conf", way_in, **{"plugin_opt_mdns active": "plugin_opt_mdns off"})
    exchange(a, b)
    assert way_in.status("overlays") == "0" and way_in.status("messages/received") == "0"


def test_discovery(sites):
    """Its way in is gone: there is the local network."""
    a, b, lost = sites("abl")
    for one in (a, b):
        one.start("discovery.conf", lost)
    exchange(a, b)


def test_behind_nat(sites):
    """Its relay is not there: that is no reason not to start, nor to miss a direct way."""
    a, b = sites("ab")
    a.start("first-node.conf")
    b.start("behind-nat.conf", **{
        f"{EXAMPLE_ID}@https://relay.example.org": f"{a.id}@https://relay.example.org,{a.where}"
    })  # fmt: skip
    assert b.status("relay/url") == "https://relay.example.org/"
    assert b.status("relay/state") == "connecting"
    exchange(a, b)
    assert b.status("neighbours/relayed") == "0"


def test_closed_mesh(sites):
    """Two sites that name each other, and a third one that knows everything but is not named."""
    a, b, stranger = sites("abs")
    for one, other in ((a, b), (b, a), (stranger, a)):
        one.make_certificate()
        one.make_files("closed-mesh.conf")
        one.start("closed-mesh.conf", other)
    tls = "-h localhost -p 8883 --cafile /etc/mosquitto/certs/server.crt -P secret -u"
    topic = re.search(r"^#   topic readwrite (\S+)$", read("closed-mesh.conf"), re.MULTILINE)[1]
    with stranger.hear(topic, login=f"{tls} alice") as outsider:
        exchange(a, b, topic, f"{tls} alice")
        # It has been at the door, and was not let in.
        a.wait_counted("peers/refused", f"{tls} monitor")
        assert outsider.poll() is None
        outsider.terminate()
        assert outsider.communicate()[0] == ""
    # Clients without rights, or without a name, get nothing.
    for login in (tls.replace("-P secret -u", ""), f"{tls} monitor"):
        command = a.machine.command(f"mosquitto_pub -V 5 {login} -q 1 -d -t '{topic}' -m x 2>&1")
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert "135" in done.stdout, done.stdout


@pytest.mark.no_tsan  # it has a bridge: see test_origin.py
def test_home_assistant(sites):
    """The same reading twice arrives twice, on a name of one's own, at both homes."""
    a, b = sites("ab")
    bridge = block("docs/home-automation.md", "bridge")
    sensor = block("docs/home-automation.md", "sensor")
    assert bridge in read("home-assistant.conf")
    for one, other in ((a, b), (b, a)):
        one.make_files("home-assistant.conf")
        one.start("home-assistant.conf", other)
    login = "-u homeassistant -P secret"
    topic = re.search(r"^ *state_topic: (\S+)$", sensor, re.MULTILINE)[1]
    exchange(a, b, topic, login, count=2)
    available = re.search(r'availability_topic: "\$SYS/broker/p2panda/(.+)"', sensor)[1]
    state = available.replace("<10 digits>", b.id[:10])
    # It is told once in sys_interval.
    wait_until(lambda: a.status(state, login) == "online", within(20))


def test_node_red(sites):
    a, b = sites("ab")
    for one, other in ((a, b), (b, a)):
        one.make_files("node-red.conf")
        one.start("node-red.conf", other)
    login = "-V 5 -u nodered -P secret"
    topic = f"{overlay(random_topic())}/ephemeral/json"
    with b.hear(topic, login=f"{login} -F '%p %P'") as subscriber:
        a.say(topic, '{"temp":20.5}', login)
        heard = subscriber.communicate(timeout=60)[0]
    assert heard.startswith(f'{{"temp":20.5}} p2panda-author:{a.id}')
    assert a.status("node_id", login) == a.id
