"""Seeing a task to its end whatever becomes of the one that waits for it."""

from __future__ import annotations

import asyncio

__all__ = ["finished"]


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
