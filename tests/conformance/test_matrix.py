"""Every verb in every phase, on every agent: the table of midflight.testing.semantics holds."""

from pathlib import Path

import pytest

from midflight.testing.conformance import ACP_OPENCODE, OPENCODE, RIGS, Rig, cells, check_cell
from midflight.testing.semantics import PHASES, TABLE, VERBS

SAMPLE = [
    ("send", "tool"),
    ("queue", "streaming"),
    ("redirect", "first byte"),
    ("redirect", "last token"),
    ("interrupt", "thinking"),
    ("interrupt", "tool"),
    ("cancel", "accepted"),
    ("answer", "permission"),
    ("set_model", "idle"),
    ("close", "silent"),
    ("death", "just ended"),
]
SAMPLED = {ACP_OPENCODE: SAMPLE}
"""An agent of which the suite tries a part only: each session costs seconds to start, the driver is
that of claude-acp and the program that of opencode, and both are tried in every cell."""

DEATHS = {OPENCODE: ("tool", "idle")}
"""The phases in which a server is killed that takes seconds to start, twice in each of these."""


def tried(rig: Rig) -> list[tuple[str, str]]:
    """Return the cells that are tried on an agent."""
    deaths = DEATHS.get(rig, PHASES)
    return [
        (verb, phase)
        for verb, phase in SAMPLED.get(rig, cells(rig))
        if verb != "death" or phase in deaths
    ]


ALL = [
    pytest.param(rig, verb, phase, id=f"{rig.name}-{verb}-{phase}")
    for rig in RIGS
    for verb, phase in tried(rig)
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


@pytest.mark.parametrize("rig", SAMPLED, ids=lambda rig: rig.name)
def test_a_sample_has_every_verb_and_every_phase_of_the_agent(rig: Rig) -> None:
    verbs, phases = zip(*cells(rig), strict=True)
    sampled_verbs, sampled_phases = zip(*SAMPLED[rig], strict=True)
    assert set(sampled_verbs) == set(verbs)
    assert set(sampled_phases) == set(phases)
