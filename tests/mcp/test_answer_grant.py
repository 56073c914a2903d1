"""What an agent may answer, and spend, is what the person has said, whatever agents say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.faults.manifest import fault
from tests.mcp.conftest import Desks, Opened
from tests.mcp.test_lineage import begin

import midflight
from midflight import commands as c
from midflight.client.client import connect
from midflight.lineage import VARIABLE
from midflight.testing import Silence, Text, ToolCall, Usage

WRITE = ToolCall("Write", {"file_path": "new", "content": "new"})
ASK = ToolCall(
    "AskUserQuestion",
    {
        "questions": [
            {
                "question": "Which?",
                "header": "W",
                "multiSelect": False,
                "options": [
                    {"label": "A", "description": "a"},
                    {"label": "B", "description": "b"},
                ],
            }
        ]
    },
)


def by_task(**steps: list[Any]) -> Callable[[Any], Any]:
    """Play a list of steps for each conversation, found by a word of its first message."""
    left = {word: iter(each) for word, each in steps.items()}

    def script(request: Any) -> Any:
        first = str(request.messages[0])
        return next(left[next(word for word in left if word in first)])

    return script


@fault("S11")
async def test_questions_may_be_answered_and_permissions_are_the_users(
    open_host: Opened, sit_down: Desks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, host = await open_host(
        by_task(boss=[Silence()], asks=[ASK, Text("A it is")], writes=[WRITE])
    )
    boss = await begin(host, model, tmp_path / "work", "boss")
    monkeypatch.setenv(VARIABLE, boss.id)
    desk = await sit_down(may_answer=["questions"])
    await desk.dispatch("asks", name="asks")
    assert (await desk.wait())["next"] == "answer it, or ask the user"
    await desk.ask("answer", answers=["A"])
    assert (await desk.wait())["status"] == "idle"
    await begin(host, model, tmp_path / "work", "writes", boss.id)
    report = await desk.wait(sessions=["writes"])
    assert report["next"] == "the user has to answer it"
    for decision in ("allow", "deny"):
        assert "ask the user" in await desk.refused("answer", session="writes", decision=decision)
    (child,) = [each for each in host.live() if each.name == "writes"]
    assert child.pending


@fault("S11")
async def test_a_tool_may_be_allowed_by_its_name_and_no_other(
    open_host: Opened, sit_down: Desks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = ToolCall("Bash", {"command": "touch x"})
    model, host = await open_host(
        by_task(boss=[Silence()], child=[[WRITE], [read], Text("done")], other=[ASK])
    )
    boss = await begin(host, model, tmp_path / "work", "boss")
    monkeypatch.setenv(VARIABLE, boss.id)
    desk = await sit_down(may_answer=["Write", "Edit"])
    assert "cannot allow" in await desk.refused("dispatch", task="x", allowed_tools=["Bash"])
    assert "cannot allow" in await desk.refused("dispatch", task="x", permission_mode="acceptEdits")
    await begin(host, model, tmp_path / "work", "child", boss.id)
    await desk.wait(sessions=["child"])
    await desk.ask("answer", decision="allow")
    report = await desk.wait()
    assert report["next"] == "the user has to answer it"
    assert "ask the user" in await desk.refused("answer", decision="allow")
    await begin(host, model, tmp_path / "work", "other", boss.id)
    await desk.wait(sessions=["other"])
    assert "ask the user" in await desk.refused("answer", decision="deny")


@fault("S11")
async def test_a_request_that_nobody_made_is_none_to_answer(
    open_host: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, host = await open_host(lambda _: Silence())
    boss = await begin(host, model, tmp_path / "work", "boss")
    child = await begin(host, model, tmp_path / "work", "child", boss.id)
    monkeypatch.setenv(VARIABLE, boss.id)
    async with connect(may_answer="questions") as client:
        with pytest.raises(midflight.NotAllowed):
            await client.carry_out(child.id, c.Answer(request="x"))


async def test_what_is_dispatched_gets_what_is_left_of_the_budget_above_it(
    open_host: Opened, sit_down: Desks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, host = await open_host(
        by_task(
            boss=[[Usage(output_tokens=4000), Text("ready")]],  # $0.06
            first=[[Usage(output_tokens=2000), Text("done")]],  # $0.03
            second=[[Usage(output_tokens=8000), Text("done")]],
        )
    )
    options = midflight.Options.build(
        agent="fake", cwd=tmp_path / "work", max_budget_usd=0.2, env=model.env(tmp_path)
    )
    boss = await host.begin("boss", options)
    assert boss.first is not None
    await boss.first.result()
    monkeypatch.setenv(VARIABLE, boss.id)
    desk = await sit_down()
    left = 0.2 - boss.total_cost_usd
    await host.keep_warm(agent="fake", cwd=tmp_path / "work", max_budget_usd=left)
    await desk.dispatch("first", name="first", max_budget_usd=5)
    first = await desk.wait()
    left = 0.2 - (first["total_cost_usd"] + boss.total_cost_usd)
    await host.keep_warm(agent="fake", cwd=tmp_path / "work", max_budget_usd=left)
    await desk.dispatch("second", name="second")
    second = await desk.wait()
    assert second["total_cost_usd"] > left > 0
    assert "the budget is spent" in await desk.refused("dispatch", task="third")
