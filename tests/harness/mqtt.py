# SPDX-License-Identifier: MIT OR Apache-2.0
"""An MQTT client for the tests: every call waits for its answer, every wait has an end."""

import collections
import dataclasses
import itertools
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from settings import PATIENCE

V311 = paho.MQTTv311
V5 = paho.MQTTv5

_numbers = itertools.count(1)


class MqttTimeout(AssertionError):
    """The awaited did not happen in time."""


@dataclasses.dataclass(frozen=True)
class Message:
    topic: str
    payload: bytes
    qos: int
    retain: bool
    time: float  # time.monotonic() of its arrival
    properties: dict[str, str] = dataclasses.field(default_factory=dict)  # the user's
    identifiers: tuple[int, ...] = ()  # of the subscriptions that it comes by


class Client:
    """A connected client.

    port            or the path of a Unix socket
    version         V311 or V5
    clean           begin with a new session
    session_expiry  V5: seconds that the session outlives the connection
    transport       "tcp" or "websockets"
    tls             of the connection: with a certificate of its own, if it is to have one
    """

    def __init__(
        self,
        port: int | str,
        version: int = V5,
        client_id: str | None = None,
        host: str = "127.0.0.1",
        clean: bool = True,
        session_expiry: int | None = None,
        login: tuple[str, str] | None = None,
        transport: str = "tcp",
        tls: ssl.SSLContext | None = None,
    ):
        self.id = client_id or f"test-{next(_numbers)}"
        self.version = version
        # All below is guarded by _changed.
        self._changed = threading.Condition()  # its lock is reentrant
        self._messages: list[Message] = []
        self._by_topic: dict[str, list[bytes]] = collections.defaultdict(list)
        self._answers: dict[tuple[str, int], Any] = {}
        self._connected: Any = None
        self._disconnected: Any = None

        options: dict[str, Any] = {"clean_session": clean} if version == V311 else {}
        options["transport"] = transport
        local = isinstance(port, str)
        if local:
            options["transport"] = "unix"
            host, port = port, 1883  # paho wants one all the same
        self._paho = paho.Client(
            paho.CallbackAPIVersion.VERSION2, self.id, protocol=version,
            reconnect_on_failure=False, **options
        )
        self._paho.max_inflight_messages_set(1000)
        if tls:
            self._paho.tls_set_context(tls)
        if login:
            self._paho.username_pw_set(*login)
        self._paho.on_connect = self._on_connect
        self._paho.on_disconnect = self._on_disconnect
        self._paho.on_message = self._on_message
        self._paho.on_publish = self._on_publish
        self._paho.on_subscribe = self._on_subscribe
        self._paho.on_unsubscribe = self._on_unsubscribe
        arguments: dict[str, Any] = {}
        if version == V5:
            properties = Properties(PacketTypes.CONNECT)
            if session_expiry is not None:
                properties.SessionExpiryInterval = session_expiry
            arguments = {"clean_start": clean, "properties": properties}
        self._paho.connect(host, port, keepalive=60, **arguments)
        if not local and transport == "tcp":
            self._paho.socket().setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._paho.loop_start()
        try:
            self.wait(lambda: self._connected is not None, what="CONNACK")
            if self._connected.is_failure:
                raise ConnectionError(f"client {self.id} was refused: {self._connected}")
        except BaseException:
            self.close()
            raise

    # -- paho's thread -------------------------------------------------------

    def _on_connect(self, _client, _userdata, _flags, reason, _properties):
        with self._changed:
            self._connected = reason
            self._changed.notify_all()

    def _on_disconnect(self, _client, _userdata, _flags, reason, _properties):
        with self._changed:
            self._disconnected = reason
            self._changed.notify_all()

    def _on_message(self, _client, _userdata, message):
        now = time.monotonic()
        user = dict(getattr(message.properties, "UserProperty", None) or [])
        numbers = tuple(getattr(message.properties, "SubscriptionIdentifier", None) or ())
        made = Message(
            message.topic, message.payload, message.qos, message.retain, now, user, numbers
        )
        with self._changed:
            self._messages.append(made)
            self._by_topic[message.topic].append(message.payload)
            self._changed.notify_all()

    def _answer(self, kind: str, mid: int, answer: Any):
        with self._changed:
            self._answers[kind, mid] = answer
            self._changed.notify_all()

    def _on_publish(self, _client, _userdata, mid, reason, _properties):
        self._answer("publish", mid, reason)

    def _on_subscribe(self, _client, _userdata, mid, reasons, _properties):
        self._answer("subscribe", mid, reasons)

    def _on_unsubscribe(self, _client, _userdata, mid, reasons, _properties):
        self._answer("unsubscribe", mid, reasons)

    # -- waiting -------------------------------------------------------------

    def wait(self, check: Callable[[], Any], timeout: float | None = None, what: str = "it") -> Any:
        """Waits until check(), called with the lock held, returns something true."""
        limit = time.monotonic() + (PATIENCE if timeout is None else timeout)
        with self._changed:
            while True:
                found = check()
                if found:
                    return found
                left = limit - time.monotonic()
                if left <= 0 or self._disconnected is not None:
                    raise MqttTimeout(self._describe(what))
                self._changed.wait(left)

    def _describe(self, what: str) -> str:
        counts = {topic[:18]: len(found) for topic, found in self._by_topic.items()}
        last = [message.payload[:40] for message in self._messages[-3:]]
        state = f"disconnected ({self._disconnected})" if self._disconnected else "connected"
        return f"client {self.id} ({state}): no {what}; messages {counts}, the last ones {last}"

    def _await_answer(self, kind: str, mid: int, timeout: float | None = None) -> Any:
        self.wait(lambda: (kind, mid) in self._answers, timeout, f"answer to {kind}")
        with self._changed:
            return self._answers.pop((kind, mid))

    def _wait_first(
        self, matches: Callable[[Message], bool], timeout: float | None, what: str
    ) -> Message:
        seen = 0

        def check():
            nonlocal seen
            for message in self._messages[seen:]:
                if matches(message):
                    return message
            seen = len(self._messages)
            return None

        return self.wait(check, timeout, what)

    def wait_message(self, topic: str, payload: bytes, timeout: float | None = None) -> Message:
        """Waits until this payload has arrived on the topic; returns its first arrival."""
        return self._wait_first(
            lambda message: (message.topic, message.payload) == (topic, payload),
            timeout,
            f"message {payload[:40]!r} on {topic[:18]}",
        )

    def wait_prefix(self, topic: str, prefix: str, timeout: float | None = None) -> Message:
        """Waits until a payload that begins so has arrived; returns its first arrival."""
        return self._wait_first(
            lambda message: message.topic == topic and message.payload.startswith(prefix.encode()),
            timeout,
            f"message {prefix}... on {topic[:18]}",
        )

    def newest(self) -> dict[str, bytes]:
        """The last payload of each topic."""
        with self._changed:
            return {topic: found[-1] for topic, found in self._by_topic.items() if found}

    def wait_count(self, topic: str, count: int, timeout: float | None = None) -> list[bytes]:
        """Waits until so many messages have arrived on the topic; returns all of them."""
        self.wait(
            lambda: len(self._by_topic[topic]) >= count,
            timeout,
            f"{count} messages on {topic[:18]}",
        )
        return self.payloads(topic)

    def wait_all(self, topic: str, payloads: Iterable[bytes], timeout: float | None = None):
        """Waits until all of these have arrived on the topic, and perhaps others."""
        missing, seen = set(payloads), 0

        def check():
            # What was looked at before is not looked at again: others may be many.
            nonlocal seen
            found = self._by_topic[topic]
            missing.difference_update(found[seen:])
            seen = len(found)
            return not missing

        try:
            self.wait(check, timeout)
        except MqttTimeout:
            what = f"{len(missing)} messages, such as {min(missing)[:40]!r}"
            raise MqttTimeout(self._describe(what)) from None

    def forget(self):
        """Drops all that has arrived so far."""
        with self._changed:
            self._messages.clear()
            self._by_topic.clear()
            self._answers.clear()

    def payloads(self, topic: str) -> list[bytes]:
        """What has arrived on the topic so far, in order."""
        with self._changed:
            return list(self._by_topic[topic])

    def messages(self, topic: str) -> list[Message]:
        """As payloads(), but whole."""
        with self._changed:
            return [message for message in self._messages if message.topic == topic]

    # -- doing ---------------------------------------------------------------

    def subscribe(
        self, topic: str, qos: int = 0, no_local: bool = False, identifier: int | None = None
    ) -> Any:
        """Subscribes; returns the reason code."""
        if self.version == V5:
            options = SubscribeOptions(qos=qos, noLocal=no_local)
            properties = Properties(PacketTypes.SUBSCRIBE)
            if identifier is not None:
                properties.SubscriptionIdentifier = identifier
            status, mid = self._paho.subscribe(topic, options=options, properties=properties)
        else:
            status, mid = self._paho.subscribe(topic, qos)
        assert status == paho.MQTT_ERR_SUCCESS, status
        return self._await_answer("subscribe", mid)[0]

    def unsubscribe(self, topic: str) -> float:
        """Unsubscribes; returns when it was sent."""
        sent = time.monotonic()
        status, mid = self._paho.unsubscribe(topic)
        assert status == paho.MQTT_ERR_SUCCESS, status
        self._await_answer("unsubscribe", mid)
        return sent

    def post(self, topic: str, payload: bytes, qos: int = 0, retain: bool = False) -> int:
        """Publishes without waiting; returns the number for wait_published()."""
        info = self._paho.publish(topic, payload, qos, retain)
        assert info.rc == paho.MQTT_ERR_SUCCESS, info.rc
        return info.mid

    def wait_published(self, mid: int, timeout: float | None = None) -> Any:
        """Waits until a message is sent (QoS 0) or acknowledged; returns the reason code."""
        return self._await_answer("publish", mid, timeout)

    def publish(self, topic: str, payload: bytes, qos: int = 1, retain: bool = False) -> Any:
        """Publishes and waits for the acknowledgement; returns its reason code."""
        return self.wait_published(self.post(topic, payload, qos, retain))

    def close(self):
        """Says goodbye to the broker; a clean session ends with that."""
        self._paho.disconnect()
        self._paho.loop_stop()

    def drop(self):
        """Ends the connection without a goodbye."""
        sock = self._paho.socket()
        if sock is not None:
            sock.shutdown(socket.SHUT_RDWR)
        self._paho.loop_stop()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
