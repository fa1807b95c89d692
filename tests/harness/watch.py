# SPDX-License-Identifier: MIT OR Apache-2.0
"""What a broker's status topics and events say, as a client of it sees them."""

import json

EVENTS = "$SYS/broker/p2panda/event"


class Watch:
    def __init__(self, broker):
        self.client = broker.client("$SYS/broker/p2panda/#")

    def value(self, name: str) -> str:
        return self.client.newest().get("$SYS/broker/p2panda/" + name, b"").decode()

    def wait(self, name: str, value: str, timeout: float | None = None):
        self.client.wait(
            lambda: self.value(name) == value,
            timeout,
            f"{name} {value} (it is {self.value(name)!r})",
        )

    def events(self) -> list[dict]:
        return [json.loads(payload) for payload in self.client.payloads(EVENTS)]

    def wait_event(self, timeout: float | None = None, **fields) -> dict:
        def found():
            return next((one for one in self.events() if fields.items() <= one.items()), None)

        return self.client.wait(found, timeout, f"event {fields} (there were {self.events()})")
