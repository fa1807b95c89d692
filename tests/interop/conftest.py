# SPDX-License-Identifier: MIT OR Apache-2.0
import pathlib
import sys

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "harness"), str(TESTS / "interop")]

from fixtures import brokers, pytest_runtest_makereport  # noqa: E402, F401
