# SPDX-License-Identifier: MIT OR Apache-2.0
"""The page (page/, conf/with-page.conf) in headless Chromium, served by a stock broker.

Its pictures go to P2PANDA_SCREENSHOTS, if that names a folder."""

import os
import pathlib
import struct
import subprocess

import pytest

from browser import Browser
from documents import TREE
from identity import overlay, random_topic
from sites import EXAMPLE_HOST, EXAMPLE_ID, Site, read

pytestmark = pytest.mark.asan_only

URL = "http://localhost:9883/"
INSTALLED = "/usr/local/share/mosquitto-p2panda/page"
PAGE = {INSTALLED: str(TREE / "page")}


@pytest.fixture
def browse(tmp_path):
    """A browser on a site's machine."""
    started = []

    def start(site: Site) -> Browser:
        started.append(Browser(tmp_path / f"browser{len(started)}", site.host))
        return started[-1]

    yield start
    for browser in started:
        browser.__exit__()


def text_is(id: str, text: str) -> str:
    return f"document.getElementById('{id}').textContent === '{text}'"


def has(section: str, *words: str) -> str:
    """A row of a section's table that has all these words, in this order."""
    pattern = ".*".join(words)
    return (
        f"[...document.querySelectorAll('#{section} tr')]"
        f".some((row) => /{pattern}/.test([...row.cells].map((c) => c.textContent).join(' | ')))"
    )


def start_pair(sites) -> tuple[Site, Site]:
    """The first one has the page, and both name each other."""
    a, b = sites("ab")
    b.start("first-node.conf")
    peer = f"#plugin_opt_peer {EXAMPLE_ID}@{EXAMPLE_HOST}"
    a.start("with-page.conf", **PAGE, **{peer: f"plugin_opt_peer {b.id}@{b.where}"})
    return a, b


def test_where_it_is_installed():
    """The sample names what CMakeLists.txt makes of the default prefix."""
    text = (TREE / "CMakeLists.txt").read_text()
    assert "install(DIRECTORY page/ DESTINATION ${CMAKE_INSTALL_DATADIR}/mosquitto-p2panda/page)" in text
    assert f"http_dir {INSTALLED}\n" in read("with-page.conf")


def test_it_is_live(sites, browse):
    """What it shows is what happens: joined, messages, drops, a peer that is gone and back."""
    a, b = start_pair(sites)
    page = browse(a).open(URL)
    page.wait(text_is("node_id", a.id))
    page.wait(text_is("overlays", "0"))
    topic = random_topic()
    with a.hear(overlay(topic), count=3) as here:
        page.wait(text_is("overlays", "1"))
        page.wait(has("of_overlays", topic[:10], "joining", "0"))
        with b.hear(overlay(topic)):
            page.wait(text_is("neighbours", "1"))
            page.wait(text_is("state", "joined"))
            page.wait(has("of_overlays", topic[:10], "joined", "1"))
            page.wait(has("of_nodes", b.id[:10], "online"))
            page.wait("/joined.*overlay/.test(document.getElementById('events').textContent)")
            for payload in ("one", "two", "three"):
                b.say(overlay(topic), payload)
        assert here.communicate(timeout=60)[0] == "one\ntwo\nthree\n"
    a.say("p2panda/nonsense", "lost")
    page.wait(has("of_drops", "malformed topic", "1"))
    page.wait(text_is("overlays", "0"))
    assert page.evaluate("document.querySelector('#of_overlays .none').hidden") is False
    # Gone without a word, and back.
    b.broker.kill()
    page.wait(has("of_nodes", b.id[:10], "offline"))
    b.start("first-node.conf")
    page.wait(has("of_nodes", b.id[:10], "online"))
    assert page.errors() == []


def test_rates(sites, browse):
    """The line of traffic moves with it."""
    a, _ = start_pair(sites)
    page = browse(a).open(URL)
    topic = overlay(random_topic())
    command = f"while mosquitto_pub -t {topic} -m \"$(date +%N)\"; do :; done"
    with subprocess.Popen(a.machine.command(command)) as publisher:
        page.wait("Number(document.getElementById('rate_in').textContent) > 0")
        publisher.terminate()
    points = "document.getElementById('line_in').getAttribute('points')"
    assert len(page.evaluate(points).split()) > 0
    page.wait(text_is("rate_in", "0"))


def test_the_broker_restarts(sites, browse):
    """The page says so, and goes on by itself."""
    a, b = start_pair(sites)
    page = browse(a).open(URL)
    page.wait(text_is("node_id", a.id))
    a.broker.stop()
    page.wait(text_is("state", "the connection has ended"))
    a.start("with-page.conf", **PAGE)
    page.wait(text_is("node_id", a.id))
    page.wait(text_is("state", "idle"))


def test_login(sites, browse):
    """A broker that wants a name: the page asks, and says when it is a wrong one."""
    (a,) = sites("a")
    a.machine.type("mosquitto_passwd -b -c /etc/mosquitto/passwd monitor secret")
    protocol = "listener 9001 127.0.0.1\n"
    a.start("with-page.conf", **PAGE, **{
        protocol: f"{protocol}listener_allow_anonymous false\n",
        "allow_anonymous true": "listener_allow_anonymous true",
        "http_dir": "listener_allow_anonymous true\npassword_file /etc/mosquitto/passwd\nhttp_dir",
    })  # fmt: skip
    page = browse(a).open(URL)
    page.wait("!document.getElementById('login').hidden")
    fill = "document.querySelector('[name=%s]').value = '%s'"
    for password in ("wrong", "secret"):
        page.evaluate(fill % ("username", "monitor"))
        page.evaluate(fill % ("password", password))
        page.evaluate("document.querySelector('#login button').click()")
        if password == "wrong":
            page.wait("/refused/.test(document.getElementById('refusal').textContent)")
    page.wait(text_is("node_id", a.id))
    assert page.evaluate("document.getElementById('login').hidden") is True


def test_names_are_no_markup(sites, browse):
    """What the broker sends is shown as text. (Here by the page's own hand: no broker does that.)"""
    a, _ = start_pair(sites)
    page = browse(a).open(URL)
    page.wait(text_is("node_id", a.id))
    evil = "<img src=x onerror=document.title=1>"
    page.evaluate(f"receive('$SYS/broker/p2panda/overlay/{evil}/state', '{evil}')")
    page.evaluate(f"receive('$SYS/broker/p2panda/dropped/{evil}', '7')")
    page.evaluate("""receive('$SYS/broker/p2panda/event', '{"event":"<b>","cause":"<i>"}')""")
    page.evaluate("receive('$SYS/broker/p2panda/event', 'no JSON')")
    page.wait(has("of_drops", "img", "7"))
    assert page.evaluate("document.querySelectorAll('main img, main b:not([id]), main li i').length") == 0
    assert page.evaluate("document.title") == "mosquitto-p2panda"


# mqtt.js with a socket of the test's. What it would send is in sent, what it tells in told.
LISTENER = """
function listener() {
  const real = WebSocket, told = [], sent = [];
  WebSocket = class { static OPEN = 1; readyState = 1; close() {}; send(bytes) { sent.push(bytes); } };
  const made = new MqttListener("ws://nowhere/", {
    filters: ["a/#"], onUp: () => told.push("up"), onDown: (reason) => told.push(reason),
    onMessage: (topic, text) => told.push(`${topic}=${text}`),
  });
  WebSocket = real;
  made.socket.onopen();
  const give = (bytes) => made.socket.onmessage({data: new Uint8Array(bytes).buffer});
  return {made, told, sent, give};
}
const packet = (first, rest) => [first, ...(rest.length < 128 ? [rest.length]
  : [rest.length % 128 + 128, Math.floor(rest.length / 128)]), ...rest];
const published = (topic, text, first = 0x31) => packet(first, [0, topic.length,
  ...new TextEncoder().encode(topic), ...new TextEncoder().encode(text)]);
const whole = [0x20, 2, 0, 0, 0x90, 3, 0, 1, 0, ...published("a/b", "Grüße"),
  ...published("a/empty", ""), 0xd0, 0, ...published("a/long", "x".repeat(300), 0x30)];
"""


def test_packets_of_mqtt(browse, sites):
    """In whatever pieces they come; what is none ends the connection, and never throws."""
    a, _ = start_pair(sites)
    page = browse(a).open(URL)
    page.evaluate(LISTENER)
    told = ["up", "a/b=Grüße", "a/empty=", "a/long=" + "x" * 300]
    for size in (1, 2, 7, 1000):
        script = f"""(() => {{
          const one = listener();
          for (let at = 0; at < whole.length; at += {size}) one.give(whole.slice(at, at + {size}));
          one.made.close();
          return one.told;
        }})()"""
        assert page.evaluate(script) == [*told, "closed"]
    for given, reason in {
        "[0x20, 2, 0, 5]": "refused: not authorised",
        "[0x20, 2, 0, 4]": "refused: user name or password",
        "[0x20, 2, 0, 0, 0x90, 3, 0, 1, 0x80]": "refused: no right to read the status topics",
        "[0x30, 0xff, 0xff, 0xff, 0xff, 1]": "a packet is too large",
        "[0x30, 0x80, 0x80, 0x80, 0x80, 1]": "a packet has no length",
        "[0x30, 1, 0]": "a malformed packet",
        "[0x30, 3, 0, 9, 65]": "a malformed packet",
        "[0x32, 5, 0, 1, 97, 0, 1]": "a malformed packet",
        "[0x50, 0]": "a packet of kind 5",
    }.items():
        script = f"(() => {{ const one = listener(); one.give({given}); return one.told.pop(); }})()"
        assert page.evaluate(script) == reason
    # Two thousand times bytes by chance, after a good beginning or not.
    script = """(() => {
      let ended = 0;
      for (let round = 0; round < 2000; round++) {
        const one = listener();
        if (round % 2) one.give(whole.slice(0, 9));
        one.give(crypto.getRandomValues(new Uint8Array(1 + round % 60)));
        clearInterval(one.made.pings);
        ended += one.made.ended ? 1 : 0;
      }
      return ended;
    })()"""
    assert page.evaluate(script) > 200
    assert page.errors() == []


def test_a_thousand_overlays(sites, browse):
    """As many as the status shows, and cleared again. (Received by the page's own hand.)"""
    a, _ = start_pair(sites)
    page = browse(a).open(URL)
    page.wait(text_is("node_id", a.id))
    page.evaluate("""for (let number = 0; number < 1000; number++)
      for (const what of ['state', 'neighbours', 'in', 'out', 'dropped'])
        receive(`$SYS/broker/p2panda/overlay/${String(number).padStart(10, '0')}/${what}`, '1')""")
    page.wait("document.querySelectorAll('#of_overlays tbody tr').length === 1000")
    # Of a client that left them all, nothing is left.
    page.evaluate("""for (const topic of [...status.keys()])
      if (topic.startsWith('overlay/')) receive(`$SYS/broker/p2panda/${topic}`, '')""")
    page.wait("document.querySelectorAll('#of_overlays tbody tr').length === 0")


SIZES = {"phone": (390, 844), "small": (320, 568), "desk": (1280, 900)}


def png_size(path: pathlib.Path) -> tuple[int, int]:
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", data[16:24])


# The luminance of text on its ground and their contrast, as WCAG 2 has them.
CONTRAST = """(() => {
  const light = (colour) => {
    const parts = colour.match(/[\\d.]+/g).slice(0, 3).map((part) => {
      const one = part / 255;
      return one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
  };
  const ground = (element) => {
    const colour = getComputedStyle(element).backgroundColor;
    return /, 0\\)$/.test(colour) && element.parentElement ? ground(element.parentElement) : colour;
  };
  let least = 21;
  for (const element of document.querySelectorAll('body *')) {
    if (!element.innerText || !element.getClientRects().length) continue;
    const pair = [light(getComputedStyle(element).color), light(ground(element))];
    pair.sort((one, other) => other - one);
    least = Math.min(least, (pair[0] + 0.05) / (pair[1] + 0.05));
  }
  return least;
})()"""


# What is wider than the place that it has.
OVERFLOWS = """[...document.querySelectorAll('html, section, table, #tiles div')]
  .filter((one) => one.scrollWidth > one.clientWidth && one.checkVisibility({contentVisibilityAuto: true}))
  .map((one) => one.id || `${one.tagName} in ${one.parentElement?.id}`)"""


def test_it_fits(sites, browse, tmp_path):
    """On phones and a desk, light and dark: nothing is beyond an edge, and all can be read."""
    a, b = start_pair(sites)
    topics = sorted(random_topic() for _ in range(3))
    listening = [one.hear(overlay(topic), count=9999) for topic in topics for one in (a, b)]
    lines = [
        f"mosquitto_pub -t {overlay(topics[0])} -m \"$(date +%N)\"",
        f"mosquitto_pub -t {overlay(topics[1])} -m same",
    ]
    command = f"while :; do {'; '.join(lines)}; done"
    listening += [subprocess.Popen(one.machine.command(command)) for one in (a, b)]
    folder = pathlib.Path(os.environ.get("P2PANDA_SCREENSHOTS", tmp_path))
    try:
        page = browse(a).open(URL)
        page.wait(text_is("neighbours", "3"))
        page.wait(has("of_overlays", topics[2][:10]))
        page.wait(has("of_drops", "repeated"))
        page.wait("samples.length > 4")
        for name, (width, height) in SIZES.items():
            for dark in (False, True):
                page.look(width, height, dark)
                page.evaluate("document.querySelector('details').open = true")
                assert page.evaluate(OVERFLOWS) == []
                assert page.evaluate(CONTRAST) >= 4.5
                page.evaluate("document.querySelector('details').open = false")
                path = folder / f"{name}-{'dark' if dark else 'light'}.png"
                page.screenshot(path)
                assert png_size(path)[0] == width
        assert page.errors() == []
    finally:
        for one in listening:
            one.terminate()
            one.communicate()
