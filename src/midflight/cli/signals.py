"""What SIGINT, SIGTERM and SIGHUP do to a command that runs a session."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable, Coroutine
from typing import Any

from midflight.cli.exit_codes import INTERRUPTED
from midflight.cli.waiter import Waiter
from midflight.session.session import Session

TOGETHER_S = 0.3
"""Signals that come so soon after each other are one."""


class Stopper:
    """What the signals do: the first SIGINT stops the turn, a second one or SIGTERM everything."""

    def __init__(self) -> None:
        """Without a ``session`` there is no turn to stop, and the first SIGINT ends the program."""
        self.session: Session | None = None
        self._task: asyncio.Task[int] | None = None
        self._stop: asyncio.Task[None] | None = None
        self._quit_at = float("-inf")
        self.on_hang_up: Callable[[], None] = self.quit
        self.hung_up = False
        self.stopped = False

    def interrupt(self) -> None:
        """Stop the turn, if that has not been tried yet; else everything."""
        session = self.session
        if session is None or self._stop is not None or session.status == "starting":
            self.quit()
            return
        self.stopped = True
        self._stop = asyncio.get_running_loop().create_task(self._stop_turn(session))

    async def _stop_turn(self, session: Session) -> None:
        await session.interrupt()
        await session.close("interrupted")  # which first lets the turn come to its end

    def quit(self) -> None:
        """End the program in an orderly way; asked once more, without waiting for all of that.

        What a terminal sends to all that runs there comes twice where a `Waiter` hands it on.
        """
        now = time.monotonic()
        if now - self._quit_at < TOGETHER_S:
            return
        self._quit_at = now
        self.stopped = True
        if self._task is not None:
            self._task.cancel()

    def hang_up(self) -> None:
        """The terminal is being closed: do what is wanted then, which is to end if nothing is."""
        self.hung_up = True
        self.on_hang_up()

    def listen(self, task: asyncio.Task[int], waiter: Waiter | None) -> None:
        """Take the signals from now on; that the ``waiter`` was killed is one to quit."""
        self._task = task
        loop = asyncio.get_running_loop()
        if waiter is not None:
            waiter.on_end(self.quit)
        loop.add_signal_handler(signal.SIGINT, self.interrupt)
        loop.add_signal_handler(signal.SIGTERM, self.quit)
        loop.add_signal_handler(signal.SIGHUP, self.hang_up)


async def until_stopped(
    stopper: Stopper, program: Coroutine[Any, Any, int], waiter: Waiter | None = None
) -> int:
    """Run a program to its end, or until a signal has stopped it; return the exit code."""
    task = asyncio.get_running_loop().create_task(program)
    stopper.listen(task, waiter)
    with contextlib.suppress(asyncio.CancelledError):
        code = await task
        return INTERRUPTED if stopper.stopped else code
    return INTERRUPTED
