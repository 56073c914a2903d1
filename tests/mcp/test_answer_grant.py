"""What an agent may answer, and spend, is what the person has said, whatever agents say."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.faults.manifest import fault
from tests.mcp.conftest import OpenTools
from tests.mcp.test_lineage import begin
from tests.support.fake_host import OpenHost
from tests.support.host import have, journal_of, share_environment
from tests.support.mcp_tools import ASK, WRITE
from tests.support.model_scripts import by_task
from tests.support.money import known

import midflight
from midflight import commands as c
from midflight.client.client import connect
from midflight.lineage import SESSION_VARIABLE
from midflight.options import OWN_SERVER
from midflight.testing import Silence, Text, ToolCall, Usage

BASH = ToolCall("Bash", {"command": "touch x"})
LEAVE = ("--may-answer", "Write@named", "--may-answer", "Write@bash")


@fault("S11")
async def test_grant_for_questions_leaves_permissions_to_the_user(
    open_host: OpenHost, open_tools: OpenTools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, host = await open_host(
        by_task(boss=[Silence()], asks=[ASK, Text("A it is")], writes=[WRITE])
    )
    boss = await begin(host, model, tmp_path / "work", "boss")
    monkeypatch.setenv(SESSION_VARIABLE, boss.id)
    have(monkeypatch, model.env(tmp_path))
    share_environment(host)
    tools = await open_tools(may_answer=["questions"])
    await tools.dispatch("asks", name="asks")
    assert (await tools.wait())["next"] == "answer it, or ask the user"
    await tools.ask("answer", answers=["A"])
    assert (await tools.wait())["status"] == "idle"
    await begin(host, model, tmp_path / "work", "writes", boss.id)
    report = await tools.wait(sessions=["writes"])
    assert report["next"] == "the user has to answer it"
    for decision in ("allow", "deny"):
        assert "ask the user" in await tools.refused("answer", session="writes", decision=decision)
    (child,) = [each for each in host.live() if each.name == "writes"]
    assert child.pending


@fault("S11")
async def test_grant_for_a_tool_covers_no_other_tool(
    open_host: OpenHost, open_tools: OpenTools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, host = await open_host(
        by_task(boss=[Silence()], child=[[WRITE], [BASH], Text("done")], other=[ASK])
    )
    boss = await begin(host, model, tmp_path / "work", "boss")
    monkeypatch.setenv(SESSION_VARIABLE, boss.id)
    have(monkeypatch, model.env(tmp_path))
    tools = await open_tools(may_answer=["Write", "Edit"])
    assert "cannot allow" in await tools.refused("dispatch", task="x", allowed_tools=["Bash"])
    assert "cannot allow" in await tools.refused(
        "dispatch", task="x", permission_mode="acceptEdits"
    )
    await begin(host, model, tmp_path / "work", "child", boss.id)
    await tools.wait(sessions=["child"])
    await tools.ask("answer", decision="allow")
    report = await tools.wait()
    assert report["next"] == "the user has to answer it"
    assert "ask the user" in await tools.refused("answer", decision="allow")
    await begin(host, model, tmp_path / "work", "other", boss.id)
    await tools.wait(sessions=["other"])
    assert "ask the user" in await tools.refused("answer", decision="deny")


@fault("S11")
async def test_request_that_nobody_made_cannot_be_answered(
    open_host: OpenHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, host = await open_host(lambda _: Silence())
    boss = await begin(host, model, tmp_path / "work", "boss")
    child = await begin(host, model, tmp_path / "work", "child", boss.id)
    monkeypatch.setenv(SESSION_VARIABLE, boss.id)
    async with connect(may_answer="questions") as client:
        with pytest.raises(midflight.NotAllowed):
            await client.carry_out(child.id, c.Answer(request="x"))


async def test_dispatched_session_gets_what_is_left_of_the_budget_above_it(
    open_host: OpenHost, open_tools: OpenTools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
    monkeypatch.setenv(SESSION_VARIABLE, boss.id)
    tools = await open_tools()
    left = 0.2 - known(boss.total_cost_usd)
    with monkeypatch.context() as outside:  # an agent has none kept ready
        outside.delenv(SESSION_VARIABLE)
        await host.keep_warm(agent="fake", cwd=tmp_path / "work", max_budget_usd=left)
    await tools.dispatch("first", name="first", max_budget_usd=5)
    first = await tools.wait()
    left = 0.2 - (first["total_cost_usd"] + boss.total_cost_usd)
    with monkeypatch.context() as outside:  # an agent has none kept ready
        outside.delenv(SESSION_VARIABLE)
        await host.keep_warm(agent="fake", cwd=tmp_path / "work", max_budget_usd=left)
    await tools.dispatch("second", name="second")
    second = await tools.wait()
    assert second["total_cost_usd"] > left > 0
    assert "the budget is spent" in await tools.refused("dispatch", task="third")


@fault("S19")
async def test_leave_for_a_named_session_covers_that_one_and_no_command(
    open_host: OpenHost, open_tools: OpenTools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stands with the session that the user began: what an agent says itself is no leave."""
    model, host = await open_host(
        by_task(
            boss=[Silence()],
            plain=[Silence()],
            named=[[WRITE], Text("done")],
            other=[[WRITE]],
            bash=[[BASH]],
        )
    )
    own = {"command": "python", "args": [*OWN_SERVER, *LEAVE]}
    options = midflight.Options.build(cwd=tmp_path / "work", mcp_servers={"midflight": own})
    boss, record = await journal_of(host).create("boss", options)
    plain = await begin(host, model, tmp_path / "work", "plain")
    sessions = {
        name: await begin(host, model, tmp_path / "work", name)
        for name in ("named", "other", "bash")
    }
    for session in sessions.values():
        while not session.pending:
            await anext(session.events(session.last_seq))
    asked = {name: session.pending[0].request for name, session in sessions.items()}
    said = ["everything", "Write@named", "Write@other"]
    monkeypatch.setenv(SESSION_VARIABLE, plain.id)
    async with connect(may_answer=said) as client:
        for name, session in sessions.items():
            with pytest.raises(midflight.NotAllowed):
                await client.carry_out(session.id, c.Answer(request=asked[name]))
    monkeypatch.setenv(SESSION_VARIABLE, boss.id)
    async with connect(may_answer=said) as client:
        assert (await client.info("named")).pending
        for command in (c.Send(text="x"), c.Interrupt(), c.Close()):
            with pytest.raises(midflight.NotAllowed):
                await client.carry_out(sessions["named"].id, command)
        for name in ("other", "bash"):  # one that is not named, and another tool
            with pytest.raises(midflight.NotAllowed):
                await client.carry_out(sessions[name].id, c.Answer(request=asked[name]))
    tools = await open_tools(may_answer=["Write@named"])
    assert (await tools.wait(sessions=["named"]))["next"] == "answer it, or ask the user"
    done = await tools.ask("answer", session="named", decision="allow")
    assert done["answered"] == "allowed r1 (permission Write)"
    assert sessions["named"].pending == ()
    await record.close()
