"""Every verb in every phase, on every agent: the table of midflight.testing.semantics holds.

Where a session takes seconds, a part of the cells is tried each time and the rest rarely.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from tests.conformance.conftest import SERVERS

from midflight.testing.conformance import (
    ACP_CLAUDE,
    ACP_OPENCODE,
    CLAUDE,
    OPENCODE,
    OPENCODE2,
    RIGS,
    Rig,
    cells,
    check_cells,
    sessions,
)
from midflight.testing.conformance.semantics import PHASES, TABLE, VERBS

Cells = list[tuple[str, str]]

# One row a verb: the phases in which it is tried.
CLAUDE_SAMPLE = {
    **{
        verb: tuple(phase for each, phase in cells(CLAUDE) if each == verb)
        for verb in ("send", "queue", "redirect", "interrupt", "answer")
    },
    "cancel": ("accepted", "tool"),
    "set_model": ("streaming", "idle"),
    "close": ("accepted", "tool", "permission", "last token"),
    "death": ("accepted", "tool", "permission", "just ended"),
}
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
OPENCODE_SAMPLE = {
    "send": ("accepted", "streaming", "tool", "permission", "question"),
    "queue": ("thinking", "just ended"),
    "redirect": ("accepted", "first byte", "tool", "permission", "back-off", "last token"),
    "interrupt": (
        *("accepted", "first byte", "thinking", "tool", "permission", "question"),
        *("back-off", "silent", "last token"),
    ),
    "cancel": ("accepted", "tool"),
    "answer": ("permission", "question"),
    "set_model": ("streaming", "idle"),
    "close": ("accepted", "tool", "question", "silent", "last token"),
    "death": ("tool",),
}
ACP_OPENCODE_SAMPLE = {
    "redirect": ("tool",),
    "answer": ("permission",),
    "set_model": ("idle",),
}
OPENCODE2_SAMPLE = {
    "send": ("accepted", "streaming", "tool"),
    "queue": ("streaming",),
    "redirect": ("accepted", "tool", "last token"),
    "interrupt": ("accepted", "first byte", "tool", "permission", "silent"),
    "cancel": ("accepted",),
    "answer": ("permission", "question"),
    "set_model": ("idle",),
    "close": ("tool", "idle"),
    "death": ("tool",),
}
SAMPLED: Mapping[Rig, Mapping[str, Sequence[str]]] = {
    CLAUDE: CLAUDE_SAMPLE,
    ACP_CLAUDE: ACP_CLAUDE_SAMPLE,
    OPENCODE: OPENCODE_SAMPLE,
    OPENCODE2: OPENCODE2_SAMPLE,
    ACP_OPENCODE: ACP_OPENCODE_SAMPLE,
}
"""The agents of which a part is tried each time, because each session takes seconds.

Of claude what steers, stops and answers is tried in every phase. Where it dies or is closed another
program has to start: that is tried where something of the agent's is open, and where nothing is.
Of claude-acp it tries every verb and every phase, and each pair for which the ACP driver has code:
a verb that meets a prompt that has not begun, an open tool, request or form, or a prompt that may
be answered already. The other pairs are the conversation's rules over the same signals, and these
are tried in every cell with fake. Of opencode the same is tried, with a server that is
killed in one phase, for another one takes seconds to start. Opencode-acp has the ACP driver, and
the program of opencode: it is tried in what the two do together, which is to stop, to ask and to
change the model.
Of opencode2 it tries where the driver has code of its own: a prompt that may not have begun, or
that joins a run, a stop that is not reported, and requests.
"""


def sample(rig: Rig) -> Cells:
    """Return the cells of an agent of which a part is tried each time."""
    return [(verb, phase) for verb, phases in SAMPLED[rig].items() for phase in phases]


def tried(rig: Rig) -> Cells:
    """Return the cells that are tried each time on an agent."""
    return sample(rig) if rig in SAMPLED else cells(rig)


def rest(rig: Rig) -> Cells:
    """Return the cells that are tried rarely."""
    often = tried(rig)
    return [cell for cell in cells(rig) if cell not in often]


def in_sessions(rig: Rig, tried: Cells) -> list[Cells]:
    """Split cells into sessions; deaths stand apart where others share the server."""
    if rig not in SERVERS:
        return sessions(tried)
    deaths = [cell for cell in tried if cell[0] == "death"]
    return sessions(cell for cell in tried if cell not in deaths) + sessions(deaths)


def named(rig: Rig, session: Cells) -> str:
    """Return what the session's test is called: the agent, and the phases that it goes through."""
    phases = dict.fromkeys(phase for _, phase in session)
    deaths = ["death"] if {verb for verb, _ in session} == {"death"} else []
    return "-".join([rig.name, *phases, *deaths])


def parameters(choice: Callable[[Rig], Cells]) -> list[object]:
    return [
        pytest.param(rig, session, id=named(rig, session))
        for rig in RIGS
        for session in in_sessions(rig, choice(rig))
    ]


@pytest.mark.timeout(240)  # up to twenty cells, each with several turns
@pytest.mark.usefixtures("no_agent_left")
@pytest.mark.parametrize(("rig", "session"), parameters(tried), indirect=["rig"])
async def test_each_verb_has_the_outcome_that_the_table_says(
    rig: Rig, session: Cells, tmp_path: Path
) -> None:
    await check_cells(rig, session, tmp_path)


@pytest.mark.long  # cells that add seconds each, and to which the driver adds nothing
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("no_agent_left")
@pytest.mark.parametrize(("rig", "session"), parameters(rest), indirect=["rig"])
async def test_each_verb_has_its_outcome_in_the_rest_of_the_cells_too(
    rig: Rig, session: Cells, tmp_path: Path
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


@pytest.mark.parametrize("rig", [CLAUDE, ACP_CLAUDE, OPENCODE], ids=lambda rig: rig.name)
def test_sample_of_a_driver_has_every_verb_and_every_phase(rig: Rig) -> None:
    verbs, phases = zip(*cells(rig), strict=True)
    sampled_verbs, sampled_phases = zip(*sample(rig), strict=True)
    assert set(sampled_verbs) == set(verbs)
    assert set(sampled_phases) == set(phases)


@pytest.mark.parametrize("rig", SAMPLED, ids=lambda rig: rig.name)
def test_sample_has_no_cell_that_the_agent_cannot_have(rig: Rig) -> None:
    assert set(sample(rig)) <= set(cells(rig))
