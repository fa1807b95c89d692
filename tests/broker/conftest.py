# SPDX-License-Identifier: MIT OR Apache-2.0
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "harness"))

import settings  # noqa: E402
from fixtures import brokers, default_port, pytest_runtest_makereport  # noqa: E402, F401

MARKERS = {
    "unsanitized": "has no meaning with a sanitizer, which changes what is measured",
    "root": "needs to be root",
}


def pytest_configure(config):
    for name, meaning in MARKERS.items():
        config.addinivalue_line("markers", f"{name}: {meaning}")


def pytest_collection_modifyitems(config, items):
    """What has no meaning here is left out by its marker: a skipped test has failed."""
    absent = set()
    if settings.SANITIZER not in ("", "none"):
        absent.add("unsanitized")
    if os.geteuid() != 0:
        absent.add("root")
    left_out = [item for item in items if any(item.get_closest_marker(name) for name in absent)]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)
