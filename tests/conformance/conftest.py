from __future__ import annotations

import os
from pathlib import Path

import pytest

from midflight.testing.conformance import OPENCODE, OPENCODE2, PRESET_RIGS, Rig
from midflight.testing.plugin import need_rig

PRESETS = Path(__file__).parent.parent / "agents" / "presets" / "node_modules" / ".bin"
"""Where scripts/test installs the agents that only scripts/check agents runs."""

SERVERS = {OPENCODE: "opencode_server", OPENCODE2: "opencode2_server"}
"""The fixtures with the servers that the tests of these agents share."""


@pytest.fixture
def rig(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Rig:
    """Return the agent that the test is run on, with the server that its tests share."""
    rig: Rig = request.param
    if rig in PRESET_RIGS:
        monkeypatch.setenv("PATH", f"{PRESETS}{os.pathsep}{os.environ['PATH']}")
    need_rig(rig)
    server = SERVERS.get(rig)
    return rig.on(request.getfixturevalue(server)) if server else rig
