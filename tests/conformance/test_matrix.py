"""Every verb in every phase, on every agent: the table of midflight.testing.semantics holds."""

from pathlib import Path

import pytest

from midflight.testing.conformance import RIGS, Rig, cells, check_cell
from midflight.testing.semantics import PHASES, TABLE, VERBS

ALL = [
    pytest.param(rig, verb, phase, id=f"{rig.name}-{verb}-{phase}")
    for rig in RIGS
    for verb, phase in cells(rig)
]


@pytest.mark.usefixtures("no_agent_left")
@pytest.mark.parametrize(("rig", "verb", "phase"), ALL, indirect=["rig"])
async def test_a_verb_has_the_outcome_that_the_table_says(
    rig: Rig, verb: str, phase: str, tmp_path: Path
) -> None:
    await check_cell(rig, verb, phase, tmp_path)


def test_the_table_decides_every_cell() -> None:
    assert list(TABLE) == list(VERBS)
    for row in TABLE.values():
        assert list(row) == list(PHASES)
