"""A host holds every session that an agent begins to what the agent has, by whatever door."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.faults.manifest import fault
from tests.host.test_peers import ask
from tests.support.host import have, journal_of, table_of
from tests.support.money import known

import midflight
from midflight import commands as c
from midflight.cli import foreground
from midflight.cli.foreground import hosted
from midflight.errors import NotAllowed
from midflight.family import Beginning
from midflight.host import Host
from midflight.lineage import SESSION_VARIABLE
from midflight.options import Options
from midflight.session.session import Session
from midflight.testing import FakeModel, Silence, Text, ToolCall, Usage

Models = Callable[..., Awaitable[FakeModel]]
Open = Callable[..., Options]

WIDER = (
    {"permission_mode": "bypassPermissions"},
    {"permission_mode": "acceptEdits"},
    {"allowed_tools": ["Bash"]},
)
WRITE = ToolCall("Write", {"file_path": "new", "content": "new"})


@pytest.fixture
async def build(fake_model: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    """Return a function to the options of an agent that never ends its turn.

    Its model is in the environment of this process too: an agent can set no variable for another.
    """
    model = await fake_model(lambda _: Silence())
    have(monkeypatch, model.env(tmp_path))

    def options(**more: Any) -> Options:
        return Options.build(agent="fake", cwd=tmp_path, env=model.env(tmp_path), **more)

    return options


def body(options: Options, **more: Any) -> dict[str, Any]:
    return {"task": "x", "agent": "fake", "cwd": str(options.cwd), "env": options.env, **more}


@fault("S17")
@pytest.mark.parametrize("wider", WIDER, ids=str)
async def test_agent_begins_nothing_wider_by_the_socket(
    host: Host, build: Open, wider: dict[str, Any]
) -> None:
    boss = await host.begin(None, build(), parent="")
    asked = body(boss.options, parent="", **wider)
    status, told = await ask(host, boss.id, "/sessions", asked)
    assert (status, told["code"]) == (403, "not_allowed")
    assert host.live() == [boss]


@fault("S17")
async def test_what_an_agent_begins_by_the_socket_inherits_its_limits(
    host: Host, build: Open
) -> None:
    limits = {"max_budget_usd": 2.0, "disallowed_tools": ["WebFetch"], "max_depth": 2}
    boss = await host.begin(None, build(**limits), parent="")
    wanted = body(boss.options, id="child", max_budget_usd=50, max_depth=9)
    status, info = await ask(host, boss.id, "/sessions", wanted)
    assert (status, info["limits"]["max_budget_usd"]) == (201, 2.0)
    (child,) = [session for session in host.live() if session is not boss]
    assert child.options.disallowed_tools == ("WebFetch",)
    assert (await ask(host, boss.id, "/sessions", wanted))[0] == 200  # the same id is no second one
    status, told = await ask(host, child.id, "/sessions", body(boss.options))
    assert (status, "2 deep" in told["message"]) == (403, True)


@fault("S17")
async def test_agent_reads_no_session_by_beginning_it_again(host: Host, build: Open) -> None:
    """Not even where it knows with which task and options the user has begun it."""
    options = build()
    boss = await host.begin(None, options, parent="")
    await host.begin("x", options, "the-user-s")
    status, told = await ask(host, boss.id, "/sessions", body(options, id="the-user-s"))
    assert (status, "reads only what it has begun" in told["message"]) == (403, True)


@fault("S17")
async def test_agent_has_no_more_children_at_work_than_it_may(host: Host, build: Open) -> None:
    boss = await host.begin(None, build(max_children=1), parent="")
    assert (await ask(host, boss.id, "/sessions", body(boss.options)))[0] == 201
    status, told = await ask(host, boss.id, "/sessions", body(boss.options))
    assert (status, "1 sessions work" in told["message"]) == (403, True)


@fault("S17")
async def test_sessions_in_no_journal_take_places_too(
    home: Host, build: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are known by the programs of their agents, as long as these live."""
    boss = await home.begin(None, build(max_children=2))
    env = {**os.environ, SESSION_VARIABLE: f"{boss.id}/~one/~two"}
    program = await asyncio.create_subprocess_exec("/bin/sleep", "60", env=env)
    status, told = await ask(home, boss.id, "/sessions", body(boss.options))
    assert (status, "2 sessions work" in told["message"]) == (403, True)
    monkeypatch.setenv(SESSION_VARIABLE, boss.id)
    with pytest.raises(NotAllowed, match="2 sessions work"):
        await Session(build(), "x").__aenter__()
    program.kill()
    await program.wait()
    async with Session(build(), "x") as session:
        assert session.status == "running"


@fault("S17")
async def test_two_that_come_together_do_not_both_get_the_last_place(
    host: Host, build: Open
) -> None:
    """Both have been let in, for each was alone when it was looked at."""
    boss = await host.begin(None, build(max_children=1), parent="")
    child = Beginning(build(), boss.id, held=True)
    await table_of(host).begin("first", child)
    with pytest.raises(NotAllowed):
        await table_of(host).begin("second", child)
    assert len(await journal_of(host).sessions(parent=boss.id)) == 1


@fault("S16", "S17")
@pytest.mark.parametrize(
    "more",
    [
        {"agent": "acp:/bin/sh -c 'touch run'"},
        {"cwd": "/"},
        {"add_dirs": ["/"]},
        {"mcp_servers": {"s": {"command": "sh"}}},
        {"env": {"ANTHROPIC_BASE_URL": "http://127.0.0.1:9"}},
        {"agent_path": "/bin/sh"},
    ],
    ids=lambda more: next(iter(more)),
)
async def test_agent_begins_nothing_that_reaches_further_by_the_socket(
    host: Host, build: Open, more: dict[str, Any]
) -> None:
    boss = await host.begin(None, build(), parent="")
    status, told = await ask(host, boss.id, "/sessions", body(boss.options, **more))
    assert (status, told["code"]) == (403, "not_allowed")
    assert host.live() == [boss]


@fault("S17")
async def test_agent_whose_session_is_in_another_journal_begins_nothing(
    host: Host, build: Open, tmp_path: Path
) -> None:
    async with Host(tmp_path / "other") as other:
        boss = await host.begin(None, build(max_budget_usd=1.0), parent="")
        status, told = await ask(other, boss.id, "/sessions", body(boss.options))
        assert (status, "not in this journal" in told["message"]) == (403, True)
        assert other.live() == []


@fault("S17")
async def test_agent_whose_mode_was_narrowed_tells_a_wider_child_nothing(
    host: Host, build: Open
) -> None:
    boss = await host.begin(None, build(permission_mode="acceptEdits"), parent="")
    child = await host.begin(None, build(permission_mode="acceptEdits"), parent=boss.id)
    path = f"/sessions/{child.id}/commands"
    tell = {"type": "send", "text": "edit this"}
    assert (await ask(host, boss.id, path, {**tell, "delivery": "queue"}))[0] == 202
    await boss.set_permission_mode("plan")
    for command in (
        tell,
        {**tell, "type": "redirect"},
        {"type": "answer", "request": "x"},
        {"type": "set_permission_mode", "mode": "acceptEdits"},
    ):
        grant = {"midflight-may-answer": "everything"}
        status, told = await ask(host, boss.id, path, command, **grant)
        assert (status, "wider than plan" in told["message"]) == (403, True)
    assert (await ask(host, boss.id, path, {"type": "interrupt"}))[0] == 202
    assert (await ask(host, boss.id, path, {"type": "set_permission_mode", "mode": "plan"}))[0]
    assert (await ask(host, boss.id, path, tell))[0] == 202


@fault("S17")
async def test_children_together_spend_no_more_than_their_parent_may(
    host: Host, build: Open, fake_model: Models, tmp_path: Path
) -> None:
    """Each is begun with all that is left, and what the other one spends is taken off."""
    costs = [Usage(output_tokens=4000), Text("done")]  # $0.06
    boss = await host.begin(None, build(max_budget_usd=0.1), parent="")

    async def child(*steps: Any) -> Session:
        model = await fake_model(*steps)
        options = build(max_budget_usd=0.1)
        options = msgspec.structs.replace(options, env=model.env(tmp_path))
        session = await host.begin("spend", options, parent=boss.id)
        assert session.first is not None
        assert (await session.first.result()).status == "completed"
        return session

    works = await child(costs, Silence())
    message = await works.send("go on")
    spends = await child(costs)
    result = await message.result()
    assert (result.status, result.reason) == ("limit", "max_budget")
    assert known(works.total_cost_usd) < 0.1
    path = f"/sessions/{spends.id}/commands"
    status, told = await ask(host, boss.id, path, {"type": "send", "text": "go on"})
    assert (status, "budget is spent" in told["message"]) == (403, True)


@fault("S17", "S19")
async def test_agent_changes_the_limits_of_no_session(host: Host, build: Open) -> None:
    boss = await host.begin(None, build(max_budget_usd=2.0), parent="")
    child = await host.begin(None, build(), parent=boss.id)
    wider = {"type": "set_limits", "max_budget_usd": 50}
    for session in (child, boss):
        path = f"/sessions/{session.id}/commands"
        assert (await ask(host, boss.id, path, wider))[0] == 403
        assert (await ask(host, boss.id, path, {**wider, "max_budget_usd": 0.1}))[0] == 403
    assert (boss.limits, child.limits) == ({"max_budget_usd": 2.0}, {})


@fault("S17")
async def test_agent_widens_the_mode_of_no_child(host: Host, build: Open) -> None:
    boss = await host.begin(None, build(), parent="")
    child = await host.begin(None, build(), parent=boss.id)
    path = f"/sessions/{child.id}/commands"
    wider = {"type": "set_permission_mode", "mode": "acceptEdits"}
    assert (await ask(host, boss.id, path, wider))[0] == 403
    assert (await ask(host, boss.id, path, {**wider, "mode": "plan"}))[0] == 202
    assert child.permission_mode == "plan"


@fault("S19")
async def test_agent_reaches_only_what_it_has_begun(host: Host, build: Open) -> None:
    boss = await host.begin(None, build(), parent="")
    child = await host.begin(None, build(), parent=boss.id)
    other = await host.begin("secret", build(), parent="")
    grant = {"midflight-may-answer": "everything"}
    for command in (c.Send(text="x"), c.Redirect(text="x"), c.Interrupt(), c.Answer(request="x")):
        plain = {"type": type(command).__struct_config__.tag, "text": "x", "request": "x"}
        known = {
            name: plain[name] for name in ("type", *command.__struct_fields__) if name in plain
        }
        status, told = await ask(host, boss.id, f"/sessions/{other.id}/commands", known, **grant)
        assert (status, told["code"]) == (403, "not_allowed")
    assert (await ask(host, boss.id, f"/sessions/{other.id}", None, "DELETE"))[0] == 403
    for path in ("", "/events", "/agent"):
        assert (await ask(host, boss.id, f"/sessions/{other.id}{path}", None, "GET"))[0] == 403
        assert (await ask(host, boss.id, f"/sessions/{child.id}{path}", None, "GET"))[0] == 200
    _, listed = await ask(host, boss.id, "/sessions", None, "GET")
    assert {info["id"] for info in listed} == {boss.id, child.id}
    assert other.status == "running"


@pytest.fixture
async def home(no_agent_left: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Yield a host on the user's own journal, which other programs of the user find."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "own"))
    async with Host() as host:
        yield host


@fault("S17")
@pytest.mark.parametrize("wider", WIDER, ids=str)
async def test_agents_own_process_begins_nothing_wider(
    home: Host, build: Open, wider: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `midflight run` in its shell, a program with a host of its own, and one without any."""
    boss = await home.begin(None, build())
    monkeypatch.setenv(SESSION_VARIABLE, boss.id)
    for parent in (None, "", "other"):
        with pytest.raises(NotAllowed):
            await home.begin("x", build(**wider), parent=parent)
    with pytest.raises(NotAllowed):
        async with hosted("x", build(**wider), door="command"):
            pass
    with pytest.raises(NotAllowed):
        async with Session(build(**wider), "x"):
            pass
    assert home.live() == [boss]


@fault("S17")
async def test_agents_own_process_keeps_no_agent_ready(
    home: Host, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It would be started with options that no session bounds."""
    monkeypatch.setenv(SESSION_VARIABLE, "of an agent")
    with pytest.raises(NotAllowed, match="keeps no other one ready"):
        await home.keep_warm(agent="fake", cwd=tmp_path, permission_mode="bypassPermissions")


@fault("S17")
async def test_agents_own_process_counts_against_the_budget(
    home: Host, build: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    boss = await home.begin(None, build(max_budget_usd=2.0))
    monkeypatch.setenv(SESSION_VARIABLE, boss.id)
    with pytest.raises(NotAllowed, match="nobody counts what a session in no journal spends"):
        await Session(build(), "x").__aenter__()
    ahead = "it would be started with the options that were asked for"
    monkeypatch.setattr(foreground, "create", lambda _: pytest.fail(ahead))
    async with hosted("x", build(), door="command") as begun:
        assert begun.session.options.max_budget_usd == 2.0
        assert begun.session.status == "running"


@fault("S17")
async def test_agents_own_process_decides_nothing_for_the_user(
    home: Host, fake_model: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = await fake_model(lambda request: Text("done") if request.tool_results else WRITE)
    have(monkeypatch, model.env(tmp_path))
    options = Options.build(agent="fake", cwd=tmp_path, env=model.env(tmp_path), attended=True)
    boss = await home.begin(None, options)
    monkeypatch.setenv(SESSION_VARIABLE, boss.id)
    async with Session(options, "write") as session:
        while not session.pending:
            await anext(session.events(session.last_seq))
        with pytest.raises(NotAllowed):
            await session.answer(session.pending[0])
        with pytest.raises(NotAllowed):
            await session.set_permission_mode("bypassPermissions")
        with pytest.raises(NotAllowed):
            await session.set_limits(max_turns=9)
        await session.answer(session.pending[0], "deny")
        assert session.first is not None
        assert (await session.first.result()).denials
    assert not (tmp_path / "new").exists()
    async with midflight.open(
        agent="fake", cwd=tmp_path, env=options.env, on_request=lambda _: c.Answer(request="x")
    ) as session:
        result = await (await session.send("write")).result()
    assert result.denials
    assert not (tmp_path / "new").exists()
