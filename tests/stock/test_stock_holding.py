# SPDX-License-Identifier: MIT OR Apache-2.0
"""Once more with Mosquitto 2.0: who holds an overlay, as a Rust neighbour sees it."""

import pytest

from test_holding import *  # noqa: F403
from test_holding import beside_a_peer, check_session_expires

pytestmark = pytest.mark.usefixtures("as_old")


@pytest.fixture(scope="module")
def running(old, tmp_path_factory):
    """Instead of the other suite's: of that version, too."""
    for made, broker, peer in beside_a_peer(tmp_path_factory.mktemp("holding"), program=old.program):
        assert broker.wait_log(r"mosquitto version (\S+) running")[1].startswith("2.0.")
        yield made, broker, peer


def test_session_expires(scene):  # noqa: F811
    """Mosquitto 2.0 tells nobody: it is looked for once in a second (docs/mosquitto-2.0.md)."""
    check_session_expires(scene, late=1.5)
