"""One stream has the events of all sessions, from any cursor on, each exactly once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.faults.manifest import fault
from tests.server.conftest import TOKEN, Server
from tests.support.events import until

from midflight import events as e
from midflight.host import Host
from midflight.journal import Journal
from midflight.options import Options
from midflight.server.feed import Feed, Wanted
from midflight.server.server import ServeOptions, serving
from midflight.session.session import Session
from midflight.testing import FakeModel, Text, Wait, Words

Begin = Callable[..., Awaitable[tuple[FakeModel, Session]]]


async def take(stream: Any, until: Callable[[Any], bool]) -> list[tuple[str, str, Any]]:
    """Return what a stream brings, up to an event that fits: cursor, kind, event."""
    found = []
    async for each in stream.events():
        found.append(each)
        if until(each[2]):
            return found
    raise AssertionError(found)


def ends(session: Session, turn: int = 1) -> Callable[[Any], bool]:
    """Tell of an event whether it is the end of a session's turn, with all that follows it."""
    return lambda event: (
        (event.get("type"), event.get("session"), event.get("turn"))
        == ("turn.ended", session.id, turn)
    )


def places(found: list[tuple[str, str, Any]]) -> list[tuple[str, int]]:
    """Return which durable events these are."""
    return [
        (event["session"], event["seq"]) for _, kind, event in found if not kind and event["seq"]
    ]


async def finish(*sessions: Session) -> None:
    for session in sessions:
        await (await session.send("go")).result()


async def rest(server: Server, cursor: str) -> list[tuple[str, int]]:
    """Return everything behind a cursor, by pages."""
    found: list[tuple[str, int]] = []
    while True:
        _, page = await server.call(f"/events?after={cursor}&limit=3")
        if not page["events"]:
            return found
        found += [(event["session"], event["seq"]) for event in page["events"]]
        cursor = page["cursor"]


@fault("N1")
async def test_every_cursor_leads_to_exactly_what_follows_it(server: Server, begin: Begin) -> None:
    _, one = await begin(Text("one"), Text("more"))
    _, two = await begin(Text("two"))
    await finish(one)
    async with server.dial("/events") as stream:
        await finish(two, one)
        found = await take(stream, ends(one, 2))
    assert found[0][1:] == ("begin", {})
    came = places(found)
    assert len(set(came)) == len(came)
    assert {session for session, _ in came} == {one.id, two.id}
    for session in (one, two):
        seqs = [seq for each, seq in came if each == session.id]
        assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
    everything = await rest(server, found[0][0])
    assert set(came) <= set(everything)
    for number, (cursor, _, _) in enumerate(found):
        behind = await rest(server, cursor)
        assert set(behind) == set(everything) - set(places(found[: number + 1]))
        assert len(behind) == len(set(behind))


@fault("N1")
@pytest.mark.parametrize("recent", [600.0, 0.0])
async def test_cursor_outlives_the_server_and_needs_no_session_that_rests(
    begin: Begin, state: Path, monkeypatch: pytest.MonkeyPatch, recent: float
) -> None:
    monkeypatch.setattr("midflight.server.feed.RECENT_S", recent)
    _, one = await begin(Text("one"), Text("more"))
    _, two = await begin(Text("two"))
    await finish(one)
    options = ServeOptions(host="127.0.0.1", port=0, where=state)
    async with serving(options, {"MIDFLIGHT_TOKEN": TOKEN}) as running:
        _, page = await Server(running).call("/events")
    assert page["events"] == []
    assert (len(page["cursor"]) > 40) == bool(recent)
    before = one.last_seq
    await finish(two, one)
    expected = {(two.id, seq) for seq in range(1, two.last_seq + 1)}
    expected |= {(one.id, seq) for seq in range(before + 1, one.last_seq + 1)}
    async with serving(options, {"MIDFLIGHT_TOKEN": TOKEN}) as running:
        behind = await rest(Server(running), page["cursor"])
    assert (len(behind), set(behind)) == (len(expected), expected)


async def test_live_session_has_its_deltas_in_order(server: Server, begin: Begin) -> None:
    model, one = await begin([Text("ha"), Wait("go"), Text("lf")])
    _, two = await begin(Text("two"))
    _, start = await server.call("/events")
    async with server.dial(f"/events?live={one.id},{two.id}&after={start['cursor']}") as stream:
        message = await one.send("say it")
        await model.reached("go")
        await finish(two)
        model.signal("go")
        await message.result()
        found = await take(stream, ends(one))
    own = [event for _, kind, event in found if not kind and event["session"] == one.id]
    assert [event["seq"] for event in own if event["seq"]] == list(range(1, own[-1]["seq"] + 1))
    types = [event["type"] for event in own]
    assert types.index("text.delta") < types.index("text") < types.index("turn.ended")
    whole = "".join(event["text"] for event in own if event["type"] == "text.delta")
    assert whole == next(event["text"] for event in own if event["type"] == "text") == "half"
    assert all(cursor for cursor, kind, event in found if kind or event["seq"])


async def test_live_reader_who_comes_in_mid_sentence_is_told_its_beginning(
    server: Server, begin: Begin
) -> None:
    model, one = await begin([Words("ha"), Wait("go"), Words("lf")])
    message = await one.send("say it")
    await until(one, e.TextDelta)
    async with server.dial(f"/events?live={one.id}") as stream:
        begun = await take(stream, lambda event: event.get("type") == "text.delta")
        model.signal("go")
        await message.result()
        rest = await take(stream, ends(one))
    deltas = [event for *_, event in (*begun, *rest) if event.get("type") == "text.delta"]
    assert [(each["text"], each["so_far"]) for each in deltas] == [("ha", True), ("lf", False)]


async def test_live_session_is_seen_beyond_its_close(server: Server, begin: Begin) -> None:
    _, one = await begin(Text("one"), Text("two"))
    async with server.dial(f"/events?live={one.id}") as stream:
        await finish(one)
        path = f"/sessions/{one.id}/commands"
        await server.call(path, "POST", {"type": "close"})
        found = await take(stream, lambda event: event.get("type") == "session.ended")
        await server.call(path, "POST", {"type": "send", "text": "again"})
        found += await take(stream, ends(one, 2))
    assert places(found) == [(one.id, seq) for seq in range(1, len(places(found)) + 1)]


async def test_reader_gets_only_the_sessions_and_types_it_wants(
    server: Server, begin: Begin
) -> None:
    _, one = await begin(Text("one"))
    _, two = await begin(Text("two"))
    _, start = await server.call("/events")
    await finish(one, two)
    query = f"type=turn.started,turn.ended&session={two.id}&after={start['cursor']}"
    async with server.dial(f"/events?{query}") as stream:
        found = await take(stream, ends(two))
    assert [event["type"] for _, kind, event in found if not kind] == ["turn.started", "turn.ended"]
    _, page = await server.call(f"/events?{query}")
    assert [event["session"] for event in page["events"]] == [two.id, two.id]
    assert (await server.call("/events?type=nonsense"))[0] == 400


@fault("N9")
async def test_page_of_long_events_is_short_and_the_next_has_the_rest(
    server: Server, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("midflight.journal.history.PAGE_CHARS", 10_000)
    _, one = await begin(*(Text("x" * 4_000) for _ in range(3)))
    _, two = await begin(Text("y" * 40_000))
    _, start = await server.call("/events")
    await finish(one, two, one, one)
    cursor, found, pages = start["cursor"], list[tuple[str, int]](), 0
    while True:
        _, page = await server.call(f"/events?after={cursor}")
        if not page["events"]:
            break
        long = [len(str(event)) for event in page["events"]]
        assert len(long) == 1 or sum(long) < 30_000
        found += [(event["session"], event["seq"]) for event in page["events"]]
        cursor, pages = page["cursor"], pages + 1
    assert pages > 3
    assert len(found) == len(set(found)) == one.last_seq + two.last_seq


async def test_removed_session_is_told(server: Server, begin: Begin) -> None:
    _, one = await begin(Text("one"))
    await finish(one)
    async with server.dial("/events") as stream:
        await server.call(f"/sessions/{one.id}", "DELETE")
        found = await take(stream, lambda event: event == {"session": one.id})
    assert found[-1][1] == "removed"


async def test_seven_tabs_see_the_same(server: Server, begin: Begin, host: Host) -> None:
    _, one = await begin(Text("one"))
    tabs = [server.dial(f"/events?live={one.id}&attend=1") for _ in range(7)]
    streams = [await tab.__aenter__() for tab in tabs]
    await finish(one)
    found = await asyncio.gather(*(take(stream, ends(one)) for stream in streams))
    assert len({tuple(places(each)) for each in found}) == 1
    for tab in tabs:
        await tab.__aexit__(None, None, None)


@fault("N2")
@pytest.mark.parametrize(
    "cursor", ["x", "MQ==", "W10=", "WzEsIHsiYSI6IC0xfV0=", "e30=", "%00", "Ü"]
)
async def test_impossible_cursor_is_400(server: Server, begin: Begin, cursor: str) -> None:
    await begin()
    for accept in ("text/event-stream", "application/json"):
        async with server.dial(f"/events?after={cursor}", accept=accept) as raw:
            assert raw.status == 400


@fault("N2")
async def test_cursor_from_the_future_is_400(server: Server, begin: Begin, state: Path) -> None:
    _, one = await begin(Text("one"))
    await finish(one)
    _, page = await server.call("/events")
    from midflight.server.feed import Cursor

    known = Cursor.of(page["cursor"])
    wrong = Cursor(known.at, {one.id: one.last_seq + 1}).text
    assert (await server.call(f"/events?after={wrong}"))[0] == 400


@fault("N5", "N7")
async def test_stream_shows_signs_of_life_and_says_that_the_server_ends(
    begin: Begin, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("midflight.host.http.streams.HEARTBEAT_S", 0.02)
    _, one = await begin()
    options = ServeOptions(host="127.0.0.1", port=0, where=state)
    async with contextlib.AsyncExitStack() as stack:
        running = serving(options, {"MIDFLIGHT_TOKEN": TOKEN})
        server = Server(await running.__aenter__())
        raw = await stack.enter_async_context(server.dial(f"/events?live={one.id}"))
        for _ in range(3):
            await raw.reader.readuntil(b": still here")
        await running.__aexit__(None, None, None)
        await raw.reader.readuntil(b"event: leaving")


@pytest.fixture
async def on_postgresql(
    postgresql: Path, patient: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Journal, str]]:
    """Return a journal on PostgreSQL, and where it is."""
    where = f"host={postgresql} user=midflight dbname=postgres"
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "sockets"))
    async with Journal(f"postgresql://midflight@/postgres?host={postgresql}") as journal:
        await journal.host.register("/nowhere")
        yield journal, where


async def test_late_commit_is_not_passed_over_on_postgresql(
    on_postgresql: tuple[Journal, str], tmp_path: Path
) -> None:
    journal, where = on_postgresql
    options = Options.build(agent="fake", cwd=tmp_path)
    for id in ("early", "late"):  # noqa: A001 - of the sessions
        await journal.create(id, options, id=id)
    feed: Any = Feed(journal, None)  # type: ignore[arg-type]  # nothing is followed live
    wanted = Wanted()
    start, _ = await feed.page("", wanted, 100)
    insert = (
        "insert into events (session, seq, type, time, data) values (%(s)s, %(n)s, 'notice', "
        "extract(epoch from now()), %(d)s)"
    )
    update = "update sessions set seq = %(n)s, updated = extract(epoch from now()) where id = %(s)s"

    def write(connection: psycopg.Connection, session: str, seq: int) -> None:
        data = f'{{"type":"notice","seq":{seq},"session":"{session}","level":"info","text":"x"}}'
        for statement in (insert, update):
            connection.execute(statement, {"s": session, "n": seq, "d": data})

    with psycopg.connect(where) as late, psycopg.connect(where) as early:
        write(late, "late", 1)
        write(early, "early", 1)
        early.commit()
        cursor, events = await feed.page(start, wanted, 100)
        assert [(event.session, event.seq) for event in events] == [("early", 1)]
        write(early, "early", 2)
        early.commit()
        cursor, events = await feed.page(cursor, wanted, 100)
        assert [(event.session, event.seq) for event in events] == [("early", 2)]
        late.commit()
    cursor, events = await feed.page(cursor, wanted, 100)
    assert [(event.session, event.seq) for event in events] == [("late", 1)]
    assert (await feed.page(cursor, wanted, 100))[1] == []
