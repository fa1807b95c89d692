# SPDX-License-Identifier: MIT OR Apache-2.0
"""What a process costs."""

import pathlib
import re


def resident(pid: int) -> int:
    """Bytes of memory."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"^VmRSS:\s+(\d+) kB", status, re.M)[1]) << 10


def cpu_seconds(pid: int) -> float:
    """Processor time, of all its threads that run now."""
    tasks = pathlib.Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9
