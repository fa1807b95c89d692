# SPDX-License-Identifier: MIT OR Apache-2.0
"""Once more with Mosquitto 2.0: messages to and from real p2panda-net peers."""

import pytest

from test_gateway import test_a_thousand_paced_each_way, test_payloads  # noqa: F401

pytestmark = pytest.mark.usefixtures("as_old")
