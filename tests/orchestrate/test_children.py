"""One budget over the tree, and an end when nobody has anything to do."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.host.test_faults import full_disk
from tests.orchestrate.conftest import OpenOrchestra
from tests.support.mcp_tools import ASK, WRITE
from tests.support.money import known

from midflight import commands as c
from midflight import events as e
from midflight.authorization import AnswerGrant
from midflight.client.client import connect
from midflight.errors import StoreFailed
from midflight.options import Options
from midflight.orchestrate.children import Children
from midflight.orchestrate.prompt import orchestrator_options
from midflight.testing import Mark, Silence, Text, ToolCall, Usage, Wait

BASH = ToolCall("Bash", {"command": "true"})
DEAR = [Usage(output_tokens=4000), BASH]  # $0.06


async def test_budget_spent_by_the_tree_stops_every_session(orchestra: OpenOrchestra) -> None:
    on = await orchestra(
        max_budget_usd=0.1,
        boss=[Silence()],
        first=[DEAR, Silence()],
        second=[DEAR, Silence()],
        third=[Silence()],
    )
    sessions = [await on.dispatch(name, allowed_tools=["Bash"]) for name in ("third", "first")]
    await on.until(lambda: known(on.children.spent_usd) >= 0.06)
    assert all(session.status == "running" for session in (*sessions, on.boss))
    sessions.append(await on.dispatch("second", allowed_tools=["Bash"]))
    results = [await session.first.result() for session in sessions if session.first]
    assert {result.reason for result in results} == {"interrupted"}
    assert on.boss.first is not None
    assert (await on.boss.first.result()).reason == "max_budget"
    late = await on.boss.send("go on")
    assert (await late.result()).reason == "max_budget"
    assert on.updates == []


async def test_nobody_attends_the_children_once_their_person_has_left(
    orchestra: OpenOrchestra,
) -> None:
    on = await orchestra(boss=[Silence()], first=[WRITE, WRITE, WRITE, Text("done")])
    await on.dispatch("first")
    await on.until(lambda: on.children.children and on.child("first").pending)
    child, deadlines = on.child("first").session, []
    for _ in range(3):
        await on.until(lambda: child.pending)
        deadlines.append(child.pending[0].deadline)
        if len(deadlines) == 2:
            on.children.stop_attending()
        await child.answer(child.pending[0])  # once the host knows who attends
    assert deadlines[1] is None
    assert deadlines[2] is not None
    await on.until(lambda: not on.children.working)


async def test_journal_remembers_what_was_charged(orchestra: OpenOrchestra) -> None:
    on = await orchestra(max_budget_usd=1, boss=[Text("x"), Text("y")], first=[DEAR, Text("done")])
    await on.dispatch("first", allowed_tools=["Bash"])
    async with asyncio.timeout(60):
        charges = (each async for each in on.boss.events() if isinstance(each, e.SessionCharged))
        charged = await anext(each.usd async for each in charges if each.usd >= 0.06)
    await on.boss.close("parked")
    await on.boss.over()
    again = await on.host.session(on.boss.id)
    assert again._rules.state.ledger.charged_usd >= charged  # noqa: SLF001 - shown nowhere


async def test_rest_ends_when_no_child_works_and_no_update_is_left(
    orchestra: OpenOrchestra,
) -> None:
    on = await orchestra(boss=[Text("x"), [Mark("told"), Text("y")]], first=[Text("done")])
    assert on.boss.first is not None
    await on.boss.first.result()
    assert await on.children.rest()
    await on.dispatch("first")
    await on.children.look()
    assert not await on.children.rest()  # there is news
    await on.model.reached("told")


async def test_user_answers_what_a_child_asks(orchestra: OpenOrchestra) -> None:
    first = [[Wait("there"), ASK], Text("done")]
    on = await orchestra(boss=[Text("x"), Text("y"), Text("z")], first=first)
    child = await on.dispatch("first")
    await on.children.look()
    await on.until(lambda: on.child("first").seen)
    on.model.signal("there")
    await on.until(lambda: on.child("first").pending)
    (request,) = on.child("first").pending
    assert request.deadline is None  # as long as the person is there
    await on.children.answer(child.id, c.Answer(request=request.request, answers={"Which?": "A"}))
    await on.until(lambda: not on.children.working)


async def test_busy_children_go_on_when_the_orchestrator_leaves(orchestra: OpenOrchestra) -> None:
    on = await orchestra(boss=[Text("x"), Text("y")], first=[WRITE, Text("done")])
    child = await on.dispatch("first")
    await on.until(lambda: on.children.working)
    await on.children.__aexit__(None, None, None)
    assert child.status in ("running", "waiting")


async def test_orchestrator_that_loses_its_journal_ends_its_rest(
    orchestra: OpenOrchestra,
) -> None:
    on = await orchestra(boss=[Text("x"), Text("y")], first=[Silence()])
    assert on.boss.first is not None
    await on.boss.first.result()
    await on.dispatch("first")
    await on.children.__aexit__(None, None, None)

    async def cut_off() -> None:
        async with (
            asyncio.timeout(60),
            connect() as client,
            Children(client, on.boss, AnswerGrant(()), attend=False) as children,
        ):
            await children.look()
            with full_disk():
                on.boss.notice("info", "x" * 10_000)
                await children.rest()

    with pytest.raises(StoreFailed):
        await cut_off()


def test_prompt_says_what_the_agent_may_answer(tmp_path: Path) -> None:
    options = Options.build(cwd=tmp_path, allowed_tools=["Read"])
    kept = {"A": "1"}
    made = orchestrator_options(
        options, "id", may_answer=["questions", "Edit"], worktree=True, env=kept, journal="/j"
    )
    assert made.allowed_tools == ("Read", "mcp__midflight")
    server = made.mcp_servers["midflight"]
    assert server["env"] == kept
    args = " ".join(server["args"])
    assert args == (
        "-P -m midflight.cli.main mcp --session id --may-answer questions --may-answer Edit"
        " --worktree --journal /j"
    )
    assert "questions and permissions for `Edit`" in str(made.system_prompt)
    assert "a git worktree of its own" in str(made.system_prompt)
    nothing = orchestrator_options(options, "id", may_answer=[], worktree=False, env={})
    assert "You answer nothing" in str(nothing.system_prompt)
    assert "worktree" not in str(nothing.system_prompt)
    assert "--worktree" not in nothing.mcp_servers["midflight"]["args"]
