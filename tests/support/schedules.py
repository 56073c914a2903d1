"""What the tests of schedules share: a clock, a begin that is watched, and a schedule."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

from midflight.info import RunInfo, ScheduleInfo

DAY = 86_400.0
DUE = 20_000 * DAY + 7 * 3600
"""Seven o'clock on some day, in UTC."""


class Clock:
    """Shows what it was set to."""

    def __init__(self, now: float = DUE) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Begins:
    """Begins nothing, and tells which runs it was to begin; with an error it fails."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.runs: list[str] = []
        self.called = asyncio.Event()

    async def __call__(self, schedule: ScheduleInfo, run: RunInfo) -> None:
        self.runs.append(run.id)
        self.called.set()
        if self.error is not None:
            raise self.error


def daily(name: str = "morning", **more: Any) -> ScheduleInfo:
    """Return a schedule that runs each day at seven."""
    fields: dict[str, Any] = {"cron": "0 7 * * *", "zone": "UTC", "task": "go", "next": DUE}
    fields |= {"id": uuid.uuid4().hex, "options": {"agent": "fake", "cwd": "/"}, "created": 1.0}
    return ScheduleInfo(**{**fields, "name": name, **more})
