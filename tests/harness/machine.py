# SPDX-License-Identifier: MIT OR Apache-2.0
"""A Debian machine for what a document tells people to type: its folders are below that of the
broker, and the broker is started as Debian's unit would."""

import re
import subprocess

import settings
from broker import Broker

RESTART = "sudo systemctl restart mosquitto\n"
# /etc/mosquitto/mosquitto.conf of Debian forky without its comments. It comes before conf.d, and
# a broker that is root would give itself away.
DEBIANS = """
persistence true
persistence_location /var/lib/mosquitto/

log_dest file /var/log/mosquitto/mosquitto.log

include_dir /etc/mosquitto/conf.d
"""
FOR_THE_TEST = """user root
log_dest stderr
log_type error
log_type warning
log_type notice
log_type information
log_type subscribe
"""
FOLDERS = ("etc/mosquitto/conf.d", "var/lib/mosquitto", "var/log/mosquitto", "bin")


class Machine:
    """broker: one that is not started, with a host of its own (netns.py)."""

    def __init__(self, broker: Broker):
        self.broker, self.host = broker, broker.host
        for folder in FOLDERS:
            (broker.folder / folder).mkdir(parents=True)
        # The test has the rights that it needs, and the firewall is not what it is about.
        self._program("sudo", '[ "$1" != -u ] || shift 2\nexec "$@"')
        self._program("ufw", '[ "$*" = "allow 2022/udp" ]')

    def _program(self, name: str, text: str):
        path = self.broker.folder / "bin" / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def adapted(self, text: str) -> str:
        """With this machine's folders and the plugin under test."""
        folder = self.broker.folder
        text = re.sub(r"/(etc|var/lib|var/log)/mosquitto", rf"{folder}/\1/mosquitto", text)
        text = re.sub(r"/usr/lib/\S+/mosquitto_p2panda.so", str(settings.plugin()), text)
        return text.replace("/usr/local/lib/mosquitto_p2panda.so", str(settings.plugin()))

    def start(self, text: str):
        """With this configuration, whose paths are adapted."""
        self.broker.spawn(self.adapted(FOR_THE_TEST + text))
        self.broker.wait_log("mosquitto version .* running")
        # From the loop: Mosquitto forgets a SIGTERM that comes between those two lines.
        if any("mosquitto_p2panda.so" in line for line in self.broker.log()):
            self.broker.wait_log("registered to receive 'message-in' events")

    def restart(self):
        if self.broker.process:
            self.broker.stop()
        self.start(DEBIANS)

    def command(self, text: str) -> list[str]:
        path = f"PATH={self.broker.folder}/bin:$PATH:/usr/sbin\n"
        return self.host.command("sh", "-euc", path + self.adapted(text))

    def type(self, text: str) -> str:
        """Runs a block; returns what it prints."""
        printed = ""
        for number, part in enumerate(text.split(RESTART)):
            if number > 0:
                self.restart()
            done = subprocess.run(self.command(part), capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            printed += done.stdout
        return printed
