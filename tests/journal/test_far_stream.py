"""What a reader on another machine makes of what an owner tells it; here the test is the owner."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import pytest
from tests.journal.conftest import Become, Hosts
from tests.support.events import PATIENCE_S
from tests.support.journal import add, begin

from midflight import events as e
from midflight.client.far import FarReader
from midflight.errors import NotFound
from midflight.info import AgentInfo
from midflight.journal import Journal, JournalRecord
from midflight.journal.readers import Stream
from midflight.journal.relay import END, Item, Packer


async def _no_agent() -> AgentInfo:
    raise NotFound("nobody asks here")


class Owner(NamedTuple):
    """The owner of a session, and what somebody elsewhere is told of it.

    ``caller`` is the process of the latter, as whom it gives a command knows it.
    """

    journal: Journal
    record: JournalRecord
    told: AsyncIterator[list[Any]]
    caller: str

    async def asked(self, *but: Stream) -> Stream:
        """Wait until a stream is wanted, which is none of those before."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                wanted = (await self.journal.readers.wanted(self.journal.host.id or "")).wanted
                for stream in wanted:
                    if stream not in but:
                        return stream

    async def tell(self, stream: Stream, *batches: list[Item], lost: int | None = None) -> None:
        packer = Packer(stream.id)
        payloads = [payload for batch in batches for payload in packer.pack(batch)]
        payloads = [one for number, one in enumerate(payloads) if number != lost]
        await self.journal.readers.tell([(stream.reader, one) for one in payloads])

    async def write(self, *texts: str) -> None:
        add(self.record, *(e.Text(text=text) for text in texts))
        await self.record.written()

    def delta(self, text: str) -> e.TextDelta:
        return e.TextDelta(text=text, session=self.record.session)

    async def heard(self) -> list[Any]:
        """Return the next that somebody is told, without what tells nothing."""
        async with asyncio.timeout(PATIENCE_S):
            async for told in self.told:
                if said := [getattr(event, "text", event) for event in told if event is not None]:
                    return said
        return []


@pytest.fixture
async def owner(server: str, open_host: Hosts, become: Become) -> AsyncIterator[Owner]:
    """Return the owner of a session of one event, of which a reader elsewhere has read all."""
    become("elsewhere")
    journal = await open_host(server)
    record = await begin(journal)
    become("here")
    async with Journal(server) as mine:
        reader = FarReader(mine)
        row = await mine.find(record.session, exact=True)
        assert row.far
        told = reader.events(row, 1, attends=False, agent=_no_agent)
        assert mine.presence is not None
        yield Owner(journal, record, told, mine.presence.id)
        await told.aclose()
        await reader.close()


async def test_order_is_that_of_what_is_told(owner: Owner) -> None:
    """What is on disk already is not read before it is told of."""
    hearing = asyncio.ensure_future(owner.heard())
    stream = await owner.asked()
    await owner.write("two", "three")
    await owner.tell(stream, [owner.delta("tw"), owner.delta("o"), 2, owner.delta("thr"), 3])
    assert [await hearing, *[await owner.heard() for _ in range(3)]] == [
        ["tw", "o"],
        ["two"],
        ["thr"],
        ["three"],
    ]


async def test_delta_of_a_text_that_was_read_on_disk_is_not_told(owner: Owner) -> None:
    """The owner's first word came so late that the reader had looked by itself."""
    hearing = asyncio.ensure_future(owner.heard())
    stream = await owner.asked()
    await owner.write("two", "three")
    assert await hearing == ["two", "three"]
    await owner.tell(stream, [2, owner.delta("thr")], [3, owner.delta("fo")])
    assert await owner.heard() == ["fo"]


async def test_stream_with_a_gap_is_asked_for_anew(owner: Owner) -> None:
    hearing = asyncio.ensure_future(owner.heard())
    stream = await owner.asked()
    await owner.write("two")
    await owner.tell(stream, [2], [owner.delta("lost")], [owner.delta(" and found")], lost=1)
    assert await hearing == ["two"]
    hearing = asyncio.ensure_future(owner.heard())
    again = await owner.asked(stream)
    assert (again.after, again.id != stream.id) == (2, True)
    await owner.tell(stream, [owner.delta("too late")])
    await owner.tell(again, [owner.delta("lost and found")])
    assert await hearing == ["lost and found"]


async def test_what_never_was_is_not_told(owner: Owner) -> None:
    """Whoever knows the names can say anything; what has happened is read on disk."""
    hearing = asyncio.ensure_future(owner.heard())
    stream = await owner.asked()
    await owner.write("two")
    other = e.TextDelta(text="of another session", session="another")
    await owner.tell(stream, [10**12, other, owner.delta("made up"), END])
    assert await hearing == ["two"]
    assert await owner.heard() == []


async def test_stream_is_not_heard_where_everybody_can_call(owner: Owner) -> None:
    """A host's id is in a table that all read, and a sender's is beside each of its commands."""
    hearing = asyncio.ensure_future(owner.heard())
    stream = await owner.asked()
    await owner.tell(stream._replace(reader=owner.caller), [owner.delta("made up")])
    await owner.tell(stream, [owner.delta("said")])
    assert await hearing == ["said"]
