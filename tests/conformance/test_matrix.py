"""Every verb in every phase, on every agent: the table of midflight.testing.semantics holds.

Two agents are tried in a part of the cells, unless ``MIDFLIGHT_TEST_EVERY_CELL`` is set to ``1``.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from midflight.testing.conformance import (
    ACP_CLAUDE,
    ACP_OPENCODE,
    OPENCODE,
    RIGS,
    Rig,
    cells,
    check_cells,
    sessions,
)
from midflight.testing.conformance.semantics import PHASES, TABLE, VERBS

EVERY_CELL = "MIDFLIGHT_TEST_EVERY_CELL"
"""The variable with which every agent is tried in every cell that it has."""

# One row a verb: the phases in which it is tried.
ACP_CLAUDE_SAMPLE = {
    "send": ("accepted", "streaming", "tool", "permission", "question"),
    "queue": ("thinking", "silent", "just ended"),
    "redirect": ("accepted", "first byte", "tool", "permission", "question", "last token"),
    "interrupt": ("accepted", "first byte", "thinking", "tool", "permission", "question"),
    "cancel": ("accepted", "tool"),
    "answer": ("permission", "question"),
    "set_model": ("streaming", "idle"),
    "close": ("tool", "permission", "silent", "last token"),
    "death": ("accepted", "tool", "permission", "just ended"),
}
ACP_OPENCODE_SAMPLE = {
    "send": ("tool",),
    "redirect": ("first byte",),
    "interrupt": ("tool",),
    "answer": ("permission",),
    "set_model": ("idle",),
    "death": ("just ended",),
}
SAMPLED: Mapping[Rig, Mapping[str, Sequence[str]]] = {
    ACP_CLAUDE: ACP_CLAUDE_SAMPLE,
    ACP_OPENCODE: ACP_OPENCODE_SAMPLE,
}
"""The agents of which the suite tries a part only, because each session takes seconds.

Of claude-acp it tries every verb and every phase, and each pair for which the ACP driver has code:
a verb that meets a prompt that has not begun, an open tool, request or form, or a prompt that may
be answered already. The other pairs are the conversation's rules over the same signals, and these
are tried in every cell with claude and fake. Opencode-acp has the same driver, and the program of
opencode: it is tried in what the two do together, which is to stop, to ask, to change the model and
to come back.
"""

DEATHS = {OPENCODE: ("tool", "idle")}
"""The phases in which a server is killed that takes seconds to start, twice in each of these."""


def sample(rig: Rig) -> list[tuple[str, str]]:
    """Return the cells of an agent of which a part is tried."""
    return [(verb, phase) for verb, phases in SAMPLED[rig].items() for phase in phases]


def tried(rig: Rig) -> list[tuple[str, str]]:
    """Return the cells that are tried on an agent."""
    if os.environ.get(EVERY_CELL) == "1":
        return cells(rig)
    deaths = DEATHS.get(rig, PHASES)
    return [
        (verb, phase)
        for verb, phase in (sample(rig) if rig in SAMPLED else cells(rig))
        if verb != "death" or phase in deaths
    ]


ALL = [
    pytest.param(rig, session, id=f"{rig.name}-{'-'.join(dict.fromkeys(p for _, p in session))}")
    for rig in RIGS
    for session in sessions(tried(rig))
]


@pytest.mark.timeout(240)  # up to twenty cells, each with several turns
@pytest.mark.usefixtures("no_agent_left")
@pytest.mark.parametrize(("rig", "session"), ALL, indirect=["rig"])
async def test_each_verb_has_the_outcome_that_the_table_says(
    rig: Rig, session: list[tuple[str, str]], tmp_path: Path
) -> None:
    await check_cells(rig, session, tmp_path)


def test_table_decides_every_cell() -> None:
    assert list(TABLE) == list(VERBS)
    for row in TABLE.values():
        assert list(row) == list(PHASES)


@pytest.mark.parametrize("rig", RIGS, ids=lambda rig: rig.name)
def test_sessions_have_each_cell_once_and_a_close_only_as_their_last(rig: Rig) -> None:
    made = sessions(cells(rig))
    assert sorted(cell for session in made for cell in session) == sorted(cells(rig))
    assert not [session for session in made if "close" in dict(session[:-1])]


def test_sample_of_the_acp_driver_has_every_verb_and_every_phase() -> None:
    verbs, phases = zip(*cells(ACP_CLAUDE), strict=True)
    sampled_verbs, sampled_phases = zip(*sample(ACP_CLAUDE), strict=True)
    assert set(sampled_verbs) == set(verbs)
    assert set(sampled_phases) == set(phases)


@pytest.mark.parametrize("rig", SAMPLED, ids=lambda rig: rig.name)
def test_sample_has_no_cell_that_the_agent_cannot_have(rig: Rig) -> None:
    assert set(sample(rig)) <= set(cells(rig))
