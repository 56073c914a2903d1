"""Fires the schedules of a journal: begins each run once, however many processes do so."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from midflight._util.aio import TaskSet, survive
from midflight.errors import InvalidInput, MidflightError, StoreFailed
from midflight.info import RunInfo, ScheduleInfo
from midflight.journal import Journal
from midflight.journal.schedules import Unfinished
from midflight.schedules.rules import is_late, judge
from midflight.state.session import BUSY
from midflight.values import RunState

LOOK_S = 5.0
"""How often it is looked what others have changed: a new schedule, a run that was cut."""

PLACES = 4
"""How many runs are begun at a time."""

BEGIN_S = 120.0
"""How long the begin of a run may take."""

NEWEST = 10
"""Among how many of the newest runs the one is that somebody has just asked for."""

Begin = Callable[[ScheduleInfo, RunInfo], Awaitable[None]]
"""Begins the session of a run, whose id it has. Done twice it is as once."""


class Firing:
    """What `midflight serve` does with schedules, and any other host that may begin sessions.

    The journal has registered this process as a host that fires schedules, and somebody beats.
    """

    def __init__(
        self,
        journal: Journal,
        begin: Begin,
        clock: Callable[[], float] | None = None,
        *,
        for_workers: bool = False,
    ) -> None:
        """``clock`` tells the seconds since the epoch, in place of the journal's.

        ``for_workers`` fires only what is for them.
        """
        self._for_workers = for_workers
        self._journal = journal
        self._store = journal.schedules
        self._begin = begin
        self._clock = clock
        self._beginning: set[str] = set()
        self._tasks = TaskSet()
        self._places = asyncio.Semaphore(PLACES)

    async def run(self) -> None:
        """Fire what is due, until this is cancelled. An error ends no more than one round."""
        try:
            while True:
                wait = await survive(self.look, "schedules go on after an error", StoreFailed)
                await asyncio.sleep(LOOK_S if wait is None else wait)
        finally:
            await self._tasks.close()

    async def look(self) -> float:
        """Begin what is due now; return in how many seconds to look again."""
        now = await self._now()
        pending = await self._store.pending(now, for_workers=self._for_workers)
        for each in pending.unfinished:
            await self._take_over(each, now)
        for schedule in pending.due:
            await self._fire(schedule, now)
        return min(LOOK_S, max(0.0, (pending.next or now + LOOK_S) - await self._now()))

    async def _now(self) -> float:
        return await self._journal.now() if self._clock is None else self._clock()

    async def settled(self) -> None:
        """Wait until what is being begun has begun, or has not."""
        await self._tasks.join()

    async def fire_now(self, schedule: ScheduleInfo) -> RunInfo:
        """Begin a run that somebody has asked for, and return what has come of it."""
        run = _run(schedule, await self._now(), "starting", by_hand=True)
        self._beginning.add(run.id)
        await self._store.add_run(run, self._host)
        await self._start(schedule, run)
        runs = await self._store.runs(schedule.id, NEWEST)
        return next((each for each in runs if each.id == run.id), run)

    @property
    def _host(self) -> str:
        return self._journal.host.id or ""

    async def _fire(self, schedule: ScheduleInfo, now: float) -> None:
        """Move a schedule on, and begin its run if it was this process that did."""
        try:
            verdict = judge(schedule.cron, schedule.zone, schedule.next or now, now)
        except InvalidInput as error:  # a zone that is not known here: the others must not suffer
            failed = _run(schedule, schedule.next or now, "failed", note=str(error))
            await self._store.advance(schedule, None, [failed], self._host)
            return
        runs = []
        if verdict.missed:
            runs.append(_run(schedule, verdict.first, "missed", missed=verdict.missed))
        if verdict.run is not None:
            runs.append(await self._wanted(schedule, verdict.run))
        moved = await self._store.advance(schedule, verdict.following, runs, self._host)
        if moved and runs and runs[-1].state == "starting":
            self._go(schedule, runs[-1])

    async def _wanted(self, schedule: ScheduleInfo, due: float) -> RunInfo:
        """Return the run to begin, or one that is skipped: two would be at work at a time."""
        before = await self._store.working(schedule.id)
        if before is not None and (before.state == "starting" or before.status in BUSY):
            note = f"{before.session or 'the run before'} is still {before.status or before.state}"
            return _run(schedule, due, "skipped", note=note)
        return _run(schedule, due, "starting")

    async def _take_over(self, cut: Unfinished, now: float) -> None:
        """Go on with a run that nobody begins any more, unless it is too late for it."""
        if cut.run.id in self._beginning or (cut.held and cut.holder != self._host):
            return
        if is_late(cut.run.due, now) and not cut.run.session:
            note = "the process that was to begin it has ended, and then it was too late"
            await self._store.set_state(cut.run.id, cut.holder, "failed", note)
        elif await self._store.take_over(cut.run.id, cut.holder, self._host):
            self._go(cut.schedule, cut.run)

    def _go(self, schedule: ScheduleInfo, run: RunInfo) -> None:
        self._beginning.add(run.id)
        self._tasks.start(self._start(schedule, run))

    async def _start(self, schedule: ScheduleInfo, run: RunInfo) -> None:
        state, note = "begun", ""
        try:
            async with self._places, asyncio.timeout(BEGIN_S):
                await self._begin(schedule, run)
        except MidflightError as error:
            state, note = "failed", str(error)
        except TimeoutError:
            state, note = "failed", f"it did not begin within {BEGIN_S:.0f} seconds"
        except Exception as error:  # noqa: BLE001 - its history says so
            state, note = "failed", f"unexpected {type(error).__name__}"
        with contextlib.suppress(StoreFailed):  # it is looked at again
            await self._store.set_state(run.id, self._host, state, note)
        self._beginning.discard(run.id)


def _run(schedule: ScheduleInfo, due: float, state: RunState, **more: Any) -> RunInfo:
    return RunInfo(id=uuid.uuid4().hex, schedule=schedule.id, due=due, state=state, **more)
