"""What a client does when a host, a journal or a command does not do what it should."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from midflight import commands as c
from midflight import events as e
from midflight.address import Address
from midflight.client.client import connect
from midflight.client.placement import Placement
from midflight.client.session import RemoteSession
from midflight.errors import HostGone, MidflightError, NotFound, StoreFailed
from midflight.host import Host
from midflight.host.http.unix import listen
from midflight.session.session import Session
from midflight.testing import FakeModel, Text, Wait

ELSEWHERE = Address(Path("/elsewhere"))

Begin = Callable[..., Awaitable[tuple[FakeModel, Session]]]
Hosts = Callable[..., Awaitable[Host]]
Attach = Callable[..., Awaitable[RemoteSession]]


@contextlib.asynccontextmanager
async def deaf(host: Host, state: Path) -> AsyncIterator[None]:
    """Stand before a host, and end it when it has answered: nobody gets to read the answer."""
    path = f"{host.address()}-before"

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner, outer = await asyncio.open_unix_connection(host.address())
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
async def test_command_whose_response_is_lost_is_carried_out_once(
    begin: Begin,
    host: Host,
    open_host: Hosts,
    state: Path,
    *,
    monkeypatch: pytest.MonkeyPatch,
    command: c.Command,
) -> None:
    model, session = await begin(lambda _: Text("done"))
    for name, value in model.env(state).items():
        monkeypatch.setenv(name, value)

    async def start_host(*_: object, **__: object) -> Address:
        return Address.parse((await open_host()).address())

    monkeypatch.setattr("midflight.client.placement.start_host", start_host)
    async with deaf(host, state), connect(state) as client:
        await client.carry_out(session.id, command)
        events = await client.history(session.id)
    assert [event.text for event in events if isinstance(event, e.MessageAccepted)] == ["deploy it"]


async def test_history_comes_in_pages_of_the_bound_that_all_pages_have(
    begin: Begin, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page with many long messages would be as much memory in the one who asks."""
    monkeypatch.setattr("midflight.journal.history.PAGE_CHARS", 10_000)
    _, session = await begin(lambda _: Text("done"))
    for name in "abc":
        await (await session.send(name * 6_000)).result()
    async with connect(state) as client:
        pages = [page async for page in client.pages(session.id)]
        assert await client.history(session.id) == pages[0]
    assert len(pages) > 2
    for page in pages:
        assert len(page) == 1 or sum(len(e.encode(event)) for event in page) <= 10_000
    seqs = [event.seq for page in pages for event in page]
    assert seqs == list(range(1, len(seqs) + 1))


async def test_reading_a_removed_session_is_an_error(
    begin: Begin, attach: Attach, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reader does not look for the missing events for ever."""
    monkeypatch.setattr("midflight.journal.history.WHOLE", 5)
    _, session = await begin(lambda _: Text("done"))
    for text in "abc":
        await (await session.send(text)).result()
    remote = await attach(session)
    assert remote.oldest_seq > 1  # so the rest is read from the journal
    await host.remove(session.id)
    with pytest.raises(NotFound):
        async for _ in remote.events():
            pass


async def test_error_that_ends_the_reading_ends_every_wait(
    begin: Begin, attach: Attach, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, session = await begin(lambda _: [Text("a"), Wait("go"), Text("b")])
    remote = await attach(session)
    message = await remote.send("one")
    await model.reached("go")

    def surprise(self: RemoteSession, event: e.Event) -> None:
        raise RuntimeError("an event of another version")

    monkeypatch.setattr(RemoteSession, "_take", surprise)
    model.signal("go")
    result = await message.result()
    assert (result.status, result.reason) == ("failed", "store_failed")
    assert "RuntimeError: an event of another version" in result.text
    with pytest.raises(MidflightError, match="another version"):
        async for _ in remote.events(remote.last_seq):
            pass
    with pytest.raises(MidflightError, match="another version"):
        await remote.send("two")


async def test_command_without_a_visible_outcome_is_an_error(
    begin: Begin, attach: Attach, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("midflight.client.session.CALL_TIMEOUT_S", 0.05)
    _, session = await begin(lambda _: Text("done"))
    remote = await attach(session)
    monkeypatch.setattr(RemoteSession, "_take", lambda self, event: None)
    with pytest.raises(HostGone, match="tells nothing of it"):
        await remote.send("one")


async def test_orphaned_session_is_recovered_though_the_first_try_fails(
    begin: Begin, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, session = await begin(lambda _: [Wait("go"), Text("b")], task="one")
    await model.reached("go")
    copy = tmp_path / "copy"
    with contextlib.closing(sqlite3.connect(state / "journal.sqlite")) as connection:
        copy.mkdir(mode=0o700)
        connection.execute("VACUUM INTO ?", (str(copy / "journal.sqlite"),))
    (copy / "journal.sqlite").chmod(0o600)
    with contextlib.closing(sqlite3.connect(copy / "journal.sqlite")) as connection:
        connection.execute("UPDATE hosts SET beat = beat - 1000, pid = 4194304")
        connection.commit()
    tries = 0
    async with contextlib.AsyncExitStack() as stack:

        async def start_host(*_: object, **__: object) -> Address:
            nonlocal tries
            tries += 1
            if tries == 1:
                raise StoreFailed("the host in the background did not start")
            return Address.parse((await stack.enter_async_context(Host(copy))).address())

        monkeypatch.setattr("midflight.client.placement.start_host", start_host)
        monkeypatch.setattr("midflight.client.placement.Placement.look_again_s", 0.01)
        client = await stack.enter_async_context(connect(copy))
        remote = await stack.enter_async_context(await client.session(session.id))
        assert remote.first is not None
        result = await remote.first.result()
    assert (result.status, result.reason, tries) == ("failed", "host_died", 2)


async def test_parked_session_is_resumed_by_the_host_that_knows_its_secrets(
    begin: Begin, open_host: Hosts, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def start(*_: object, **__: object) -> Address:
        raise StoreFailed("no host is needed")

    monkeypatch.setattr("midflight.client.placement.start_host", start)
    await open_host()  # has never heard of it
    _, session = await begin(Text("one"), Text("two"), task="first")
    async for _ in session.stream():
        pass
    await session.close("parked")
    async with connect(state) as client, await client.session(session.id) as remote:
        assert (await (await remote.send("second")).result()).text == "two"


async def test_command_is_tried_again_where_no_host_could_be_asked(
    begin: Begin, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program had the session for a moment, to remove it say, and answers nowhere."""
    _, session = await begin(Text("one"), Text("two"), task="first")
    async for _ in session.stream():
        pass
    await session.close("parked")
    look, failures = Placement.host_of, [HostGone("no socket")]

    async def host_of(self: Placement, *given: Any) -> Address:
        if failures:
            raise failures.pop()
        return await look(self, *given)

    monkeypatch.setattr(Placement, "host_of", host_of)
    async with connect(state) as client, await client.session(session.id) as remote:
        assert (await (await remote.send("second")).result()).text == "two"


async def test_silent_host_is_not_asked_for_long_what_it_knows(
    begin: Begin, host: Host, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def start(*_: object, **__: object) -> Address:
        return ELSEWHERE

    monkeypatch.setattr("midflight.client.placement.start_host", start)
    monkeypatch.setattr("midflight.client.placement.KNOWS_S", 0.1)
    _, session = await begin(Text("one"), task="first")
    async for _ in session.stream():
        pass
    await session.close("parked")
    path = f"{host.address()}-mute"
    with contextlib.closing(sqlite3.connect(state / "journal.sqlite")) as connection:
        connection.execute("UPDATE hosts SET address = ?", (path,))
        connection.commit()
    with contextlib.closing(listen(Path(path))):
        async with connect(state) as client:
            placement = client._placement  # noqa: SLF001 - which host it would take
            assert isinstance(placement, Placement)
            assert await placement.host_of(session.id) == ELSEWHERE
