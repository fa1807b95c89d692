# SPDX-License-Identifier: MIT OR Apache-2.0
"""Once more with Mosquitto 2.0: sessions over restarts."""

import pytest

from test_sessions import *  # noqa: F403

pytestmark = pytest.mark.usefixtures("as_old")
