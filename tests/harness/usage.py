# SPDX-License-Identifier: MIT OR Apache-2.0
"""What a process costs."""

import pathlib
import re


def resident(pid: int) -> int:
    """Bytes of memory."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"^VmRSS:\s+(\d+) kB", status, re.M)[1]) << 10


def wake_ups(pid: int) -> int:
    """How often one of its threads has begun to run."""
    tasks = pathlib.Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[2]) for task in tasks)


def cpu_seconds(pid: int) -> float:
    """Processor time, of all its threads that run now."""
    tasks = pathlib.Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def switches(pid: int) -> dict[str, int]:
    """How often each of its threads has gone to sleep by itself, and so was woken again: by their
    names, "mosquitto" and "p2panda" (the node's). Being interrupted by others is not counted."""
    found: dict[str, int] = {}
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        name = (task / "comm").read_text().strip()
        times = re.search(r"^voluntary_ctxt_switches:\s+(\d+)", (task / "status").read_text(), re.M)
        found[name] = found.get(name, 0) + int(times[1])
    return found


def node_seconds(pid: int) -> tuple[float, float]:
    """How long a broker's node thread has run, and has waited for a processor to run on."""
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        if (task / "comm").read_text() == "p2panda\n":
            run, waited, _ = (task / "schedstat").read_text().split()
            return int(run) / 1e9, int(waited) / 1e9
    raise LookupError(f"{pid} has no such thread")
