"""A host in the background has the sessions of all who would start one like it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.raw_http import call

from midflight import environment
from midflight import events as e
from midflight.address import Address
from midflight.client.client import Client, connect
from midflight.client.spawn import host_environment, one_at_a_time
from midflight.environment import HostKind
from midflight.errors import AgentFailed, AgentUnavailable
from midflight.host import Host
from midflight.journal import Journal
from midflight.journal.choice import choose
from midflight.session.session import Session
from midflight.testing import FakeAgent, FakeModel, Text

Begin = Callable[..., Awaitable[tuple[FakeModel, Session]]]
Hosts = Callable[..., Awaitable[Host]]
Started = list[Host]


@pytest.fixture(autouse=True)
def one_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep out what pytest changes between a fixture and its test."""
    beginnings = (*environment.BEGINNINGS, "PYTEST_CURRENT_TEST")
    monkeypatch.setattr("midflight.environment.BEGINNINGS", beginnings)


def own_kind() -> HostKind:
    """Return the kind that this process would start."""
    return HostKind(host_environment(), None)


@pytest.fixture
async def started(open_host: Hosts, monkeypatch: pytest.MonkeyPatch) -> Started:
    """Return the hosts that clients start, in this process."""
    hosts: Started = []

    async def start(*_: object, **__: object) -> Address:
        hosts.append(await open_host(kind=own_kind(), taking=True))
        return Address.parse(hosts[-1].address())

    monkeypatch.setattr("midflight.client.placement.start_host", start)
    return hosts


@pytest.fixture
async def client(state: Path) -> AsyncIterator[Client]:
    async with connect(state) as client:
        yield client


@pytest.fixture
async def options(
    fake_model: Callable[..., Awaitable[FakeModel]], tmp_path: Path
) -> dict[str, Any]:
    """Return the options of sessions whose agent answers."""
    model = await fake_model(lambda _: Text("done"))
    return {"agent": "fake", "cwd": tmp_path, "env": model.env(tmp_path)}


async def test_further_session_goes_to_the_host_that_was_started(
    started: Started, client: Client, options: dict[str, Any], state: Path
) -> None:
    one = await client.dispatch("one", **options)
    async with connect(state) as other:
        two = await other.dispatch("two", **options)
    (host,) = started
    assert {one.info.host, two.info.host} == {host.address()}
    assert {session.id for session in host.live()} == {one.id, two.id}


async def test_clients_that_come_together_start_one_host(
    started: Started, client: Client, options: dict[str, Any], state: Path
) -> None:
    async with connect(state) as other:
        await asyncio.gather(
            *(each.dispatch(f"{n}", **options) for n in range(3) for each in (client, other))
        )
    (host,) = started
    assert len(host.live()) == 6


async def test_starter_that_hangs_is_not_waited_for_long(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("midflight.client.spawn.WAIT_S", 0.05)
    async with asyncio.timeout(60), one_at_a_time(choose(state)), one_at_a_time(choose(state)):
        pass


async def let_disk_hang(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a host beat no more; what it was writing is written first."""
    journal = host._journal  # noqa: SLF001 - whose disk it is
    beat = journal.host.beat
    monkeypatch.setattr(journal.host, "beat", asyncio.Event().wait)
    await beat()
    journal.host.valid_until = 0.0


@pytest.mark.parametrize("what", ["not taking", "environment", "park time", "full", "no beat"])
async def test_host_that_does_not_fit_takes_no_session(
    started: Started,
    client: Client,
    options: dict[str, Any],
    open_host: Hosts,
    monkeypatch: pytest.MonkeyPatch,
    *,
    what: str,
) -> None:
    other = {
        "environment": HostKind(host_environment() | {"A_KEY": "another"}, None),
        "park time": HostKind(host_environment(), 60.0),
    }.get(what, own_kind())
    unfit = await open_host(kind=other, taking=what != "not taking")
    if what == "full":
        monkeypatch.setattr("midflight.host.service.MAX_TAKEN", 0)
    if what == "no beat":
        await let_disk_hang(unfit, monkeypatch)
    session = await client.dispatch("one", **options)
    assert [session.info.host] == [host.address() for host in started]
    assert unfit.live() == []


async def test_warm_agent_is_for_who_needs_a_host_of_that_kind(
    started: Started,
    client: Client,
    options: dict[str, Any],
    open_host: Hosts,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    warm = await open_host()
    await warm.keep_warm(**options)
    fits = await client.dispatch("one", **options)
    await warm.keep_warm(**options)
    monkeypatch.setenv("A_KEY", "another")
    other = await client.dispatch("two", **options)
    assert (fits.info.host, other.info.host) == (warm.address(), started[0].address())


async def test_host_that_is_closing_takes_no_session(open_host: Hosts) -> None:
    host = await open_host(kind=own_kind(), taking=True)
    journal = host._journal  # noqa: SLF001 - whose id is the key
    path = f"/healthz?takes={own_kind().mark(journal.host.id or '')}"
    assert (await call(host.address(), path))[1]["takes"] is True
    host._sessions.closing = True  # noqa: SLF001
    assert (await call(host.address(), path))[1]["takes"] is False


async def test_agent_of_each_session_has_its_own_terminal(
    started: Started,
    state: Path,
    fake_model: Callable[..., Awaitable[FakeModel]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two panes share a host; also when a session has been at rest."""
    model = await fake_model(lambda _: Text("done"))
    options: dict[str, Any] = {"agent": "fake", "cwd": tmp_path, "env": model.env(tmp_path)}

    async def begin(pane: str, **more: str) -> str:
        monkeypatch.setenv("TMUX_PANE", pane)
        for name, value in more.items():
            monkeypatch.setenv(name, value)
        async with connect(state) as client, await client.dispatch("go", **options) as session:
            async for _ in session.stream():
                pass
            return session.id

    first = await begin("%1", WINDOWID="7")
    monkeypatch.delenv("WINDOWID")
    await begin("%2")
    (host,) = started
    terminals = [agent._options.env for agent in model.agents]  # noqa: SLF001
    assert [env["TMUX_PANE"] for env in terminals] == ["%1", "%2"]
    assert ["WINDOWID" in env for env in terminals] == [True, False]
    parked = next(session for session in host.live() if session.id == first)
    await parked.close("parked")
    async with connect(state) as client, await client.session(first) as session:
        await (await session.send("again")).result()
    assert model.agents[-1]._options.env["TMUX_PANE"] == "%1"  # noqa: SLF001
    async with Journal(state) as journal:
        row = await journal.find(first)
    assert "TMUX_PANE" not in str(row.options)


async def test_session_at_rest_goes_to_the_host_that_takes_it(
    begin: Begin, started: Started, open_host: Hosts, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One whose own host has ended needs no further one; it gets the caller's terminal."""
    model, session = await begin(lambda _: Text("done"), task="first")
    for name, value in model.env(state).items():
        monkeypatch.setenv(name, value)
    await session.close("parked")
    taking = await open_host(kind=own_kind(), taking=True)
    monkeypatch.setenv("TMUX_PANE", "%3")
    async with connect(state) as client:
        # The host that has had it still lives, and would be asked first.
        monkeypatch.setattr("midflight.host.service.SessionService.knows", lambda *_: False)
        async with await client.session(session.id) as remote:
            await (await remote.send("second")).result()
    assert [live.id for live in taking.live()] == [session.id]
    assert started == []
    assert model.agents[-1]._options.env["TMUX_PANE"] == "%3"  # noqa: SLF001


async def test_readers_of_a_dead_host_start_one_for_all(
    begin: Begin, started: Started, client: Client
) -> None:
    """The first that comes has its sessions recovered; the others find that done."""
    _, session = await begin(lambda _: Text("done"), task="first")
    await session.close("parked")
    seq = (await client.info(session.id)).seq
    await client._placement.recover(session.id, seq)  # noqa: SLF001
    await client._placement.recover(session.id, seq - 1)  # noqa: SLF001
    assert len(started) == 1


async def test_task_is_accepted_before_its_agent_is_there(
    open_host: Hosts, state: Path, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    held = asyncio.Event()
    start = FakeAgent.start

    async def wait(self: FakeAgent) -> None:
        await held.wait()
        await start(self)

    monkeypatch.setattr(FakeAgent, "start", wait)
    await open_host(kind=own_kind(), taking=True)
    async with connect(state) as client, await client.dispatch("go", **options) as session:
        assert session.first is not None
        assert session.first.state == "accepted"
        assert (await client.info(session.id)).status == "starting"
        held.set()
        assert (await session.first.result()).text == "done"


async def test_agent_that_is_not_there_is_an_error_and_no_session(
    open_host: Hosts, client: Client, tmp_path: Path
) -> None:
    await open_host(kind=own_kind(), taking=True)
    with pytest.raises(AgentUnavailable, match="no model"):
        await client.dispatch("go", agent="fake", cwd=tmp_path)
    assert await client.sessions() == []


async def test_start_that_fails_ends_the_message_and_the_next_one_starts(
    open_host: Hosts,
    client: Client,
    options: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await open_host(kind=own_kind(), taking=True)
    starts = 0
    start = FakeAgent.start

    async def fail_once(self: FakeAgent) -> None:
        nonlocal starts
        starts += 1
        if starts == 1:
            raise AgentFailed("no such model")
        await start(self)

    monkeypatch.setattr(FakeAgent, "start", fail_once)
    async with await client.dispatch("go", **options) as session:
        assert session.first is not None
        failed = await session.first.result()
        assert (failed.status, failed.reason) == ("failed", "agent_died")
        assert session.status == "idle"
        assert (await client.info(session.id)).status == "idle"
        assert (await (await session.send("again")).result()).text == "done"
        notices = [
            event.text for event in await client.history(session.id) if isinstance(event, e.Notice)
        ]
    assert "send failed: no such model" in notices
