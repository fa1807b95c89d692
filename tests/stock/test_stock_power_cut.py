# SPDX-License-Identifier: MIT OR Apache-2.0
"""Once more with Mosquitto 2.0: its database is older than the record."""

import pytest

from test_power_cut import *  # noqa: F403

pytestmark = pytest.mark.usefixtures("as_old")

