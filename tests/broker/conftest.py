# SPDX-License-Identifier: MIT OR Apache-2.0
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "harness"))

from fixtures import (  # noqa: E402, F401
    brokers,
    default_port,
    net,
    pair,
    pytest_collection_modifyitems,
    pytest_configure,
    pytest_runtest_makereport,
    running_pair,
    sites,
)
