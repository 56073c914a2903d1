"""Who reads along on another machine gets what a reader beside the host gets, as it happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import psycopg
import pytest
from tests.support.events import PATIENCE_S, of, read, texts, until
from tests.support.host import service_of, table_of
from tests.support.journal import Program, rows, sql

from midflight import events as e
from midflight.client.client import Client, connect
from midflight.client.session import RemoteSession
from midflight.environment import TOKEN_VARIABLE
from midflight.host import Host
from midflight.journal import Journal
from midflight.journal.presence import channel
from midflight.server.server import ServeOptions, serving
from midflight.session.base import BaseSession
from midflight.session.session import Session
from midflight.testing import FakeModel, Text, ToolCall, Wait, Words

Begin = Callable[..., Awaitable[tuple[FakeModel, Session]]]
Attach = Callable[..., Awaitable[RemoteSession]]

TOKEN = "a-token-for-tests-only"


def _seen(events: Sequence[e.Event]) -> list[Any]:
    return [event.seq or (event.type, getattr(event, "text", None)) for event in events]


def _journal(client: Client) -> Journal:
    assert isinstance(client._journal, Journal)  # noqa: SLF001 - to call it by its name
    return client._journal  # noqa: SLF001 - as above


async def _text(session: BaseSession) -> AsyncIterator[str]:
    """Yield what there is of the text that streams, after each piece, until it is whole."""
    said = ""
    async with asyncio.timeout(PATIENCE_S):
        async for event in session.events(session.last_seq):
            if isinstance(event, e.TextDelta):
                said = event.text if event.so_far else said + event.text
                yield said
            if isinstance(event, e.Text):
                assert event.text.startswith(said)
                return


async def test_far_reader_gets_the_same_in_the_same_order(begin: Begin, attach: Attach) -> None:
    model, session = await begin(
        [Words("one two three four"), Wait("go"), ToolCall("TodoWrite", {"todos": []})],
        [Words("five " * 4_000 + "ünd \U0001f600 "), Text("the end")],
    )
    far = await attach(session)
    after = session.last_seq
    near, distant = (asyncio.ensure_future(_until_over(one, after)) for one in (session, far))
    message = await session.send("go")
    await model.reached("go")
    async with asyncio.timeout(PATIENCE_S):
        while not far._log.unfinished():  # noqa: SLF001 - it streams, and nothing is whole
            await far._log.changed()  # noqa: SLF001 - as above
    model.signal("go")
    await message.result()
    await session.close()

    seen, all_ = _seen(await distant), _seen(await near)
    assert [each for each in seen if isinstance(each, int)] == [
        each for each in all_ if isinstance(each, int)
    ]
    rest = iter(all_)  # where many come at once, a text comes whole instead
    assert all(each in rest for each in seen)
    assert len(of(e.TextDelta, distant.result())) > 3


async def _until_over(session: BaseSession, after: int) -> list[e.Event]:
    async with asyncio.timeout(PATIENCE_S):
        return [event async for event in session.events(after)]


async def test_text_is_whole_after_a_connection_that_was_lost(
    server: str, begin: Begin, attach: Attach, client: Client
) -> None:
    model, session = await begin(
        [Words("one two "), Wait("a"), Words("three "), Wait("b"), Text(".")]
    )
    far = await attach(session)
    await session.send("go")
    await model.reached("a")
    said = _text(far)
    assert "one two " in [await anext(said), *[each async for each in _within(said, "one two ")]]

    listening = f"LISTEN {channel(_journal(client)._id)}"  # noqa: SLF001 - its own
    sql(
        server,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = :what",
        what=listening,
    )
    model.signal("a")
    await model.reached("b")
    pieces = [each async for each in _within(said, "one two three ")]
    assert pieces[-1] == "one two three "
    model.signal("b")
    assert [each async for each in said] == ["one two three ."]


async def _within(said: AsyncIterator[str], end: str) -> AsyncIterator[str]:
    async for each in said:
        yield each
        if each == end:
            return


@pytest.mark.parametrize("forged", ["d{stream}:7.[]", "d{stream}:x", "d{stream}:0.[999999]"])
async def test_forged_call_makes_nothing_happen(
    server: str, begin: Begin, attach: Attach, client: Client, *, forged: str
) -> None:
    """Whoever may connect can call; what has happened is read where only owners write."""
    model, session = await begin([Words("one "), Wait("go"), Words("two "), Text("three")])
    far = await attach(session)
    message = await session.send("go")
    await model.reached("go")
    await until(far, e.TextDelta)
    ((stream, reader),) = rows(server, "SELECT id, reader FROM readers")
    for payload in ("", "r", "s", "sno-one", "d", "d:", "z" * 7_000, forged.format(stream=stream)):
        sql(server, "SELECT pg_notify(:to, :what)", to=channel(reader), what=payload)
    model.signal("go")
    await message.result()
    await session.close()

    events = [event async for event in far.events()]
    assert [event.seq for event in events if event.seq] == list(range(1, session.last_seq + 1))
    assert texts(events) == ["one two three"]


async def test_server_follows_far_sessions_while_somebody_reads_them(
    server: str, begin: Begin, host: Host
) -> None:
    """It is one listener, for however many."""
    model, session = await begin([Words("one two "), Wait("go"), Text("three")])
    options = ServeOptions(host="127.0.0.1", port=0, where=server)
    async with serving(options, {TOKEN_VARIABLE: TOKEN}) as running:
        assert rows(server, "SELECT id FROM readers") == []
        readers = [connect(running.urls[0], token=TOKEN) for _ in range(2)]
        async with readers[0], readers[1]:
            first, second = [await each.session(session.id) for each in readers]
            async with first, second:
                await session.send("go")
                for far in (first, second):
                    assert "one two " in [each async for each in _within(_text(far), "one two ")]
                assert rows(server, "SELECT attends FROM readers") == [(True,)]
        await _until_nobody_reads(host)
        model.signal("go")
    assert rows(server, "SELECT id FROM readers") == []


async def _until_nobody_reads(host: Host) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while host._audience._told:  # noqa: SLF001 - that is the question
            await table_of(host).changed.wait()
            table_of(host).changed.clear()


async def test_nothing_is_told_where_nobody_reads(
    server: str, begin: Begin, attach: Attach, host: Host
) -> None:
    model, session = await begin([Text("a"), Wait("go")])
    listener = await psycopg.AsyncConnection.connect(server, autocommit=True)
    async with listener:
        await session.send("go")
        await model.reached("go")
        assert rows(server, "SELECT id FROM readers") == []
        assert host._audience._told == {}  # noqa: SLF001 - that is the question
        model.signal("go")


async def test_reader_of_a_host_that_tells_nothing_reads_on_disk(
    begin: Begin, attach: Attach, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is an older one, or one that has too much to tell."""

    async def nobody(*_: object) -> None:
        pass

    monkeypatch.setattr("midflight.host.audience.Audience._look", nobody)
    _, session = await begin(Text("done"))
    far = await attach(session)
    await far.send("go")
    assert texts(await read(far)) == ["done"]


async def test_reader_that_is_killed_attends_no_more(server: str, begin: Begin, host: Host) -> None:
    _, session = await begin()
    service = service_of(host)
    somebody = await Program.start("attending.py", server, session.id)
    assert await somebody.line() == "there"
    assert (await service.agent(session.id)).attended

    await somebody.kill()

    async with asyncio.timeout(PATIENCE_S):
        while (await service.agent(session.id)).attended:
            await table_of(host).changed.wait()
            table_of(host).changed.clear()
    assert rows(server, "SELECT id FROM readers") == []
