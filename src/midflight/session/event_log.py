"""The events of one session in memory: bounded, with any number of readers."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence

from midflight.errors import EventsExpired
from midflight.events import Event

KEPT = 10_000
"""How many durable events, and how many events of any kind, stay in memory."""


class EventLog:
    """Keeps the last durable events for those who come back, and the newest of all kinds.

    Readers hold a position, not a queue: a slow one costs nothing and misses only ephemeral
    events, which are gone after `KEPT` newer ones.

    Where a journal is kept, ``held`` is set: readers then see a durable event, and what follows
    it, only when `show` has said that it is on disk.
    """

    def __init__(self, kept: int = KEPT, *, held: bool = False) -> None:
        """Begin empty; ``kept`` bounds both stores."""
        self._durable: deque[Event] = deque(maxlen=kept)
        self._recent: deque[Event] = deque(maxlen=kept)
        self._count = 0
        self._held = held
        self._hidden: deque[tuple[int, Event]] = deque()
        self._waiters: set[asyncio.Future[None]] = set()
        self.read_by_somebody = False
        self.last_seq = 0
        self.shown_seq = 0
        self.ended = False
        self.error: Exception | None = None

    def restore(self, past: Sequence[Event]) -> None:
        """Begin behind durable events that were shown before."""
        self._durable.extend(past)
        self._recent.extend(past)
        self._count = len(past)
        self.last_seq = self.shown_seq = (past[-1].seq or 0) if past else 0

    def append(self, event: Event) -> None:
        """Add an event and wake the readers. A durable event carries the next ``seq``."""
        if event.seq is not None:
            self._durable.append(event)
            self.last_seq = event.seq
            if self._held:
                self._hidden.append((self._count, event))
            else:
                self.shown_seq = event.seq
        self._recent.append(event)
        self._count += 1
        if self._waiters:
            self.wake()

    def show(self, seq: int) -> list[Event]:
        """Let readers see everything up to this ``seq``; return the durable events among it."""
        shown = []
        while self._hidden and (self._hidden[0][1].seq or 0) <= seq:
            shown.append(self._hidden.popleft()[1])
        self.shown_seq = max(self.shown_seq, seq)
        self.wake()
        return shown

    def end(self, error: Exception | None = None) -> None:
        """Say that no event will follow, and for the readers why, if something went wrong."""
        self.ended = True
        self.error = self.error or error
        self.wake()

    def wake(self) -> None:
        """Let the readers look again."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    async def changed(self) -> None:
        """Wait until something was appended or `wake` was called."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await waiter
        finally:
            self._waiters.discard(waiter)

    def reader(self, after: int = 0) -> Reader:
        """Return a reader that begins with the durable events after ``after``."""
        return Reader(self, after)

    def durable(self, after: int) -> list[Event]:
        """Return the durable events after a ``seq``. Raises `EventsExpired`."""
        if after >= self.shown_seq:
            return []
        oldest = self.oldest_seq
        if after < oldest - 1:
            raise EventsExpired(after, oldest)
        return [event for event in self._durable if after < (event.seq or 0) <= self.shown_seq]

    def since(self, position: int) -> list[Event] | None:
        """Return the events of every kind from a position on, or None if some are gone."""
        back = self._count - position
        if back > len(self._recent):
            return None
        return [self._recent[index] for index in range(-back, self.position - self._count)]

    @property
    def oldest_seq(self) -> int:
        """The ``seq`` of the oldest durable event that is kept, 0 if there is none."""
        return (self._durable[0].seq or 0) if self._durable else 0

    @property
    def behind(self) -> bool:
        """There are events that readers may not see yet."""
        return bool(self._hidden)

    def hidden(self) -> list[Event]:
        """Return the durable events that readers may not see yet."""
        return [event for _, event in self._hidden]

    @property
    def position(self) -> int:
        """The position behind the newest event that readers may see."""
        return self._hidden[0][0] if self._hidden else self._count


class Reader:
    """A place in the log. It is kept between uses, so that reading goes on where it stopped."""

    def __init__(self, log: EventLog, after: int) -> None:
        """Begin behind the durable event ``after``."""
        self._log = log
        self._seq = after
        # What is not in memory was not only missed: whoever wants all of it is told.
        self._position = 0 if after == 0 and log.oldest_seq <= 1 else -1
        self._backlog: deque[Event] = deque()

    def take(self) -> Event | None:
        """Return the next event, or None if there is none yet. Raises `EventsExpired`."""
        if not self._backlog:
            self._refill()
        if not self._backlog:
            return None
        event = self._backlog.popleft()
        if event.seq is not None:
            self._seq = event.seq
        return event

    def _refill(self) -> None:
        fresh = self._log.since(self._position) if self._position >= 0 else None
        if fresh is None:
            try:
                fresh = self._log.durable(self._seq)
            except EventsExpired as expired:
                self._seq = expired.oldest - 1  # whoever reads on is told once
                raise
        self._position = self._log.position
        # A reader may wait for events of which not even those before have happened yet.
        self._backlog.extend(new for new in fresh if new.seq is None or new.seq > self._seq)

    async def read(self, until: Callable[[], bool]) -> AsyncIterator[Event]:
        """Yield events until ``until()`` holds and nothing is left, or the log has ended.

        Raises the error that the log has ended with, if there is one.
        """
        self._log.read_by_somebody = True
        while True:
            event = self.take()
            if event is not None:
                yield event
            elif self._log.error is not None:
                raise self._log.error
            elif (until() and not self._log.behind) or self._log.ended:
                return
            else:
                await self._log.changed()
