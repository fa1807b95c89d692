# SPDX-License-Identifier: MIT OR Apache-2.0
"""Headless Chromium, driven by its DevTools protocol over two pipes.

    with Browser(tmp_path) as browser:
        page = browser.open("http://localhost:9883/", width=390, height=844, dark=True)
        page.wait("document.getElementById('state').textContent === 'joined'")
        page.screenshot(tmp_path / "phone.png")
"""

import base64
import json
import os
import pathlib
import select
import subprocess
import time
from typing import Any

from settings import PATIENCE

PROGRAM = "chromium-headless-shell"
# Three and four are where it reads and writes. (Not every sh takes descriptors of two digits.)
_START = f"exec {PROGRAM} --remote-debugging-pipe \"$@\" 3<&$IN 4>&$OUT"
# Resolves when the condition holds, looking whenever the document changes.
_WAIT = """new Promise((resolve) => {
  const check = () => (%s) && (observer.disconnect(), resolve(true));
  const observer = new MutationObserver(check);
  observer.observe(document,
    {subtree: true, childList: true, attributes: true, characterData: true});
  check();
})"""


class BrowserError(AssertionError):
    """It did not answer in time, or with an error."""


class Browser:
    """One process. host: the machine that it runs on (netns.py), else here."""

    def __init__(self, folder: pathlib.Path, host=None):
        given, self._write = os.pipe()
        self._read, taken = os.pipe()
        words = ["bash", "-c", _START, PROGRAM, "--no-sandbox", "--disable-gpu",
                 f"--user-data-dir={folder / 'browser'}", "--disable-dev-shm-usage",
                 "--hide-scrollbars", "about:blank"]  # fmt: skip
        self._process = subprocess.Popen(
            host.command(*words) if host else words,
            pass_fds=(given, taken),
            env=os.environ | {"IN": str(given), "OUT": str(taken)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(given), os.close(taken)
        self._rest = b""
        self._number = 0
        self.events: list[dict] = []

    def call(self, method: str, session: str = "", **params: Any) -> dict:
        """Sends a command; returns its result. What it tells meanwhile is in events."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        # What is waited for may come a sys_interval after a connection has timed out.
        limit = time.monotonic() + 2 * PATIENCE
        while True:
            answer = self._next(limit, message)
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise BrowserError(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def _next(self, limit: float, asked: dict) -> dict:
        while b"\0" not in self._rest:
            left = limit - time.monotonic()
            if left <= 0 or not select.select([self._read], [], [], left)[0]:
                raise BrowserError(f"no answer to {asked}")
            got = os.read(self._read, 1 << 20)
            if not got:
                raise BrowserError("the browser has ended")
            self._rest += got
        answer, _, self._rest = self._rest.partition(b"\0")
        return json.loads(answer)

    def open(self, url: str, width: int = 1280, height: int = 900, dark: bool = False) -> "Page":
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session)
        page.call("Runtime.enable")
        page.call("Log.enable")
        page.look(width, height, dark)
        page.call("Page.enable")
        page.call("Page.navigate", url=url)
        self._wait_event("Page.loadEventFired", session)
        return page

    def _wait_event(self, method: str, session: str):
        limit = time.monotonic() + PATIENCE
        while not any((e.get("method"), e.get("sessionId")) == (method, session) for e in self.events):
            self.events.append(self._next(limit, {"event": method}))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.terminate()
        self._process.wait(PATIENCE)
        os.close(self._write), os.close(self._read)


class Page:
    def __init__(self, browser: Browser, session: str):
        self._browser, self._session = browser, session

    def call(self, method: str, **params: Any) -> dict:
        return self._browser.call(method, self._session, **params)

    def look(self, width: int, height: int, dark: bool):
        """As on a screen of this size; a narrow one is a phone's."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=width < 600)  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def evaluate(self, script: str) -> Any:
        """The value of an expression; a promise is waited for."""
        got = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in got:
            raise BrowserError(f"{script}: {got['exceptionDetails']}")
        return got["result"].get("value")

    def wait(self, condition: str):
        """Until an expression is true of the document."""
        try:
            self.evaluate(_WAIT % condition)
        except BrowserError as error:
            text = self.evaluate("document.body.innerText")
            raise BrowserError(f"{error}\nthe page says:\n{text}\n{self.errors()}") from None

    def text(self, selector: str) -> str:
        return self.evaluate(f"document.querySelector({json.dumps(selector)}).textContent")

    def errors(self) -> list[str]:
        """What its console has as errors: exceptions, and what could not be loaded."""
        found = []
        for event in self._browser.events:
            if event.get("sessionId") != self._session:
                continue
            params = event["params"]
            if event["method"] == "Runtime.exceptionThrown":
                found.append(str(params["exceptionDetails"]))
            elif event["method"] == "Log.entryAdded" and params["entry"]["level"] == "error":
                found.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
        return found

    def screenshot(self, path: pathlib.Path):
        """All of the page, however long."""
        got = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(got["data"]))
