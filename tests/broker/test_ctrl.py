# SPDX-License-Identifier: MIT OR Apache-2.0
"""The module of mosquitto_ctrl, in the stock mosquitto_ctrl: each command, what it shows a person
and what it shows a script."""

import json
import os
import pathlib
import re
import shlex
import stat
import subprocess
import tempfile

import pytest
import settings
from documents import block
from identity import make_identity

ROOT = pathlib.Path(__file__).resolve().parents[2]
ID = "b936a1abe9992128bfe7730c32d22f22be048c997db703b3a0df961a673f8485"
OTHER = "8139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394"
TOPIC = "17" * 32
NAME_LAMP = "p2panda/name/lamp"
COMMANDS = [
    "getStatus", "listTopics", "getTopic", "joinTopic", "leaveTopic", "listNodes", "getNode",
    "addNode", "removeNode", "allow", "deny", "getMetrics", "setLogLevel", "ping",
]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    preload = {"LD_PRELOAD": settings.PRELOAD} if settings.PRELOAD else {}
    return subprocess.run(
        ["mosquitto_ctrl", *arguments],
        env=os.environ
        | preload
        | {"LD_LIBRARY_PATH": str(settings.plugin().parent), "ASAN_OPTIONS": "detect_leaks=0"}
        | environment,
        capture_output=True,
        text=True,
        timeout=settings.PATIENCE,
        check=False,
    )


def alone(*arguments: str) -> subprocess.CompletedProcess:
    """A command that needs no broker."""
    return run("p2panda", *arguments)


class Ctrl:
    def __init__(self, broker, user: str | None = "admin"):
        self.login = ["-h", "127.0.0.1", "-p", str(broker.mqtt_port)]
        self.login += ["-u", user, "-P", "x"] if user else []

    def run(self, *arguments: str) -> subprocess.CompletedProcess:
        return run(*self.login, "p2panda", *arguments)

    def show(self, *arguments: str) -> str:
        """What a person sees of a command that is done."""
        done = self.run(*arguments)
        assert done.returncode == 0, done
        assert "Error" not in done.stderr, done
        return done.stdout

    def json(self, *arguments: str) -> dict:
        return json.loads(self.show("-j", *arguments))

    def refusal(self, *arguments: str) -> str:
        """The one line on stderr with which it is refused."""
        done = self.run(*arguments)
        assert done.returncode == 1, done
        (line,) = re.findall(r"^Error: (.*)", done.stderr, re.MULTILINE)
        return line


@pytest.fixture
def broker(brokers):
    return brokers(options=[("control", "true")]).start()


@pytest.fixture
def ctrl(broker):
    return Ctrl(broker)


# -- without a broker ---------------------------------------------------------


def test_help_has_all_commands():
    """And so has the document, by the same words."""
    done = alone("help")
    assert done.returncode == 0
    document = (ROOT / "docs/control.md").read_text()
    listed = re.findall(r"^    (\w+)(?: .*)?\n {8}(.*)", done.stdout, re.MULTILINE)
    assert [name for name, _ in listed] == [*COMMANDS, "identity", "topic"]
    assert re.findall(r"^\| `(\w+)` \|", document.partition("## Commands")[2], re.MULTILINE)[
        : len(COMMANDS)
    ] == COMMANDS
    manual = (ROOT / "docs/mosquitto_ctrl_p2panda.1.in").read_text()
    for name in [*COMMANDS, "identity", "topic"]:
        assert re.search(rf"^\.(B|BI|BR) {name}\b", manual, re.MULTILINE), name
    for name in [*COMMANDS, "identity", "topic"]:
        one = alone("help", name)
        assert one.returncode == 0 and f"    {name}" in one.stdout
    assert alone("help", "nonsense").returncode == 2


def test_topic_of_a_name(broker):
    """The digits are those of the overlay that the name joins."""
    done = alone("topic", "lamp")
    assert done.returncode == 0
    digits = done.stdout.strip()
    assert re.fullmatch("[0-9a-f]{64}", digits)
    assert json.loads(alone("-j", "topic", "lamp").stdout) == {"topic": digits}
    broker.client(NAME_LAMP)
    broker.wait_status(lambda status: status["overlays"] == 1)
    assert Ctrl(broker).json("getTopic", digits)["topic"] == digits


def test_topics_that_nobody_can_guess():
    digits = {alone("topic", "--random").stdout.strip() for _ in range(3)}
    assert len(digits) == 3 and all(re.fullmatch("[0-9a-f]{64}", one) for one in digits)


@pytest.mark.parametrize("name", ["", "a/b", "a+b", "#", "x" * 201])
def test_names_that_are_none(name):
    done = alone("topic", name)
    assert done.returncode == 2 and done.stdout == ""
    assert "1 to 200 bytes" in done.stderr


def test_identity(tmp_path, brokers):
    """Made before the first start, it is the broker's."""
    broker = brokers(identity=False)
    path = broker.state_dir / "identity.pem"
    done = alone("identity", str(path))
    assert done.returncode == 0, done
    assert f"made {path}" in done.stderr
    node_id = done.stdout.strip()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = alone("identity", str(path))
    assert (again.stdout, again.stderr) == (done.stdout, "")
    assert json.loads(alone("-j", "identity", str(path)).stdout) == {
        "node_id": node_id, "file": str(path),
    }
    assert broker.start().id == node_id


def test_identity_of_a_key_that_is_there(tmp_path):
    path = tmp_path / "identity.pem"
    node_id = make_identity(path)
    assert alone("identity", str(path)).stdout.strip() == node_id


@pytest.mark.root
def test_identity_belongs_to_whom_the_folder_belongs():
    """And root is shown it again."""
    with tempfile.TemporaryDirectory() as folder:
        os.chown(folder, 12345, 23456)
        path = pathlib.Path(folder) / "p2panda" / "identity.pem"
        done = alone("identity", str(path))
        assert done.returncode == 0
        for made in (path, path.parent):
            assert (made.stat().st_uid, made.stat().st_gid) == (12345, 23456)
        again = alone("identity", str(path))
        assert (again.stdout, again.stderr) == (done.stdout, "")


def test_identity_that_is_none(tmp_path):
    path = tmp_path / "identity.pem"
    path.write_text("hello")
    path.chmod(0o600)
    done = alone("identity", str(path))
    assert done.returncode == 1 and done.stdout == "" and str(path) in done.stderr
    assert alone("identity", "a", "b").returncode == 2
    assert alone("identity", str(tmp_path / "no" / "such" / "folder.pem")).returncode == 1


def test_what_is_not_understood():
    for arguments in (["nonsense"], ["getTopic"], ["getTopic", "a", "b"], ["getStatus", "a"],
                      ["listTopics", "many"], ["listTopics", "1", "2", "3"], ["allow"],
                      ["addNode"], ["topic"], ["topic", "a", "b"]):
        done = alone(*arguments)
        assert done.returncode == 2, arguments
        assert done.stderr.startswith("Error: ") and done.stdout == "", arguments


def test_documented_commands_without_a_broker(tmp_path):
    lines = block("docs/control.md", "offline").replace("/var/lib/mosquitto", str(tmp_path))
    for line in lines.splitlines():
        words = shlex.split(line)
        assert words[:2] == ["mosquitto_ctrl", "p2panda"]
        assert re.fullmatch("[0-9a-f]{64}\n", alone(*words[2:]).stdout), line


# -- with one -----------------------------------------------------------------


def test_status(broker, ctrl):
    assert ctrl.json("getStatus")["node_id"] == broker.id
    shown = ctrl.show("getStatus")
    assert re.search(rf"^node_id +{broker.id}$", shown, re.MULTILINE)
    assert re.search(r"^started +20\d\d-\d\d-\d\d \d\d:\d\d:\d\d$", shown, re.MULTILINE)
    assert "allowed: none" in shown
    assert broker.address() in shown


def test_topics(ctrl):
    assert ctrl.show("listTopics") == "none\n"
    assert ctrl.json("joinTopic", TOPIC) == {}
    assert ctrl.show("joinTopic", f"p2panda/{OTHER}") == ""
    table = ctrl.show("listTopics").splitlines()
    assert table[0].split() == [
        "topic", "state", "neighbours", "sent", "received", "dropped", "since", "source",
    ]
    assert {line.split()[0] for line in table[1:]} == {TOPIC, OTHER}
    assert [line.index("joining") for line in table[1:]] == [table[0].index("state")] * 2
    assert len(ctrl.json("listTopics", "1")["topics"]) == 1
    page = ctrl.json("listTopics", "1")
    rest = ctrl.json("listTopics", "1", str(page["next"]))
    assert {one["topic"] for one in page["topics"] + rest["topics"]} == {TOPIC, OTHER}
    assert not rest["more"]
    shown = ctrl.show("getTopic", TOPIC)
    assert "neighbours: none" in shown and re.search("^state +joining$", shown, re.MULTILINE)
    ctrl.show("leaveTopic", TOPIC)
    settings.wait_until(lambda: TOPIC not in {one["topic"] for one in ctrl.json("listTopics")["topics"]})
    assert "was not joined by joinTopic" in ctrl.refusal("leaveTopic", TOPIC)
    assert "is not joined" in ctrl.refusal("getTopic", TOPIC)


def test_nodes(ctrl):
    assert ctrl.show("listNodes") == "none\n"
    ctrl.show("addNode", f"{ID}@127.0.0.1:1")
    ctrl.show("addNode", f"{OTHER}@127.0.0.1:2", "bootstrap")
    table = ctrl.show("listNodes").splitlines()
    assert [line.split()[:3] for line in table] == [
        ["node", "role", "source"], [ID, "peer", "control"], [OTHER, "bootstrap", "control"],
    ]
    (address,) = ctrl.json("getNode", ID)["addresses"]
    assert address == {"address": "127.0.0.1:1", "origin": "configured"}
    assert re.search("^127.0.0.1:1 +configured$", ctrl.show("getNode", ID), re.MULTILINE)
    ctrl.show("removeNode", ID)
    assert [node["node"] for node in ctrl.json("listNodes")["nodes"]] == [OTHER]
    assert "is neither a peer" in ctrl.refusal("removeNode", ID)
    assert "is not known" in ctrl.refusal("getNode", TOPIC)
    assert len(ctrl.json("listNodes", "--all")["nodes"]) == 2


def test_access(ctrl):
    ctrl.show("deny", ID, OTHER)
    assert [one["node"] for one in ctrl.json("getStatus")["denied"]] == [ID, OTHER]
    ctrl.show("deny", "--remove", ID)
    ctrl.show("allow", ID)
    status = ctrl.json("getStatus")
    assert status["allowed"] == [{"node": ID, "source": "control"}]
    assert "is denied" in ctrl.refusal("allow", OTHER)
    ctrl.show("allow", ID, "--remove")


def test_metrics_and_log_level(ctrl):
    assert ctrl.json("getMetrics")["messages/in"] == 0
    assert re.search("^dropped/repeated +0$", ctrl.show("getMetrics"), re.MULTILINE)
    assert re.search("^kept +yes$", ctrl.show("setLogLevel", "debug"), re.MULTILINE)
    assert "it takes debug" in ctrl.refusal("setLogLevel", "loud")


def test_a_ping_that_nobody_answers(ctrl):
    """It has its addresses, and is a failure for scripts."""
    ctrl.show("addNode", f"{ID}@127.0.0.1:1")
    done = ctrl.run("-j", "ping", ID)
    assert done.returncode == 1
    (address,) = json.loads(done.stdout)["addresses"]
    assert (address["address"], address["answered"]) == ("127.0.0.1:1", False)
    assert address["failure"]


def test_documented_commands(ctrl):
    ctrl.show("joinTopic", "eed10fa3224d5e8250525e82db33b7c4ab596ee324d5f423ffbdc794ae6f7b4d")
    for line in block("docs/control.md", "commands").replace("<node id>", ID).splitlines():
        words = shlex.split(line)
        assert words[:6] == ["mosquitto_ctrl", "-u", "admin", "-P", "secret", "p2panda"]
        ctrl.show(*words[6:])
    assert [node["node"] for node in ctrl.json("listNodes")["nodes"]] == [ID]


def test_errors_as_json(ctrl):
    done = ctrl.run("-j", "getTopic", TOPIC)
    assert done.returncode == 1
    assert "is not joined" in json.loads(done.stdout)["error"]


def test_who_is_refused(brokers, tmp_path):
    broker = brokers(options=[("control", "true")]).start()
    assert "user name" in Ctrl(broker, user=None).refusal("getStatus")
    off = brokers().start()
    assert "plugin_opt_control is not true" in Ctrl(off).refusal("getStatus")
    acl = tmp_path / "acl"
    acl.write_text("topic read $SYS/#\n")
    closed = brokers(options=[("control", "true")], lines=[f"acl_file {acl}"]).start()
    assert "has not answered" in Ctrl(closed).refusal("getStatus")


def test_no_broker(brokers):
    assert Ctrl(brokers()).run("getStatus").returncode == 1
