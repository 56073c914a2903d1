"""How the session of a schedule's run begins, and what it is told."""

from __future__ import annotations

import contextlib
import platform
from typing import Any

from midflight import commands as c
from midflight.client.client import Client
from midflight.info import RunInfo, ScheduleInfo
from midflight.journal.stored_options import check_known
from midflight.schedules.cron import local
from midflight.values import Who
from midflight.worktrees import own_worktree, setup_command


class RunStarter:
    """Begins the sessions of schedules: in hosts in the background, or for workers to claim."""

    def __init__(self, client: Client) -> None:
        """``client`` has been entered."""
        self._client = client

    async def __call__(self, schedule: ScheduleInfo, run: RunInfo) -> None:
        """Begin the session of a run; what has been done before is not done again."""
        client = self._client.speaking_for(_giver(schedule))
        if not run.session:
            await _begin(client, schedule, run)
        for message in _messages(schedule, run):
            await client.carry_out(run.id, message)


async def _begin(client: Client, schedule: ScheduleInfo, run: RunInfo) -> None:
    """Begin a session, in a worktree of its own if it is to have one and has not begun before."""
    options = _session_options(schedule, run)
    async with contextlib.AsyncExitStack() as stack:
        if schedule.worktree and not await client.is_there(run.id):
            tree = own_worktree(schedule.task, options, setup_command())
            await stack.enter_async_context(tree)
        await client.begin(schedule.task, options, id=run.id, on=schedule.on)


def _giver(schedule: ScheduleInfo) -> Who:
    """Return who gives the session of a schedule its task: for whom, where that is another one."""
    person = schedule.name.rpartition("/")[0]
    return Who(role="program", door="schedule", device=platform.node(), person=person)


def _session_options(schedule: ScheduleInfo, run: RunInfo) -> dict[str, Any]:
    """Return the options of a run's session, which is named by its day. Raises `Conflict`."""
    check_known(schedule.options)
    date = local(run.due, schedule.zone).date().isoformat()
    return {**schedule.options, "name": f"{schedule.name.rpartition('/')[2]}-{date}"}


def _messages(schedule: ScheduleInfo, run: RunInfo) -> list[c.Send]:
    """Return what it is told after its task; said twice it counts once."""
    return [
        c.Send(text=text, delivery="queue", id=f"{run.id}-{at + 1}")
        for at, text in enumerate(schedule.then)
    ]
