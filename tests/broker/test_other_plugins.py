# SPDX-License-Identifier: MIT OR Apache-2.0
"""Beside other plugins of the same broker: nobody takes anything from anybody."""

import json
import pathlib
import signal
import statistics
import subprocess

import pytest

from compile import shared_library
from identity import overlay, random_topic
from settings import within

SIGURG_PLUGIN = pathlib.Path(__file__).with_name("sigurg_plugin.c")
SHIM = pathlib.Path(__file__).with_name("calls_preload.c")
NOT_AUTHORISED = 0x87


# ---------------------------------------------------------------------------
# dynamic-security


def dynamic_security() -> pathlib.Path:
    name = "mosquitto_dynamic_security.so"
    for folder in (pathlib.Path("/usr/lib"), pathlib.Path("/usr/local/lib")):
        for pattern in (name, f"*/{name}", f"*/*/{name}"):
            for path in folder.glob(pattern):
                return path
    raise RuntimeError(f"there is no {name}")


def rule(kind: str, topic: str, allow: bool = True) -> dict:
    return {"acltype": kind, "topic": topic, "allow": allow, "priority": 0}


def make_security(path: pathlib.Path, rules: list[dict]):
    """What everybody who has no name may do; all else is denied, but for receiving."""
    subprocess.run(
        ["mosquitto_ctrl", "dynsec", "init", str(path), "admin", "secret"],
        check=True,
        capture_output=True,
    )
    config = json.loads(path.read_text())
    config["roles"].append({"rolename": "some", "acls": rules})
    config["groups"] = [{"groupname": "nameless", "roles": [{"rolename": "some"}]}]
    config["anonymousGroup"] = "nameless"
    path.write_text(json.dumps(config))


@pytest.mark.parametrize("order", ["before", "after"])
def test_dynamic_security_keeps_its_denials(brokers, tmp_path, order):
    free, hidden, denied = (overlay(random_topic()) for _ in range(3))
    path = tmp_path / "dynamic-security.json"
    make_security(
        path,
        [
            rule("subscribePattern", "$SYS/#"),
            rule("subscribeLiteral", free),
            rule("publishClientSend", free),
            rule("subscribeLiteral", hidden),
            rule("publishClientReceive", hidden, allow=False),
        ],
    )
    security = [f"plugin {dynamic_security()}", f"plugin_opt_config_file {path}"]
    # Who may not read there does not hold it: it is joined all the same.
    fixed = [("topic", hidden.removeprefix("p2panda/"))]
    a = brokers(lines=security if order == "before" else (), options=fixed)
    b = brokers()
    a.add_peer(b)
    a.start(a.config() + "".join(f"{line}\n" for line in security if order == "after"))
    b.start()
    loaded = [line for line in a.log() if "Loading plugin" in line]
    assert ("dynamic" in loaded[0], "dynamic" in loaded[1]) == (order == "before", order == "after")

    # Connecting.
    with pytest.raises(ConnectionError):
        a.client(login=("admin", "wrong"))
    a.client(login=("admin", "secret"))
    # Subscribing.
    near = a.client(free, hidden)
    for topic in (denied, f"$share/group/{denied}", "p2panda/+", "#"):
        assert near.subscribe(topic, 1).value == NOT_AUTHORISED
        assert not b.client().subscribe(topic, 1).is_failure  # it would be fine otherwise
    far = b.client(free, hidden, denied)
    for topic in (free, hidden):
        a.wait_joined(topic.removeprefix("p2panda/"))
    # Publishing, and what arrives.
    for topic in (denied, hidden):
        for qos in (0, 1, 2):  # paho shows the reason of QoS 1 only
            reason = near.publish(topic, b"not to be sent", qos)
            assert qos != 1 or reason.value == NOT_AUTHORISED
    far.publish(hidden, b"not to be seen")
    far.publish(free, b"from b")
    near.wait_message(free, b"from b")
    near.publish(free, b"from a")
    far.wait_message(free, b"from a")
    assert near.payloads(hidden) == near.payloads(denied) == far.payloads(denied) == []
    assert far.payloads(hidden) == [b"not to be seen"]
    status = a.wait_status(lambda status: status["messages/received"] == 2)
    assert status["messages/in"] == status["messages/sent"] == 1
    assert status["overlays"] == 2


# ---------------------------------------------------------------------------
# SIGURG


def beside(brokers, tmp_path, signals: str, bell: bool):
    """Two brokers, the first one with that other plugin, that share an overlay. bell: whether the
    broker's epoll set can be found."""
    library = shared_library(SIGURG_PLUGIN, tmp_path)
    a = brokers(
        lines=[f"plugin {library}", f"plugin_opt_signals {signals}"],
        preload=[shared_library(SHIM, tmp_path)],
        environment={} if bell else {"TEST_NO_BELL": "1"},
    )
    b = brokers()
    a.add_peer(b)
    a.start(), b.start()
    topic = overlay(random_topic())
    receiver, sender = a.client(topic), b.client(topic)
    for broker in (a, b):
        broker.wait_joined(topic.removeprefix("p2panda/"))
    return a, topic, sender, receiver


def median_delay(topic, sender, receiver) -> float:
    """Seconds from one broker's client to the other's, one message at a time."""
    delays = []
    for number in range(21):
        payload = f"message {number}".encode()
        sender.post(topic, payload)
        there = receiver.wait_message(topic, payload)
        delays.append(there.time - sender.wait_message(topic, payload).time)
    return statistics.median(delays)


def check_handlers(a):
    """The other plugin has got its own signals, and none of ours."""
    a.stop()
    assert any("sigurg: raised 10 times, handled 10 times" in line for line in a.log()), a.tail()


def test_sigurg_is_taken(brokers, tmp_path):
    a, topic, sender, receiver = beside(brokers, tmp_path, "urgent", bell=False)
    number = int(a.wait_log(r"SIGURG is taken: signal (\d+) wakes the broker")[1])
    assert signal.SIGRTMIN < number <= signal.SIGRTMAX
    # The broker's loop alone turns every 100 ms.
    assert median_delay(topic, sender, receiver) < within(0.02)
    check_handlers(a)


@pytest.mark.unsanitized  # AddressSanitizer keeps one for itself
@pytest.mark.parametrize("bell", [False, True])
def test_no_signal_is_free(brokers, tmp_path, bell):
    a, topic, sender, receiver = beside(brokers, tmp_path, "all", bell)
    a.wait_log("no signal is free to wake the broker: messages that arrive may wait up to 100 ms")
    delay = median_delay(topic, sender, receiver)
    if bell:
        assert delay < within(0.02)
    else:
        assert 0.02 < delay < 0.3
    check_handlers(a)
