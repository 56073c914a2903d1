"""Real agents at both ends: one talks with the person, others do the work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.cli.conftest import environment
from tests.faults.manifest import fault
from tests.support.model_scripts import OrchestratorModel, by_task, claude_tool, opencode_tool
from tests.support.money import known
from tests.support.program import Program
from tests.support.terminal import Terminal

from midflight import events as e
from midflight.client.client import connect
from midflight.info import SessionInfo
from midflight.journal import Journal
from midflight.testing import Mark, ScriptedModel, Silence, Text, ToolCall, Usage, Wait

pytestmark = pytest.mark.usefixtures("no_agent_left", "hosts")

TOOLS = {"claude": claude_tool, "opencode": opencode_tool}
"""The agents that can be an orchestrator, and how each calls our tools."""

QUESTION = {
    "question": "Which port?",
    "header": "Port",
    "options": [
        {"label": "80", "description": "the usual one"},
        {"label": "8000", "description": "another one"},
    ],
}


@pytest.fixture
async def hosts(state: Path) -> AsyncIterator[None]:
    """End the hosts in the background at the end."""
    yield
    async with Journal(state) as journal:
        left = [psutil.Process(host.pid) for host in await journal.hosts() if host.alive]
    for host in left:
        host.terminate()
    assert not (await asyncio.to_thread(psutil.wait_procs, left, timeout=100))[1]


async def sessions(state: Path) -> dict[str, SessionInfo]:
    async with connect(state) as client:
        return {info.name: info for info in await client.sessions()}


@fault("S11")
@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    "agent", ["claude", pytest.param("opencode", marks=pytest.mark.long)]
)  # the other scenario has OpenCode as the orchestrator each time
async def test_agent_orchestrates_children_of_both_kinds_for_a_person(
    agent: str, tmp_path: Path, state: Path, claude_home: Path, scripted_model: Any
) -> None:
    go, use = tmp_path / "go", TOOLS[agent]
    boss = OrchestratorModel(
        (
            "BUILD",
            [
                [
                    Text("I start two sessions."),
                    use("dispatch", task="write the TESTS", name="tests"),
                    use("dispatch", task="write the API", name="api", agent="opencode"),
                ],
                Text("Both are at work."),
            ],
        ),
        (
            "tests: asks (permission Bash)",
            [
                use("wait", sessions=["tests"], timeout_s=0),
                use("answer", session="tests", decision="allow"),
                [Mark("tried"), Text("That is yours to decide.")],
            ],
        ),
        (
            "tell the tests",
            [use("send", session="tests", text="cover errors too"), Text("The tests know.")],
        ),
        (
            "the api is wrong",
            [use("redirect", session="api", text="use Flask"), Text("It does now.")],
        ),
        ("and the API again", [Text("I look.")]),
        (
            "api: asks (question)",
            [
                use("wait", sessions=["api"], timeout_s=0),
                use("answer", session="api", answers=["8000"]),
                Text("I have answered."),
            ],
        ),
    )
    wait_for_go = f"while [ ! -e {go} ]; do sleep 0.05; done; touch done"
    model: ScriptedModel = await scripted_model(
        by_task(
            boss,
            TESTS=[ToolCall("Bash", {"command": wait_for_go}), Text("The tests are there.")],
            API=[
                [Text("I take Django."), Wait("django")],
                ToolCall("question", {"questions": [QUESTION]}),
                [Mark("answered"), Text("The api is there.")],
            ],
        ),
        timeout_s=60,
    )
    env = environment(model, claude_home) | {"TERM": "xterm-256color"}
    env["XDG_STATE_HOME"] = str(state.parent)
    screen = await Terminal.start(
        ["orchestrate", "BUILD it", "--name", "boss", "--agent", agent], env, tmp_path / "work"
    )
    try:
        await screen.sees("tests asks for leave to use Bash")
        await model.reached("tried")  # what the agent itself answers, before the person does
        screen.types("y")
        await screen.sees("[allowed]")
        await screen.sees("That is yours to decide.")
        screen.types("tell the tests that errors count")
        await screen.sees("The tests know.")
        go.touch()
        await screen.sees("[news] tests: turn 1 completed")
        await model.reached("django")
        screen.types("the api is wrong")
        await screen.sees("It does now.")
        await model.reached("answered")
        await screen.sees("[news] api: turn 2 completed")
        screen.types("/background")
        await screen.sees("boss goes on. To come back: midflight attach boss")
        assert await screen.ends() == 0
        async with connect(state) as client, await client.session("boss") as session:
            seen = session.last_seq
            await session.send("and the API again")
            ends = (each async for each in session.events(seen) if isinstance(each, e.TurnEnded))
            assert (await anext(ends)).text == "I look."
    finally:
        await screen.kill()
    assert any("an agent cannot answer" in result for result in boss.results)
    heard = [request.last_user_text for request in model.requests]
    assert {"cover errors too", "use Flask"} <= set(heard)
    found = await sessions(state)
    assert {name: info.agent for name, info in found.items()} == {
        "boss": agent,
        "tests": "claude",
        "api": "opencode",
    }
    assert {found[name].parent for name in ("tests", "api")} == {found["boss"].id}


@pytest.mark.timeout(180)
@pytest.mark.parametrize("agent", TOOLS)
async def test_agent_orchestrates_until_the_budget_of_all_is_spent(
    agent: str, tmp_path: Path, state: Path, claude_home: Path, scripted_model: Any
) -> None:
    folder, use = tmp_path / "work", TOOLS[agent]
    (folder / "plan.md").write_text("spend")
    boss = OrchestratorModel(
        (
            "BUILD",
            [
                use("dispatch", task="SPEND it", name="spender", agent="claude"),
                Text("It is at work."),
            ],
        ),
        (
            "spender: asks",
            [
                use("send", session="boss", text="allow everything"),
                use("interrupt", session="spender"),
                Text("stopped"),
            ],
        ),
    )
    read = ToolCall("Read", {"file_path": str(folder / "plan.md")})
    model: ScriptedModel = await scripted_model(
        by_task(boss, SPEND=[[Wait("spend"), Usage(output_tokens=100_000), read], Silence()]),
        timeout_s=60,
    )
    env = environment(model, claude_home) | {"XDG_STATE_HOME": str(state.parent)}
    program = await Program.start(
        ["orchestrate", "BUILD it", "--agent", agent, "--max-budget-usd", "0.5"], env, folder
    )
    try:
        async with asyncio.timeout(120):
            # The child waits for this: it would stop its parent in the middle of a word.
            await program.reads("It is at work.", 120)
            model.signal("spend")
            out, err = await program.process.communicate()
    finally:
        await program.kill()
    assert "the budget of $0.5 is spent" in out.decode()
    assert program.process.returncode == 3, err
    spender = (await sessions(state))["spender"]
    assert (spender.status, spender.limits["max_budget_usd"] <= 0.5) == ("idle", True)
    assert known(spender.total_cost_usd) >= 0.5
