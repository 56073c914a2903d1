"""Every row of docs/capabilities.md, on every agent: it is as the driver says."""

from __future__ import annotations

from pathlib import Path

import pytest

from midflight.agents.base import CAPABILITIES
from midflight.testing.conformance import RIGS, Rig
from midflight.testing.rows import ROWS, check_row, record

SEEN = Path(__file__).parent.parent.parent / "build" / "capabilities"
"""Where scripts/write_docs.py finds what was seen."""


@pytest.mark.usefixtures("no_agent_left")
@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("rig", RIGS, ids=lambda rig: rig.name, indirect=True)
async def test_a_row_is_as_the_driver_says(rig: Rig, row: str, tmp_path: Path) -> None:
    record(await check_row(rig, row, tmp_path), SEEN)


def test_every_row_has_a_check() -> None:
    assert list(ROWS) == list(CAPABILITIES)
