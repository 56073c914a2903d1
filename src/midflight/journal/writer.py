"""The one thread that writes: what has come in while a commit ran is the next group.

A commit has to reach the disk, which takes as long for one event as for a thousand.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import operator
import queue
import threading
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from midflight.errors import MidflightError, StoreFailed, StoreRefused
from midflight.journal.database import Database
from midflight.journal.writes import Batch, Item, append

GROUP = 1_000
"""How many items one transaction takes."""

ANSWER_S = 30.0
"""How long a caller waits for a transaction of its own: a disk may hang for good."""

CLOSE_S = 10.0
"""How long the thread may take to write the rest."""

T = TypeVar("T")


class Source(Protocol):
    """Where items come from: one owner's hold on one session."""

    session: str
    host: str
    generation: int
    loop: asyncio.AbstractEventLoop
    stopped: bool
    """Nothing more of this is written."""

    def take_report(self, count: int, seq: int | None, error: StoreFailed | None) -> None:
        """Called in ``loop``: so many more items are on disk, up to this ``seq``, or none."""
        ...


class _Job(Generic[T]):
    """Something to do in a transaction of its own, and who waits for it."""

    def __init__(self, call: Callable[[Connection], T]) -> None:
        self.call = call
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[T] = self.loop.create_future()

    def finish(self, result: T | None, error: Exception | None) -> None:
        """Called in ``loop``."""
        if self.future.done():  # the caller was cancelled
            return
        if error is not None:
            self.future.set_exception(error)
        else:
            self.future.set_result(result)  # type: ignore[arg-type]  # T may be None


class _Stop:
    """The end of the queue."""


_Entry = tuple[Source, Item] | _Job[Any] | _Stop


class Writer:
    """Writes in the order of the calls. An error ends what it met, and nothing else."""

    def __init__(self, database: Database) -> None:
        """Start the thread."""
        self._database = database
        self._queue: queue.SimpleQueue[_Entry] = queue.SimpleQueue()
        self._closing = False
        self._damaged: StoreRefused | None = None
        self._thread = threading.Thread(target=self._run, name="midflight-journal", daemon=True)
        self._thread.start()

    def put(self, source: Source, item: Item) -> None:
        """Have an item written; the source gets a report of it."""
        if self._closing:
            source.loop.call_soon(source.take_report, 1, None, StoreFailed("the journal is closed"))
        else:
            self._queue.put((source, item))

    async def do(self, call: Callable[[Connection], T]) -> T:
        """Do something in a transaction of its own. Raises what it raises, or `StoreFailed`.

        No caller waits for longer than `ANSWER_S`; what has not begun then is not done any more.
        """
        if self._closing:
            raise StoreFailed("the journal is closed")
        job = _Job(call)
        self._queue.put(job)
        try:
            async with asyncio.timeout(ANSWER_S):
                return await job.future
        except TimeoutError:
            raise self._silent(ANSWER_S) from None

    def _silent(self, seconds: float) -> StoreFailed:
        return StoreFailed(
            f"{self._database.name} has not answered for {seconds:.0f} seconds",
            "look whether its disk or its server works, and try again",
        )

    async def close(self) -> None:
        """Write what is waiting and end the thread. Raises `StoreFailed` if that takes too long."""
        if not self._closing:
            self._closing = True
            self._queue.put(_Stop())
        await asyncio.to_thread(self._thread.join, CLOSE_S)
        if self._thread.is_alive():
            raise self._silent(CLOSE_S)

    # In the thread ------------------------------------------------------------------------

    def _run(self) -> None:
        group: list[tuple[Source, Item]] = []
        while True:
            entry = self._next(wait=not group)
            if isinstance(entry, tuple):
                group.append(entry)
                if len(group) < GROUP:
                    continue
            if group:
                self._write(group)
                group = []
            if isinstance(entry, _Job):
                self._do(entry)
            elif isinstance(entry, _Stop):
                return

    def _next(self, *, wait: bool) -> _Entry | None:
        try:
            return self._queue.get(block=wait)
        except queue.Empty:
            return None

    def _do(self, job: _Job[Any]) -> None:
        if job.future.cancelled():  # its caller is gone
            return
        result, error = None, None
        try:
            result = self._transaction(job.call)
        except MidflightError as failure:
            error = failure
        _call_in(job.loop, [lambda: job.finish(result, error)])

    def _write(self, group: list[tuple[Source, Item]]) -> None:
        batches: dict[Source, Batch] = {}
        for source, item in group:
            if source.stopped:
                continue
            if source not in batches:
                batches[source] = Batch(source.session, source.host, source.generation)
            batches[source].add(item)
        outcome = self._append(list(batches.values())) if batches else {}
        reports: dict[asyncio.AbstractEventLoop, list[Callable[[], None]]] = {}
        for source, batch in batches.items():
            error = outcome.get(batch)
            source.stopped |= error is not None  # it may have been lost meanwhile
            seq = batch.events[-1][0].seq if batch.events else None
            report = functools.partial(source.take_report, batch.size, seq, error)
            reports.setdefault(source.loop, []).append(report)
        for loop, calls in reports.items():
            _call_in(loop, calls)

    def _append(self, batches: list[Batch]) -> dict[Batch, StoreFailed]:
        """Write a group; return what was not written, and why."""
        try:
            return self._transaction(lambda connection: append(connection, batches))
        except StoreFailed as error:
            if len(batches) > 1 and not isinstance(error.__cause__, OperationalError):
                # The database works, so it is one of them. The others must not suffer from it.
                return functools.reduce(operator.or_, (self._append([one]) for one in batches))
            return dict.fromkeys(batches, error)

    def _transaction(self, call: Callable[[Connection], T]) -> T:
        if self._damaged is not None:
            raise self._damaged
        try:
            return self._database.write(call)
        except MidflightError:
            raise
        except Exception as error:
            failure = self._database.failure(error)
            if isinstance(failure, StoreRefused):
                self._damaged = failure  # each further write could make it worse
            raise failure from error


def _call_in(loop: asyncio.AbstractEventLoop, calls: list[Callable[[], None]]) -> None:
    def run() -> None:
        for call in calls:
            loop.call_soon(call)  # one that raises must not stop the others

    with contextlib.suppress(RuntimeError):  # the loop is closed
        loop.call_soon_threadsafe(calls[0] if len(calls) == 1 else run)
