"""What waits when a host ends, and what a session does that was taken up again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.faults.manifest import fault
from tests.support.host import close, journal_of, post
from tests.support.journal import begin

from midflight import commands as c
from midflight import events as e
from midflight.agents.shared.environment import inherited
from midflight.client.client import connect
from midflight.errors import Conflict, EventsExpired, NotFound
from midflight.host import Host
from midflight.host.secrets import SessionSecrets
from midflight.journal import Journal, history
from midflight.testing import FakeModel, Text, ToolCall, Wait
from midflight.testing.model.script import Part

Hosts = Callable[..., Awaitable[Host]]
Models = Callable[..., Awaitable[FakeModel]]


@pytest.fixture
async def given(fake_model: Models, tmp_path: Path) -> AsyncIterator[dict[str, Any]]:
    """Return options for a model whose first answer waits, and which then answers everything."""
    asked: list[object] = []

    def answer(request: object) -> list[Part]:
        asked.append(request)
        return [Text(f"answer {len(asked)}")] if len(asked) > 1 else [Wait("go"), Text("first")]

    model = await fake_model(answer)
    yield {"agent": "fake", "cwd": tmp_path, "env": model.env(tmp_path)}
    model.signal("go")


async def at_rest_with_two_that_wait(state: Path, given: dict[str, Any]) -> str:
    """Have a host end in the middle of a turn, with two messages queued; return the session."""
    async with Host(state) as host:
        session = await host.dispatch("first", **given)
        async for event in session.stream():
            if event.type == "turn.started":
                break
        await session.send("second", delivery="queue", id="m2")
        await session.send("third", delivery="queue", id="m3")
    return session.id


async def test_queued_messages_wait_on_when_a_host_is_left(
    state: Path, given: dict[str, Any], open_host: Hosts
) -> None:
    session = await at_rest_with_two_that_wait(state, given)
    host = await open_host()
    told = await journal_of(host).events(session)
    ended = [event.message for event in told if isinstance(event, e.MessageFailed)]
    cancelled = [event.message for event in told if isinstance(event, e.MessageCancelled)]
    assert not {"m2", "m3"} & {*ended, *cancelled}


async def test_waiting_messages_follow_the_next_message_in_order(
    state: Path, given: dict[str, Any], open_host: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = await at_rest_with_two_that_wait(state, given)
    for name, value in given["env"].items():
        monkeypatch.setenv(name, value)
    host = await open_host()
    session = await host.session(kept)
    fourth = await session.send("fourth", delivery="queue")
    assert (await fourth.result()).text == "answer 4"
    started = [
        event.message
        for event in await journal_of(host).events(kept)
        if isinstance(event, e.MessageStarted)
    ]
    assert started[1:] == ["m2", "m3", fourth.id]


@pytest.mark.parametrize(
    "command",
    [
        c.Cancel(message="m3"),
        c.Edit(message="m2", text="otherwise"),
        c.Move(message="m3", before="m2"),
        c.SetModel(model="other"),
        c.SetPermissionMode(mode="plan"),
        c.Answer(request="no such one"),
    ],
    ids=lambda command: type(command).__name__,
)
async def test_resumed_session_starts_nothing_by_itself(
    state: Path,
    given: dict[str, Any],
    open_host: Hosts,
    monkeypatch: pytest.MonkeyPatch,
    command: c.Command,
) -> None:
    kept = await at_rest_with_two_that_wait(state, given)
    for name, value in given["env"].items():
        monkeypatch.setenv(name, value)
    host = await open_host(park_after=0.05)
    session = await host.session(kept)
    try:
        await session.command(command)
    except NotFound:
        assert isinstance(command, c.Answer)
    assert session.status == "idle"
    await session.over()  # nothing keeps it from being laid to rest
    assert not [
        event
        for event in await journal_of(host).events(kept, session.oldest_seq)
        if isinstance(event, e.TurnStarted) and (event.turn or 0) > 1
    ]


async def test_closing_a_session_many_times_ends_it_once(
    state: Path, given: dict[str, Any], open_host: Hosts
) -> None:
    host = await open_host()
    session = await host.dispatch("first", **given)
    async with connect(state) as client:
        stops = [client.carry_out(session.id, c.Close()) for _ in range(3)]
        await asyncio.gather(*stops)
        await close(host, session.id)
    told = [event.type for event in await journal_of(host).events(session.id)]
    assert told.count("session.ended") == 1
    assert "session.resumed" not in told


async def test_parked_session_is_closed_without_its_agents_secrets(
    state: Path, given: dict[str, Any], open_host: Hosts
) -> None:
    kept = await at_rest_with_two_that_wait(state, given)
    host = await open_host()
    await close(host, kept)
    (row,) = await journal_of(host).sessions()
    assert row.status == "closed"
    told = await journal_of(host).events(kept)
    assert isinstance(told[-1], e.SessionEnded)
    assert {x.message for x in told if isinstance(x, e.MessageCancelled)} >= {"m2", "m3"}


async def test_repeated_dispatch_does_not_resume_a_closed_session(
    state: Path, given: dict[str, Any], open_host: Hosts
) -> None:
    host = await open_host()
    body = {"task": "first", "id": "once", "agent": "fake", "env": given["env"]}
    body["cwd"] = str(given["cwd"])
    async with connect(state) as client:
        for _ in range(2):
            await post(host, "/sessions", msgspec.json.encode(body))
        await client.carry_out("once", c.Close())
        await post(host, "/sessions", msgspec.json.encode(body))
    assert [row.status for row in await journal_of(host).sessions()] == ["closed"]


async def test_same_id_with_another_text_is_refused_after_its_end_too(
    open_host: Hosts, fake_model: Models, tmp_path: Path
) -> None:
    model = await fake_model([Text("one")])
    host = await open_host()
    session = await host.dispatch("this", agent="fake", cwd=tmp_path, env=model.env(tmp_path))
    assert session.first is not None
    await session.first.result()
    await session.command(c.Send(text="this", id=session.first.id))
    with pytest.raises(Conflict, match="another text"):
        await session.command(c.Send(text="that", id=session.first.id))


async def test_resumed_session_reports_where_its_memory_begins(
    state: Path,
    given: dict[str, Any],
    open_host: Hosts,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = await at_rest_with_two_that_wait(state, given)
    for name, value in given["env"].items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(history, "WHOLE", 3)
    host = await open_host()
    session = await host.session(kept)
    with pytest.raises(EventsExpired):
        await anext(session.events())
    async for event in session.stream():
        assert event.type == "session.resumed"


async def test_unattended_session_is_answered_by_a_reader_that_attends(
    open_host: Hosts, fake_model: Models, tmp_path: Path, state: Path
) -> None:
    call = ToolCall("Write", {"file_path": "new", "content": "x"})
    model = await fake_model([Wait("go"), call], [Text("done")])
    host = await open_host()
    given: dict[str, Any] = {"agent": "fake", "cwd": tmp_path, "env": model.env(tmp_path)}
    session = await host.dispatch("this", attended=False, **given)
    async with connect(state) as client, await client.session(session.id, attend=True) as reader:
        model.signal("go")
        async for event in reader.events():
            if isinstance(event, e.PermissionRequested):
                await reader.answer(event.request, "allow")
            if isinstance(event, e.TurnEnded):
                break
    assert (tmp_path / "new").read_text() == "x"


async def test_request_gets_its_full_time_when_the_last_reader_leaves(
    open_host: Hosts, fake_model: Models, tmp_path: Path, state: Path
) -> None:
    call = ToolCall("Write", {"file_path": "new", "content": "x"})
    model = await fake_model([Wait("go"), call], [Text("done")])
    host = await open_host()
    given: dict[str, Any] = {"agent": "fake", "cwd": tmp_path, "env": model.env(tmp_path)}
    session = await host.dispatch("this", request_timeout=0.4, **given)
    clock = asyncio.get_running_loop().time
    async with connect(state) as client, await client.session(session.id, attend=True) as reader:
        model.signal("go")
        while not reader.pending:
            await asyncio.to_thread(lambda: None)
        asked = clock()
        while clock() < asked + 0.5:
            await asyncio.to_thread(lambda: None)
        assert session.pending, "while somebody is there it has no deadline"
        left = clock()
    assert session.first is not None
    await session.first.result()
    assert clock() - left > 0.3


@fault("S20")
async def test_resumed_session_gets_its_servers_from_the_environment(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are in no file of the journal; without them the session is not resumed."""
    secret = "s3cret-0123456789"
    servers = {"tools": {"command": "server", "args": ["--token", secret]}}
    async with Journal(state) as journal:
        await journal.host.register("/x.sock")
        record = await begin(journal, mcp_servers=servers)
        row = await journal.find(record.session)
        files = [path.read_bytes() for path in state.glob("journal*")]  # noqa: ASYNC240 - few
        assert not any(secret.encode() in content for content in files)
        await journal.host.leave()
    secrets = SessionSecrets()
    with pytest.raises(Conflict, match=r"needs tools\.args") as caught:
        secrets.options(row)
    assert "MIDFLIGHT_MCP_SERVERS" in caught.value.hint
    monkeypatch.setenv("MIDFLIGHT_MCP_SERVERS", "nonsense")
    with pytest.raises(Conflict, match="no JSON"):
        secrets.options(row)
    monkeypatch.setenv("MIDFLIGHT_MCP_SERVERS", json.dumps(servers))
    options = secrets.options(row)
    assert options.mcp_servers == servers
    assert "MIDFLIGHT_MCP_SERVERS" not in inherited(())
    secrets.keep(row.id, options)
    monkeypatch.delenv("MIDFLIGHT_MCP_SERVERS")
    assert secrets.options(row).mcp_servers == servers
