"""Who reads along on other machines: rows that mean something while their process is there."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from tests.journal.conftest import Hosts
from tests.support.events import PATIENCE_S
from tests.support.journal import SILENT_S, begin, rows, sql

from midflight.errors import NotFound
from midflight.journal import Journal
from midflight.journal.presence import Presence
from midflight.journal.readers import MOST_OF_ONE, Stream


@pytest.fixture
async def owner(server: str, open_host: Hosts) -> Journal:
    """Return the journal of a host on a server."""
    return await open_host(server)


@pytest.fixture
async def reader(server: str, open_host: Hosts) -> Any:
    """Return the presence of another process, which others can call."""
    presence = (await open_host(server)).presence
    assert presence is not None
    async with presence.kept():
        assert await presence.there(PATIENCE_S)
        yield presence


def _stream(reader: Presence, session: str, **given: Any) -> Stream:
    stream = Stream(uuid.uuid4().hex, session, reader.id, after=1, attends=False)
    return stream._replace(**given)


async def _wanted(owner: Journal) -> list[Stream]:
    assert owner.host.id is not None
    return (await owner.readers.wanted(owner.host.id)).wanted


async def test_stream_is_wanted_until_its_reader_leaves(owner: Journal, reader: Presence) -> None:
    session = (await begin(owner)).session
    first = _stream(reader, session)
    await owner.readers.join(first, "")
    assert await _wanted(owner) == [first]

    second = _stream(reader, session, after=4, attends=True)
    await owner.readers.join(second, first.id)
    assert await _wanted(owner) == [second]

    await owner.readers.leave(second.id)
    assert await _wanted(owner) == []


async def test_reader_that_died_without_a_word_is_forgotten(
    server: str, owner: Journal, reader: Presence
) -> None:
    """Its system has closed the connection, and with it goes the lock: a moment later."""
    await owner.readers.join(_stream(reader, (await begin(owner)).session, attends=True), "")
    sql(server, "UPDATE readers SET seen = seen + 1e6")  # so that its silence tells nothing
    await reader.leave()

    async with asyncio.timeout(PATIENCE_S):
        while await _wanted(owner):
            pass
    assert rows(server, "SELECT id FROM readers") == []


async def test_reader_that_is_stopped_is_forgotten(
    server: str, owner: Journal, reader: Presence
) -> None:
    """Its connection stands, so only its silence tells."""
    session = (await begin(owner)).session
    await owner.readers.join(_stream(reader, session), "")
    sql(server, "UPDATE readers SET seen = seen - :long", long=SILENT_S)
    await owner.readers.beat(reader.id)
    assert len(await _wanted(owner)) == 1  # it is there again

    sql(server, "UPDATE readers SET seen = seen - :long", long=SILENT_S)
    assert await _wanted(owner) == []


async def test_reader_sees_who_has_the_session_and_how_far_it_is(
    owner: Journal, reader: Presence
) -> None:
    record = await begin(owner)
    stream = _stream(reader, record.session)
    await owner.readers.join(stream, "")
    assert await owner.readers.beat(reader.id) == {stream.id: (owner.host.id, 1)}

    await record.close()
    assert await owner.readers.beat(reader.id) == {stream.id: (None, 1)}


FORGED = "INSERT INTO readers VALUES (:id, :session, :reader, :after, true, 1e12)"


@pytest.mark.parametrize(
    "forge",
    [
        lambda stream: stream._replace(id="x" * 10_000),
        lambda stream: stream._replace(id=stream.id.upper() + ":"),
        lambda stream: stream._replace(reader="nobody"),
        lambda stream: stream._replace(reader="f" * 32),
        lambda stream: stream._replace(after=-1),
    ],
    ids=["long id", "odd id", "no process", "process that is not there", "negative"],
)
async def test_row_that_is_none_of_ours_is_forgotten(
    server: str, owner: Journal, reader: Presence, forge: Callable[[Stream], Stream]
) -> None:
    """Its text would become the name of a channel."""
    forged = forge(_stream(reader, (await begin(owner)).session))
    values = {name: value for name, value in forged._asdict().items() if name != "attends"}
    sql(server, FORGED, **values)

    assert await _wanted(owner) == []
    assert rows(server, "SELECT id FROM readers") == []


async def test_process_that_wants_very_many_leaves_room_for_others(
    server: str, owner: Journal, reader: Presence
) -> None:
    session = (await begin(owner)).session
    sql(
        server,
        "INSERT INTO readers SELECT md5(n::text), :session, :reader, 0, false, 9e10"
        " FROM generate_series(1, 10000) AS n",
        session=session,
        reader=reader.id,
    )
    assert owner.presence is not None
    async with owner.presence.kept():
        assert await owner.presence.there(PATIENCE_S)
        modest = _stream(owner.presence, session)
        await owner.readers.join(modest, "")

        wanted = await _wanted(owner)

    assert len(wanted) == MOST_OF_ONE + 1
    assert modest in wanted


async def test_session_that_is_not_there_has_no_readers(owner: Journal, reader: Presence) -> None:
    with pytest.raises(NotFound):
        await owner.readers.join(_stream(reader, "nobody"), "")


async def test_telling_nothing_is_no_error(owner: Journal) -> None:
    await owner.readers.tell([])
