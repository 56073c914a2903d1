"""The lock of a file: one process at a time has it, and the system takes it from one that ends."""

from __future__ import annotations

import asyncio
import fcntl
import time

LOOK_AGAIN_S = 0.02
"""How often it is looked whether a lock that another process has is free."""


async def lock(file: int, seconds: float) -> None:
    """Take the lock of an open file, until the file is closed.

    Raises `TimeoutError` where another process has it for so long.
    """
    async with asyncio.timeout(seconds):
        while not _taken(file):  # noqa: ASYNC110 - another process has it
            await asyncio.sleep(LOOK_AGAIN_S)


def lock_in_thread(file: int, seconds: float) -> None:
    """Do the same in a thread that may wait."""
    until = time.monotonic() + seconds
    while not _taken(file):
        if time.monotonic() > until:
            raise TimeoutError
        time.sleep(LOOK_AGAIN_S)


def _taken(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
