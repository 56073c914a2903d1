"""Fires the schedules of a journal, and is stuck in the middle of the first begin."""

from __future__ import annotations

import asyncio
import sys

from midflight.info import RunInfo, ScheduleInfo
from midflight.journal import Journal
from midflight.schedules.firing import Firing


async def begin(schedule: ScheduleInfo, run: RunInfo) -> None:
    sys.stdout.write(f"{run.id}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


async def main() -> None:
    async with Journal(sys.argv[1]) as journal:
        await journal.host.register("", fires=True)
        firing = Firing(journal, begin, lambda: float(sys.argv[2]))
        await firing.look()
        await firing.settled()


asyncio.run(main())
