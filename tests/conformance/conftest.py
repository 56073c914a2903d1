from __future__ import annotations

import pytest

from midflight.testing.conformance import OPENCODE, OPENCODE2, Rig
from midflight.testing.plugin import need_rig

SERVERS = {OPENCODE: "opencode_server", OPENCODE2: "opencode2_server"}
"""The fixtures with the servers that the tests of these agents share."""


@pytest.fixture
def rig(request: pytest.FixtureRequest) -> Rig:
    """Return the agent that the test is run on, with the server that its tests share."""
    rig: Rig = request.param
    need_rig(rig)
    server = SERVERS.get(rig)
    return rig.on(request.getfixturevalue(server)) if server else rig
