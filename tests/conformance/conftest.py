from __future__ import annotations

import pytest

from midflight.testing.conformance import OPENCODE, Rig
from midflight.testing.plugin import need


@pytest.fixture
def rig(request: pytest.FixtureRequest) -> Rig:
    """Return the agent that the test is run on, with the server that its tests share."""
    rig: Rig = request.param
    need(rig.missing())
    if rig is OPENCODE:
        return rig.on(request.getfixturevalue("opencode_server"))
    return rig
