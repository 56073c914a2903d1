"""A host does its duties whatever happens, and counts the sessions that are on their way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from midflight.errors import HostGone
from midflight.host import Host
from midflight.journal import Journal
from midflight.session import Session
from midflight.testing import FakeModel, Text
from midflight.testing.fake import FakeAgent

Begin = Callable[..., Awaitable[tuple[FakeModel, Session]]]
Hosts = Callable[..., Awaitable[Host]]


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> tuple[asyncio.Event, asyncio.Event]:
    """Let agents start only when they may: return what says that one does, and that it may."""
    starts, may = asyncio.Event(), asyncio.Event()
    start = FakeAgent.start

    async def wait(self: FakeAgent) -> None:
        starts.set()
        await may.wait()
        await start(self)

    monkeypatch.setattr(FakeAgent, "start", wait)
    return starts, may


async def test_a_session_that_is_being_begun_uses_its_host(
    begin: Begin, host: Host, slow: tuple[asyncio.Event, asyncio.Event]
) -> None:
    starts, may = slow
    beginning = asyncio.ensure_future(begin(Text("done"), task="x"))
    await starts.wait()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await host.unused(0.0)
    may.set()
    _, session = await beginning
    async for _ in session.stream():
        pass
    await session.close()
    await host.unused(0.0)


async def test_a_host_that_closes_waits_for_sessions_that_are_being_begun(
    begin: Begin, open_host: Hosts, host: Host, slow: tuple[asyncio.Event, asyncio.Event]
) -> None:
    starts, may = slow
    beginning = asyncio.ensure_future(begin())
    await starts.wait()
    closing = asyncio.create_task(host.__aexit__(None, None, None))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await asyncio.shield(closing)
    may.set()
    with pytest.raises(HostGone):
        await beginning
    await closing
    (row,) = await (await open_host()).journal.sessions()
    assert (row.status, row.host) == ("idle", None)


async def test_a_duty_that_fails_once_is_told_and_done_again(
    open_host: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))
    monkeypatch.setattr("midflight.host.duties.BEAT_S", 0.01)
    beat, rounds, again = Journal.beat, 0, asyncio.Event()

    async def fail_once(self: Journal) -> None:
        nonlocal rounds
        rounds += 1
        if rounds == 1:
            raise RuntimeError("the first one")
        await beat(self)
        again.set()

    monkeypatch.setattr(Journal, "beat", fail_once)
    await open_host()
    await again.wait()
    assert [str(each["exception"]) for each in told] == ["the first one"]


async def test_a_session_that_cannot_be_laid_to_rest_keeps_no_other_from_it(
    open_host: Hosts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))
    close, failed = Session.close, False

    async def fail_once(self: Session, reason: Any = "closed") -> None:
        nonlocal failed
        if reason == "parked" and not failed:
            failed = True
            raise RuntimeError("not now")
        await close(self, reason)

    monkeypatch.setattr(Session, "close", fail_once)
    host = await open_host(park_after=0.01)
    async with FakeModel(lambda _: Text("done")) as model:
        given: dict[str, Any] = {"agent": "fake", "cwd": tmp_path, "env": model.env(tmp_path)}
        for task in ("one", "two"):
            await host.dispatch(task, **given)
        while len(host.sessions) > 1:
            host.changed.clear()
            await host.changed.wait()
    assert [str(each["exception"]) for each in told] == ["not now"]
