"""The events of all sessions as one stream, from a cursor on: ``GET /events``.

A reader holds a position in each session, and no queue: a slow one costs nothing. What is committed
late is not passed over, since the events of one session follow each other without a gap.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping, Sequence
from typing import NamedTuple, Self

import msgspec

from midflight import events as e
from midflight._util.aio import TaskSet
from midflight.errors import HostGone, InvalidInput, MidflightError, NotFound
from midflight.host.http import streams
from midflight.journal import Journal, Newest
from midflight.server.sessions import AllSessions

POLL_S = 0.2
"""How often the journal is asked what is new, while anybody reads."""

RECENT_S = 600.0
"""The sessions that have changed within this time before a cursor was made stand in it.

Of any other it is known that it had not changed. Half of the time is for clocks of machines that
differ, and for what is written late.
"""

FOLLOW_S = 2.0
"""How long a stream waits for its live sessions before it begins."""

PAGE = 1_000
"""How many events are read at a time, and a page has at most."""


class Cursor(msgspec.Struct, frozen=True):
    """A position as a reader keeps it: when it was made, and what was ``read`` of which session."""

    at: float
    read: dict[str, int]

    @property
    def text(self) -> str:
        """Its text, which means nothing to the reader."""
        plain = msgspec.json.encode([round(self.at, 3), self.read])
        return base64.urlsafe_b64encode(plain).decode()

    @classmethod
    def of(cls, text: str) -> Cursor:
        """Return it from its text. Raises `InvalidInput`."""
        try:
            plain = base64.b64decode(text.encode(), altchars=b"-_", validate=True)
            at, read = msgspec.json.decode(plain, type=tuple[float, dict[str, int]])
        except (ValueError, msgspec.MsgspecError, RecursionError) as error:
            raise InvalidInput("this is no cursor of /events", "begin without one") from error
        return cls(at, read)


class Removed(msgspec.Struct, frozen=True):
    """A session is gone from the journal, with all its events."""

    session: str


class Wanted(NamedTuple):
    """What a reader wants: events of these sessions and types (None: of all).

    Of the ``live`` ones it gets everything as it happens, deltas too, and ``attends`` them or not.
    """

    sessions: frozenset[str] | None = None
    types: frozenset[str] | None = None
    live: frozenset[str] = frozenset()
    attends: bool = False

    def covers(self, event: e.Event) -> bool:
        """Tell whether the reader gets an event of one of its sessions."""
        return event.seq is None or self.types is None or event.type in self.types


class Position:
    """How far one reader has read each session."""

    def __init__(self, read: dict[str, int]) -> None:
        """``read`` has the ``seq`` of each session."""
        self.read = read
        self._of: Mapping[str, Newest] | None = None
        self._named: set[str] = set()

    def mark(self, event: e.Event) -> None:
        """Note that an event was read."""
        if event.seq is not None:
            self.read[event.session] = event.seq
            self._named.add(event.session)

    def cursor(self, newest: Mapping[str, Newest]) -> str:
        """Return the cursor behind what was read.

        Which sessions it names is looked at when something is new, and not for each event: to name
        one more does no harm.
        """
        if newest is not self._of:
            recent = time.time() - RECENT_S
            self._of, self._named = (
                newest,
                {
                    session
                    for session, seq in self.read.items()
                    if (last := newest.get(session)) is not None
                    and (seq != last.seq or last.updated >= recent)
                },
            )
        named = {each: self.read[each] for each in self._named if each in self.read}
        return Cursor(time.time(), named).text

    def behind(
        self, newest: Mapping[str, Newest], sessions: Collection[str] | None
    ) -> dict[str, int]:
        """Return the sessions with something that was not read, and up to where each was."""
        return {
            session: self.read.get(session, 0)
            for session, last in newest.items()
            if last.seq > self.read.get(session, 0) and (sessions is None or session in sessions)
        }


class Feed:
    """Looks for what is new in the journal: once for all readers, and only while one is there."""

    def __init__(self, journal: Journal, service: AllSessions) -> None:
        """``journal`` is open; ``service`` follows the sessions that are wanted live."""
        self._journal = journal
        self._service = service
        self._readers = 0
        self._looking = TaskSet()
        self._changed = asyncio.Event()
        self.newest: Mapping[str, Newest] = {}

    async def close(self) -> None:
        """End the streams, and look no more."""
        self._changed.set()
        await self._looking.close()

    async def page(self, cursor: str, wanted: Wanted, limit: int) -> tuple[str, list[e.Event]]:
        """Return the next events, and the cursor behind them. Raises `InvalidInput`."""
        await self._look()
        position = await self._position(cursor)
        behind = position.behind(self.newest, wanted.sessions)
        events = await self._journal.events_of(behind, limit)
        for event in events:
            position.mark(event)
        return position.cursor(self.newest), [each for each in events if wanted.covers(each)]

    async def stream(self, cursor: str, wanted: Wanted) -> AsyncGenerator[bytes]:
        """Yield what happens behind a cursor, as it goes over the wire. Raises `InvalidInput`."""
        async with self._reading(), _Merged() as merged:
            position = await self._position(cursor)
            ahead = Position({**position.read})  # of what is on its way to the reader
            live = {*wanted.live}
            merged.add(self._written(ahead, wanted, live))
            followed = {session: asyncio.Event() for session in live}
            for session, known in followed.items():
                merged.add(self._live(session, ahead, wanted, live, known))
            with contextlib.suppress(TimeoutError):  # one whose host hangs keeps nobody
                async with asyncio.timeout(FOLLOW_S):
                    for known in followed.values():
                        await known.wait()
            yield _mark(position.cursor(self.newest)) + b"event: begin\ndata: {}\n\n"
            async for events in merged.read(streams.HEARTBEAT_S):
                frames = [self._frame(position, wanted, each) for each in events]
                yield b"".join(frames) or _mark(position.cursor(self.newest)) + streams.STILL_HERE

    def _frame(self, position: Position, wanted: Wanted, event: e.Event | Removed) -> bytes:
        """Return an event for the wire, or nothing; the reader has read it then."""
        if isinstance(event, Removed):
            position.read.pop(event.session, None)
            data = msgspec.json.encode(event)
            return _mark(position.cursor(self.newest)) + b"event: removed\ndata: %s\n\n" % data
        position.mark(event)
        if not wanted.covers(event):
            return b""
        id = b"" if event.seq is None else position.cursor(self.newest).encode()  # noqa: A001
        return streams.frame(event, id)

    async def _written(
        self, ahead: Position, wanted: Wanted, live: Collection[str]
    ) -> AsyncGenerator[Sequence[e.Event | Removed]]:
        """Yield what is written in the sessions that are not followed ``live``."""
        while not self._service.closing:
            changed = self._changed
            gone = [Removed(session=session) for session in ahead.read.keys() - self.newest.keys()]
            for each in gone:
                del ahead.read[each.session]
            behind = ahead.behind(self.newest, wanted.sessions)
            behind = {session: seq for session, seq in behind.items() if session not in live}
            events = await self._journal.events_of(behind, PAGE) if behind else []
            for event in events:
                ahead.mark(event)
            if gone or events:
                yield [*gone, *events]
            else:
                await changed.wait()
        raise HostGone("the server is about to end", "come back with the cursor")

    async def _live(
        self,
        session: str,
        ahead: Position,
        wanted: Wanted,
        live: set[str],
        known: asyncio.Event,
    ) -> AsyncGenerator[Sequence[e.Event | Removed]]:
        """Yield what happens in a session, and leave it to the others when it is closed.

        ``known`` is set when nothing that happens is missed any more.
        """
        after = ahead.read.get(session, 0)
        silence = float("inf")
        following = self._service.follow(session, after, silence, attends=wanted.attends)
        try:
            await self._service.info(session, exact=True)  # a name would not be that of its events
            async with contextlib.aclosing(following):
                async for events in following:
                    known.set()
                    for event in events:
                        ahead.mark(event)
                    yield events
        except NotFound:  # it has been removed, or never was
            pass
        finally:
            known.set()
        live.discard(session)

    async def _position(self, cursor: str) -> Position:
        """Return the position of a cursor, or that of now. Raises `InvalidInput`."""
        newest = self.newest
        read = {session: last.seq for session, last in newest.items()}
        if not cursor:
            return Position(read)
        known = Cursor.of(cursor)
        if any(not 0 <= seq <= read.get(session, seq) for session, seq in known.read.items()):
            raise InvalidInput("this cursor is of another journal", "begin without one")
        since = known.at - RECENT_S / 2
        others = newest.keys() - known.read.keys()
        changed = [session for session in others if newest[session].updated >= since]
        return Position({**read, **await self._journal.seqs_before(changed, since), **known.read})

    # Looking ------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _reading(self) -> AsyncIterator[None]:
        """Look for as long as a reader is there; what is known at the beginning is of now."""
        await self._look()
        self._readers += 1
        if self._readers == 1:
            self._looking.start(self._keep_looking())
        try:
            yield
        finally:
            self._readers -= 1
            if not self._readers:
                self._looking.cancel()

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(POLL_S)
            with contextlib.suppress(MidflightError):  # which may pass
                await self._look()

    async def _look(self) -> None:
        newest = await self._journal.newest()
        if newest != self.newest:
            self.newest = newest
            changed, self._changed = self._changed, asyncio.Event()
            changed.set()


class _Merged:
    """Several streams as one: each waits until the reader has taken what it has."""

    def __init__(self) -> None:
        self._tasks = TaskSet()
        self._queue = asyncio.Queue[Sequence[e.Event | Removed] | Exception](1)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._tasks.close()

    def add(self, source: AsyncGenerator[Sequence[e.Event | Removed]]) -> None:
        """Read this one too."""
        self._tasks.start(self._take(source))

    async def _take(self, source: AsyncGenerator[Sequence[e.Event | Removed]]) -> None:
        try:
            async with contextlib.aclosing(source):
                async for events in source:
                    if events:
                        await self._queue.put(events)
        except Exception as error:  # noqa: BLE001 - the reader gets it
            await self._queue.put(error)

    async def read(self, silence_s: float) -> AsyncIterator[Sequence[e.Event | Removed]]:
        """Yield what comes, and nothing after a silence so long. Raises what one of them raises."""
        while True:
            what: Sequence[e.Event | Removed] | Exception = ()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(silence_s):
                    what = await self._queue.get()
            if isinstance(what, Exception):
                raise what
            yield what


def _mark(cursor: str) -> bytes:
    return b"id: %s\n" % cursor.encode()
