# SPDX-License-Identifier: MIT OR Apache-2.0
"""Who may do what is what it would be without the plugin: every decision of a broker with it is
compared with that of the same broker without it."""

import pathlib
import signal

import pytest

from broker import Broker
from compile import shared_library
from identity import overlay, random_topic
from mqtt import V5, V311, Client
from stock import NEW, NOT_AUTHORISED, find, password_file, rule, security_file

OTHER = pathlib.Path(__file__).with_name("access_plugin.c")
USERS = {"alice": "one", "bob": "two"}
LOGINS = [None, ("alice", "one"), ("bob", "two"), ("alice", "wrong")]
A, B, C = (overlay(random_topic()) for _ in range(3))
TOPICS = [A, B, C, "public/1", "secret/1", "plain/1", "$CONTROL/none"]
FILTERS = [
    *TOPICS[:-1], "#", "p2panda/#", "plain/+", "$SYS/broker/version", f"$share/g/{A}",
    "$share/g/secret/1", f"{B}/#",
]  # fmt: skip

# Of what is allowed to whom in an acl_file.
RULES = f"""
topic read {A}
topic write {B}
topic readwrite plain/#
topic deny plain/1/#
user alice
topic readwrite {A}
topic readwrite {C}
topic readwrite public/#
user bob
topic read p2panda/#
pattern write %u/own
"""
OTHER_RULES = f"topic readwrite {C}\ntopic read public/#\nuser alice\ntopic readwrite #\n"


class Setup:
    """Lines before and behind the plugin's, of one broker."""

    def __init__(self, stock, folder: pathlib.Path):
        folder.mkdir()
        self.stock, self.folder = stock, folder
        # All that a client gets is on its way before the answer to what it asks next.
        self.lines, self.behind = ["max_inflight_messages 0"], []
        self.rules = folder / "rules"

    def passwords(self):
        path = password_file(self.folder / "passwords", USERS)
        self.lines.append(f"password_file {path}")

    def acl_file(self):
        self.rules.write_text(RULES)
        self.lines.append(f"acl_file {self.rules}")

    def dynamic_security(self):
        rules = [
            rule("subscribeLiteral", A),
            rule("subscribeLiteral", B, allow=False),
            rule("subscribePattern", "plain/#"),
            rule("subscribePattern", f"{C}/#"),
            rule("unsubscribeLiteral", "plain/1", allow=False),
            rule("publishClientSend", A),
            rule("publishClientSend", B),
            rule("publishClientSend", "public/#"),
            rule("publishClientReceive", B, allow=False),
        ]
        path = security_file(self.folder / "security.json", USERS, rules)
        return [
            f"plugin {self.stock.dynamic_security}",
            f"plugin_opt_config_file {path}",
        ]

    def other(self, checks: str):
        return [f"plugin {shared_library(OTHER, self.folder)}", f"plugin_opt_checks {checks}"]


def none(setup):
    pass


def acl_file(setup):
    setup.acl_file()


def password(setup):
    setup.passwords()


def both_files(setup):
    setup.acl_file()
    setup.passwords()


def nobody_anonymous(setup):
    both_files(setup)
    setup.lines.append("allow_anonymous false")


def dynsec_behind(setup):
    setup.behind += setup.dynamic_security()


def dynsec_behind_and_acl_file(setup):
    setup.behind += setup.dynamic_security()
    setup.acl_file()


def other_plugin(setup):
    setup.behind += setup.other("yes")


def other_plugin_and_files(setup):
    both_files(setup)
    setup.behind += setup.other("yes")


def idle_plugin_and_acl_file(setup):
    setup.acl_file()
    setup.behind += setup.other("no")


SETUPS = [
    none, acl_file, password, both_files, nobody_anonymous, dynsec_behind,
    dynsec_behind_and_acl_file, other_plugin, other_plugin_and_files, idle_plugin_and_acl_file,
]  # fmt: skip


def code(reason) -> int:
    return reason.value if hasattr(reason, "value") else reason


def connect(broker, login, version, name):
    try:
        return Client(broker.mqtt_port, client_id=name, login=login, version=version)
    except ConnectionError as error:
        return str(error).split(":")[-1]


def unsubscribe(client: Client, topic: str):
    _, mid = client._paho.unsubscribe(topic)
    return client._await_answer("unsubscribe", mid)


def decisions(broker) -> dict:
    """All that is decided, by names that are the same for both brokers."""
    found, clients = {}, {}
    for number, login in enumerate(LOGINS):
        for version in (V311, V5):
            name = f"{login and login[0]}-{number}-{version}"
            client = connect(broker, login, version, name)
            found["connect", name] = client if isinstance(client, str) else "yes"
            if isinstance(client, Client):
                clients[name] = client
    for name, client in clients.items():
        for topic in FILTERS:
            found["subscribe", name, topic] = code(client.subscribe(topic, 1))
    for name, client in clients.items():
        for topic in TOPICS:
            found["publish", name, topic] = code(client.publish(topic, f"{name}{topic}".encode()))
        client.unsubscribe("fence")  # what came before this has been delivered to everybody
    for name, client in clients.items():
        client.unsubscribe("fence")
        # Each of them only once; of a shared one it is not said to whom.
        arrived = {(m.topic, m.payload) for m in client._messages if not m.topic.startswith("$SYS")}
        found["arrived", name] = sorted(arrived)
        found["status", name] = client.payloads("$SYS/broker/version")[:1]
    for name, client in clients.items():
        for topic in FILTERS:
            answer = unsubscribe(client, topic)
            if client.version == V5:
                found["unsubscribe", name, topic] = [code(one) for one in answer]
        client.close()
    return found


def compare(pair):
    found = [decisions(broker) for broker in pair]
    different = {
        key: (found[0].get(key), found[1].get(key))
        for key in found[0].keys() | found[1].keys()
        if found[0].get(key) != found[1].get(key)
    }
    assert not different, different
    return found[0]


def start(brokers, stock, tmp_path, make) -> list[Broker]:
    """One with the plugin and one without."""
    pair = []
    for has_plugin in (True, False):
        setup = Setup(stock, tmp_path / f"setup-{has_plugin}")
        make(setup)
        broker = brokers(
            program=stock.program, lines=setup.lines, behind=setup.behind, plugin=has_plugin
        )
        broker.setup = setup
        broker.spawn()
        broker.wait_log("mosquitto version .* running")
        pair.append(broker)
    return pair


def reload(pair):
    for broker in pair:
        broker.process.send_signal(signal.SIGHUP)
        # The log is closed and opened again at the end of it, and a client is served behind it.
        broker.wait_log("Reloading config")
        Client(broker.mqtt_port, login=LOGINS[1]).close()


@pytest.mark.parametrize("make", SETUPS, ids=lambda make: make.__name__)
def test_as_without_the_plugin(brokers, stock, tmp_path, make):
    pair = start(brokers, stock, tmp_path, make)
    before = compare(pair)
    reload(pair)
    assert compare(pair) == before
    has_rules = pair[0].setup.rules.exists()
    for broker in pair:
        broker.setup.rules.write_text(OTHER_RULES)
    reload(pair)
    after = compare(pair)
    # These do decide something.
    assert (before != after) == has_rules
    kinds = {key[0] for key in before}
    assert kinds >= {"connect", "subscribe", "publish", "arrived", "unsubscribe"}


@pytest.mark.parametrize("way", ["comes", "goes"])
def test_acl_file_comes_and_goes(brokers, stock, tmp_path, way):
    """By a reload: it is asked, or not any more, from then on."""
    pair = start(brokers, stock, tmp_path, none if way == "comes" else acl_file)
    before = compare(pair)
    for broker in pair:
        path = broker.folder / "mosquitto.conf"
        line = f"acl_file {broker.setup.rules}\n"
        broker.setup.rules.write_text(RULES)
        old = path.read_text()
        path.write_text(line + old if way == "comes" else old.replace(line, ""))
    reload(pair)
    after = compare(pair)
    if way == "comes":
        assert before != after


def test_other_plugins_are_reloaded(brokers, stock, tmp_path):
    with_it, without = start(brokers, stock, tmp_path, other_plugin)
    for broker in (with_it, without):
        broker.process.send_signal(signal.SIGHUP)
        broker.wait_log("the other plugin reloads")


# ---------------------------------------------------------------------------
# What Mosquitto 2.0 makes worse


def dynsec(setup):
    return setup.dynamic_security()


def idle(setup):
    return setup.other("no")


@pytest.mark.parametrize("plugin", [dynsec, idle])
def test_other_plugin_before(brokers, old, tmp_path, plugin):
    """It would not be seen what it allows: refused, with the remedy."""
    setup = Setup(old, tmp_path / "setup")
    broker = brokers(program=old.program, lines=plugin(setup))
    line = broker.wait_refusal()
    assert "has to be the first one" in line and line.endswith(".so")
    # As it says.
    broker.lines, broker.behind = [], broker.lines
    broker.spawn()
    # Before its first turn 2.0 forgets that it was told to end.
    broker.wait_log("another plugin is loaded")


def test_dynsec_before_the_new_one(brokers, tmp_path):
    def make(setup):
        setup.lines += setup.dynamic_security()

    pair = start(brokers, find(NEW), tmp_path, make)
    before = compare(pair)
    reload(pair)
    assert compare(pair) == before


def test_idle_plugin_alone(brokers, old, tmp_path):
    """Nobody knows that it allows nothing and denies nothing: all is denied, and it is said; with
    an acl_file it is as that says."""
    setup = Setup(old, tmp_path / "setup")
    lines = setup.other("no")
    broker = brokers(program=old.program, behind=lines)
    broker.spawn()
    broker.wait_log("another plugin is loaded, .*access_plugin.so: what neither it nor an acl_file")
    client = broker.client()
    assert code(client.publish(A, b"denied")) == NOT_AUTHORISED
    broker.terminate()
    broker.wait_end()
    setup.rules.write_text("topic readwrite #\ntopic read $SYS/#\n")
    broker.lines = [f"acl_file {setup.rules}"]
    broker.start()
    client = broker.client(A)
    assert code(client.publish(A, b"allowed")) == 0
    client.wait_message(A, b"allowed")
