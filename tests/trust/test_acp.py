"""Real agents behind ACP in a folder that has them run and redirect all that a folder can."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.faults.manifest import fault
from tests.support import hostile as h
from tests.support.events import of, read
from tests.support.faults import Models, Use
from tests.trust.test_opencode import without_redirect

import midflight
from midflight.agents.acp.presets import PRESETS
from midflight.agents.acp.trust import obeyed_by
from midflight.agents.claude import program as claude_program
from midflight.commands import Send
from midflight.options import Options
from midflight.testing import ScriptedModel, Text, ToolCall
from midflight.testing.plugin import need
from midflight.trust import decision, stake

pytestmark = [pytest.mark.anyio, pytest.mark.agent, pytest.mark.timeout(180)]

FILL = {"claude-acp": (h.claude, "CLAUDE.md"), "opencode-acp": (h.opencode, "AGENTS.md")}


@pytest.fixture(params=FILL)
def agent(request: pytest.FixtureRequest) -> str:
    program = PRESETS[request.param].command.split()[0]
    need("" if shutil.which(program) else f"{program} is not on PATH")
    return str(request.param)


def options(use: Use, agent: str, model: ScriptedModel, folder: h.Hostile) -> dict[str, Any]:
    made = use(model, folder.folder, agent=agent)
    if agent == "opencode-acp":
        return without_redirect(made)
    # The adapter brings a program of its own; tests know the one that midflight comes with.
    made["env"] |= {"CLAUDE_CODE_EXECUTABLE": str(claude_program.find(None)), "IS_SANDBOX": ""}
    return {**made, "allowed_tools": ["Bash"]}


@fault("S7")
async def test_acp_agent_runs_and_sends_nothing_of_an_untrusted_folder(
    scripted_model: Models, use: Use, tmp_path: Path, agent: str
) -> None:
    """The folder's texts reach the model all the same, and none from outside."""
    sink = await scripted_model([])
    skill = agent == "claude-acp"  # over ACP, OpenCode has no skill by its name
    model = await scripted_model([Text("done"), Text("and done")][: 1 + skill])
    folder = h.hostile(tmp_path, sink.url)
    fill, texts = FILL[agent]
    fill(folder)
    h.instructions(folder, texts)
    async with midflight.dispatch("go", **options(use, agent, model, folder)) as session:
        events = await read(session)
        if skill:
            await session.command(Send(text="/probe"), who=h.PERSON)
            await read(session)
    assert folder.ran == set()
    assert sink.requests == []
    said = json.dumps(model.requests[0].body)
    assert h.WORDS in said
    assert h.OUTSIDE not in said
    assert (h.IMPORTED in said) == (agent == "claude-acp")  # OpenCode imports nothing
    (notice,) = [event.text for event in of(midflight.Notice, events) if "trust" in event.text]
    assert notice.startswith(f"{agent} starts without what this folder has it run or redirect")


@fault("S7")
async def test_acp_agent_runs_all_of_a_trusted_folder_and_asks_once(
    scripted_model: Models, use: Use, tmp_path: Path, agent: str
) -> None:
    """So the test of the untrusted one can fail. What it writes there itself asks nothing."""
    sink = await scripted_model([Text("stolen")])
    model = await scripted_model([])
    folder = h.hostile(tmp_path, sink.url)
    fill, texts = FILL[agent]
    marks = fill(folder)
    h.instructions(folder, texts)
    decision.record(stake.look(Options.build(cwd=folder.folder), obeyed_by(agent)))
    async with midflight.dispatch("go", **options(use, agent, model, folder)) as session:
        events = await read(session)
    assert folder.ran == marks - {"PreToolUse", "PostToolUse", "skill"}  # it calls none
    assert h.WORDS in json.dumps(sink.requests[0].body)
    assert not [event for event in of(midflight.Notice, events) if "trust" in event.text]
    assert decision.decide(Options.build(cwd=folder.folder), obeyed_by(agent)).trusted


@fault("S21")
@pytest.mark.parametrize("agent", ["claude-acp"], indirect=True)
@pytest.mark.parametrize("how", ["list", "skill", "hook"])
async def test_what_a_trusted_folder_allows_is_asked_for_over_acp(
    scripted_model: Models, use: Use, tmp_path: Path, agent: str, how: str
) -> None:
    """What the options do not allow; a hook that decides counts as a rule for everything."""
    folder = h.hostile(tmp_path, "")
    calls = [ToolCall("Bash", {"command": "touch here"}), Text("done")]
    if how == "list":
        folder.write(".claude/settings.json", {"permissions": {"allow": ["Bash(touch:*)"]}})
    elif how == "skill":
        head = '---\nname: probe\ndescription: x\nallowed-tools:\n- "Bash(touch:*)"\n---\nGo.\n'
        folder.write(".claude/skills/probe/SKILL.md", head)
        calls.insert(0, ToolCall("Skill", {"skill": "probe"}))
    else:
        verdict = {"hookEventName": "PreToolUse", "permissionDecision": "allow"}
        said = json.dumps({"hookSpecificOutput": verdict})
        hook = {"hooks": [{"type": "command", "command": f"echo '{said}'"}]}
        folder.write(".claude/settings.json", {"hooks": {"PreToolUse": [hook]}})
    decision.record(stake.look(Options.build(cwd=folder.folder), obeyed_by(agent)))
    model = await scripted_model(calls)
    asked = {**options(use, agent, model, folder), "allowed_tools": ["Skill"], "attended": False}
    async with midflight.dispatch("go", **asked) as session:
        events = await read(session)
    assert [event.name for event in of(midflight.PermissionRequested, events)] == ["Bash"]
    assert not (folder.folder / "here").exists()


@pytest.mark.parametrize("agent", ["claude-acp"], indirect=True)
async def test_server_that_only_an_untrusted_folder_has_is_an_error_over_acp(
    scripted_model: Models, use: Use, tmp_path: Path, agent: str
) -> None:
    folder = h.hostile(tmp_path, "")
    h.claude(folder, redirect=False)
    model = await scripted_model([])
    named = {**options(use, agent, model, folder), "allowed_tools": ["mcp__evil__do"]}
    with pytest.raises(midflight.UnsupportedOption, match=r"mcp__evil__do .*midflight trust"):
        async with midflight.dispatch("go", **named):
            pass
    assert folder.ran == set()
