# SPDX-License-Identifier: MIT OR Apache-2.0
"""What packaging/build.sh makes: the same bytes every time, small, and light in the broker."""

import hashlib
import os
import pathlib
import subprocess

from roots import FORKY, TREE, made

SIZE_MAX = 6_000_000
RSS_MAX = 7_000_000
MODULE = "mosquitto_ctrl_p2panda.so"


def test_the_same_bytes_twice(tmp_path):
    first = made("PLUGIN_GLIBC_AMD64")
    command = [str(TREE / "packaging" / "build.sh"), "glibc", "amd64", "--out", str(tmp_path)]
    # Of the sources that prepare.sh has found.
    subprocess.run(command, env={**os.environ, "P2PANDA_SOURCES": "near"}, check=True, timeout=600)
    second = tmp_path / first.name
    assert second.stat().st_ino != first.stat().st_ino
    for name in (first.name, first.name + ".spdx.json", MODULE):
        digests = {
            hashlib.sha256(path.with_name(name).read_bytes()).hexdigest() for path in (first, second)
        }
        assert len(digests) == 1, name


def rss(pid: int) -> int:
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return 1024 * int(status.split("VmRSS:")[1].split()[0])


def test_size_and_memory(brokers):
    """Against the shared build in a broker of the same version that does nothing."""
    size = made("PLUGIN_GLIBC_AMD64").stat().st_size
    shared, alone = brokers().start(), brokers.stock(FORKY).start()
    figures = {"shared": rss(shared.process.pid), "alone": rss(alone.process.pid)}
    added = figures["alone"] - figures["shared"]
    text = (
        f"self-contained plugin: {size / 1e6:.2f} MB; a broker with it has "
        f"{figures['alone'] / 1e6:.1f} MB of memory, with the shared build "
        f"{figures['shared'] / 1e6:.1f} MB: {added / 1e6:+.1f} MB"
    )
    # pytest-xdist shows nothing of what a test prints: suites.sh shows this.
    pathlib.Path(os.environ["P2PANDA_TEST_OUT"], "stock.figures").write_text(text + "\n")
    assert size <= SIZE_MAX
    assert added <= RSS_MAX
