# SPDX-License-Identifier: MIT OR Apache-2.0
"""What docker/compose.yaml runs, without Docker: the keys service, and the brokers that it has
configured, each on a machine of its own."""

import os
import re
import shutil
import subprocess

import pytest

from browser import Browser
from documents import TREE
from identity import overlay, random_topic
from machine import Machine


def keys(folder, names: str) -> dict[str, str]:
    """Runs the service for these brokers; returns their configurations."""
    for name in names:
        (folder / "brokers" / name).mkdir(parents=True, exist_ok=True)
    script = (TREE / "docker/demo-keys.sh").read_text()
    script = script.replace("/brokers/", f"{folder}/brokers/")
    script = script.replace("/etc/mosquitto/mosquitto.conf", f"{TREE}/docker/mosquitto.conf")
    subprocess.run(["sh", "-euc", script, "demo-keys", *names], check=True, capture_output=True)
    return {name: (folder / "brokers" / name / "mosquitto.conf").read_text() for name in names}


def test_two_brokers(brokers, net, tmp_path):
    first = keys(tmp_path, "ab")
    # Started again, they are who they were.
    configurations = keys(tmp_path, "ab")
    assert configurations == first
    hosts = dict(zip("ab", net.hosts("ab"), strict=True))
    machines, ids = {}, {}
    for name, text in configurations.items():
        machine = machines[name] = Machine(brokers(identity=False, host=hosts[name]))
        shutil.copy(tmp_path / "brokers" / name / "identity.pem",
                    machine.broker.folder / "var/lib/mosquitto/identity.pem")  # fmt: skip
        # Compose's names for the machines.
        text = re.sub(r"@(\w):2022$", lambda at: f"@{hosts[at[1]].address()}", text, flags=re.M)
        text = text.replace("/usr/local/share/mosquitto-p2panda/page", f"{TREE}/page")
        machine.start(text)
        ids[name] = machine.broker.wait_log("p2panda: node id ([0-9a-f]{64})$")[1]
    topic = overlay(random_topic())
    command = machines["b"].command(f"exec mosquitto_sub -C 1 -W 30 -t {topic}")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as subscriber:
        machines["b"].broker.wait_log(rf" \d {topic}$")
        machines["a"].type(f"mosquitto_pub -t {topic} -m 'hello from a'")
        assert subscriber.communicate(timeout=60)[0] == "hello from a\n"
    # And each has its page, as up.sh says.
    for name, machine in machines.items():
        with Browser(machine.broker.folder, machine.host) as browser:
            page = browser.open("http://localhost:9883/?port=9001")
            page.wait(f"document.getElementById('node_id').textContent === '{ids[name]}'")
            assert page.errors() == []


UP = TREE / "docker/up.sh"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"P2PANDA_PORT_B": "1883"}, "P2PANDA_PORT_A and P2PANDA_PORT_B are both 1883"),
        ({"P2PANDA_PAGE_A": "9001"}, "P2PANDA_PAGE_A and P2PANDA_WS_A are both 9001"),
        ({"P2PANDA_WS_B": "x"}, "P2PANDA_WS_B is 'x', which is not a port: accepted are 1 to 65535"),
        ({"P2PANDA_PAGE_B": "65536"}, "P2PANDA_PAGE_B is '65536', which is not a port"),
    ],
    ids=["mqtt", "page", "nonsense", "large"],
)
def test_bad_ports(given, said):
    """They are named before anything is asked of Docker."""
    done = subprocess.run([UP], env=os.environ | given, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and said in done.stderr
