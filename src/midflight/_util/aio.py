"""Background tasks and alarms: each has an owner, and comes to an end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


class TaskSet:
    """Keeps background tasks from being forgotten: the event loop itself holds them only weakly."""

    def __init__(self) -> None:
        """Begin without a task."""
        self._tasks: set[asyncio.Task[Any]] = set()

    def __bool__(self) -> bool:
        """Tell whether a task is under way."""
        return bool(self._tasks)

    def start(self, work: Coroutine[Any, Any, object]) -> asyncio.Task[Any]:
        """Start a task and keep it until it is done."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def cancel(self) -> None:
        """Cancel every task, and wait for none."""
        for task in self._tasks:
            task.cancel()

    async def join(self, timeout: float | None = None) -> None:
        """Wait until the tasks are done, ``timeout`` seconds at most; no error is raised."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout)

    async def close(self) -> None:
        """Cancel the tasks and wait until each has ended. No error of theirs is raised."""
        self.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def finished(task: asyncio.Task[None]) -> None:
    """Wait for the end of a task that has to come to it, also when the waiting is cancelled.

    Raises what the task has raised; else the cancellation is passed on.
    """
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            cancelled = error
    task.result()
    if cancelled is not None:
        raise cancelled


class Alarm:
    """Calls back at the time that was set last, or a little too early."""

    def __init__(self, ring: Callable[[], None]) -> None:
        """``ring`` is called in the event loop; it looks at the time itself."""
        self._ring = ring
        self._timer: asyncio.TimerHandle | None = None

    def set(self, due: float | None) -> None:
        """Ring at ``due`` by the event loop's clock; None is never.

        A time before that stays set: things happen far more often than their deadlines change.
        """
        if self._timer is not None:
            if due is not None and self._timer.when() <= due:
                return
            self._timer.cancel()
            self._timer = None
        if due is not None:
            self._timer = asyncio.get_running_loop().call_at(due, self._rang)

    def _rang(self) -> None:
        self._timer = None
        self._ring()
