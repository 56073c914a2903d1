"""A host does its duties whatever happens, and counts the sessions that are on their way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.host import journal_of, table_of

from midflight.errors import AgentUnavailable, HostGone
from midflight.host import Host
from midflight.journal.own_host import OwnHost
from midflight.options import Options
from midflight.session.session import Session
from midflight.testing import FakeModel, Text
from midflight.testing.fake.agent import FakeAgent

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


async def test_starting_session_keeps_its_host_in_use(
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


async def test_closing_host_ends_the_start_of_an_agent(
    begin: Begin, open_host: Hosts, host: Host, slow: tuple[asyncio.Event, asyncio.Event]
) -> None:
    starts, _ = slow  # it would take for ever
    beginning = asyncio.ensure_future(begin(task="x", id="again"))
    await starts.wait()
    await host.__aexit__(None, None, None)
    with pytest.raises(HostGone):
        await beginning
    other = await open_host()
    assert await journal_of(other).sessions() == []
    row, _ = await journal_of(other).create("x", Options.build(agent="fake"), id="again")
    assert row.name == "x"


async def test_closing_host_ends_the_start_of_a_resumed_agent(
    begin: Begin, open_host: Hosts, host: Host, slow: tuple[asyncio.Event, asyncio.Event]
) -> None:
    starts, may = slow
    may.set()
    _, session = await begin(Text("done"), task="x")
    async for _ in session.stream():
        pass
    await session.close("parked")
    for event in slow:
        event.clear()
    message = await (await host.session(session.id)).send("go on", id="m2")
    await starts.wait()
    await host.__aexit__(None, None, None)
    assert message.state == "cancelled"
    (row,) = await journal_of(await open_host()).sessions()
    assert (row.status, row.host) == ("idle", None)


async def test_cancelled_dispatch_is_cancelled_and_leaves_no_session(
    begin: Begin, host: Host, slow: tuple[asyncio.Event, asyncio.Event]
) -> None:
    starts, _ = slow
    beginning = asyncio.ensure_future(begin(task="x"))
    await starts.wait()
    beginning.cancel()
    with pytest.raises(asyncio.CancelledError):
        await beginning
    assert (await journal_of(host).sessions(), bool(table_of(host))) == ([], False)


async def test_session_that_did_not_start_frees_its_id_and_name(
    begin: Begin, host: Host, tmp_path: Path
) -> None:
    nowhere: dict[str, Any] = {"agent": "fake", "cwd": tmp_path, "name": "fix"}
    with pytest.raises(AgentUnavailable):
        await host.dispatch("do it", id="mine", **nowhere)
    assert await journal_of(host).sessions() == []
    _, session = await begin(Text("done"), task="do it", id="mine", name="fix")
    assert (session.id, session.name) == ("mine", "fix")
    async for _ in session.stream():
        pass


async def test_warm_agent_ends_with_the_session_that_could_not_have_it(
    open_host: Hosts, tmp_path: Path
) -> None:
    def refuse(session: Session) -> None:
        raise RuntimeError("no session")

    host = await open_host(on_session=refuse)
    async with FakeModel([]) as model:
        given: dict[str, Any] = {"agent": "fake", "cwd": tmp_path, "env": model.env(tmp_path)}
        await host.keep_warm(**given)
        with pytest.raises(RuntimeError, match="no session"):
            await host.dispatch("do it", **given)
        assert model.agents[0]._dead  # noqa: SLF001 - another is made ready meanwhile


async def test_failed_duty_is_logged_and_done_again(
    open_host: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))
    monkeypatch.setattr("midflight.host.housekeeping.BEAT_S", 0.5)  # a beat has as long
    beat, rounds, again = OwnHost.beat, 0, asyncio.Event()

    async def fail_once(self: OwnHost) -> None:
        nonlocal rounds
        rounds += 1
        if rounds == 1:
            raise RuntimeError("the first one")
        await beat(self)
        again.set()

    monkeypatch.setattr(OwnHost, "beat", fail_once)
    await open_host()
    await again.wait()
    assert [str(each["exception"]) for each in told] == ["the first one"]


async def test_session_that_cannot_be_parked_keeps_no_other_from_it(
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
        while len(host.live()) > 1:
            table_of(host).changed.clear()
            await table_of(host).changed.wait()
    assert [str(each["exception"]) for each in told] == ["not now"]
