# SPDX-License-Identifier: MIT OR Apache-2.0
"""Once more with Mosquitto 2.0: QoS 2 from both ends of PUBREL."""

import pytest

from test_released import *  # noqa: F403

pytestmark = pytest.mark.usefixtures("as_old")
