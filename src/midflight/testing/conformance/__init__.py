"""What every agent has to do, and the checks of it."""

from midflight.testing.conformance.matrix import CELLS as CELLS
from midflight.testing.conformance.matrix import (
    assert_everything_ended_once as assert_everything_ended_once,
)
from midflight.testing.conformance.matrix import cells as cells
from midflight.testing.conformance.matrix import check_cells as check_cells
from midflight.testing.conformance.matrix import outcome as outcome
from midflight.testing.conformance.matrix import sessions as sessions
from midflight.testing.conformance.rig import ACP_CLAUDE as ACP_CLAUDE
from midflight.testing.conformance.rig import ACP_OPENCODE as ACP_OPENCODE
from midflight.testing.conformance.rig import CLAUDE as CLAUDE
from midflight.testing.conformance.rig import FAKE as FAKE
from midflight.testing.conformance.rig import OPENCODE as OPENCODE
from midflight.testing.conformance.rig import OPENCODE2 as OPENCODE2
from midflight.testing.conformance.rig import PRESET_RIGS as PRESET_RIGS
from midflight.testing.conformance.rig import RIGS as RIGS
from midflight.testing.conformance.rig import Rig as Rig

__all__ = [
    "ACP_CLAUDE",
    "ACP_OPENCODE",
    "CELLS",
    "CLAUDE",
    "FAKE",
    "OPENCODE",
    "OPENCODE2",
    "PRESET_RIGS",
    "RIGS",
    "Rig",
    "assert_everything_ended_once",
    "cells",
    "check_cells",
    "outcome",
    "sessions",
]
