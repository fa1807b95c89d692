# SPDX-License-Identifier: MIT OR Apache-2.0
"""Once more with Mosquitto 2.0: what is carried between two brokers."""

import pytest

from test_messages import *  # noqa: F403

pytestmark = pytest.mark.usefixtures("as_old")
