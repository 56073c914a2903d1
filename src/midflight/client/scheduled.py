"""What the session of a schedule's run begins with, and how one for workers is begun."""

from __future__ import annotations

import platform
from typing import Any

from midflight import commands as c
from midflight.client.client import Client
from midflight.info import RunInfo, ScheduleInfo
from midflight.schedules.cron import local
from midflight.values import Who


class WaitingRunStarter:
    """Begins the sessions of schedules that are for workers: they wait for one, as any other."""

    def __init__(self, client: Client) -> None:
        """``client`` has been entered."""
        self._client = client

    async def __call__(self, schedule: ScheduleInfo, run: RunInfo) -> None:
        """Begin the session of a run; what has been done before is not done again."""
        client = self._client.speaking_for(giver())
        if not run.session:
            options = session_options(schedule, run)
            await client.begin(schedule.task, options, id=run.id, on=schedule.on)
        for message in messages(schedule, run):
            await client.carry_out(run.id, message)


def giver() -> Who:
    """Return who gives the session of a schedule its task."""
    return Who(role="program", door="schedule", device=platform.node())


def session_options(schedule: ScheduleInfo, run: RunInfo) -> dict[str, Any]:
    """Return the options of a run's session, which is named by its day."""
    date = local(run.due, schedule.zone).date().isoformat()
    return {**schedule.options, "name": f"{schedule.name}-{date}"}


def messages(schedule: ScheduleInfo, run: RunInfo) -> list[c.Send]:
    """Return what it is told after its task; said twice it counts once."""
    return [
        c.Send(text=text, delivery="queue", id=f"{run.id}-{at + 1}")
        for at, text in enumerate(schedule.then)
    ]
