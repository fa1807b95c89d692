# SPDX-License-Identifier: MIT OR Apache-2.0
"""Mosquitto's own example plugins, built from Debian's source package, which is kept in the tests'
cache.

    library = example_plugin("topic-jail", tmp_path)
"""

import fcntl
import os
import pathlib
import shutil
import subprocess
import tempfile

from compile import shared_library

_SUITE = "forky"  # of which Mosquitto is 2.1


def _sources() -> pathlib.Path:
    """The folder of all of them."""
    cache = os.environ.get("P2PANDA_TEST_CACHE")
    assert cache, "P2PANDA_TEST_CACHE is set by tests/run.sh"
    place = pathlib.Path(cache) / f"mosquitto-examples-{_SUITE}"
    with place.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.is_dir():
            _fetch(place)
    return place


def _fetch(place: pathlib.Path):
    script = pathlib.Path(__file__).with_name("debian-source.sh")
    with tempfile.TemporaryDirectory() as work:
        done = subprocess.run(
            [str(script), _SUITE, "mosquitto", work], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        new = place.with_suffix(".new")
        shutil.rmtree(new, ignore_errors=True)
        shutil.copytree(pathlib.Path(work, "tree", "plugins", "examples"), new)
        new.rename(place)


def example_plugin(name: str, folder: pathlib.Path) -> pathlib.Path:
    """Compiles one into folder; returns the library."""
    source = _sources() / name / f"mosquitto_{name.replace('-', '_')}.c"
    return shared_library(source, folder)
