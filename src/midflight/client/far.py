"""Reading along in a session on another machine: nothing is dialled but the journal's server."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import uuid
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

from midflight._util.aio import TaskSet
from midflight.client.http import Told
from midflight.errors import MidflightError
from midflight.info import AgentInfo
from midflight.journal import Journal, SessionRow
from midflight.journal.presence import Presence
from midflight.journal.readers import Owned, Stream
from midflight.journal.relay import AGENT, END, Gap, Item, Unpacker
from midflight.state.unfinished import Piece

LISTEN_S = 1.0
"""How long it is waited for a connection that listens; without one events are read on disk."""

CONFIRM_S = 1.0
"""How long it is waited for the owner's first word before events are read on disk."""

POLL_S = 0.5
"""How often they are read there until it comes."""

LOOK_S = 3.0
"""How often a reader says that it is there, and looks whether the owner is."""

AGAIN_S = 0.1
"""How long it is waited before a stream with a gap is asked for anew."""

MOST_WAITING = 2_000
"""How many pieces of a stream are kept for a program that does not take them."""

AskAgent = Callable[[], Awaitable[AgentInfo]]


class FarReader:
    """The streams that this process reads of sessions on other machines, by one connection."""

    def __init__(self, journal: Journal) -> None:
        """Nothing is read yet; the journal is opened before."""
        self._journal = journal
        self._streams: set[_FarStream] = set()
        self._beating: asyncio.Task[None] | None = None
        self._leaving = TaskSet()

    async def close(self) -> None:
        """Say that nothing is read any more; who cannot say it is missed soon."""
        await self._leaving.join(LISTEN_S)
        await self._leaving.close()

    async def events(
        self, row: SessionRow, after: int, *, attends: bool, agent: AskAgent
    ) -> AsyncGenerator[list[Told]]:
        """Yield what a session's owner tells, as `stream` does for one on this machine.

        It ends when the owner does, or cannot be heard. ``agent`` asks what its agent can do.
        """
        presence = self._journal.presence
        if presence is None:
            return
        async with presence.kept():
            if await presence.there(LISTEN_S):
                stream = _FarStream(self._journal, presence, row, after, attends=attends)
                async with self._beats(stream), contextlib.aclosing(stream.told(agent)) as all_told:
                    async for told in all_told:
                        yield told

    @contextlib.asynccontextmanager
    async def _beats(self, stream: _FarStream) -> AsyncIterator[None]:
        """Beat for as long as there is a stream."""
        self._streams.add(stream)
        if self._beating is None:
            self._beating = asyncio.get_running_loop().create_task(self._beat())
        try:
            yield
        finally:
            self._streams.discard(stream)
            if not self._streams and self._beating is not None:
                self._beating.cancel()
                self._beating = None
            self._leaving.start(self._leave(stream.id))

    async def _beat(self) -> None:
        while (presence := self._journal.presence) is not None:
            await asyncio.sleep(LOOK_S)
            with contextlib.suppress(MidflightError):  # which may pass
                known = await self._journal.readers.beat(presence.reader)
                for stream in self._streams:
                    stream.look(known)

    async def _leave(self, stream: str) -> None:
        with contextlib.suppress(MidflightError):
            await self._journal.readers.leave(stream)


class _FarStream:
    """One session as its owner tells it.

    ``id`` is the stream's; with each gap there is a new one.
    """

    def __init__(
        self, journal: Journal, presence: Presence, row: SessionRow, after: int, *, attends: bool
    ) -> None:
        self.id = ""
        self._journal = journal
        self._presence = presence
        self._session = row.id
        self._owner = row.host
        self._attends = attends
        self._read = after
        self._told = after
        self._newest = after
        self._pieces = deque[str]()
        self._woken = asyncio.Event()
        self._gap = False
        self._over = False
        self._joined = False
        self._confirmed = False

    def look(self, known: dict[str, Owned]) -> None:
        """See what the journal says of it: whether it still has its owner, and tells enough."""
        owned = known.get(self.id)
        if owned is None:  # it was taken for gone, or the session is
            self._gap |= self._joined
        else:
            self._over |= owned.host != self._owner
            self._gap |= self._confirmed and self._read < self._newest
            self._newest = owned.seq
        self._woken.set()

    def _hear(self, piece: str | None) -> None:
        if piece is None or len(self._pieces) >= MOST_WAITING:
            self._gap = True
        else:
            self._pieces.append(piece)
        self._woken.set()

    async def told(self, agent: AskAgent) -> AsyncGenerator[list[Told]]:
        """Yield what the owner tells; what it has told when a gap is seen, it tells anew."""
        while not self._over and await self._presence.there(LISTEN_S):
            before, self.id = self.id, uuid.uuid4().hex
            with self._presence.hearing(self.id, self._hear):
                self._begin()
                stream = Stream(
                    self.id, self._session, self._presence.reader, self._read, self._attends
                )
                await self._journal.readers.join(stream, before)
                self._joined = True
                try:
                    async with contextlib.aclosing(self._until_gap(agent)) as all_told:
                        async for told in all_told:
                            yield told
                except Gap:
                    await asyncio.sleep(AGAIN_S)
                else:
                    return

    def _begin(self) -> None:
        self._pieces.clear()
        self._gap = self._joined = self._confirmed = False
        self._told = self._newest = self._read

    async def _until_gap(self, agent: AskAgent) -> AsyncGenerator[list[Told]]:
        unpacker, late = Unpacker(self._session), False
        while not self._over:
            pause = LOOK_S if self._confirmed else POLL_S if late else CONFIRM_S
            heard = await self._heard(pause)
            if self._gap:
                raise Gap
            if not heard and not self._confirmed:
                if not late:
                    yield [None]
                late = True
                async for page in self._on_disk():
                    yield page
            while self._pieces:
                items = unpacker.take(self._pieces.popleft())
                if items is not None:
                    first, self._confirmed = not self._confirmed, True
                    async for told in self._all_told(items, agent):
                        yield told
                    if first:  # the host knows of the reader
                        yield [None]

    async def _all_told(self, items: list[Item], agent: AskAgent) -> AsyncGenerator[list[Told]]:
        """Yield what a batch says.

        A delta is of what follows the events that the owner has told of: to who has read further
        on disk it says nothing new.
        """
        for _, group in itertools.groupby(items, type):
            for item in (together := list(group)):
                if isinstance(item, int) and item > self._told:
                    self._told = item
                    async for page in self._on_disk(item):
                        yield page
                elif item == AGENT:
                    with contextlib.suppress(MidflightError):  # which is less than what happens
                        yield [await agent()]
                elif item == END:
                    self._over = True
            if self._told == self._read and isinstance(together[0], Piece):
                yield [piece for piece in together if isinstance(piece, Piece)]

    async def _heard(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        woken = self._woken.is_set()
        self._woken.clear()
        return woken

    async def _on_disk(self, up_to: int | None = None) -> AsyncGenerator[list[Told]]:
        """Yield what is on disk and was not read: all of it, or up to a ``seq``."""
        while up_to is None or self._read < up_to:
            page = await self._journal.events(self._session, self._read)
            page = [event for event in page if up_to is None or (event.seq or 0) <= up_to]
            if not page:
                return
            self._read = page[-1].seq or self._read
            yield [*page]
