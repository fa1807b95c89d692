# SPDX-License-Identifier: MIT OR Apache-2.0
"""Once more with Mosquitto 2.0: who holds an overlay, as a Rust neighbour sees it."""

import pytest

from test_holding import *  # noqa: F403

pytestmark = pytest.mark.usefixtures("as_old")
