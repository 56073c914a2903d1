"""Who comes while a session is on its way hears it, and is the one who answers it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.host.conftest import Hosts
from tests.support.events import until
from tests.support.host import service_of
from tests.support.mcp_tools import WRITE

from midflight import events as e
from midflight.host import Host
from midflight.options import Options
from midflight.session.session import Session
from midflight.testing import FakeModel, Text

Opened = asyncio.Task[e.Event | None]


async def requested(host: Host, id: str, go: asyncio.Event) -> e.Event | None:
    """Return what a session asks whoever reads it, and goes on behind its past after ``go``."""
    async for events in service_of(host).follow(id, 0, 60, attends=True):
        if events:
            await go.wait()
        for event in events:
            if isinstance(event, e.PermissionRequested):
                return event
    return None


async def attended(session: Session, reader: Opened) -> None:
    """Have a session ask, and see that it does so as one whose person is there."""
    await session.send("write")
    request = await reader
    assert isinstance(request, e.PermissionRequested)
    assert request.deadline is None
    await session.answer(request)
    await until(session, e.TurnEnded)


async def test_reader_who_comes_while_a_session_begins_hears_it(
    open_host: Hosts, fake_model: Callable[..., Any], tmp_path: Path
) -> None:
    readers: list[Opened] = []
    go = asyncio.Event()
    go.set()

    def read(session: Session) -> None:
        readers.append(asyncio.create_task(requested(host, session.id, go)))

    host = await open_host(on_session=read)
    model: FakeModel = await fake_model(WRITE, Text("done"))
    options = Options.build(agent="fake", cwd=tmp_path, env=model.env(tmp_path))
    session = await host.begin(None, options)
    await attended(session, readers[0])


async def test_reader_of_the_past_answers_a_session_that_is_resumed_meanwhile(
    open_host: Hosts, fake_model: Callable[..., Any], tmp_path: Path
) -> None:
    readers: list[Opened] = []
    parked, resumed = False, asyncio.Event()

    def read(session: Session) -> None:
        if parked:
            readers.append(asyncio.create_task(requested(host, session.id, resumed)))

    host = await open_host(on_session=read)
    model: FakeModel = await fake_model(Text("hello"), WRITE, Text("done"))
    options = Options.build(agent="fake", cwd=tmp_path, env=model.env(tmp_path))
    session = await host.begin("greet", options)
    assert session.first is not None
    await session.first.result()
    await session.close("parked")
    await session.over()
    parked = True
    session = await host.session(session.id)
    resumed.set()
    await attended(session, readers[0])
