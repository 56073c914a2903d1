"""The ACP driver on real agents, offline: OpenCode, and Claude Code behind its adapter."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.events import ended, read, until
from tests.support.faults import pid_in, pipe
from tests.support.money import known

import midflight
from midflight import events as e
from midflight.agents.claude import program as claude_program
from midflight.testing import HttpError, ModelRequest, ScriptedModel, Step, Text, Thinking, ToolCall
from midflight.testing.conformance.rows.options import EFFORT_FIELDS
from midflight.testing.model.dialect import offers
from midflight.testing.model.script import Script
from midflight.testing.plugin import need

pytestmark = pytest.mark.usefixtures("no_agent_left")

Env = Callable[[ScriptedModel], dict[str, str]]
Open = Callable[..., Awaitable[tuple[midflight.Session, ScriptedModel]]]

PROGRAMS = {"claude-acp": "claude-agent-acp", "opencode-acp": "opencode"}


@pytest.fixture(params=PROGRAMS)
async def agent(
    request: pytest.FixtureRequest,
    scripted_model: Callable[..., Awaitable[ScriptedModel]],
    agent_env: Env,
    tmp_path: Path,
) -> AsyncIterator[Open]:
    """Open one session with a real agent whose model plays a script."""
    name, opened = request.param, list[midflight.Session]()
    need("" if shutil.which(PROGRAMS[name]) else f"{PROGRAMS[name]} is not on PATH")

    async def start(
        *steps: Step, script: Script | None = None, **options: Any
    ) -> tuple[midflight.Session, ScriptedModel]:
        model = await scripted_model(script or list(steps))
        # The adapter brings a program of its own; tests know the one that midflight comes with.
        own = {"CLAUDE_CODE_EXECUTABLE": str(claude_program.find(None)), "IS_SANDBOX": ""}
        fixed = {"cwd": tmp_path, "env": agent_env(model) | own, "attended": True}
        given: dict[str, Any] = fixed | options
        session = midflight.open(agent=name, **given)
        opened.append(await session.__aenter__())
        return session, model

    yield start
    for session in opened:
        await session.close()


async def ask(session: midflight.Session, text: str) -> tuple[midflight.Result, list[e.Event]]:
    """Send a message; return its result, and the events up to the next quiet."""
    message = await session.send(text)
    events = await read(session)
    return await ended(message), events


def effort_of(request: ModelRequest) -> dict[str, object]:
    return {name: request.body.get(name) for name in EFFORT_FIELDS}


@pytest.mark.timeout(120)  # two sessions, each of which may take long to start on a busy machine
async def test_turn_has_its_cost_and_another_session_resumes_with_more_effort(
    agent: Open, tmp_path: Path
) -> None:
    session, model = await agent(
        [Thinking("hm"), Text("let me see"), ToolCall("Bash", {"command": "echo hi > made"})],
        Text("done"),
        model="opus",
        effort="low",
        allowed_tools=["Bash"],
        disallowed_tools=["WebFetch"],
    )
    result, events = await ask(session, "my number is 4711")
    shown = (e.Thinking, e.Text, e.ToolStarted, e.ToolEnded, e.TurnEnded, e.PermissionRequested)
    told = [event.type for event in events if isinstance(event, shown)]
    assert told == ["thinking", "text", "tool.started", "tool.ended", "text", "turn.ended"]
    (started,) = [event for event in events if isinstance(event, e.ToolStarted)]
    assert (started.name.casefold(), started.kind) == ("bash", "execute")
    assert started.input["command"] == "echo hi > made"
    assert (tmp_path / "made").read_text() == "hi\n"
    assert (result.status, result.text, result.steps) == ("completed", "done", 2)
    assert known(result.cost_usd) > 0
    assert "opus" in model.requests[-1].model
    low = effort_of(model.requests[-1])
    await session.close()
    again, model = await agent(
        Text("4711"), resume=session.agent_session, model="opus", effort="high"
    )
    result, events = await ask(again, "which number?")
    assert [event.text for event in events if isinstance(event, e.Text)] == ["4711"]
    assert "my number is 4711" in str(model.requests[0].messages)
    assert effort_of(model.requests[-1]) != low


@pytest.mark.long  # it starts twice, and says what this agent does not have
@pytest.mark.parametrize("agent", ["opencode-acp"], indirect=True)  # claude-acp: see its rows
async def test_opencode_reports_plans_but_no_retries_questions_or_sub_agents(
    agent: Open,
) -> None:
    todos = [
        {"content": "dig", "status": "completed", "activeForm": "digging"},
        {"content": "sow", "status": "pending", "activeForm": "sowing"},
    ]
    session, model = await agent(
        HttpError(529, headers={"retry-after": "1"}),
        ToolCall("TodoWrite", {"todos": todos}),
        Text("done"),
    )
    result, events = await ask(session, "make a plan")
    assert (result.status, result.text) == ("completed", "done")
    assert not [event for event in events if isinstance(event, e.Retry)]
    (*_, plan) = [event for event in events if isinstance(event, e.Plan)]
    told = [(one.text, one.status) for one in plan.entries]
    assert told == [("dig", "completed"), ("sow", "pending")]
    assert offers(model.requests[0], "TodoWrite")
    assert not offers(model.requests[0], "AskUserQuestion")
    assert not offers(model.requests[0], "Agent")


async def test_denial_is_obeyed_and_redirect_leaves_no_process_of_the_old_turn(
    agent: Open, tmp_path: Path
) -> None:
    started = pipe(tmp_path / "started")
    stubborn = "trap '' TERM; (trap '' TERM; sleep 61) & echo $$ > started; wait; sleep 61"

    def script(request: ModelRequest) -> Step:
        said = request.last_user_text
        if "wait" in said:
            return ToolCall("Bash", {"command": stubborn})
        tried = "make it" in said and not request.tool_results
        return ToolCall("Bash", {"command": "touch made"}) if tried else Text("so be it")

    session, _ = await agent(script=script)
    message = await session.send("make it")
    await until(session, e.PermissionRequested)
    await session.answer(session.pending[0], decision="deny", reason="not now")
    assert (await message.result()).status == "completed"
    assert not (tmp_path / "made").exists()

    await session.set_permission_mode("bypassPermissions")
    first = await session.send("wait for it")
    await pid_in(started)
    second = await session.redirect("rather this")
    async with asyncio.timeout(60):
        ended, result = await first.result(), await second.result()
    assert (ended.status, ended.reason) == ("interrupted", "redirected")
    assert (result.status, result.text) == ("completed", "so be it")
    assert "sleep 61" not in _commands()


def _commands() -> str:
    """The command lines of this machine's processes that this test may have started."""
    import psutil

    found = (process.info["cmdline"] or () for process in psutil.process_iter(["cmdline"]))
    return "\n".join(" ".join(words) for words in found)
