"""Every row of docs/capabilities.md, on every agent: it is as the driver says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from midflight.agents import AGENTS
from midflight.agents.base import CAPABILITIES, Support
from midflight.errors import UnsupportedOption
from midflight.testing import FakeAgent, FakeModel
from midflight.testing.conformance import PRESET_RIGS, RIGS, Rig
from midflight.testing.conformance.rig import Stage
from midflight.testing.conformance.rows import ROWS, check_row, record
from midflight.testing.conformance.rows.shown import LOOKS, look

SEEN = Path(__file__).parent.parent.parent / "build" / "capabilities"
"""Where scripts/write_docs.py finds what was seen."""


ELSEWHERE = {
    "opencode-acp": (
        *("steer", "queue", "redirect", "interrupt", "cancel", "edited_input"),
        *("max_turns", "timeout", "stall_timeout", "background"),
        *("plugins", "skills", "system_prompt", "add_dirs"),
        *("permissions", "set_permission_mode", "max_budget_usd", "cost", "resume"),
        *("questions", "set_model", "effort", "retries", "plan", "subagents"),
    )
}
"""Rows that are not tried on an agent that costs seconds to start.

Those of the first three lines are all the ACP driver's and tried with claude-acp, some of them in
`RARE` only; most of the verbs
among them are in this agent's part of the matrix too. What the agent itself adds to those of the
last two lines is tried in tests/agents/acp/test_driver.py: it asks, obeys a denial, takes another
mode, tells its cost and its plan, thinks as hard as it is told, goes on with an earlier
conversation, and tells of no new attempt, no question and no sub-agent. That it takes another model
is in the matrix.
"""

RARE = {
    "opencode": ("plugins",),
    "opencode2": (
        *("steer", "queue", "redirect", "timeout", "stall_timeout", "add_dirs", "background"),
        "plugins",
    ),
    "claude-acp": (
        *("steer", "queue", "redirect", "interrupt", "cancel"),
        *("effort", "resume", "timeout", "stall_timeout"),
        *("questions", "set_model", "cost", "max_budget_usd", "set_limits"),
    ),
    "opencode-acp": ("set_limits", "images", "mcp_servers"),
}
"""Rows that are tried rarely on an agent that starts programs for each session, or servers.

The verbs are in these agents' parts of the matrix as well, and so are claude-acp's questions and
set_model; its effort, resume and cost are in tests/agents/acp/test_driver.py. What ends a turn
after a time or for money is the session's, and tried with three other agents; what opencode2 may
do unasked is decided as for opencode. What a folder has of plug-ins is loaded by OpenCode
itself, and seen with it in tests/trust; MCP servers are the ACP driver's, as above.
"""

ANNOUNCING = [
    pytest.param(rig, id=rig.name, marks=[pytest.mark.presets] if rig in PRESET_RIGS else [])
    for rig in (*RIGS, *PRESET_RIGS)
    if rig.announces
]
"""The agents that report what they can do once they run."""


@pytest.mark.usefixtures("no_agent_left")
@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("rig", RIGS, ids=lambda rig: rig.name, indirect=True)
async def test_row_is_as_the_driver_says(rig: Rig, row: str, tmp_path: Path) -> None:
    tried = row not in ELSEWHERE.get(rig.name, ()) + RARE.get(rig.name, ())
    record(await check_row(rig, row, tmp_path, tried=tried), SEEN)


@pytest.mark.long
@pytest.mark.usefixtures("no_agent_left")
@pytest.mark.parametrize(
    ("rig", "row"),
    [
        pytest.param(rig, row, id=f"{rig.name}-{row}")
        for rig in RIGS
        for row in RARE.get(rig.name, ())
    ],
    indirect=["rig"],
)
async def test_row_that_is_tried_rarely_is_as_the_driver_says(
    rig: Rig, row: str, tmp_path: Path
) -> None:
    await check_row(rig, row, tmp_path)


@pytest.mark.presets
@pytest.mark.timeout(120)  # seconds to start, and some rows start an agent twice
@pytest.mark.usefixtures("no_agent_left")
@pytest.mark.parametrize("row", [*ROWS, *LOOKS])
@pytest.mark.parametrize("rig", PRESET_RIGS, ids=lambda rig: rig.name, indirect=True)
async def test_row_of_a_preset_is_as_it_was_seen(rig: Rig, row: str, tmp_path: Path) -> None:
    """What no driver claims is compared with docs/capabilities.md, by scripts/write_docs.py."""
    record(await (check_row if row in ROWS else look)(rig, row, tmp_path), SEEN)


def test_every_row_has_a_check() -> None:
    assert list(ROWS) == list(CAPABILITIES)


@pytest.mark.usefixtures("no_agent_left")
@pytest.mark.parametrize("rig", ANNOUNCING, indirect=True)
async def test_agent_announces_what_its_rig_says(rig: Rig, tmp_path: Path) -> None:
    stage = Stage(rig, tmp_path)
    await stage.learn()
    assert stage.can == rig.capabilities


class Liar(FakeAgent):
    """An agent that says the opposite of what it can."""

    capabilities: Mapping[str, Support] = {
        row: "supported" if can == "not" else "not" for row, can in FakeAgent.capabilities.items()
    }
    limits: Mapping[str, str] = dict.fromkeys(CAPABILITIES, "it lies")


TOO_MUCH = ["plugins", "skills", "mcp_servers", "system_prompt", "effort", "add_dirs", "subagents"]
TOO_LITTLE = ["steer", "questions", "max_turns", "retries", "plan", "background"]


@pytest.mark.parametrize("row", TOO_MUCH + TOO_LITTLE)
async def test_driver_that_says_what_is_not_so_fails_its_row(
    row: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(AGENTS, "liar", f"{__name__}:Liar")
    with pytest.raises((AssertionError, UnsupportedOption)):
        await check_row(Rig("liar", "liar", FakeModel), row, tmp_path)
