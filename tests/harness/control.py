# SPDX-License-Identifier: MIT OR Apache-2.0
"""Control of a broker's plugin by MQTT.

    control = Control(broker)              # as a client with a user name
    control.ask("addNode", node="...")     # the command's data, or ControlError
"""

import itertools
import json
import time
from collections.abc import Callable
from typing import Any

from settings import PATIENCE

REQUEST = "$CONTROL/p2panda/v1"
RESPONSE = REQUEST + "/response"


class ControlError(Exception):
    """What a response says in "error"."""


class Control:
    """broker  a Broker with the option control"""

    def __init__(self, broker: Any, login: tuple[str, str] | None = ("admin", "x"), **options: Any):
        self.client = broker.client(login=login, **options)
        self._numbers = itertools.count()

    def request(self, payload: bytes) -> dict:
        """Sends this, and returns the next response."""
        before = len(self.client.payloads(RESPONSE))
        self.client.publish(REQUEST, payload)
        return json.loads(self.client.wait_count(RESPONSE, before + 1)[before])

    def ask_all(self, *commands: dict) -> list[dict]:
        """Sends several commands in one request; their responses in order."""
        return self.request(json.dumps({"commands": list(commands)}).encode())["responses"]

    def ask(self, command: str, **arguments: Any) -> Any:
        number = str(next(self._numbers))
        (response,) = self.ask_all(
            {"command": command, "correlationData": number, **arguments}
        )
        assert response["command"] == command, response
        assert response["correlationData"] == number, response
        if "error" in response:
            raise ControlError(response["error"])
        return response.get("data")

    def wait(self, check: Callable[[Any], Any], command: str, **arguments: Any) -> Any:
        """Asks until check() of the data is true; returns the data. Each answer is waited for."""
        limit = time.monotonic() + PATIENCE
        while True:
            data = self.ask(command, **arguments)
            if check(data):
                return data
            assert time.monotonic() < limit, f"{command} {arguments} still says {data}"

    def refusal(self, command: str, **arguments: Any) -> str:
        """The error with which this is refused."""
        try:
            data = self.ask(command, **arguments)
        except ControlError as error:
            return str(error)
        raise AssertionError(f"{command} {arguments} was not refused: {data}")
