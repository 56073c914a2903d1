"""The events of one session in memory: bounded, with any number of readers."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import islice

from midflight.errors import EventsExpired
from midflight.events import Event
from midflight.state.unfinished import Piece, unfinished

KEPT_EVENTS = 10_000
"""How many durable events stay in memory, and how many events of any kind."""

TOGETHER = 100
"""How many events a reader gets at a time, if so many are there."""


class EventLog:
    """Keeps the newest durable events, and the newest events of any kind.

    Readers hold a position, not a queue: a slow one costs nothing and misses only ephemeral
    events, which are gone after `KEPT_EVENTS` newer ones. One who comes in the middle of a text
    gets first what there is of it.

    With ``hold_back``, for a session with a journal, readers see a durable event and what follows
    it only after `show`: when it is on disk.
    """

    def __init__(self, kept: int = KEPT_EVENTS, *, hold_back: bool = False) -> None:
        """Begin empty; ``kept`` is the bound of both stores."""
        self._durable: deque[Event] = deque(maxlen=kept)
        self._recent: deque[Event] = deque(maxlen=kept)
        self._count = 0
        self._hold_back = hold_back
        self._hidden: deque[tuple[int, Event]] = deque()
        self._waiters: set[asyncio.Future[bool]] = set()
        self.was_read = False
        self.last_seq = 0
        self.shown_seq = 0
        self.ended = False
        self.error: Exception | None = None

    def restore(self, past: Sequence[Event]) -> None:
        """Begin with durable events of a journal, which readers may see."""
        self._durable.extend(past)
        self._recent.extend(past)
        self._count = len(past)
        self.last_seq = self.shown_seq = (past[-1].seq or 0) if past else 0

    def append(self, event: Event) -> None:
        """Append an event and wake the readers. A durable event carries the next ``seq``."""
        if event.seq is not None:
            self._durable.append(event)
            self.last_seq = event.seq
            if self._hold_back:
                self._hidden.append((self._count, event))
            else:
                self.shown_seq = event.seq
        self._recent.append(event)
        self._count += 1
        if self._waiters:
            self.wake()

    def show(self, seq: int) -> list[Event]:
        """Let readers see all events up to this ``seq``; return the durable ones of them."""
        shown = []
        while self._hidden and (self._hidden[0][1].seq or 0) <= seq:
            shown.append(self._hidden.popleft()[1])
        self.shown_seq = max(self.shown_seq, seq)
        self.wake()
        return shown

    def end(self, error: Exception | None = None) -> None:
        """No event will follow; readers raise ``error`` at the end, if there is one."""
        self.ended = True
        self.error = self.error or error
        self.wake()

    def wake(self) -> None:
        """Have the readers check for events again."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(True)
        self._waiters.clear()

    async def changed(self, timeout_s: float | None = None) -> bool:
        """Wait until an event is appended, or `wake` is called; False if that takes too long."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[bool] = loop.create_future()
        self._waiters.add(waiter)
        # A timer alone costs less than `asyncio.timeout`, and every event that is read comes here.
        timer = None if timeout_s is None else loop.call_later(timeout_s, _give_up, waiter)
        try:
            return await waiter
        finally:
            self._waiters.discard(waiter)
            if timer is not None:
                timer.cancel()

    def reader(self, after: int = 0) -> Reader:
        """Return a reader that begins behind the durable event with this ``seq``."""
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

    def unfinished(self) -> list[Piece]:
        """Return what streams where readers are now: each block's text so far, as far as kept."""
        seen = len(self._recent) - (self._count - self.position)
        return unfinished(islice(self._recent, max(0, seen)))  # all of it may be held back

    @property
    def oldest_seq(self) -> int:
        """The ``seq`` of the oldest durable event that is kept, 0 if there is none."""
        return (self._durable[0].seq or 0) if self._durable else 0

    @property
    def behind(self) -> bool:
        """Some events are held back from readers."""
        return bool(self._hidden)

    def hidden(self) -> list[Event]:
        """Return the durable events that are held back from readers."""
        return [event for _, event in self._hidden]

    @property
    def position(self) -> int:
        """The position behind the newest event that readers may see."""
        return self._hidden[0][0] if self._hidden else self._count


def _give_up(waiter: asyncio.Future[bool]) -> None:
    if not waiter.done():
        waiter.set_result(False)


class Reader:
    """A position in the log, kept between uses: reading continues where it stopped."""

    def __init__(self, log: EventLog, after: int) -> None:
        """Begin behind the durable event whose ``seq`` is ``after``."""
        self._log = log
        self._seq = after
        # Position 0 is right only if every event since the first is in memory; see _refill.
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

    def take_all(self) -> list[Event]:
        """Return the next events that are there, `TOGETHER` at most. Raises `EventsExpired`."""
        if not self._backlog:
            self._refill()
        events = [self._backlog.popleft() for _ in range(min(TOGETHER, len(self._backlog)))]
        for event in reversed(events):
            if event.seq is not None:
                self._seq = event.seq
                break
        return events

    def _refill(self) -> None:
        fresh = self._log.since(self._position) if self._position >= 0 else None
        if fresh is None:
            # To one who only fell behind, the end of the text brings what he has missed of it.
            begins = self._position < 0 and self._seq <= self._log.shown_seq
            try:
                fresh = self._log.durable(self._seq)
                if begins:
                    fresh = [*fresh, *self._log.unfinished()]
            except EventsExpired as expired:
                self._seq = expired.oldest - 1  # the error is raised once, then reading continues
                raise
        self._position = self._log.position
        # A reader may ask for events after a ``seq`` that has not been reached yet.
        self._backlog.extend(new for new in fresh if new.seq is None or new.seq > self._seq)

    async def read(self, until: Callable[[], bool]) -> AsyncIterator[Event]:
        """Yield events until none is left and ``until()`` holds, or the log has ended.

        Raises `EventsExpired`, or the error that the log has ended with.
        """
        self._log.was_read = True
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

    async def read_together(
        self, until: Callable[[], bool], silence_s: float | None = None
    ) -> AsyncIterator[list[Event]]:
        """Yield like `read`, all that is there at a time, and nothing after a silence so long.

        For one who passes every event on: who leaves early has not seen the rest.
        """
        self._log.was_read = True
        while True:
            if events := self.take_all():
                yield events
            elif self._log.error is not None:
                raise self._log.error
            elif (until() and not self._log.behind) or self._log.ended:
                return
            elif not await self._log.changed(silence_s):
                yield []
