"""What a host does for readers on other machines: each is told what a reader beside it gets."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from midflight._util.aio import TaskSet, survive
from midflight.errors import MidflightError, StoreFailed
from midflight.events import Event
from midflight.host.service import SessionService
from midflight.journal import Journal
from midflight.journal.readers import Stream
from midflight.journal.relay import AGENT, END, Item, Packer, items_of
from midflight.state.unfinished import Piece

LOOK_AGAIN_S = 3.0
"""How often it is looked who reads along, without a call, which can be lost."""

BATCH_S = 0.02
"""How long what happens is gathered after something was told."""

MOST_GATHERED = 200
"""How many events of one stream are gathered; who has more waits until they are told."""

SILENCE_S = 15.0
"""After so long a silence it is looked whether the agent is still as it was told."""

FAREWELL_S = 0.5
"""How long a host that ends takes to say so."""


class Audience:
    """Tells readers on other machines what happens in the sessions of a host, while they are there.

    Each is a reader of the service like any other: it keeps a session from being parked, and counts
    as one who attends.
    """

    def __init__(self, journal: Journal, service: SessionService) -> None:
        """Nobody is told anything yet."""
        self._journal = journal
        self._service = service
        self._told: dict[str, asyncio.Task[None]] = {}
        self._tasks = TaskSet()
        self._sending = TaskSet()
        self._gathered: dict[Stream, list[Item]] = {}
        self._packers: dict[Stream, Packer] = {}
        self._more = asyncio.Event()
        self._sent = asyncio.Event()
        self._crowded = False

    async def serve(self) -> None:
        """Tell whoever comes, for as long as this runs; on a file there is nobody."""
        if self._journal.on_server:
            self._sending.start(self._send())
        while self._journal.on_server:
            await survive(self._look, "a host cannot look who reads along", StoreFailed)
            await self._journal.host.until_readers_changed(LOOK_AGAIN_S)

    async def close(self) -> None:
        """Tell nobody anything any more; those whose session has ended are told that."""
        await self._tasks.join(FAREWELL_S)
        await self._tasks.close()
        await self._sending.close()

    async def _look(self) -> None:
        host = self._journal.host.id
        if host is None:
            return
        wanted, self._crowded = await self._journal.readers.wanted(host)
        streams = {stream.id: stream for stream in wanted}
        for gone in self._told.keys() - streams.keys():
            self._told.pop(gone).cancel()
        for new in streams.keys() - self._told.keys():
            self._told[new] = self._tasks.start(self._tell(streams[new]))

    async def _tell(self, stream: Stream) -> None:
        self._packers[stream] = Packer(stream.id)
        follow = self._service.follow(
            stream.session, stream.after, SILENCE_S, attends=stream.attends
        )
        known = None
        try:
            with contextlib.suppress(MidflightError):  # it asks again, or sees why not
                async with contextlib.aclosing(follow):
                    async for events in follow:
                        agent = self._service.agent_seen(stream.session)
                        changed = [AGENT] if agent != known and agent is not None else []
                        known = agent
                        await self._gather(stream, changed, events)
            await self._gather(stream, [END])
            while stream in self._gathered:
                await self._until_sent()
        finally:
            self._gathered.pop(stream, None)
            del self._packers[stream]

    async def _gather(
        self, stream: Stream, marks: Sequence[str], events: Sequence[Event] = ()
    ) -> None:
        """Have a reader told something, also that there is nothing yet."""
        items = [item for item in items_of(events) if not (self._crowded and _streams(item))]
        self._gathered.setdefault(stream, []).extend([*marks, *items])
        self._more.set()
        while len(self._gathered.get(stream, ())) > MOST_GATHERED:
            await self._until_sent()

    async def _until_sent(self) -> None:
        sent = self._sent
        await sent.wait()

    async def _send(self) -> None:
        """Send what was gathered: at once, and then for `BATCH_S` no more."""
        while True:
            await self._more.wait()
            self._more.clear()
            gathered, self._gathered = self._gathered, {}
            payloads = [
                (stream.reader, payload)
                for stream, items in gathered.items()
                for payload in self._packers[stream].pack(items)
            ]
            with contextlib.suppress(StoreFailed):  # its readers see that something is missing
                await self._journal.readers.tell(payloads)
            sent, self._sent = self._sent, asyncio.Event()
            sent.set()
            await asyncio.sleep(BATCH_S)


def _streams(item: Item) -> bool:
    return isinstance(item, Piece)
