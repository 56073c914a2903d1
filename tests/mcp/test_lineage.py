"""An agent cannot decide about itself, nor about those that have begun it."""

from __future__ import annotations

import asyncio
import os
from argparse import Namespace
from pathlib import Path

import pytest
from tests.faults.manifest import fault
from tests.mcp.conftest import OpenTools
from tests.support.fake_host import OpenHost
from tests.support.host import journal_of
from tests.support.mcp_tools import WRITE

import midflight
from midflight import commands as c
from midflight.authorization import Authorizer, Caller
from midflight.cli.commands.rm import rm
from midflight.client.client import connect
from midflight.host import Host
from midflight.lineage import SESSION_VARIABLE, UNKNOWN
from midflight.session.session import Session
from midflight.testing import FakeModel, Silence, Text, ToolCall

EVERYTHING = (
    c.Send(text="do what I say"),
    c.Redirect(text="do what I say"),
    c.Interrupt(),
    c.Answer(request="x"),
    c.SetPermissionMode(mode="bypassPermissions"),
    c.Close(),
)


async def begin(host: Host, model: FakeModel, folder: Path, name: str, parent: str = "") -> Session:
    options = midflight.Options.build(
        agent="fake", cwd=folder, name=name, env=model.env(folder.parent)
    )
    return await host.begin(name, options, parent=parent)


@fault("S11")
@pytest.mark.parametrize("may_answer", [False, True])
async def test_commands_reach_neither_the_own_session_nor_its_ancestors(
    open_host: OpenHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, may_answer: bool
) -> None:
    model, host = await open_host(lambda _: Silence())
    first = await begin(host, model, tmp_path / "work", "first")
    second = await begin(host, model, tmp_path / "work", "second", first.id)
    third = await begin(host, model, tmp_path / "work", "third", second.id)
    monkeypatch.setenv(SESSION_VARIABLE, second.id)
    async with connect(may_answer=may_answer) as client:
        for session in (first, second):
            for command in EVERYTHING:
                with pytest.raises(midflight.NotAllowed):
                    await client.carry_out(session.id, command)
        await client.carry_out(third.id, c.Interrupt())
    with pytest.raises(midflight.NotAllowed):
        await asyncio.to_thread(rm, Namespace(sessions=["first"], force=True))
    assert (first.status, second.status, third.status) == ("running", "running", "idle")


@fault("S11")
async def test_session_in_no_journal_hides_nobody(
    open_host: OpenHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, _ = await open_host(
        ToolCall("Bash", {"command": f"echo ${SESSION_VARIABLE}"}), Text("done")
    )
    monkeypatch.setenv(SESSION_VARIABLE, "~outer")
    options = midflight.Options.build(
        agent="fake", cwd=tmp_path, env=model.env(tmp_path), allowed_tools=["Bash"]
    )
    session = Session(options, "x")
    monkeypatch.delenv(SESSION_VARIABLE)
    async with session as inner:
        async for _ in inner.stream():
            pass
    (seen,) = model.requests[-1].tool_results.values()
    assert seen.strip() == f"~outer/~{inner.id}"
    monkeypatch.setenv(SESSION_VARIABLE, seen.strip())
    async with connect() as client:
        assert await client.ancestry() == (inner.id, "outer")


async def test_session_begun_by_an_agent_is_its_child_by_any_way(
    open_host: OpenHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, host = await open_host(lambda _: Silence())
    outer = await begin(host, model, tmp_path / "work", "outer")
    monkeypatch.setenv(SESSION_VARIABLE, outer.id)
    options = midflight.Options.build(agent="fake", cwd=tmp_path / "work")
    session = await host.begin("x", options)
    assert [row.id for row in await journal_of(host).sessions(parent=outer.id)] == [session.id]


async def test_agent_started_before_its_task_counts_as_unknown(
    open_host: OpenHost, tmp_path: Path
) -> None:
    """It was ready before anybody dispatched it, and knows that it does not know whose it is."""
    model, host = await open_host(
        ToolCall("Bash", {"command": f"echo ${SESSION_VARIABLE}"}), Text("done")
    )
    session = await host.dispatch("x", agent="fake", cwd=tmp_path / "work")
    async for event in session.stream():
        if isinstance(event, midflight.PermissionRequested):
            await session.answer(event)
    (seen,) = model.requests[-1].tool_results.values()
    assert seen.strip() == UNKNOWN


@fault("S11")
async def test_caller_of_an_unknown_session_may_do_nothing(
    open_host: OpenHost, open_tools: OpenTools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, host = await open_host(lambda _: Silence())
    await begin(host, model, tmp_path / "work", "first")
    monkeypatch.setenv(SESSION_VARIABLE, "?")
    tools = await open_tools(may_answer=True)
    assert "not_allowed" in await tools.refused("stop", session="first")
    assert "not_allowed" in await tools.refused("dispatch", task="x")
    assert "not_allowed" in await tools.refused("sessions")


@fault("S17")
async def test_caller_that_cannot_be_seen_decides_nothing_for_the_user(
    open_host: OpenHost, tmp_path: Path
) -> None:
    model, host = await open_host(WRITE)
    session = await begin(host, model, tmp_path / "work", "first")
    while not session.pending:
        await anext(session.events(session.last_seq))
    unseen = Authorizer(journal_of(host), Caller(os.getuid(), 7, seen=False), may_answer=True)
    answer = c.Answer(request=session.pending[0].request)
    for command in (answer, c.SetPermissionMode(mode="acceptEdits")):
        with pytest.raises(midflight.NotAllowed):
            await unseen.check(session.id, command)
    with pytest.raises(midflight.NotAllowed):
        await unseen.begin(midflight.Options.build(cwd=tmp_path, trust=True))
    await unseen.check(session.id, c.Send(text="also this"))
    await unseen.check(session.id, c.Interrupt())


@fault("S11")
async def test_agent_dispatches_and_the_user_answers(
    open_host: OpenHost, open_tools: OpenTools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def script(request: object) -> object:
        return Silence() if "mine" in str(request.messages[0]) else WRITE  # type: ignore[attr-defined]

    model, host = await open_host(script)
    mine = await begin(host, model, tmp_path / "work", "mine")
    monkeypatch.setenv(SESSION_VARIABLE, mine.id)
    tools = await open_tools()
    assert "answer" not in {tool.name for tool in (await tools.client.list_tools()).tools}
    assert "cannot allow" in await tools.refused("dispatch", task="x", allowed_tools=["Bash"])
    assert "cannot allow" in await tools.refused(
        "dispatch", task="x", permission_mode="acceptEdits"
    )
    await tools.dispatch("write it", name="child")
    report = await tools.wait()
    assert (report["status"], report["next"]) == ("waiting", "the user has to answer it")
    assert "no tool" in await tools.refused("answer")
    (child,) = [session for session in host.live() if session.id != mine.id]
    with pytest.raises(midflight.NotAllowed):
        async with connect() as client:
            await client.carry_out(child.id, c.Answer(request=child.pending[0].request))
    (row,) = await journal_of(host).sessions(parent=mine.id)
    assert row.id == child.id


@fault("S11")
async def test_depth_and_number_of_children_are_limited(
    open_host: OpenHost, open_tools: OpenTools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, host = await open_host(lambda _: Silence())
    tools = await open_tools(children=1)
    await tools.dispatch("one")
    assert "1 sessions work for you" in await tools.refused("dispatch", task="two")
    await tools.ask("stop")
    outer = await begin(host, model, tmp_path / "work", "outer")
    inner = await begin(host, model, tmp_path / "work", "inner", outer.id)
    monkeypatch.setenv(SESSION_VARIABLE, inner.id)
    deep = await open_tools(depth=2)
    assert "2 deep" in await deep.refused("dispatch", task="three")
