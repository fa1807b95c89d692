# SPDX-License-Identifier: MIT OR Apache-2.0
"""How often a message wakes threads, and what they ask of the system for it: figures that say what
a message costs, and that a busy machine changes little."""

import contextlib
import dataclasses
import itertools
import pathlib
import struct
import subprocess
import time

import pytest

from compile import shared_library
from identity import overlay, random_topic
from usage import switches

SHIM = pathlib.Path(__file__).with_name("calls_preload.c")
# In the order of calls_preload.c.
CALLS = (
    "epoll_wait", "epoll_pwait", "interrupted", "timer_settime", "timerfd_settime", "sendmsg",
    "recvmmsg",
)  # fmt: skip
WINDOWS, MESSAGES = 15, 20
PAUSE = 0.01  # between two: each finds everybody asleep
SIZE = 200

BROKER, NODE = "mosquitto", "p2panda"

# At most so often per message: what is awaited, and room for status messages. Judged is the lower
# quartile of the windows: what costs more does so in each of them, but a busy machine, where packets
# are sent again whose acknowledgement is late, not in all.
MOST = {
    # The message of the client; sent on, and every second one acknowledged with the one before.
    "sender": {BROKER: 1 + 0.3, NODE: 1.5 + 0.5},
    # What has come; the message, and (for ngtcp2 asks for an acknowledgement of the second one of two
    # acknowledgements) a quarter of another packet.
    "receiver": {BROKER: 1 + 0.3, NODE: 1.25 + 0.5},
}
MOST_CALLS = {
    "sender": {"timer_settime": 0.1, "timerfd_settime": 0.1, "interrupted": 0.1,
               "sendmsg": 1.25 + 0.5, "recvmmsg": 0.5 + 0.5},
    "receiver": {"timer_settime": 0.1, "timerfd_settime": 0.1, "interrupted": 0.1,
                 "sendmsg": 0.5 + 0.5, "recvmmsg": 1.25 + 0.5},
}  # fmt: skip
# Where the broker's epoll set is not found, what is published is sent by another turn that a signal
# begins, as another one has ended the sleep.
MOST_SIGNALS = {BROKER: 2 + 0.3, "timer_settime": 1 + 0.4, "interrupted": 2 + 0.3}


@dataclasses.dataclass
class Counts:
    threads: dict[str, int]
    calls: dict[str, int]

    @staticmethod
    def of(broker) -> "Counts":
        numbers = struct.unpack(f"={len(CALLS)}Q", (broker.folder / "calls").read_bytes())
        return Counts(switches(broker.process.pid), dict(zip(CALLS, numbers, strict=True)))

    def per_message(self, before: "Counts") -> tuple[dict[str, float], dict[str, float]]:
        def rates(now: dict[str, int], then: dict[str, int]) -> dict[str, float]:
            return {name: (now[name] - then.get(name, 0)) / MESSAGES for name in now}

        return rates(self.threads, before.threads), rates(self.calls, before.calls)


def exchange(here, there, topic: str, name: str):
    """One message at a time, each of which has to arrive."""
    for number in range(MESSAGES):
        payload = f"{name} {number} ".encode().ljust(SIZE, b".")
        here.post(topic, payload)
        there.wait_message(topic, payload)
        time.sleep(PAUSE)


@pytest.mark.unsanitized
@pytest.mark.parametrize("way", ["bell", "signals"])
def test_wakes(brokers, tmp_path, way):
    """A hundred messages a second from one broker to the other."""
    shim = shared_library(SHIM, tmp_path)
    a, b = (
        brokers(
            name,
            preload=[shim],
            environment={"TEST_CALLS": str(tmp_path / name / "calls")}
            | ({"TEST_NO_BELL": "1"} if way == "signals" else {}),
        )
        for name in "ab"
    )
    bounds = {side: MOST[side] | MOST_CALLS[side] for side in MOST}
    if way == "signals":
        bounds["receiver"] |= MOST_SIGNALS
    a.add_peer(b)
    b.start(), a.start()
    id = random_topic()
    topic = overlay(id)
    there, here = b.client(topic, qos=0), a.client(topic, qos=0)
    for broker in (a, b):
        broker.wait_joined(id)
    here.unsubscribe(topic)  # it is not to be woken, too
    exchange(here, there, topic, "first")
    found = {"sender": [Counts.of(a)], "receiver": [Counts.of(b)]}
    for number in range(WINDOWS):
        exchange(here, there, topic, f"then {number}")
        found["sender"].append(Counts.of(a))
        found["receiver"].append(Counts.of(b))
    wrong = []
    for side, counts in found.items():
        windows = [late.per_message(early) for early, late in itertools.pairwise(counts)]
        threads = lower_quartile([threads for threads, _ in windows])
        calls = lower_quartile([calls for _, calls in windows])
        print(f"{side}, per message: wakes of {_line(threads)}; calls: {_line(calls)}")
        assert threads[NODE] >= 0.9 and threads[BROKER] >= 0.9  # it is measured at all
        if way == "signals" and side == "receiver":
            assert calls["interrupted"] >= 0.9  # it is this way
        figures = threads | calls
        wrong += [
            f"{side}: {name} {figures[name]:.2f} per message, at most {bound:.2f}"
            for name, bound in bounds[side].items()
            if figures[name] > bound
        ]
    assert not wrong, wrong


def lower_quartile(windows: list[dict[str, float]]) -> dict[str, float]:
    return {name: sorted(one[name] for one in windows)[len(windows) // 4] for name in windows[0]}


SYSTEM_MEMORY = "mmap,munmap,mremap,mprotect,madvise,brk"
LARGE, MANY = 4000, 1500  # 6 MB of content, which is kept for 30 s
MOST_MEMORY_CALLS = 0.05  # per message, of the node's thread


@pytest.mark.unsanitized
def test_memory_calls(brokers, tmp_path):
    """What has to be kept for a while is not asked of the system page by page."""
    a, b = brokers.pair()
    id = random_topic()
    topic = overlay(id)
    there, here = b.client(topic, qos=0), a.client(topic, qos=0)
    for broker in (a, b):
        broker.wait_joined(id)
    here.unsubscribe(topic)
    with contextlib.ExitStack() as stack:
        logs = [stack.enter_context(traced(broker, tmp_path / f"{broker.name}.trace"))
                for broker in (a, b)]  # fmt: skip
        for number in range(MANY):
            here.post(topic, f"{number} ".encode().ljust(LARGE, b"."))
            if number % 20 == 19:
                there.wait_message(topic, f"{number} ".encode().ljust(LARGE, b"."))
    for side, broker, log in zip(("sender", "receiver"), (a, b), logs, strict=True):
        calls = log.read_text().splitlines()
        node = [line.split(None, 1)[1] for line in calls if line.startswith(f"{node_id(broker)} ")]
        each = len(node) / MANY
        print(f"{side}: {each:.3f} of {SYSTEM_MEMORY} per message in the node's thread")
        assert each <= MOST_MEMORY_CALLS, (side, node[:10])


@contextlib.contextmanager
def traced(broker, log: pathlib.Path):
    """Its calls for memory are written to log meanwhile."""
    command = ["strace", "-f", "-e", f"trace={SYSTEM_MEMORY}", "-e", "signal=none", "-o", str(log)]
    tracer = subprocess.Popen(
        [*command, "-p", str(broker.process.pid)], stderr=subprocess.PIPE, text=True
    )
    try:
        assert "attached" in tracer.stderr.readline()
        yield log
    finally:
        tracer.terminate()
        tracer.communicate()


def node_id(broker) -> str:
    for task in pathlib.Path(f"/proc/{broker.process.pid}/task").iterdir():
        if (task / "comm").read_text().strip() == NODE:
            return task.name
    raise LookupError(broker)


def _line(figures: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.2f}" for name, value in figures.items() if value >= 0.01)
