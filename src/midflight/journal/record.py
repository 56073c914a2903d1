"""One session in the journal, as its owner holds it: the `Record` that a session writes to."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

import msgspec

from midflight.errors import StoreFailed
from midflight.events import Event, encode
from midflight.images import Image
from midflight.journal.base import Summary
from midflight.journal.memory import MemoryLines
from midflight.journal.writer import Writer
from midflight.journal.writes import Handed, Item, plain


class JournalRecord:
    """A lease on one session, and the way to write it. Made by the journal; see `Record`.

    ``generation`` counts the session's owners; ``last_seq`` is the newest event that was there
    when it was taken, or has been appended since.
    """

    def __init__(
        self,
        *,
        session: str,
        host: str,
        generation: int,
        last_seq: int,
        writer: Writer,
        give_back: Callable[[JournalRecord], Awaitable[None]],
        recall: Callable[[], Awaitable[tuple[Mapping[str, Sequence[str]], int]]] | None,
    ) -> None:
        """Hold it; ``give_back`` ends the lease.

        ``recall`` reads what the agent keeps, and the number of its next line; None for a file.
        """
        self.session = session
        self.host = host
        self.generation = generation
        self.last_seq = last_seq
        self.loop = asyncio.get_running_loop()
        self.stopped = False
        self._writer = writer
        self._give_back = give_back
        self._recall = recall
        self._lines = 0
        self._shown: Callable[[int], None] | None = None
        self._failed: Callable[[Exception], None] | None = None
        self._error: StoreFailed | None = None
        self._put_count = 0
        self._written_count = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._closed = False
        self._kept = False

    def begin(self, shown: Callable[[int], None], failed: Callable[[Exception], None]) -> None:
        """See `Record.begin`."""
        self.loop = asyncio.get_running_loop()
        self._shown, self._failed = shown, failed
        if self._error is not None:
            self.loop.call_soon(failed, self._error)

    def append(self, event: Event, images: tuple[Image, ...] = ()) -> None:
        """See `Record.append`. Raises `ValueError` if this is not the next event."""
        if event.seq != self.last_seq + 1:
            raise ValueError(f"event {event.seq} cannot follow number {self.last_seq}")
        kept = msgspec.json.encode(images).decode() if images else None
        self._put((event, encode(event).decode(), kept))
        self.last_seq += 1

    def handed(self, message: str, *, back: bool = False) -> None:
        """See `Record.handed`."""
        self._put(Handed(message, back))

    def note(self, summary: Summary) -> None:
        """See `Record.note`."""
        self._put(summary)

    def remember(self, part: str, lines: Sequence[str], *, anew: bool = False) -> None:
        """See `Record.remember`; `recall` comes first, if there may be lines already."""
        self._put(MemoryLines(part, self._lines, tuple(map(plain, lines)), anew))
        self._lines += len(lines)

    async def recall(self) -> Mapping[str, Sequence[str]] | None:
        """See `Record.recall`."""
        if self._recall is None:
            return None
        await self.written()
        known, self._lines = await self._recall()
        return known

    def _put(self, item: Item) -> None:
        if self._error is None and not self._closed:
            self._put_count += 1
            self._writer.put(self, item)

    def take_report(self, count: int, seq: int | None, error: StoreFailed | None) -> None:
        """Take the report of the writer."""
        if error is not None:
            self.fail(error)
        if self._error is not None:
            return
        self._written_count += count
        if seq is not None and self._shown is not None:
            self._shown(seq)
        while self._waiting and self._waiting[0][0] <= self._written_count:
            _, waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)

    def fail(self, error: Exception) -> None:
        """See `Record.fail`. Every wait ends with the error, once."""
        if self._error is not None:
            return
        error = error if isinstance(error, StoreFailed) else StoreFailed(str(error))
        self._error = error
        self.stopped = True
        while self._waiting:
            _, waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_exception(error)
        if self._failed is not None:
            self._failed(error)

    async def written(self) -> None:
        """See `Record.written`."""
        if self._error is not None:
            raise self._error
        if self._written_count == self._put_count:
            return
        waiter = self.loop.create_future()
        self._waiting.append((self._put_count, waiter))
        await waiter

    async def close(self) -> None:
        """See `Record.close`. What was not written was reported before; it is no error here."""
        if self._closed:
            return
        self._closed = True
        if not self._kept:
            await self._give_back(self)

    @contextlib.asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Give the lease back when the block ends and no sooner, though its session has ended."""
        self._kept = True
        try:
            yield
        finally:
            self._closed = True
            await self._give_back(self)
