"""What a client does when a host, a journal or a command does not do what it should."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from midflight import commands as c
from midflight import events as e
from midflight.client import RemoteSession, connect
from midflight.host import Host
from midflight.session import Session
from midflight.testing import FakeModel, Text

Begin = Callable[..., Awaitable[tuple[FakeModel, Session]]]
Hosts = Callable[..., Awaitable[Host]]
Attach = Callable[..., Awaitable[RemoteSession]]


@contextlib.asynccontextmanager
async def deaf(host: Host, state: Path) -> AsyncIterator[None]:
    """Stand before a host, and end it when it has answered: nobody gets to read the answer."""
    path = f"{host.address}-before"

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner, outer = await asyncio.open_unix_connection(host.address)
        outer.write(await reader.readuntil(b"}"))
        assert b" 202 " in await inner.readline()
        await host.__aexit__(None, None, None)
        outer.close()
        writer.transport.abort()

    server = await asyncio.start_unix_server(pass_on, path)
    with contextlib.closing(sqlite3.connect(state / "journal.sqlite")) as connection:
        connection.execute("UPDATE hosts SET address = ?", (path,))
        connection.commit()
    try:
        yield
    finally:
        server.close()


@pytest.mark.parametrize(
    "command", [c.Send(text="deploy it", delivery="queue"), c.Redirect(text="deploy it")]
)
async def test_a_command_whose_answer_is_lost_is_carried_out_once(
    begin: Begin,
    host: Host,
    open_host: Hosts,
    state: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: c.Command,
) -> None:
    model, session = await begin(lambda _: Text("done"))
    for name, value in model.env(state).items():
        monkeypatch.setenv(name, value)

    async def start_host(where: object) -> str:
        return (await open_host()).address

    monkeypatch.setattr("midflight.client.start_host", start_host)
    async with deaf(host, state), connect(state) as client:
        await client.carry_out(session.id, command)
        events = await client.journal.events(session.id)
    assert [event.text for event in events if isinstance(event, e.MessageAccepted)] == ["deploy it"]
