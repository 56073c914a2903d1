"""A session goes on on another machine, which knows nothing of it but what the journal has."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.conftest import Hosts
from tests.support.events import ended
from tests.support.host import have, journal_of
from tests.support.journal import rows, silence, sql

from midflight.host import Host
from midflight.session.session import Session
from midflight.testing import FakeModel, ScriptedModel, Text, ToolCall
from midflight.testing.home import make_home

Models = Callable[..., Awaitable[FakeModel]]


class Machines:
    """Machines with homes of their own, on which one session is resumed."""

    def __init__(self, server: str, model: ScriptedModel, open_host: Hosts, folder: Path) -> None:
        self.server = server
        self.cwd = folder / "cwd"
        self.cwd.mkdir()
        self._model = model
        self._open = open_host
        self._folder = folder

    def home(self, name: str) -> Path:
        """Return the home of the user on a machine."""
        home = self._folder / name
        if not home.exists():
            make_home(home)
        return home

    async def begin(self, name: str, **options: Any) -> tuple[Host, Session]:
        """Begin a session on a machine."""
        host = await self._open(name)
        env = self._model.env(self.home(name))
        session = await host.dispatch("the word is plum", cwd=self.cwd, env=env, **options)
        await ended(session.first)
        sql(self.server, "UPDATE sessions SET machine = NULL")  # it may be resumed anywhere
        return host, session

    async def take(
        self, name: str, session: str, before: Host, monkeypatch: pytest.MonkeyPatch
    ) -> tuple[Host, Session]:
        """Have the host before hang, and resume the session on a machine."""
        before._tasks.cancel()  # noqa: SLF001 - it does not beat any more
        silence(self.server, journal_of(before).host.id)
        host = await self._open(name)
        have(monkeypatch, self._model.env(self.home(name)))
        return host, await host.session(session)


async def test_agent_goes_on_elsewhere_and_comes_back_with_what_was_said_there(
    server: str,
    fake_model: Models,
    open_host: Hosts,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = await fake_model(Text("one"), Text("two"), Text("three"))
    machines = Machines(server, model, open_host, tmp_path)
    first, session = await machines.begin("first", agent="fake")
    history = list(model.conversations[str(session.agent_session)])

    model.conversations.clear()
    second, moved = await machines.take("second", session.id, first, monkeypatch)
    assert (await ended(await moved.send("which word?"))).text == "two"
    assert "the word is plum" in json.dumps(model.requests[1].messages)

    model.conversations[str(session.agent_session)] = history
    _, back = await machines.take("first", session.id, second, monkeypatch)
    assert (await ended(await back.send("and now?"))).text == "three"
    assert "which word?" in json.dumps(model.requests[2].messages)
    assert back.agent_session == session.agent_session


async def goes_on_elsewhere(
    machines: Machines, model: ScriptedModel, monkeypatch: pytest.MonkeyPatch, **options: Any
) -> Host:
    """Cut the second turn in a tool; the third is on the second machine, whose host is returned."""
    first, session = await machines.begin("first", allowed_tools=["Bash"], **options)
    await session.send("wait for it")
    kept = "SELECT 1 FROM memory WHERE strpos(line, 'while true') > 0"
    while not await asyncio.to_thread(rows, machines.server, kept):
        pass

    second, moved = await machines.take("second", session.id, first, monkeypatch)
    assert (await ended(await moved.send("which word?"))).text == "two"
    asked = json.dumps(model.requests[2].messages)
    assert all(said in asked for said in ("the word is plum", "wait for it", "while true"))
    assert moved.agent_session == session.agent_session

    session.notice("info", "it wakes up")  # and learns that it was replaced
    await session.over()
    return second


CUT = (Text("one"), ToolCall("Bash", {"command": "while true; do sleep 0.1; done"}))


@pytest.mark.agent
async def test_claude_that_was_cut_in_a_tool_goes_on_elsewhere_and_comes_back(
    server: str, open_host: Hosts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ScriptedModel([*CUT, Text("two"), Text("three")]) as model:
        machines = Machines(server, model, open_host, tmp_path)
        second = await goes_on_elsewhere(machines, model, monkeypatch)
        (session,) = second.live()
        _, back = await machines.take("first", session.id, second, monkeypatch)
        assert (await ended(await back.send("and now?"))).text == "three"
        assert "which word?" in json.dumps(model.requests[3].messages)


@pytest.mark.long  # two servers are started; the row `relocate` tries the driver too
@pytest.mark.agent
async def test_opencode_that_was_cut_in_a_tool_goes_on_elsewhere(
    server: str, open_host: Hosts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ScriptedModel([*CUT, Text("two")]) as model:
        machines = Machines(server, model, open_host, tmp_path)
        await goes_on_elsewhere(machines, model, monkeypatch, agent="opencode")
