"""Background tasks and alarms, each with an owner that ends it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class TaskSet:
    """Holds background tasks: the event loop alone holds them weakly, so they could vanish."""

    def __init__(self) -> None:
        """Begin without a task."""
        self._tasks: set[asyncio.Task[Any]] = set()

    def __bool__(self) -> bool:
        """Tell whether a task is running."""
        return bool(self._tasks)

    def start(self, work: Coroutine[Any, Any, object]) -> asyncio.Task[Any]:
        """Start a task, and hold it until it is done."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def cancel(self) -> None:
        """Cancel every task, without waiting."""
        for task in self._tasks:
            task.cancel()

    async def join(self, timeout: float | None = None) -> None:
        """Wait until the tasks are done, at most ``timeout`` seconds. Raises nothing."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout)

    async def close(self) -> None:
        """Cancel the tasks, and wait until each has ended. Raises no error of theirs."""
        self.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def finished(task: asyncio.Task[None]) -> None:
    """Wait until a task has ended, even if the caller is cancelled meanwhile.

    Raises the task's error; without one, the cancellation.
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


async def survive(
    duty: Callable[[], Awaitable[T]], message: str, *passing: type[Exception]
) -> T | None:
    """Do once what a loop does again and again: its errors end no more than this round.

    Return what it returns, None where it has failed. Its error is logged with the ``message``,
    unless it is one of ``passing``, which may pass and are told elsewhere.
    """
    try:
        return await duty()
    except passing:
        return None
    except Exception as error:  # noqa: BLE001 - a loop that stopped would be worse
        context = {"message": message, "exception": error}
        asyncio.get_running_loop().call_exception_handler(context)
        return None


class Alarm:
    """Calls a function at the time that was set last, or earlier."""

    def __init__(self, ring: Callable[[], None]) -> None:
        """``ring`` is called in the event loop, and checks itself whether it is time."""
        self._ring = ring
        self._timer: asyncio.TimerHandle | None = None

    def set(self, due: float | None) -> None:
        """Ring at ``due`` by the event loop's clock; None is never.

        An earlier time that is set stays: `set` is called far more often than deadlines change.
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
