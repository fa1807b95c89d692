# SPDX-License-Identifier: MIT OR Apache-2.0
"""Once more with Mosquitto 2.0: what another plugin makes of a message is what the overlay gets. (Ours
has to be the first one there, and subscriptions cannot be moved.)"""

import pytest

from test_order import check_carried

pytestmark = pytest.mark.usefixtures("as_old")


def test_messages(brokers, tmp_path):
    # The other plugin has no access control of its own (docs/mosquitto-2.0.md).
    rules = tmp_path / "rules"
    rules.write_text("topic readwrite #\ntopic read $SYS/#\n")
    rules.chmod(0o600)
    check_carried(brokers, tmp_path, "after", [f"acl_file {rules}"])
